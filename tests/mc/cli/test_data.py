"""``tnqbm data``: what it says of files, and the lines for a study."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from mc.studies.file import load_study
from mc.studies.study import Study
from tests.mc.cli.calling import caller, check_help, message_of
from tnqbm import datasets

call = caller("data")
message = message_of(call)

REST = 'seeds = 1\nname = "x"\n'


def pasted(lines: str) -> Study:
    """A study with these lines."""
    return load_study(REST + lines.replace("[model]", '[model]\npaulis = "Z"\nhidden = 1'))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    rows = (rng.random((60, 6)) < 0.5).astype(np.uint8)
    rows[:, 4] = 0
    rows[:, 5] = rows[:, 0]
    for name, part in (("train", rows[:40]), ("valid", rows[40:50]), ("test", rows[50:])):
        np.savetxt(f"a.{name}.data", part, fmt="%d", delimiter=",")
    np.save("grey.npy", rng.integers(0, 256, (30, 3, 4), dtype=np.uint8))
    return tmp_path


def test_help() -> None:
    check_help("data")


def test_json_of_one_file(here: Path) -> None:
    found = json.loads(call("a.train.data", "--json").stdout)
    facts = datasets.inspect_data("a.train.data")
    assert (found["rows"], found["columns"]) == (40, 6)
    assert (found["ones"], found["duplicates"]) == (facts.ones, facts.duplicates)
    assert found["format"] == "text"
    assert found["file"] == "a.train.data"
    assert found["always_0"] == [5]
    assert found["equal_columns"] == [[1, 6]]
    assert found["entropy"] == facts.entropy
    assert found["sha256"].startswith("sha256:")
    assert found["picture"] is None


def test_text(here: Path) -> None:
    text = call("a.train.data").stdout
    for line in (
        "file              a.train.data (text)",
        "rows              40",
        "always 0          5",
        "equal columns     1, 6 (2 columns)",
    ):
        assert line in text
    assert "in train" not in text
    assert "repeated rows     none" in call("grey.npy", "--flatten", "--binarise", "bernoulli",
                                            "--maximum", 255).stdout  # fmt: skip


@pytest.mark.parametrize("name", ["a.train.data", 'odd "name".csv'])
def test_lines_can_be_pasted_into_a_study(here: Path, name: str) -> None:
    Path(name).write_bytes(Path("a.train.data").read_bytes())
    lines = json.loads(call(name, "--json").stdout)["study"]
    assert lines in call(name).stdout
    values = tomllib.loads(lines)
    assert values["data"]["repeats"] == "together"
    study = pasted(lines)
    target = study.target(study.combinations()[0], 1)
    assert target.n_visible == 6
    assert study.test_target(study.combinations()[0]) is not None


@pytest.mark.parametrize("parts", [("valid", "test"), ("test",), ("valid",)])
def test_lines_of_several_files(here: Path, parts: tuple[str, ...]) -> None:
    words = [word for part in parts for word in (f"--{part}", f"a.{part}.data")]
    study = pasted(json.loads(call("a.train.data", *words, "--json").stdout)["study"])
    run = study.combinations()[0]
    held_out = {"valid": study.valid_target(run), "test": study.test_target(run)}
    for part in parts:
        target = held_out[part]
        assert target is not None
        assert target.n_samples == 10
    assert study.test_target(run) is not None
    assert (study.valid_target(run) is not None) == ("valid" in parts)


@pytest.mark.parametrize(
    "words",
    [
        ["--binarise", "threshold:0.5", "--maximum", "255"],
        ["--binarise", "bernoulli", "--maximum", "255", "--data-seed", "3"],
        ["--binarise", "threshold:100", "--columns", "2-5", "--columns", "8"],
        ["--binarise", "threshold:100", "--drop", "1", "--labels", "2"],
    ],
)
def test_lines_say_what_values_mean(here: Path, words: list[str]) -> None:
    grey = np.load("grey.npy").reshape(30, 12)
    np.savetxt("grey.csv", grey, fmt="%d", delimiter=",")
    found = json.loads(call("grey.csv", *words, "--json").stdout)
    study = pasted(found["study"].replace("test_fraction = 0.2\n", ""))
    target = study.target(study.combinations()[0], 1)
    assert target.n_visible == found["columns"]
    assert target.n_states == found["rows"] - found["duplicates"]
    assert target.probabilities @ target.states.mean(axis=1) == pytest.approx(found["ones"])


def test_parts(here: Path) -> None:
    words = ["--valid", "a.valid.data", "--test", "a.test.data"]
    found = json.loads(call("a.train.data", *words, "--json").stdout)
    assert found == json.loads(call("--train", "a.train.data", *words, "--json").stdout)
    train, test = (datasets.read_samples(f"a.{part}.data") for part in ("train", "test"))
    expected = datasets.shared_rows(test, train)
    assert found["test"]["shared"] == {"rows": expected.rows, "distinct": expected.distinct}
    assert found["test"]["rows"] == found["valid"]["rows"] == 10
    text = call("a.train.data", *words).stdout
    assert f"in train          {expected.rows} of its rows ({expected.distinct} distinct" in text


def test_picture(here: Path) -> None:
    pytest.importorskip("matplotlib")
    grey = ["grey.npy", "--flatten", "--binarise", "threshold:0.5", "--maximum", "255"]
    found = json.loads(call(*grey, "-o", "rows.png", "--shape", "3x4", "--json").stdout)
    assert found["picture"] == "rows.png"
    assert Path("rows.png").read_bytes().startswith(b"\x89PNG")
    assert "exists already" in message(*grey, "-o", "rows.png")
    call(*grey, "-o", "rows.png", "--overwrite")
    assert "not as many pixels" in message(*grey, "-o", "b.png", "--shape", "5x5", code=2)
    assert not Path("b.png").exists()


def test_messages(here: Path) -> None:
    assert "name a file" in message(code=2)
    assert "give one of them" in message("a.train.data", "--train", "a.test.data", code=2)
    assert "is a data set of this package" in message("digits", code=2)
    assert "no data file absent.csv" in message("absent.csv")
    assert "--shape is about --output" in message("a.train.data", "--shape", "2x3", code=2)
    assert "--binarise: must be" in message("a.train.data", "--binarise", "half", code=2)
    np.savetxt("b.csv", np.zeros((3, 4)), fmt="%d", delimiter=",")
    assert "rows have 4 bits, those of a.train.data have 6" in message(
        "a.train.data", "--test", "b.csv"
    )
    Path("c.csv").write_text("0,1\n0,7\n")
    assert "c.csv: line 2, column 2 is 7" in message("c.csv")
