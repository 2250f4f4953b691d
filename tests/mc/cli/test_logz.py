"""``tnqbm logz``: what it prints, its JSON, and its messages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.mc.cli.calling import caller, check_help
from tests.synthetic import ladder, write
from tnqbm import SqRBM, exact
from tnqbm.datasets import load

call = caller("logz")

QUICK = ("--chains", "100", "--betas", "60", "--no-progress")


@pytest.fixture(scope="module")
def model() -> SqRBM:
    return SqRBM.uniform(6, 3, "XYZ", seed=1)


@pytest.fixture(scope="module")
def saved(model: SqRBM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logz") / "model.h5"
    model.save(path)
    return path


def test_help_has_examples() -> None:
    check_help("logz")


def test_all_methods_agree(saved: Path, model: SqRBM) -> None:
    result = json.loads(call(saved, "--method", "all", *QUICK, "--json").stdout)
    methods = [one["method"] for one in result["estimates"]]
    assert methods == ["ais", "ais-reverse", "both", "tensor", "tensor-reverse", "exact"]
    assert result["agree"] is True
    assert len(result["gaps"]) == 6
    assert result["trusted"] is True
    assert {one["method"] for one in result["forecasts"]} >= {"enumeration", "contraction"}
    assert result["log_z"] == pytest.approx(exact.log_partition(model))
    assert result["log_z_error"] == 0.0
    assert result["method"] == "exact"
    assert result["run"] is None
    text = call(saved, "--method", "all", *QUICK).stdout
    assert "check by chains" in text
    assert "exact - tensor" in text
    assert "What exact evaluation takes" in text
    assert "estimates agree" in text


@pytest.mark.parametrize("engine", ["quimb", "compiled"])
def test_engines_of_contraction(saved: Path, model: SqRBM, engine: str) -> None:
    for method in ("exact", "contraction"):
        text = call(saved, "--method", method, "--engine", engine, "--json").stdout
        result = json.loads(text)
        assert result["log_z"] == pytest.approx(exact.log_partition(model), abs=1e-12)
        (forecast,) = (row for row in result["forecasts"] if row["method"] == "contraction")
        assert forecast["engine"] == engine
    assert f"engine {engine}" in call(saved, "--method", "exact", "--engine", engine).stdout
    refused = call(saved, "--method", "ais", "--engine", engine, code=2)
    assert "--engine is an option of --method exact, enumeration, contraction" in refused.stderr


def test_default_is_exact_where_that_is_quick(saved: Path, model: SqRBM) -> None:
    result = json.loads(call(saved, *QUICK, "--json").stdout)
    assert result["method"] == "exact"
    assert result["log_z"] == pytest.approx(exact.log_partition(model))
    assert result["lower_bound"] is None


def test_forward_annealing_is_repeatable(saved: Path, model: SqRBM) -> None:
    words = (saved, "--method", "ais", *QUICK)
    first, again = (json.loads(call(*words, "--json").stdout) for _ in range(2))
    assert first["log_z"] == again["log_z"]
    assert first["method"] == "ais"
    assert first["log_z"] - 2 < first["lower_bound"] <= exact.log_partition(model) + 1e-9
    assert "log Z is at least" in call(*words).stdout
    assert first["agree"] is None
    # False alarm 6e-5.
    assert abs(first["log_z"] - exact.log_partition(model)) < 4 * first["log_z_error"]
    other = json.loads(call(*words, "--seed", "5", "--json").stdout)
    assert other["log_z"] != first["log_z"]


def test_the_methods_are_those_of_the_library() -> None:
    from mc.sampling.log_z.policies import ESTIMATORS

    text = call("--help").stdout
    assert all(method in text for method in ESTIMATORS)


@pytest.mark.parametrize("method", ["exact", "enumeration", "contraction", "quadrature"])
def test_exact_methods_and_what_they_would_cost(tmp_path: Path, method: str) -> None:
    model, saved = SqRBM.uniform(6, 2, "XZ", scale=0.5, seed=1), tmp_path / "model.h5"
    model.save(saved)
    result = json.loads(call(saved, "--method", method, "--json").stdout)
    assert result["log_z"] == pytest.approx(exact.log_partition(model), rel=1e-9)
    assert result["log_z_error"] == 0.0
    assert result["method"] == method
    assert [one["method"] for one in result["forecasts"]] == [
        "enumeration",
        "contraction",
        "quadrature",
    ]
    assert all(one["seconds"] >= 0 for one in result["forecasts"] if one["fits"])
    text = call(saved, "--method", method).stdout
    assert "What exact evaluation takes" in text
    assert "quadrature" in text


def test_perfect_samples_of_a_network(saved: Path, model: SqRBM) -> None:
    words = (saved, "--method", "tensor", "--samples", "1000", "--max-bond", "4")
    first, again = (json.loads(call(*words, "--json").stdout) for _ in range(2))
    assert first["log_z"] == again["log_z"]
    # False alarm 6e-5.
    assert abs(first["log_z"] - exact.log_partition(model)) < 4 * first["log_z_error"] + 1e-9
    assert [one["method"] for one in first["estimates"]] == ["tensor", "tensor-reverse"]
    assert first["estimates"][0]["samples"] == 1000
    assert first["estimates"][0]["max_bond"] <= 4
    assert first["forecasts"] == []
    text = call(*words, "--data", "bas").stdout
    assert "1000 samples, bond" in text
    assert "negative log-likelihood (nats)" in text


@pytest.mark.parametrize("method", ["exact", "both"])
def test_data_give_likelihood_and_distance(saved: Path, model: SqRBM, method: str) -> None:
    words = (saved, "--method", method, "--data", "bas", *(QUICK if method == "both" else ()))
    result = json.loads(call(*words, "--json").stdout)
    target = load("bas", 6)
    p = exact.probabilities(model)
    tvd = 0.5 * np.abs(p - target.dense()).sum()
    nll = -np.sum(target.probabilities * np.log(p[target.dense() > 0][0 : target.n_states]))
    log_p = model.log_weight(target.states) - exact.log_partition(model)
    nll = -target.probabilities @ log_p
    # One normal number each: 4 standard errors.
    assert abs(result["nll"] - nll) <= 4 * result["nll_error"] + 1e-9
    assert abs(result["tvd"] - tvd) <= 4 * result["tvd_error"] + 1e-9
    assert result["nll_data_error"] == 0.0
    assert result["nll_log_z_error"] == result["log_z_error"]
    assert result["data"] == "bas"
    text = call(*words).stdout
    assert "negative log-likelihood (nats)" in text
    assert "total variation distance" in text


def test_rows_of_a_file_have_a_sampling_error(saved: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).integers(0, 2, (40, 6))
    path = tmp_path / "rows.csv"
    np.savetxt(path, rows, fmt="%d", delimiter=",")
    result = json.loads(call(saved, "--method", "exact", "--data", path, "--json").stdout)
    assert result["nll_data_error"] > 0.01
    assert result["nll_error"] == result["nll_data_error"]


def test_a_run_is_compared_with_its_own_data(tmp_path: Path) -> None:
    study = '[model]\npaulis = "Z"\nvisible = 6\nhidden = 1\n[data]\nname = "bas"\n'
    text = f'name = "x"\nseeds = 2\n{study}'
    path = write(tmp_path / "a.h5", ladder({1: [0.5, 0.3]}), study_text=text)
    result = json.loads(
        call(path, "--run", "hidden=1", "seed=2", "--method", "exact", "--json").stdout
    )
    assert result["run"]["seed"] == 2
    assert result["data"] == "bas"
    assert result["nll"] > 0


def test_the_only_run_of_an_archive_needs_no_name(tmp_path: Path) -> None:
    archive = write(tmp_path / "one.h5", ladder({2: [0.5]}))
    named = call(archive, "--run", "hidden=2", "seed=1", "--json").stdout
    assert json.loads(call(archive, "--json").stdout)["log_z"] == json.loads(named)["log_z"]
    more = write(tmp_path / "more.h5", ladder({2: [0.5, 0.6]}))
    assert "name one of them" in call(more, code=2).stderr
    planned = write(tmp_path / "planned.h5", ladder({2: [0.5]}), planned=1)
    assert "name one of them" in call(planned, code=2).stderr


def test_unreliable_estimates_are_called_so(tmp_path: Path) -> None:
    path = tmp_path / "rough.h5"
    SqRBM.uniform(20, 20, "XYZ", scale=3.0, seed=1).save(path)
    result = call(path, "--method", "ais", "--chains", "50", "--betas", "4", "--no-progress")
    assert "not reliable" in result.stdout
    assert "Warning: ais: the weights of 50 chains are worth" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--method", "tea-leaves"), 2, "tea-leaves"),
        (("--chains", "0"), 2, "chains must be at least 1"),
        (("--betas", "1"), 2, "betas must be at least 2"),
        (("--kernel", "block"), 1, "one Pauli"),
        (("--method", "exact", "--betas", "9"), 2, "--betas is an option of --method auto, ais"),
        (
            ("--method", "ais", "--feed", "chains"),
            2,
            "--feed is an option of --method auto, tensor",
        ),
        (("--method", "tensor", "--samples", "0"), 2, "samples must be at least 1"),
        (("--method", "tensor", "--max-bond", "0"), 2, "max_bond must be at least 1"),
        (("--method", "tensor", "--feed", "tea"), 2, "'tea'"),
        (("--data", "cats"), 1, "unknown data set 'cats'"),
        (("--data", "none.csv"), 1, "none.csv"),
        (("seed=1",), 1, "model.h5"),
    ],
)
def test_bad_words_give_one_message(
    saved: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    result = call(saved, *words, code=code)
    assert "Error: " in result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.output
