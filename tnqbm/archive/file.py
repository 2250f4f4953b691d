"""One archive file on disk: an archive, a part of one, or the plan of a run that goes on.

A file whose seal holds is read directly. Any other file is first surveyed in a child process,
because damaged HDF5 can crash or hang the process that reads it; after that only the blocks that
the child read whole are touched. Either way everything passes :mod:`tnqbm.files.gate`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tnqbm.archive.blocks import (
    COORDINATES,
    NEEDED,
    Block,
    Coordinates,
    PlannedGroup,
    check_coordinates,
    check_part,
    check_run_count,
    check_seeds,
    decode,
    format_seeds,
    parse_seeds,
)
from tnqbm.base.errors import ArchiveError
from tnqbm.files import gate
from tnqbm.files.content import DIGEST, group_digest
from tnqbm.files.gate import Arrays
from tnqbm.files.storage import (
    NewerFormatError,
    OtherFileError,
    Seal,
    check_format,
    check_seal,
    open_unchecked,
    read_group,
    set_format,
    write_group,
    write_sealed,
)

FORMAT = "tnqbm-archive"
FORMAT_VERSION = 4
"""Latest version of the format, the one that is read. A file is written in the first version that
has everything in it, so that older programs can read what they could have written."""

_SINCE_VERSION_2 = frozenset({"log_partition", "log_partition_error", "test_nll"})
"""Data sets of blocks that version 1 did not know."""

_SINCE_VERSION_3 = frozenset({"estimator", "estimator_records"})
"""Groups inside blocks that version 2 did not know."""

_SURVEY_SECONDS = 60.0


@dataclass(frozen=True)
class Entry:
    """A line of a file's table of contents: one block, and its digest."""

    name: str
    digest: str
    coordinates: Coordinates
    seeds: list[int]


@dataclass(frozen=True)
class Header:
    """What a file says about itself; ``study`` and ``plan`` are empty in a part."""

    study_text: str
    plan: list[PlannedGroup]
    provenance: dict[str, str]
    contents: list[Entry]


