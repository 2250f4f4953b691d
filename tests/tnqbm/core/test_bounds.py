"""log Z is at least the weight of the states that were seen."""

from __future__ import annotations

import numpy as np
import pytest

from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.core.bounds import bound_from_weights, distinct_rows, log_partition_bound


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_all_states_give_log_z_and_fewer_give_less(paulis: str) -> None:
    model = SqRBM.uniform(6, 3, paulis, scale=2.0, seed=1)
    log_z, _, log_weight = enumerate_model(model)
    states = all_states(6)
    assert log_partition_bound(model, states) == pytest.approx(log_z, rel=1e-13)
    order = np.random.default_rng(1).permutation(64)
    bounds = [log_partition_bound(model, states[order[:k]]) for k in range(1, 64)]
    assert (np.diff(bounds) > 0).all()
    assert bounds[-1] < log_z
    assert bounds[0] == pytest.approx(log_weight[order[0]])


def test_repeated_states_count_once() -> None:
    model = SqRBM.uniform(9, 3, "XYZ", seed=2)  # more than one byte of bits
    rows = np.random.default_rng(1).integers(0, 2, (5, 40, 9))
    once = np.unique(rows.reshape(-1, 9), axis=0)
    wanted = np.logaddexp.reduce(model.log_weight(once))
    assert len(once) < 200
    assert log_partition_bound(model, rows) == pytest.approx(wanted, rel=1e-13)
    assert log_partition_bound(model, np.concatenate([once, once])) == pytest.approx(wanted)


def test_many_models_at_once() -> None:
    models = [SqRBM.uniform(5, 2, "XZ", seed=k) for k in range(3)]
    states = np.random.default_rng(1).integers(0, 2, (20, 5)).astype(np.uint8)
    weights = np.stack([model.log_weight(states) for model in models])
    wanted = [log_partition_bound(model, states) for model in models]
    np.testing.assert_allclose(bound_from_weights(weights, states), wanted, rtol=1e-13)


def test_no_states_and_no_numbers_that_overflow() -> None:
    model = SqRBM.uniform(4, 2, "Z", scale=1e6, seed=1)
    assert log_partition_bound(model, np.empty((0, 4))) == -np.inf
    assert np.isfinite(log_partition_bound(model, all_states(4)))
    assert distinct_rows(np.array([[1, 0], [0, 1], [1, 0]], dtype=np.uint8)).tolist() == [0, 1]
    with pytest.raises(ValueError, match="4 visible units"):
        log_partition_bound(model, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="must be 0 or 1"):
        log_partition_bound(model, np.full((2, 4), 2))


def test_large_models_take_rows_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SqRBM.uniform(8, 5, "XYZ", seed=3)
    whole = log_partition_bound(model, all_states(8))
    monkeypatch.setattr("tnqbm.core.bounds._NUMBERS", 40)
    assert log_partition_bound(model, all_states(8)) == pytest.approx(whole, rel=1e-14)
