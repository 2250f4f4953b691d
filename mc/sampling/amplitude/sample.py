"""Samples straight from an amplitude matrix product state: independent, without Markov chains.

They follow the network's q(v), not quite the model's p(v), and come with the logarithms of their
weights p~(v)/q(v): averages over the model are weighted averages over them (importance sampling).

The weights tell what log Z is and whether they are to be trusted (:func:`weigh`).
"""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.amplitude.fit import check_proposal, conditioned, fit_amplitude, log_weight_of
from mc.sampling.amplitude.moves import LogWeight, Proposal, States
from mc.sampling.chains.moving import FREE, Seed
from mc.sampling.info import PerfectInfo
from mc.sampling.log_z.estimate import (
    EstimateWarning,
    pareto_shape,
    summarise,
    tail_troubles,
    weight_troubles,
)
from mc.sampling.policies import Perfect
from tnqbm.base.limits import check_memory
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.datasets import Target

Float = NDArray[np.float64]

BATCH = 4096
"""Perfect samples drawn at a time."""

CURE = (
    "take a larger bond dimension (max_bond), more samples, or states from tempering "
    '(feed = "tempered") to fit to'
)


class Weighed(NamedTuple):
    """Perfect samples of a network and their weights.

    ``states`` (K, n); ``log_weights`` (K,) log p~(v)/q(v); ``log_mean`` their log mean, an estimate
    of log Z, with ``standard_error`` (bootstrap; never below what rounding makes of it); ``ess``
    the samples they are worth; ``pareto_k`` the shape of their tail; ``max_bond`` of the network,
    None for a proposal that has none; ``troubles``: why not to rely on them.
    """

    states: States
    log_weights: Float
    log_mean: float
    standard_error: float
    ess: float
    pareto_k: float
    max_bond: int | None
    troubles: list[str]


def weigh(
    proposal: Proposal, log_weight: LogWeight, count: int, key: int, *, resamples: int = 200
) -> Weighed:
    """Draw ``count`` samples of ``proposal`` and weigh them with ``log_weight``, log p~.

    MemoryError with a forecast if they do not fit; FloatingPointError if a weight is not finite.
    """
    n = proposal.n_visible
    check_memory(
        count * (n + 8 * (2 * resamples + 6)),
        f"weighing {count} samples of {n} visible units",
        "take fewer samples",
    )
    states, log_q = draw(proposal, count, streams.key(key, streams.Weights.DRAWS))
    log_weights = log_weight(states) - log_q
    if not np.isfinite(log_weights).all():
        raise FloatingPointError(
            f"the weight p~(v)/q(v) of sample {int(np.argmin(np.isfinite(log_weights)))} is not a "
            "finite number"
        )
    found = summarise(
        log_weights[None],
        streams.keys([key], streams.Weights.BOOTSTRAP),
        resamples=resamples,
    )
    value, ess = float(found.log_mean[0]), float(found.ess[0])
    shape = pareto_shape(log_weights)
    troubles = weight_troubles("tensor", "samples", count, ess, float(found.largest[0]), CURE)
    troubles += tail_troubles("tensor", "samples", count, ess, shape, CURE)
    sizes = getattr(proposal, "bond_sizes", None)
    return Weighed(
        states=states,
        log_weights=log_weights,
        log_mean=value,
        standard_error=at_least_rounding(float(found.standard_error[0]), value),
        ess=ess,
        pareto_k=shape,
        max_bond=None if sizes is None else int(max(sizes, default=1)),
        troubles=troubles,
    )


def draw(proposal: Proposal, count: int, key: int) -> tuple[States, Float]:
    """``count`` perfect samples (count, n) and their log probabilities (count,), in batches."""
    states = np.empty((count, proposal.n_visible), dtype=np.uint8)
    log_q = np.empty(count)
    for number, first in enumerate(range(0, count, BATCH)):
        last = min(first + BATCH, count)
        batch = proposal.sample(last - first, seed=streams.key(key, number))
        states[first:last], log_q[first:last] = batch
    return states, log_q


def at_least_rounding(error: float, log_z: float) -> float:
    """A standard error of log Z that claims no more than double precision has."""
    return max(error, float(np.finfo(np.float64).eps) * (1.0 + abs(log_z)))


def systematic(log_weights: Float, count: int, key: int) -> NDArray[np.intp]:
    """Indices (count,), rising, drawn in proportion to the weights with one random number.

    Systematic resampling (Kitagawa, J. Comput. Graph. Stat. 5, 1 (1996)): index k comes
    count w_k / sum w times, rounded up or down at random with that mean.
    """
    weights = np.exp(log_weights - log_weights.max())
    ends = np.cumsum(weights)
    rng = streams.philox(key)
    points = (np.arange(count) + rng.random()) * (ends[-1] / count)
    found = np.searchsorted(ends, points, side="right")
    return np.asarray(np.minimum(found, log_weights.size - 1), dtype=np.intp)


def sample_perfect(
    model: SqRBM,
    samples: int,
    policy: Perfect,
    *,
    data: Target | ArrayLike | None,
    held: NDArray[np.int8],
    seed: Seed,
) -> tuple[States, PerfectInfo, list[Warning]]:
    """Samples (K, n) of :func:`mc.sample`, what is known of them, and warnings.

    ``held`` (n,) is what every unit is clamped to, -1 for free ones: the others are sampled given
    them.
    """
    begun = time.perf_counter()
    free = held == FREE
    proposal = policy.proposal
    if proposal is None:
        proposal = fit_amplitude(
            model,
            max_bond=policy.max_bond,
            feed=policy.feed,
            data=data,
            clamp=held,
            seed=streams.key(seed, streams.PerfectSample.NETWORK),
        )
    else:
        check_proposal(proposal, int(free.sum()))
    log_weight = log_weight_of(conditioned(model, held))
    drawn = weigh(proposal, log_weight, samples, streams.key(seed, streams.PerfectSample.WEIGHTS))
    chosen = np.arange(samples)
    if policy.resample:
        count = max(1, math.floor(drawn.ess))
        chosen = systematic(
            drawn.log_weights, count, streams.key(seed, streams.PerfectSample.RESAMPLING)
        )
    states = np.empty((chosen.size, model.n_visible), dtype=np.uint8)
    states[:] = np.maximum(held, 0).astype(np.uint8)
    states[:, free] = drawn.states[chosen]
    info = PerfectInfo(
        log_weights=np.zeros(chosen.size) if policy.resample else drawn.log_weights,
        drawn=samples,
        ess=drawn.ess,
        distinct=int(np.unique(chosen).size),
        log_partition=drawn.log_mean,
        standard_error=drawn.standard_error,
        pareto_k=drawn.pareto_k,
        max_bond=drawn.max_bond,
        resampled=policy.resample,
        seconds=time.perf_counter() - begun,
        trusted=not drawn.troubles,
        warnings=tuple(drawn.troubles),
    )
    return states, info, [EstimateWarning(text) for text in drawn.troubles]
