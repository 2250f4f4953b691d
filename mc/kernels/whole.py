"""Whole-vector moves: all visible bits drawn at once, given the qubits.

Parts of :mod:`mc.kernels.bloch`, :mod:`mc.kernels.thermal` and :mod:`mc.kernels.uncorrected`.
"""

from __future__ import annotations

from mc.kernels.lanes import odds
from tnqbm.kernels.fields import OPTIONS
from tnqbm.kernels.parallel import njit
from tnqbm.kernels.simd import absolute, load, store
from tnqbm.kernels.simd_math import where_less


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
