"""Samples straight from an amplitude matrix product state: independent, without Markov chains.

They follow the network's q(v), not quite the model's p(v), and come with the logarithms of their
weights p~(v)/q(v): averages over the model are weighted averages over them (importance sampling).
"""

from __future__ import annotations

import math
import time

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.amplitude.fit import check_proposal, conditioned, fit_amplitude, log_weight_of
from mc.sampling.amplitude.moves import States
from mc.sampling.amplitude.weights import systematic, weigh
from mc.sampling.chains.states import FREE, Seed
from mc.sampling.info import PerfectInfo
from mc.sampling.log_z.estimate import EstimateWarning
from mc.sampling.policies import Perfect
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.datasets import Target


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
