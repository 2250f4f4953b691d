"""Trajectory tempering as an estimator: against enumeration, and across checkpoints and teams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mc.estimators.settings import Trajectory, provide
from mc.estimators.trajectory import mean_acceptance
from tests.mc.estimators.test_divergence import (
    LETTERS,
    N,
    agrees,
    data,
    distribution,
    in_a_team,
    model_of,
    repeated,
)
from tnqbm import SqRBM, Target, train
from tnqbm.base.teams import Alone, Team
from tnqbm.training.estimators import Context, GradientEstimator
from tnqbm.training.problems import SqRBMProblem

provide()  # also where the package was installed before it had this estimator


def make(
    runs: int, p: int = 2, *, keys: Any = None, team: Team | None = None, **settings: Any
) -> GradientEstimator:
    precision = settings.pop("precision", "double")
    context = Context(
        SqRBMProblem([model_of(p)] * runs, [Target.from_dense(data())] * runs),
        np.arange(50, 50 + runs, dtype=np.uint64) if keys is None else keys,
        precision,
        team=team or Alone(),
    )
    return Trajectory(**settings).make(context)


def far_walk(updates: int, runs: int, p: int = 2) -> np.ndarray:
    """Parameters (updates, runs, size) that grow, so that models become rungs."""
    ends = [SqRBM.uniform(N, 3, LETTERS[p], scale=4.0, seed=s).to_vector() for s in range(runs)]
    return np.linspace(0.1, 1.0, updates)[:, None, None] * np.stack(ends)


@pytest.mark.parametrize("p", [1, 3])
def test_long_ladders_give_the_exact_gradient(p: int) -> None:
    model = model_of(p)
    estimator = make(16, p, chains=1000, steps=40)
    found = estimator.estimate(repeated(model, 16), np.arange(16)).model
    assert agrees(found, model, distribution(model), 1000)


def test_chains_stay_exact_while_rungs_come_and_go() -> None:
    estimator = make(16, 2, chains=1000, steps=1, max_rungs=5, target_swap_rate=0.6)
    walk = np.repeat(far_walk(25, 1), 16, axis=1)
    counts = []
    for theta in walk:
        usage = estimator.estimate(theta, np.arange(16)).usage
        counts.append(usage["rungs"].copy())
    assert np.max(counts) <= 5
    assert np.min(counts) < np.max(counts)
    model = SqRBM.from_vector(walk[-1, 0], N, 3, "XZ")
    for _ in range(30):  # sweeps and swaps with the last parameters
        found = estimator.estimate(walk[-1], np.arange(16))
    assert agrees(found.model, model, distribution(model), 1000)
    assert (found.usage["round_trips"] > 100).all()
    assert ((found.usage["swap_rate"] > 0) & (found.usage["swap_rate"] <= 1)).all()


def test_rates_are_means_over_all_pairs() -> None:
    rng = np.random.default_rng(1)
    up, down = rng.normal(size=7), rng.normal(size=5) - 1.0
    every = [min(1.0, np.exp(u + d)) for u in up for d in down]
    assert mean_acceptance(up, down) == pytest.approx(np.mean(every))


def test_runs_do_not_depend_on_their_batch() -> None:
    settings = {"chains": 70, "target_swap_rate": 0.7, "max_rungs": 6}
    thetas, together = far_walk(6, 3), make(3, **settings)
    expected = [together.estimate(theta, np.arange(3)).model for theta in thetas]
    for run in range(3):
        alone = make(1, keys=np.array([50 + run], dtype=np.uint64), **settings)
        for theta, wanted in zip(thetas, expected, strict=True):
            found = alone.estimate(theta[run : run + 1], np.arange(1)).model[0]
            np.testing.assert_array_equal(found, wanted[run])


@pytest.mark.parametrize("size", [2, 3])
def test_teams_and_checkpoints_change_nothing(size: int) -> None:
    settings = {"chains": 200, "steps": 2, "target_swap_rate": 0.7, "max_rungs": 6}
    thetas, rows = far_walk(6, 2), np.arange(2)

    def work(team: Team | None) -> tuple[list[np.ndarray], Any]:
        first = make(2, team=team, **settings)
        found = [first.estimate(theta, rows) for theta in thetas[:3]]
        state = {name: array.copy() for name, array in first.state().items()}
        first.estimate(thetas[0], rows)  # what follows must not reach into the state
        second = make(2, team=team, **settings)
        second.estimate(thetas[1], rows)
        second.restore(state)
        found += [second.estimate(theta, rows) for theta in thetas[3:]]
        numbers = [one.model for one in found]
        return numbers + [np.array(list(one.usage.values())) for one in found], second.state()

    alone = work(None)
    whole = make(2, **settings)
    for theta, wanted in zip(thetas, alone[0], strict=False):
        np.testing.assert_array_equal(whole.estimate(theta, rows).model, wanted)
    for numbers, state in in_a_team(size, work):
        for one, other in zip(alone[0], numbers, strict=True):
            np.testing.assert_array_equal(one, other)
        assert state.keys() == alone[1].keys()
        for name in state:
            if not name.endswith("counters"):
                np.testing.assert_array_equal(state[name], alone[1][name])


def test_a_damaged_state_is_refused() -> None:
    estimator = make(1, chains=70)
    estimator.estimate(far_walk(1, 1)[0], np.arange(1))
    state = estimator.state()
    missing = {name: array for name, array in state.items() if name != "0/chains"}
    with pytest.raises(ValueError, match="not the state of a ladder of snapshots"):
        estimator.restore(missing)
    with pytest.raises(ValueError, match="chains of a ladder of snapshots have shape"):
        estimator.restore({**state, "0/chains": state["0/chains"][:, :, :5]})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"target_swap_rate": 0.0}, "target_swap_rate: must be a finite number >= 0.01"),
        ({"target_swap_rate": 1.0}, "target_swap_rate"),
        ({"max_rungs": 2}, "max_rungs"),
        ({"kernel": "thermal-uncorrected"}, "would bias"),
        ({"temperatures": 5}, "temperatures"),
    ],
)
def test_bad_settings(settings: dict[str, Any], says: str) -> None:
    start, target = model_of(2), Target.from_dense(data())
    with pytest.raises(ValueError, match=says):
        train(start, target, gradient="trajectory", iterations=2, seed=1, **settings)


def test_a_training_records_what_its_ladders_did() -> None:
    start, target = model_of(2), Target.from_dense(data())
    run = train(start, target, gradient="trajectory", iterations=30, chains=70, seed=1)
    assert set(run.estimator_records) >= {"rungs", "swap_rate", "round_trips"}
    assert run.estimator_records["round_trips"][-1] > 0
    assert run.kl[-1] < run.kl[0]


def test_ladders_that_cannot_be_shared_are_refused() -> None:
    class Place:
        rank, size = 0, 3

        def add(self, sums: np.ndarray) -> None: ...

        def gather(self, part: np.ndarray) -> np.ndarray:
            return part

    with pytest.raises(ValueError, match="take at least 192, or fewer processes"):
        make(1, chains=128, team=Place())
