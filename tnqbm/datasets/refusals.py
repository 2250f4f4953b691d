"""Why values are no bits: the first of them, what they look like, and what would make them bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import DataError
from tnqbm.datasets.preparation import Preparation, as_option
from tnqbm.datasets.readers.table import MISSING, Table

_SPINS = (
    f"say what +1 is: {as_option('spins', '+1 is 0')}, with s = (-1)^v as everywhere in this "
    f"package, or {as_option('spins', '+1 is 1')}, with s = 2v - 1"
)
_SPIN_OPTIONS: tuple[dict[str, object], ...] = ({"spins": "+1 is 0"}, {"spins": "+1 is 1"})


def check_bits(table: Table) -> None:
    """DataError if a value is not 0 or 1."""
    values = table.values
    if values.dtype.kind == "b" or (values.dtype.kind == "u" and values.max() <= 1):
        return
    place = _first(~((values == 0) | (values == 1)))
    if place is None:
        return
    _check_finite(table)
    meaning, options = _meaning(table)
    raise DataError(
        f"{table.place(*place)} is {_shown(values[place])}; only 0 and 1 may occur. {meaning}",
        options,
    )


def check_spins(table: Table) -> None:
    """DataError if a value is not -1 or +1."""
    values = table.values
    place = _first(~((values == 1) | (values == -1)))
    if place is None:
        return
    _check_finite(table)
    what = f"{table.place(*place)} is {_shown(values[place])}"
    if bool(((values == 0) | (values == 1)).all()):
        raise DataError(
            f"{what}, and spins are -1 and +1; the values are bits already: leave spins out", [{}]
        )
    raise DataError(f"{what}, and spins are -1 and +1; {_aside_hint(table, (-1, 1))}")


def check_grey(table: Table, preparation: Preparation) -> None:
    """DataError if a value is no grey value as ``binarise`` and ``maximum`` take them."""
    _check_finite(table)
    values, maximum, threshold = table.values, preparation.maximum, preparation.threshold
    low, high = values.min(), values.max()
    if threshold is None and low < 0:
        place = _first(values < 0)
        assert place is not None
        raise DataError(
            f"{table.place(*place)} is {_shown(values[place])}, and a probability is not negative"
        )
    if maximum is None and high > 1 and (threshold is None or (0 < threshold < 1 and low >= 0)):
        place = _first(values > 1)
        assert place is not None
        white = 255 if high <= 255 else _shown(high)
        ways: list[dict[str, object]] = [{"maximum": white}]
        other = ""
        if threshold is not None:
            other = (
                "; or give the threshold in the file's own values, for example "
                f"{as_option('binarise', f'threshold:{_shown(high / 2)}')}"
            )
        raise DataError(
            f"{table.place(*place)} is {_shown(values[place])}, above 1; say which value is white, "
            f"by which all are divided: {as_option('maximum', white)}{other}",
            ways,
        )
    if maximum is not None and high > maximum:
        place = _first(values > maximum)
        assert place is not None
        raise DataError(
            f"{table.place(*place)} is {_shown(values[place])}, above maximum = {maximum:g}; "
            f"{_aside_hint(table, (0, maximum))}"
        )


def check_weights(table: Table, weights: NDArray[np.float64]) -> None:
    """DataError if weights (N,) are negative, not finite, all 0, or too small beside others."""
    place = _first(~(np.isfinite(weights) & (weights >= 0)))
    if place is not None:
        raise DataError(
            f"{table.row_name(place[0])}: the weight is {_shown(weights[place])}; weights are "
            "finite and at least 0"
        )
    largest = float(weights.max())
    if largest == 0:
        raise DataError("all weights are 0, so no row counts")
    shares = weights / largest
    place = _first((weights > 0) & (shares / shares.sum() < 1e-300))
    if place is not None:
        raise DataError(
            f"{table.row_name(place[0])}: the weight {_shown(weights[place])} is nothing beside "
            f"{_shown(largest)}, the largest; 0 leaves a row out"
        )


def _check_finite(table: Table) -> None:
    if table.values.dtype.kind != "f":
        return
    place = _first(~np.isfinite(table.values))
    if place is None:
        return
    value = table.values[place]
    what = "a missing value" if np.isnan(value) else "not finite"
    raise DataError(f"{table.place(*place)} is {_shown(value)}, {what}; {MISSING}")


def _meaning(table: Table) -> tuple[str, tuple[dict[str, object], ...]]:
    """What finite values that are no bits look like, and what would make them bits."""
    values = table.values
    low, high = values.min(), values.max()
    whole = values.dtype.kind in "iu" or bool((values == np.floor(values)).all())
    counting = bool((values[0] == values[0, 0] + np.arange(values.shape[1])).all())
    if counting and len(values) > 1 and not _not_bits(values[1:]).any():
        option = as_option("header", True)
        return f"The first line counts up, as names of columns do: {option}", ({"header": True},)
    odd = np.flatnonzero(_not_bits(values))
    alone = len(odd) <= 2 and values.shape[1] - len(odd) >= 2
    if alone and not _spin_like(values) and bool((values[:, odd] == values[:, odd] // 1).all()):
        return _odd_column(table, int(odd[0]))
    if _spin_like(values):
        return f"The values are -1 and +1: {_SPINS}", _SPIN_OPTIONS
    if whole and low >= -1 and high <= 1:
        return "The values are -1, 0 and 1, which are neither bits nor spins", ()
    if low < 0:
        return (
            "The values are numbers of both signs; bits are made of them by a threshold: "
            f"{as_option('binarise', 'threshold:0')} gives 1 above 0",
            ({"binarise": "threshold:0"},),
        )
    half, chance = as_option("binarise", "threshold:0.5"), as_option("binarise", "bernoulli")
    ways: tuple[dict[str, object], ...] = (
        {"binarise": "threshold:0.5"},
        {"binarise": "bernoulli"},
    )
    if not whole and high <= 1:
        return f"The values are grey, from 0 to 1: {half} or {chance}", ways
    if whole and high <= 20:
        return (
            f"The values are whole numbers up to {_shown(high)}: if they are categories, give each "
            f"a bit of its own; if counts, {as_option('binarise', 'threshold:0')} gives 1 above 0",
            ({"binarise": "threshold:0"},),
        )
    white = 255 if high <= 255 else _shown(high)
    return (
        f"The values reach {_shown(high)}; if they are grey, say which is white, by which they are "
        f"divided, {as_option('maximum', white)}, and how they become bits: {half} or {chance}",
        tuple({**way, "maximum": white} for way in ways),
    )


def _not_bits(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which columns (n,) hold something else than 0 and 1."""
    return np.asarray((~((values == 0) | (values == 1))).any(axis=0))


