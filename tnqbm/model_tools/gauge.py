"""Directions of the parameters that p(v) does not see: axes and order of the hidden units.

p(v) knows hidden unit j through the length r_j = ||Phi_j(v)|| alone. With its parameters as a
matrix A_j (n+1, P), first row b_j and row 1+i the couplings w_ij, the field is
Phi_j = A_j^T (1, s), so that

- A_j R with any orthogonal R of O(P) gives the same r_j(v) for all v (for P = 1 a change of sign),
- hidden units may change places,

and the Gram matrix G_j = A_j A_j^T, an (n+1) x (n+1) matrix of rank at most P with
r_j^2 = (1, s) G_j (1, s)^T, is the complete invariant of the first: two matrices have the same Gram
matrix if and only if they differ by such an R.

What R does to the hidden qubit: a proper rotation is conjugation by a unitary of SU(2)
(:func:`unitary`), and hidden expectation values turn with it. With one or two Paulis so is a
reflection, since the turn may use the axis that is not there (Z -> -Z is conjugation by X). With
three Paulis a reflection is antiunitary, like a transposition of the qubit: p(v) and log Z do not
change, but no operation on the qubit does it. ``proper=True`` leaves such reflections out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.limits import check_memory
from tnqbm.base.process import one_thread
from tnqbm.core.model import SqRBM
from tnqbm.core.paulis import Complex, check_paulis

__all__ = ["axes_distance", "canonical", "effective_parameters", "gram", "ranks",
           "redundant_dimensions", "rotate", "singular_values", "unit_matrices", "unitary",
           "with_unit_matrices"]  # fmt: skip

Float = NDArray[np.float64]
Int = NDArray[np.int64]

RANK_TOLERANCE = 1e-10
"""Singular values below this part of a unit's largest count as zero."""

ORDER_TOLERANCE = 1e-10
"""Invariants of units that differ by less, relative to the largest parameter, count as equal."""

_SHARE = 0.371
# A row may be a pivot if its length is at least this part of the longest. Not 1: rows of equal
# length, common in hand-made models, would be told apart by rounding. No simple number either, for
# the same reason.
_NOISE = 32 * np.finfo(np.float64).eps
_MAX_MATCHED = 512


def unit_matrices(model: SqRBM) -> Float:
    """The matrices A_j, (m, n+1, P): row 0 holds b_j, row 1+i the couplings to visible unit i."""
    return np.ascontiguousarray(
        np.concatenate([model.b[:, None, :], model.w], axis=1).transpose(2, 1, 0)
    )


def with_unit_matrices(
    model: SqRBM, matrices: ArrayLike, paulis: str | None = None, *, mask: ArrayLike | None = None
) -> SqRBM:
    """The model with the hidden units of other matrices (m', n+1, P'), and the same ``a``.

    ``paulis`` and ``mask`` are those of the result; None is the model's Paulis, and no mask.
    """
    units = np.asarray(matrices, dtype=np.float64).transpose(2, 1, 0)
    return SqRBM(model.a, units[:, 0], units[:, 1:], paulis or model.paulis, mask)


def gram(model: SqRBM) -> Float:
    """G_j = A_j A_j^T of every hidden unit, (m, n+1, n+1): what p(v) knows of it, and no more."""
    size = model.n_hidden * (model.n_visible + 1) ** 2 * 8
    check_memory(size, "Gram matrices of all hidden units", "look at fewer units at a time")
    units = unit_matrices(model)
    return np.asarray(np.einsum("jrp,jsp->jrs", units, units))


def rotate(model: SqRBM, hidden: int | Sequence[int] | None, rotation: ArrayLike) -> SqRBM:
    """Turn the Pauli axes of hidden units: Phi_j -> R Phi_j.

    p(v) and log Z do not change; <sigma_j> -> R <sigma_j>.

    Parameters
    ----------
    hidden : a hidden unit, several, or None for all.
    rotation : R, (P, P) orthogonal to 1e-8, rows and columns in the order of ``model.paulis``; or
        one for each of the units, (units, P, P).

    Raises ValueError or TypeError for unknown units and matrices that are not orthogonal.
    """
    chosen = checked_units(hidden, model.n_hidden)
    p = len(model.paulis)
    turns = np.asarray(rotation, dtype=np.float64)
    if turns.shape not in ((p, p), (chosen.size, p, p)):
        raise ValueError(
            f"rotation must have shape ({p}, {p}) or ({chosen.size}, {p}, {p}) for paulis = "
            f"{model.paulis!r} and {chosen.size} hidden units, got {turns.shape}"
        )
    _check_orthogonal(turns)
    turns = np.broadcast_to(turns, (chosen.size, p, p))
    units = unit_matrices(model)
    units[chosen] = np.einsum("jrp,jqp->jrq", units[chosen], turns)
    return with_unit_matrices(model, units, mask=model.mask)


