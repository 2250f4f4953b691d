"""Commands read data files as studies and Python do, by options of the same names."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest

from mc.cli.command import cli
from mc.running.runner import run_study
from tests.mc.cli.calling import caller, message_of
from tnqbm import SqRBM, exact
from tnqbm.archive import Archive
from tnqbm.datasets import Preparation, load, load_parts

evaluate, quality = caller("evaluate"), caller("quality")
wrong_evaluate, wrong_quality = message_of(evaluate), message_of(quality)
FEW = ["--chains", "4", "--samples", "5", "--kernel", "collapsed", "--no-progress", "--json"]
STUDY = """
name = "spins"
seeds = [1]
[model]
paulis = ["XZ"]
visible = 4
hidden = 1
[data]
train = "train.data"
test = "test.data"
spins = "+1 is 1"
[training]
iterations = 2
"""


@pytest.fixture
def spins(tmp_path: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    files = {name: tmp_path / f"{name}.data" for name in ("train", "test")}
    for path in files.values():
        np.savetxt(path, rng.choice([-1, 1], (40, 4)), fmt="%d")
    return files


@pytest.fixture
def model(tmp_path: Path) -> str:
    SqRBM.uniform(4, 1, "XZ", scale=0.5, seed=1).save(tmp_path / "model.h5")
    return str(tmp_path / "model.h5")


@pytest.mark.parametrize("command", ["evaluate", "logz", "quality", "sample"])
def test_the_options_are_those_of_python(command: str) -> None:
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    options = {parameter.name for parameter in found.params}
    assert options >= set(Preparation.model_fields)


def test_values_of_a_file_mean_what_options_say(model: str, spins: dict[str, Path]) -> None:
    data = str(spins["train"])
    assert "only 0 and 1 may occur" in wrong_evaluate(model, "--data", data)
    assert '--spins "+1 is 0"' in wrong_evaluate(model, "--data", data)
    for meaning in ("+1 is 0", "+1 is 1"):
        found = json.loads(evaluate(model, "--data", data, "--spins", meaning, "--json").output)
        target = load(data, 4, spins=meaning)
        machine = SqRBM.load(model)
        log_p = machine.log_weight(target.states) - exact.log_partition(machine)
        assert found["nll"] == pytest.approx(-target.probabilities @ log_p)


def test_options_need_a_file(model: str) -> None:
    assert "--drop is about the file of --data" in wrong_evaluate(model, "--drop", "1", code=2)
    text = wrong_evaluate(model, "--data", "bas", "--drop", "1", code=2)
    assert "--drop is about files, and 'bas' is bits already" in text
    text = wrong_evaluate(model, "--data", "a.csv", "--spins", "up", code=2)
    assert "--spins: must be" in text


def test_held_out_rows_of_a_file(model: str, spins: dict[str, Path]) -> None:
    options = ["--data", str(spins["train"]), "--spins", "+1 is 1", "--test", str(spins["test"])]
    found = json.loads(quality(model, *options, *FEW).output)
    assert found["quality"]["n_data"] == 40
    assert found["quality"]["n_test"] == 40
    assert "exclude each other" in wrong_quality(model, *options, "--test-fraction", "0.2", code=2)


def test_a_run_knows_its_files(tmp_path: Path, spins: dict[str, Path]) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    out = str(tmp_path / "out.h5")
    run_study(tmp_path / "study.toml", out, progress=False)
    named = [out, "--run", "seed=1"]
    found = json.loads(quality(*named, *FEW).output)["quality"]
    assert (found["n_data"], found["n_test"]) == (40, 40)
    parts = load_parts(spins["train"], 4, test=spins["test"], spins="+1 is 1")
    result = json.loads(evaluate(*named, "--json").output)
    machine = Archive(out).run(seed=1).model
    assert isinstance(machine, SqRBM)
    log_p = machine.log_weight(parts.train.states) - exact.log_partition(machine)
    assert result["nll"] == pytest.approx(-parts.train.probabilities @ log_p)
    own = json.loads(evaluate(*named, "--data", str(spins["train"]), "--json").output)
    assert own["nll"] == result["nll"]
    spins["test"].write_text("1 1 1 1\n")
    assert "differs from the one in" in wrong_quality(*named, *FEW)


def test_weighted_rows_are_drawn(model: str, tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("a,b,c,d,w\n0,0,0,0,1\n1,1,1,1,0.5\n0,1,0,1,0\n")
    found = json.loads(quality(model, "--data", str(path), "--weights", "w", *FEW).output)
    assert found["data_rows_drawn"]
    assert found["quality"]["n_data"] == 20
