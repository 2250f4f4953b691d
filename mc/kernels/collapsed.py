"""Collapsed Gibbs sampling: one visible bit at a time with the hidden qubits summed out.

P(flip i) = 1 / (1 + exp(-D)), D = log p~(v with bit i flipped) - log p~(v): exact for every Pauli
set. Hidden fields are carried along and changed by -2 s_i w_i at each flip; the change of one
flip is applied while the next one is weighed, so that every field is read and written once a
step. Fields are computed afresh at the start of every sweep, which bounds rounding errors and
makes sweeps independent of how they are grouped into calls.
"""

from __future__ import annotations

from typing import Any

from mc.kernels.lanes import (
    OPTIONS,
    PRODUCT_LENGTH,
    TINY,
    draw_rows,
    hidden_fields,
    hidden_weight,
    odds,
)
from tnqbm.kernels.parallel import njit
from tnqbm.kernels.simd import absolute, load, splat, sqrt, store
from tnqbm.kernels.simd_math import exp_minus_twice, log, where_less


def make_length(n_paulis: int) -> Any:
    """Row function for a set of P Paulis: P as a constant lets its loop disappear."""
    P = n_paulis

    @njit(**OPTIONS)
    def length(par, W, j, before, change, after, step, phi):
        """phi_j += change w[before]; the length of phi_j + step w[after]."""
        if P == 1:
            x = load(phi, j * W) + change * splat(par, before + j)
            store(phi, j * W, x)
            return absolute(x + step * splat(par, after + j))
        square = step * 0.0 + TINY * TINY
        for p in range(P):
            q = j * P + p
            x = load(phi, q * W) + change * splat(par, before + q)
            store(phi, q * W, x)
            y = x + step * splat(par, after + q)
            square = square + y * y
        return sqrt(square)

    return length


def _candidate(length: Any) -> Any:
    @njit(**OPTIONS)
    def candidate(par, m, W, before, change, after, spin, phi):
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


length_1, length_2, length_3 = make_length(1), make_length(2), make_length(3)
_candidate_1, _candidate_2, _candidate_3 = (
    _candidate(length_1),
    _candidate(length_2),
    _candidate(length_3),
)


@njit(**OPTIONS)
def collapsed_sweep(par, n, m, P, W, key, chain, sweep, free, s, phi, draws):
    """One pass over the free bits of W chains; the number of bits that changed, lane by lane."""
    draw_rows(key, chain, sweep, 0, free.shape[0], W, draws)
    hidden_fields(par, n, m * P, W, s, phi)
    weight = hidden_weight(phi, m, P, W)
    zero = weight * 0.0
    one = zero + 1.0
    changed = zero
    change = zero
    before = n + m * P
    for k in range(free.shape[0]):
        i = free[k]
        spin = load(s, i * W)
        after = n + (i + 1) * m * P
        if P == 1:
            found = _candidate_1(par, m, W, before, change, after, spin, phi)
        elif P == 2:
            found = _candidate_2(par, m, W, before, change, after, spin, phi)
        else:
            found = _candidate_3(par, m, W, before, change, after, spin, phi)
        u = load(draws, k * W)
        test = u + u * odds(weight - found - spin * splat(par, i) * 2.0)
        weight = where_less(test, one, found, weight)
        change = where_less(test, one, spin * -2.0, zero)
        changed = changed + where_less(test, one, one, zero)
        store(s, i * W, spin + change)
        before = after
    return changed
