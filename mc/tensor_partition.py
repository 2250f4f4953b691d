"""log Z by importance sampling with an amplitude matrix product state.

Perfect samples v of the network, with their probabilities q(v), have weights p~(v)/q(v) with mean
Z: an unbiased estimate of Z, whatever was cut off in the network, provided that q(v) > 0 where
p(v) > 0. What the network lacks altogether, its own samples do not see; chains of the model may.
Their states v ~ p give 1/Z as the mean of q(v)/p~(v) (Gelfand & Dey, JRSS B 56, 501 (1994)), and
a mode without its share in q lowers that mean: the two estimates part.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.estimate import SIGMAS, Estimate, gap_between
from mc.streams import stream_key
from mc.tensor import (
    CHAINS,
    Feed,
    check_proposal,
    find_states,
    fit_amplitude,
    log_weight_of,
    whole,
)
from mc.tensor_moves import LogWeight, Proposal
from mc.tensor_weights import CURE, at_least_rounding, weigh
from mc.weights import summarise
from tnqbm.datasets import Target
from tnqbm.model import SqRBM

Float = NDArray[np.float64]

CHECK_DRAWS = 4
"""States per chain that the network is checked with, of as many chains as it is fitted to."""

_FIT, _WEIGH, _CHECK, _CHECK_BOOTSTRAP = range(4)


def estimate(
    model: SqRBM,
    *,
    n_samples: int,
    max_bond: int,
    feed: Feed = "chains",
    proposal: Proposal | None = None,
    samples: ArrayLike | None = None,
    data: Target | ArrayLike | None = None,
    bootstrap: int = 200,
    key: int,
) -> Estimate:
    """The estimate "tensor" of :func:`mc.partition.log_partition`, which explains the arguments.

    The states of the check are those of chains of their own, from other starts than the chains
    that the network is fitted to.
    """
    begun = time.perf_counter()
    n_samples = whole("n_samples", n_samples, 1)
    bootstrap = whole("bootstrap", bootstrap, 2)
    if proposal is None:
        proposal = fit_amplitude(
            model,
            max_bond=max_bond,
            samples=samples,
            feed=feed,
            data=data,
            seed=stream_key(key, _FIT),
        )
    else:
        check_proposal(proposal, model.n_visible)
    log_weight = log_weight_of(model)
    found = weigh(proposal, log_weight, n_samples, stream_key(key, _WEIGH), bootstrap=bootstrap)
    plain = Estimate(
        value=found.log_mean,
        standard_error=found.standard_error,
        ess=found.ess,
        log_weights=found.log_weights,
        method="tensor",
        n_chains=0,
        n_betas=0,
        seconds=0.0,
        trusted=True,
        n_samples=n_samples,
        max_bond=found.max_bond,
        pareto_k=found.pareto_k,
    )
    other = _from_chains(model, proposal, log_weight, feed, data, bootstrap, key)
    gap, troubles = gap_between(plain, other), list(found.troubles)
    if not gap.agree:
        less = (
            "the network lacks a part of the model that the chains found"
            if gap.difference > 0
            else "the chains have not reached equilibrium, or the network is poor where they are"
        )
        troubles.append(
            f"tensor: its own samples give log Z = {plain.value:.8g} +- "
            f"{plain.standard_error:.2g}, states of chains "
            f"{other.value:.8g} +- {other.standard_error:.2g}, more than {SIGMAS:.0f} standard "
            f"errors apart: {less}; {CURE}"
        )
    return replace(
        plain,
        seconds=time.perf_counter() - begun,
        trusted=not troubles,
        warnings=troubles,
        reverse=other,
        gap=gap.difference,
    )


def _from_chains(
    model: SqRBM,
    proposal: Proposal,
    log_weight: LogWeight,
    feed: Feed,
    data: Target | ArrayLike | None,
    bootstrap: int,
    key: int,
) -> Estimate:
    """log Z from the mean of q/p~ over states of short chains."""
    begun = time.perf_counter()
    found = find_states(model, CHECK_DRAWS, feed=feed, data=data, key=stream_key(key, _CHECK))
    states = found.reshape(-1, model.n_visible)
    # A state that is never proposed has no share: a finite number that is as good as zero.
    log_q = np.maximum(proposal.log_prob(states), np.finfo(np.float64).min)
    log_ratio = log_q - log_weight(states)
    seen = summarise(
        log_ratio[None],
        np.array([stream_key(key, _CHECK_BOOTSTRAP)], dtype=np.uint64),
        bootstrap=bootstrap,
        group=CHECK_DRAWS,
    )
    value = -float(seen.log_mean[0])
    return Estimate(
        value=value,
        standard_error=at_least_rounding(float(seen.standard_error[0]), value),
        ess=float(seen.ess[0]),
        log_weights=log_ratio,
        method="tensor-reverse",
        n_chains=CHAINS,
        n_betas=0,
        seconds=time.perf_counter() - begun,
        trusted=True,
        kernel="collapsed",
    )
