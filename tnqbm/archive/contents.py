"""What stands in an archive file: a header, with a table of contents, and blocks.

Reads and writes open HDF5 groups; :mod:`tnqbm.archive.file` opens files and copes with damage. Also
the parts of an archive: the finished blocks of a study under way, and its plan.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tnqbm.archive.blocks import COORDINATES, STEPS, Block, RunRecord, decode, encode
from tnqbm.archive.coordinates import (
    Coordinates,
    PlannedGroup,
    check_coordinates,
    check_run_count,
    check_seeds,
    coordinates_key,
    format_seeds,
    parse_seeds,
)
from tnqbm.archive.finals import BlockFinals, final_columns, write_finals
from tnqbm.archive.parameters import FAMILY, TERMS
from tnqbm.base.errors import ArchiveError
from tnqbm.files import gate
from tnqbm.files.content import DIGEST, group_digest, read_group, write_group
from tnqbm.files.gate import Arrays
from tnqbm.files.storage import set_format, write_sealed

FORMAT = "tnqbm-archive"
FORMAT_VERSION = 8
"""Latest version of the format, the one that is read. A file is written in the first version that
has everything in it, so that older programs can read what they could have written."""

SETTINGS = "settings"
"""Fact of an archive's provenance: the settings that decide its numbers, as JSON by dotted key."""

_SINCE_VERSION_2 = frozenset({"log_partition", "log_partition_error", "test_nll"})
"""Data sets of blocks that version 1 did not know."""

_SINCE_VERSION_3 = frozenset({"estimator", "estimator_records"})
"""Groups inside blocks that version 2 did not know."""


@dataclass(frozen=True)
class Entry:
    """A line of a file's table of contents: one block, and its digest.

    ``finals`` are the block's final values, known where it is written.
    """

    name: str
    digest: str
    coordinates: Coordinates
    seeds: list[int]
    finals: BlockFinals | None = field(default=None, compare=False, repr=False)

    @cached_property
    def key(self) -> str:
        """Canonical coordinates."""
        return coordinates_key(self.coordinates)


@dataclass(frozen=True)
class Header:
    """What a file says about itself; ``study`` and ``plan`` are empty in a part."""

    study_text: str
    plan: list[PlannedGroup]
    provenance: dict[str, str]
    contents: list[Entry]


def read_block(group: Any, where: str, entry: Entry | None = None) -> Block:
    """The block in an HDF5 group, verified; ``where`` names it in errors (ArchiveError).

    It must be the block that ``entry`` of the table of contents speaks of.
    """
    block = decode(*read_group(group, where), where)
    if entry is not None and (
        entry.coordinates != block.coordinates
        or entry.seeds != block.seeds
        or entry.digest != group_digest(group)
        or entry.name != block.name
    ):
        raise ArchiveError(f"{where} is damaged: it is not the block that the contents list")
    return block


def read_header(root: Any, path: Path) -> Header:
    """The header of an open file; ArchiveError if it is damaged."""
    where = f"the header of {path}"
    with gate.reading(where):
        arrays, _ = read_group(gate.subgroup(root, "header"), where)
        texts = {key: _text(arrays, key) for key in ("contents", "plan", "provenance", "study")}
        contents = [
            Entry(
                _named(line, "block"),
                _named(line, DIGEST),
                check_coordinates(line["coordinates"]),
                parse_seeds(_named(line, "seeds")),
            )
            for line in json.loads(texts["contents"])
        ]
        plan = [
            PlannedGroup(check_coordinates(line["coordinates"]), parse_seeds(_named(line, "seeds")))
            for line in json.loads(texts["plan"])
        ]
        check_run_count(sum(len(group.seeds) for group in plan))
        provenance = {
            str(key): str(value) for key, value in json.loads(texts["provenance"]).items()
        }
        return Header(texts["study"], plan, provenance, contents)


def _text(arrays: Arrays, name: str) -> str:
    text = arrays[name]
    if text.dtype.kind != "U" or text.ndim:
        raise ValueError(f"{name} is not a text")
    return str(text)


