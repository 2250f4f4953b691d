"""Training sqBMs of small hidden groups: exactly, and by chains."""

from __future__ import annotations

import numpy as np
import pytest

import tnqbm
from tnqbm import SqBM, Target
from tnqbm.core.states import states_of
from tnqbm.training import SqBMProblem, Trainer, TrainingSettings
from tnqbm.training.estimators import Context

EDGES = [(0, 1), (2, 3), (3, 4)]
TARGET = Target(states_of(np.array([0, 5, 9, 15, 22]), 5), [0.3, 0.2, 0.2, 0.2, 0.1])


def start(paulis: str = "XYZ", seed: int = 3) -> SqBM:
    return SqBM(5, 5, hidden_edges=EDGES, visible_edges="line", paulis=paulis, scale=0.3, seed=seed)


def test_exact_training_is_that_of_the_dense_hamiltonian():
    grouped = tnqbm.train(start(), TARGET, iterations=20, records=3, weight_decay=0.01)
    dense = tnqbm.train(
        start().to_hamiltonian(), TARGET, iterations=20, records=3, weight_decay=0.01
    )
    np.testing.assert_allclose(grouped.kl, dense.kl, atol=1e-9)
    np.testing.assert_allclose(
        grouped.model.to_vector(), dense.model.to_vector(), rtol=0, atol=1e-7
    )
    assert grouped.kl[-1] < 0.5 * grouped.kl[0]
    assert isinstance(grouped.model, SqBM)


def test_estimates_agree_with_exact_averages():
    problem = SqBMProblem([start()], [TARGET])
    exact = start().expectations()
    for gradient, settings in (
        ("pcd", {"steps": 30}),
        ("cd", {"steps": 30}),
        ("tempered", {"steps": 15, "temperatures": 2}),
        ("tempered", {"steps": 15, "temperatures": 3, "target_swap_rate": 0.5}),
    ):
        training = TrainingSettings(gradient=gradient, chains=20_000, **settings)
        context = Context(problem, whole_keys(1))
        found = training.gradient.make(context).estimate(problem.theta, np.array([0]))
        assert np.abs(found.model[0] - exact).max() < 0.04


@pytest.mark.parametrize("gradient", ["cd", "pcd", "tempered"])
def test_chains_train(gradient):
    weights = np.exp(np.random.default_rng(2).normal(size=32))
    smooth = Target.from_dense(weights / weights.sum())
    found = tnqbm.train(
        start("XZ"), smooth, gradient=gradient, chains=400, steps=3, iterations=100,
        learning_rate=0.03, records=2, seed=1, evaluate="exact",
    )  # fmt: skip
    assert found.kl[-1] < 0.5 * found.kl[0]


def test_minibatches_and_an_interruption(tmp_path):
    problem = SqBMProblem([start(), start(seed=4)], [TARGET, TARGET], tests=[TARGET, TARGET])
    training = TrainingSettings(
        gradient="pcd", chains=30, iterations=6, batch_size=4, records=2, evaluate="exact"
    )
    whole = Trainer(problem, training)
    whole.advance(6)
    begun = Trainer(problem, training)
    begun.advance(3)
    begun.save(tmp_path / "state.h5")
    again = Trainer(problem, training)
    again.resume(tmp_path / "state.h5")
    again.advance(3)
    for one, other in zip(whole.trajectories(), again.trajectories(), strict=True):
        assert one.model == other.model
        np.testing.assert_array_equal(one.test_nll, other.test_nll)
    alone = Trainer(
        SqBMProblem([start()], [TARGET], tests=[TARGET]), training, keys=whole_keys(2)[:1]
    )
    both = Trainer(problem, training, keys=whole_keys(2))
    for trainer in (alone, both):
        trainer.advance(6)
    assert alone.trajectories()[0].model == both.trajectories()[0].model


def whole_keys(count: int) -> np.ndarray:
    return np.arange(11, 11 + count).astype(np.uint64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"centred": True}, "centred: is for sqRBMs"),
        ({"precision": "single"}, "precision: sqBMs are evaluated in double"),
        ({"gradient": "weighted"}, "gradient: 'weighted' does not serve models of the kind 'sqbm'"),
        ({"gradient": "tempered", "kernel": "block"}, "kernel: 'block' is for sqRBMs"),
        ({"gradient": "pcd", "kernel": "bloch"}, "kernel: 'bloch' is for sqRBMs"),
        ({"gradient": "pcd", "global_moves": 5}, "global_moves: are for sqRBMs"),
        ({"optimizer": "natural"}, "optimizer: 'natural' does not serve"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ValueError, match=message):
        tnqbm.train(start(), TARGET, iterations=1, **settings)


def test_models_trained_together_have_one_layout():
    with pytest.raises(ValueError, match="the same couplings and Paulis"):
        SqBMProblem([start(), start("XZ")], [TARGET, TARGET])
    with pytest.raises(ValueError, match="as many targets as SqBMs"):
        SqBMProblem([], [])
