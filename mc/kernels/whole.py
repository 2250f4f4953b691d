"""Whole-vector moves: all visible bits drawn at once, accepted by a Metropolis-Hastings test.

``bloch`` gives every qubit a classical Bloch vector n_j, a point of the unit sphere with density
~ exp(n.Phi_j) (von Mises-Fisher; with two Paulis the third component of Phi is zero). The bits
given the vectors are independent with log odds 2(-a_i + sum w n), which is reversible for
exp(-a.s) prod_j sinh(r_j)/r_j. Accepting with probability min(1, prod g(r'_j)/g(r_j)),
g = r coth r, makes it exact.

``thermal`` puts the thermal expectations <sigma_j^P> in the place of the vectors: log odds
2(theta_i + kappa s_i), theta_i = -a_i - sum w <sigma> = d log p~/d s_i, with an inertia kappa;
exact by the Metropolis-Hastings test.

``thermal-uncorrected`` measures each qubit in the eigenbasis of its thermal state and draws the
bits in the field of the outcomes, on average the field of the thermal states, without a test. For
one Pauli that is block Gibbs sampling; for more it is biased: outcomes along Phi_j(v) do not
commute with those along Phi_j(v').
"""

from __future__ import annotations

from mc.kernels.lanes import (
    OPTIONS,
    draw_rows,
    field_length,
    hidden_fields,
    hidden_weight,
    odds,
    visible_energy,
    visible_fields,
)
from tnqbm.kernels.parallel import njit
from tnqbm.kernels.simd import absolute, load, maximum, sqrt, store
from tnqbm.kernels.simd_math import exp_minus_twice, log, unit_circle, where_less

SMALL_FIELD = 3e-3
"""Below, the inverse of the von Mises-Fisher distribution function is expanded to first order."""

COTH_SERIES = 0.02
"""Below, r coth r is a power series: 1 - exp(-2r) would lose digits."""


@njit(**OPTIONS)
def select(test, one, count, W, yes, no):
    """no[k] = yes[k] in the lanes where test < one."""
    for k in range(count):
        store(no, k * W, where_less(test, one, load(yes, k * W), load(no, k * W)))


@njit(**OPTIONS)
def draw_spins(free, W, h, draws, s, proposal):
    """Free spins with P(s_i = +1) = 1/(1 + exp(-2 h_i)); the others as in s. Changed spins."""
    one = load(s, 0) * 0.0 + 1.0
    for at in range(0, proposal.shape[0], W):
        store(proposal, at, load(s, at))
    changed = one * 0.0
    for k in range(free.shape[0]):
        i = free[k]
        u = load(draws, k * W)
        test = u + u * odds(load(h, i * W) * -2.0)
        new = where_less(test, one, one, one * -1.0)
        changed = changed + absolute(new - load(s, i * W)) * 0.5
        store(proposal, i * W, new)
    return changed


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
def _vectors(phi, m, P, W, draws, t):
    """Points of the sphere with density ~ exp(n.Phi_j); the first P components are kept."""
    zero = load(phi, 0) * 0.0
    one = zero + 1.0
    for j in range(m):
        r = field_length(phi, j, P, W)
        inverse = 1.0 / r
        # The direction of the field, or the third axis where there is none.
        cut = zero + 1e-15
        x = where_less(r, cut, zero, load(phi, j * P * W) * inverse)
        y = where_less(r, cut, zero, load(phi, (j * P + 1) * W) * inverse)
        z = zero
        if P == 3:
            z = load(phi, (j * P + 2) * W) * inverse
        z = where_less(r, cut, one, z)
        # Component along the field by inversion of its distribution function.
        u = load(draws, 2 * j * W)
        e = exp_minus_twice(r)
        along = log(e + u * (1.0 - e)) * inverse + 1.0
        series = u * 2.0 - 1.0 + r * u * (1.0 - u) * 2.0
        along = where_less(r, zero + SMALL_FIELD, series, along)
        along = maximum(along, zero - 1.0)
        across = sqrt(maximum(1.0 - along * along, zero))
        circle = unit_circle(load(draws, (2 * j + 1) * W))
        c = circle[0] * across
        s = circle[1] * across
        # Two axes across the field without branches (Duff et al., JCGT 6(1), 2017).
        sign = where_less(z, zero, zero - 1.0, one)
        a = -1.0 / (sign + z)
        b = x * y * a
        store(t, j * P * W, along * x + c * (sign * x * x * a + 1.0) + s * b)
        store(t, (j * P + 1) * W, along * y + c * (sign * b) + s * (sign + y * y * a))
        if P == 3:
            store(t, (j * P + 2) * W, along * z - c * (sign * x) - s * y)


@njit(**OPTIONS)
def _log_correction(phi, m, P, W):
    """sum_j log(r_j coth r_j), what the sphere's sinh(r)/r lacks to cosh r."""
    total = load(phi, 0) * 0.0
    for j in range(m):
        r = field_length(phi, j, P, W)
        e = exp_minus_twice(r)
        q = r * r
        series = q * (q * (q * (q * (-1.0 / 4725.0) + 2.0 / 945.0) - 1.0 / 45.0) + 1.0 / 3.0) + 1.0
        g = where_less(r, r * 0.0 + COTH_SERIES, series, r * (1.0 + e) / (1.0 - e))
        total = total + log(g)
    return total


@njit(**OPTIONS)
def vector_sweep(
    par, n, m, P, W, key, chain, sweep, free, bloch, s, phi, t, h, new_s, new_phi, draws
):  # fmt: skip
    """One move of W chains, with ``phi`` the fields of s before and after; 1 where accepted.

    With ``bloch`` vectors, or else with measured outcomes in their place and without a test: every
    move is accepted then, and the changed bits are counted instead.
    """
    Q = m * P
    if not bloch:
        draw_rows(key, chain, sweep, 1, m, W, draws)
        _outcomes(phi, m, P, W, draws, t)
    else:
        draw_rows(key, chain, sweep, 1, 2 * m, W, draws)
        _vectors(phi, m, P, W, draws, t)
    visible_fields(par, n, Q, W, t, h)
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    changed = draw_spins(free, W, h, draws, s, new_s)
    hidden_fields(par, n, Q, W, new_s, new_phi)
    one = changed * 0.0 + 1.0
    if not bloch:
        test = one * 0.0
        accepted = changed
    else:
        draw_rows(key, chain, sweep, 2, 1, W, draws)
        against = _log_correction(phi, m, P, W) - _log_correction(new_phi, m, P, W)
        test = load(draws, 0) * odds(against)
        accepted = where_less(test, one, one, one * 0.0)
    select(test, one, n, W, new_s, s)
    select(test, one, Q, W, new_phi, phi)
    return accepted


@njit(**OPTIONS)
def mean_fields(par, n, m, P, W, inertia, s, phi, t, h):
    """h_i = theta_i + kappa s_i from the thermal states of the qubits; ``t`` gets -<sigma>."""
    for j in range(m):
        r = field_length(phi, j, P, W)
        e = exp_minus_twice(r)
        ratio = (1.0 - e) / ((1.0 + e) * r)
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
def thermal_sweep(
    par, n, m, P, W, key, chain, sweep, free, inertia,
    s, phi, t, h, new_s, new_phi, new_h, draws,
):  # fmt: skip
    """One move of W chains, with ``phi``, ``h`` of s before and after; 1 where accepted."""
    Q = m * P
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    draw_spins(free, W, h, draws, s, new_s)
    hidden_fields(par, n, Q, W, new_s, new_phi)
    mean_fields(par, n, m, P, W, inertia, new_s, new_phi, t, new_h)
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
