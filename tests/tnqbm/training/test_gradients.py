"""Centred gradients, weight decay and clipping."""

from __future__ import annotations

import numpy as np
import pytest

from tests.twins import averages, enumerate_model
from tnqbm import SqRBM, Target, TrainingSettings, datasets, exact
from tnqbm.core import connectivity
from tnqbm.core.shape import Shape
from tnqbm.training import SqRBMProblem, gradients
from tnqbm.training.trainer import Trainer

N, M = 4, 3


def moments(model: SqRBM, target: Target) -> tuple[np.ndarray, np.ndarray]:
    positive = averages(model, target.states, target.probabilities)
    return positive, enumerate_model(model)[1]


def nll(model: SqRBM, target: Target) -> float:
    return float(
        exact.log_partition(model) - target.probabilities @ model.log_weight(target.states)
    )


def jacobian(model: SqRBM, mu: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """d(a, b, w) / d(a', b', w) of the centred model, built column by column."""
    size, p = model.to_vector().size, len(model.paulis)
    columns = []
    for k in range(size):
        unit = SqRBM.from_vector(np.eye(size)[k], N, M, model.paulis)
        a = unit.a - np.einsum("pij,pj->i", unit.w, offset)
        b = unit.b - np.einsum("pij,i->pj", unit.w, mu)
        columns.append(np.concatenate([a, b.ravel(), unit.w.ravel()]))
    assert p == offset.shape[0]
    return np.array(columns).T


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_centred_is_the_gradient_of_the_centred_model_mapped_back(paulis: str) -> None:
    model = SqRBM.uniform(N, M, paulis, seed=5)
    target = datasets.load("on2", N, seed=1)
    positive, negative = moments(model, target)
    p = len(paulis)
    mean = 0.5 * (positive + negative)
    a = jacobian(model, mean[:N], mean[N : N + p * M].reshape(p, M))
    # The gradient in (a', b', w) by finite differences, not by the formula under test.
    theta, h = model.to_vector(), 1e-5
    in_primed = np.array(
        [
            nll(SqRBM.from_vector(theta + h * column, N, M, paulis), target)
            - nll(SqRBM.from_vector(theta - h * column, N, M, paulis), target)
            for column in a.T
        ]
    ) / (2 * h)
    found = gradients.centred(positive[None], negative[None], N, M, p)[0]
    np.testing.assert_allclose(found, a @ in_primed, atol=1e-8)
    assert not np.allclose(found, positive - negative, atol=1e-2)  # it is another direction


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
def test_centring_a_masked_model_leaves_absent_couplings_out(paulis: str) -> None:
    mask = connectivity.line(N, 2)
    model = SqRBM.uniform(N, M, paulis, seed=5, mask=mask)
    target = datasets.load("on2", N, seed=1)
    positive, negative = moments(model, target)
    p = len(paulis)
    mean = 0.5 * (positive + negative)
    free = Shape(*mask.shape, p).free(mask)
    # The change of variables of the parameters that exist, and of these alone.
    a = jacobian(model, mean[:N], mean[N : N + p * M].reshape(p, M))[np.ix_(free, free)]
    expected = np.zeros(free.size)
    expected[free] = a @ a.T @ (positive - negative)[free]
    found = gradients.centred(positive[None], negative[None], N, M, p, mask)[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    whole = gradients.centred(positive[None], negative[None], N, M, p)
    allowed = gradients.centred(positive[None], negative[None], N, M, p, np.ones((N, M), bool))
    assert np.array_equal(whole, allowed)
    assert not np.allclose(whole[0][free], found[free], atol=1e-3)


@pytest.mark.parametrize("seed", range(10))
def test_a_small_step_along_it_descends(seed: int) -> None:
    model = SqRBM.uniform(N, M, "XYZ", scale=2.0, seed=seed)
    target = datasets.load("bas", N)
    positive, negative = moments(model, target)
    step = gradients.centred(positive[None], negative[None], N, M, 3)[0]
    assert step @ (positive - negative) > 0
    after = SqRBM.from_vector(model.to_vector() - 1e-4 * step, N, M, "XYZ")
    assert nll(after, target) < nll(model, target)


def test_flipping_a_visible_bit_of_data_and_model_flips_the_training() -> None:
    """Learning from inverted pixels is learning, inverted."""
    flipped_units = [0, 2]
    signs = np.ones(N)
    signs[flipped_units] = -1

    def mirrored(model: SqRBM) -> SqRBM:
        return SqRBM(model.a * signs, model.b, model.w * signs[:, None], model.paulis)

    model = SqRBM.uniform(N, M, "XZ", seed=2)
    target = datasets.load("on2", N, seed=4)
    states = target.states.copy()
    states[:, flipped_units] ^= 1
    settings = TrainingSettings(iterations=40, centred=True)
    ends = []
    for start, data in ((model, target), (mirrored(model), Target.uniform(states))):
        trainer = Trainer(SqRBMProblem([start], [data]), settings)
        trainer.advance(40)
        ends.append(trainer.trajectories()[0])
    np.testing.assert_allclose(ends[0].kl, ends[1].kl, atol=1e-9)
    np.testing.assert_allclose(
        mirrored(ends[0].model).to_vector(), ends[1].model.to_vector(), atol=1e-7
    )


def test_rows_do_not_mix() -> None:
    rng = np.random.default_rng(0)
    size = N + 2 * M * (N + 1)
    positive, negative = rng.normal(size=(2, 7, size))
    together = gradients.centred(positive, negative, N, M, 2)
    alone = gradients.centred(positive[3:4], negative[3:4], N, M, 2)
    assert np.array_equal(together[3:4], alone)


def test_clipping_shortens_long_rows_only() -> None:
    gradient = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    gradients.clip(gradient, 1.0)
    np.testing.assert_allclose(gradient, [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]])


def test_training_applies_decay_and_then_clips() -> None:
    target = datasets.load("bas", N)
    model = SqRBM.uniform(N, M, "XZ", seed=1)
    settings = TrainingSettings(
        iterations=1, optimizer="sgd", learning_rate=0.5, weight_decay=0.3, clip=0.2
    )
    trainer = Trainer(SqRBMProblem([model], [target]), settings)
    trainer.advance(1)
    positive, negative = moments(model, target)
    gradient = positive - negative
    result = trainer.trajectories()[0]
    # What is recorded is the gradient of the data's likelihood.
    assert result.gradient_norm[0] == pytest.approx(np.linalg.norm(gradient))
    first = N + 2 * M
    gradient[first:] += 0.3 * model.to_vector()[first:]
    gradient *= 0.2 / np.linalg.norm(gradient)
    np.testing.assert_allclose(
        result.model.to_vector(), model.to_vector() - 0.5 * gradient, atol=1e-12
    )


def test_centred_training_learns() -> None:
    target = datasets.load("bas", N)
    model = SqRBM.uniform(N, M, "XYZ", seed=1)
    settings = TrainingSettings(iterations=300, centred=True)
    trainer = Trainer(SqRBMProblem([model], [target]), settings)
    trainer.advance(300)
    assert trainer.trajectories()[0].tvd[-1] < 0.1
