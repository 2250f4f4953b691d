"""Running a study in one process: the archive, output paths, resuming."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from llvmlite.binding import get_host_cpu_name
from numba.core.config import CPU_NAME

import mc.running.prepare
import mc.running.train_task
import tnqbm
from mc import RunFailed, run_study
from mc.studies.text import dump_toml
from tests.mc.studies.samples import (
    Disturbance,
    drive,
    run,
    tiny,
)
from tnqbm.archive import Archive
from tnqbm.base.errors import ArchiveError, StudyError


def test_a_study_becomes_an_archive(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    assert run_study(tiny(), out, progress=False) == out
    archive = Archive(out)
    assert archive.progress == (12, 12)
    assert archive.verify().ok
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
    run_ = archive.run(paulis="XYZ", hidden=2, seed=3)
    assert run_.trajectory.step[-1] == 30
    assert len(run_.trajectory.step) == 10
    assert len(run_.snapshots) == 3
    assert run_.model is not None
    assert archive.provenance["ranks"] == "1"
    assert archive.provenance["processor"] == (CPU_NAME or get_host_cpu_name())
    assert archive.provenance["starts"] == "1"
    assert "tiny" in archive.study_text


def test_archives_say_which_builds_made_their_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mc.cli import cli
    from mc.running import provenance
    from tnqbm.archive import merge
    from tnqbm.archive.verify import several_builds

    first = provenance.build()
    version, source, *machine = first.split(", ")
    assert version == tnqbm.__version__
    assert re.fullmatch("source [0-9a-f]{12}", source)
    assert machine[0] == (CPU_NAME or get_host_cpu_name())
    raw = tiny(model__paulis="Z", model__hidden=1)
    archive = run({**raw, "seeds": 2}, tmp_path / "a.h5")
    assert archive.provenance["build"] == first
    assert archive.made_by()["build"] == {first: 2}
    assert several_builds(archive.path) == ""

    other = f"{version}, source 0123456789ab, other"
    for module in (provenance, mc.running.prepare):
        monkeypatch.setattr(module, "build", lambda: other)
    run_study(raw, tmp_path / "a.h5", resume=True)
    assert f"made by another build ({first})" in capsys.readouterr().err
    assert Archive(tmp_path / "a.h5").made_by()["build"] == {first: 2, other: 1}
    merge([tmp_path / "a.h5"], tmp_path / "b.h5")
    assert "2 builds" in several_builds(tmp_path / "b.h5")
    shown = CliRunner().invoke(cli, ["show", str(tmp_path / "b.h5")]).stdout
    assert f"2 runs made by tnqbm {first}" in shown
    assert f"1 run made by tnqbm {other}" in shown
    merging = ["merge", str(tmp_path / "a.h5"), "-o", str(tmp_path / "c.h5")]
    assert "2 builds" in CliRunner().invoke(cli, merging).stderr


def test_what_output_does_not_want_is_not_kept(tmp_path: Path) -> None:
    raw = tiny(output={"records": "all", "metrics": ["tvd"], "model": False})
    trajectory = run(raw, tmp_path / "out.h5").run(paulis="Z", hidden=1, seed=1).trajectory
    assert trajectory.model is None
    assert trajectory.kl is None
    assert trajectory.tvd is not None
    assert trajectory.tvd.shape == (31,)
    assert trajectory.snapshots == []


def test_a_run_is_what_training_it_alone_gives(tmp_path: Path) -> None:
    from mc import load_study
    from tnqbm import train

    study = load_study(tiny())
    archive = run(tiny(), tmp_path / "out.h5")
    coordinates = study.combinations()[-1]
    alone = train(
        study.initial_model(coordinates, 2),
        study.target(coordinates, 2),
        iterations=30,
        records=10,
        snapshots=3,
    )
    kept = archive.run(**coordinates, seed=2).trajectory
    assert kept.model == alone.model
    assert np.array_equal(kept.metric("kl"), alone.metric("kl"))
    assert kept.snapshots == alone.snapshots


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_numbers_do_not_depend_on_the_batch(tmp_path: Path, batch: int, reference: str) -> None:
    assert run(tiny(run={"batch": batch}), tmp_path / "out.h5").fingerprint() == reference


def test_numbers_do_not_depend_on_chunks_and_checkpoints(
    tmp_path: Path, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Disturbance(monkeypatch, -1, lambda: None)
    raw = tiny(run={"batch": 2, "checkpoint_seconds": 0})
    assert run(raw, tmp_path / "out.h5").fingerprint() == reference


@pytest.mark.parametrize("threads", ["1", "2"])
def test_numbers_do_not_depend_on_threads(tmp_path: Path, threads: str, reference: str) -> None:
    out = drive(tiny(run={"batch": 3}), tmp_path, env={"NUMBA_NUM_THREADS": threads})
    assert out["fingerprint"] == reference


# --- output paths ------------------------------------------------------------------------------


def test_an_existing_archive_is_not_touched_unless_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run_study(tiny(seeds=1), out, progress=False)
    before = out.read_bytes()
    with pytest.raises(FileExistsError, match="--resume") as caught:
        run_study(tiny(), out, progress=False)
    assert "--overwrite" in str(caught.value)
    assert out.read_bytes() == before
    assert run(tiny(seeds=2), out, overwrite=True).progress == (8, 8)


def test_overwrite_replaces_even_a_damaged_archive(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run_study(tiny(), out, progress=False)
    out.write_bytes(out.read_bytes()[:-100])
    assert run(tiny(), out, overwrite=True).verify().ok


def test_overwrite_and_resume_leave_other_files_alone(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    out.write_bytes(b"nonsense")
    with pytest.raises(ArchiveError, match="is not an HDF5 file"):
        run_study(tiny(), out, progress=False, resume=True)
    with pytest.raises(ValueError, match="was not written as an archive"):
        run_study(tiny(), out, progress=False, overwrite=True)
    study = tmp_path / "study.h5"
    study.write_text(text := dump_toml(tiny()))
    with pytest.raises(ValueError, match="which is read here"):
        run_study(study, study, progress=False, overwrite=True)
    assert out.read_bytes() == b"nonsense"
    assert study.read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "study.h5"]


def test_bad_output_paths_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mc.running.train_task, "train_task", None)
    with pytest.raises(FileNotFoundError, match="create it first"):
        run_study(tiny(), tmp_path / "absent" / "out.h5", progress=False)
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        run_study(tiny(), tmp_path / "folder.h5", progress=False)
    (tmp_path / "folder.h5").rmdir()
    for name in ("", ".", tmp_path):
        with pytest.raises(ValueError, match=r"is no file name|must end in one of \.h5"):
            run_study(tiny(), name, progress=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        run_study(tiny(), tmp_path / "file" / "out.h5", progress=False)
    with pytest.raises(ValueError, match="exclude each other"):
        run_study(tiny(), tmp_path / "o.h5", resume=True, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write")
def test_an_unwritable_folder_is_refused() -> None:
    with pytest.raises(OSError, match="cannot write"):
        run_study(tiny(), "/proc/out.h5", progress=False)


def test_a_full_disk_is_reported_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:

    def full(path: Path, *_: object) -> None:
        raise OSError(28, f"cannot write {path}: no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(mc.running.train_task, "write_block", full)
        with pytest.raises(RunFailed, match="no space left"):
            run_study(tiny(), tmp_path / "out.h5", progress=False)
    assert run(tiny(), tmp_path / "out.h5", resume=True).fingerprint() == reference


# --- resuming ----------------------------------------------------------------------------------


def test_resume_of_nothing_starts(tmp_path: Path, reference: str) -> None:
    assert run(tiny(), tmp_path / "out.h5", resume=True).fingerprint() == reference


def test_resume_of_a_finished_study_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run_study(tiny(), out, progress=False)
    before = out.read_bytes()
    run_study(tiny(), out, resume=True, progress=False)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_runs_may_be_added(tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.h5"
    small = tiny(seeds=1)
    small["model"]["hidden"] = [2]
    run_study(small, out, progress=False)
    kept = Archive(out).run(paulis="Z", seed=1).started
    archive = run(tiny(), out, resume=True)
    assert archive.progress == (12, 12)
    assert archive.fingerprint() == reference
    assert archive.run(paulis="Z", hidden=2, seed=1).started == kept
    assert archive.provenance["starts"] == "2"


def test_runs_may_be_taken_away_and_stay(tmp_path: Path, reference: str) -> None:
    out = tmp_path / "out.h5"
    run_study(tiny(), out, progress=False)
    archive = run(tiny(seeds=2), out, resume=True)
    assert archive.progress == (12, 12)
    assert archive.fingerprint() == reference
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"training__learning_rate": 0.05}, "training.learning_rate was 0.1 and is now 0.05"),
        ({"training__iterations": 40}, "training.iterations was 30 and is now 40"),
        ({"model__scale": 2.0}, "model.scale was 1.0 and is now 2.0"),
        ({"seed": 5}, "seed was 0 and is now 5"),
        ({"output__records": 5}, "output.records was 10 and is now 5"),
    ],
)
def test_resume_with_other_settings_names_them(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    out = tmp_path / "out.h5"
    run_study(tiny(seeds=1), out, progress=False)
    with pytest.raises(StudyError) as caught:
        run_study(tiny(**change), out, resume=True, progress=False)
    assert words in str(caught.value)


def test_resume_with_a_changed_data_file_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "mine.csv"
    data.write_text("0,1,1,0\n1,1,0,0\n")
    raw = tiny(data__name=str(data))
    run_study(raw, tmp_path / "out.h5", progress=False)
    data.write_text("0,1,1,0\n1,1,0,1\n")
    with pytest.raises(StudyError, match=r"mine\.csv was 'sha256:"):
        run_study(raw, tmp_path / "out.h5", resume=True, progress=False)


def test_a_merged_archive_can_be_resumed(tmp_path: Path, reference: str) -> None:
    from tnqbm.archive import merge

    run_study(tiny(seeds=2), tmp_path / "a.h5", progress=False)
    merge([tmp_path / "a.h5"], tmp_path / "out.h5")
    assert run(tiny(), tmp_path / "out.h5", resume=True).fingerprint() == reference
    with pytest.raises(StudyError, match="iterations"):
        run_study(tiny(training__iterations=9), tmp_path / "out.h5", resume=True)


def test_a_foreign_file_cannot_be_resumed(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    out.write_bytes(b"not an archive at all")
    with pytest.raises(ArchiveError):
        run_study(tiny(), out, resume=True, progress=False)
    assert out.read_bytes() == b"not an archive at all"
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
