"""The runs of an archive as an ``xarray.DataTree``: one node for all runs of equal coordinates."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.archive import estimator_reports, parameters
from tnqbm.archive.blocks import STEPS, Block, axes_of, padded, schedule
from tnqbm.archive.coordinates import group_name
from tnqbm.archive.sources import Sources
from tnqbm.base.errors import MissingExtraError
from tnqbm.files.gate import Arrays

COUNTS = {"record": "n_records", "snapshot": "n_snapshots"}
"""Data sets that say how many entries of an axis a run has."""


def datatree(sources: Sources, skip_damaged: bool) -> Any:
    """What :meth:`tnqbm.Archive.to_datatree` returns."""
    try:
        import xarray as xr
    except ImportError:
        raise MissingExtraError("xarray", "xarray", "Archive.to_datatree()") from None
    usable = sources.usable(skip_damaged, sources.block)
    nodes: dict[str, Any] = {"/": xr.Dataset(attrs=_root_attributes(sources, skip_damaged))}
    for _, group in itertools.groupby(usable, key=lambda item: item[0].key):
        blocks = [block.select(source.rows) for source, block in group if source.rows]
        if blocks:
            nodes |= _nodes(blocks)
    return xr.DataTree.from_dict(nodes)


def _root_attributes(sources: Sources, skip_damaged: bool) -> dict[str, str]:
    if skip_damaged and sources.header_fault:
        return {}
    header = sources.header()
    return {"study": header.study_text, "provenance": json.dumps(header.provenance)}


def _nodes(blocks: Sequence[Block]) -> dict[str, Any]:
    """Data sets of xarray by path: one of a group, and one for each kind of report in it."""
    import xarray as xr

    coordinates = blocks[0].coordinates
    arrays, path = joined(blocks), group_name(coordinates)
    dims, found = axes_of(arrays), {}
    for folder in ("", estimator_reports.TOTALS, estimator_reports.RECORDS):
        inside = {
            name.removeprefix(folder): (dims[name], array)
            for name, array in arrays.items()
            if (name.startswith(folder) if folder else "/" not in name)
        }
        if inside:
            found[f"{path}/{folder}".rstrip("/")] = xr.Dataset(inside)
    here = found[path].set_coords([name for (name,) in STEPS.values() if name in arrays])
    if "parameter" in here.dims:
        # The strings of other families are the names of their parameters.
        named = parameters.names(coordinates, arrays)
        here = here.drop_vars(parameters.TERMS, errors="ignore").assign_coords(parameter=named)
    if here["step"].ndim == 1:
        here = here.set_xindex("step")
    found[path] = here.assign_attrs(coordinates)
    return found


def joined(blocks: Sequence[Block]) -> Arrays:
    """The arrays of blocks of equal coordinates as those of one, in order of the seeds.

    What only some of them have is NaN, empty text, or, of counts and steps, -1 in the others.
    """
    pairs = [(block, row) for block in blocks for row in range(len(block.seeds))]
    pairs.sort(key=lambda pair: pair[0].seeds[pair[1]])
    arrays: Arrays = {}
    for name in dict.fromkeys(name for block in blocks for name in block.arrays):
        axes = next(block.dims[name] for block in blocks if name in block.arrays)
        along = next((axis for axis in COUNTS if axis in axes), None)
        if "seed" not in axes and along is None:  # the same in all of them
            arrays[name] = next(block.arrays[name] for block in blocks if name in block.arrays)
        elif along is None:
            arrays[name] = _column([_value(block, name, row) for block, row in pairs])
        elif (name,) in STEPS.values():
            arrays[name] = schedule([_steps(block, name, row, along) for block, row in pairs])
        else:
            length = max(_count(block, row, along) for block, row in pairs)
            rows = [_rows(block, name, row, along, axes) for block, row in pairs]
            arrays[name] = padded(rows, length)
    return arrays


def _count(block: Block, row: int, axis: str) -> int:
    counts = block.arrays.get(COUNTS[axis])
    return 0 if counts is None else int(counts[row])


def _steps(block: Block, name: str, row: int, axis: str) -> NDArray[np.int64]:
    if name not in block.arrays:
        return np.empty(0, np.int64)
    steps = block.arrays[name]
    return np.asarray((steps if steps.ndim == 1 else steps[row])[: _count(block, row, axis)])


def _rows(
    block: Block, name: str, row: int, axis: str, axes: tuple[str, ...]
) -> NDArray[np.float64]:
    if name in block.arrays:
        return np.asarray(block.arrays[name][row, : _count(block, row, axis)])
    size = parameters.count(block.coordinates, block.arrays)
    return np.empty((0, size) if "parameter" in axes else 0)


def _value(block: Block, name: str, row: int) -> Any:
    return block.arrays[name][row] if name in block.arrays else None


def _column(values: Sequence[Any]) -> NDArray[Any]:
    """Values of all runs as an array, with something in place of None."""
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        return np.array(values)
    kind = np.asarray(known[0]).dtype.kind
    missing = np.full_like(known[0], {"U": "", "f": np.nan}.get(kind, -1))
    return np.array([missing if value is None else value for value in values])
