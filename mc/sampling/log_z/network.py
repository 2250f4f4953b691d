"""log Z by importance sampling with an amplitude matrix product state.

Perfect samples v of the network, with their probabilities q(v), have weights p~(v)/q(v) with mean
Z: an unbiased estimate of Z, whatever was cut off in the network, provided that q(v) > 0 where
p(v) > 0. What the network lacks altogether, its own samples do not see; other states of the model
may. States v ~ p give 1/Z as the mean of q(v)/p~(v) (Gelfand & Dey, JRSS B 56, 501 (1994)), and
a mode without its share in q lowers that mean: the two estimates part. The states are those of
chains annealed from a solvable model, with the weights of annealed importance sampling, so that a
mode counts for what it is and not for how many chains fell into it. A part of the model that K such
chains are likely to miss, about 1/K of it, may be missing from both: the standard error is never
below one over the effective number of these chains.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import Sweeper
from mc.sampling.amplitude.fit import CHAINS, check_proposal, fit_amplitude, log_weight_of
from mc.sampling.amplitude.moves import LogWeight, Proposal, States
from mc.sampling.amplitude.sample import CURE, at_least_rounding, weigh
from mc.sampling.log_z.annealing import Annealed, anneal
from mc.sampling.log_z.estimate import MIN_ESS, Estimate, Run, gap_between
from mc.sampling.log_z.policies import Network
from mc.sampling.path import reference_fields
from tnqbm.core import streams
from tnqbm.core.bounds import SIGMAS
from tnqbm.core.model import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.datasets import Target

Float = NDArray[np.float64]

BETAS = 300
"""Inverse temperatures of the chains that the network is checked with, as many as those it is
fitted to."""
DRAWS, THIN = 4, 5
"""States of each at the end of its way, and sweeps between them."""
KERNEL = "collapsed"


def weigh_network(
    model: SqRBM, policy: Network, *, data: Target | ArrayLike | None, key: int
) -> Run:
    """The estimate "tensor" of :func:`mc.log_partition`.

    The chains of the check have nothing in common with those that the network is fitted to.
    """
    begun = time.perf_counter()
    fields = None if data is None else reference_fields(data, model.n_visible)
    proposal, resamples = policy.proposal, policy.resamples
    if proposal is None:
        proposal = fit_amplitude(
            model,
            max_bond=policy.max_bond,
            states=policy.states,
            feed=policy.feed,
            data=data,
            seed=streams.key(key, streams.NetworkLogZ.FIT),
        )
    else:
        check_proposal(proposal, model.n_visible)
    log_weight = log_weight_of(model)
    drawn = weigh(
        proposal,
        log_weight,
        policy.samples,
        streams.key(key, streams.NetworkLogZ.WEIGHTS),
        resamples=resamples,
    )
    plain = Estimate(
        value=drawn.log_mean,
        standard_error=drawn.standard_error,
        ess=drawn.ess,
        log_weights=drawn.log_weights,
        method="tensor",
        seconds=0.0,
        trusted=True,
        samples=policy.samples,
        max_bond=drawn.max_bond,
        pareto_k=drawn.pareto_k,
    )
    states, annealed = annealed_states(model, fields, streams.key(key, streams.NetworkLogZ.CHECK))
    other = _from_chains(
        states,
        annealed,
        proposal,
        log_weight,
        resamples,
        streams.key(key, streams.NetworkLogZ.CHECK),
    )
    # What these chains would have missed, the network may lack.
    seen = replace(plain, standard_error=max(plain.standard_error, 1.0 / other.ess))
    gap, troubles = gap_between(seen, other), list(drawn.troubles)
    if other.ess < MIN_ESS:
        troubles.append(
            f"tensor: the {CHAINS} annealed chains of the check are worth {other.ess:.1f}, too few "
            "to tell whether the network lacks a part of the model; compare with method = 'both'"
        )
    elif not gap.agree:
        why = (
            "the network lacks a part of the model that the chains found"
            if gap.difference > 0
            else "the network is poor where the chains are"
        )
        troubles.append(
            f"tensor: its own samples give log Z = {seen.value:.8g} +- "
            f"{seen.standard_error:.2g}, annealed chains {other.value:.8g} +- "
            f"{other.standard_error:.2g}, more than {SIGMAS:.0f} standard errors apart: {why}; "
            f"{CURE}"
        )
    done = replace(
        seen,
        seconds=time.perf_counter() - begun,
        trusted=not troubles,
        warnings=troubles,
        reverse=other,
        gap=gap.difference,
        two_sided=True,
    )
    return Run(done, np.concatenate([states.reshape(-1, model.n_visible), drawn.states]))


def _from_chains(
    states: States,
    annealed: Annealed,
    proposal: Proposal,
    log_weight: LogWeight,
    resamples: int,
    key: int,
) -> Estimate:
    """log Z from the weighted mean of q/p~ over states (chains, draws, n) of annealed chains."""
    begun = time.perf_counter()
    chains, draws, n = states.shape
    log_w = annealed.log_weights[0]
    rows = states.reshape(-1, n)
    # A state that is never proposed has no share: a finite number that is as good as zero.
    log_q = np.maximum(proposal.log_prob(rows), np.finfo(np.float64).min)
    log_ratio = (log_q - log_weight(rows)).reshape(chains, draws)
    highest = float(log_ratio.max())
    w = np.exp(log_w - log_w.max())
    ratio = np.exp(log_ratio - highest).mean(axis=1)
    tiny = np.finfo(np.float64).tiny
    value = -highest - float(np.log(max(w @ ratio / w.sum(), tiny)))
    rng = streams.philox(streams.key(key, streams.NetworkLogZ.BOOTSTRAP))
    drawn = rng.integers(0, chains, (resamples, chains))
    means = np.maximum((w * ratio)[drawn].sum(axis=1) / w[drawn].sum(axis=1), tiny)
    return Estimate(
        value=value,
        standard_error=at_least_rounding(float(np.log(means).std(ddof=1)), value),
        ess=float(w.sum() ** 2 / (w**2).sum()),
        log_weights=log_w,
        method="tensor-reverse",
        chains=chains,
        betas=annealed.betas[0],
        seconds=time.perf_counter() - begun,
        trusted=True,
        kernel=KERNEL,
    )


def annealed_states(model: SqRBM, fields: Float | None, key: int) -> tuple[States, Annealed]:
    """States (chains, draws, n) of a model and the annealing of their chains, with its weights.

    Chains of annealed importance sampling (:mod:`mc.sampling.log_z.annealing`), from a solvable
    model with the visible ``fields`` (n,) or the model's own; with their weights their states stand
    for p(v).
    """
    n, m, p = model.shape
    theta = model.to_vector()[None]
    annealed = anneal(
        theta, n, m, p,
        keys=streams.keys([key], streams.Check.ANNEALING),
        chains=CHAINS, betas=BETAS, kernel=KERNEL, reference=fields, resamples=2,
    )  # fmt: skip
    keys = streams.keys([key], streams.Check.SWEEPS)
    sweeper = Sweeper(Shape(n, m, p), KERNEL)
    states = np.empty((CHAINS, DRAWS, n), dtype=np.uint8)
    for k in range(DRAWS):
        sweeper.sweep(theta, annealed.states, keys, k * THIN, THIN)
        states[:, k] = annealed.states[0]
    return states, annealed
