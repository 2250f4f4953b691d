"""Parquet and Feather files, by pyarrow (the extra ``data``)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import DataError, MissingExtraError
from tnqbm.datasets.preparation import Preparation
from tnqbm.datasets.readers.reader import Reader
from tnqbm.datasets.readers.source import Source, check_room
from tnqbm.datasets.readers.table import MISSING, Table, choose, no_number, numeric


def read(source: Source, preparation: Preparation) -> Table:
    """The rows of a Parquet or Feather file; MissingExtraError without pyarrow."""
    try:
        import pyarrow.feather
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "data", f"reading {source}") from error
    parquet = source.name.endswith((".parquet", ".pq"))
    if parquet:
        file = pyarrow.parquet.ParquetFile(source.path)
        check_room(8 * file.metadata.num_rows * file.metadata.num_columns, "its values")
        table = file.read(use_threads=False)
    else:
        table = pyarrow.feather.read_table(source.path, use_threads=False)
    return arrow_table(table, preparation)


READER = Reader("parquet", (".parquet", ".pq", ".feather", ".arrow"), read)


def arrow_table(table: Any, preparation: Preparation) -> Table:
    """The rows of a table of pyarrow; only the columns that are read need be numbers."""
    names = tuple(map(str, table.column_names))
    if not table.num_rows or not names:
        raise DataError(f"expected rows of 0 and 1, got a table of shape {table.shape}")
    chosen = choose(len(names), names, preparation)
    values = [_numbers(table.column(int(k)), int(k), names[k]) for k in chosen.values]
    labels, weights = (
        None if place is None else np.asarray(table.column(place).to_pylist())
        for place in (chosen.labels, chosen.weights)
    )
    return Table(
        np.stack(values, axis=1),
        chosen.values + 1,
        tuple(names[k] for k in chosen.values),
        labels,
        None if weights is None else numeric(weights, "weights"),
        count=len(names),
    )


def _numbers(column: Any, place: int, name: str) -> NDArray[Any]:
    """A column as numbers (N,); DataError where a value is missing, or is none."""
    import pyarrow

    number, kind = place + 1, column.type
    where = f"column {number} ({name!r})"
    if column.null_count:
        first = int(np.argmax(np.asarray(column.is_null())))
        raise DataError(f"row {first + 1}, {where} is missing; {MISSING}")
    types = pyarrow.types
    if not (types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind)):
        value = f"{str(column[0].as_py())[:30]!r} (type {kind})"
        raise no_number(f"row 1, {where}", value, name)
    return np.asarray(column.to_numpy())
