"""Parts of a study under way are few, whatever the number of runs, and none is ever lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import mc.running.runner
from mc import run_study
from mc.running import workspace as workspace_module
from mc.running.workspace import Workspace
from tests.archive_samples import PROVENANCE, coordinates, record
from tests.mc.studies.samples import Disturbance, interrupted, run, tiny
from tnqbm.archive import Archive, PlannedGroup, block_name, write_block, write_plan
from tnqbm.archive.merging import join_parts
from tnqbm.base.errors import ArchiveError

WHERE = coordinates()


def made(out: Path, seeds: range) -> Workspace:
    """The parts of a study of one group, one run in each."""
    workspace = Workspace(out)
    workspace.folder.mkdir()
    write_plan(workspace.folder, [PlannedGroup(WHERE, list(seeds))], "", PROVENANCE)
    for seed in seeds:
        path = workspace.folder / f"{block_name(WHERE, [seed])}.h5"
        write_block(path, [record(WHERE, seed)], PROVENANCE)
    return workspace


def test_a_study_leaves_few_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    out, most = tmp_path / "out.h5", 0
    written = mc.running.train_task.write_block

    def counted(*arguments: Any) -> None:
        nonlocal most
        written(*arguments)
        most = max(most, len(Workspace(out).parts()))

    monkeypatch.setattr(mc.running.train_task, "write_block", counted)
    monkeypatch.setattr(mc.running.runner, "MOST_PARTS", 2)
    assert run(tiny(run__batch=1), out).fingerprint() == reference
    assert most == 4
    assert not Workspace(out).folder.exists()


def test_a_study_goes_on_from_joined_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    out = tmp_path / "out.h5"
    monkeypatch.setattr(mc.running.runner, "MOST_PARTS", 2)
    with monkeypatch.context() as patch:
        patch.setattr(mc.running.runner, "_assemble", lambda *_: None)
        with interrupted(patch, 60), pytest.raises(KeyboardInterrupt):
            run_study(tiny(run__batch=1), out, progress=False)
    names = [path.name for path in Workspace(out).parts()]
    assert any(name.startswith("joined-") for name in names)
    assert len(names) <= 3
    finished, planned = Archive(out).progress
    assert 3 < finished < planned == 12
    with monkeypatch.context() as patch:
        rest = Disturbance(patch, -1, lambda: None)
        assert run(tiny(run__batch=1), out, resume=True).fingerprint() == reference
    assert rest.count <= 11 * (12 - finished)  # finished runs are not trained again


def test_thousands_of_parts_become_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an earlier version left them; no more than so many files are open at once."""
    monkeypatch.setattr(workspace_module, "_JOINED", 7)
    workspace = made(tmp_path / "out.h5", range(30))
    with Archive(workspace.out) as archive:
        prints = archive.fingerprint()
    workspace.join_parts(30)
    assert len(workspace.parts()) == 30
    sizes = []
    join = workspace._join
    monkeypatch.setattr(workspace, "_join", lambda parts: sizes.append(len(parts)) or join(parts))
    workspace.join_parts(6)
    assert 3 <= len(workspace.parts()) <= 6
    assert max(sizes) == 7
    assert Archive(workspace.out).progress == (30, 30)
    assert Archive(workspace.out).fingerprint() == prints
    assert Archive(workspace.out).verify().ok


