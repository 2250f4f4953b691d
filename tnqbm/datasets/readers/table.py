"""What a reader gives: rows of numbers, and where in the file each of them stands."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import DataError
from tnqbm.datasets.preparation import Column, Preparation, as_option, spread

MISSING = (
    "missing values are not guessed: delete such rows or fill them in, or leave the column out "
    "by drop"
)
"""What is to be done where a value is missing, for the end of messages."""


def no_number(where: str, value: str, column: Column, *, header: bool = False) -> DataError:
    """The error for a value that is a word; ``header`` says that its line may hold names."""
    names = f", or the line holds names: {as_option('header', True)}" if header else ""
    options: list[dict[str, object]] = [{"labels": column}, {"drop": column}]
    if header:
        options.append({"header": True})
    return DataError(
        f"{where} is {value}, not a number; a column of labels is kept aside by "
        f"{as_option('labels', column)}, any other left out by {as_option('drop', column)}{names}; "
        "categories need one bit (0 or 1) for each",
        options,
    )


def _row(k: int) -> str:
    return f"row {k + 1}"


@dataclass(frozen=True)
class Table:
    """Rows as they stand in a file, before anything is said about what the values mean.

    ``values`` (N, c) of numbers or bool; ``numbers`` (c,) are the numbers of its columns in the
    file, from 1 on; ``names`` (c,) those that the file gives them; ``labels`` (N,) and ``weights``
    (N,) stand aside. ``row_name`` says where a row is, "line 3" in a text. ``array`` is the name of
    the array in a file of several. ``count`` is how many columns the file has.
    """

    values: NDArray[Any]
    numbers: NDArray[np.int64]
    names: tuple[str, ...] | None = None
    labels: NDArray[Any] | None = None
    weights: NDArray[np.float64] | None = None
    row_name: Callable[[int], str] = _row
    array: str = ""
    count: int = 0
    notes: tuple[str, ...] = field(default=())

    def place(self, row: int, column: int) -> str:
        """Where a value is, as an editor counts: "line 3, column 5 ('x5')"."""
        return f"{self.row_name(row)}, {self.column_name(column)}"

    def column_name(self, column: int) -> str:
        """A column of ``values`` by its number in the file and its name there."""
        name = f" ({self.names[column]!r})" if self.names else ""
        return f"column {self.numbers[column]}{name}"


class Chosen(NamedTuple):
    """Columns of a file, counted from 0: those of the values, of the labels, of the weights."""

    values: NDArray[np.int64]
    labels: int | None
    weights: int | None


def choose(
    count: int,
    names: tuple[str, ...] | None,
    preparation: Preparation,
    beside: Mapping[str, Any] | None = None,
) -> Chosen:
    """Which of ``count`` columns are read as what.

    ``beside`` are arrays of the same file that labels and weights may name instead. DataError
    names a column that is not there, or asked for as two things.
    """
    aside: dict[str, int] = {}
    for what in ("labels", "weights"):
        entry = getattr(preparation, what)
        if entry is not None and not (isinstance(entry, str) and entry in (beside or ())):
            aside[what] = _found(entry, what, count, names, beside)
    if len(set(aside.values())) < len(aside):
        raise DataError(f"labels and weights are both column {aside['labels'] + 1}")
    dropped = _all(preparation.drop, "drop", count, names)
    if preparation.columns is None:
        left_out = {*dropped, *aside.values()}
        values = [k for k in range(count) if k not in left_out]
    else:
        values = _all(preparation.columns, "columns", count, names)
        for what, place in aside.items():
            if place in values:
                raise DataError(f"column {place + 1} is among columns and is {what} too")
        values = [k for k in values if k not in set(dropped)]
    if not values:
        raise DataError(
            f"no column is left of the {count}; name fewer in drop, or others in columns"
        )
    return Chosen(np.array(values, dtype=np.int64), aside.get("labels"), aside.get("weights"))


def _all(
    columns: tuple[Column, ...] | None, what: str, count: int, names: tuple[str, ...] | None
) -> list[int]:
    if columns is None:
        return []
    found = [_found(entry, what, count, names) for entry in spread(columns, names)]
    if len(set(found)) < len(found):
        twice = next(k for k in found if found.count(k) > 1)
        raise DataError(f"{what} names column {twice + 1} twice")
    return found


def _found(
    entry: Column,
    what: str,
    count: int,
    names: tuple[str, ...] | None,
    beside: Mapping[str, Any] | None = None,
) -> int:
    """The place of one column, counted from 0."""
    if isinstance(entry, int):
        if 1 <= entry <= count:
            return entry - 1
        raise DataError(f"{what}: there is no column {entry}; the columns are 1 to {count}")
    if names and entry in names:
        if names.count(entry) > 1:
            raise DataError(f"{what}: several columns are called {entry!r}; give a number")
        return names.index(entry)
    known = [*(names or ()), *(beside or ())]
    near = difflib.get_close_matches(entry, known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    if not known:
        raise DataError(
            f"{what}: there is no column {entry!r}, for the columns have no names; give a number, "
            f"1 to {count}" + (f", or say {as_option('header', True)}" if not near else ""),
        )
    few = ", ".join(map(repr, known[:6])) + (", ..." if len(known) > 6 else "")
    raise DataError(f"{what}: there is no column {entry!r}; {hint}there are {few}")


def numeric(values: NDArray[Any], what: str) -> NDArray[np.float64]:
    """Weights (N,) as float64; DataError if they are no numbers."""
    if values.dtype.kind not in "biuf":
        raise DataError(f"{what} must be numbers, got {values.dtype} values such as {values[0]!r}")
    return np.asarray(values, dtype=np.float64)
