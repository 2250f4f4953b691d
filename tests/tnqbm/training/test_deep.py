"""Training of deep sqRBMs: exact gradients, minibatches, and what goes with a second layer."""

from __future__ import annotations

import numpy as np
import pytest

from tnqbm import DeepSqRBM, SqRBM, Target, Trainer, TrainingSettings, datasets, train
from tnqbm.core.connectivity import line
from tnqbm.training.deep import DeepProblem

PAULIS = ("Z", "XZ", "XYZ")


@pytest.fixture(scope="module")
def bas() -> Target:
    return datasets.load("bas", 6)


def problem(target: Target, n_deep: int = 2, paulis: str = "XZ", runs: int = 2) -> DeepProblem:
    models = [DeepSqRBM.uniform(6, 2, n_deep, paulis, scale=0.5, seed=k) for k in range(runs)]
    return DeepProblem(models, [target] * runs)


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("paulis", PAULIS)
def test_both_phases_are_those_of_the_model(bas, paulis, precision):
    made = problem(bas, 2, paulis)
    trainer = Trainer(made, TrainingSettings(iterations=1, precision=precision))
    _, gradient = trainer._gradient(record=True)
    for k in range(2):
        right = made.model(made.theta[k]).gradient(bas)
        atol = 1e-12 if precision == "double" else 2e-6
        np.testing.assert_allclose(gradient[k], right, atol=atol)


def test_the_recorded_distance_is_that_of_the_model(bas):
    start = DeepSqRBM.uniform(6, 2, 2, "XZ", scale=0.5, seed=1)
    path = train(start, bas, iterations=200, learning_rate=0.05)
    model = path.model
    log_p = model.log_weight(bas.states) - model.log_partition()
    kl = bas.probabilities @ (np.log(bas.probabilities) - log_p)
    assert abs(path.kl[-1] - kl) < 1e-12
    assert path.kl[-1] < 0.1 * path.kl[0]
    assert not np.array_equal(model.joint.w[:, 6:], start.joint.w[:, 6:])


def test_no_second_layer_trains_as_the_sqrbm(bas):
    plain = SqRBM.uniform(6, 2, "XZ", scale=0.5, seed=1)
    paths = [
        train(model, bas, iterations=100, learning_rate=0.05)
        for model in (plain, DeepSqRBM(plain, 0))
    ]
    np.testing.assert_allclose(paths[0].kl, paths[1].kl, rtol=1e-9)


def test_a_contracted_network_gives_the_same_gradient(bas):
    start = DeepSqRBM.uniform(6, 3, 2, "XZ", scale=0.5, seed=1, mask=line(6, 4))
    paths = [
        train(start, bas, gradient=name, iterations=20, learning_rate=0.05)
        for name in ("exact", "contraction")
    ]
    np.testing.assert_allclose(paths[0].kl, paths[1].kl, rtol=1e-9)
    w = paths[0].model.joint.w[:, :6]
    assert (w[:, ~line(6, 4)] == 0.0).all()


def test_minibatches_average_to_the_data(bas):
    made = problem(bas)
    settings = TrainingSettings(iterations=400, batch_size=5, learning_rate=1e-9, optimizer="sgd")
    trainer = Trainer(made, settings)
    total = 0.0
    for _ in range(bas.n_states):  # five epochs
        total = total + trainer._gradient(record=False)[1]
        trainer.advance(1)
    exact = Trainer(made, TrainingSettings(iterations=1))._gradient(record=False)[1]
    np.testing.assert_allclose(total / bas.n_states, exact, atol=1e-7)


def test_frozen_parameters_stay_and_the_centred_gradient_finds_the_same_data(bas):
    start = DeepSqRBM.uniform(6, 2, 2, "XZ", scale=0.5, seed=1)
    frozen = np.zeros(start.layout.size, np.bool_)
    frozen[6:8] = True
    path = train(start, bas, iterations=20, frozen=frozen)
    assert np.array_equal(path.model.joint.a[6:], start.joint.a[6:])
    assert not np.array_equal(path.model.joint.a[:6], start.joint.a[:6])
    path = train(start, bas, iterations=200, learning_rate=0.05, centred=True)
    assert path.kl[-1] < 0.1 * path.kl[0]


def test_what_is_refused(bas):
    small = DeepSqRBM.uniform(6, 2, 2, "XZ", seed=0)
    with pytest.raises(ValueError, match="optimizer: 'natural' does not serve"):
        train(small, bas, optimizer="natural")
    with pytest.raises(ValueError, match="the target has 6 visible units, the DeepSqRBM 5"):
        train(DeepSqRBM.uniform(5, 2, 2, "XZ", seed=0), bas)
    with pytest.raises(ValueError, match="must have the same sizes"):
        DeepProblem([small, DeepSqRBM.uniform(6, 2, 3, "XZ", seed=0)], [bas, bas])
    large = DeepSqRBM.uniform(6, 2, 17, "XZ", seed=0)
    with pytest.raises(ValueError, match="gradient: 'exact' needs sums over a second layer of 17"):
        train(large, bas)
    with pytest.raises(ValueError, match="out of reach"):
        train(DeepSqRBM.uniform(20, 2, 16, "XZ", seed=0), datasets.load("cardinality", 20))
