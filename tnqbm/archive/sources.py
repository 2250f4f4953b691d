"""Where the runs of an archive lie: in OUT.h5, and in the parts of a study under way."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tnqbm.archive.blocks import Block
from tnqbm.archive.contents import PLAN_FILE, Entry, Header, archive_files, parts_folder
from tnqbm.archive.coordinates import Coordinates, PlannedGroup, unite_plans
from tnqbm.archive.estimator_reports import TOTALS
from tnqbm.archive.file import ArchiveFile
from tnqbm.archive.finals import STEPS, TEXTS, BlockFinals
from tnqbm.archive.rows import Group, GroupSeeds, RunRow, failure_facts
from tnqbm.base.errors import ArchiveError
from tnqbm.base.text import one_page
from tnqbm.files import gate
from tnqbm.training.trajectory import METRICS, Trajectory

T = TypeVar("T")
_CACHED_BLOCKS = 4
_OPEN_FILES = 100

_FACTS = ("tnqbm", "build", "host")
"""What blocks say about their making that may differ within an archive."""


@dataclass(frozen=True)
class Source:
    """A block as the archive sees it: where it lies, which of its rows count, what is wrong."""

    path: Path
    entry: Entry
    rows: list[int]
    fault: str = ""

    @property
    def key(self) -> str:
        """Canonical coordinates, "{}" if damage has made them unknown."""
        return self.entry.key

    def seed(self, row: int) -> int:
        """The seed of the run in one row."""
        return self.entry.seeds[row]


class Sources:
    """All blocks of an archive and its parts, every run once, in the order of the plan.

    ``problems`` says what is damaged, ``damaged_parts`` names part files with damaged blocks.
    Errors are those of :class:`tnqbm.Archive`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: dict[Path, ArchiveFile] = {}
        self._cache: dict[tuple[Path, str], Block] = {}
        # A study that ends replaces OUT.h5 and then removes the parts: if that happens while we
        # look, look again.
        for _ in range(20):
            self.close()
            before = _identity(path)
            try:
                self._scan()
            except FileNotFoundError:
                archive_files(path)  # raises if nothing is there at all
                continue
            if _identity(path) == before:
                return
        raise ArchiveError(f"{path} is being replaced all the time; try again later")

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._open.popitem()[1].close()

    def _scan(self) -> None:
        self.problems: list[str] = []
        self.damaged_parts: list[Path] = []
        self.header_fault = ""
        self._header: Header | None = None
        blocks: list[tuple[Path, Entry, str]] = []
        for path in archive_files(self.path):
            try:
                file = ArchiveFile(path)
            except ArchiveError as exc:
                if path == self.path:
                    raise
                self._lost(path, str(exc), blocks)
                continue
            self._keep_open(file)
            if file.seal.status == "broken":
                self.problems.append(f"{path} is damaged: {file.seal.detail}")
            if file.header_fault:
                self.problems.append(file.header_fault)
            if path == self.path or path.name == PLAN_FILE:
                self._header, self.header_fault = file.header, file.header_fault
            elif file.faults:
                self.damaged_parts.append(path)
            blocks += [(path, e, file.faults.get(e.name, "")) for e in file.header.contents]
            unlisted = file.faults.keys() - {entry.name for entry in file.header.contents}
            blocks += [(path, Entry(n, "", {}, []), file.faults[n]) for n in sorted(unlisted)]
        self._arrange(blocks)

    def _lost(self, path: Path, reason: str, blocks: list[tuple[Path, Entry, str]]) -> None:
        if path.name == PLAN_FILE:
            self.problems.append(reason)
        else:
            self.damaged_parts.append(path)
            blocks.append((path, Entry(path.stem, "", {}, []), reason))

    def _arrange(self, blocks: list[tuple[Path, Entry, str]]) -> None:
        self._planned = unite_plans(self._header.plan) if self._header else {}
        rank = {key: place for place, key in enumerate(self._planned)}
        seen: set[tuple[str, int]] = set()
        sources: list[Source] = []
        # Whole blocks first: a damaged one does no harm if its runs exist elsewhere.
        for path, entry, fault in sorted(blocks, key=lambda item: bool(item[2])):
            key = entry.key
            rows = [row for row, seed in enumerate(entry.seeds) if (key, seed) not in seen]
            seen.update((key, seed) for seed in entry.seeds)
            if fault:
                self.problems.append(fault)
            if rows or (fault and not entry.seeds):
                sources.append(Source(path, entry, rows, fault))
        sources.sort(
            key=lambda source: (
                rank.get(source.key, len(rank)),
                source.key,
                source.seed(source.rows[0]) if source.rows else -1,
            )
        )
        self._sources = sources

    # --- contents ---

    def header(self) -> Header:
        """Study, plan and provenance; ArchiveError if they are damaged or missing."""
        if self.header_fault:
            raise ArchiveError(self.header_fault)
        if self._header is None:
            raise ArchiveError(
                f"{parts_folder(self.path) / PLAN_FILE} is missing or damaged: the study of these "
                "runs is not known; resume the study, or merge what is finished into a new archive"
            )
        return self._header

    def planned(self) -> list[PlannedGroup]:
        """The plan as far as it is known."""
        return [*self._planned.values()]

    def __iter__(self) -> Iterator[Source]:
        return iter(self._sources)

    def usable(self, skip_damaged: bool, read: Callable[[Source], T]) -> Iterator[tuple[Source, T]]:
        """Sources with what ``read`` makes of each; those that turn out to be damaged are marked.

        ArchiveError on coming to a damaged one, unless ``skip_damaged``.
        """
        for source in list(self._sources):
            try:
                content = read(source)
            except ArchiveError:
                if skip_damaged:
                    continue
                raise
            yield source, content

    def _refuse(self, source: Source, reason: str) -> ArchiveError:
        """The error to raise on a damaged source, which is marked as such from now on."""
        if not source.fault:
            self.problems.append(reason)
            self._sources[self._sources.index(source)] = replace(source, fault=reason)
        if source.path == self.path:
            cure = f"tnqbm merge {shlex.quote(str(self.path))} --skip-damaged -o NEW.h5"
            return ArchiveError(f"{reason}; rescue what is whole with: {cure}")
        return ArchiveError(f"{reason}; resume the study, which runs it again")

    def tally(self) -> tuple[dict[str, set[int]], dict[str, set[int]]]:
        """Finished seeds and planned seeds by group; every run that exists counts as planned."""
        finished: dict[str, set[int]] = {}
        planned = {key: set(group.seeds) for key, group in self._planned.items()}
        for source in self._sources:
            seeds = {source.seed(row) for row in source.rows}
            if seeds:
                planned.setdefault(source.key, set()).update(seeds)
            if seeds and not source.fault:
                finished.setdefault(source.key, set()).update(seeds)
        return finished, planned

    def seeds(self) -> list[GroupSeeds]:
        """Planned and finished seeds of every group, in the order of the plan."""
        finished, planned = self.tally()
        known = self.coordinates()
        return [GroupSeeds(known[k], planned[k], finished.get(k, set())) for k in planned]

    def coordinates(self) -> dict[str, Coordinates]:
        """Coordinates of all planned or finished groups by their key."""
        known = {key: group.coordinates for key, group in self._planned.items()}
        return known | {source.key: source.entry.coordinates for source in self if source.rows}

    # --- numbers ---

    def made_by(self) -> dict[str, Counter[str]]:
        """How many runs each version, build and host made, see :meth:`tnqbm.Archive.made_by`."""
        runs: dict[str, Counter[str]] = {name: Counter() for name in _FACTS}
        for source, found in self.usable(True, lambda s: self._read(s, ArchiveFile.provenance)):
            facts = {"build": "", **found}
            facts["build"] = facts["build"] or f"{facts.get('tnqbm', '?')} (not recorded)"
            for name in filter(facts.__contains__, _FACTS):
                runs[name][one_page(str(facts[name]), 200)] += len(source.rows)
        return {name: counts for name, counts in runs.items() if counts}

    def block(self, source: Source) -> Block:
        """A whole block, verified; ArchiveError naming it if it is damaged."""
        key = (source.path, source.entry.name)
        if key not in self._cache:
            block = self._read(source, ArchiveFile.block)
            if len(self._cache) >= _CACHED_BLOCKS:
                self._cache.pop(next(iter(self._cache)))
            self._cache[key] = block
        return self._cache[key]

    def check(self, source: Source) -> None:
        """ArchiveError if a block is known to be damaged."""
        if source.fault:
            raise self._refuse(source, source.fault)

    def finals(self, source: Source) -> BlockFinals:
        """Final values of all runs of a block and its provenance."""
        return self._read(source, ArchiveFile.finals)

    def trajectory(self, source: Source, row: int) -> Trajectory:
        """The trajectory of the run in one row of a block."""
        block = self.block(source)
        with gate.reading(f"block {source.entry.name} of {source.path}"):
            return block.trajectory(row)

    def run_rows(self, source: Source) -> list[RunRow]:
        """A typed row for every row of the source."""
        finals = self.finals(source)
        columns = {name: column.tolist() for name, column in finals.columns.items()}
        absent = [None] * len(source.entry.seeds)
        metrics = [(name, columns.get(name, absent)) for name in METRICS]
        texts = [(name, columns.get(name, absent)) for name in TEXTS]
        totals = [
            (name.removeprefix(TOTALS), columns[name])
            for name in sorted(columns)
            if name.startswith(TOTALS)
        ]
        coordinates, seeds, steps = source.entry.coordinates, columns["seed"], columns[STEPS]
        nothing: dict[str, str] = {}  # one for all rows, which are many
        failure = nothing
        if "failed" in columns["stopped"]:
            failure = failure_facts(json.loads(finals.provenance))
        found = [
            RunRow(
                coordinates,
                seeds[row],
                {name: column[row] for name, column in metrics},
                steps[row],
                **{name: column[row] or "" for name, column in texts},
                estimator={name: column[row] for name, column in totals} if totals else nothing,
                failure=failure if columns["stopped"][row] == "failed" else nothing,
            )
            for row in source.rows
        ]
        group = Group.of(coordinates)
        for row in found:
            vars(row)["group"] = group  # the cached property, which takes time for each row
        return found

    def _read(self, source: Source, read: Callable[[ArchiveFile, str], T]) -> T:
        """``read(file, name)`` on a block, wherever it is by now; damage is noted."""
        self.check(source)
        try:
            return self._read_where_it_is(source, read)
        except ArchiveError as exc:
            raise self._refuse(source, str(exc)) from exc

    def _read_where_it_is(self, source: Source, read: Callable[[ArchiveFile, str], T]) -> T:
        if source.path not in self._open:
            if source.path == self.path:
                raise ValueError(f"the archive {self.path} has been closed")
            try:
                self._keep_open(ArchiveFile(source.path))
            except FileNotFoundError:
                # It has been joined with others since, or has become a block of the archive.
                return self._read_where_it_went(source, read)
        return read(self._open[source.path], source.entry.name)

    def _keep_open(self, file: ArchiveFile) -> None:
        """Keep a file open, as opening one means reading it whole; the archive itself for good."""
        if len(self._open) >= _OPEN_FILES:
            self._open.pop(next(path for path in self._open if path != self.path)).close()
        self._open[file.path] = file

    def _read_where_it_went(self, source: Source, read: Callable[[ArchiveFile, str], T]) -> T:
        for _ in range(20):
            try:
                for path in archive_files(self.path):
                    with ArchiveFile(path) as file:
                        for entry in file.header.contents:
                            if entry.digest == source.entry.digest:
                                return read(file, entry.name)
            except FileNotFoundError:
                continue  # this one has been joined, too
            break
        raise ArchiveError(f"{source.path} has gone since the archive was opened; open it again")


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
