"""``tnqbm structure``: what it prints, its JSON, its figure, and its messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mc.cli.calling import caller, check_help
from tests.synthetic import ladder, write
from tnqbm import SqRBM
from tnqbm.model_tools.structure import classical_twin, report

call = caller("structure")


@pytest.fixture(scope="module")
def model() -> SqRBM:
    return SqRBM.uniform(8, 3, "XYZ", scale=0.5, seed=1)


@pytest.fixture(scope="module")
def saved(model: SqRBM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("structure") / "model.h5"
    model.save(path)
    return path


def test_help_has_examples() -> None:
    check_help("structure")


def test_json_is_the_report(saved: Path, model: SqRBM) -> None:
    result = json.loads(call(saved, "--json", "--twin").stdout)
    assert result["model"] == str(saved)
    assert result["run"] is None
    assert result["figure"] is None
    expected = {"sqRBM XYZ": report(model), "RBM, same parameters": report(classical_twin(model))}
    assert result["reports"] == {name: one.as_dict() for name, one in expected.items()}


def test_tables(saved: Path, model: SqRBM) -> None:
    text = call(saved, "--twin", "--precision", "1e-4", "--precision", "2.5e-9").stdout
    header = next(line for line in text.splitlines() if "neighbours" in line)
    assert header.split()[-2:] == ["1e-4", "2.5e-9"]
    expected = report(model, precisions=(1e-4, 2.5e-9))
    lines = [line.split() for line in text.splitlines()]
    for unit in expected.units:
        row = ["sqRBM", "XYZ", "unit", str(unit.hidden), "8", "8", *map(str, unit.ranks)]
        assert row in lines
    assert text.count("RBM, same parameters") == 8 + 2
    assert text.count("amplitude sqrt(p~)") == 2
    assert text.count("weight p~") == 2
    assert "fitted" not in text


def test_hidden_units_are_chosen_with_their_twins(saved: Path) -> None:
    result = json.loads(call(saved, "--hidden", "2", "--twin", "--no-whole", "--json").stdout)
    reports = result["reports"].values()
    assert [[u["hidden"] for u in one["units"]] for one in reports] == [[2], [2, 5, 8]]
    assert all(one["amplitude"] is None for one in reports)
    assert "Whole model" not in call(saved, "--no-whole").stdout


def test_many_units_are_summed_up(tmp_path: Path) -> None:
    SqRBM.uniform(4, 20, "XZ", seed=1).save(tmp_path / "many.h5")
    words = [word for j in range(20) for word in ("--hidden", str(j))]
    text = call(tmp_path / "many.h5", *words).stdout
    assert "unit" not in text.splitlines()[4]
    assert all(f"{word} of 20" in text for word in ("least", "median", "most"))


def test_figure(saved: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "structure.png"
    assert f"figure: {path}" in call(saved, "-o", path).stdout
    assert path.stat().st_size > 20_000
    assert "exists" in call(saved, "-o", path, code=1).output
    call(saved, "-o", path, "--overwrite")
    assert "must end in" in call(saved, "-o", tmp_path / "structure.jpeg", code=1).output


def test_a_run_of_an_archive(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", ladder({1: [0.5], 2: [0.3]}))
    message = call(path, code=2).output
    assert "name one of them" in message
    words = message.split("--run ")[1].split()
    result = json.loads(call(path, *words, "--json").stdout)
    assert result["run"]["hidden"] == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--hidden", "3"), 1, "hidden unit 3 does not exist"),
        (("--precision", "1e-15"), 1, "between 1e-12"),
        (("--precision", "x"), 2, "not a valid float"),
    ],
)
def test_messages(saved: Path, words: tuple[str, ...], code: int, message: str) -> None:
    assert message in call(saved, *words, code=code).output


def test_an_rbm_has_no_twin(tmp_path: Path) -> None:
    SqRBM.uniform(4, 2, "Z", seed=1).save(tmp_path / "rbm.h5")
    assert "leave --twin out" in call(tmp_path / "rbm.h5", "--twin", code=2).output
    assert "does not exist" in call(tmp_path / "none.h5", code=1).output
