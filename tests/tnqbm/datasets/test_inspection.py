"""Facts about rows of bits, against what plain loops find."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tnqbm import datasets
from tnqbm.base.errors import DataError
from tnqbm.datasets import SharedRows, inspect_data, shared_rows

Rows = NDArray[np.uint8]


def random_rows(n_rows: int, n: int, seed: int, ones: float = 0.5) -> Rows:
    return (np.random.default_rng(seed).random((n_rows, n)) < ones).astype(np.uint8)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 30), st.integers(1, 12), st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.95])
)
def test_facts_of_any_rows(n_rows: int, n: int, seed: int, ones: float) -> None:
    rows = random_rows(n_rows, n, seed, ones)
    found = inspect_data(rows)
    counts = Counter(tuple(row) for row in rows.tolist())
    assert (found.rows, found.columns) == rows.shape
    assert found.ones == pytest.approx(sum(map(sum, rows.tolist())) / rows.size, abs=1e-12)
    assert found.duplicates == n_rows - len(counts)
    assert found.most_repeated == max(counts.values())
    columns = [tuple(column) for column in rows.T.tolist()]
    assert found.always_0 == tuple(k for k, c in enumerate(columns, 1) if set(c) == {0})
    assert found.always_1 == tuple(k for k, c in enumerate(columns, 1) if set(c) == {1})
    groups: dict[tuple[int, ...], list[int]] = {}
    for k, column in enumerate(columns, 1):
        if len(set(column)) == 2:
            groups.setdefault(column, []).append(k)
    expected = sorted(tuple(group) for group in groups.values() if len(group) > 1)
    assert list(found.equal_columns) == expected


def test_entropy_is_the_likelihood_of_independent_bits() -> None:
    rows = random_rows(200, 7, 1, 0.3)
    means = rows.mean(axis=0)
    likelihoods = np.where(rows == 1, means, 1 - means)
    assert inspect_data(rows).entropy == pytest.approx(-np.log(likelihoods).sum(axis=1).mean())
    assert inspect_data(np.zeros((3, 2), np.uint8)).entropy == 0
    assert inspect_data(np.array([[0], [1]])).entropy == pytest.approx(np.log(2))


def test_weights_count_as_rows(tmp_path: Path) -> None:
    rows, counts = random_rows(6, 4, 2), [3, 1, 2, 5, 1, 4]
    path = tmp_path / "rows.csv"
    np.savetxt(path, np.column_stack([counts, rows]), fmt="%d", delimiter=",")
    found = inspect_data(str(path), weights=1)
    repeated = inspect_data(np.repeat(rows, counts, axis=0))
    assert found.ones == pytest.approx(repeated.ones)
    assert found.entropy == pytest.approx(repeated.entropy)
    assert (found.always_0, found.equal_columns) == (repeated.always_0, repeated.equal_columns)


def test_files_and_data() -> None:
    digits = datasets.samples("digits", 64)
    found = inspect_data(digits)
    assert (found.rows, found.columns) == (1797, 64)
    assert 1 in found.always_0  # a corner
    assert inspect_data(datasets.read_data(digits)) == found
    with pytest.raises(DataError, match="only 0 and 1 may occur"):
        inspect_data(np.array([[0, 2]]))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 6), st.integers(0, 10**6))
def test_shared_rows(n_part: int, n_others: int, n: int, seed: int) -> None:
    part, others = random_rows(n_part, n, seed), random_rows(n_others, n, seed + 1)
    known = {tuple(row) for row in others.tolist()}
    inside = [tuple(row) for row in part.tolist() if tuple(row) in known]
    assert shared_rows(part, others) == SharedRows(len(inside), len(set(inside)))


def test_shared_rows_of_other_lengths() -> None:
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3\)"):
        shared_rows(np.zeros((2, 4), np.uint8), np.zeros((2, 3), np.uint8))