class ArchiveFile:
    """An open file; use as a context manager or call :meth:`close`.

    ``faults`` maps the names of damaged blocks to what is wrong with them; ``header_fault`` says
    what is wrong with the header, "" if nothing. ``seal`` is the file's seal. Raises
    FileNotFoundError, and ArchiveError if nothing in the file can be used.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.seal = check_seal(self.path)
        self.faults: dict[str, str] = {}
        self.header_fault = ""
        if self.seal.status != "whole":
            survey = survey_file(self.path, self.seal)
            self.faults, self.header_fault = survey.faults, survey.header_fault
        self._file = open_unchecked(self.path)
        try:
            self.kind = check_format(self._file, self.path, FORMAT, FORMAT_VERSION, "an archive")
            if self.header_fault:
                self.header = Header("", [], {}, self._rebuilt_contents())
            else:
                self.header = _read_header(self._file, self.path)
            self._entries = {entry.name: entry for entry in self.header.contents}
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; nothing can be read from it afterwards."""
        self._file.close()

    def __enter__(self) -> ArchiveFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def where(self, name: str) -> str:
        """How error messages name a block."""
        return f"block {name} of {self.path}"

    def group(self, name: str) -> Any:
        """The HDF5 group of a block; ArchiveError if the block is damaged or absent."""
        if name in self.faults:
            raise ArchiveError(self.faults[name])
        with gate.reading(self.where(name)):
            return gate.subgroup(gate.subgroup(self._file, "blocks"), name)

    def block(self, name: str) -> Block:
        """A whole block, its digest verified; ArchiveError naming it if it is damaged."""
        return read_block(self.group(name), self.where(name), self._entries.get(name))

    def first_fault(self) -> str:
        """What is wrong with the header or the first damaged block, "" if all is whole.

        Reads every block.
        """
        known = self.header_fault or next(iter(self.faults.values()), "")
        for name in () if known else self._entries:
            try:
                self.block(name)
            except ArchiveError as exc:
                return str(exc)
        return known

    def provenance(self, name: str) -> dict[str, Any]:
        """What a block says about its making; ArchiveError if it is damaged."""
        group = self.group(name)
        with gate.reading(self.where(name)):
            return dict(json.loads(str(gate.attribute(group, "provenance"))))

    def arrays(self, name: str, wanted: Iterable[str]) -> Arrays:
        """Some arrays of a block, those that exist, and ``NEEDED``, without reading the others.

        The seal of the file vouches for their numbers; where it does not hold the whole block is
        verified. ArchiveError naming the block if it is damaged.
        """
        if self.seal.status != "whole":
            found = self.block(name).arrays
            return {key: found[key] for key in (*NEEDED, *wanted) if key in found}
        group = self.group(name)
        with gate.reading(self.where(name)):
            names = [*NEEDED, *(key for key in wanted if gate.has(group, key))]
            return self._checked(name, {key: gate.array(group, key) for key in names})

    def folder(self, name: str, prefix: str) -> Arrays:
        """The arrays of a block whose names begin with ``prefix``, a path that ends in "/"."""
        if self.seal.status != "whole":
            arrays = self.block(name).arrays
            return {key: array for key, array in arrays.items() if key.startswith(prefix)}
        group, folder = self.group(name), prefix.rstrip("/")
        with gate.reading(self.where(name)):
            if not gate.has(group, folder):
                return {}
            inner = gate.tree(gate.subgroup(group, folder))
            found = {prefix + key: array for key, array in inner.items()}
            needed = {key: gate.array(group, key) for key in NEEDED}
            self._checked(name, {**needed, **found})
            return found

    def _checked(self, name: str, arrays: Arrays) -> Arrays:
        entry = self._entries[name]
        check_part(arrays, entry.coordinates, entry.seeds)
        return arrays

    def _rebuilt_contents(self) -> list[Entry]:
        """Contents of a file whose header is lost: what its whole blocks say of themselves."""
        entries = []
        with gate.reading(str(self.path)):
            names = gate.members(gate.subgroup(self._file, "blocks"))
        for name in names:
            if name not in self.faults:
                block = read_block(self.group(name), self.where(name))
                entries.append(
                    Entry(name, group_digest(self.group(name)), block.coordinates, block.seeds)
                )
        return entries


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


def _read_header(root: Any, path: Path) -> Header:
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
    found = arrays[name]
    if found.dtype.kind != "U" or found.ndim:
        raise ValueError(f"{name} is not a text")
    return str(found)


def _named(line: Mapping[str, Any], key: str) -> str:
    found = line[key]
    if not isinstance(found, str):
        raise ValueError(f"{key} is {found!r}, not a text")
    return found


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
        version = max((_needs(blocks[entry.name]) for entry in entries), default=1)
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


def _needs(block: Any) -> int:
    """The first version of the format that has everything in a block."""
    if gate.has_attribute(block, COORDINATES):
        return 4
    if any(name in block for name in _SINCE_VERSION_3) or b"failed" in block["stopped"][()]:
        return 3
    return 2 if any(name in block for name in _SINCE_VERSION_2) else 1


def _json(lines: list[dict[str, Any]]) -> str:
    """A JSON list with one entry a line, for those who look with h5dump."""
    body = ",\n".join(json.dumps(line, ensure_ascii=False, allow_nan=False) for line in lines)
    return f"[\n{body}\n]" if lines else "[]"


# --- survey of a doubtful file, in a child process --------------------------------------------


@dataclass(frozen=True)
class Survey:
    """What a child process could read of a doubtful file."""

    faults: dict[str, str]
    header_fault: str


