"""Archives from parts and from other archives: every run once, all of them verified."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tnqbm.archive.blocks import Block
from tnqbm.archive.contents import (
    PLAN_FILE,
    Entry,
    archive_files,
    read_block,
    write_archive_file,
    write_block_group,
)
from tnqbm.archive.coordinates import PlannedGroup, coordinates_key, describe, unite_plans
from tnqbm.archive.file import ArchiveFile
from tnqbm.base.errors import ArchiveError
from tnqbm.files.atomic import remove_stale
from tnqbm.files.outputs import ARCHIVE, check_output
from tnqbm.files.storage import package_version


def assemble(
    out: str | Path,
    *,
    plan: Sequence[PlannedGroup],
    study_text: str,
    provenance: Mapping[str, str],
    parts: Iterable[str | Path],
    base: str | Path | None = None,
    without: Collection[tuple[str, int]] = (),
) -> None:
    """Build the archive ``out`` from part files and the blocks of an earlier archive ``base``.

    Blocks are verified and written anew. A run that occurs more than once is kept once if
    its numbers are identical; if they differ, ArchiveError names it. Runs ``without``, canonical
    coordinates and seed of each, are left out. ``base`` may be ``out``,
    which is replaced in one step; on any error it stays as it was. Raises ArchiveError for a
    damaged input and OSError naming the path if ``out`` cannot be written. Needs memory of twice
    the size of the archive.
    """
    sources = ([Path(base)] if base is not None else []) + [Path(part) for part in parts]
    remove_stale(out)
    write_archive_file(
        out,
        "archive",
        lambda group: _Collector(group, without=without).add_all(sources),
        plan=plan,
        study_text=study_text,
        provenance=provenance,
    )


def merge(
    inputs: Sequence[str | Path],
    out: str | Path,
    overwrite: bool = False,
    *,
    skip_damaged: bool = False,
) -> None:
    """Join several archives (and the finished parts of studies under way) into one.

    Plans are united; runs found more than once are treated as by :func:`assemble`. With
    ``skip_damaged`` damaged blocks are left out, which rescues what is whole of a damaged file.
    Raises what :func:`tnqbm.files.outputs.check_output` says about ``out``, and errors as
    :func:`assemble`.
    """
    if not inputs:
        raise ValueError("nothing to merge: name at least one archive")
    read = [file for path in inputs for file in archive_files(path)]
    out = check_output(out, ARCHIVE, overwrite=overwrite, inputs=read)
    sources: list[Path] = []
    plan: list[PlannedGroup] = []
    texts: dict[str, str] = {}
    for path in map(Path, inputs):
        files = archive_files(path)
        with ArchiveFile(files[-1] if files[-1].name == PLAN_FILE else files[0]) as file:
            if file.header_fault and not skip_damaged:
                raise ArchiveError(file.header_fault)
            plan += file.header.plan
            texts.setdefault(file.header.study_text, path.name)
        sources += files
    study = next(iter(texts))
    if len(texts) > 1:
        study = "\n".join(f"# --- study of {name} ---\n{text}" for text, name in texts.items())
    names = ", ".join(Path(path).name for path in inputs)
    write_archive_file(
        out,
        "archive",
        lambda group: _Collector(group, skip_damaged).add_all(sources),
        plan=[*unite_plans(plan).values()],
        study_text=study,
        provenance={"merged_from": names, "tnqbm": package_version()},
        overwrite=overwrite,
    )


def join_parts(
    parts: Sequence[str | Path], out: str | Path, *, skip_damaged: bool = False
) -> list[Entry]:
    """Write the blocks of several part files into one, every run once; what stands in it.

    The files that are joined stay. Needs memory of twice their size. Errors as :func:`assemble`,
    and with ``skip_damaged`` damaged blocks are left out.
    """
    found: list[Entry] = []

    def fill(group: Any) -> list[Entry]:
        copied = _copied(group, parts)
        if copied is None:
            collector = _Collector(group, skip_damaged, scales=False)
            copied = collector.add_all([*map(Path, parts)])
        found.extend(copied)
        return found

    write_archive_file(out, "part", fill, provenance={"tnqbm": package_version()})
    return found


def _copied(group: Any, parts: Sequence[str | Path]) -> list[Entry] | None:
    """The blocks of parts as they are, which takes a tenth of the time of writing them anew.

    None, and nothing is copied, if a part is not as it was written or two blocks are not quite the
    same but share a run.
    """
    with contextlib.ExitStack() as stack:
        found: dict[str, tuple[ArchiveFile, Entry]] = {}
        runs: dict[tuple[str, int], str] = {}
        for path in parts:
            try:
                file = stack.enter_context(ArchiveFile(path))
            except ArchiveError:
                return None
            if file.seal.status != "whole":
                return None
            for entry in file.header.contents:
                owners = {runs.setdefault((entry.key, seed), entry.digest) for seed in entry.seeds}
                if owners != {entry.digest}:
                    return None
                found.setdefault(entry.name, (file, entry))
        for name, (file, _) in found.items():
            group.copy(file.group(name), group, name=name)
        entries = [replace(entry, finals=file.finals(entry.name)) for file, entry in found.values()]
    return sorted(entries, key=lambda entry: entry.name)


class _Collector:
    """Gathers blocks from files into one HDF5 group, every run once."""

    def __init__(
        self,
        group: Any,
        skip_damaged: bool = False,
        without: Collection[tuple[str, int]] = (),
        *,
        scales: bool = True,
    ) -> None:
        self._group, self._without, self._scales = group, frozenset(without), scales
        self._skip_damaged = skip_damaged
        self._owner: dict[tuple[str, int], tuple[Path, str]] = {}
        self._names: set[str] = set()
        self._recent: dict[str, Block] = {}

    def add_all(self, sources: Sequence[Path]) -> list[Entry]:
        entries: list[Entry] = []
        for path in sources:
            file = self._open(path)
            if file is not None:
                with file:
                    entries += self._add(file)
        return sorted(entries, key=lambda entry: entry.name)

    def _open(self, path: Path) -> ArchiveFile | None:
        try:
            file = ArchiveFile(path)
        except ArchiveError:
            if self._skip_damaged:
                return None
            raise
        problem = file.known_fault()
        if problem and not self._skip_damaged:
            file.close()
            raise ArchiveError(problem)
        return file

    def _add(self, file: ArchiveFile) -> list[Entry]:
        entries = []
        for entry in file.header.contents:
            if entry.name in file.faults:
                continue
            try:
                block = file.block(entry.name)
            except ArchiveError:
                if self._skip_damaged:
                    continue
                raise
            new = self._new_rows(block, file)
            if not new:
                continue
            block = block if len(new) == len(block.seeds) else block.select(new)
            if block.name in self._names:
                raise ArchiveError(f"{file.where(entry.name)}: its name is taken by other runs")
            self._names.add(block.name)
            key = coordinates_key(block.coordinates)
            for seed in block.seeds:
                self._owner[key, seed] = (file.path, block.name)
            # Written anew, not copied: what is damaged beside the numbers makes HDF5 hang.
            entries.append(write_block_group(self._group, block, scales=self._scales))
        return entries

    def _new_rows(self, block: Block, file: ArchiveFile) -> list[int]:
        """Rows not collected yet; ArchiveError if one was collected with other numbers."""
        key = coordinates_key(block.coordinates)
        new = []
        for row, seed in enumerate(block.seeds):
            if (key, seed) in self._without:
                continue
            if (key, seed) not in self._owner:
                new.append(row)
                continue
            first, name = self._owner[key, seed]
            earlier = self._collected(name)
            if earlier.fingerprint(earlier.seeds.index(seed)) != block.fingerprint(row):
                raise ArchiveError(
                    f"the run {describe(block.coordinates)} seed={seed} has different numbers in "
                    f"{first} and {file.path}: they come from different settings, study "
                    "seeds or versions; keep them in separate archives"
                )
        return new

    def _collected(self, name: str) -> Block:
        """A block that is already in the new archive; the last one is remembered."""
        if name not in self._recent:
            self._recent = {name: read_block(self._group[name], f"block {name}")}
        return self._recent[name]
