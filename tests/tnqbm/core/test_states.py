"""Indices of states."""

from __future__ import annotations

import numpy as np
import pytest

from tnqbm.core.states import index_of, states_of


@pytest.mark.parametrize("n", [0, 1, 8, 24, 25, 53, 54, 63])
def test_indices_read_the_first_unit_as_the_most_significant_bit(n: int) -> None:
    states = np.random.default_rng(n).integers(0, 2, (50, n), dtype=np.uint8)
    states[0] = 1
    expected = [sum(int(bit) << (n - 1 - i) for i, bit in enumerate(row)) for row in states]
    found = index_of(states)
    assert found.dtype == np.int64
    assert found.tolist() == expected
    assert index_of(states[0]) == expected[0]
    np.testing.assert_array_equal(states_of(found, n), states)