def survey_file(path: Path, seal: Seal) -> Survey:
    """Read every block of a file in a child process and say which are damaged.

    Raises ArchiveError if the file as a whole cannot be read.
    """
    detail = f"{path} is damaged: {seal.detail}" if seal.detail else f"{path} cannot be read"
    if seal.truncated:
        raise ArchiveError(f"{detail}; nothing in it can be read")
    faults: dict[str, str] = {}
    header_fault = ""
    for _ in range(8):
        current, finished = "", False
        skip = sorted(faults) + (["/header"] if header_fault else [])
        for line in _run_survey(path, skip):
            if "newer" in line:
                raise NewerFormatError(line["newer"])
            if "other" in line:
                raise OtherFileError(line["other"])
            if "fatal" in line:
                raise ArchiveError(f"{detail}; {line['fatal']}" if seal.detail else line["fatal"])
            current = line.get("start", current)
            if "fault" in line and current == "/header":
                header_fault = line["fault"]
            elif "fault" in line:
                faults[current] = line["fault"]
            finished = "end" in line
        if finished:
            return Survey(faults, header_fault)
        if not current:
            raise ArchiveError(f"{detail}; opening it makes the HDF5 library fail")
        reason = "reading it makes the HDF5 library fail"
        if current == "/header":
            header_fault = f"the header of {path} is damaged: {reason}"
        else:
            faults[current] = f"block {current} of {path} is damaged: {reason}"
    raise ArchiveError(f"{detail}; too little of it is left to read")


def _run_survey(path: Path, skip: list[str]) -> Iterator[dict[str, str]]:
    package_root = str(Path(__file__).resolve().parents[2])
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from tnqbm.archive.file import survey_main; survey_main(sys.argv[2], sys.argv[3])"
    )
    # The child must not take itself for a rank of the parent's MPI job.
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PMI", "PMIX_", "OMPI_", "HYDI_"))
    }
    seconds = _SURVEY_SECONDS + path.stat().st_size / 5e6
    try:
        done = subprocess.run(
            # -P: no file of the working folder is imported in a package's place.
            [sys.executable, "-P", "-c", code, package_root, str(path), json.dumps(skip)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env=environment,
            check=False,
        )
        output = done.stdout
    except subprocess.TimeoutExpired as exc:
        output = exc.stdout or b""
    for line in output.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # cut off in the middle by a crash
            return


def survey_main(path: str, skip: str) -> None:
    """Entry point of the child: one JSON object a line, flushed, so that a crash can be placed."""
    _limit_memory(Path(path).stat().st_size)
    for line in survey_lines(Path(path), set(json.loads(skip))):
        print(json.dumps(line), flush=True)


def survey_lines(path: Path, skip: set[str]) -> Iterator[dict[str, str]]:
    """Read everything in a file, saying before each piece what comes and after it what failed."""
    entries: dict[str, Entry | None] = {}
    try:
        with gate.reading(str(path)):
            file = open_unchecked(path)
            check_format(file, path, FORMAT, FORMAT_VERSION, "an archive")
            blocks = gate.subgroup(file, "blocks")
    except NewerFormatError as exc:
        yield {"newer": str(exc)}
        return
    except OtherFileError as exc:
        yield {"fatal" if check_seal(path).detail else "other": str(exc)}
        return
    except (ArchiveError, FileNotFoundError) as exc:
        yield {"fatal": str(exc)}
        return
    if "/header" not in skip:
        yield {"start": "/header"}
        try:
            entries = {entry.name: entry for entry in _read_header(file, path).contents}
        except ArchiveError as exc:
            yield {"fault": str(exc)}
    if not entries:
        try:
            with gate.reading(str(path)):
                entries = dict.fromkeys(gate.members(blocks))
        except ArchiveError as exc:
            yield {"fatal": str(exc)}
            return
    for name, entry in entries.items():
        if name in skip:
            continue
        yield {"start": name}
        where = f"block {name} of {path}"
        try:
            with gate.reading(where):
                read_block(gate.subgroup(blocks, name), where, entry)
        except (ArchiveError, MemoryError) as exc:
            yield {"fault": str(exc)}
    yield {"end": ""}


def _limit_memory(file_size: int) -> None:
    """Keep a damaged size field from taking the machine's memory."""
    try:
        import resource

        limit = 4 * 2**30 + 64 * file_size
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass
