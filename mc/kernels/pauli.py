"""Gibbs sampling with qubits measured in a Pauli basis (Demidik et al., arXiv 2511.11802).

Each hidden qubit j is measured in one of the Pauli matrices P of the model, h_j = +-1. With
x_j = Phi_j^P,

    p(h | v) = prod_j (1 - h_j tanh(r_j) x_j / r_j) / 2,
    p(v | h) ~ exp(-a.s) prod_j (cosh r_j - h_j (x_j / r_j) sinh r_j).

Both belong to the joint distribution <v,h| exp(-H) |v,h> / Z, whose sum over h is p(v), so drawing
h given v and then bits given h leaves p(v) invariant for any basis, and any choice of bases that
does not look at v. The second factor is no product over bits; here single bits are drawn one after
another, and :mod:`mc.kernels.pauli_exact` draws all of them at once.

A factor is e^r ((r - y) + (r + y) e^(-2r)) / (2r), y = h x. Where one of r - y
and r + y is small, it is computed from their product, the squares of the field's other components.
If these are 0 and y = r, the factor is e^(-r).
"""

from __future__ import annotations

from typing import Any

from mc.kernels.bits import bit_pass
from mc.kernels.drivers import chains_driver, start_nothing
from mc.kernels.lanes import draw_rows, hidden_fields
from tnqbm.kernels.fields import TINY
from tnqbm.kernels.parts import part
from tnqbm.kernels.simd import absolute, load, splat, sqrt, store
from tnqbm.kernels.simd_math import exp_minus_twice, log, where_less

NOTHING = 1e-15
"""A field shorter than this is none: both outcomes are equally likely, whatever its direction."""

RANDOM, EACH = -1, -2
"""Bases beside the numbers of Pauli matrices: one drawn for each chain and sweep; one for each
chain, sweep and qubit."""


@part
def _shares(y, rest):
    """r, r - y and r + y of a field with component y and squares ``rest`` of the others."""
    zero = y * 0.0
    r = sqrt(y * y + (rest + TINY * TINY))
    large = r + absolute(y)
    small = where_less(large, zero + NOTHING, r, rest / large)
    large = where_less(large, zero + NOTHING, r, large)
    return r, where_less(zero, y, small, large), where_less(zero, y, large, small)


@part
def _log_factor(y, rest):
    """log(cosh r - (y/r) sinh r) + log 2 of a field with component y, ``rest`` as in _shares."""
    r, minus, plus = _shares(y, rest)
    zero = y * 0.0
    share = minus + plus * exp_minus_twice(r)
    return where_less(zero, minus, r + log(share / r), zero - r + 0.6931471805599453)


@part
def _choose(m, P, W, basis, draws, c):
    """c[j,p] = 1 where qubit j is measured in Pauli matrix p, else 0, lane by lane."""
    zero = load(draws, 0) * 0.0
    one = zero + 1.0
    for j in range(m):
        left = one
        for p in range(P):
            if basis >= 0.0:
                own = one if p == basis else zero
            elif p == P - 1:
                own = left
            else:
                u = load(draws, j * W if basis == EACH else 0) * (P * 1.0)
                own = where_less(u, zero + (p + 1.0), left, zero)
            left = left - own
            store(c, (j * P + p) * W, own)


@part
def _measure(phi, m, P, W, draws, c):
    """Outcomes h_j in the bases c, which become h_j c; the sum of all log factors."""
    zero = load(phi, 0) * 0.0
    one = zero + 1.0
    total = zero
    for j in range(m):
        x = zero
        rest = zero
        for p in range(P):
            at = (j * P + p) * W
            field, own = load(phi, at), load(c, at)
            x = x + own * field
            rest = rest + (1.0 - own) * (field * field)
        r, minus, plus = _shares(x, rest)
        e = exp_minus_twice(r)
        u = load(draws, j * W) * r * 2.0
        outcome = where_less(u + u * e, minus + plus * e, one, zero - one)
        for p in range(P):
            at = (j * P + p) * W
            store(c, at, load(c, at) * outcome)
        total = total + _log_factor(x * outcome, rest)
    return total


def _component(n_paulis: int) -> Any:
    """Row function for P Paulis, a constant so that its loop disappears."""
    P = n_paulis

    @part
    def component(par, W, j, before, change, after, step, phi, h):
        """phi_j += change w[before]; h_j x_j and the other squares of phi_j + step w[after]."""
        y = step * 0.0
        rest = y
        for p in range(P):
            q = j * P + p
            x = load(phi, q * W) + change * splat(par, before + q)
            store(phi, q * W, x)
            x = x + step * splat(par, after + q)
            c = load(h, q * W)
            y = y + c * x
            if P > 1:
                rest = rest + (1.0 - c * c) * (x * x)
        return y, rest

    return component


def _candidate(component: Any) -> Any:
    @part
    def candidate(par, m, W, before, change, after, spin, phi, h):
        """Apply the last change; the sum of all log factors after the flip of ``spin``."""
        step = spin * -2.0
        total = step * 0.0
        for j in range(m):
            y, rest = component(par, W, j, before, change, after, step, phi, h)
            total = total + _log_factor(y, rest)
        return total

    return candidate


_pass = bit_pass(_candidate, (_component(1), _component(2), _component(3)))


@part
def draw_outcomes(par, n, m, P, W, key, chain, sweep, basis, s, phi, c, draws):
    """Hidden fields of s, bases and outcomes c = h_j one-hot (m P W,); the sum of log factors."""
    hidden_fields(par, n, m * P, W, s, phi)
    if basis < 0.0:
        draw_rows(key, chain, sweep, 3, m if basis == EACH else 1, W, draws)
    _choose(m, P, W, basis, draws, c)
    draw_rows(key, chain, sweep, 1, m, W, draws)
    return _measure(phi, m, P, W, draws, c)


@part
def scratch(n, m, P, W, space):
    """Fields phi, outcomes c, random numbers."""
    row = (m * P + 1) * W
    phi, c, draws = space[:row], space[row : 2 * row], space[2 * row :]
    phi[:] = 0.0
    return phi, c, draws


@part
def _sweep(par, n, m, P, W, key, chain, sweep, free, basis, s, phi, c, draws):
    """Measure all qubits, then pass over the free bits."""
    weight = draw_outcomes(par, n, m, P, W, key, chain, sweep, basis, s, phi, c, draws)
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    return _pass(par, n, m, P, W, free, weight, s, phi, c, draws)


pauli_chains = chains_driver(scratch, start_nothing, _sweep)
