"""Arrays of any dimension as tables, and which of a file's arrays holds the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import DataError
from tnqbm.datasets.preparation import Preparation, as_option
from tnqbm.datasets.readers.table import Table, choose, numeric

Shape = tuple[int, ...]


def pick(shapes: Mapping[str, Shape], wanted: str, preparation: Preparation, file: str) -> str:
    """The name of the array that holds the rows, out of the shapes of all that a file has.

    The one that is ``wanted``, or the only one of two dimensions (three, with ``flatten``).
    DataError names all that it could be.
    """
    if wanted:
        name = wanted.strip("/")
        if name in shapes:
            return name
        raise DataError(f"there is no array {wanted!r} in it; there are {_listed(shapes)}")
    aside = (preparation.labels, preparation.weights)
    rows = [name for name, shape in shapes.items() if len(shape) == 2 and name not in aside]
    images = [name for name, shape in shapes.items() if len(shape) > 2]
    found = rows + images if preparation.flatten or not rows else rows
    if len(found) == 1:
        return found[0]
    if not found:
        listed = _listed(shapes) or "nothing"
        raise DataError(f"expected an array of rows, of shape (samples, bits), found {listed}")
    several = {name: shapes[name] for name in found}
    raise DataError(
        f"there are {len(found)} arrays that could be the rows: {_listed(several)}; say which by "
        f"its name after a colon: {file}:{found[0]}"
    )


def _listed(shapes: Mapping[str, Shape]) -> str:
    texts = [f"{name} {shape}" for name, shape in shapes.items()]
    return ", ".join(texts[:8]) + (", ..." if len(texts) > 8 else "")


def table_of(
    values: NDArray[Any],
    preparation: Preparation,
    *,
    beside: Mapping[str, NDArray[Any]] | None = None,
    array: str = "",
    images: bool = False,
    names: tuple[str, ...] | None = None,
) -> Table:
    """The table of an array (N, n), or (N, h, w) if ``images`` or ``flatten`` says so.

    ``beside`` are arrays (N,) of the same file that labels and weights may name. DataError for
    other shapes, and for what are no numbers.
    """
    if values.ndim > 2 and values.size:
        if not (images or preparation.flatten):
            raise DataError(
                f"its array has the shape {values.shape}; if each entry along the first axis is "
                f"one sample, say {as_option('flatten', True)}",
                [{"flatten": True}],
            )
        values = values.reshape(len(values), -1)
    if values.ndim != 2 or values.size == 0:
        raise DataError(f"expected rows of 0 and 1, got an array of shape {values.shape}")
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"expected numbers, got dtype {values.dtype}; in Python: "
            "numpy.save(FILE, array.astype(numpy.uint8))"
        )
    count = values.shape[1]
    chosen = choose(count, names, preparation, beside)
    labels = _aside("labels", chosen.labels, values, preparation, beside)
    weights = _aside("weights", chosen.weights, values, preparation, beside)
    whole = len(chosen.values) == count and (np.diff(chosen.values) == 1).all()
    return Table(
        values if whole else values[:, chosen.values],
        chosen.values + 1,
        names and tuple(names[k] for k in chosen.values),
        labels,
        None if weights is None else numeric(weights, "weights"),
        array=array,
        count=count,
    )


def _aside(
    what: str,
    place: int | None,
    values: NDArray[Any],
    preparation: Preparation,
    beside: Mapping[str, NDArray[Any]] | None,
) -> NDArray[Any] | None:
    """Labels or weights (N,), of a column or of another array."""
    if place is not None:
        return np.array(values[:, place])
    name = getattr(preparation, what)
    if name is None:
        return None
    found = np.asarray((beside or {})[name])
    if found.size != len(values):
        raise DataError(f"{what}: {name} has {found.size} values for {len(values)} rows")
    return found.reshape(-1)
