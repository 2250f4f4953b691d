"""Likelihood, total variation distance and the evaluator of training, with their errors."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mc.estimators.annealing import annealed_log_partition, log_partition_evaluator
from mc.sampling.likelihood import (
    WithError,
    compare_likelihoods,
    log_likelihood,
    log_likelihoods,
    log_weights,
    total_variation_on_support,
)
from mc.sampling.log_z.estimate import EstimateWarning
from mc.sampling.log_z.policies import Annealing, Auto
from mc.sampling.partition import log_partition
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.core import streams
from tnqbm.datasets import Target, load, load_split
from tnqbm.training.estimators import Context
from tnqbm.training.problems import SqRBMProblem


@pytest.fixture(scope="module")
def model() -> SqRBM:
    return SqRBM.uniform(6, 3, "XZ", seed=1)


def test_log_weights_are_those_of_the_model(model: SqRBM) -> None:
    states = all_states(6)
    np.testing.assert_allclose(log_weights(model, states), model.log_weight(states), rtol=1e-13)


def test_log_likelihood_and_its_errors(model: SqRBM) -> None:
    log_z = enumerate_model(model)[0]
    rows = np.random.default_rng(1).integers(0, 2, (50, 6))
    rows[10:30] = rows[0]  # repeated rows count as often
    log_p = model.log_weight(rows) - log_z
    found = log_likelihood(model, rows, WithError(log_z, 0.03))
    assert found.value == pytest.approx(log_p.mean(), rel=1e-12)
    assert found.data_error == pytest.approx(log_p.std(ddof=1) / np.sqrt(50))
    assert found.partition_error == 0.03
    assert found.standard_error == pytest.approx(np.hypot(found.data_error, 0.03))
    assert found.n_rows == 50
    estimate = log_partition(model, Auto(Annealing(chains=100, betas=100)), seed=1)
    estimated = log_likelihood(model, rows, estimate)
    assert estimated.value == pytest.approx(log_p.mean() + log_z - estimate.value)
    assert estimated.partition_error == estimate.standard_error


def test_a_target_has_no_sampling_error(model: SqRBM) -> None:
    target = Target([[0, 0, 1, 1, 0, 1], [1, 1, 1, 1, 0, 0]], [0.25, 0.75])
    log_z = enumerate_model(model)[0]
    found = log_likelihood(model, target, WithError(log_z, 0.1))
    expected = target.probabilities @ (model.log_weight(target.states) - log_z)
    assert found.value == pytest.approx(expected)
    assert (found.data_error, found.standard_error) == (0.0, 0.1)


def test_samples_know_that_they_are_samples(model: SqRBM, tmp_path: Path) -> None:
    """The error of held-out likelihoods is that of their rows, however they are given."""
    rows = np.random.default_rng(1).integers(0, 2, (50, 6), dtype=np.uint8)
    rows[10:30] = rows[0]
    log_z = WithError(enumerate_model(model)[0], 0.03)
    expected = log_likelihood(model, rows, log_z)
    assert expected.data_error > 0.05
    target = Target.from_samples(rows)
    assert target.n_samples == 50
    assert target.counts.sum() == 50
    assert log_likelihood(model, target, log_z) == pytest.approx(expected)
    np.save(tmp_path / "rows.npy", rows)
    assert log_likelihood(model, load(tmp_path / "rows.npy", 6), log_z) == pytest.approx(expected)
    for part in load_split(tmp_path / "rows.npy", 6):
        assert part is not None
        assert log_likelihood(model, part, log_z).data_error > 0.05
    assert Target(target.states, target.probabilities).n_samples is None
    assert load("bas", 6).counts is None
    with pytest.raises(ValueError, match="no shares of so many samples"):
        Target(target.states, target.probabilities, 7)


def test_likelihoods_of_rows_and_their_mean(model: SqRBM) -> None:
    log_z, _, log_weight = enumerate_model(model)
    rows = all_states(6)[[3, 3, 60]]
    found = log_likelihoods(model, rows, WithError(log_z, 0.1))
    np.testing.assert_allclose(found, log_weight[[3, 3, 60]] - log_z, rtol=1e-12)
    assert found.mean() == pytest.approx(log_likelihood(model, rows, WithError(log_z, 0)).value)
    target = load("bas", 6)
    assert log_likelihoods(model, target, WithError(log_z, 0.1)).shape == (target.n_states,)


def test_two_models_are_compared_row_by_row(model: SqRBM) -> None:
    """Paired: what makes rows likely under both models is no error of the difference."""
    rows = np.random.default_rng(1).integers(0, 2, (80, 6), dtype=np.uint8)
    other = SqRBM(model.a + 0.01, model.b, model.w, model.paulis)
    one, two = (WithError(enumerate_model(m)[0], e) for m, e in ((model, 0.03), (other, 0.04)))
    found = compare_likelihoods(model, other, rows, one, two)
    difference = log_likelihoods(model, rows, one) - log_likelihoods(other, rows, two)
    assert found.value == pytest.approx(difference.mean())
    assert found.data_error == pytest.approx(difference.std(ddof=1) / np.sqrt(80))
    assert found.data_error < 0.1 * log_likelihood(model, rows, one).data_error
    assert found.partition_error == pytest.approx(0.05)
    assert found.standard_error == pytest.approx(np.hypot(found.data_error, 0.05))
    assert compare_likelihoods(other, model, rows, two, one).value == pytest.approx(-found.value)
    merged = compare_likelihoods(model, other, Target.from_samples(rows), one, two)
    assert merged == pytest.approx(found)
    exact = compare_likelihoods(model, other, load("bas", 6), one, two)
    assert (exact.data_error, exact.standard_error) == (0.0, exact.partition_error)
    with pytest.raises(ValueError, match="6 and 5 visible units"):
        compare_likelihoods(model, SqRBM.uniform(5, 1, "Z", seed=1), rows, one, two)


def test_a_log_z_below_what_the_rows_weigh_is_told(model: SqRBM) -> None:
    log_z = enumerate_model(model)[0]
    target = Target.uniform(all_states(6))
    low = WithError(log_z - 0.5, 0.1)
    for call in (log_likelihood, log_likelihoods, total_variation_on_support):
        with pytest.warns(EstimateWarning, match=r"0\.5 nats below what these rows alone weigh"):
            call(model, target, low)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call(model, target, WithError(log_z - 0.2, 0.1))
            call(model, target, WithError(log_z, 0.0))


def test_one_row_has_an_unknown_error(model: SqRBM) -> None:
    found = log_likelihood(model, np.zeros((1, 6)), WithError(50.0, 0.0))
    assert np.isnan(found.data_error)


def test_total_variation_from_the_support(model: SqRBM) -> None:
    log_z, _, log_weight = enumerate_model(model)
    p = np.exp(log_weight - log_z)
    for target in (load("bas", 6), load("on2", 6, seed=3), Target.from_dense(p)):
        exact = 0.5 * np.abs(target.dense() - p).sum()
        found = total_variation_on_support(model, target, WithError(log_z, 0.0))
        assert found.value == pytest.approx(exact, abs=1e-12)
        assert found.standard_error == 0.0


def test_error_of_total_variation_is_the_delta_method(model: SqRBM) -> None:
    log_z, _, log_weight = enumerate_model(model)
    p = np.exp(log_weight - log_z)
    target = load("on2", 6, seed=3)
    q = target.dense()
    slope = p[(p < q) & (q > 0)].sum()
    found = total_variation_on_support(model, target, WithError(log_z, 1e-4))
    assert found.standard_error == pytest.approx(1e-4 * slope, rel=1e-3)
    # Against resampled log Z: 20,000 draws know the spread to half a percent.
    draws = np.random.default_rng(1).normal(log_z, 0.05, 20_000)
    values = [
        total_variation_on_support(model, target, WithError(x, 0.0)).value for x in draws[:2000]
    ]
    wide = total_variation_on_support(model, target, WithError(log_z, 0.05))
    assert wide.standard_error == pytest.approx(np.std(values), rel=0.1)


def test_total_variation_stays_in_range(model: SqRBM) -> None:
    target = load("bas", 6)
    log_z = enumerate_model(model)[0]
    for wrong in (-50.0, 50.0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EstimateWarning)
            found = total_variation_on_support(model, target, WithError(log_z + wrong, 1.0))
        assert 0.0 <= found.value <= 1.0
        assert found.standard_error >= 0.0


def test_error_bars_cover_the_truth() -> None:
    """NLL of 12 models with estimated log Z: two beyond 3 standard errors has probability 5e-4."""
    beyond = 0
    for seed in range(12):
        model = SqRBM.uniform(7, 4, "XYZ", seed=seed)
        estimate = log_partition(model, Annealing(chains=100, betas=100), seed=seed)
        target = load("parity", 7)
        exact = target.probabilities @ model.log_weight(target.states) - enumerate_model(model)[0]
        found = log_likelihood(model, target, estimate)
        beyond += abs(found.value - exact) > 3 * found.standard_error
    assert beyond <= 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: log_likelihood(x, np.zeros((3, 5)), WithError(1.0, 0.0)), "visible"),
        (lambda x: log_likelihood(x, np.zeros((0, 6)), WithError(1.0, 0.0)), "rows must have"),
        (lambda x: log_likelihood(x, np.zeros((2, 6)), WithError(np.nan, 0.0)), "finite"),
        (lambda x: log_likelihood(x, np.zeros((2, 6)), WithError(1.0, -1.0)), ">= 0"),
        (
            lambda x: total_variation_on_support(x, load("bas", 8), WithError(1.0, 0.0)),
            "8 visible units",
        ),
    ],
)
def test_bad_input(model: SqRBM, call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call(model)


# --- the evaluator of training ------------------------------------------------------------------


def thetas(count: int) -> tuple[np.ndarray, np.ndarray]:
    models = [SqRBM.uniform(7, 4, "XYZ", seed=s) for s in range(count)]
    return np.stack([x.to_vector() for x in models]), np.array(
        [enumerate_model(x)[0] for x in models]
    )


def test_evaluator_answers_for_rows_and_steps() -> None:
    theta, exact = thetas(4)
    evaluate = log_partition_evaluator(
        7, 4, 3, keys=np.arange(4, dtype=np.uint64), chains=100, betas=100
    )
    rows = np.arange(4)
    log_z, error = evaluate(theta, rows, 10)
    assert log_z.shape == error.shape == (4,)
    assert (np.abs(log_z - exact) < 4 * error).all()  # false alarm 3e-4
    # Runs that have stopped, or other batches, change nothing.
    some, _ = evaluate(theta[[1, 3]], rows[[1, 3]], 10)
    np.testing.assert_array_equal(some, log_z[[1, 3]])
    later, _ = evaluate(theta, rows, 11)
    assert (later != log_z).all()


def test_evaluator_of_a_training_context() -> None:
    theta, exact = thetas(2)
    models = [SqRBM.from_vector(row, 7, 4, "XYZ") for row in theta]
    data = np.random.default_rng(1).integers(0, 2, (2, 9, 7), dtype=np.uint8)
    keys = np.array([5, 6], dtype=np.uint64)
    one, other = (Target.uniform(states) for states in data)
    for targets in ([one, one], [one, other]):
        context = Context(SqRBMProblem(models, targets), keys)
        log_z, error = annealed_log_partition(context, 100, 100)(theta, np.arange(2), 3)
        assert (np.abs(log_z - exact) < 4 * error).all()  # false alarm 2.4e-4
        # Row 1 of the batch alone, with its own data.
        single = Context(SqRBMProblem(models[1:], targets[1:]), keys[1:])
        alone, _ = annealed_log_partition(single, 100, 100)(theta[1:], np.arange(1), 3)
        assert alone[0] == log_z[1]


def test_evaluation_streams_differ_from_training_streams() -> None:
    key = 12345
    assert streams.key(streams.key(key, streams.Run.EVALUATION), 3) != streams.key(key, 3)
