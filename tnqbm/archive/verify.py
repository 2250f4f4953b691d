"""Checking an archive from end to end: what is damaged, and what is whole."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tnqbm.archive.contents import archive_files
from tnqbm.archive.coordinates import coordinates_key, describe
from tnqbm.archive.file import ArchiveFile
from tnqbm.archive.finals import BlockFinals, final_columns
from tnqbm.archive.sources import Sources
from tnqbm.base.errors import ArchiveError
from tnqbm.base.text import short_repr
from tnqbm.files.storage import OtherFileError


@short_repr
@dataclass(frozen=True)
class VerifyReport:
    """The result of :func:`verify_archive`.

    ``ok``: nothing is damaged. ``blocks_checked`` and ``runs_whole`` count blocks read and runs
    whose every number is as it was written; ``problems`` says in words what is wrong;
    ``damaged`` and ``whole`` name the blocks.
    """

    ok: bool
    blocks_checked: int
    runs_whole: int
    problems: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        runs = f"{self.runs_whole} run{'s' * (self.runs_whole != 1)}"
        if self.ok:
            return f"whole: {self.blocks_checked} blocks checked, {runs}"
        lines = [*self.problems, f"still whole: {runs} in {len(self.whole)} blocks"]
        return "\n".join(lines)


def verify_archive(path: str | Path) -> VerifyReport:
    """Check format, seals, every block's digest, coordinates and shapes, and that runs agree.

    The final values that a file has in one place have to be those of its blocks.

    Damage is reported, not raised. Raises FileNotFoundError if there is nothing to check, and
    OtherFileError (an ArchiveError) for a file of tnqbm or of another program that is no archive.
    """
    path = Path(path)
    check = _Check()
    for file in archive_files(path):
        check.file(file, file == path)
    return VerifyReport(
        ok=not check.problems,
        blocks_checked=len(check.damaged) + len(check.whole),
        runs_whole=len(check.runs),
        problems=check.problems,
        damaged=check.damaged,
        whole=check.whole,
    )


class _Check:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.damaged: list[str] = []
        self.whole: list[str] = []
        self.runs: dict[tuple[str, int], tuple[str, Path]] = {}

    def file(self, path: Path, main: bool) -> None:
        try:
            file = ArchiveFile(path)
        except FileNotFoundError:
            return  # a part that a study under way has just merged
        except OtherFileError as exc:
            if main:
                raise
            self._unusable(path.name, exc)
            return
        except ArchiveError as exc:
            self._unusable(path.name, exc)
            return
        with file:
            if file.seal.status == "broken":
                advice = "; 'tnqbm merge' can rescue what is whole into a new archive"
                self.problems.append(f"{path} is damaged: {file.seal.detail}{advice * main}")
            if file.header_fault:
                self.problems.append(file.header_fault)
            finals: dict[str, BlockFinals] = {}
            try:
                finals = file.tables(strict=True)
            except ArchiveError as exc:
                self.problems.append(str(exc))
            for name in sorted({e.name for e in file.header.contents} | file.faults.keys()):
                self.block(file, name, finals.get(name))

    def block(self, file: ArchiveFile, name: str, finals: BlockFinals | None) -> None:
        try:
            block = file.block(name)
        except ArchiveError as exc:
            self._unusable(name, exc)
            return
        if finals and not finals.same(BlockFinals(final_columns(block.arrays), block.origin)):
            self.problems.append(
                f"the final values of {file.path} are not those of its block {name}; "
                "'tnqbm merge' makes an archive in which they are"
            )
        self.whole.append(name)
        key = coordinates_key(block.coordinates)
        for row, seed in enumerate(block.seeds):
            fingerprint = block.fingerprint(row)
            earlier = self.runs.setdefault((key, seed), (fingerprint, file.path))
            if earlier[0] != fingerprint:
                self.problems.append(
                    f"the run {describe(block.coordinates)} seed={seed} has different numbers in "
                    f"{earlier[1]} and {file.path}"
                )

    def _unusable(self, name: str, why: ArchiveError) -> None:
        self.problems.append(str(why))
        self.damaged.append(name)


def several_builds(path: str | Path) -> str:
    """A warning if the runs of an archive come from different builds, else an empty text."""
    with contextlib.closing(Sources(Path(path))) as sources:
        builds = sources.made_by().get("build", Counter())
    if len(builds) < 2:
        return ""
    counted = "; ".join(f"{count} by {build}" for build, count in builds.most_common())
    return f"{path}: its runs come from {len(builds)} builds, whose digits may differ: {counted}"
