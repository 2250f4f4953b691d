"""The quick estimate of a contraction's largest tensor."""

from __future__ import annotations

import numpy as np
import pytest

from tnqbm.core import connectivity
from tnqbm.exact.cost import NODES, estimated_width


@pytest.mark.parametrize(("window", "width"), [(2, 2), (4, 4), (6, 6)])
def test_lines(window: int, width: int) -> None:
    mask = connectivity.line(50, window)
    shuffled = mask[np.random.default_rng(0).permutation(50)]
    for one in (mask, shuffled):
        assert width <= estimated_width(one, 3, 100.0) <= 2 * width


def test_lattices_are_as_wide_as_their_shorter_side() -> None:
    assert 8 <= estimated_width(connectivity.lattice(30, 8), 3, 100.0) <= 11
    assert 8 <= estimated_width(connectivity.lattice(8, 30), 3, 100.0) <= 18


def test_few_hidden_units_are_split() -> None:
    mask = np.ones((300, 3), dtype=bool)
    assert estimated_width(mask, 1, 100.0) == 4
    assert estimated_width(mask, 3, 100.0) == pytest.approx(3 * np.log2(NODES) + 1)


def test_dense_and_empty_graphs() -> None:
    for n in (5, 30):
        assert estimated_width(np.ones((n, n), dtype=bool), 3, 100.0) == n
        assert estimated_width(np.zeros((n, 4), dtype=bool), 1, 100.0) == 1
        assert estimated_width(np.zeros((n, 0), dtype=bool), 2, 100.0) == 1
    half = np.random.default_rng(0).random((400, 400)) < 0.5
    assert estimated_width(half, 3, 36.0) > 36
