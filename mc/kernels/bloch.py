"""Whole-vector moves with Bloch vectors: two-block Gibbs sampling, made exact by a test.

Every qubit gets a classical Bloch vector n_j, a point of the unit sphere with density
~ exp(n.Phi_j) (von Mises-Fisher; with two Paulis the third component of Phi is zero). The bits
given the vectors are independent with log odds 2(-a_i + sum w n), which is reversible for
exp(-a.s) prod_j sinh(r_j)/r_j. Accepting with probability min(1, prod g(r'_j)/g(r_j)),
g = r coth r, makes it exact.
"""

from __future__ import annotations

from mc.kernels.drivers import chains_driver
from mc.kernels.lanes import draw_rows, draw_spins, hidden_fields, odds, select, visible_fields
from tnqbm.kernels.fields import field_length
from tnqbm.kernels.parts import part
from tnqbm.kernels.simd import load, maximum, sqrt, store
from tnqbm.kernels.simd_math import exp_minus_twice, log, unit_circle, where_less

SMALL_FIELD = 3e-3
"""Below, the inverse of the von Mises-Fisher distribution function is expanded to first order."""

COTH_SERIES = 0.02
"""Below, r coth r is a power series: 1 - exp(-2r) would lose digits."""


@part
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


@part
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


@part
def _scratch(n, m, P, W, space):
    """Fields phi of s, vectors t, fields h of the bits, proposed spins and fields, draws."""
    row = (m * P + 1) * W
    new_s, space = space[: n * W], space[n * W :]
    h, space = space[: n * W], space[n * W :]
    phi, space = space[:row], space[row:]
    new_phi, space = space[:row], space[row:]
    phi[:] = 0.0
    new_phi[:] = 0.0
    return phi, space[:row], h, new_s, new_phi, space[row:]


@part
def _start(par, n, m, P, W, setting, s, phi, t, h, new_s, new_phi, draws):
    hidden_fields(par, n, m * P, W, s, phi)


@part
def _sweep(
    par, n, m, P, W, key, chain, sweep, free, setting, s, phi, t, h, new_s, new_phi, draws
):  # fmt: skip
    """One move of W chains, with phi the fields of s before and after; 1 where accepted."""
    Q = m * P
    draw_rows(key, chain, sweep, 1, 2 * m, W, draws)
    _vectors(phi, m, P, W, draws, t)
    visible_fields(par, n, Q, W, t, h)
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    one = draw_spins(free, W, h, draws, s, new_s) * 0.0 + 1.0
    hidden_fields(par, n, Q, W, new_s, new_phi)
    draw_rows(key, chain, sweep, 2, 1, W, draws)
    against = _log_correction(phi, m, P, W) - _log_correction(new_phi, m, P, W)
    test = load(draws, 0) * odds(against)
    select(test, one, n, W, new_s, s)
    select(test, one, Q, W, new_phi, phi)
    return where_less(test, one, one, one * 0.0)


bloch_chains = chains_driver(_scratch, _start, _sweep)
