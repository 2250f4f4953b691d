"""Checking an archive from end to end: what is damaged, what is whole, and what made it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tnqbm.archive.contents import archive_files
from tnqbm.archive.coordinates import coordinates_key, describe
from tnqbm.archive.file import ArchiveFile
from tnqbm.base.errors import ArchiveError
from tnqbm.base.text import one_page, short_repr
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


FACTS = ("tnqbm", "build", "host")
"""What blocks say about themselves that may differ within an archive."""


def made_by(path: str | Path) -> dict[str, Counter[str]]:
    """How many runs each version, build and host made, as the blocks say: {"host": {"a": 20}}.

    Builds of versions that did not record them are named after the version. Damaged blocks are
    left out. FileNotFoundError if there is neither an archive nor parts of one.
    """
    runs: dict[str, Counter[str]] = {name: Counter() for name in FACTS}
    for part in archive_files(path):
        try:
            with ArchiveFile(part) as file:
                for entry in file.header.contents:
                    facts = {"build": "", **_provenance(file, entry.name)}
                    facts["build"] = facts["build"] or f"{facts.get('tnqbm', '?')} (not recorded)"
                    for name in FACTS:
                        if name in facts:
                            runs[name][one_page(str(facts[name]), 200)] += len(entry.seeds)
        except (ArchiveError, FileNotFoundError):
            continue  # said elsewhere; or a part that the study has just merged
    return {name: counts for name, counts in runs.items() if counts}


def several_builds(path: str | Path) -> str:
    """A warning if the runs of an archive come from different builds, else an empty text."""
    builds = made_by(path).get("build", Counter())
    if len(builds) < 2:
        return ""
    counted = "; ".join(f"{count} by {build}" for build, count in builds.most_common())
    return f"{path}: its runs come from {len(builds)} builds, whose digits may differ: {counted}"


def _provenance(file: ArchiveFile, name: str) -> dict[str, object]:
    """What a block says about its making; nothing if it is damaged."""
    try:
        return file.provenance(name)
    except ArchiveError:
        return {}
