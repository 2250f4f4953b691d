"""Whole-vector moves in the mean fields of the thermal states, with a test.

The thermal expectations <sigma_j^P> set the log odds of the bits to 2(theta_i + kappa s_i),
theta_i = -a_i - sum w <sigma> = d log p~/d s_i, with an inertia kappa; exact by a
Metropolis-Hastings test of the whole vector.
"""

from __future__ import annotations

from mc.kernels.drivers import chains_driver
from mc.kernels.lanes import (
    draw_rows,
    hidden_fields,
    hidden_weight,
    odds,
    visible_energy,
    visible_fields,
)
from mc.kernels.whole import draw_spins, select
from tnqbm.kernels.fields import OPTIONS, field_length, tanh_ratio
from tnqbm.kernels.parallel import njit
from tnqbm.kernels.simd import absolute, load, store
from tnqbm.kernels.simd_math import exp_minus_twice, log, where_less


@njit(**OPTIONS)
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


@njit(**OPTIONS)
def _log_proposal(free, W, h, s):
    """log q(s) of independent free spins with fields h: sum_i s_i h_i - log(2 cosh h_i)."""
    total = load(s, 0) * 0.0
    for k in range(free.shape[0]):
        i = free[k]
        x = load(h, i * W)
        size = absolute(x)
        total = total + load(s, i * W) * x - size - log(exp_minus_twice(size) + 1.0)
    return total


@njit(**OPTIONS)
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


@njit(**OPTIONS)
def _start(par, n, m, P, W, inertia, s, phi, h, new_s, new_phi, new_h, t, draws):
    hidden_fields(par, n, m * P, W, s, phi)
    _mean_fields(par, n, m, P, W, inertia, s, phi, t, h)


@njit(**OPTIONS)
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
