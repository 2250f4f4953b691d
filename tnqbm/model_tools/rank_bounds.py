"""What no RBM with k hidden units can do, from Schmidt values: proofs of distance, not fits.

As a matrix over two groups of visible units the distribution of RBM_{n,k} has rank at most 2^k:
every hidden unit contributes a factor that is a sum of two products, the visible fields a product.
One qubit with P > 1 Paulis has full rank, 2^floor(n/2) at a cut through the middle, for all but
exceptional parameters (docs/equivalence.md has the proof). So RBM_{n,k} holds no such sqRBM if
k < floor(n/2): k must grow with n to represent a single qubit exactly.

How far they are apart follows from the singular values sigma_i of the target as a matrix: a matrix
of rank R differs from it by at least sum_{i > R} sigma_i in the trace norm (Mirsky, Quart. J. Math.
11, 50 (1960)), and the sum of absolute entries is no less than the trace norm, so

    TVD >= 1/2 sum_{i > 2^k} sigma_i     and, by Pinsker's inequality,    KL >= 2 TVD^2.

For uniform distributions there is a bound by counting, too: RBM_{n,k} is a mixture of 2^k products
of independent bits, and a product that keeps to strings of one parity is nearly a single string
(docs/few-hidden-units.md has the proof).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.process import one_thread

Float = NDArray[np.float64]

ROUNDING = 1e-14
"""Singular values of distributions below this are rounding and count as zero."""


@dataclass(frozen=True)
class RankBound:
    """Lower bounds of the distance of a distribution from all RBM_{n,k}.

    ``tvd`` and ``kl`` (nats) are 0 where ranks forbid nothing; ``group`` are the visible units on
    one side of the cut that gives the bound, ``rank`` the target's rank there (above ROUNDING).
    """

    tvd: float
    kl: float
    group: tuple[int, ...]
    rank: int


def cut_values(target: ArrayLike, group: tuple[int, ...]) -> Float:
    """Singular values, falling, of probabilities (2**n,) as a matrix, rows the states of ``group``.

    Raises ValueError unless the group holds some but not all of the n units, each once.
    """
    q = np.asarray(target, dtype=np.float64)
    n = q.size.bit_length() - 1
    if q.ndim != 1 or q.size != 1 << n:
        raise ValueError(f"target must hold 2**n probabilities, got shape {q.shape}")
    if not 0 < len(set(group)) == len(group) < n or not all(0 <= i < n for i in group):
        raise ValueError(f"group must hold some of the units 0 to {n - 1}, each once, got {group}")
    rest = [i for i in range(n) if i not in group]
    matrix = q.reshape((2,) * n).transpose([*group, *rest]).reshape(1 << len(group), -1)
    with one_thread():
        return np.asarray(np.linalg.svd(matrix, compute_uv=False))


def rank_bound(target: ArrayLike, n_hidden: int) -> RankBound:
    """The best of these bounds over all cuts into halves (n // 2 units on one side).

    ``target`` (2**n,) probabilities. Work: C(n, n/2) singular value decompositions of matrices of
    2^(n/2) rows. Raises ValueError for bad shapes and negative ``n_hidden``.
    """
    if n_hidden < 0:
        raise ValueError(f"n_hidden must be at least 0, got {n_hidden}")
    q = np.asarray(target, dtype=np.float64)
    n = q.size.bit_length() - 1
    if n < 2:
        return RankBound(0.0, 0.0, (), 1)
    best = RankBound(0.0, 0.0, (), 0)
    for group in combinations(range(n), n // 2):
        if 2 * len(group) == n and 0 not in group:
            break  # the other half of a cut that has been seen
        values = cut_values(q, group)
        # each value is off by rounding of the largest at most
        tail = values[2**n_hidden :]
        tvd = 0.5 * float(tail[tail > ROUNDING].sum())
        rank = int(np.count_nonzero(values > ROUNDING))
        if tvd > best.tvd or not best.group:
            best = RankBound(tvd, 2.0 * tvd**2, group, rank)
    return best


def least_hidden(n_states: int, tvd: float) -> int:
    """Hidden units that an RBM needs at least for a distribution within ``tvd`` of a uniform one.

    The uniform one is on ``n_states`` strings that all have the same parity of ones, such as
    ``cardinality``, ``parity``, and ``bas`` where n / 2 is even: k >= log2(n_states (1 - 3 tvd)). 0
    from a third on, where the bound says nothing. Raises ValueError unless n_states >= 1 and
    0 <= tvd <= 1.
    """
    if n_states < 1 or not 0.0 <= tvd <= 1.0:
        raise ValueError(
            f"n_states must be at least 1 and tvd from 0 to 1, got {n_states} and {tvd!r}"
        )
    share = 1.0 - 3.0 * tvd
    if share <= 0.0:
        return 0
    return max(0, math.ceil(math.log2(n_states) + math.log2(share) - 1e-12))
