"""Random streams: every number drawn in these packages is of a stream that is named here.

A stream is a seed and a path of whole numbers below it. The first of the path says what the numbers
are for: a member of one of the enumerations below, one enumeration for every kind of seed. Others
count: updates, chains, blocks. Results stored long ago rest on the members' values.

Kernels draw with the counter-based generator of :mod:`tnqbm.kernels.philox`: a number is a function
of (key, chain, sweep, site). There is no state to hand around, and nothing depends on which thread
or rank draws it or on how sweeps are divided between calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import is_whole

Seed = int | np.random.SeedSequence
Keys = NDArray[np.uint64]


class Sample(IntEnum):
    """Below the seed of :func:`mc.sample`."""

    CHAINS = 0
    START = 1
    PILOT = 2
    PILOT_START = 3
    NETWORK = 4
    SCOUTS = 5
    COVERAGE = 6


class Chains(IntEnum):
    """Below the key of chains, whose sweeps draw from the key itself."""

    MOVES = 1


class Moves(IntEnum):
    """Below the key of global moves and the number of the move."""

    STATES = 0
    TEST = 1


class Tempering(IntEnum):
    """Below the key of tempered chains; smaller numbers are the temperatures."""

    SWAPS = 1 << 20


class Pilot(IntEnum):
    """Below the key of a pilot run that chooses the rungs of a ladder."""

    SWEEPS = 0
    PICKS = 1
    AGAIN = 2


class Snapshots(IntEnum):
    """Below the key of chains on a ladder of snapshots, whose sweeps draw from the key itself."""

    PILOT = (1 << 20) + 1
    MORE = (1 << 20) + 2


class LogZ(IntEnum):
    """Below the seed of :func:`mc.log_partition`."""

    FORWARD = 0
    REVERSE = 1
    START = 2
    NETWORK = 3
    MODES = 4
    VISITED = 5
    ROUND = 6
    MULTISTATE = 7


class Annealing(IntEnum):
    """Below the key of one annealing."""

    CHAINS = 0
    PILOT = 1
    BOOTSTRAP = 2


class Modes(IntEnum):
    """Below the key of a survey of modes."""

    CLIMBS = 0
    CHAINS = 1


class Coverage(IntEnum):
    """Below the key of a test of what a network lacks."""

    WEIGHTS = 0
    MODES = 1


class NetworkLogZ(IntEnum):
    """Below the key of a log Z from an amplitude network."""

    FIT = 0
    WEIGHTS = 1
    CHECK = 2
    BOOTSTRAP = 3


class Check(IntEnum):
    """Below the key of the chains that check a network."""

    ANNEALING = 0
    SWEEPS = 1


class Weights(IntEnum):
    """Below the key of importance weights."""

    DRAWS = 0
    BOOTSTRAP = 1


class PerfectSample(IntEnum):
    """Below the seed of samples from an amplitude network."""

    NETWORK = 0
    WEIGHTS = 1
    RESAMPLING = 2


class NetworkFit(IntEnum):
    """Below the seed of a fit that looks for states first."""

    FEED = 0
    FIT = 1


class Feed(IntEnum):
    """Below the key of the states that a fit starts from."""

    START = 0
    SWEEPS = 1


class Run(IntEnum):
    """Below the key of a training run. No gradient uses two of one value."""

    SWEEPS = 1
    STARTS = 2
    SAMPLES = 11
    NETWORKS = 12
    DATA = 13
    MOVE_NETWORKS = 21
    MOVES = 22
    MEASUREMENTS = 21
    RESAMPLING = 31
    WAY = 32
    WAY_PICKS = 33
    JUMPS = 34
    SURVEY = 35
    LAYER = 36
    LAYER_STARTS = 37
    REPLICATES = 41
    REFERENCE = 42
    EVALUATION = 0xA15


class Typical(IntEnum):
    """Below the seed of :class:`tnqbm.hamiltonian.TypicalGibbs`; a place or a state follows."""

    SPECTRUM = 0
    SUBSPACE = 1
    VECTORS = 2
    HIDDEN = 3


class FittedNetwork(IntEnum):
    """Below the key of a run's networks; the number of the update follows."""

    FIT = 0
    PROBES = 1
    FEED = 2
    PICKS = 3
    SWEEPS = 4


class Minibatch(IntEnum):
    """Second word of entropy, after a run's key."""

    EPOCH = 1
    DRAW = 2


class Second(IntEnum):
    """Second word of entropy, after a seed that other numbers are drawn from already."""

    STARTS = 0x5EED
    DATA = 0xDA7A
    BITS = 0xB175
    LAYER = 0x1A7E5


def sequence(seed: Seed, *path: int) -> np.random.SeedSequence:
    """The stream ``path`` below ``seed``; a SeedSequence that is given does not change.

    Raises TypeError or ValueError if ``seed`` is no whole number from 0 on and no SeedSequence.
    """
    if isinstance(seed, np.random.SeedSequence):
        root = seed
    elif not is_whole(seed):
        raise TypeError(f"seed must be a whole number or a SeedSequence, got {seed!r}")
    elif seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    else:
        root = np.random.SeedSequence(int(seed))
    below = (*root.spawn_key, *map(int, path))
    return np.random.SeedSequence(root.entropy, spawn_key=below, pool_size=root.pool_size)


def key(seed: Seed, *path: int) -> int:
    """The 64-bit key of the stream ``path`` below ``seed``.

    Equal arguments give equal keys; different ones, with entries of the path below 2**32, give
    independent keys.
    """
    return int(words(sequence(seed, *path), 1)[0])


def keys(seeds: Iterable[Seed], *path: int) -> Keys:
    """Keys of the stream ``path`` below each of several seeds (or keys), as an array."""
    return np.array([key(seed, *path) for seed in seeds], dtype=np.uint64)


def words(stream: np.random.SeedSequence, count: int) -> Keys:
    """The first words (count,) of 64 bits of a stream; they do not depend on how many there are."""
    return np.asarray(stream.generate_state(count, np.uint64), dtype=np.uint64)


def generator(seed: Seed | Sequence[int] | np.random.Generator, *path: int) -> np.random.Generator:
    """NumPy's default generator, at the stream ``path`` below ``seed``.

    A Generator stands for itself; several numbers, words of entropy side by side, for one seed.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, Sequence):
        seed = np.random.SeedSequence([int(word) for word in seed])
    return np.random.default_rng(sequence(seed, *path))


def philox(key: int, counter: Sequence[int] = (0, 0, 0, 0)) -> np.random.Generator:
    """NumPy's generator Philox4x64 with a key and a counter, at whose numbers it starts."""
    return np.random.Generator(np.random.Philox(key=int(key), counter=list(counter)))


def philox_words(key: Keys, number: int, count: int) -> Keys:
    """Raw words (count,) of Philox4x64; unlike a Generator's methods, NumPy never changes these.

    ``key`` (2,) are the two words of its key; ``number`` tells streams of one key apart.
    """
    bits = np.random.Philox(key=key, counter=np.array([0, 0, 0, number], dtype=np.uint64))
    return np.asarray(bits.random_raw(count))


def minibatch_key(key: int, purpose: Minibatch) -> Keys:
    """The key (2,) of :func:`philox_words` for a run's minibatches."""
    return words(np.random.SeedSequence([int(key), int(purpose)]), 2)
