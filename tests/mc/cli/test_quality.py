"""``tnqbm quality``: its numbers are tnqbm.quality's; its figures; bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mc.running.runner import run_study
from mc.sampling.samples_file import write_samples
from tests.mc.cli.calling import caller, message_of
from tests.synthetic import ladder, write
from tnqbm.core.model import SqRBM
from tnqbm.datasets import load, split
from tnqbm.quality import assess

call = caller("quality")
message = message_of(call)

QUICK = ["--chains", "30", "--samples", "20", "--kernel", "collapsed", "--no-progress"]

STUDY = """
name = "held-out"
seeds = 1
seed = 5
[model]
paulis = ["XZ"]
visible = 6
hidden = 2
[data]
name = ["{data}"]
test_fraction = 0.25
repeats = "anywhere"
[training]
iterations = 20
"""


@pytest.fixture
def model() -> SqRBM:
    return SqRBM.uniform(6, 2, "XZ", scale=0.4, seed=3)


@pytest.fixture
def path(tmp_path: Path, model: SqRBM) -> Path:
    model.save(tmp_path / "model.h5")
    return tmp_path / "model.h5"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    states = np.random.default_rng(1).integers(0, 2, (80, 6), dtype=np.uint8)
    np.save(tmp_path / "rows.npy", states)
    return tmp_path / "rows.npy"


def test_help_has_an_example() -> None:
    text = call("--help").output
    assert "tnqbm quality model.h5" in text
    assert "--json" in text


def test_numbers_are_those_of_assess(path: Path, rows: Path, model: SqRBM, tmp_path: Path) -> None:
    states = np.random.default_rng(2).integers(0, 2, (10, 12, 6), dtype=np.uint8)
    file = write_samples(tmp_path / "samples.h5", states, {})
    words = [path, "--data", rows, "--test-fraction", "0.25", "--split-seed", "3", "--seed", "7"]
    found = json.loads(call(*words, "--samples-file", file, "--json").stdout)
    train, test = split(np.load(rows), 0.25, seed=3)
    expected = assess(states, train, test=test, model=model, seed=7)
    assert found["quality"] == json.loads(json.dumps(expected.as_dict()))
    assert found["quality"]["n_chains"] == 10
    assert found["samples"] == {"file": str(file), "chains": 10}
    text = call(*words, "--samples-file", file).output
    assert "squared MMD, bandwidth" in text
    assert "120 of 10 chains" in text
    assert f"{len(train)} rows, {len(test)} held out" in text
    assert "privacy loss" in text
    assert "support visited" not in text


def test_bandwidths(path: Path, rows: Path) -> None:
    words = ["--samples-file", rows, "--bandwidths", "0.5,2", "--json"]
    found = json.loads(call(path, "--data", rows, *words).stdout)["quality"]["discrepancy"]
    assert found["bandwidths"] == [0.5, 2]
    assert len(found["squared"]) == len(found["floor"]) == 2


@pytest.mark.parametrize(("suffix", "chains"), [(".csv", 10), (".npy", None)])
def test_chains_of_other_files(
    path: Path, rows: Path, tmp_path: Path, suffix: str, chains: int | None
) -> None:
    states = np.random.default_rng(2).integers(0, 2, (10, 12, 6), dtype=np.uint8)
    file = write_samples(tmp_path / f"samples{suffix}", states, {})
    found = json.loads(call(path, "--data", rows, "--samples-file", file, "--json").stdout)
    assert found["quality"]["n_chains"] == chains
    assert found["quality"]["n_test"] is None


def test_known_data_have_coverage_and_as_many_rows(path: Path) -> None:
    words = [path, "--data", "cardinality", *QUICK, "--seed", "4"]
    found = json.loads(call(*words, "--json").stdout)
    assert found["data_rows_drawn"] is True
    assert found["quality"]["n_data"] == found["quality"]["n_samples"] == 600
    assert found["quality"]["coverage"]["degrees"] == load("cardinality", 6).n_states - 1
    assert found["samples"]["kernel"] == "collapsed"
    assert json.loads(call(*words, "--json").stdout)["quality"] == found["quality"]
    text = call(*words).output
    assert "cardinality, 600 rows drawn from it" in text
    assert "support visited" in text
    assert "mixed" in text


def test_good_samples_are_told_from_bad_ones(tmp_path: Path) -> None:
    # Fields of the data's means, no weights: the means are right, the parity is not.
    SqRBM(np.zeros(6), np.zeros((1, 1)), np.zeros((1, 6, 1)), "Z").save(tmp_path / "fair.h5")
    found = json.loads(call(tmp_path / "fair.h5", "--data", "parity", *QUICK, "--json").stdout)[
        "quality"
    ]
    assert found["first"]["rms"]["value"] < 3 * found["first"]["floor"]["value"]
    assert found["coverage"]["inside"]["value"] == pytest.approx(0.5, abs=0.1)  # 5 std
    assert found["coverage"]["tvd"]["value"] > 5 * found["coverage"]["tvd_floor"]["value"]


def test_tempered_and_sweeps_and_init(path: Path, rows: Path) -> None:
    base = [path, "--data", rows, "--chains", "6", "--samples", "20", "--no-progress", "--json"]
    found = json.loads(call(*base, "--method", "tempered", "--sweeps", "101").stdout)["samples"]
    assert found["tempered"] is True
    assert (found["burn_in"], found["thin"]) == (61, 2)
    words = ["--kernel", "collapsed", "--sweeps", "100", "--init", "data"]
    found = json.loads(call(*base, *words).stdout)["samples"]
    assert (found["sweeps"], found["burn_in"], found["thin"]) == (100, 60, 2)


def test_a_runs_own_data_are_split_as_in_training(tmp_path: Path, rows: Path) -> None:
    text = STUDY.format(data=rows.name)
    (tmp_path / "study.toml").write_text(text)
    out = tmp_path / "out.h5"
    run_study(tmp_path / "study.toml", out)
    own = json.loads(call(out, "--run", "seed=1", *QUICK, "--json").stdout)
    found = json.loads(call(out, "--run", "seed=1", "--data", rows, *QUICK, "--json").stdout)
    assert (found["quality"]["n_data"], found["quality"]["n_test"]) == (60, 20)
    assert own["quality"] == found["quality"]
    other = json.loads(
        call(out, "seed=1", "--data", rows, "--split-seed", "5", *QUICK, "--json").stdout
    )
    assert other["quality"] == found["quality"]  # the study's seed is 5
    whole = call(out, "seed=1", "--data", rows, "--test-fraction", "0", *QUICK).output
    assert "80 rows\n" in whole


def test_figures(path: Path, rows: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    prefix = tmp_path / "look"
    words = [path, *QUICK, "-o", prefix, "--shape", "2x3", "--data"]
    text = call(*words, "bas").output
    names = [f"look-{k}.png" for k in ("moments", "energies", "adversarial", "coverage", "grid")]
    assert sorted(p.name for p in tmp_path.glob("look-*")) == sorted(names)
    assert all(name in text for name in names)
    assert "exists" in message(*words, rows)
    call(*words, rows, "--overwrite")
    assert (tmp_path / names[0]).read_bytes().startswith(b"\x89PNG")
    assert "does not exist" in message(path, *QUICK, "--data", "bas", "-o", tmp_path / "no" / "x")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "give --data"),
        (["--data", "bass"], 1, "'bass'"),
        (["--data", "digits"], 1, "64"),
        (["--data", "bas", "--test-fraction", "0.5"], 1, "known exactly"),
        (["--data", "rows.npy", "--test-fraction", "1.5"], 1, "test_fraction"),
        (
            ["--data", "rows.npy", "--samples-file", "s.npy", "--chains", "3"],
            2,
            "leave --chains away",
        ),
        (["--data", "rows.npy", "--samples-file", "none.npy"], 1, "none.npy"),
        (["--data", "bas", "--kernel", "gibbs"], 2, "'gibbs'"),
        (["--data", "bas", "--method", "tempered", "--init", "data"], 2, "init must be 'spread'"),
        (["--data", "bas", "--chains", "0"], 2, "chains must be at least 1"),
        (["--data", "bas", "--sweeps", "10"], 2, "too few"),
        (["--data", "bas", "--seed", "-1"], 2, "seeds"),
        (["--data", "bas", "--shape", "2x3"], 2, "-o PREFIX"),
        (["--data", "bas", "--bandwidths", "1,x"], 2, "0.5,1,2"),
        (["--data", "bas", "--bandwidths", "0"], 2, "positive"),
        (["--data", "bas", "-o", "x", "--shape", "4x4"], 2, "pixels"),
    ],
)
def test_bad_calls(
    path: Path,
    rows: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    says: str,
) -> None:
    if "-o" in words:
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert says in message(path, *words, code=code)


def test_samples_of_another_size(path: Path, rows: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((10, 7), dtype=np.uint8))
    text = message(path, "--data", rows, "--samples-file", tmp_path / "wide.npy")
    assert "7 bits, but the model has 6 units" in text


def test_an_archive_without_a_run(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.h5", ladder({1: [0.5, 0.6]}))
    assert "--run" in message(archive, "--data", "bas", code=2)
