"""Objects of Python as tables: arrays, sparse matrices, data frames, tensors, labelled arrays.

Objects are known by what they can do, so that no library is imported to look at one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import plain_array, shown
from tnqbm.base.errors import DataError
from tnqbm.datasets.preparation import Preparation
from tnqbm.datasets.readers.arrays import pick, table_of
from tnqbm.datasets.readers.source import check_room
from tnqbm.datasets.readers.table import MISSING, Table, choose, no_number, numeric


def kind_of(value: Any) -> str:
    """What an object is, in words for messages."""
    for kind, test in _KINDS.items():
        if test(value):
            return kind
    if isinstance(value, str | bytes | dict) or value is None or not hasattr(value, "__len__"):
        raise TypeError(f"source must be a path or rows of numbers, got {shown(value)}")
    return "the array"


def table_from(value: Any, preparation: Preparation) -> Table:
    """The rows of an object; DataError for what is missing, TypeError for what has no rows."""
    kind = kind_of(value)
    if kind == "the data frame":
        return frame_table(value, preparation)
    if kind == "the data set":
        return _of_dataset(value, preparation)
    if kind == "the sparse matrix":
        return table_of(dense(value), preparation)
    if kind == "the tensor":
        value = value.detach().cpu().numpy()
    elif kind == "the labelled array":
        value = value.values
    return table_of(plain_array(value, "its rows"), preparation)


def dense(matrix: Any) -> NDArray[Any]:
    """A sparse matrix (N, n) as an array; DataError if that would not fit into memory."""
    if matrix.dtype.kind == "O":
        raise DataError("it holds Python objects, not numbers")
    cells = int(matrix.shape[0]) * int(matrix.shape[1])
    check_room(cells * matrix.dtype.itemsize, f"{matrix.shape[0]} x {matrix.shape[1]} values")
    if (
        matrix.nnz
        and matrix.dtype.kind in "iuf"
        and ((matrix.data == 0) | (matrix.data == 1)).all()
    ):
        matrix = matrix.astype(np.uint8)  # duplicates add up, to what is refused later
    return np.asarray(matrix.toarray())


def frame_table(frame: Any, preparation: Preparation) -> Table:
    """The rows of a data frame; only the columns that are read need be numbers."""
    names = tuple(map(str, frame.columns))
    if not len(frame) or not names:
        raise DataError(f"expected rows of 0 and 1, got a table of shape {frame.shape}")
    chosen = choose(len(names), names, preparation)
    columns = []
    for k in chosen.values:
        column = frame.iloc[:, int(k)]
        missing = np.flatnonzero(np.asarray(column.isna()))
        if missing.size:
            raise DataError(
                f"row {missing[0] + 1}, column {k + 1} ({names[k]!r}) is missing; {MISSING}"
            )
        values = np.asarray(column.to_numpy())
        if values.dtype.kind == "O":
            values = _plain(values)
        if values.dtype.kind not in "biuf":
            where = f"row 1, column {k + 1} ({names[k]!r})"
            raise no_number(where, shown(values[0]), names[k])
        columns.append(values)
    labels = None if chosen.labels is None else np.asarray(frame.iloc[:, chosen.labels].to_numpy())
    weights = None
    if chosen.weights is not None:
        weights = numeric(np.asarray(frame.iloc[:, chosen.weights].to_numpy()), "weights")
    return Table(
        np.stack(columns, axis=1),
        chosen.values + 1,
        tuple(names[k] for k in chosen.values),
        labels,
        weights,
        count=len(names),
    )


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Objects as numbers where all of them are, such as the columns of nullable types."""
    kinds = {type(value) for value in values}
    if kinds <= {bool, np.bool_}:
        return values.astype(bool)
    numbers = all(issubclass(kind, bool | int | float | np.number) for kind in kinds)
    return values.astype(np.float64) if numbers else values


def _of_dataset(dataset: Any, preparation: Preparation) -> Table:
    """The only two-dimensional variable of a Dataset of xarray."""
    shapes = {str(name): variable.shape for name, variable in dataset.data_vars.items()}
    try:
        name = pick(shapes, "", preparation, "dataset")
    except DataError as error:
        raise DataError(
            f"{str(error).partition('; say which')[0]}; give one: dataset[NAME]"
        ) from None
    beside = {key: np.asarray(dataset[key].values) for key in dataset if str(key) != name}
    return table_of(np.asarray(dataset[name].values), preparation, beside=beside, array=name)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "the data frame": lambda v: hasattr(v, "iloc") and hasattr(v, "columns"),
    "the data set": lambda v: hasattr(v, "data_vars") and hasattr(v, "dims"),
    "the labelled array": lambda v: hasattr(v, "dims") and hasattr(v, "coords"),
    "the sparse matrix": lambda v: hasattr(v, "toarray") and hasattr(v, "nnz"),
    "the tensor": lambda v: hasattr(v, "detach") and hasattr(v, "cpu"),
}
