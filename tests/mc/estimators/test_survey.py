"""A second look at log Z of trainings: modes that no chain is in."""

from __future__ import annotations

import numpy as np
import pytest

from mc.estimators.survey import Survey
from mc.estimators.weighted import WeightedChains
from tnqbm import SqRBM, Target, datasets, exact, train
from tnqbm.training.estimators import Context
from tnqbm.training.problems import SqRBMProblem

N, FIELD = 16, 1.2
COUNT, OTHERS = 400, slice(300, None)


def two_modes(paulis: str) -> SqRBM:
    """All bits 0 or all 1, far from each other; the first weighs e times as much."""
    axis = np.ones(len(paulis)) / np.sqrt(len(paulis))
    w = np.tile(3.0 * axis[:, None, None], (1, N, 1))
    return SqRBM(np.full(N, FIELD), (N * FIELD + 0.5) * axis[:, None], w, paulis)


def context_of(model: SqRBM, data: np.ndarray) -> Context:
    target = Target.uniform(data)
    return Context(SqRBMProblem([model] * 3, [target] * 3), np.arange(3, dtype=np.uint64))


ZEROS, ONES = np.zeros((1, N), dtype=np.uint8), np.ones((1, N), dtype=np.uint8)


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
def test_a_log_z_that_lacks_a_mode_has_no_error(paulis: str) -> None:
    model = two_modes(paulis)
    log_z = exact.log_partition(model)
    one_mode = float(model.log_weight(ZEROS)[0])
    assert one_mode < log_z - 0.2
    chains = np.repeat(ZEROS[None], 2, axis=0).repeat(COUNT, axis=1)
    chains[0, OTHERS] = 1  # the first run has chains in both modes
    weights = np.full((2, COUNT), 1 / COUNT)
    said, errors = np.array([log_z, one_mode]), np.array([0.01, 0.01])
    theta, rows = np.stack([model.to_vector()] * 2), np.array([2, 0])
    survey = Survey(context_of(model, ZEROS), exact=False)
    found = survey.errors(theta, rows, chains, weights, said, errors)
    np.testing.assert_array_equal(found, [0.01, np.nan])
    np.testing.assert_array_equal(errors, [0.01, 0.01])
    # Chains of the second run that weigh nothing do not help; those that weigh what they should do.
    chains[1, OTHERS] = 1
    weights[1, OTHERS] = 0.0
    weights[1] /= weights[1].sum()
    assert np.isnan(survey.errors(theta, rows, chains, weights, said, errors)[1])
    weights[1] = 1 / COUNT
    assert np.isfinite(survey.errors(theta, rows, chains, weights, said, errors)).all()


@pytest.mark.parametrize("exact_rows", [True, False])
def test_a_mode_whose_weight_is_exact_needs_no_chains(exact_rows: bool) -> None:
    model = two_modes("XZ")
    chains = np.repeat(ZEROS[None], COUNT, axis=1)
    survey = Survey(context_of(model, np.concatenate([ZEROS, ONES])), exact=exact_rows)
    found = survey.errors(
        model.to_vector()[None],
        np.array([1]),
        chains,
        np.full((1, COUNT), 1 / COUNT),
        np.array([exact.log_partition(model)]),
        np.array([0.01]),
    )
    assert np.isfinite(found).all() == exact_rows


def test_recorded_rows_are_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def doubted(
        self: object, theta: np.ndarray, rows: np.ndarray, log_z: np.ndarray, errors: np.ndarray
    ) -> np.ndarray:
        asked.append(theta.copy())
        return np.full_like(errors, np.nan)

    monkeypatch.setattr(WeightedChains, "doubted", doubted)
    start, target = SqRBM.uniform(6, 2, "XZ", scale=0.1, seed=1), datasets.load("bas", 6)
    settings = {"gradient": "weighted", "chains": 100, "iterations": 40, "records": 5, "seed": 1}
    run = train(start, target, **settings)
    error = run.log_partition_error
    assert error is not None
    assert np.isnan(error).all()
    assert len(asked) == len(run.step) == 5
    np.testing.assert_array_equal(asked[-1][0], run.model.to_vector())
    train(start, target, evaluate="exact", **settings)  # log Z is not the chains' own
    assert len(asked) == 5
