"""Names of random streams: fixed, distinct, and the same however a seed is given."""

from __future__ import annotations

import ast
from enum import IntEnum
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tnqbm.core import streams
from tnqbm.core.streams import key, keys


def test_keys_are_what_they_were() -> None:
    """Stored results rest on these numbers: another key is another result for the same study."""
    assert key(0) == 15793235383387715774
    assert key(1, 2, 3) == 10928566898365450891
    assert key(2**64 - 1, 7) == 1948095770623731192


def test_a_key_is_a_word_of_64_bits() -> None:
    several = [key(seed) for seed in range(500)]
    assert all(type(one) is int and 0 <= one < 2**64 for one in several)
    # Every bit is set in about half of the keys: 64 tests at six standard errors.
    ones = (np.array(several, np.uint64)[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert (np.abs(ones.mean(axis=0) - 0.5) < 6 * 0.5 / np.sqrt(500)).all()


def test_different_paths_give_different_keys() -> None:
    paths = [(), *((k,) for k in range(60)), *product(range(40), range(40))]
    paths += list(product(range(8), repeat=3))
    different = {key(seed, *path) for seed in (0, 1, 2**70) for path in paths}
    assert len(different) == 3 * len(paths)
    assert key(1, 2, 3) != key(1, 3, 2)


@pytest.mark.parametrize("seed", [0, 3, 2**63, 2**100 + 1])
def test_a_seed_sequence_stands_for_its_seed(seed: int) -> None:
    assert key(np.random.SeedSequence(seed), 4) == key(seed, 4)


def test_a_path_continues_that_of_a_seed_sequence() -> None:
    root = np.random.SeedSequence(5)
    child = root.spawn(3)[2]
    assert child.spawn_key == (2,)
    assert key(child) == key(root, 2)
    assert key(child, 8, 9) == key(root, 2, 8, 9)


def test_nothing_is_drawn_from_a_seed_sequence() -> None:
    root = np.random.SeedSequence(5)
    before = key(root, 1)
    root.spawn(4)
    assert key(root, 1) == before
    assert root.n_children_spawned == 4


def test_keys_of_several_seeds() -> None:
    several = keys(np.array([11, 12], np.uint64), 2)
    assert several.dtype == np.uint64
    assert several.tolist() == [key(11, 2), key(12, 2)]
    assert keys([], 2).shape == (0,)


def test_generators_are_those_of_numpy() -> None:
    draws = streams.generator(3, 1).random(4)
    child = np.random.SeedSequence(3, spawn_key=(1,))
    np.testing.assert_array_equal(draws, np.random.default_rng(child).random(4))
    draws = streams.generator((3, 9)).random(4)
    np.testing.assert_array_equal(draws, np.random.default_rng([3, 9]).random(4))
    rng = np.random.default_rng(1)
    assert streams.generator(rng) is rng
    bits = np.random.Philox(key=5, counter=[0, 7, 0, 0])
    draws = streams.philox(5, (0, 7, 0, 0)).random(4)
    np.testing.assert_array_equal(draws, np.random.Generator(bits).random(4))


def test_purposes_are_what_they_were() -> None:
    """Stored results rest on these numbers."""
    purposes = {
        name: [int(member) for member in value]
        for name, value in vars(streams).items()
        if isinstance(value, type) and issubclass(value, IntEnum) and value is not IntEnum
    }
    assert purposes == {
        "Sample": [0, 1, 2, 3, 4, 5, 6],
        "Chains": [1],
        "Moves": [0, 1],
        "Tempering": [1 << 20],
        "Pilot": [0, 1, 2],
        "Snapshots": [(1 << 20) + 1, (1 << 20) + 2],
        "LogZ": [0, 1, 2, 3, 4, 5, 6, 7],
        "Annealing": [0, 1, 2],
        "Modes": [0, 1],
        "Coverage": [0, 1],
        "NetworkLogZ": [0, 1, 2, 3],
        "Check": [0, 1],
        "Weights": [0, 1],
        "PerfectSample": [0, 1, 2],
        "NetworkFit": [0, 1],
        "Feed": [0, 1],
        "Run": [1, 2, 11, 12, 13, 21, 22, 31, 32, 33, 34, 35, 36, 37, 41, 42, 0xA15],
        "Typical": [0, 1, 2, 3],
        "FittedNetwork": [0, 1, 2, 3, 4],
        "Minibatch": [1, 2],
        "Second": [0x5EED, 0xDA7A, 0xB175, 0x1A7E5],
    }
    assert streams.Run.MEASUREMENTS == 21


def test_no_other_module_makes_a_stream() -> None:
    root = Path(__file__).parents[3]
    makers = {"SeedSequence", "default_rng", "Philox", "PCG64", "Generator", "RandomState"}
    for path in [*(root / "tnqbm").rglob("*.py"), *(root / "mc").rglob("*.py")]:
        if path.name == "streams.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                made = node.func.attr in makers and "np.random" in ast.unparse(node.func)
                assert not made, f"{path}:{node.lineno} makes a stream that streams.py ought to"


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        key(-1)
