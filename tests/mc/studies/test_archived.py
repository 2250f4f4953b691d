"""Data of archived runs are found again by the digest that the archive holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mc.running.runner import run_study
from mc.studies.archived import find_data_file, run_target
from tests.mc.cli.calling import caller, message_of
from tnqbm.archive import Archive, merge
from tnqbm.datasets import load_split, read_samples

call = caller()
message = message_of(call)

RUN = ["--run", "paulis=Z", "--run", "seed=1"]
STUDY = """
name = "own"
seeds = 1
seed = 7
[model]
paulis = ["Z"]
visible = 4
hidden = 1
[data]
name = ["sub/rows.csv", "bas"]
test_fraction = {fraction}
[training]
iterations = 5
"""


def make(folder: Path, fraction: float = 0.0) -> Path:
    """An archive in ``folder``/results, trained on ``folder``/study/sub/rows.csv."""
    (folder / "study" / "sub").mkdir(parents=True)
    (folder / "results").mkdir()
    rows = np.random.default_rng(3).integers(0, 2, (40, 4))
    np.savetxt(folder / "study" / "sub" / "rows.csv", rows, fmt="%d", delimiter=",")
    text = STUDY.format(fraction=fraction)
    if fraction:
        text = text.replace(', "bas"', "").replace("[training]", 'repeats = "together"\n[training]')
    (folder / "study" / "study.toml").write_text(text)
    return run_study(folder / "study" / "study.toml", folder / "results" / "o.h5", progress=False)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = make(tmp_path)
    monkeypatch.chdir(tmp_path / "study")
    return path


def answer(*words: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(*words, "--json").stdout)
    return found


def test_by_name_beside_the_study_and_beside_the_archive(archive: Path, tmp_path: Path) -> None:
    data = tmp_path / "study" / "sub" / "rows.csv"
    assert find_data_file(Archive(archive), "sub/rows.csv") == data
    moved = data.rename(archive.with_name("rows.csv"))
    assert find_data_file(Archive(archive), "sub/rows.csv") == moved


def test_by_content_where_the_name_is_another(archive: Path, tmp_path: Path) -> None:
    data = tmp_path / "study" / "sub" / "rows.csv"
    (tmp_path / "study" / "a.csv").write_text("0,1,0,1\n")
    moved = data.rename(tmp_path / "study" / "b.csv")
    assert find_data_file(Archive(archive), "sub/rows.csv") == moved


def test_the_right_file_is_taken_before_one_of_its_name(archive: Path, tmp_path: Path) -> None:
    right = (tmp_path / "study" / "sub" / "rows.csv").rename(archive.with_name("rows.csv"))
    (tmp_path / "study" / "sub" / "rows.csv").write_text("0,1,0,1\n")
    assert find_data_file(Archive(archive), "sub/rows.csv") == right


def test_a_file_that_changed_or_is_gone(archive: Path, tmp_path: Path) -> None:
    data = tmp_path / "study" / "sub" / "rows.csv"
    data.write_text(data.read_text() + "0,1,0,1\n")
    for command in ("evaluate", "logz", "quality"):
        text = message(command, archive, *RUN, "--run", "data=sub/rows.csv")
        assert "its SHA-256 differs" in text
        assert "--data FILE" in text
    data.unlink()
    for command in ("evaluate", "logz", "quality"):
        text = message(command, archive, *RUN, "--run", "data=sub/rows.csv")
        assert str(archive.parent) in text
        assert "say where it is: --data FILE" in text


def test_runs_on_built_in_data_need_no_file(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "study" / "sub" / "rows.csv").unlink()
    found = answer("evaluate", archive, *RUN, "--run", "data=bas")
    assert found["data"] == "bas"
    with Archive(archive) as opened:
        run = opened.run(data="bas", seed=1)
        assert run_target(opened, run.coordinates).n_states == 4
        assert found["tvd"] == pytest.approx(run.trajectory.final["tvd"], abs=1e-12)


def test_merged_archives_ask_for_the_data(archive: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged.h5"
    merge([archive], merged)
    assert "merged archives do not" in message(
        "evaluate", merged, *RUN, "--run", "data=sub/rows.csv"
    )


def test_evaluate_logz_and_quality_use_what_the_run_was_trained_on(tmp_path: Path) -> None:
    path = make(tmp_path, fraction=0.25)
    source = tmp_path / "study" / "sub" / "rows.csv"
    data = source.rename(path.with_name("rows.csv"))
    train, test = load_split(data, 4, test_fraction=0.25, repeats="together", seed=7)
    assert test is not None
    with Archive(path) as opened:
        run = opened.run(seed=1)
        final = run.trajectory.final
        found = run_target(opened, run.coordinates)
    assert np.array_equal(found.states, train.states)
    assert np.array_equal(found.probabilities, train.probabilities)
    for words in (["evaluate"], ["logz", "--method", "exact"]):
        shown = answer(words[0], path, *RUN, *words[1:])
        assert shown["nll"] == pytest.approx(final["nll"], abs=1e-12)
        assert shown["data"] == str(data)
    shown = answer("quality", path, *RUN, "--chains", "4", "--samples", "5", "--kernel", "block")
    assert (shown["quality"]["n_data"], shown["quality"]["n_test"]) == (
        train.n_samples,
        test.n_samples,
    )
    assert len(read_samples(data)) == 40
