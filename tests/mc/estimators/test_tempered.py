"""Ladders that follow the parameters: against enumeration, and across checkpoints and teams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mc.estimators.settings import Tempered, provide
from tests.mc.estimators.test_divergence import agrees, data, distribution, in_a_team, model_of
from tests.mc.estimators.test_trajectory import far_walk
from tnqbm import SqRBM, Target, train
from tnqbm.base.teams import Alone, Team
from tnqbm.training.estimators import Context, GradientEstimator
from tnqbm.training.problems import SqRBMProblem

provide()


def make(
    runs: int, p: int = 2, *, keys: Any = None, team: Team | None = None, **settings: Any
) -> GradientEstimator:
    context = Context(
        SqRBMProblem([model_of(p)] * runs, [Target.from_dense(data())] * runs),
        np.arange(50, 50 + runs, dtype=np.uint64) if keys is None else keys,
        team=team or Alone(),
    )
    return Tempered(**({"target_swap_rate": 0.9, "temperatures": 9} | settings)).make(context)


def test_rungs_come_and_go_with_the_parameters_and_chains_stay_exact() -> None:
    estimator = make(8, 2, chains=1000)
    walk = np.repeat(far_walk(25, 1), 8, axis=1)
    rungs = []
    for theta in [*walk, *walk[::-1], *walk]:
        usage = estimator.estimate(theta, np.arange(8)).usage
        rungs.append(usage["rungs"][0])
        assert ((usage["swap_rate"] > 0) & (usage["swap_rate"] <= 1)).all()
    assert rungs[0] < max(rungs[:30])
    assert min(rungs[40:60]) < max(rungs[:30])
    assert max(rungs) <= 9
    model = SqRBM.from_vector(walk[-1, 0], *model_of(2).shape[:2], "XZ")
    for _ in range(30):
        found = estimator.estimate(walk[-1], np.arange(8))
    assert agrees(found.model, model, distribution(model), 1000)
    assert found.usage["swap_rate"].min() > 0.7  # the target, as far as a measurement tells


def test_few_temperatures_are_a_limit() -> None:
    estimator = make(1, chains=200, temperatures=3)
    for theta in far_walk(30, 1):
        usage = estimator.estimate(theta, np.arange(1)).usage
    assert usage["rungs"][0] == 3
    assert usage["swap_rate"][0] < 0.9


def test_runs_do_not_depend_on_their_batch() -> None:
    thetas, together = far_walk(15, 3), make(3, chains=70)
    expected = [together.estimate(theta, np.arange(3)).model for theta in thetas]
    for run in range(3):
        alone = make(1, chains=70, keys=np.array([50 + run], dtype=np.uint64))
        for theta, wanted in zip(thetas, expected, strict=True):
            found = alone.estimate(theta[run : run + 1], np.arange(1)).model[0]
            np.testing.assert_array_equal(found, wanted[run])


@pytest.mark.parametrize(("size", "moves"), [(2, 0), (3, 0), (2, 5)])
def test_teams_and_checkpoints_change_nothing(size: int, moves: int) -> None:
    settings = {"chains": 200, "steps": 2, "global_moves": moves, "max_bond": 8}
    thetas, rows = far_walk(24, 2), np.arange(2)

    def work(team: Team | None) -> tuple[list[np.ndarray], Any]:
        first = make(2, team=team, **settings)
        found = [first.estimate(theta, rows) for theta in thetas[:12]]
        state = {name: array.copy() for name, array in first.state().items()}
        first.estimate(thetas[0], rows)  # what follows must not reach into the state
        second = make(2, team=team, **settings)
        second.restore(state)
        found += [second.estimate(theta, rows) for theta in thetas[12:]]
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


def test_a_damaged_state_is_refused() -> None:
    estimator = make(1, chains=70)
    estimator.estimate(far_walk(1, 1)[0], np.arange(1))
    state = estimator.state()
    missing = {name: array for name, array in state.items() if name != "0/betas"}
    with pytest.raises(ValueError, match="not the state of ladders that follow a run"):
        estimator.restore(missing)
    with pytest.raises(ValueError, match="chains of ladders have shape"):
        estimator.restore({**state, "0/chains": state["0/chains"][:, :5]})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"target_swap_rate": 0.0}, "target_swap_rate: must be a finite number >= 0.01"),
        ({"target_swap_rate": 1.0}, "target_swap_rate"),
        ({"target_swap_rate": 0.5, "kernel": "thermal-uncorrected"}, "would bias"),
    ],
)
def test_bad_settings(settings: dict[str, Any], says: str) -> None:
    start, target = model_of(2), Target.from_dense(data())
    with pytest.raises(ValueError, match=says):
        train(start, target, gradient="tempered", iterations=2, seed=1, **settings)


def test_a_training_records_its_ladders() -> None:
    start, target = model_of(2), Target.from_dense(data())
    run = train(
        start, target, gradient="tempered", iterations=30, chains=70, target_swap_rate=0.7, seed=1
    )
    assert set(run.estimator_records) >= {"rungs", "swap_rate"}
    assert run.kl[-1] < run.kl[0]
