"""Checking an archive from end to end: what is damaged, and what is still whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tnqbm.archive.blocks import coordinates_key, describe
from tnqbm.archive.file import ArchiveFile
from tnqbm.archive.write import archive_files
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
            for name in sorted({e.name for e in file.header.contents} | file.faults.keys()):
                self.block(file, name)

    def block(self, file: ArchiveFile, name: str) -> None:
        try:
            block = file.block(name)
        except ArchiveError as exc:
            self._unusable(name, exc)
            return
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
