"""Samples straight from an amplitude matrix product state: independent, without Markov chains.

They follow the network's q(v), not quite the model's p(v), and come with the logarithms of their
weights p~(v)/q(v): averages over the model are weighted averages over them (importance sampling).
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mc.sampling.amplitude.fit import (
    MAX_BOND,
    Feed,
    check_proposal,
    conditioned,
    fit_amplitude,
    log_weight_of,
    whole,
)
from mc.sampling.amplitude.moves import Proposal, States
from mc.sampling.amplitude.weights import systematic, weigh
from mc.sampling.chains.moving import FREE, Clamp, Seed, clamped_values
from mc.sampling.log_z.estimate import EstimateWarning
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.datasets import Target

Float = NDArray[np.float64]


@short_repr
@dataclass(frozen=True)
class PerfectInfo:
    """What :func:`sample_tensor` drew.

    ``log_weights`` (K,) of the samples, log p~(v)/q(v): the log of their mean, ``log_partition``,
    estimates log Z (with clamped units: that of the conditional model of the free ones) with
    ``standard_error``; all 0 after resampling, when the samples count alike. ``drawn`` samples
    were drawn from the network, worth ``ess`` of the model; ``distinct`` is the number of the
    drawn ones among those returned. ``pareto_k`` is the shape of the tail of the weights and
    ``max_bond`` the bond dimension of the network (None for one that does not say). ``trusted``
    and ``warnings``: the verdict on the weights.
    """

    log_weights: Float
    drawn: int
    ess: float
    distinct: int
    log_partition: float
    standard_error: float
    pareto_k: float
    max_bond: int | None
    resampled: bool
    seconds: float
    trusted: bool
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """All fields by name but the weights themselves."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "log_weights"}


@checked(
    model=MODEL,
    n_samples=arguments.whole,
    max_bond=arguments.whole,
    feed=arguments.text,
    data=arguments.rows(Target),
    resample=arguments.flag,
    seed=arguments.seed,
)
def sample_tensor(
    model: SqRBM,
    n_samples: int,
    *,
    max_bond: int = MAX_BOND,
    feed: Feed = "chains",
    data: Target | NDArray[np.uint8] | None = None,
    clamp: Clamp | None = None,
    proposal: Proposal | None = None,
    resample: bool = False,
    seed: Seed,
) -> tuple[States, PerfectInfo]:
    """Independent samples (K, n) uint8 of a network that approximates p(v), and their weights.

    n_samples : how many to draw from the network.
    max_bond, feed, data, clamp : see :func:`mc.sampling.amplitude.fit.fit_amplitude`. Clamped
        units are held in every sample, and the others sampled given them.
    proposal : the network, if there is one already (of the free units, if others are clamped).
    resample : return an equally weighted subset instead, of as many samples as the weights are
        worth (rounded down, at least one), in proportion to their weights. One of more than
        average weight may come more than once.
    seed : the same seed gives the same samples.

    Warns (EstimateWarning) where the weights are too uneven to stand for the model. What the
    network lacks altogether they do not show: :func:`mc.log_partition` (method="tensor") checks
    that with chains. Raises TypeError or ValueError naming the argument that is wrong, MemoryError
    if samples or network would not fit.
    """
    begun = time.perf_counter()
    n = model.n_visible
    n_samples = whole("n_samples", n_samples, 1)
    held = clamped_values(clamp, n)
    free = held == FREE
    weigh_key = streams.key(seed, streams.PerfectSample.WEIGHTS)
    if proposal is None:
        proposal = fit_amplitude(
            model,
            max_bond=max_bond,
            feed=feed,
            data=data,
            clamp=held,
            seed=streams.key(seed, streams.PerfectSample.NETWORK),
        )
    else:
        check_proposal(proposal, int(free.sum()))
    found = weigh(proposal, log_weight_of(conditioned(model, held)), n_samples, weigh_key)
    for text in found.troubles:
        warnings.warn(text, EstimateWarning, stacklevel=3)
    chosen = np.arange(n_samples)
    if resample:
        chosen = systematic(
            found.log_weights,
            max(1, math.floor(found.ess)),
            streams.key(seed, streams.PerfectSample.RESAMPLING),
        )
    states = np.empty((chosen.size, n), dtype=np.uint8)
    states[:] = np.maximum(held, 0).astype(np.uint8)
    states[:, free] = found.states[chosen]
    return states, PerfectInfo(
        log_weights=np.zeros(chosen.size) if resample else found.log_weights,
        drawn=n_samples,
        ess=found.ess,
        distinct=int(np.unique(chosen).size),
        log_partition=found.log_mean,
        standard_error=found.standard_error,
        pareto_k=found.pareto_k,
        max_bond=found.max_bond,
        resampled=resample,
        seconds=time.perf_counter() - begun,
        trusted=not found.troubles,
        warnings=tuple(found.troubles),
    )
