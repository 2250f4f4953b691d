"""log Z of one model with an error bar: by annealing, by a tensor network, or exactly."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from mc.sampling.log_z.annealed import annealed_runs, both, check_annealing
from mc.sampling.log_z.estimate import Estimate, EstimateWarning, Run, describe, gaps_of
from mc.sampling.log_z.network import weigh_network
from mc.sampling.log_z.verdict import ModeWeights, judge, weigh_modes
from mc.sampling.log_z.visited import weigh_visited
from mc.sampling.policies import (
    ESTIMATORS,
    All,
    Annealing,
    Auto,
    Estimation,
    Exact,
    Network,
    Visited,
    policy_of,
)
from tnqbm import exact
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.core import streams
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.core.states import as_states
from tnqbm.datasets import Target

Seed = int | np.random.SeedSequence

MAX_SECONDS = 30.0
"""Forecast up to which an exact evaluation is done without being asked for."""

_NETWORK_RATE = 1e-7
"""Seconds of a fit per coupling and square of the bond dimension."""


@checked(model=MODEL, data=arguments.rows(Target), seed=arguments.seed, progress=arguments.flag)
def log_partition(
    model: SqRBM,
    method: str | Estimation = "auto",
    *,
    data: Target | ArrayLike | None = None,
    seed: Seed | None = None,
    progress: bool = False,
) -> Estimate:
    """log Z = log Tr exp(-H) of a model of any size, in nats.

    method : "auto" or :class:`mc.Auto`, exact evaluation if it takes less than about half a
        minute, else annealing, and where that is not to be trusted the network too; "ais",
        "ais-reverse", "both" or :class:`mc.Annealing`, annealed importance sampling; "tensor" or
        :class:`mc.Network`, importance sampling with perfect samples of an amplitude matrix
        product state; "visited" or :class:`mc.Visited`, the weight of the states that chains have
        visited; "enumeration", "contraction", "quadrature", "exact" (the fastest of these
        for the model at hand) or :class:`mc.Exact`; "all" or :class:`mc.All`, annealing, the
        network and an exact method compared with one another. The name stands for the object with
        its defaults.
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
    if isinstance(policy, Exact):
        return _exact(model, policy)
    if seed is None:
        name = repr(method) if isinstance(method, str) else type(policy).__name__
        raise ValueError(f"seed: method {name} draws random numbers; give it a seed")
    begun = time.perf_counter()
    work = _Work(model, policy, data, seed, progress)
    if isinstance(policy, Auto):
        estimate = _auto(work)
    elif isinstance(policy, All):
        estimate = _all(work)
    elif isinstance(policy, Network):
        estimate = work.judged(work.network())
    elif isinstance(policy, Visited):
        estimate = work.judged(work.visited(policy))
    else:
        estimate = _of_annealing(work)
    estimate = replace(estimate, seconds=time.perf_counter() - begun)
    for text in estimate.warnings:
        warnings.warn(text, EstimateWarning, stacklevel=3)
    return estimate


def affordable(model: SqRBM) -> bool:
    """Whether exact evaluation of the model takes less than about half a minute."""
    return any(cost.fits and cost.seconds <= MAX_SECONDS for cost in exact.forecasts(model))


