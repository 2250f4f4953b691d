"""Random vectors that traces are estimated with: amplitudes of magnitude 1 in designed sets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.hamiltonian.terms import signs_of


def phases(shape: tuple[int, ...], real: bool, rng: np.random.Generator) -> NDArray[Any]:
    """Random numbers of magnitude 1; signs if ``real``."""
    if real:
        return np.asarray(1.0 - 2.0 * rng.integers(0, 2, shape))
    return np.asarray(np.exp(2j * np.pi * rng.random(shape)))


def coded_vectors(
    bits: int, sets: int, count: int, real: bool, rng: np.random.Generator
) -> NDArray[Any]:
    """Vectors (2**bits, sets * count) in independent sets of orthogonal ones, set after set."""
    size = 1 << bits
    signs = signs_of(np.arange(size)[:, None], orthogonal_codes(bits, count))
    return np.concatenate([*(phases((sets, size, 1), real, rng) * signs)], axis=1)


def orthogonal_codes(bits: int, count: int) -> NDArray[np.int64]:
    """``count`` masks, a power of 2 and at most 2**bits, for orthogonal vectors of signs.

    They form a linear code. Summed over the vectors (-1)^popcount(mask & k), products of two
    entries k and k' vanish unless their difference is in the dual code: unless they differ in at
    least 4 bits if ``bits`` <= ``count`` / 2, in 3 if ``bits`` < ``count``, in 2 otherwise.
    """
    words = np.arange(1, count)
    weight = np.bitwise_count(words)
    if bits <= count // 2:
        words, weight = words[weight % 2 == 1], weight[weight % 2 == 1]
    first, last = words[weight == 1], words[weight > 1][::-1]
    columns = np.resize(np.concatenate([first, last]), bits) if count > 1 else np.zeros(bits, int)
    parities = np.bitwise_count(np.arange(count)[:, None] & columns) & 1
    return np.asarray(parities.astype(np.int64) @ (1 << np.arange(bits, dtype=np.int64)))
