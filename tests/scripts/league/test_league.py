"""The league's script on a small set: search, choice, final runs, exact numbers, tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tnqbm
from tests.scripts.loading import load

N, UNIT = 6, 2
LEAGUE = load("league")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("league")
    rng = np.random.default_rng(1)
    for part, rows in (("train", 200), ("valid", 60), ("test", 80)):
        bits = (rng.random((rows, N)) < np.linspace(0.1, 0.9, N)).astype(np.uint8)
        np.savetxt(folder / f"tiny.{part}.data", bits, fmt="%d", delimiter=",")
    LEAGUE.league.league(small(), folder, folder, seeds=2, ranks=1)
    return folder


def small() -> object:
    sets = LEAGUE.sets
    return sets.DataSet(
        "tiny", "Tiny", N, UNIT,
        {part: f"tiny.{part}.data" for part in ("train", "valid", "test")},
        {**sets.EXACT, "iterations": 40},
        sets.trials((0.1, 1e-9), (0.001,)),
        bandwidth=1.0,
    )  # fmt: skip


def test_the_trial_with_the_likeliest_validation_rows_is_chosen(out: Path) -> None:
    with tnqbm.Archive(out / "tiny-search.h5") as search:
        nll = {
            (run.coordinates["paulis"], run.coordinates["gradient"]): run.trajectory.valid_nll[-1]
            for run in search.runs()
        }
    assert len(nll) == 6
    for row in json.loads((out / "tiny.json").read_text())["runs"]:
        of_set = {trial: value for (paulis, trial), value in nll.items() if paulis == row["paulis"]}
        assert row["trial"] == min(of_set, key=lambda trial: of_set[trial])


def test_numbers_are_exact_and_parameters_equal(out: Path) -> None:
    test = np.loadtxt(out / "tiny.test.data", delimiter=",").astype(np.uint8)
    rows = json.loads((out / "tiny.json").read_text())["runs"]
    assert {row["seed"] for row in rows} == {11, 12}
    assert len({row["parameters"] for row in rows}) == 1
    with tnqbm.Archive(out / "tiny.h5") as archive:
        for row, run in zip(rows, archive.runs(), strict=True):
            assert run.model is not None
            log_z = tnqbm.exact.log_partition(run.model)
            assert row["lower"] == row["upper"] == pytest.approx(log_z)
            assert row["test"] == pytest.approx(run.model.log_weight(test).mean() - log_z)
            assert -4.5 < row["independent"] < -2.5


def test_an_interrupted_evaluation_keeps_finished_runs(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = LEAGUE.evaluation
    asked: list[int] = []
    whole = evaluation._row

    measures = evaluation.Measures(evaluation.METHODS[1:], 1.0)

    def stopping(archive: Path, index: int, asked_for: object) -> object:
        asked.append(index)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return whole(archive, index, asked_for)

    monkeypatch.setattr(evaluation, "_row", stopping)
    result = tmp_path / "tiny.json"
    with pytest.raises(KeyboardInterrupt):
        evaluation.evaluate(out / "tiny.h5", result, measures, workers=1)
    evaluation.evaluate(out / "tiny.h5", result, measures, workers=1)
    assert asked == [0, 1, 2, 2, 3, 4, 5]
    assert result.read_text() == (out / "tiny.json").read_text()
    assert not result.with_suffix(".runs").exists()


def test_tables_and_figure(out: Path) -> None:
    pytest.importorskip("matplotlib")
    data = small()
    page = out / "page.md"
    page.write_text("Before.\n<!-- league -->\nold\n<!-- end of league -->\nAfter.\n")
    LEAGUE.league.put(page, {"league": LEAGUE.tables.markdown([data], out)})
    text = page.read_text()
    assert text.startswith("Before.")
    assert text.endswith("After.\n")
    assert "old" not in text
    assert "| Tiny | 6 |" in text
    assert "squared MMD" in text
    LEAGUE.tables.figure([data], out, out / "league.svg")
    assert (out / "league.svg").stat().st_size > 1000
    with pytest.raises(ValueError, match=r"tiny.toml: the page must have one line <!-- league -->"):
        LEAGUE.league.put(out / "tiny.toml", {"league": "text"})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nltcs.train.data is not there; .*sets.py says"):
        LEAGUE.sets.SETS[0].study_data(tmp_path)


def test_sizes_give_equal_numbers_of_parameters() -> None:
    for data in LEAGUE.sets.SETS:
        counts = {len(paulis) * m for paulis, m in data.hidden.items()}
        assert len(counts) == 1, data.name


def test_the_page_has_the_tables_of_the_published_results(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    published = root / "data" / "results" / "league"
    page = tmp_path / "league.md"
    text = (root / "docs" / "league.md").read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    sets = [data for data in LEAGUE.sets.SETS if (published / f"{data.name}.json").is_file()]
    assert len(sets) >= 4
    LEAGUE.league.put(page, {"league": LEAGUE.tables.markdown(sets, published)})
    assert page.read_text(encoding="utf-8") == text
