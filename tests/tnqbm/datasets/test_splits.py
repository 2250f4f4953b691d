"""Rows held out to test and to validate with: no row on two sides, unless it is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from tests.twins import all_states
from tnqbm import datasets


def shared(one, other) -> int:
    """Rows of ``other`` that are among those of ``one``."""
    seen = {row.tobytes() for row in one}
    return sum(row.tobytes() in seen for row in other)


@pytest.fixture
def repeated():
    """60 rows, 22 of them distinct, each there once to six times."""
    rng = np.random.default_rng(3)
    return rng.permutation(np.repeat(all_states(5)[:22], rng.integers(1, 5, 22), axis=0))


@pytest.mark.parametrize("seed", range(4))
def test_equal_rows_stay_together(repeated, seed):
    train, test = datasets.split(repeated, 0.3, seed=seed)
    assert shared(train, test) == 0
    assert len(train) + len(test) == len(repeated)
    assert sorted(map(bytes, [*train, *test])) == sorted(map(bytes, repeated))
    # The nearest that whole groups allow: half the largest group off, at most.
    assert abs(len(test) - 0.3 * len(repeated)) <= 2.5
    apart = datasets.split(repeated, 0.3, repeats="anywhere", seed=seed)
    assert len(apart[1]) == round(0.3 * len(repeated))
    assert shared(*apart) > 0


def test_every_distinct_row_is_as_likely_to_be_held_out(repeated):
    """A row that is there often must not be held out more often than others."""
    found = np.zeros((2, 400))
    kinds, counts = np.unique(repeated, axis=0, return_counts=True)
    often, once = kinds[counts == 4][0], kinds[counts == 1][0]
    for seed in range(400):
        _, test = datasets.split(repeated, 0.3, seed=seed)
        found[:, seed] = [shared(test, [often]), shared(test, [once])]
    rates = found.mean(axis=1)
    assert abs(rates - 0.3).max() < 0.1  # four standard errors


def test_distinct_rows_are_split_alike_either_way():
    rows = all_states(6)
    for fraction in (0.1, 0.25, 0.5):
        one = datasets.split(rows, fraction, seed=1)
        other = datasets.split(rows, fraction, repeats="anywhere", seed=1)
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_rows_to_validate_with_come_before_those_to_test_with(repeated):
    rows = all_states(6)
    train, valid, test = datasets.split(rows, 0.25, valid_fraction=0.125, seed=1)
    assert (len(train), len(valid), len(test)) == (40, 8, 16)
    # The test rows do not depend on whether there are others to validate with.
    two = datasets.split(rows, 0.25, seed=1)
    assert np.array_equal(test, two[1])
    assert np.array_equal(np.vstack([train, valid]), two[0])
    train, valid, test = datasets.split(repeated, 0.2, valid_fraction=0.2, seed=2)
    assert shared(train, valid) == shared(train, test) == shared(valid, test) == 0
    assert abs(len(valid) - 0.2 * len(repeated)) <= 5
    train, valid, test = datasets.split(rows, 0, valid_fraction=0.25)
    assert (len(train), len(valid), len(test)) == (48, 16, 0)


def test_digits_share_no_image_between_parts():
    parts = datasets.load_split("digits", 64, valid_fraction=0.1, seed=1)
    train, valid, test = (part.states for part in parts)
    assert shared(train, test) == shared(train, valid) == shared(valid, test) == 0
    old = datasets.split(datasets.samples("digits", 64), 0.2, repeats="anywhere", seed=1)
    assert len(old[1]) == 359
    assert shared(*old) > 5


def test_independent_draws_fall_where_they_fall():
    train, test = datasets.load_split("ising-T2.0", 4, seed=1)
    assert shared(train.states, test.states) == test.n_states
    assert datasets.natural_repeats("ising-T2.0") == "anywhere"
    assert datasets.natural_repeats("digits") == datasets.natural_repeats("a.npy") == "together"


def test_parts_that_are_not_asked_for_are_none(tmp_path):
    np.save(tmp_path / "a.npy", all_states(3))
    train, valid, test = datasets.load_split(
        tmp_path / "a.npy", 3, test_fraction=0, valid_fraction=0.25
    )
    assert (train.n_states, valid.n_states, test) == (6, 2, None)
    assert datasets.load_split("bas", 6, test_fraction=0, valid_fraction=0)[1:] == (None, None)
    with pytest.raises(ValueError, match=r"known exactly.* valid_fraction = 0"):
        datasets.load_split("bas", 6, test_fraction=0, valid_fraction=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid_fraction": 0.8}, r"test_fraction \+ valid_fraction must be less than 1"),
        ({"valid_fraction": -0.1}, "valid_fraction must be at least 0"),
        ({"valid_fraction": 0.001}, "valid_fraction = 0.001 of 60 rows.* gives 0 valid rows"),
        ({"repeats": "apart"}, "repeats must be one of together, anywhere"),
    ],
)
def test_impossible_parts(repeated, options, message):
    with pytest.raises(ValueError, match=message.replace("60", str(len(repeated)))):
        datasets.split(repeated, 0.2, **options)


def test_one_distinct_row_cannot_be_split():
    with pytest.raises(ValueError, match=r"of 10 rows .1 of them distinct. gives 2 test rows"):
        datasets.split(np.ones((10, 3), dtype=np.uint8), 0.2)
