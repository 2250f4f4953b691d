"""log Z of one model with an error bar: by annealing, by a tensor network, or exactly."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from mc.sampling.log_z.certified import certified
from mc.sampling.log_z.estimate import Estimate, EstimateWarning, describe, gaps_of
from mc.sampling.log_z.policies import (
    ESTIMATORS,
    All,
    Annealing,
    Auto,
    Certified,
    Estimation,
    Exact,
    Multistate,
    Network,
)
from mc.sampling.log_z.work import (
    Work,
    affordable,
    estimates,
    exact_estimate,
    network_affordable,
)
from mc.sampling.policies import policy_of
from mc.sampling.second_layer import completed_data
from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of
from tnqbm.core.model import SqRBM
from tnqbm.datasets import Target
from tnqbm.hamiltonian.deep import DeepSqRBM
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.operator import PauliHamiltonian

Seed = int | np.random.SeedSequence


@checked(
    model=one_of(SqRBM, DeepSqRBM, SqBM, PauliHamiltonian),
    data=arguments.rows(Target),
    seed=arguments.seed,
    progress=arguments.flag,
)
def log_partition(
    model: SqRBM | DeepSqRBM | SqBM | PauliHamiltonian,
    method: str | Estimation = "auto",
    *,
    data: Target | ArrayLike | None = None,
    seed: Seed | None = None,
    progress: bool = False,
) -> Estimate:
    """log Z = log Tr exp(-H) of a model of any size, in nats.

    model : an sqRBM; a :class:`tnqbm.DeepSqRBM`, as its ``joint``, bits of both kinds of which are
        also those of ``states`` that policies are given; a :class:`tnqbm.SqBM`, without "tensor",
        "mbar" and "all"; or any :class:`tnqbm.PauliHamiltonian`, whose log Z is exact: "auto",
        "certified" or "exact".
    method : "auto" or :class:`mc.Auto`, exact evaluation if it takes less than about half a
        minute, else annealing, and where that is not to be trusted the network too; "ais",
        "ais-reverse", "both" or :class:`mc.Annealing`, annealed importance sampling; "tensor" or
        :class:`mc.Network`, importance sampling with perfect samples of an amplitude matrix
        product state; "visited" or :class:`mc.Visited`, the weight of the states that chains have
        visited; "mbar" or :class:`mc.Multistate`, states of all rungs of a ladder, along a
        training if its models are given; "enumeration", "contraction", "quadrature", "exact" (the
        fastest of these for the model at hand) or :class:`mc.Exact`; "all" or :class:`mc.All`,
        annealing, the network and an exact method compared with one another; "certified" or
        :class:`mc.Certified`, these and visited states with more and more effort, until log Z is
        known to lie in a narrow interval. The name stands for the object with its defaults.
    data : what the model was trained on, a Target or rows (K, n). The solvable end of annealing
        gets its first moments: a better beginning for trained models. For the network, states from
        which half of the chains start that it is fitted to and checked with.
    seed : the same seed gives the same numbers; exact methods draw nothing and need none.
    progress : show it on standard error.

    Estimates are held against what else is known: the weight of all states that were seen (by any
    chain or network, and the rows of ``data``), a rigorous lower bound of log Z, and the modes
    that mean-field theory finds, weighed one by one (:mod:`mc.sampling.log_z.verdict`). Error
    bars say what scatters, and what is known to be missing; a mode that nobody found is in none of
    them.

    Warns (EstimateWarning) where the result should not be trusted: a value more than three
    standard errors below the bound or the weight of the modes; fewer than 10 or 5% effective
    chains (or samples), one of them with more than a quarter of the weight, or a heavy tail of the
    weights; forward and reverse estimates that differ by more than three standard errors; for
    "tensor" also chain states that see more of the model than the network does; for "all", any two
    methods that differ by more than three standard errors. ValueError on impossible arguments,
    and where the exact method asked for is out of reach.
    """
    policy = policy_of(method, ESTIMATORS)
    if isinstance(model, DeepSqRBM):
        data = completed_data(model, data, 0 if seed is None else seed)
        model = model.joint
    if isinstance(model, PauliHamiltonian):
        if isinstance(policy, Auto | Certified) or policy == Exact():
            return exact_estimate(model, Exact())
        raise ValueError("method: log Z of a Hamiltonian is exact; use method = 'exact'")
    if isinstance(policy, Exact):
        return exact_estimate(model, policy)
    if isinstance(policy, Auto) and isinstance(model, SqBM) and affordable(model):
        return exact_estimate(model, Exact())
    if seed is None:
        name = repr(method) if isinstance(method, str) else type(policy).__name__
        raise ValueError(f"seed: method {name} draws random numbers; give it a seed")
    begun = time.perf_counter()
    work = Work(model, data, seed, progress)
    if isinstance(policy, All | Network | Multistate):
        work.sqrbm()
    work.check(
        policy if isinstance(policy, Annealing) else getattr(policy, "annealing", Annealing())
    )
    if isinstance(policy, Auto):
        estimate = _auto(work, policy)
    elif isinstance(policy, All):
        estimate = _all(work, policy)
    elif isinstance(policy, Certified):
        exactly = affordable(model)
        estimate = exact_estimate(model, Exact()) if exactly else certified(work, policy)
    else:
        estimate = work.judged(policy)
    estimate = replace(estimate, seconds=time.perf_counter() - begun)
    for text in estimate.warnings:
        warnings.warn(text, EstimateWarning, stacklevel=3)
    return estimate


def _auto(work: Work, policy: Auto) -> Estimate:
    """The exact value if it is near at hand, else annealing, else the network."""
    if affordable(work.model):
        return exact_estimate(work.model, Exact())
    annealing, network = policy.annealing, policy.network
    runs = work.runs(annealing)
    first = estimates(runs, work.known(runs, annealing, _given(policy)))[0]
    if first.trusted or not network_affordable(work.model, network.max_bond):
        return first
    try:
        runs += work.runs(network)
    except MemoryError as error:
        return replace(first, warnings=[*first.warnings, f"tensor: left out: {error}"])
    parts = tuple(estimates(runs, work.known(runs, annealing, _given(policy))))
    return replace(min(parts, key=_doubt), parts=parts, gaps=gaps_of(parts))


def _given(policy: Auto | All) -> ArrayLike | None:
    """States that the policy was given."""
    own = policy.annealing.states
    return policy.network.states if own is None else own


def _doubt(estimate: Estimate) -> tuple[bool, float]:
    """Sorts estimates by what they are worth, the best first."""
    return not estimate.trusted, estimate.standard_error


def _all(work: Work, policy: All) -> Estimate:
    """Every method that applies; the exact value if there is one, else the most precise."""
    annealing = replace(policy.annealing, direction="both")
    runs, complaints = work.runs(annealing), []
    try:
        runs += work.runs(policy.network)
    except MemoryError as error:
        complaints.append(f"tensor: left out: {error}")
    parts = estimates(runs, work.known(runs, annealing, _given(policy)))
    if affordable(work.model):
        parts.append(exact_estimate(work.model, Exact()))
    gaps = gaps_of(parts)
    by_method = {
        each.method: each
        for part in parts
        for each in (part, part.forward, part.reverse)
        if each is not None
    }
    for gap in gaps:
        if not gap.agree and (gap.first, gap.second) != ("ais", "ais-reverse"):  # said already
            complaints.append(
                f"{describe(by_method[gap.first])} and {describe(by_method[gap.second])} differ by "
                f"{abs(gap.sigmas):.3g} standard errors: at least one of them is wrong, or its "
                "error bar is"
            )
    best = min(parts, key=_doubt)
    exact = best.standard_error == 0
    return replace(
        best,
        trusted=best.trusted and (exact or all(gap.agree for gap in gaps)),
        warnings=[text for part in parts for text in part.warnings] + complaints,
        parts=tuple(parts),
        gaps=gaps,
    )