class _Work:
    """One call: the runs that its policy asks for, and what is known of the model apart."""

    def __init__(
        self,
        model: SqRBM,
        policy: Auto | All | Annealing | Network | Visited,
        data: Target | ArrayLike | None,
        seed: Seed,
        progress: bool,
    ) -> None:
        self.model, self._data, self._seed, self._progress = model, data, seed, progress
        self.annealing, self.net = Annealing(), Network()
        if isinstance(policy, Annealing):
            self.annealing = policy
        elif isinstance(policy, Network):
            self.net = policy
        elif isinstance(policy, Auto | All):
            self.annealing, self.net = policy.annealing, policy.network
        if isinstance(policy, All):
            self.annealing = replace(self.annealing, direction="both")
        check_annealing(model, self.annealing, data)

    def annealed(self) -> list[Run]:
        """Runs of annealing, one per direction."""
        return annealed_runs(
            self.model, self.annealing, data=self._data, seed=self._seed, progress=self._progress
        )

    def network(self) -> Run:
        """The run of an amplitude network."""
        return weigh_network(
            self.model, self.net, data=self._data, key=streams.key(self._seed, streams.LogZ.NETWORK)
        )

    def visited(self, policy: Visited) -> Run:
        """The run of chains whose states are weighed."""
        return weigh_visited(
            self.model,
            policy,
            data=self._data,
            seed=streams.key(self._seed, streams.LogZ.VISITED),
            progress=self._progress,
        )

    def judged(self, run: Run) -> Estimate:
        """A run that stands for itself, held against what is known of the model."""
        return judge(run, self.known([run]))

    def known(self, runs: Sequence[Run]) -> ModeWeights:
        """What is known of the model from all that was seen or given, and from its modes."""
        n, annealing = self.model.n_visible, self.annealing
        seen = [run.states for run in runs]
        if isinstance(self._data, Target):
            seen.append(self._data.states)
        elif self._data is not None:
            seen.append(as_states(self._data, n))
        given = self.net.states if annealing.states is None else annealing.states
        if given is not None:
            seen.append(as_states(given, n).reshape(-1, n))
        return weigh_modes(
            self.model,
            np.concatenate(seen),
            chains=annealing.chains,
            betas=annealing.n_betas,
            kernel=annealing.kernel,
            precision=annealing.precision,
            key=streams.key(self._seed, streams.LogZ.MODES),
        )


def _of_annealing(work: _Work) -> Estimate:
    """One direction of annealing, or both."""
    runs = work.annealed()
    known = work.known(runs)
    return _both(runs, known) if len(runs) == 2 else judge(runs[0], known)


def _both(runs: Sequence[Run], known: ModeWeights) -> Estimate:
    forward, reverse = runs
    return both(judge(forward, known), judge(reverse, known, doubts=False), reverse.doubts)


def _network_affordable(model: SqRBM, max_bond: int) -> bool:
    """Whether a network is fitted to the model in about a minute."""
    size = model.n_visible * model.n_hidden * len(model.paulis)
    return _NETWORK_RATE * size * max_bond**2 <= 2 * MAX_SECONDS


def _auto(work: _Work) -> Estimate:
    """The exact value if it is near at hand, else annealing, else the network."""
    if affordable(work.model):
        return _exact(work.model, Exact())
    runs = work.annealed()
    first = _estimates(runs, work.known(runs))[0]
    if first.trusted or not _network_affordable(work.model, work.net.max_bond):
        return first
    try:
        runs.append(work.network())
    except MemoryError as error:
        return replace(first, warnings=[*first.warnings, f"tensor: left out: {error}"])
    parts = tuple(_estimates(runs, work.known(runs)))
    return replace(min(parts, key=_doubt), parts=parts, gaps=gaps_of(parts))


def _estimates(runs: Sequence[Run], known: ModeWeights) -> list[Estimate]:
    """The runs judged, both directions of annealing as one estimate."""
    methods = [run.estimate.method for run in runs]
    if methods[:2] == ["ais", "ais-reverse"]:
        return [_both(runs[:2], known), *(judge(run, known) for run in runs[2:])]
    return [judge(run, known) for run in runs]


def _doubt(estimate: Estimate) -> tuple[bool, float]:
    """Sorts estimates by what they are worth, the best first."""
    return not estimate.trusted, estimate.standard_error


def _all(work: _Work) -> Estimate:
    """Every method that applies; the exact value if there is one, else the most precise."""
    runs, complaints = work.annealed(), []
    try:
        runs.append(work.network())
    except MemoryError as error:
        complaints.append(f"tensor: left out: {error}")
    parts = _estimates(runs, work.known(runs))
    if affordable(work.model):
        parts.append(_exact(work.model, Exact()))
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


def _exact(model: SqRBM, policy: Exact) -> Estimate:
    begun = time.perf_counter()
    method = "auto" if policy.method == "exact" else policy.method
    value = float(exact.log_partition(model, method=method, engine=policy.engine))
    return Estimate(
        value=value,
        standard_error=0.0,
        ess=math.inf,
        log_weights=np.empty(0),
        method=policy.method,
        seconds=time.perf_counter() - begun,
        trusted=True,
    )
