"""log Z by the weight of the states that chains have visited.

The states S that one half of the chains has visited weigh sum_{v in S} p~(v) = Z p(S), and the
chains of the other half say how often a sample falls on them, which is p(S): their ratio is Z. Half
the chains do one thing and half the other, and then they change places. Where the visited states
hold a fair part of the probability, the error is that of a share: far below that of annealing, for
models that are sharp enough. Both halves may have missed the same mode, as in every method that
rests on chains.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.log_z.estimate import MIN_ESS, Estimate, Run
from mc.sampling.log_z.policies import Visited
from mc.sampling.tempering.sample import sample_tempered
from tnqbm.core.bounds import log_partition_bound
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states, row_keys
from tnqbm.datasets import Target
from tnqbm.hamiltonian.grouped import SqBM

Float = NDArray[np.float64]
States = NDArray[np.uint8]

MIN_SHARE = 0.05
"""Share of the samples on visited states below which the estimate is not trusted."""

MISSING = 0.5
"""Part of a model that states may lack for their weight to tell log Z."""


@dataclass(frozen=True)
class _Half:
    """log Z from the states of one half of the chains and the share of the others on them."""

    log_z: float
    error: float
    share: float
    ess: float
    """Independent samples with the same error of the share; inf if all fall on visited states."""


def weigh_visited(
    model: SqRBM | SqBM,
    policy: Visited,
    *,
    data: Target | ArrayLike | None,
    seed: int,
    progress: bool,
) -> Run:
    """The estimate "visited" of :func:`mc.log_partition`. The rows of ``data`` count as visited."""
    begun = time.perf_counter()
    states, info, _ = sample_tempered(
        model, policy.samples, policy.tempered, data=data, seed=seed, progress=progress
    )
    rows = _rows(data, model.n_visible)
    middle = len(states) // 2
    halves = [
        _half(model, np.concatenate([rows, visited.reshape(-1, model.n_visible)]), others)
        for visited, others in (
            (states[:middle], states[middle:]),
            (states[middle:], states[:middle]),
        )
    ]
    first, second = halves
    ess = min(first.ess, second.ess, info.mixing.least_ess)
    value = 0.5 * (first.log_z + second.log_z)
    error = max(
        0.5 * math.hypot(first.error, second.error),
        0.5 * abs(first.log_z - second.log_z),
        1.0 / ess if ess > 0 else math.inf,  # what so many samples are likely to miss
    )
    complaints = _complaints(min(first.share, second.share), ess)
    found = Estimate(
        value=value,
        standard_error=error,
        ess=ess,
        log_weights=np.empty(0),
        method="visited",
        seconds=time.perf_counter() - begun,
        trusted=not complaints,
        warnings=complaints,
        chains=len(states),
        samples=states.shape[0] * states.shape[1],
        kernel=info.kernel,
        betas=info.betas,
        two_sided=True,
    )
    seen = np.concatenate([rows, states.reshape(-1, model.n_visible)])
    return Run(found, seen, [f"visited: {text}" for text in info.warnings])


def covered(
    bound: Float, weights: Float, states: States, ladders: NDArray[np.intp]
) -> tuple[Float, Float]:
    """log Z (K,) from the weight of all states that were seen, and its standard error.

    bound : (K,), log of that weight, which is exact. weights : (K, N) of the ``states`` (N, n) of
    ``ladders`` (N,). The part of a model that no ladder has seen is about the part that only one
    has (Good 1953), because ladders are independent. nan where this is more than half.
    """
    _, places = np.unique(row_keys(states), return_inverse=True)
    first = np.full(places.max() + 1, ladders.max())
    last = np.zeros_like(first)
    np.minimum.at(first, places, ladders)
    np.maximum.at(last, places, ladders)
    alone = (first == last)[places]
    count = int(ladders.max()) + 1
    shares = np.stack([weights[:, ladders == c].sum(axis=1) for c in range(count)], axis=1)
    single = np.where(alone, weights, 0.0)
    parts = np.stack([single[:, ladders == c].sum(axis=1) for c in range(count)], axis=1)
    missing = parts.sum(axis=1)
    spread = ((parts - missing[:, None] * shares) ** 2).sum(axis=1)
    seen = np.where(missing <= MISSING, 1.0 - missing, np.nan)
    return bound - np.log(seen), np.sqrt(count / (count - 1.0) * spread) / seen


def _rows(data: Target | ArrayLike | None, n: int) -> States:
    if data is None:
        return np.empty((0, n), dtype=np.uint8)
    return data.states if isinstance(data, Target) else as_states(data, n)


def _half(model: SqRBM | SqBM, visited: States, others: States) -> _Half:
    """``visited`` (K, n) weighed, and the share on them of ``others`` (chains, draws, n)."""
    chains, draws, n = others.shape
    keys = np.unique(row_keys(visited))
    on = np.isin(row_keys(others.reshape(-1, n)), keys).reshape(chains, draws).mean(axis=1)
    share = max(float(on.mean()), 0.5 / on.size / draws)
    error = float(on.std(ddof=1)) / math.sqrt(chains)
    return _Half(
        log_z=log_partition_bound(model, visited) - math.log(share),
        error=error / share,
        share=share,
        ess=share * (1.0 - share) / error**2 if error > 0 else math.inf,
    )


def _complaints(share: float, ess: float) -> list[str]:
    if share < MIN_SHARE:
        return [
            f"visited: {100 * share:.2g}% of the samples fall on states that other chains have "
            f"visited, fewer than {100 * MIN_SHARE:.0f}%; take more samples, or another method "
            "where the model is too broad for this one"
        ]
    if ess < MIN_ESS:
        return [
            f"visited: the samples are worth {ess:.1f}, fewer than {MIN_ESS:.0f}; take more of them"
        ]
    return []
