"""Chains of deep sqRBMs: both phases against exact ones, and chains at the data."""

from __future__ import annotations

import numpy as np
import pytest

from mc.estimators import second_layer
from tnqbm import DeepSqRBM, SqRBM, Target, Trainer, TrainingSettings, datasets, exact, train
from tnqbm.core.states import index_of
from tnqbm.training import deep as problems
from tnqbm.training.deep import DeepProblem

CHAINS = 4000


@pytest.fixture(scope="module")
def bas() -> Target:
    return datasets.load("bas", 4)


@pytest.fixture
def large(monkeypatch):
    """Every second layer counts as too large for sums."""
    for module in (second_layer, problems):
        monkeypatch.setattr(module, "MAX_SUMMED", 0)


def bound(paulis: str = "XZ") -> DeepSqRBM:
    """A model whose units of the second layer depend on each other and on the visible ones."""
    start = DeepSqRBM.uniform(4, 3, 2, paulis, scale=0.6, seed=0)
    w = start.joint.w.copy()
    w[:, 4:] += 0.5
    return DeepSqRBM(SqRBM(start.joint.a, start.joint.b, w, paulis), 2)


def still(target: Target, models: int = 1, **settings) -> Trainer:
    """A trainer whose parameters do not move."""
    given = {"learning_rate": 0.0, "optimizer": "sgd", "iterations": 1000, **settings}
    return Trainer(DeepProblem([bound()] * models, [target] * models), TrainingSettings(**given))


def chi_squared(states, p) -> float:
    counts = np.bincount(index_of(states), minlength=p.size)
    likely = len(states) * p > 5
    expected = len(states) * p[likely]
    return float(((counts[likely] - expected) ** 2 / expected).sum() / (likely.sum() - 1))


@pytest.mark.parametrize("gradient", ["pcd", "tempered"])
def test_chains_move_bits_of_both_kinds(bas, gradient):
    trainer = still(bas, gradient=gradient, chains=CHAINS, steps=40)
    trainer.advance(1)
    state = trainer._estimator.state()
    chains = state["chains"].reshape(-1, 6) if gradient == "pcd" else state["chains"][0, :, -1]
    p = exact.probabilities(bound().joint)
    assert chi_squared(chains, p) < 1.7
    wrong = exact.probabilities(DeepSqRBM.uniform(4, 3, 2, "XZ", scale=0.6, seed=0).joint)
    assert chi_squared(chains, wrong) > 3


@pytest.mark.parametrize("settings", [{}, {"batch_size": 3}])
@pytest.mark.parametrize("gradient", ["cd", "pcd", "tempered"])
def test_estimated_gradients_are_the_exact_one_on_average(bas, gradient, settings):
    trainer = still(bas, gradient=gradient, chains=200, steps=5, **settings)
    trainer.advance(20)
    found = []
    for _ in range(200):
        _, gradient_here = trainer._gradient(record=False)
        found.append(gradient_here[0])
        trainer.iteration += 1
    right = bound().gradient(bas)
    error = np.std(found, axis=0) / np.sqrt(len(found)) + 1e-9
    gap = np.abs(np.mean(found, axis=0) - right)
    if gradient == "cd":  # five sweeps from the data leave a bias
        assert gap.max() < 0.1
    else:
        assert (gap < 5 * error + 0.004).all()
    assert np.abs(right).max() > 0.3


def test_chains_at_the_data_average_to_the_exact_positive_phase(bas, large):
    trainer = still(bas, gradient="pcd", chains=10, steps=2, evaluate="none")
    estimator = trainer._estimator
    rows, theta = np.arange(1), trainer.parameters
    for update in range(20):
        estimator._clamped.advance(theta, rows, update)
    found = [estimator._clamped.advance(theta, rows, 20 + k)[0] for k in range(1500)]
    right = bound().positive_phase(bas)
    error = np.std(found, axis=0) * np.sqrt(6 / len(found)) + 1e-9
    assert (np.abs(np.mean(found, axis=0) - right) < 5 * error).all()
    # As if the second layer were fair bits whatever the data are.
    assert np.abs(right[4:6]).max() > 0.1
    states = estimator._clamped._chains
    assert (states[0, :, :4] == bas.states).all()


def test_unequal_rows_have_their_weights(large):
    target = Target([[0, 1, 0, 1], [1, 1, 0, 0]], [0.9, 0.1])
    trainer = still(target, gradient="pcd", chains=10, evaluate="none")
    found = trainer._estimator._clamped.advance(trainer.parameters, np.arange(1), 0)[0]
    np.testing.assert_allclose(found[:4], [0.8, -1.0, 1.0, -0.8], atol=1e-9)


@pytest.mark.parametrize("gradient", ["cd", "pcd"])
def test_large_second_layers_are_trained(bas, gradient, large):
    start = DeepSqRBM.uniform(4, 3, 2, "XZ", scale=0.3, seed=1)
    path = train(
        start, bas, gradient=gradient, chains=200, steps=5, iterations=300, learning_rate=0.005,
        evaluate="none",
    )  # fmt: skip

    def kl(model):
        log_p = model.log_weight(bas.states) - model.log_partition()
        return bas.probabilities @ (np.log(bas.probabilities) - log_p)

    assert kl(path.model) < 0.5 * kl(start)


@pytest.mark.parametrize("gradient", ["cd", "pcd"])
def test_interrupted_trainings_go_on_bit_by_bit(bas, gradient, large, tmp_path):
    def trainer() -> Trainer:
        models = [DeepSqRBM.uniform(4, 3, 2, "XZ", scale=0.3, seed=k) for k in range(2)]
        settings = TrainingSettings(gradient=gradient, chains=16, iterations=20, evaluate="none")
        return Trainer(DeepProblem(models, [bas] * 2), settings)

    whole, first, second = trainer(), trainer(), trainer()
    whole.advance(20)
    first.advance(8)
    first.save(tmp_path / "state.h5")
    second.resume(tmp_path / "state.h5")
    second.advance(20)
    for a, b in zip(whole.trajectories(), second.trajectories(), strict=True):
        assert a.model == b.model


def test_annealing_evaluates(bas):
    path = train(
        bound(), bas, gradient="pcd", chains=50, iterations=1, learning_rate=1e-12, evaluate="ais",
        seed=3,
    )  # fmt: skip
    assert abs(path.log_partition[-1] - bound().log_partition()) < 6 * path.log_partition_error[-1]


def test_what_is_refused(bas):
    model = DeepSqRBM.uniform(4, 2, 17, "XZ", seed=0)
    for settings, message in (
        ({"gradient": "tempered"}, "gradient: 'tempered' needs sums over a second layer of 17"),
        ({"gradient": "pcd", "batch_size": 5}, "batch_size: minibatches need sums"),
        ({"gradient": "pcd", "evaluate": "ais"}, "evaluate: likelihoods need sums"),
    ):
        with pytest.raises(ValueError, match=message):
            train(model, bas, iterations=1, **settings)
    with pytest.raises(ValueError, match="global_moves: are for sqRBMs"):
        train(bound(), bas, gradient="pcd", global_moves=5, iterations=1)
    path = train(model, bas, gradient="pcd", chains=10, iterations=3)
    assert path.model.n_deep == 17
