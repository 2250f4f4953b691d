"""Hidden units added, removed and carried over to other sets of Paulis.

What leaves p(v) as it is, and what does not:

- :func:`lift` to more Paulis: rows of zeros change nothing at all.
- :func:`lower` to fewer Paulis: possible if the axes of every unit can be turned so that rows
  vanish (:func:`tnqbm.model_tools.gauge.ranks`). A unit of rank 1 is a classical unit, whatever
  its Paulis.
- :func:`add_hidden` with ``scale=0``: log Z grows by k log 2, p(v) stays.
- :func:`remove_hidden`: changes p(v), unless the unit has no effect on it; see
  :mod:`tnqbm.model_tools.pruning` for which to take, and :mod:`tnqbm.model_tools.simplify` for
  those without effect.

Two classical units cannot in general be written as one qubit: cosh x cosh y =
(cosh(x+y) + cosh(x-y))/2 is not cosh of the root of a quadratic form in the spins, and one qubit
with P > 1 Paulis is no product of classical units either. Only units on one and the same pair of
visible units are an exception; see :func:`tnqbm.model_tools.simplify.simplify`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.limits import MAX_PARAMETER
from tnqbm.base.process import one_thread
from tnqbm.core import streams
from tnqbm.core.connectivity import checked_mask
from tnqbm.core.model import SqRBM
from tnqbm.core.paulis import PAPER_SETS, check_paulis
from tnqbm.model_tools import gauge

__all__ = ["add_hidden", "lift", "lower", "remove_hidden", "select_hidden"]

Float = NDArray[np.float64]
Seed = int | np.random.SeedSequence | np.random.Generator


def select_hidden(model: SqRBM, units: Sequence[int]) -> SqRBM:
    """The model with these hidden units (0-based) in this order, and no others.

    With all of them it is a permutation, which leaves p(v) and log Z alone. Raises ValueError or
    TypeError for units that do not exist or are named twice.
    """
    chosen = gauge.checked_units(units, model.n_hidden)
    mask = None if model.mask is None else model.mask[:, chosen]
    return SqRBM(model.a, model.b[:, chosen], model.w[:, :, chosen], model.paulis, mask)


def remove_hidden(model: SqRBM, units: int | Sequence[int]) -> SqRBM:
    """The model without these hidden units (0-based); everything else stays as it is.

    Raises ValueError or TypeError for units that do not exist or are named twice.
    """
    gone = gauge.checked_units(units, model.n_hidden)
    return select_hidden(model, np.setdiff1d(np.arange(model.n_hidden), gone).tolist())


def add_hidden(
    model: SqRBM,
    k: int,
    *,
    scale: float = 0.0,
    seed: Seed | None = None,
    mask: ArrayLike | None = None,
) -> SqRBM:
    """The model with k more hidden units, behind those it has.

    Their b and w are uniform in [-scale, scale]; with ``scale=0`` p(v) does not change and log Z
    grows by k log 2. All derivatives by the parameters of a unit of zeros are 0, so training never
    moves it: units that are to learn need a ``scale`` above 0, and a ``seed``.

    ``mask`` (n, k) bool says what the new units are coupled to; None is everything. Raises
    ValueError or TypeError on impossible arguments.
    """
    n, p = model.n_visible, len(model.paulis)
    if k < 0:
        raise ValueError(f"k must be at least 0, got {k}")
    new_mask = None if mask is None else checked_mask(mask, n, k)
    rows = _noise((p, n + 1, k), scale, seed, "scale")
    if new_mask is not None:
        rows[:, 1:][:, ~new_mask] = 0.0
    joined: NDArray[np.bool_] | None = None
    if model.mask is not None or new_mask is not None:
        full = [np.ones((n, count), np.bool_) for count in (model.n_hidden, k)]
        parts = (model.mask, new_mask)
        joined = np.concatenate([full[c] if one is None else one for c, one in enumerate(parts)], 1)
    return SqRBM(
        model.a,
        np.concatenate([model.b, rows[:, 0]], axis=1),
        np.concatenate([model.w, rows[:, 1:]], axis=2),
        model.paulis,
        joined,
    )


def lift(
    model: SqRBM,
    paulis: str,
    *,
    relabel: Mapping[str, str] | None = None,
    noise: float = 0.0,
    seed: Seed | None = None,
) -> SqRBM:
    """The same distribution with more Paulis per hidden unit: "Z" -> "XZ" -> "XYZ".

    p(v), log Z and the expectation values of the old Paulis do not change; those of the new ones
    are 0. Parameters are copied, letter by letter, and the rows of new letters are zeros.

    Parameters
    ----------
    paulis : the new set, in the new order of rows; it holds the old letters, unless ``relabel``
        says otherwise. The same letters in another order only change places.
    relabel : ``{"Z": "X"}`` carries the row of Z over to X; letters not named keep theirs.
    noise : derivatives by the new rows are exactly 0 at zero, by the symmetry that changes their
        signs, so training by gradients never leaves it. With ``noise`` above 0 the new rows are
        uniform in [-noise, noise] (0 outside the mask), drawn from ``seed``, and p(v) changes in
        second order of it.

    Raises ValueError if letters are missing, named twice or unknown.
    """
    check_paulis(paulis)
    renamed = dict(relabel or {})
    if unknown := sorted(set(renamed) - set(model.paulis)):
        raise ValueError(
            f"relabel names {', '.join(map(repr, unknown))}, but the model's Paulis are "
            f"{model.paulis!r}"
        )
    letters = [renamed.get(letter, letter) for letter in model.paulis]
    if len(set(letters)) < len(letters):
        raise ValueError(f"relabel={renamed!r} gives two Paulis of {model.paulis!r} one letter")
    missing = sorted(set(letters) - set(paulis))
    if missing:
        raise ValueError(
            f"paulis = {paulis!r} has no {', '.join(missing)}, which the model uses; name a set "
            "that holds all of its letters, relabel them (relabel={'Z': 'X'}), or use lower"
        )
    n, m = model.n_visible, model.n_hidden
    rows = _noise((len(paulis), n + 1, m), noise, seed, "noise")
    if model.mask is not None:
        rows[:, 1:][:, ~model.mask] = 0.0
    for row, letter in enumerate(letters):
        at = paulis.index(letter)
        rows[at, 0], rows[at, 1:] = model.b[row], model.w[row]
    return SqRBM(model.a, rows[:, 0], rows[:, 1:], paulis, model.mask)


def lower(
    model: SqRBM, paulis: str | None = None, *, tolerance: float = gauge.RANK_TOLERANCE
) -> SqRBM:
    """The same distribution with fewer Paulis, where the model needs no more: undoes :func:`lift`.

    Units whose other rows are zero keep theirs; the axes of the others are turned so that the rows
    that go vanish, and put into the normal form of :func:`tnqbm.model_tools.gauge.canonical`. p(v)
    and log Z do not change; expectation values of the Paulis of turned units do.

    ``paulis`` is the new set; None is the smallest that will do: the letters whose rows are not
    zero if they are that few, else "Z" or "XZ" as in the paper.
    Singular values of A_j up to ``tolerance`` times the unit's largest count as zero. Raises
    ValueError if a unit has more that do not, saying how large they are.
    """
    values = gauge.singular_values(model)
    needed = max(1, int(gauge.ranks(model, tolerance=tolerance).max(initial=0)))
    most = len(model.paulis)
    if paulis is None:
        if needed == most:
            raise ValueError(_refusal(values, most - 1, tolerance))
        used = "".join(c for c, rows in zip(model.paulis, _rows(model), strict=True) if rows.any())
        paulis = used if len(used) == needed else PAPER_SETS[needed]
    p = len(check_paulis(paulis))
    if p > most:
        raise ValueError(f"{paulis!r} has more Paulis than the model's {model.paulis!r}: use lift")
    if p < needed:
        raise ValueError(_refusal(values, p, tolerance))
    return with_paulis(model, paulis)


def _rows(model: SqRBM) -> Float:
    """Everything that belongs to each Pauli, (P, m (n + 1))."""
    return gauge.unit_matrices(model).transpose(2, 0, 1).reshape(len(model.paulis), -1)


def _refusal(values: Float, p: int, tolerance: float) -> str:
    """What lowering to p Paulis would drop."""
    if p == 0:
        return "the model has one Pauli per hidden unit already: there is nothing to lower"
    relative = values[:, p] / np.where(values[:, 0] > 0, values[:, 0], 1.0)
    worst = int(np.argmax(relative))
    return (
        f"{int((relative > tolerance).sum())} of {relative.size} hidden units need more than {p} "
        f"of their {values.shape[1]} Paulis; the largest row that would be dropped has the "
        f"singular value {values[worst, p]:.3g}, {relative[worst]:.2g} of the unit's largest "
        f"(hidden unit {worst}); the tolerance is {tolerance:g}"
    )


def with_paulis(model: SqRBM, paulis: str) -> SqRBM:
    """What :func:`lower` does when it has checked: every unit's first p principal axes."""
    units = gauge.unit_matrices(model)
    p = len(paulis)
    kept = np.zeros((*units.shape[:2], p))
    shared = [(model.paulis.index(c), k) for k, c in enumerate(paulis) if c in model.paulis]
    others = [k for k, c in enumerate(model.paulis) if c not in paulis]
    as_is = ~np.any(units[:, :, others] != 0.0, axis=(1, 2))
    for old, new in shared:
        kept[as_is, :, new] = units[as_is, :, old]
    turned = np.flatnonzero(~as_is)
    if turned.size:
        rows = _principal(units[turned], p)
        small = gauge.with_unit_matrices(model, rows, paulis)
        kept[turned] = gauge.unit_matrices(gauge.canonical(small, order=False))
    return gauge.with_unit_matrices(model, kept, paulis, mask=model.mask)


def _principal(units: Float, p: int) -> Float:
    """A_j times its first p right singular vectors, (units, n+1, p); zeros if there are fewer."""
    scale = np.abs(units).max(axis=(1, 2))[:, None, None]
    with one_thread():
        _, _, vt = np.linalg.svd(units / scale, full_matrices=False)
    found = np.zeros((*units.shape[:2], p))
    vt = vt[:, :p]
    found[:, :, : vt.shape[1]] = np.einsum("jrq,jkq->jrk", units, vt)
    return found


def _noise(shape: tuple[int, ...], size: float, seed: Seed | None, name: str) -> Float:
    if not (np.isfinite(size) and 0 <= size <= MAX_PARAMETER):
        raise ValueError(f"{name} must be a finite number >= 0, got {size!r}")
    if size == 0:
        return np.zeros(shape)
    if seed is None:
        raise ValueError(f"{name} = {size:g} draws random numbers: give a seed")
    return np.asarray(streams.generator(seed).uniform(-size, size, shape))
