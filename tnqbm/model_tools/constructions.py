"""Models in closed form: pairwise Ising distributions, bars and stripes, in few hidden units.

docs/few-hidden-units.md has the theorems and their proofs. Such models have a known distribution at
any size and modes far apart, so that they are also hard and checkable cases for samplers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import plain_array
from tnqbm.core.model import SqRBM
from tnqbm.core.paulis import check_paulis

Float = NDArray[np.float64]


class IsingModel(NamedTuple):
    """An sqRBM and what its log weights are, up to ``error`` nats: ``constant`` + log weight of
    the Ising distribution that it stands for."""

    model: SqRBM
    constant: float
    error: float


def from_ising(
    couplings: ArrayLike,
    fields: ArrayLike | None = None,
    paulis: str = "XYZ",
    *,
    error: float = 1e-2,
    cover: Sequence[int] | None = None,
) -> IsingModel:
    """An sqRBM for p(s) ~ exp(sum_{i<k} J_ik s_i s_k + sum_i h_i s_i), spins s = (-1)^v.

    couplings : (n, n) symmetric J; its diagonal does not matter.
    fields : (n,) h, 0 by default.
    error : largest difference of log weights, in nats, in (0, 1]; parameters grow as its inverse.
    cover : visible units of which every pair with J_ik != 0 has at least one; by default a small
        set is searched for. The model has ceil(len(cover) / P) hidden qubits.

    Takes one direction of a hidden qubit for each unit of the cover: with a large coupling X to
    that unit, |X s_i + y| = X + s_i y, and the length of P such components at once is, up to
    y^2/X, their mean. Raises ValueError for impossible couplings, fields, errors and covers.
    """
    paulis = check_paulis(paulis)
    j, h = _couplings(couplings), None if fields is None else plain_array(fields, "fields")
    n, p = len(j), len(paulis)
    h = np.zeros(n) if h is None else np.asarray(h, dtype=np.float64)
    if h.shape != (n,) or not np.isfinite(h).all():
        raise ValueError(f"fields must be {n} finite numbers, got shape {h.shape}")
    if not 0 < error <= 1:
        raise ValueError(f"error must be above 0 and at most 1, got {error!r}")
    chosen = vertex_cover(j) if cover is None else _checked_cover(j, cover)
    m = -(-len(chosen) // p)
    w = np.zeros((p, n, m))
    open_pairs, constant = j.copy(), 0.0
    for qubit in range(m):
        units = chosen[qubit * p : (qubit + 1) * p]
        rows = np.zeros((len(units), n))
        for k, unit in enumerate(units):
            rows[k] = math.sqrt(len(units)) * open_pairs[unit]
            open_pairs[unit] = open_pairs[:, unit] = 0.0
        length = _length(rows, error / m)
        w[: len(units), :, qubit] = rows
        w[range(len(units)), units, qubit] = length / math.sqrt(len(units))
        constant += length
    return IsingModel(SqRBM(-h, np.zeros((p, m)), w, paulis), constant, error)


def _length(rows: Float, error: float) -> float:
    """Length L of the dominating couplings of a qubit, so that its factor is within ``error``.

    With |y| <= Y for all states, 0 <= r - (L + s.y / sqrt(P)) <= Y^2 / (2 (L - Y)), and
    log 2cosh r exceeds r by less than exp(-2 (L - Y)). With one component the first difference is
    zero.
    """
    largest = float(np.linalg.norm(np.abs(rows).sum(axis=1)))
    bent = largest**2 / error if len(rows) > 1 else 0.0
    return largest + max(bent, 0.5 * math.log(2.0 / error))


def vertex_cover(couplings: ArrayLike) -> list[int]:
    """A small set of units of which every coupled pair has at least one, rising.

    Takes the unit with the most pairs left, again and again, then leaves out what is not needed:
    not always the smallest set, which is hard to find, but n - 1 units if all are coupled, and one
    for a star.
    """
    coupled = _couplings(couplings) != 0
    left, found = coupled.copy(), list[int]()
    while left.any():
        unit = int(left.sum(axis=1).argmax())
        found.append(unit)
        left[unit] = left[:, unit] = False
    for unit in list(found):
        others = [k for k in found if k != unit]
        if not set(np.flatnonzero(coupled[unit])) - set(others):
            found = others
    return sorted(found)


def _couplings(couplings: ArrayLike) -> Float:
    j = np.array(plain_array(couplings, "couplings"), dtype=np.float64)
    if j.ndim != 2 or not 0 < j.shape[0] == j.shape[1] or not np.isfinite(j).all():
        raise ValueError(f"couplings must be a square matrix of finite numbers, got {j.shape}")
    if not np.array_equal(j, j.T):
        raise ValueError("couplings must be symmetric: J_ik = J_ki")
    np.fill_diagonal(j, 0.0)
    return j


def _checked_cover(j: Float, cover: Sequence[int]) -> list[int]:
    chosen = [int(unit) for unit in cover]
    if len(set(chosen)) < len(chosen) or not all(0 <= unit < len(j) for unit in chosen):
        raise ValueError(f"cover must name units from 0 to {len(j) - 1}, each once, got {chosen}")
    left = j.copy()
    left[chosen] = left[:, chosen] = 0.0
    if left.any():
        i, k = (int(units[0]) for units in np.nonzero(left))
        raise ValueError(f"cover: units {i} and {k} are coupled, and neither is in it")
    return chosen


def cardinality(n: int, paulis: str = "XYZ", *, tvd: float = 1e-2) -> SqRBM:
    """An sqRBM with ceil((n - 1) / P) qubits within ``tvd`` of ``cardinality``: n/2 ones, uniform.

    The antiferromagnet exp(-beta S^2), S the sum of all spins, with beta large enough.
    """
    if n < 2 or n % 2:
        raise ValueError(f"n must be an even number from 2 on, got {n}")
    if not 0 < tvd < 1:
        raise ValueError(f"tvd must be between 0 and 1, got {tvd!r}")
    # Outside, the weights add up to less than 2n exp(-4 beta) of those with S = 0.
    beta = 0.25 * math.log(4.0 * n / tvd)
    return from_ising(np.full((n, n), -2.0 * beta), paulis=paulis, error=tvd / 4).model


def bars_and_stripes(n: int, *, tvd: float = 1e-2) -> SqRBM:
    """An sqRBM "XZ" with three qubits within ``tvd`` of ``bas``, for any even n from 6 on.

    A row is full (two states) or a column (n/2 states), see :func:`tnqbm.datasets.load`. One
    qubit sends every column into a direction of its own in its plane; two others, which use X only,
    lift the full rows. Couplings grow as n^2 log(1/tvd).
    """
    if n < 6 or n % 2:
        raise ValueError(f"n must be an even number from 6 on, got {n}")
    if not 0 < tvd < 1:
        raise ValueError(f"tvd must be between 0 and 1, got {tvd!r}")
    columns = n // 2
    angle = 2.0 * np.pi / columns
    gap = 2.0 * math.log(4.0 / tvd)
    k = 12.0 * gap / (1.0 - math.cos(angle))
    around = angle * np.arange(columns)
    w, b = np.zeros((2, n, 3)), np.zeros((2, 3))
    w[:, :, 0] = -k / 4.0 * np.tile([np.cos(around), np.sin(around)], 2)
    # 2k max(0, |D| - d0): D ones of the upper row more than of the lower.
    lift = (k - gap) * columns / 2.0 + gap - math.log(2.0)
    d0 = columns - lift / (2.0 * k)
    difference = np.repeat([1.0, -1.0], columns)
    for unit, sign in ((1, 1.0), (2, -1.0)):
        w[0, :, unit] = -k / 2.0 * difference
        b[0, unit] = -sign * k * d0
    return SqRBM(np.full(n, -(k - gap) / 4.0), b, w, "XZ")
