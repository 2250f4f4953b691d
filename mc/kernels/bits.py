"""Sweeps that pass over the visible bits, one after another.

P(flip i) = 1 / (1 + exp(-D)), D the change of a log weight at the flip. Hidden fields are carried
along and changed by -2 s_i w_i at each flip; the change of one flip is applied while the next one
is weighed, so that every field is read and written once a step. Fields are computed afresh at the
start of every sweep, which bounds rounding errors and makes sweeps independent of how they are
grouped into calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mc.kernels.lanes import odds
from tnqbm.kernels.fields import TINY
from tnqbm.kernels.parts import part
from tnqbm.kernels.simd import absolute, load, splat, sqrt, store
from tnqbm.kernels.simd_math import where_less


def _length(n_paulis: int) -> Any:
    """Row function for a set of P Paulis: P as a constant lets its loop disappear."""
    P = n_paulis

    @part
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


_LENGTHS = _length(1), _length(2), _length(3)


def bit_pass(candidate: Callable[[Any], Any], fields: Sequence[Any] = _LENGTHS) -> Any:
    """The pass whose log weights after a flip are computed by ``candidate(field)``.

    That is a row function (par, m, W, before, change, after, spin, phi, h) which also applies the
    last change, by calling ``field``: one of ``fields``, by default the length of a hidden field,
    for models with 1, 2 and 3 Paulis. ``h`` is what the qubits have besides their fields.
    """
    candidate_1, candidate_2, candidate_3 = (candidate(field) for field in fields)

    @part
    def pass_over_bits(par, n, m, P, W, free, weight, s, phi, h, draws):
        """One pass over the free bits of W chains; the number of bits that changed, lane by lane.

        ``weight`` is the log weight without its term -a.s.
        """
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
                flipped = candidate_1(par, m, W, before, change, after, spin, phi, h)
            elif P == 2:
                flipped = candidate_2(par, m, W, before, change, after, spin, phi, h)
            else:
                flipped = candidate_3(par, m, W, before, change, after, spin, phi, h)
            u = load(draws, k * W)
            test = u + u * odds(weight - flipped - spin * splat(par, i) * 2.0)
            weight = where_less(test, one, flipped, weight)
            change = where_less(test, one, spin * -2.0, zero)
            changed = changed + where_less(test, one, one, zero)
            store(s, i * W, spin + change)
            before = after
        return changed

    return pass_over_bits
