"""Final values of all runs of a file in one place: a table of many runs is read at once.

A file with several blocks has them a second time, as ``/finals`` of docs/archive-format.md says: a
table for all blocks that have the same columns. What stands in the blocks counts;
:func:`tnqbm.archive.verify.verify_archive` compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tnqbm.archive import estimator_reports
from tnqbm.archive.blocks import data_set_kinds, final_rows
from tnqbm.files import gate
from tnqbm.files.content import read_group, write_group
from tnqbm.files.gate import Arrays
from tnqbm.training.trajectory import METRICS

GROUP = "finals"
"""The group of a file in which the tables are."""

RECORDS, STEPS = "records", "steps"
"""Columns: how many records a run has, and the updates done before the last."""

TEXTS = ("stopped", "cause", "started", "finished")
"""Columns that hold how a run ended."""

READ = ("model_step", *METRICS, *TEXTS)
"""Data sets of a block that its columns are made of, beside the needed ones and the totals."""

_BY_PLACE = ("cause", "provenance")
"""Long and often the same: these hold places in a list of texts."""


@dataclass(frozen=True)
class BlockFinals:
    """Final values of a block: columns (S,) by name, and its provenance as JSON."""

    columns: Arrays
    provenance: str

    def same(self, other: BlockFinals) -> bool:
        """Whether all of it is the same, bit for bit."""
        mine, others = self.columns, other.columns
        return (
            self.provenance == other.provenance
            and mine.keys() == others.keys()
            and all(_same(mine[name], others[name]) for name in mine)
        )


def final_columns(arrays: Arrays) -> Arrays:
    """Columns (S,) of a block's arrays, as far as these are there."""
    last = np.asarray(arrays["n_records"], np.int64) - 1
    rows, at, step = np.arange(last.size), final_rows(arrays), arrays["step"]
    columns = {"seed": arrays["seed"], RECORDS: arrays["n_records"]}
    columns[STEPS] = step[last] if step.ndim == 1 else step[rows, last]
    columns |= {name: arrays[name][rows, at] for name in METRICS if name in arrays}
    columns |= {name: arrays[name] for name in TEXTS if name in arrays}
    totals = (name for name in arrays if name.startswith(estimator_reports.TOTALS))
    return columns | {name: arrays[name] for name in totals}


def write_finals(root: Any, found: Sequence[BlockFinals]) -> None:
    """Write the final values of all blocks of a file, in the order of its table of contents."""
    group = root.create_group(GROUP)
    tables: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for place, finals in enumerate(found):
        kinds = tuple(sorted((name, str(c.dtype.kind)) for name, c in finals.columns.items()))
        tables.setdefault(kinds, []).append(place)
    for number, (kinds, places) in enumerate(tables.items()):
        texts: dict[str, int] = {}
        blocks = [found[place] for place in places]
        arrays = {"block": np.array(places, np.int64)}
        for name, _ in kinds:
            arrays[name] = np.concatenate([block.columns[name] for block in blocks])
        if "cause" in arrays:
            arrays["cause"] = _places(arrays["cause"].tolist(), texts)
        arrays["provenance"] = _places([block.provenance for block in blocks], texts)
        dims = dict.fromkeys(arrays, ("run",)) | dict.fromkeys(("block", "provenance"), ("block",))
        arrays["texts"] = np.array(json.dumps([*texts], ensure_ascii=False, indent=0))
        write_group(group.create_group(str(number)), arrays, {}, dims=dims, scales={})


def read_finals(root: Any, where: str, seeds: Sequence[Sequence[int]]) -> list[BlockFinals]:
    """The final values of all blocks of an open file, whose ``seeds`` its contents list.

    ``where`` names them in the ArchiveError that is raised if they are damaged.
    """
    with gate.reading(where):
        group = gate.subgroup(root, GROUP)
        found: dict[int, BlockFinals] = {}
        for name in gate.members(group):
            arrays, _ = read_group(gate.subgroup(group, name), where)
            found |= _of_table(arrays, seeds)
        if sorted(found) != list(range(len(seeds))):
            raise ValueError("they are not those of the blocks that the contents list")
        return [found[place] for place in range(len(seeds))]


def _of_table(arrays: Arrays, seeds: Sequence[Sequence[int]]) -> dict[int, BlockFinals]:
    """The blocks of one table by their place; ValueError if they do not fit the seeds."""
    texts = json.loads(str(arrays.pop("texts")))
    places = arrays.pop("block").tolist()
    origins = [texts[place] for place in arrays.pop("provenance").tolist()]
    if not all(isinstance(text, str) for text in texts) or len(set(places)) < len(places):
        raise ValueError("a table of them is not of the form that it should have")
    counts = [len(seeds[place]) for place in places]
    if arrays["seed"].tolist() != [seed for place in places for seed in seeds[place]]:
        raise ValueError("they are of other seeds than those of the blocks")
    for name, column in arrays.items():
        if column.shape != (sum(counts),) or column.dtype.kind not in _stored_kinds(name):
            raise ValueError(f"{name} is not the column that it should be")
    if missing := [name for name in (RECORDS, STEPS, "stopped") if name not in arrays]:
        raise ValueError(f"there is no {missing[0]}")
    found, begin = {}, 0
    for place, origin, count in zip(places, origins, counts, strict=True):
        rows = slice(begin, begin + count)
        columns = {name: column[rows] for name, column in arrays.items()}
        if "cause" in columns:  # block by block: text takes the room of the longest
            columns["cause"] = np.array([texts[k] for k in columns["cause"].tolist()], "U")
        found[place] = BlockFinals(columns, origin)
        begin += count
    return found


def _stored_kinds(name: str) -> str:
    """Kinds of types (as NumPy names them) of a column of a table, "" if there is no such one."""
    if name in (RECORDS, STEPS, *_BY_PLACE):
        return "iu"
    known = name in ("seed", *METRICS, *TEXTS) or name.startswith(estimator_reports.TOTALS)
    return data_set_kinds(name) if known else ""


def _places(texts: Iterable[str], known: dict[str, int]) -> Any:
    return np.array([known.setdefault(text, len(known)) for text in texts], np.int64)


def _same(mine: Any, other: Any) -> bool:
    if mine.dtype.kind != other.dtype.kind:
        return False
    if mine.dtype.kind == "U":
        return bool(mine.tolist() == other.tolist())
    return bool(mine.tobytes() == other.astype(mine.dtype).tobytes())
