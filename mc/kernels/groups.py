"""Collapsed Gibbs sampling of sqBMs whose hidden qubits are coupled in small groups.

One visible bit at a time, with the qubits summed out: P(flip i) = 1 / (1 + exp(-D)), D the change
of log p~(v). The flip changes the fields of the groups that unit i couples to, and each of these
has its log Tr exp(-H_g) computed anew. Fields and traces are computed afresh at the start of every
sweep, so that sweeps do not depend on how they are grouped into calls. A chain has a SIMD lane.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels.drivers import add_rates, report_rates
from mc.kernels.lanes import draw_rows, odds, put_spins
from tnqbm.hamiltonian.group_states import GroupStates
from tnqbm.hamiltonian.layout import GroupLayout
from tnqbm.kernels.group_traces import MAX_GROUP, log_trace
from tnqbm.kernels.groups import group_fields, group_weights, local_field, take_spins
from tnqbm.kernels.parallel import get_thread_id
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.simd import lanes, load, splat, store
from tnqbm.kernels.simd_math import where_less

Float = NDArray[np.float64]
States = NDArray[np.uint8]


@part
def _flipped(par, row, at, count, W, step, phi, trial):
    """The fields of a group after a flip: phi + step w, ``count`` of them from ``at`` on."""
    for q in range(count):
        store(trial, q * W, load(phi, (at + q) * W) + step * splat(par, row + at + q))


@part
def _pass(
    par, n, P, Q, W, first, groups, link_starts, links, edge_starts, neighbours, edges, free, s,
    phi, weights, trial, found, draws, work,
):  # fmt: skip
    """One pass over the free bits of W chains; the number of bits that changed, lane by lane."""
    zero = load(s, 0) * 0.0
    one = zero + 1.0
    changed = zero
    for turn in range(free.shape[0]):
        i = free[turn]
        row = n + (i + 1) * Q
        spin = load(s, i * W)
        step = spin * -2.0
        gain = spin * 2.0 * local_field(par, n, Q, W, s, i, edge_starts, neighbours, edges)
        start = link_starts[i]
        for link in range(start, link_starts[i + 1]):
            g = links[link]
            k = groups[g, 1]
            _flipped(par, row, groups[g, 0] * P, k * P, W, step, phi, trial)
            new = log_trace(trial, 0, par, first + groups[g, 2], k, P, W, work)
            store(found, (link - start) * W, new)
            gain = gain + new - load(weights, g * W)
        u = load(draws, turn * W)
        test = u + u * odds(zero - gain)
        change = where_less(test, one, step, zero)
        changed = changed + where_less(test, one, one, zero)
        store(s, i * W, spin + change)
        for link in range(start, link_starts[i + 1]):
            g = links[link]
            new = load(found, (link - start) * W)
            store(weights, g * W, where_less(test, one, new, load(weights, g * W)))
            at, count = groups[g, 0] * P, groups[g, 1] * P
            _flipped(par, row, at, count, W, change, phi, phi[at * W :])
    return changed


@parallel_over(lambda states, W: states.shape[0] * ((states.shape[1] + W - 1) // W))
def group_chains(
    task, pars, n, P, Q, W, first, groups, link_starts, links, edge_starts, neighbours, edges, keys,
    clock, steps, first_chain, free, states, work, rates,
):  # fmt: skip
    """Sweeps of the chains (B, C, n) of models with packed parameters (B, size), in place."""
    blocks = (states.shape[1] + W - 1) // W
    traces = groups.shape[0] * W
    b = task // blocks
    begin = task % blocks * W
    space = work[get_thread_id()]
    total, space = space[:W], space[W:]
    s, space = space[: n * W], space[n * W :]
    draws, space = space[: (n + 2) * W], space[(n + 2) * W :]
    phi, space = space[: Q * W], space[Q * W :]
    trial, space = space[: 3 * MAX_GROUP * W], space[3 * MAX_GROUP * W :]
    weights, space = space[:traces], space[traces:]
    found, space = space[:traces], space[traces:]
    total[:] = 0.0
    take_spins(states[b], begin, W, s)
    for step in range(steps):
        draw_rows(keys[b], first_chain + begin, clock + step, 0, free.shape[0], W, draws)
        group_fields(pars[b], n, Q, W, s, phi)
        group_weights(pars[b], first, P, W, groups, phi, weights, space)
        changed = _pass(
            pars[b], n, P, Q, W, first, groups, link_starts, links, edge_starts, neighbours,
            edges, free, s, phi, weights, trial, found, draws, space,
        )  # fmt: skip
        add_rates(total, changed)
    put_spins(states[b], begin, W, s)
    report_rates(total, begin, rates[b])


class GroupSweeper:
    """Moves the chains of a batch of sqBMs of one layout; what :class:`Sweeper` is for sqRBMs.

    ``free`` (n,) bool are the visible units that move; None for all. ValueError if none does. Not
    safe for use by several Python threads at once.
    """

    def __init__(self, layout: GroupLayout, *, free: ArrayLike | None = None) -> None:
        chosen = np.ones(layout.n, dtype=bool) if free is None else np.asarray(free)
        if chosen.shape != (layout.n,) or chosen.dtype != np.bool_:
            raise ValueError(f"free must be {layout.n} truth values, one per visible unit")
        if not chosen.any():
            raise ValueError("free: every visible unit is fixed, nothing is left to sample")
        self.layout = layout
        self.free = np.flatnonzero(chosen)
        self._lanes = lanes(np.float64)
        self._states = GroupStates(layout)

    def sweep(
        self,
        theta: Float,
        states: States,
        keys: NDArray[np.uint64],
        clock: int,
        steps: int,
        first_chain: int = 0,
    ) -> Float:
        """Move ``states`` (B, C, n) in place by ``steps`` sweeps of the models theta (B, size).

        Random numbers are functions of (keys[b], first_chain + c, clock + step, unit): the caller
        adds ``steps`` to its clock. Returns the fraction of free bits that changed in a sweep,
        (B, C).
        """
        rates = np.zeros(states.shape[:2])
        if steps < 1 or not states.size:
            return rates
        layout, network = self.layout, self.layout.network
        group_chains(
            layout.pack(theta), layout.n, layout.n_paulis, layout.fields, self._lanes,
            layout.first_matrix, *network, np.ascontiguousarray(keys, np.uint64), clock, steps,
            first_chain, self.free, states, self._states.work(), rates,
        )  # fmt: skip
        return np.asarray(rates / (steps * self.free.size))

    def log_weights(self, theta: Float, states: States) -> Float:
        """log p~(v) of states (B, C, n) under theta (B, size), (B, C)."""
        return self._states.log_weights(theta, states)
