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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tnqbm.archive.blocks import NEEDED, Block, check_part
from tnqbm.archive.contents import (
    FORMAT,
    FORMAT_VERSION,
    Entry,
    Header,
    read_block,
    read_header,
)
from tnqbm.archive.estimator_reports import TOTALS
from tnqbm.archive.finals import GROUP, READ, BlockFinals, final_columns, read_finals
from tnqbm.base.errors import ArchiveError
from tnqbm.files import gate
from tnqbm.files.content import group_digest
from tnqbm.files.gate import Arrays
from tnqbm.files.storage import (
    NewerFormatError,
    OtherFileError,
    Seal,
    check_format,
    check_seal,
    open_unchecked,
)

_SURVEY_SECONDS = 60.0


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
                self.header = read_header(self._file, self.path)
            self._entries = {entry.name: entry for entry in self.header.contents}
            self._finals: dict[str, BlockFinals] | None = None
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

    def known_fault(self) -> str:
        """What is known to be wrong with the header or a block, "" if nothing is."""
        return self.header_fault or next(iter(self.faults.values()), "")

    def first_fault(self) -> str:
        """What is wrong with the header or the first damaged block, "" if all is whole.

        Reads every block.
        """
        if fault := self.known_fault():
            return fault
        for name in self._entries:
            try:
                self.block(name)
            except ArchiveError as exc:
                return str(exc)
        return ""

    def finals(self, name: str) -> BlockFinals:
        """Final values and provenance of a block; ArchiveError naming it if it is damaged.

        From the tables of the file, if it has them and they are whole, else from the block.
        """
        tables = self.tables() if self._finals is None else self._finals
        if name in tables:
            return tables[name]
        arrays = self.arrays(name, READ) | self.folder(name, TOTALS)
        group = self.group(name)
        with gate.reading(self.where(name)):
            return BlockFinals(final_columns(arrays), str(gate.attribute(group, "provenance")))

    def tables(self, *, strict: bool = False) -> dict[str, BlockFinals]:
        """Final values by block as the file's tables have them; {} if it has none.

        So it is if they are damaged or the seal does not vouch for them: what stands in the blocks
        counts. If ``strict``, damage raises ArchiveError.
        """
        found: list[BlockFinals] = []
        if self.seal.status == "whole" and gate.has(self._file, GROUP):
            seeds = [entry.seeds for entry in self.header.contents]
            try:
                found = read_finals(self._file, f"the final values of {self.path}", seeds)
            except ArchiveError:
                if strict:
                    raise
        names = (entry.name for entry in self.header.contents)
        self._finals = dict(zip(names, found, strict=False))
        return self._finals

    def provenance(self, name: str) -> dict[str, Any]:
        """What a block says about its making; ArchiveError if it is damaged."""
        tables = self.tables() if self._finals is None else self._finals
        with gate.reading(self.where(name)):
            if name in tables:
                return dict(json.loads(tables[name].provenance))
            return dict(json.loads(str(gate.attribute(self.group(name), "provenance"))))

    def arrays(self, name: str, wanted: Iterable[str]) -> Arrays:
        """Some arrays of a block, those that exist, and ``NEEDED``, without reading the others.

        The seal of the file vouches for their numbers; where it does not hold the whole block is
        verified. ArchiveError naming the block if it is damaged.
        """
        if self.seal.status != "whole":
            arrays = self.block(name).arrays
            return {key: arrays[key] for key in (*NEEDED, *wanted) if key in arrays}
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
            inside = gate.tree(gate.subgroup(group, folder))
            arrays = {prefix + key: array for key, array in inside.items()}
            needed = {key: gate.array(group, key) for key in NEEDED}
            self._checked(name, {**needed, **arrays})
            return arrays

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
            entries = {entry.name: entry for entry in read_header(file, path).contents}
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
