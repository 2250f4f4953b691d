"""Whole-vector moves with measured qubits, without a test.

Each qubit is measured in the eigenbasis of its thermal state and the bits are drawn in the field
of the outcomes, on average the field of the thermal states. For one Pauli that is block Gibbs
sampling; for more it is biased: outcomes along Phi_j(v) do not commute with those along Phi_j(v').
"""

from __future__ import annotations

from mc.kernels.drivers import chains_driver, start_nothing
from mc.kernels.lanes import draw_rows, hidden_fields, visible_fields
from mc.kernels.whole import draw_spins
from tnqbm.kernels.fields import OPTIONS, field_length
from tnqbm.kernels.parallel import njit
from tnqbm.kernels.simd import load, store
from tnqbm.kernels.simd_math import exp_minus_twice, where_less


@njit(**OPTIONS)
def _outcomes(phi, m, P, W, draws, t):
    """Each qubit measured in its thermal eigenbasis: -(outcome) Phi_j / r_j."""
    one = load(phi, 0) * 0.0 + 1.0
    for j in range(m):
        r = field_length(phi, j, P, W)
        e = exp_minus_twice(r)
        u = load(draws, j * W)
        scale = where_less(u + u * e, e, one * -1.0, one) / r
        for p in range(P):
            at = (j * P + p) * W
            store(t, at, load(phi, at) * scale)


@njit(**OPTIONS)
def _scratch(n, m, P, W, space):
    """Fields phi of s, outcomes t, fields h of the bits, new spins, random numbers."""
    row = (m * P + 1) * W
    new_s, space = space[: n * W], space[n * W :]
    h, space = space[: n * W], space[n * W :]
    phi, space = space[:row], space[row:]
    phi[:] = 0.0
    return phi, space[:row], h, new_s, space[row:]


@njit(**OPTIONS)
def _sweep(par, n, m, P, W, key, chain, sweep, free, inertia, s, phi, t, h, new_s, draws):
    """One move of W chains; the number of bits that changed, lane by lane."""
    hidden_fields(par, n, m * P, W, s, phi)
    draw_rows(key, chain, sweep, 1, m, W, draws)
    _outcomes(phi, m, P, W, draws, t)
    visible_fields(par, n, m * P, W, t, h)
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    changed = draw_spins(free, W, h, draws, s, new_s)
    s[:] = new_s
    return changed


uncorrected_chains = chains_driver(_scratch, start_nothing, _sweep)