def _spin_like(values: NDArray[Any]) -> bool:
    return bool(((values == 1) | (values == -1)).all())


def _odd_column(table: Table, column: int) -> tuple[str, tuple[dict[str, object], ...]]:
    """The hint where one or two columns are of another kind than all others."""
    number = int(table.numbers[column])
    values = table.values[:, column]
    found = np.unique(values)
    range_ = f"{_shown(found[0])} to {_shown(found[-1])}"
    label, drop = as_option("labels", number), as_option("drop", number)
    return (
        f"In {table.column_name(column)} are {len(found)} values, {range_}, and bits in nearly all "
        f"others: if it holds labels, keep it aside by {label}; leave it out by {drop}",
        ({"labels": number}, {"drop": number}),
    )


def _aside_hint(table: Table, allowed: tuple[float, float]) -> str:
    """What to do about columns that hold values outside what is allowed."""
    low, high = allowed
    wrong = (table.values < low) | (table.values > high)
    odd = np.flatnonzero(wrong.any(axis=0))
    if 0 < len(odd) <= 2 < table.values.shape[1]:
        number = int(table.numbers[odd[0]])
        return (
            f"if {table.column_name(int(odd[0]))} holds labels, keep it aside by "
            f"{as_option('labels', number)}, else leave it out by {as_option('drop', number)}"
        )
    return "look at what the values mean"


def _first(wrong: NDArray[np.bool_]) -> Any:
    """The indices of the first True, row by row, or None."""
    if not wrong.any():
        return None
    return tuple(int(k) for k in np.unravel_index(int(np.argmax(wrong)), wrong.shape))


def _shown(value: Any) -> Any:
    """A value as people write it: 2 for 2.0."""
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 1e15 else f"{number:.6g}"
