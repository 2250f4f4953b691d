"""Random streams of a run: functions of the study seed and the run's own coordinates only.

No rank, thread, batch or order of execution enters, so a run's numbers are the same however and
wherever it is computed, and do not change when other runs are added to the study.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from tnqbm.core import streams

Coordinate = str | int | float


def canonical_json(coordinates: Mapping[str, Coordinate]) -> str:
    """One text per set of coordinates: keys sorted, no spaces, ASCII only."""
    return json.dumps(dict(coordinates), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def stream_words(coordinates: Mapping[str, Coordinate]) -> tuple[int, int, int, int]:
    """Four 32-bit words that name the coordinates: the start of the SHA-256 of their JSON."""
    digest = hashlib.sha256(canonical_json(coordinates).encode()).digest()
    first, second, third, fourth = (
        int.from_bytes(digest[k : k + 4], "little") for k in (0, 4, 8, 12)
    )
    return first, second, third, fourth


def initial_stream(
    study_seed: int, coordinates: Mapping[str, Coordinate], seed: int
) -> np.random.SeedSequence:
    """Stream of a run's initial parameters; ``coordinates`` without the seed.

    Runs that differ in nothing but the gradient start alike if all are given as "exact".
    """
    words = stream_words({"purpose": "initial", **coordinates})
    return streams.sequence(study_seed, *words, seed)


def target_stream(study_seed: int, data: str, visible: int, seed: int) -> np.random.SeedSequence:
    """Stream of a run's (random) target distribution.

    It depends on the data set, the number of visible units and the seed alone: with the same
    seed, every model is trained on the same target.
    """
    words = stream_words({"purpose": "target", "data": data, "visible": visible})
    return streams.sequence(study_seed, *words, seed)


def chain_stream(study_seed: int, coordinates: Mapping[str, Coordinate], seed: int) -> int:
    """64-bit key of a run's Markov chains and minibatches; ``coordinates`` with the gradient."""
    words = stream_words({"purpose": "chains", **coordinates})
    return streams.key(study_seed, *words, seed)