def _named(line: Mapping[str, Any], key: str) -> str:
    value = line[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is {value!r}, not a text")
    return value


def write_block_group(group: Any, block: Block, *, scales: bool = False) -> Entry:
    """Write a block into the group of all blocks; its line of the table of contents.

    ``scales``: with dimension scales, by which other programs know the axes by name.
    """
    digest = write_group(
        group.create_group(block.name),
        block.arrays,
        block.attributes,
        dims=block.dims,
        scales=STEPS if scales else None,
    )
    finals = BlockFinals(final_columns(block.arrays), block.origin)
    return Entry(block.name, digest, block.coordinates, block.seeds, finals)


def write_archive_file(
    path: str | Path,
    kind: str,
    fill_blocks: Callable[[Any], list[Entry]],
    *,
    plan: Sequence[PlannedGroup] = (),
    study_text: str = "",
    provenance: Mapping[str, str],
    overwrite: bool = True,
) -> None:
    """Write an archive file atomically; ``fill_blocks(group)`` makes the blocks and lists them."""
    planned = [
        {
            "coordinates": check_coordinates(group.coordinates),
            "seeds": format_seeds(check_seeds(group.seeds)),
        }
        for group in plan
    ]
    check_run_count(sum(len(group.seeds) for group in plan))
    origin = {str(key): str(value) for key, value in provenance.items()}

    def fill(root: Any) -> None:
        blocks = root.create_group("blocks")
        entries = fill_blocks(blocks)
        version = max(
            (_needs(blocks[entry.name], entry.coordinates) for entry in entries), default=1
        )
        finals = [entry.finals for entry in entries if entry.finals is not None]
        if len(finals) == len(entries) > (kind == "part"):  # a block by itself needs no table
            write_finals(root, finals)
            version = 8
        set_format(root, FORMAT, version, kind)
        contents = [
            {
                "block": entry.name,
                DIGEST: entry.digest,
                "coordinates": entry.coordinates,
                "seeds": format_seeds(entry.seeds),
            }
            for entry in entries
        ]
        # Data sets, not attributes: those hold 64 KB at most.
        texts = {
            "contents": _json(contents),
            "plan": _json(planned),
            "provenance": json.dumps(origin, ensure_ascii=False, indent=0),
            "study": study_text,
        }
        header = root.create_group("header")
        write_group(header, {name: np.array(text) for name, text in texts.items()}, {})

    write_sealed(path, FORMAT, fill, overwrite=overwrite)


def _needs(block: Any, coordinates: Coordinates) -> int:
    """The first version of the format that has everything in a block."""
    if TERMS in block:
        return 6
    if FAMILY in coordinates and any(name in block for name in ("parameters", "snapshots")):
        return 7
    if "record" in block:  # the placeholder of this axis: there are scales
        return 5
    if gate.has_attribute(block, COORDINATES):
        return 4
    if any(name in block for name in _SINCE_VERSION_3) or b"failed" in block["stopped"][()]:
        return 3
    return 2 if any(name in block for name in _SINCE_VERSION_2) else 1


def _json(lines: list[dict[str, Any]]) -> str:
    """A JSON list with one entry a line, for those who look with h5dump."""
    body = ",\n".join(json.dumps(line, ensure_ascii=False, allow_nan=False) for line in lines)
    return f"[\n{body}\n]" if lines else "[]"


PLAN_FILE = "plan.h5"
"""Name of the file in a parts folder that holds the plan of the study under way."""


def parts_folder(out: str | Path) -> Path:
    """Folder of the finished blocks of a study under way: ``OUT.h5`` -> ``OUT.h5.parts``.

    ArchiveError if ``out`` has no name, as "" and "." have none.
    """
    out = Path(out)
    if not out.name:
        raise ArchiveError(f"{str(out)!r} is no archive; give a file, such as results.h5")
    return out.with_name(out.name + ".parts")


def write_block(
    path: str | Path, records: Sequence[RunRecord], provenance: Mapping[str, str]
) -> None:
    """Write finished runs of equal coordinates to a part file of one block, atomically.

    Raises ValueError naming the run if the records do not belong together or are malformed, and
    OSError naming the path if it cannot be written.
    """
    block = encode(records, provenance)
    write_archive_file(
        path, "part", lambda group: [write_block_group(group, block)], provenance=provenance
    )


def write_plan(
    folder: str | Path,
    plan: Sequence[PlannedGroup],
    study_text: str,
    provenance: Mapping[str, str],
) -> None:
    """Write ``plan.h5`` into a parts folder, so that the runs under way can be looked at."""
    write_archive_file(
        Path(folder) / PLAN_FILE,
        "plan",
        lambda _: [],
        plan=plan,
        study_text=study_text,
        provenance=provenance,
    )


def archive_files(path: str | Path) -> list[Path]:
    """The files that an archive consists of: itself, its parts, and the parts' plan, last.

    Raises FileNotFoundError if there is neither an archive nor parts of one.
    """
    path = Path(path)
    files = [path] if path.exists() else []
    try:
        names = sorted(os.listdir(parts_folder(path)))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    parts = [name for name in names if name.endswith(".h5") and name != PLAN_FILE]
    last = [PLAN_FILE] if PLAN_FILE in names else []
    files += [parts_folder(path) / name for name in parts + last]
    if not files:
        hint = ""
        if path.name.endswith(".parts"):
            hint = f"; to look at a study under way give {path.name.removesuffix('.parts')}"
        elif names:
            hint = f", and {parts_folder(path)} holds no finished runs yet"
        raise FileNotFoundError(f"{path} does not exist{hint}")
    return files
