"""Collapsed Gibbs sampling: one visible bit at a time with the hidden qubits summed out.

The weight of a state is p~(v) itself: exact for every Pauli set.
"""

from __future__ import annotations

from typing import Any

from mc.kernels.bits import bit_pass
from mc.kernels.drivers import chains_driver, start_nothing
from mc.kernels.lanes import draw_rows, hidden_fields, hidden_weight
from tnqbm.kernels.fields import PRODUCT_LENGTH
from tnqbm.kernels.parts import part
from tnqbm.kernels.simd_math import exp_minus_twice, log


def _candidate(length: Any) -> Any:
    @part
    def candidate(par, m, W, before, change, after, spin, phi, h):
        """Apply the last change; sum_j log(2 cosh r_j) after the flip of ``spin``."""
        step = spin * -2.0
        total = step * 0.0
        for first in range(0, m, PRODUCT_LENGTH):
            product = step * 0.0 + 1.0
            for j in range(first, min(m, first + PRODUCT_LENGTH)):
                r = length(par, W, j, before, change, after, step, phi)
                product = product * (exp_minus_twice(r) + 1.0)
                total = total + r
            total = total + log(product)
        return total

    return candidate


_pass = bit_pass(_candidate)


@part
def _scratch(n, m, P, W, space):
    """Fields phi, random numbers."""
    row = (m * P + 1) * W
    phi, draws = space[:row], space[row:]
    phi[:] = 0.0
    return phi, draws


@part
def _sweep(par, n, m, P, W, key, chain, sweep, free, setting, s, phi, draws):
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    hidden_fields(par, n, m * P, W, s, phi)
    weight = hidden_weight(phi, m, P, W)
    return _pass(par, n, m, P, W, free, weight, s, phi, phi, draws)


collapsed_chains = chains_driver(_scratch, start_nothing, _sweep)
