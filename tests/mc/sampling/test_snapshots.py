"""Ladders of snapshots against enumeration and a NumPy twin; statistical tests have fixed seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mc.sampling.info import MixingWarning
from mc.sampling.policies import Snapshots
from mc.sampling.sample import sample
from mc.sampling.tempering.ladders import Ladders
from mc.sampling.tempering.rungs import choose_rungs, overlap, shortest, snapshot_path
from tests.mc.sampling.test_tempering import p_value, probabilities, two_modes
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.core.shape import Shape

N, M, PAULIS = 4, 3, "XYZ"
SHAPE = Shape(N, M, 3)


def training(count: int, scale: float = 1.5, n: int = N, m: int = M) -> list[SqRBM]:
    """Models on a straight way from nothing to a random model, with noise."""
    end = SqRBM.uniform(n, m, PAULIS, scale=scale, seed=1).to_vector()
    rng = np.random.default_rng(2)
    return [
        SqRBM.from_vector(x * end + 0.05 * rng.normal(size=end.size), n, m, PAULIS)
        for x in np.linspace(0.1, 1.0, count)
    ]


def rows(models: list[SqRBM]) -> np.ndarray:
    return np.stack([model.to_vector() for model in models])


def test_every_rung_has_its_distribution() -> None:
    # Three rungs that are no temperatures of one another, at 1e-5 each.
    rungs = rows([SqRBM.uniform(N, M, PAULIS, scale=1.0, seed=s) for s in (5, 6, 7)])
    ladders = Ladders(SHAPE, rungs=3, chains=4000, keys=np.array([3], np.uint64))
    ladders.advance_rungs(rungs[None], 30)
    for r, theta in enumerate(rungs):
        assert p_value(ladders.chains[0, r], probabilities(theta, N, M, PAULIS)) > 1e-5
    assert (ladders.round_trips > 0).any()


def test_swaps_are_those_of_the_twin() -> None:
    """Metropolis' rule in plain NumPy, pair by pair, with the same uniform numbers."""
    rungs = [SqRBM.uniform(N, M, PAULIS, scale=0.8, seed=s) for s in (5, 6, 7, 8)]
    ladders = Ladders(SHAPE, rungs=4, chains=60, keys=np.array([3], np.uint64))
    ladders._sweeper.sweep = lambda *_: np.zeros((4, 60))  # type: ignore[method-assign]
    for turn in range(6):
        states = ladders.chains[0].copy()
        ladders._rounds += 1
        uniform = ladders._uniforms(np.arange(1), 4, 60)[0]
        ladders._rounds -= 1
        for low in range(turn % 2, 3, 2):
            here, there = rungs[low].log_weight, rungs[low + 1].log_weight
            for c in range(60):
                x, y = states[low, c].copy(), states[low + 1, c].copy()
                ratio = (there(x[None]) - here(x[None]) + here(y[None]) - there(y[None]))[0]
                if uniform[low, c] < np.exp(min(0.0, ratio)):
                    states[low, c], states[low + 1, c] = y, x
        ladders.advance_rungs(rows(rungs)[None], 1)
        np.testing.assert_array_equal(ladders.chains[0], states)


def test_rungs_without_couplings_are_drawn_anew() -> None:
    theta = np.zeros((1, 1, SHAPE.size))
    theta[0, 0, :N] = 0.3
    ladders = Ladders(SHAPE, rungs=1, chains=4000, keys=np.array([3], np.uint64))
    before = ladders.chains[0, 0].copy()
    ladders.advance_rungs(theta, 1)
    after = ladders.chains[0, 0]
    assert p_value(after, probabilities(theta[0, 0], N, M, PAULIS)) > 1e-5
    # Independent of what was there: five standard errors of a correlation.
    for i in range(N):
        assert abs(np.corrcoef(before[:, i], after[:, i])[0, 1]) < 5 / np.sqrt(4000)


def test_rates_from_the_states_of_one_model() -> None:
    first, second = (SqRBM.uniform(N, M, PAULIS, scale=0.7, seed=s) for s in (1, 2))
    states = all_states(N)
    p, q = (np.exp(enumerate_model(m)[2] - enumerate_model(m)[0]) for m in (first, second))
    ratio = second.log_weight(states) - first.log_weight(states)
    exact = (p[:, None] * q[None] * np.exp(np.minimum(0, ratio[:, None] - ratio[None]))).sum()
    drawn = np.random.default_rng(3).choice(16, 20_000, p=p / p.sum())
    assert overlap(ratio[drawn]) == pytest.approx(exact, abs=0.01)
    assert overlap(np.zeros(10)) == pytest.approx(1.0)
    assert overlap(np.array([0.0, -800.0, -800.0])) == pytest.approx(0.0)
    assert overlap(np.zeros((3, 5))).shape == (3,)


