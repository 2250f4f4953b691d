"""Samples, likelihoods and commands for sqBMs of small hidden groups, against enumeration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

import mc
from mc.sampling.policies import Chains, Tempered
from mc.sampling.sample import sample
from tests.mc.cli.calling import caller
from tests.mc.studies.samples import run
from tnqbm import SqBM, Target
from tnqbm.archive import Archive
from tnqbm.core.states import index_of, states_of


def model(scale: float = 0.5) -> SqBM:
    return SqBM(5, 5, hidden_edges="0-1,1-2", visible_edges="line", scale=scale, seed=7)


def deviation(states: np.ndarray, p: np.ndarray) -> float:
    counts = np.bincount(index_of(states.reshape(-1, 5)), minlength=32)
    used = p > 0
    assert not counts[~used].any()
    expected = counts.sum() * p[used]
    return float(((counts[used] - expected) ** 2 / expected).sum())


def test_chains_have_the_probabilities() -> None:
    p = model().probabilities()
    # Samples 30 sweeps apart, each chain's far from its start: independent, as the test assumes.
    states, info = sample(model(), 40, Chains(chains=500, burn_in=60, thin=30), seed=5)
    assert (info.kernel, info.exact, info.pilots) == ("collapsed", True, ())
    limit = chi2.isf(1e-6, 31)
    assert deviation(states, p) < limit
    assert deviation(states, p[::-1]) > limit  # the test sees other probabilities
    weaker = model(0.45).probabilities()
    assert deviation(states, weaker) > limit


def test_ladders_have_the_probabilities() -> None:
    policy = Tempered(chains=400, temperatures=3, burn_in=30, thin=15)
    states, info = sample(model(), 20, policy, seed=8)
    assert info.kernel == "collapsed"
    assert (info.round_trips > 0).all()
    limit = chi2.isf(1e-6, 31)
    assert deviation(states, model().probabilities()) < limit
    assert deviation(states, model(0.4).probabilities()) > limit


def test_units_may_be_held_fixed() -> None:
    p = np.where(np.arange(32) & 2, model().probabilities(), 0.0)
    policy = Chains(chains=500, burn_in=60, thin=30)
    held, _ = sample(model(), 10, policy, clamp={3: 1}, seed=6)
    limit = chi2.isf(1e-6, 15)
    assert deviation(held, p / p.sum()) < limit
    free, _ = sample(model(), 10, policy, seed=6)
    other = np.where(np.arange(32) & 2, p[::-1] + 1e-9, 0.0)
    assert deviation(held, other / other.sum()) > limit
    assert (free[:, :, 3] == 0).any()


def test_defaults_find_burn_in_and_spacing() -> None:
    states, info = sample(model(), 20, Chains(chains=40), seed=2)
    assert states.shape == (40, 20, 5)
    assert [pilot.kernel for pilot in info.pilots] == ["collapsed"]
    assert info.mixed


def test_enumeration_and_likelihoods() -> None:
    exact = mc.log_partition(model())
    states, _ = sample(model(), 4000, "enumeration", seed=3)
    assert deviation(states, model().probabilities()) < chi2.isf(1e-6, 31)
    target = Target(states_of(np.array([1, 9]), 5), [0.25, 0.75])
    found = mc.log_likelihood(model(), target, exact)
    p = model().probabilities()
    assert found.value == pytest.approx(0.25 * np.log(p[1]) + 0.75 * np.log(p[9]), abs=1e-12)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("snapshots", "method: "),
        ("perfect", "an SqBM is sampled by 'chains', 'tempered' and 'enumeration'"),
        (Tempered(kernel="thermal"), "an SqBM is swept by kernel = 'collapsed'"),
        (Chains(kernel="bloch"), "an SqBM is swept by kernel = 'collapsed'"),
        (Chains(precision="single"), "in double precision"),
    ],
)
def test_refusals(method: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample(model(), 5, method, seed=1)


def test_commands_take_runs_of_archives(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    run(
        {
            "name": "groups",
            "seeds": 1,
            "model": {
                "family": "sqbm", "paulis": "XZ", "visible": 18, "hidden": 4, "scale": 0.2,
                "visible_edges": "none", "hidden_edges": "groups-2",
            },
            "data": {"name": "bas"},
            "training": {
                "gradient": "pcd", "iterations": 20, "chains": 32, "evaluate": "ais",
                "evaluations": 2, "ais_chains": 50, "ais_betas": 40,
            },
            "output": {"records": 5},
        },
        path,
    )  # fmt: skip
    trained = Archive(path).run().model
    out = tmp_path / "samples.npy"
    words = ("-n", "3", "--chains", "6", "--burn-in", "10", "--thin", "2", "--seed", "4")
    caller("sample", str(path), *words, "-o", str(out))()
    drawn, _ = sample(trained, 3, Chains(chains=6, burn_in=10, thin=2), seed=4)
    assert np.load(out).tolist() == drawn.reshape(-1, 18).tolist()
    words = ("--method", "ais", "--chains", "60", "--betas", "60", "--json")
    annealed = json.loads(caller("logz", str(path), *words)().stdout)
    exact = json.loads(caller("logz", str(path), "--json")().stdout)
    assert exact["log_z"] == pytest.approx(trained.log_partition(), abs=1e-10)
    assert abs(annealed["log_z"] - exact["log_z"]) < 5 * annealed["log_z_error"]
    found = json.loads(caller("evaluate", str(path), "--json")().stdout)
    assert found["nll"] == pytest.approx(exact["nll"], abs=1e-10)
    assert "groups-2" in caller("show", str(path))().stdout
    trained.save(tmp_path / "model.h5")
    saved = json.loads(caller("logz", str(tmp_path / "model.h5"), "--json")().stdout)
    assert (saved["log_z"], saved["paulis"]) == (exact["log_z"], "XZ")
    html = tmp_path / "report.html"
    caller("report", str(path), "-o", str(html))()
    assert "40 chains of kernel collapsed" in html.read_text(encoding="utf-8")
    caller("plot", str(path), "--kind", "learning", "-o", str(tmp_path / "learning.png"))()
