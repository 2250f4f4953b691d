"""Natural gradients and the em algorithm in study files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mc import load_study
from mc.studies.identity import study_identity
from tests.mc.studies.samples import interrupted, run, tiny
from tnqbm import SqRBM, datasets
from tnqbm.base.errors import StudyError
from tnqbm.training import SqRBMProblem
from tnqbm.training.costs import run_cost
from tnqbm.training.estimators import Size
from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trainer import Trainer


def study(**changes: Any) -> dict[str, Any]:
    raw = tiny(
        model__paulis=["XYZ"],
        model__hidden=[2],
        training__gradient=["exact", "fisher", "kubo", "em", "sampled"],
        training__iterations=8,
    )
    raw["gradients"] = {
        "fisher": {"gradient": "exact", "optimizer": "natural", "learning_rate": 1.0},
        "kubo": {
            "gradient": "exact", "optimizer": "natural", "metric": "kubo-mori", "solver": "cg",
        },
        "em": {"gradient": "exact", "optimizer": "em", "inner_iterations": 5},
        "sampled": {
            "gradient": "pcd", "chains": 20, "optimizer": "natural", "trust_radius": 0.3,
            "learning_rate": 0.3,
        },
    }  # fmt: skip
    for dotted, value in changes.items():
        label, _, key = dotted.partition("__")
        raw["gradients"][label][key] = value
    return raw


def test_trainers_are_compared_in_one_study(tmp_path: Path) -> None:
    archive = run(study(), tmp_path / "out.h5")
    found = {(one.coordinates["gradient"], one.coordinates["seed"]): one for one in archive.runs()}
    assert len(found) == 15
    for label in ("fisher", "kubo", "em"):
        kl = found[label, 1].trajectory.kl
        assert kl is not None
        assert (np.diff(kl) <= 1e-12).all()
        # Same start as plain gradients, and what the updates took.
        start = found["exact", 1].trajectory.kl
        assert start is not None
        assert kl[0] == start[0]
        passes = found[label, 1].estimator["records"]["passes"]
        assert passes[0] == 0
        assert (np.diff(passes) >= 2).all()


def test_interrupted_studies_end_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(study(), tmp_path / "whole.h5")

    for at in (4, 9, 14):
        with interrupted(monkeypatch, at), pytest.raises(KeyboardInterrupt):
            run(study(), tmp_path / f"{at}.h5", resume=at > 4)
        again = run(study(), tmp_path / f"{at}.h5", resume=True)
        for one, two in zip(whole.runs(), again.runs(), strict=True):
            assert one.coordinates == two.coordinates
            assert one.model == two.model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fisher__optimizer": "naturel"}, "did you mean 'natural'"),
        ({"fisher__metric": "kubo"}, "gradients.fisher.metric = 'kubo': .*did you mean"),
        (
            {"fisher__momentum": 0.5},
            "gradients.fisher.momentum = 0.5: optimizer 'natural' has no such setting.*'sgd'",
        ),
        (
            {"sampled__damping_rule": "adaptive"},
            "gradients.sampled.damping_rule = 'adaptive': .*compares losses",
        ),
        ({"em__gradient": "pcd"}, "gradients.em.optimizer = 'em': .*needs log Z.*got 'pcd'"),
    ],
)
def test_impossible_combinations_are_reported(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        load_study(study(**changes))


def test_models_too_large_for_a_metric_are_reported() -> None:
    raw = study()
    raw["model"]["visible"] = 17
    raw["data"]["name"] = "parity"
    with pytest.raises(StudyError, match="take at most 16 visible units, not 17") as caught:
        load_study(raw)
    assert "'sampled'" not in str(caught.value)
    assert "'em'" not in str(caught.value)  # by L-BFGS


def test_earlier_identities_stay() -> None:
    plain = load_study(tiny())
    new = ("metric", "damping", "solver", "inner", "cg_", "trust")
    keys = [key.removeprefix("training.") for key in study_identity(plain) if "training." in key]
    assert keys
    assert not [key for key in keys if key.startswith(new)]


def test_costs_count_the_curvature() -> None:
    size = Size(8, 4, 3)
    plain = TrainingSettings()
    natural = TrainingSettings(optimizer="natural")
    em = TrainingSettings(optimizer="em")
    assert plain.optimizer.cost(size, plain) == 0
    assert 0 < natural.optimizer.cost(size, natural) < em.optimizer.cost(size, em)
    added = run_cost(size, natural) - run_cost(size, plain)
    assert added == pytest.approx(2000 * natural.optimizer.cost(size, natural))


class Place:
    """One of two members of a team whose chains are all known to the test."""

    def __init__(self, whole: np.ndarray) -> None:
        self.rank, self.size, self.whole = 0, 2, whole

    def add(self, sums: np.ndarray) -> None:
        sums *= 2

    def gather(self, part: np.ndarray) -> np.ndarray:
        assert part.shape[1] == self.whole.shape[1] // 2
        return self.whole


def test_members_of_a_team_see_the_metric_of_all_chains() -> None:
    """The samples handed out are the gathered ones, not the member's share."""
    whole = np.random.default_rng(0).integers(0, 2, (1, 128, 4), np.uint8)
    settings = TrainingSettings(
        gradient="pcd", chains=128, optimizer="natural", damping=0.1, iterations=1
    )
    problem = SqRBMProblem([SqRBM.uniform(4, 2, "XZ", seed=1)], [datasets.load("bas", 4)])
    trainer = Trainer(problem, settings, team=Place(whole))
    averages = trainer._estimator.estimate(problem.theta, np.arange(1))
    assert averages.states is whole
