"""``tnqbm model``: what its commands print and write, and their messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mc.cli import cli
from tests.mc.cli.calling import caller
from tests.synthetic import ladder, write
from tnqbm import SqRBM, equivalent
from tnqbm.model_tools import gauge
from tnqbm.model_tools.hidden_units import add_hidden, lift
from tnqbm.model_tools.merging import merge
from tnqbm.model_tools.pruning import prune

call = caller("model")


def answer(*words: str | Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(call(*words, "--json").stdout)
    return found


@pytest.fixture
def model() -> SqRBM:
    return SqRBM.uniform(6, 4, "XZ", scale=0.5, seed=1)


@pytest.fixture
def saved(model: SqRBM, tmp_path: Path) -> Path:
    path = tmp_path / "model.h5"
    model.save(path)
    return path


def test_help_has_examples() -> None:
    assert "model" in CliRunner().invoke(cli, ["--help"]).output
    text = call("--help").stdout
    for name in ("compare", "canonical", "convert", "prune", "merge"):
        assert name in text
        assert f"tnqbm model {name}" in call(name, "--help").stdout


def test_compare(saved: Path, model: SqRBM, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    gauge.canonical(add_hidden(lift(model, "XYZ"), 1)).save(other)
    found = answer("compare", saved, other)
    assert found["verdict"] == "equal parameters"
    assert found["equivalent"] is True
    assert found["models"] == [str(saved), str(other)]
    text = call("compare", saved, other).stdout
    assert text.startswith("equal parameters\n")
    assert "total variation distance" in text
    theta = model.to_vector()
    theta[0] += 1e-6
    moved = tmp_path / "moved.h5"
    SqRBM.from_vector(theta, 6, 4, "XZ").save(moved)
    found = answer("compare", saved, moved)
    assert found["verdict"] == "different"
    assert call("compare", saved, moved, "--tolerance", "1e-3").stdout.startswith("equal")


def test_canonical_and_convert(saved: Path, model: SqRBM, tmp_path: Path) -> None:
    found = answer("canonical", saved, "-o", tmp_path / "form.h5")
    assert SqRBM.load(tmp_path / "form.h5") == gauge.canonical(model)
    assert found["redundant"] == 4
    assert found["effective_parameters"] == model.n_parameters - 4
    call("convert", "XYZ", saved, "-o", tmp_path / "three.h5")
    assert SqRBM.load(tmp_path / "three.h5") == lift(model, "XYZ")
    call("convert", "XZ", tmp_path / "three.h5", "-o", tmp_path / "two.h5")
    assert SqRBM.load(tmp_path / "two.h5") == model
    call("convert", "XYZ", saved, "-o", tmp_path / "n.h5", "--noise", "0.1", "--seed", "3")
    assert SqRBM.load(tmp_path / "n.h5") == lift(model, "XYZ", noise=0.1, seed=3)
    text = call("convert", "Z", saved, "-o", tmp_path / "one.h5", code=1).output
    assert "need more than 1" in text
    assert not (tmp_path / "one.h5").exists()
    call("convert", "Z", saved, "-o", tmp_path / "one.h5", "--noise", "0.1", code=2)


def test_prune_and_merge(saved: Path, model: SqRBM, tmp_path: Path) -> None:
    found = answer("prune", saved, "--keep", "2", "-o", tmp_path / "pruned.h5")
    expected = prune(model, keep=2)
    assert SqRBM.load(tmp_path / "pruned.h5") == expected.model
    assert found["divergence"] == expected.divergence
    assert found["removed"] == list(expected.removed)
    found = answer("merge", saved, "--pair", "0,2", "-o", tmp_path / "merged.h5")
    merged = merge(model, [(0, 2)])
    assert SqRBM.load(tmp_path / "merged.h5") == merged.model
    assert found["groups"] == [[0, 2], [1], [3]]
    text = call("merge", saved, "--tolerance", "0.01", "-o", tmp_path / "tolerant.h5").stdout
    assert "merged units" in text
    assert "KL divergence" in text
    call("merge", saved, "--pair", "0;2", "-o", tmp_path / "x.h5", code=2)


def test_samples_are_drawn_where_states_are_too_many(tmp_path: Path) -> None:
    """The estimate against the exact divergence: 5 standard errors, and the bias of the fit."""
    model = SqRBM.uniform(17, 3, "XZ", scale=0.3, seed=1)
    model.save(tmp_path / "wide.h5")
    found = answer(
        "prune", tmp_path / "wide.h5", "--keep", "2", "--samples", "4000", "-o", tmp_path / "s.h5"
    )
    assert found["method"] == "samples"
    truth = equivalent(model, SqRBM.load(tmp_path / "s.h5"))
    assert truth.kl is not None
    error = float(str(found["standard_error"]))
    assert abs(float(str(found["divergence"])) - truth.kl) < 5 * error + 17 / 4000


def test_runs_of_archives(tmp_path: Path) -> None:
    archive = write(tmp_path / "runs.h5", ladder({1: [0.5], 2: [0.3]}))
    message = call("canonical", archive, "-o", tmp_path / "c.h5", code=2).output
    assert "name one of them" in message
    words = message.split("--run ")[1].split()
    found = answer("canonical", archive, *words, "-o", tmp_path / "c.h5")
    assert found["hidden"] == 1
    run = [word for pair in words for word in ("--run", pair)]
    assert answer("compare", archive, tmp_path / "c.h5", *run)["verdict"] == "equal parameters"
    other = [word for pair in words for word in ("--other-run", pair)]
    assert answer("compare", tmp_path / "c.h5", archive, *other)["equivalent"] is True
    assert "name one of them" in call("compare", archive, archive, *run, code=2).output


def test_files_are_not_overwritten(saved: Path) -> None:
    before = saved.read_bytes()
    text = call("canonical", saved, "-o", saved, code=1).output
    assert "which is read here" in text
    other = saved.with_name("other.h5")
    other.write_bytes(before)
    assert "exists already" in call("canonical", saved, "-o", other, code=1).output
    assert saved.read_bytes() == before