def test_runs_are_seldom_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in proportion to their number: a few times each, with files that stand in for parts."""
    workspace = Workspace(tmp_path / "out.h5")
    workspace.folder.mkdir()
    written = most = 0

    def joined(parts: list[Path]) -> None:
        nonlocal written
        size = sum(path.stat().st_size for path in parts)
        written += size
        for path in parts:
            path.unlink()
        (workspace.folder / f"joined-{written}.h5").write_bytes(bytes(size))

    monkeypatch.setattr(workspace, "_join", joined)
    for number in range(1000):
        (workspace.folder / f"{number}.h5").write_bytes(bytes(1))
        most = max(most, len(workspace.parts()))
        workspace.join_parts(10)
    assert most == 11
    assert written < 6 * 1000


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", range(8))
def test_a_kill_at_any_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Before and after a file gets its name, and before each removal."""
    workspace = made(tmp_path / "out.h5", range(7))
    prints = Archive(workspace.out).fingerprint()
    count = 0
    replace, unlink = os.replace, Path.unlink

    def step() -> None:
        nonlocal count
        count += 1
        if count - 1 == at:
            raise Killed

    def replaced(*arguments: Any) -> None:
        step()
        replace(*arguments)
        step()

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".h5":
            step()
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replaced)
        patch.setattr(Path, "unlink", unlinked)
        with pytest.raises(Killed):
            workspace.join_parts(2)
    assert Archive(workspace.out).fingerprint() == prints
    assert Archive(workspace.out).progress == (7, 7)
    workspace.join_parts(2)
    assert len(workspace.parts()) <= 2
    assert Archive(workspace.out).fingerprint() == prints
    earlier = workspace.read()
    assert (len(earlier.finished), earlier.warnings) == (7, [])
    workspace.assemble([PlannedGroup(WHERE, list(range(7)))], "", PROVENANCE)
    assert Archive(workspace.out).fingerprint() == prints


def test_readers_follow_runs_into_joined_parts(tmp_path: Path) -> None:
    workspace = made(tmp_path / "out.h5", range(6))
    archive = Archive(workspace.out)
    prints = Archive(workspace.out).fingerprint()
    for most in (4, 2):
        workspace.join_parts(most)
        assert archive.fingerprint() == prints
    workspace.assemble(archive.plan, "", PROVENANCE)
    assert Archive(workspace.out).fingerprint() == prints
    assert archive.fingerprint() == prints


def test_damage_to_one_block_costs_its_runs_alone(tmp_path: Path) -> None:
    workspace = made(tmp_path / "out.h5", range(6))
    workspace.join_parts(2)
    (joined,) = (path for path in workspace.parts() if path.name.startswith("joined"))
    held, _ = Archive(workspace.out).progress
    data = bytearray(joined.read_bytes())
    with_block = data.index(b"2025-01-01T10:00:00", len(data) // 2)
    data[with_block] ^= 0x01
    joined.write_bytes(data)
    earlier = workspace.read()
    assert held == 6
    assert len(earlier.finished) == 5
    assert len(earlier.warnings) == 1
    assert "computed again" in earlier.warnings[0]
    assert not joined.exists()
    workspace.parts()[0].write_bytes(b"")
    again = workspace.read()
    assert len(again.finished) < 5
    assert len(again.warnings) == 1
    assert workspace.read().warnings == []


def test_what_cannot_be_joined_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = made(tmp_path / "out.h5", range(5))

    def full(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(workspace_module, "join_parts", full)
        workspace.join_parts(2)
    assert len(workspace.parts()) == 5
    part = workspace.parts()[0]
    part.write_bytes(part.read_bytes()[:-100])
    workspace.join_parts(2)
    assert len(workspace.parts()) == 5


def test_runs_that_are_not_the_same_are_not_joined(tmp_path: Path) -> None:
    workspace = made(tmp_path / "out.h5", range(2))
    first, second = workspace.parts()
    target = tmp_path / "joined.h5"
    shutil.copy(first, tmp_path / "copy.h5")
    assert len(join_parts([first, second, tmp_path / "copy.h5"], target)) == 2
    later = record(WHERE, 0, started="2026-01-01T00:00:00+00:00")
    write_block(tmp_path / "later.h5", [later, record(WHERE, 5)], PROVENANCE)
    entries = join_parts([first, tmp_path / "later.h5"], target)
    assert sorted(seed for entry in entries for seed in entry.seeds) == [0, 5]
    write_block(tmp_path / "other.h5", [record(WHERE, 0, salt=1)], PROVENANCE)
    with pytest.raises(ArchiveError, match="seed=0 has different numbers"):
        join_parts([first, tmp_path / "other.h5"], target)
