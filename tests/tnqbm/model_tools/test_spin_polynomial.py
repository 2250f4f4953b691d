"""log p~ as a polynomial in the spins, against averages over all states."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reductions import SUPPORTS, sparse
from tests.twins import all_states
from tnqbm import SqRBM
from tnqbm.model_tools.expansion import coefficients, n_terms


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
def test_coefficients_are_averages_and_add_up(paulis: str) -> None:
    model = sparse(5, paulis, SUPPORTS)
    found = coefficients(model)
    states = all_states(5)
    s, log_weight = 1.0 - 2.0 * states, model.log_weight(states)
    total = np.zeros(32)
    for units, value in found.items():
        product = s[:, list(units)].prod(axis=1)
        assert value == pytest.approx((product * log_weight).mean(), abs=1e-12)
        total += value * product
    np.testing.assert_allclose(total, log_weight, atol=1e-12)
    assert (0, 1, 2) in found
    assert (0, 3) not in found


def test_terms_are_counted_before() -> None:
    assert n_terms(sparse(4, "Z", [(), (0,), (0, 1, 3)])) == 4 + 1 + 2 + 8
    bare = SqRBM(np.array([0.5, -1.0]), np.zeros((1, 0)), np.zeros((1, 2, 0)), "Z")
    assert coefficients(bare) == {(): 0.0, (0,): -0.5, (1,): 1.0}
    with pytest.raises(MemoryError, match="fewer visible ones"):
        coefficients(SqRBM.uniform(60, 1, "Z", seed=1))
