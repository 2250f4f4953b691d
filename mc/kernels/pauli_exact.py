"""The kernel ``pauli`` with all visible bits drawn at once from p(v | h): what a perfect quantum
computer would do.

Given the outcomes h of the hidden qubits, p(v | h) is a product of factors, one for each qubit. Its
units are summed over one after another (:mod:`mc.kernels.elimination`), and drawn backwards in the
same order, each given those drawn before. Sums are kept as logarithms. Of models in which every
qubit is coupled with every unit that is enumeration, 2**n numbers for each chain and sweep. Of
chains, rings and lattices it is contraction along their length.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mc.kernels.drivers import pack_all, work_size
from mc.kernels.elimination import Elimination, check_width, eliminate
from mc.kernels.lanes import draw_rows
from mc.kernels.pauli import draw_outcomes, scratch
from tnqbm.base.limits import check_memory
from tnqbm.core.shape import Shape
from tnqbm.kernels.fields import TINY
from tnqbm.kernels.groups import take_spins
from tnqbm.kernels.parallel import get_num_threads, get_thread_id
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.simd import aligned, lanes
from tnqbm.kernels.tables import copy


@part
def _log_factor(y, rest):
    """As that of :mod:`mc.kernels.pauli`, of numbers."""
    r = math.sqrt(y * y + (rest + TINY * TINY))
    large = r + abs(y)
    if large < 1e-15:
        return math.log(2.0)
    if y <= 0.0:
        return r + math.log((large + rest / large * math.exp(-2.0 * r)) / r)
    if rest == 0.0:
        return math.log(2.0) - r
    return r + math.log((rest / large + large * math.exp(-2.0 * r)) / r)


@parallel_over(lambda m: m)
def _fill_tables(j, par, n, m, P, first_unit, units, first, fields, tables):
    """Log factors of all qubits: of j from ``first[j]``, (P, outcome, states of its units).

    ``fields`` (m, P) is scratch.
    """
    mine = units[first_unit[j] : first_unit[j + 1]]
    count = mine.shape[0]
    phi = fields[j]
    for state in range(1 << count):
        for p in range(P):
            x = np.float64(par[n + j * P + p])
            for k in range(count):
                spin = 1.0 - 2.0 * ((state >> (count - 1 - k)) & 1)
                x += spin * par[n + (mine[k] + 1) * m * P + j * P + p]
            phi[p] = x
        for p in range(P):
            square = 0.0
            for other in range(P):
                if other != p:
                    square += phi[other] * phi[other]
            at = first[j] + 2 * p * (1 << count) + state
            tables[at] = _log_factor(phi[p], square)
            tables[at + (1 << count)] = _log_factor(-phi[p], square)


@part
def _in_order(places):
    """Whether these are the bits of the frontier themselves."""
    count = places.shape[0]
    found = True
    for k in range(count):
        found &= places[k] == count - 1 - k
    return found


@part
def _add_factor(table, units, places, fixed, log_sums):
    """log_sums[f] += the log factor of one qubit, ``table`` (states of its units)."""
    count = units.shape[0]
    if table.shape[0] == log_sums.shape[0] and _in_order(places):
        for f in range(log_sums.shape[0]):
            log_sums[f] += table[f]
        return
    base = 0
    for k in range(count):
        if places[k] < 0:
            base |= np.int64(fixed[units[k]]) << (count - 1 - k)
    for f in range(log_sums.shape[0]):
        state = base
        for k in range(count):
            if places[k] >= 0:
                state |= ((f >> places[k]) & 1) << (count - 1 - k)
        log_sums[f] += table[state]


@part
def _exponentiate(log_sums):
    """exp of all, relative to the largest."""
    most = log_sums[0]
    for f in range(log_sums.shape[0]):
        most = max(most, log_sums[f])
    for f in range(log_sums.shape[0]):
        log_sums[f] = math.exp(log_sums[f] - most)


@part
def _without(f, bit):
    """f with a 0 put in at a bit."""
    low = f & ((1 << bit) - 1)
    return ((f - low) << 1) | low


@part
def _forward(par, plan, offsets, tables, rows, bits, log_sums):
    """All sums of one chain, those of every frontier after those of the one before it.

    ``rows`` (m,): of every qubit, 2 p + (0 where the outcome was +1, 1 where it was -1). The sums
    are logarithms before the last unit is added. Nothing comes after that, and a weight that is too
    small for a number cannot matter any more. Returns where the last ones are.
    """
    order, first_factor, factors, first_unit, units, places, first_summed, _, where = plan
    size, at, last = 1, 0, order.shape[0] - 1
    log_sums[0] = 0.0
    for step in range(order.shape[0]):
        a = np.float64(par[order[step]])
        new = at + size
        for f in range(size):
            log_sums[new + 2 * f] = log_sums[at + f] - a
            log_sums[new + 2 * f + 1] = log_sums[at + f] + a
        size, at = 2 * size, new
        own = log_sums[at : at + size]
        for q in range(first_factor[step], first_factor[step + 1]):
            j = factors[q]
            low, high = first_unit[j], first_unit[j + 1]
            start = offsets[j] + rows[j] * (1 << (high - low))
            table = tables[start : start + (1 << (high - low))]
            _add_factor(table, units[low:high], places[low:high], bits, own)
        if step == last:
            _exponentiate(own)
        for q in range(first_summed[step], first_summed[step + 1]):
            bit, new = where[q], at + size
            size //= 2
            for f in range(size):
                low = at + _without(f, bit)
                x, y = log_sums[low], log_sums[low + (1 << bit)]
                if step == last:
                    log_sums[new + f] = x + y
                else:
                    log_sums[new + f] = max(x, y) + math.log1p(math.exp(-abs(x - y)))
            at = new
    return at


@part
def _backward(plan, at, log_sums, uniform, bits):
    """Draw the free units of one chain, in place of those in ``bits`` (n,), last ones first.

    ``uniform`` (n,) holds a random number for every unit.
    """
    order, _, _, _, _, _, first_summed, summed, where = plan
    size, state, last = 1, 0, order.shape[0] - 1
    for step in range(last, -1, -1):
        for q in range(first_summed[step + 1] - 1, first_summed[step] - 1, -1):
            bit, unit = where[q], summed[q]
            size *= 2
            at -= size
            state = _without(state, bit)
            zero, one = log_sums[at + state], log_sums[at + state + (1 << bit)]
            u = uniform[unit]
            if step == last:
                found = u * (zero + one) < one
            else:
                found = u + u * math.exp(min(zero - one, 80.0)) < 1.0
            bits[unit] = 1 if found else 0
            if found:
                state += 1 << bit
        state >>= 1
        size //= 2
        at -= size


@parallel_over(lambda states, W: (states.shape[0] + W - 1) // W)
def _exact_chains(
    task, par, n, m, P, W, key, clock, steps, first_chain, free, basis, plan, offsets, tables,
    states, work, sums, outcomes, uniforms, bits_before, rates,
):  # fmt: skip
    chains = states.shape[0]
    first = task * W
    count = min(W, chains - first)
    thread = get_thread_id()
    s, space = work[thread, : n * W], work[thread, n * W :]
    phi, c, draws = scratch(n, m, P, W, space)
    rows, uniform, before = outcomes[thread], uniforms[thread], bits_before[thread]
    for step in range(steps):
        chain, sweep = first_chain + first, clock + step
        take_spins(states, first, W, s)
        draw_outcomes(par, n, m, P, W, key, chain, sweep, basis, s, phi, c, draws)
        draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
        for lane in range(count):
            for j in range(m):
                for p in range(P):
                    outcome = c[(j * P + p) * W + lane]
                    if outcome != 0.0:
                        rows[j] = 2 * p + (1 if outcome < 0.0 else 0)
            for k in range(free.shape[0]):
                uniform[free[k]] = draws[k * W + lane]
            bits = states[first + lane]
            copy(bits, before)
            own = sums[thread]
            at = _forward(par, plan, offsets, tables, rows, bits, own)
            _backward(plan, at, own, uniform, bits)
            for i in range(n):
                if bits[i] != before[i]:
                    rates[first + lane] += 1.0


class ExactChains:
    """Moves chains by :func:`_exact_chains`; owns plans, tables and work space.

    Which units a qubit is coupled with is read from the parameters: couplings that are 0 in all
    models of a batch are none.
    """

    def __init__(
        self, shape: Shape, dtype: np.dtype[Any], free: NDArray[np.intp], basis: float
    ) -> None:
        self._shape, self._dtype, self._lanes = shape, dtype, lanes(dtype)
        self._free, self._basis = free.astype(np.int64), basis
        self._coupled = np.zeros((0, 0), dtype=bool)
        self._plan: Elimination | None = None

    def sweep(
        self,
        theta: NDArray[np.float64],
        states: NDArray[np.uint8],
        keys: NDArray[np.uint64],
        clock: int,
        steps: int,
        first_chain: int,
        rates: NDArray[np.float64],
    ) -> None:
        """As :meth:`mc.kernels.Sweeper.sweep`; changed bits, added up, go to ``rates``.

        Raises MemoryError where too many states would be summed over.
        """
        n, m, P = self._shape
        plan = self._planned(theta)
        counts = np.diff(plan.first_unit)
        offsets = np.concatenate([[0], np.cumsum(2 * P * 2**counts)]).astype(np.int64)
        threads = get_num_threads()
        room = _room(plan)
        check_memory(
            8 * (int(offsets[-1]) + threads * room),
            f"kernel 'pauli-exact' with {int(counts.max(initial=0))} units at a qubit",
            "use kernel 'pauli'",
        )
        tables = np.empty(int(offsets[-1]))
        sums = np.empty((threads, room))
        pars = np.empty((theta.shape[0], self._shape.size), self._dtype)
        pack_all(np.ascontiguousarray(theta), n, m, P, pars)
        size = work_size(n, m, P, self._lanes)
        work = aligned((threads, -(-size // 16) * 16), self._dtype)
        fields, outcomes = np.empty((m, P)), np.empty((threads, m), np.int64)
        uniforms, before = np.empty((threads, n)), np.empty((threads, n), np.uint8)
        for b, par in enumerate(pars):
            _fill_tables(par, n, m, P, plan.first_unit, plan.units, offsets, fields, tables)
            _exact_chains(
                par, n, m, P, self._lanes, keys[b], clock, steps, first_chain, self._free,
                self._basis, tuple(plan[:-1]), offsets, tables, states[b], work, sums, outcomes,
                uniforms, before, rates[b],
            )  # fmt: skip

    def _planned(self, theta: NDArray[np.float64]) -> Elimination:
        n, m, P = self._shape
        w = theta[:, self._shape.w].reshape(len(theta), P, n, m)
        coupled = np.asarray((w != 0).any(axis=(0, 1)))
        if self._plan is None or not np.array_equal(coupled, self._coupled):
            check_width(coupled, self._free)
            self._coupled, self._plan = coupled, eliminate(coupled, self._free)
        return self._plan


def _room(plan: Elimination) -> int:
    """Numbers kept for one chain: all sums of all frontiers."""
    size, total = 1, 1
    for step in range(plan.order.size):
        size *= 2
        total += size
        for _ in range(plan.first_summed[step], plan.first_summed[step + 1]):
            size //= 2
            total += size
    return total
