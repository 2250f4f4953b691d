"""Names of random streams: a 64-bit key per model, from a seed and a path.

Kernels draw with the counter-based generator of :mod:`tnqbm.kernels.philox`: a number is a function
of (key, chain, sweep, site). There is no state to hand around, and nothing depends on which thread
or rank draws it or on how sweeps are divided between calls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stream_key(seed: int | np.random.SeedSequence, *path: int) -> int:
    """The 64-bit key of the stream ``path`` below ``seed``.

    Equal arguments give equal keys; different ones, with entries of the path below 2**32, give
    independent keys.
    """
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    child = np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, *path))
    return int(child.generate_state(1, np.uint64)[0])


def stream_keys(seed: int | np.random.SeedSequence, count: int, *path: int) -> NDArray[np.uint64]:
    """Keys of the streams (*path, 0), ..., (*path, count - 1), as an array (count,)."""
    return np.array([stream_key(seed, *path, k) for k in range(count)], dtype=np.uint64)