def test_rungs_swap_as_often_as_asked_for() -> None:
    models = training(12, scale=2.0, n=10, m=6)
    shape = Shape(10, 6, 3)
    path = snapshot_path(rows(models), shape)
    assert (path[0, 10 + 18 :] == 0).all()
    for target in (0.3, 0.6):
        found = choose_rungs(path, shape, key=5, target_swap_rate=target)
        np.testing.assert_array_equal(found.theta[0], path[0])
        np.testing.assert_array_equal(found.theta[-1], path[-1])
        assert (np.diff(found.places) > 0).all()
        assert found.places[-1] == 12
        assert found.complete
        ladders = Ladders(shape, rungs=len(found.theta), chains=50, keys=np.array([3], np.uint64))
        ladders.advance_rungs(found.theta[None], 100)
        ladders.reset_counters()
        ladders.advance_rungs(found.theta[None], 300)
        # The last rung may be nearer than asked for.
        assert np.abs(ladders.swap_rates[0, :-1] - target).max() < 0.25
        again = choose_rungs(path, shape, key=5, target_swap_rate=target)
        np.testing.assert_array_equal(again.theta, found.theta)
    few = choose_rungs(path, shape, key=5, target_swap_rate=0.6, max_rungs=3)
    assert len(few.theta) == 3
    assert not few.complete


def test_detours_of_the_training_are_left_out() -> None:
    models = training(4)
    far = SqRBM.uniform(N, M, PAULIS, scale=8.0, seed=9)
    path = snapshot_path(rows([*models[:2], far, *models[2:]]), SHAPE)
    found = choose_rungs(path, SHAPE, key=5)
    distance = np.linalg.norm(found.theta - far.to_vector(), axis=1)
    assert distance.min() > 0.5 * np.linalg.norm(path[0] - far.to_vector())
    distances = np.array([[0, 1, 9, 4.0], [0, 0, 9, 1], [0, 0, 0, 0.1], [0, 0, 0, 0]])
    assert shortest(distances) == [0, 1, 3]
    assert shortest(np.array([[0.0, 1.0], [1.0, 0.0]])) == [0, 1]


def test_samples_follow_the_model() -> None:
    models = training(6)
    found, info = sample(models[-1], 1, Snapshots(models=models, chains=4000, burn_in=60), seed=4)
    log_z, _, log_weight = enumerate_model(models[-1])
    assert p_value(found[:, 0], np.exp(log_weight - log_z)) > 1e-5
    assert info.places[0] == 0
    assert info.places[-1] == 6
    assert info.round_trips.shape == (4000,)
    assert info.swap_rates.shape == (info.places.size - 1,)
    again, _ = sample(models[-1], 1, Snapshots(models=models[:-1], chains=4000, burn_in=60), seed=4)
    np.testing.assert_array_equal(found, again)


def test_without_models_the_ladder_is_one_of_temperatures() -> None:
    model = two_modes()
    log_z, _, log_weight = enumerate_model(model)
    heavy = np.exp(log_weight - log_z)[all_states(14).sum(axis=1) > 7].sum()
    policy = Snapshots(chains=20, kernel="collapsed", burn_in=1000, thin=20)
    found, info = sample(model, 50, policy, seed=1)
    # 1000 samples, perhaps 300 of them independent: five standard errors.
    shares = (found.sum(axis=2) > 7).mean()
    assert abs(shares - heavy) < 5 * np.sqrt(heavy * (1 - heavy) / 300)
    assert info.mixed


def test_a_ladder_with_too_few_rungs_is_reported() -> None:
    model = SqRBM(np.full(20, 0.05), np.zeros((1, 20)), np.full((1, 20, 20), 0.9), "Z")
    with pytest.warns(MixingWarning, match="went through the ladder of 2 rungs and back"):
        _, info = sample(model, 20, Snapshots(max_rungs=2, chains=8), seed=1)
    assert not info.mixed


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"models": [SqRBM.uniform(5, M, PAULIS, seed=1)]}, ValueError, r"models\[0\] has 5 vis"),
        ({"models": [SqRBM.uniform(N, M, "XZ", seed=1)]}, ValueError, "Paulis XZ"),
        ({"models": [1]}, TypeError, "models must be a list of models"),
        ({"target_swap_rate": 1.0}, ValueError, "target_swap_rate must be between"),
        ({"max_rungs": 1}, ValueError, "max_rungs must be at least 2"),
        ({"kernel": "thermal-uncorrected"}, ValueError, "would bias"),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        sample(SqRBM.uniform(N, M, PAULIS, seed=1), 5, Snapshots(**options), seed=1)


def test_units_cannot_be_clamped() -> None:
    with pytest.raises(ValueError, match="holds no units fixed"):
        sample(SqRBM.uniform(N, M, PAULIS, seed=1), 5, Snapshots(), clamp={0: 1}, seed=1)
