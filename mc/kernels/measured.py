"""Gibbs sampling with measured qubits: outcomes h_j = +-1 in each qubit's own thermal eigenbasis.

p~(v, h) = exp(-a.s - sum_j h_j r_j(v)) sums over h to p~(v), so that drawing h given v and then
single visible bits given h is exact for every Pauli set. A step needs no exponential or logarithm
per qubit, but mixes more slowly than the collapsed sampler.
"""

from __future__ import annotations

from typing import Any

from mc.kernels.bits import bit_pass
from mc.kernels.drivers import chains_driver, start_nothing
from mc.kernels.lanes import draw_rows, hidden_fields
from tnqbm.kernels.fields import field_length
from tnqbm.kernels.parts import part
from tnqbm.kernels.simd import load, store
from tnqbm.kernels.simd_math import exp_minus_twice, where_less


@part
def _measure(phi, m, P, W, draws, h):
    """Draw h_j = +1 with probability exp(-r)/(2 cosh r), else -1; -sum_j h_j r_j."""
    zero = load(phi, 0) * 0.0
    total = zero
    for j in range(m):
        r = field_length(phi, j, P, W)
        e = exp_minus_twice(r)
        u = load(draws, j * W)
        outcome = where_less(u + u * e, e, zero + 1.0, zero - 1.0)
        store(h, j * W, outcome)
        total = total - outcome * r
    return total


def _candidate(length: Any) -> Any:
    @part
    def candidate(par, m, W, before, change, after, spin, phi, h):
        """Apply the last change; -sum_j h_j r_j after the flip of ``spin``."""
        step = spin * -2.0
        total = step * 0.0
        for j in range(m):
            r = length(par, W, j, before, change, after, step, phi)
            total = total - load(h, j * W) * r
        return total

    return candidate


_pass = bit_pass(_candidate)


@part
def _scratch(n, m, P, W, space):
    """Fields phi, outcomes h, random numbers."""
    row = (m * P + 1) * W
    h, space = space[: m * W], space[m * W :]
    phi, draws = space[:row], space[row:]
    phi[:] = 0.0
    return phi, h, draws


@part
def _sweep(par, n, m, P, W, key, chain, sweep, free, setting, s, phi, h, draws):
    """Measure all qubits, then pass over the free bits."""
    hidden_fields(par, n, m * P, W, s, phi)
    draw_rows(key, chain, sweep, 1, m, W, draws)
    weight = _measure(phi, m, P, W, draws, h)
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    return _pass(par, n, m, P, W, free, weight, s, phi, h, draws)


measured_chains = chains_driver(_scratch, start_nothing, _sweep)
