"""Whole-vector moves in the fields of the thermal states, with a test and without one.

``thermal``: the thermal expectations <sigma_j^P> set the log odds of the bits to
2(theta_i + kappa s_i), theta_i = -a_i - sum w <sigma> = d log p~/d s_i, with an inertia kappa;
exact by a Metropolis-Hastings test of the whole vector.

``thermal-uncorrected``: each qubit is measured in the eigenbasis of its thermal state and the bits
are drawn in the field of the outcomes, on average the field of the thermal states, without a test.
For one Pauli that is block Gibbs sampling; for more it is biased: outcomes along Phi_j(v) do not
commute with those along Phi_j(v').
"""

from __future__ import annotations

from mc.kernels.drivers import chains_driver, start_nothing
from mc.kernels.lanes import (
    draw_rows,
    draw_spins,
    hidden_fields,
    hidden_weight,
    odds,
    select,
    visible_energy,
    visible_fields,
)
from tnqbm.kernels.fields import field_length, tanh_ratio
from tnqbm.kernels.parts import part
from tnqbm.kernels.simd import absolute, load, store
from tnqbm.kernels.simd_math import exp_minus_twice, log, where_less


@part
def _mean_fields(par, n, m, P, W, inertia, s, phi, t, h):
    """h_i = theta_i + kappa s_i from the thermal states of the qubits; ``t`` gets -<sigma>."""
    for j in range(m):
        r = field_length(phi, j, P, W)
        ratio = tanh_ratio(exp_minus_twice(r), r)
        for p in range(P):
            at = (j * P + p) * W
            store(t, at, load(phi, at) * ratio)
    visible_fields(par, n, m * P, W, t, h)
    if inertia != 0.0:
        for i in range(n):
            store(h, i * W, load(h, i * W) + load(s, i * W) * inertia)


@part
def _log_proposal(free, W, h, s):
    """log q(s) of independent free spins with fields h: sum_i s_i h_i - log(2 cosh h_i)."""
    total = load(s, 0) * 0.0
    for k in range(free.shape[0]):
        i = free[k]
        x = load(h, i * W)
        size = absolute(x)
        total = total + load(s, i * W) * x - size - log(exp_minus_twice(size) + 1.0)
    return total


@part
def _scratch(n, m, P, W, space):
    """Fields phi and h of s, proposed spins and their fields, -<sigma>, random numbers."""
    row = (m * P + 1) * W
    new_s, space = space[: n * W], space[n * W :]
    h, space = space[: n * W], space[n * W :]
    new_h, space = space[: n * W], space[n * W :]
    phi, space = space[:row], space[row:]
    new_phi, space = space[:row], space[row:]
    phi[:] = 0.0
    new_phi[:] = 0.0
    return phi, h, new_s, new_phi, new_h, space[:row], space[row:]


@part
def _start(par, n, m, P, W, inertia, s, phi, h, new_s, new_phi, new_h, t, draws):
    hidden_fields(par, n, m * P, W, s, phi)
    _mean_fields(par, n, m, P, W, inertia, s, phi, t, h)


@part
def _sweep(
    par, n, m, P, W, key, chain, sweep, free, inertia, s,
    phi, h, new_s, new_phi, new_h, t, draws,
):  # fmt: skip
    """One move of W chains, with phi, h of s before and after; 1 where accepted."""
    Q = m * P
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    draw_spins(free, W, h, draws, s, new_s)
    hidden_fields(par, n, Q, W, new_s, new_phi)
    _mean_fields(par, n, m, P, W, inertia, new_s, new_phi, t, new_h)
    draw_rows(key, chain, sweep, 2, 1, W, draws)
    before = hidden_weight(phi, m, P, W) - visible_energy(par, n, W, s)
    after = hidden_weight(new_phi, m, P, W) - visible_energy(par, n, W, new_s)
    forward = _log_proposal(free, W, h, new_s)
    backward = _log_proposal(free, W, new_h, s)
    test = load(draws, 0) * odds(before - after + forward - backward)
    one = before * 0.0 + 1.0
    select(test, one, n, W, new_s, s)
    select(test, one, Q, W, new_phi, phi)
    select(test, one, n, W, new_h, h)
    return where_less(test, one, one, one * 0.0)


thermal_chains = chains_driver(_scratch, _start, _sweep)


@part
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


@part
def _scratch_untested(n, m, P, W, space):
    """Fields phi of s, outcomes t, fields h of the bits, new spins, random numbers."""
    row = (m * P + 1) * W
    new_s, space = space[: n * W], space[n * W :]
    h, space = space[: n * W], space[n * W :]
    phi, space = space[:row], space[row:]
    phi[:] = 0.0
    return phi, space[:row], h, new_s, space[row:]


@part
def _sweep_untested(par, n, m, P, W, key, chain, sweep, free, setting, s, phi, t, h, new_s, draws):
    """One move of W chains; the number of bits that changed, lane by lane."""
    hidden_fields(par, n, m * P, W, s, phi)
    draw_rows(key, chain, sweep, 1, m, W, draws)
    _outcomes(phi, m, P, W, draws, t)
    visible_fields(par, n, m * P, W, t, h)
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    changed = draw_spins(free, W, h, draws, s, new_s)
    for at in range(0, s.shape[0], W):
        store(s, at, load(new_s, at))
    return changed


uncorrected_chains = chains_driver(_scratch_untested, start_nothing, _sweep_untested)
