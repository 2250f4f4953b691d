"""Names of random streams: fixed, distinct, and the same however a seed is given."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tnqbm.core.streams import stream_key, stream_keys


def test_keys_are_what_they_were() -> None:
    """Stored results rest on these numbers: another key is another result for the same study."""
    assert stream_key(0) == 15793235383387715774
    assert stream_key(1, 2, 3) == 10928566898365450891
    assert stream_key(2**64 - 1, 7) == 1948095770623731192


def test_a_key_is_a_word_of_64_bits() -> None:
    keys = [stream_key(seed) for seed in range(500)]
    assert all(type(key) is int and 0 <= key < 2**64 for key in keys)
    # Every bit is set in about half of the keys: 64 tests at six standard errors.
    ones = (np.array(keys, np.uint64)[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert (np.abs(ones.mean(axis=0) - 0.5) < 6 * 0.5 / np.sqrt(500)).all()


def test_different_paths_give_different_keys() -> None:
    paths = [(), *((k,) for k in range(60)), *product(range(40), range(40))]
    paths += list(product(range(8), repeat=3))
    keys = {stream_key(seed, *path) for seed in (0, 1, 2**70) for path in paths}
    assert len(keys) == 3 * len(paths)
    assert stream_key(1, 2, 3) != stream_key(1, 3, 2)


@pytest.mark.parametrize("seed", [0, 3, 2**63, 2**100 + 1])
def test_a_seed_sequence_stands_for_its_seed(seed: int) -> None:
    assert stream_key(np.random.SeedSequence(seed), 4) == stream_key(seed, 4)


def test_a_path_continues_that_of_a_seed_sequence() -> None:
    root = np.random.SeedSequence(5)
    child = root.spawn(3)[2]
    assert child.spawn_key == (2,)
    assert stream_key(child) == stream_key(root, 2)
    assert stream_key(child, 8, 9) == stream_key(root, 2, 8, 9)


def test_nothing_is_drawn_from_a_seed_sequence() -> None:
    root = np.random.SeedSequence(5)
    before = stream_key(root, 1)
    root.spawn(4)
    assert stream_key(root, 1) == before
    assert root.n_children_spawned == 4


def test_keys_of_several_streams() -> None:
    keys = stream_keys(11, 5, 2)
    assert keys.dtype == np.uint64
    assert keys.tolist() == [stream_key(11, 2, k) for k in range(5)]
    np.testing.assert_array_equal(stream_keys(11, 3, 2), keys[:3])
    assert stream_keys(11, 0).shape == (0,)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        stream_key(-1)