def canonical(model: SqRBM, *, proper: bool = False, order: bool = True) -> SqRBM:
    """The same distribution with parameters in a normal form: p(v) and log Z do not change.

    Each unit's axes are turned so that A_j is in echelon form: the first row (b_j, then the
    couplings) that is at least 0.371 times as long as the longest points along the first axis; of
    what the other rows have beside this axis, the first that is long enough points along the
    second, and so on; the entries of these pivots are positive. This is the pivoted Cholesky
    factor of the Gram matrix, computed from the rows themselves. It exists and is unique whatever
    the singular values, changes continuously unless the choice of a pivot changes, and has zeros in
    all columns beyond the rank. For P = 1 it is a choice of sign.

    The units are then put in falling order of ||A_j||, those of equal length in falling order of
    the entries of the normal form, row by row, and of the mask. Lengths and entries that differ by
    less than 1e-10 of the largest parameter count as equal. ``order=False`` leaves the units in
    their places.

    ``proper=True`` allows only what is unitary on the hidden qubits: it matters for three Paulis,
    where the pivot of the third axis is then negative for half of all models.
    """
    units = unit_matrices(model)
    mask = model.mask
    if model.n_hidden:
        units = _echelon(units, proper)
        if order:
            places = _order(units, mask)
            units = units[places]
            mask = None if mask is None else mask[:, places]
    return with_unit_matrices(model, units, mask=mask)


def singular_values(model: SqRBM) -> Float:
    """Singular values of every A_j in falling order, (m, P); their squares are those of G_j."""
    units = unit_matrices(model)
    found = np.zeros((model.n_hidden, len(model.paulis)))
    scale = _scales(units)
    with one_thread():
        values = np.linalg.svd(units / scale[:, None, None], compute_uv=False)
    found[:, : values.shape[1]] = values * scale[:, None]
    return found


def ranks(model: SqRBM, *, tolerance: float = RANK_TOLERANCE) -> Int:
    """Rank of every hidden unit's A_j, (m,): how many Paulis it really uses.

    A unit of rank 1 is a classical one: its p(v) is that of an RBM's hidden unit. Singular values
    up to ``tolerance`` times the unit's largest count as zero; a unit of zeros has rank 0.
    """
    values = singular_values(model)
    return np.asarray((values > tolerance * values[:, :1]).sum(axis=1), dtype=np.int64)


