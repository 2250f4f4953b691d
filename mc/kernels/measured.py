"""Gibbs sampling with measured qubits: outcomes h_j = +-1 in each qubit's own thermal eigenbasis.

p~(v, h) = exp(-a.s - sum_j h_j r_j(v)) sums over h to p~(v), so that drawing h given v and then
single visible bits given h is exact for every Pauli set. A step needs no exponential or logarithm
per qubit, but mixes more slowly than the collapsed sampler.
"""

from __future__ import annotations

from typing import Any

from mc.kernels.collapsed import length_1, length_2, length_3
from mc.kernels.lanes import OPTIONS, draw_rows, field_length, hidden_fields, odds
from tnqbm.kernels.parallel import njit
from tnqbm.kernels.simd import load, splat, store
from tnqbm.kernels.simd_math import exp_minus_twice, where_less


@njit(**OPTIONS)
def _measure(phi, m, P, W, draws, h):
    """Draw h_j = +1 with probability exp(-r)/(2 cosh r), else -1; sum_j h_j r_j."""
    zero = load(phi, 0) * 0.0
    total = zero
    for j in range(m):
        r = field_length(phi, j, P, W)
        e = exp_minus_twice(r)
        u = load(draws, j * W)
        outcome = where_less(u + u * e, e, zero + 1.0, zero - 1.0)
        store(h, j * W, outcome)
        total = total + outcome * r
    return total


def _candidate(length: Any) -> Any:
    @njit(**OPTIONS)
    def candidate(par, m, W, before, change, after, spin, phi, h):
        """Apply the last change; sum_j h_j r_j after the flip of ``spin``."""
        step = spin * -2.0
        total = step * 0.0
        for j in range(m):
            r = length(par, W, j, before, change, after, step, phi)
            total = total + load(h, j * W) * r
        return total

    return candidate


_candidate_1, _candidate_2, _candidate_3 = (
    _candidate(length_1),
    _candidate(length_2),
    _candidate(length_3),
)


@njit(**OPTIONS)
def measured_sweep(par, n, m, P, W, key, chain, sweep, free, s, phi, h, draws):
    """Measure all qubits, then pass over the free bits; bits that changed, lane by lane."""
    hidden_fields(par, n, m * P, W, s, phi)
    draw_rows(key, chain, sweep, 1, m, W, draws)
    energy = _measure(phi, m, P, W, draws, h)
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    zero = energy * 0.0
    one = zero + 1.0
    changed = zero
    change = zero
    before = n + m * P
    for k in range(free.shape[0]):
        i = free[k]
        spin = load(s, i * W)
        after = n + (i + 1) * m * P
        if P == 1:
            found = _candidate_1(par, m, W, before, change, after, spin, phi, h)
        elif P == 2:
            found = _candidate_2(par, m, W, before, change, after, spin, phi, h)
        else:
            found = _candidate_3(par, m, W, before, change, after, spin, phi, h)
        u = load(draws, k * W)
        test = u + u * odds(found - energy - spin * splat(par, i) * 2.0)
        energy = where_less(test, one, found, energy)
        change = where_less(test, one, spin * -2.0, zero)
        changed = changed + where_less(test, one, one, zero)
        store(s, i * W, spin + change)
        before = after
    return changed
