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


def two_modes(paulis: str) -> SqRBM:
    """All bits 0 or all 1, far from each other; the first weighs e times as much."""
    axis = np.ones(len(paulis)) / np.sqrt(len(paulis))
    w = np.tile(3.0 * axis[:, None, None], (1, N, 1))
    return SqRBM(np.full(N, FIELD), (N * FIELD + 0.5) * axis[:, None], w, paulis)


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
def test_a_log_z_that_lacks_a_mode_has_no_error(paulis: str) -> None:
    model = two_modes(paulis)
    target = Target.uniform(np.zeros((1, N), dtype=np.uint8))
    context = Context(SqRBMProblem([model] * 3, [target] * 3), np.arange(3, dtype=np.uint64))
    log_z = exact.log_partition(model)
    one_mode = float(model.log_weight(np.zeros((1, N), dtype=np.uint8))[0])
    assert one_mode < log_z - 0.2
    said = np.array([log_z, one_mode])
    errors = np.array([0.01, 0.01])
    found = Survey(context).errors(
        np.stack([model.to_vector()] * 2), np.array([2, 0]), said, errors
    )
    np.testing.assert_array_equal(found, [0.01, np.nan])
    np.testing.assert_array_equal(errors, [0.01, 0.01])


def test_only_the_last_row_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert np.isnan(error[-1])
    assert np.isfinite(error[:-1]).all()
    assert len(asked) == 1
    np.testing.assert_array_equal(asked[0][0], run.model.to_vector())
    train(start, target, evaluate="exact", **settings)  # log Z is not the chains' own
    assert len(asked) == 1