def redundant_dimensions(model: SqRBM, *, tolerance: float = RANK_TOLERANCE) -> int:
    """Independent directions in which the parameters move without any change of p(v).

    The sum over units of r (2P - r - 1)/2, the dimension of the orbit of O(P) of a matrix of rank
    r: P(P-1)/2 for units of full rank. This counts turns of the axes. Where ranks are lower, p(v)
    is stationary in further directions, those of the zero columns, at this point only.
    """
    p, r = len(model.paulis), ranks(model, tolerance=tolerance)
    return int((r * (2 * p - r - 1) // 2).sum())


def effective_parameters(model: SqRBM, *, tolerance: float = RANK_TOLERANCE) -> int:
    """Free parameters less :func:`redundant_dimensions`.

    For a dense model with units of full rank n + P m (n+1) - m P(P-1)/2, the rank of the Jacobian
    of log p at random parameters (as long as it is below 2^n).
    """
    return model.n_parameters - redundant_dimensions(model, tolerance=tolerance)


def unitary(rotation: ArrayLike, paulis: str) -> Complex:
    """U in SU(2) with U sigma^P U^dagger = sum_Q R[Q, P] sigma^Q for the letters of ``paulis``.

    So U rho_j(v) U^dagger is the thermal state of the hidden qubit after :func:`rotate` by R. The
    sign of U is free; its trace is not negative. Raises ValueError if R (P, P) is not orthogonal,
    or, for three Paulis, a reflection, which is not unitary.
    """
    paulis = check_paulis(paulis)
    small, p = np.asarray(rotation, dtype=np.float64), len(paulis)
    if small.shape != (p, p):
        raise ValueError(f"rotation must have shape ({p}, {p}), got {small.shape}")
    _check_orthogonal(small)
    at = ["XYZ".index(letter) for letter in paulis]
    turn = np.eye(3)
    turn[np.ix_(at, at)] = small
    if np.linalg.det(turn) < 0:
        if p == 3:
            raise ValueError(
                "the rotation is a reflection of all three axes (its determinant is -1): it is "
                "antiunitary on the qubit; it leaves p(v) alone, but no unitary does it"
            )
        spare = next(k for k in range(3) if k not in at)
        turn[spare, spare] = -1.0
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(turn).as_quat(canonical=True)
    return np.array([[w - 1j * z, -y - 1j * x], [y - 1j * x, w + 1j * z]])


def axes_distance(first: SqRBM, second: SqRBM) -> float:
    """Upper bound of max_v |log p~_1(v) - log p~_2(v)| from the parameters, 0 for equal ones.

    Units are matched and their axes turned onto each other (orthogonal Procrustes problem); since
    log 2cosh||Phi|| changes by no more than Phi does, the bound is sum_i |a_i - a'_i| plus, over
    matched units, the lengths of the differences of all rows of A_j R and A'_k. Units that one
    model has more are compared with units of zeros, models with unlike numbers of Paulis as if the
    missing rows were zero. Raises ValueError if the numbers of visible units differ.
    """
    if first.n_visible != second.n_visible:
        raise ValueError(f"the models have {first.n_visible} and {second.n_visible} visible units")
    p = max(len(first.paulis), len(second.paulis))
    m = max(first.n_hidden, second.n_hidden)
    one, two = (
        np.pad(u, ((0, m - u.shape[0]), (0, 0), (0, p - u.shape[2])))
        for u in (unit_matrices(first), unit_matrices(second))
    )
    bound = float(np.abs(first.a - second.a).sum())
    if m == 0:
        return bound
    one, two = _echelon(one, False), _echelon(two, False)
    one, two = one[_order(one, None)], two[_order(two, None)]
    with one_thread():
        in_order = sum(float(_turned(one[j], two[j][None])[0]) for j in range(m))
        if m > _MAX_MATCHED or in_order <= ORDER_TOLERANCE * max(1.0, float(np.abs(one).max())):
            return bound + in_order
        from scipy.optimize import linear_sum_assignment

        costs = np.stack([_turned(unit, two) for unit in one])
        rows, columns = linear_sum_assignment(costs)
    return bound + min(in_order, float(costs[rows, columns].sum()))


def aligned(unit: Float, onto: Float) -> Float:
    """``unit`` (n+1, P) with its axes turned as near as they get to ``onto`` (..., n+1, P)."""
    scale = max(float(np.abs(unit).max(initial=0.0)), 1e-300)
    u, _, vt = np.linalg.svd(np.einsum("rp,...rq->...pq", unit / scale, onto))
    return np.asarray(unit @ (u @ vt))


def _turned(unit: Float, others: Float) -> Float:
    """Summed lengths of the rows by which a unit (n+1, P) differs from others (k, n+1, P), (k,)."""
    return np.asarray(np.linalg.norm(aligned(unit, others) - others, axis=2).sum(axis=1))


def _scales(units: Float) -> Float:
    """Largest entry of each unit (m,), 1 for units of zeros: squares stay in range."""
    scale = np.abs(units).max(axis=(1, 2), initial=0.0)
    scale[scale == 0] = 1.0
    return np.asarray(scale)


def _echelon(units: Float, proper: bool) -> Float:
    """A_j R_j in the normal form of :func:`canonical`, (m, n+1, P).

    Sums by einsum, so that the bits do not depend on BLAS and its threads.
    """
    m, _, p = units.shape
    scale = _scales(units)
    scaled = units / scale[:, None, None]
    rest, each = scaled, np.arange(m)
    basis = np.zeros((m, p, p))
    pivots, present = np.zeros((m, p), np.int64), np.zeros((m, p), np.bool_)
    for k in range(p):
        lengths = np.linalg.norm(rest, axis=2)
        longest = lengths.max(axis=1)
        present[:, k] = longest > _NOISE
        pivots[:, k] = np.argmax(lengths >= _SHARE * longest[:, None], axis=1)
        spare = np.eye(p) - np.einsum("jpk,jqk->jpq", basis, basis)
        free = spare[each, np.argmax(np.einsum("jpp->jp", spare), axis=1)]
        direction = np.where(present[:, k, None], rest[each, pivots[:, k]], free)
        # Once more against the axes before it: what is left may be a small difference.
        direction = direction / np.linalg.norm(direction, axis=1)[:, None]
        direction = direction - np.einsum(
            "jpk,jqk,jq->jp", basis[:, :, :k], basis[:, :, :k], direction
        )
        basis[:, :, k] = direction / np.linalg.norm(direction, axis=1)[:, None]
        rest = scaled - np.einsum("jrp,jpk,jqk->jrq", scaled, basis, basis)
    if proper and p == 3:
        basis[:, :, 2] *= np.sign(np.linalg.det(basis))[:, None]
    turned = np.einsum("jrp,jpk->jrk", scaled, basis)
    for k in range(p):
        turned[each, pivots[:, k], k + 1 :] = np.where(
            present[:, k, None], 0.0, turned[each, pivots[:, k], k + 1 :]
        )
        turned[:, :, k] *= present[:, k, None]
    return np.asarray(turned * scale[:, None, None])


def _order(units: Float, mask: NDArray[np.bool_] | None) -> Int:
    """Places of the units (m,) in the order of :func:`canonical`."""
    m = units.shape[0]
    largest = float(np.abs(units).max(initial=0.0)) or 1.0
    scaled = units / largest
    keys = [np.sqrt(np.einsum("jrp,jrp->j", scaled, scaled))[:, None], scaled.reshape(m, -1)]
    if mask is not None:
        keys.append(mask.T.astype(np.float64))
    table = np.concatenate(keys, axis=1)
    groups = [np.arange(m)]
    for column in table.T:
        if len(groups) == m:
            break
        groups = [part for group in groups for part in _split(group, column)]
    return np.concatenate(groups) if groups else np.arange(0)


def _split(group: Int, column: Float) -> list[Int]:
    """A group of units in falling order of a key, cut where neighbours really differ."""
    if group.size == 1:
        return [group]
    ordered = group[np.argsort(-column[group], kind="stable")]
    gaps = -np.diff(column[ordered])
    parts = np.split(ordered, np.flatnonzero(gaps > ORDER_TOLERANCE) + 1)
    # Units that count as equal so far keep their places until a later key tells them apart.
    return [np.sort(part) for part in parts]


def _check_orthogonal(turns: Float) -> None:
    p = turns.shape[-1]
    if not np.isfinite(turns).all():
        raise ValueError("rotation holds values that are not finite")
    off = float(np.abs(np.einsum("...pk,...qk->...pq", turns, turns) - np.eye(p)).max(initial=0.0))
    if off > 1e-8:
        raise ValueError(
            f"rotation is not orthogonal: R R^T differs from the identity by {off:.2g}; take the Q "
            "of a QR decomposition, or scipy.spatial.transform.Rotation"
        )


def checked_units(hidden: int | Sequence[int] | None, m: int) -> Int:
    """Indices of hidden units, checked: whole numbers from 0 to m-1, none twice."""
    if hidden is None:
        return np.arange(m)
    units: NDArray[Any] = np.atleast_1d(np.asarray(hidden))
    if units.size == 0:
        return np.arange(0)
    if units.ndim != 1 or units.dtype.kind not in "iu":
        raise TypeError(f"hidden units must be whole numbers, got {hidden!r}")
    for j in units.tolist():
        if not 0 <= j < m:
            has = f"there are 0 to {m - 1}" if m else "the model has none"
            raise ValueError(f"hidden unit {j} does not exist; {has}")
    if np.unique(units).size < units.size:
        raise ValueError(f"hidden units are named twice: {units.tolist()}")
    return units.astype(np.int64)
