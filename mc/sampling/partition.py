"""log Z of one model with an error bar: by annealing, by a tensor network, or exactly."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from mc.sampling.amplitude.fit import MAX_BOND, Feed
from mc.sampling.amplitude.moves import Proposal
from mc.sampling.log_z.annealing import Schedule
from mc.sampling.log_z.directions import FORWARD, REVERSE, Annealing, annealed, both
from mc.sampling.log_z.estimate import Estimate, EstimateWarning, Gap, Run, agree, describe, gaps_of
from mc.sampling.log_z.mode_weights import Survey, survey
from mc.sampling.log_z.verdict import judge
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.core import streams
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.core.states import as_states
from tnqbm.datasets import Target

__all__ = [
    "EXACT",
    "METHODS",
    "Estimate",
    "EstimateWarning",
    "Gap",
    "affordable",
    "agree",
    "log_partition",
]

Seed = int | np.random.SeedSequence

EXACT = ("exact", "enumeration", "contraction", "quadrature")
METHODS = ("auto", "ais", "ais-reverse", "both", "tensor", *EXACT, "all")

MAX_SECONDS = 30.0
"""Forecast up to which an exact evaluation is done without being asked for."""

N_SAMPLES = 4000
"""Perfect samples of the network unless another number is asked for."""

_NETWORK_RATE = 1e-7
"""Seconds of a fit per coupling and square of the bond dimension."""


@checked(
    model=MODEL,
    method=arguments.text,
    engine=arguments.text,
    n_chains=arguments.whole,
    n_betas=arguments.whole,
    kernel=arguments.text,
    sweeps_per_beta=arguments.whole,
    precision=arguments.text,
    reference=arguments.rows(Target),
    samples=arguments.rows(),
    n_samples=arguments.whole,
    max_bond=arguments.whole,
    seed=arguments.seed,
    bootstrap=arguments.whole,
    progress=arguments.flag,
)
def log_partition(
    model: SqRBM,
    *,
    method: str = "auto",
    engine: str = "auto",
    n_chains: int = 500,
    n_betas: int = 1000,
    betas: Schedule | ArrayLike = "adaptive",
    kernel: str = "auto",
    sweeps_per_beta: int = 1,
    precision: str = "double",
    reference: Target | ArrayLike | None = None,
    samples: ArrayLike | None = None,
    n_samples: int = N_SAMPLES,
    max_bond: int = MAX_BOND,
    feed: Feed = "chains",
    proposal: Proposal | None = None,
    seed: Seed | None = None,
    bootstrap: int = 200,
    progress: bool = False,
) -> Estimate:
    """log Z = log Tr exp(-H) of a model of any size, in nats.

    method : "auto", exact evaluation if it takes less than about half a minute, else "ais", and
        where that is not to be trusted the network too; "ais", annealed importance sampling, low
        on average by about half the squared standard error; "ais-reverse", backwards from
        equilibrium states, high on average if they are that; "both", the mean of the two;
        "tensor", importance sampling with perfect samples of an amplitude matrix product state,
        whose mean weight is an unbiased estimate of Z whatever the bond dimension; "enumeration",
        "contraction", "quadrature", or "exact", the fastest of these for the model at hand; "all",
        every way that applies, compared with one another.
    engine : what contracts the factor graph for "contraction" and "exact", "quimb" or "compiled";
        "auto": the faster one by its forecast. See :func:`tnqbm.exact.log_partition`.
    n_chains, n_betas, betas, kernel, sweeps_per_beta, precision, bootstrap : see
        :func:`mc.sampling.log_z.annealing.anneal`. More inverse temperatures make the weights more
        even, more chains average over them.
    reference : data, a Target or rows (K, n), whose first moments the solvable end of annealing
        gets: a better beginning for trained models. For the network, states from which half of
        the chains start that it is fitted to and checked with.
    samples : equilibrium states for the reverse run, (K, n) independent of one another or
        (chains, draws, n) as mc.sample returns them; default: taken by parallel tempering.
        If there are more than n_chains, evenly spaced ones are used. For "tensor", the states the
        network is fitted to.
    n_samples, max_bond, feed, proposal : perfect samples of the network; its largest bond
        dimension and where the states come from that it is fitted to (see
        :func:`mc.sampling.amplitude.fit.fit_amplitude`); or the network itself.
    seed : the same seed gives the same numbers; exact methods draw nothing and need none.
    progress : show it on standard error.

    Estimates are held against what else is known: the weight of all states that were seen (by any
    chain or network, and the rows of ``reference``), a rigorous lower bound of log Z, and the modes
    that mean-field theory finds, weighed one by one (:mod:`mc.sampling.log_z.mode_weights`). Error
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
    if method not in METHODS:
        raise ValueError(f"method: {method!r} is not one of {', '.join(METHODS)}")
    if method in EXACT:
        return _exact(model, method, engine)
    if engine != "auto":
        raise ValueError(f"engine={engine!r} is for method='contraction', got method={method!r}")
    if seed is None:
        raise ValueError(f"seed: method {method!r} draws random numbers; give it a seed")

    how = Annealing(
        n_chains=n_chains, n_betas=n_betas, betas=betas, kernel=kernel,
        sweeps_per_beta=sweeps_per_beta, precision=precision, reference=reference,
        samples=samples, bootstrap=bootstrap, progress=progress,
    )  # fmt: skip

    how.check(model)

    def network() -> Run:
        from mc.sampling.log_z.network import estimate

        return estimate(
            model, n_samples=n_samples, max_bond=max_bond, feed=feed, proposal=proposal,
            samples=samples, data=reference, bootstrap=bootstrap,
            key=streams.key(seed, streams.LogZ.NETWORK),
        )  # fmt: skip

    begun = time.perf_counter()
    if method == "auto":
        found = _auto(model, how, network, max_bond, seed)
    elif method == "all":
        found = _all(model, how, network, seed)
    elif method == "tensor":
        run = network()
        found = judge(run, _survey(model, how, [run], seed))
    else:
        found = _annealed(model, how, method, seed)
    found = replace(found, seconds=time.perf_counter() - begun)
    for text in found.warnings:
        warnings.warn(text, EstimateWarning, stacklevel=3)
    return found


def affordable(model: SqRBM) -> bool:
    """Whether exact evaluation of the model takes less than about half a minute."""
    from tnqbm import exact

    return any(one.fits and one.seconds <= MAX_SECONDS for one in exact.forecasts(model))


def _survey(model: SqRBM, how: Annealing, runs: Sequence[Run], seed: Seed) -> Survey:
    """What is known of the model from all that was seen or given, and from its modes."""
    seen = [run.states for run in runs]
    if isinstance(how.reference, Target):
        seen.append(how.reference.states)
    elif how.reference is not None:
        seen.append(as_states(how.reference, model.n_visible))
    if how.samples is not None:
        seen.append(as_states(how.samples, model.n_visible).reshape(-1, model.n_visible))
    return survey(
        model,
        np.concatenate(seen),
        n_chains=how.n_chains,
        n_betas=how.n_betas,
        kernel=how.kernel,
        precision=how.precision,
        key=streams.key(seed, streams.LogZ.MODES),
    )


def _annealed(model: SqRBM, how: Annealing, method: str, seed: Seed) -> Estimate:
    """One direction of annealing, or both."""
    directions = (FORWARD, REVERSE) if method == "both" else (method,)
    runs = annealed(model, directions, how, seed)
    known = _survey(model, how, runs, seed)
    return _both(runs[0], runs[1], known) if method == "both" else judge(runs[0], known)


def _both(forward: Run, reverse: Run, known: Survey) -> Estimate:
    return both(judge(forward, known), judge(reverse, known, doubts=False), reverse.doubts)


def _network_affordable(model: SqRBM, max_bond: int) -> bool:
    """Whether a network is fitted to the model in about a minute."""
    size = model.n_visible * model.n_hidden * len(model.paulis)
    return _NETWORK_RATE * size * max_bond**2 <= 2 * MAX_SECONDS


def _auto(
    model: SqRBM, how: Annealing, network: Callable[[], Run], max_bond: int, seed: Seed
) -> Estimate:
    """The exact value if it is near at hand, else annealing, else the network."""
    if affordable(model):
        return _exact(model, "exact")
    runs = annealed(model, (FORWARD,), how, seed)
    first = judge(runs[0], _survey(model, how, runs, seed))
    if first.trusted or not _network_affordable(model, max_bond):
        return first
    try:
        runs.append(network())
    except MemoryError as error:
        return replace(first, warnings=[*first.warnings, f"tensor: left out: {error}"])
    known = _survey(model, how, runs, seed)
    parts = tuple(judge(run, known) for run in runs)
    return replace(min(parts, key=_doubt), parts=parts, gaps=gaps_of(parts))


def _doubt(found: Estimate) -> tuple[bool, float]:
    """Sorts estimates by what they are worth, the best first."""
    return not found.trusted, found.standard_error


def _all(model: SqRBM, how: Annealing, network: Callable[[], Run], seed: Seed) -> Estimate:
    """Every method that applies; the exact value if there is one, else the most precise."""
    runs, complaints = annealed(model, (FORWARD, REVERSE), how, seed), []
    try:
        runs.append(network())
    except MemoryError as error:
        complaints.append(f"tensor: left out: {error}")
    known = _survey(model, how, runs, seed)
    parts = [_both(runs[0], runs[1], known), *(judge(run, known) for run in runs[2:])]
    if affordable(model):
        parts.append(_exact(model, "exact"))
    gaps = gaps_of(parts)
    values = {
        one.method: one for part in parts for one in (part, part.forward, part.reverse) if one
    }
    for gap in gaps:
        if not gap.agree and (gap.first, gap.second) != ("ais", "ais-reverse"):  # said already
            complaints.append(
                f"{describe(values[gap.first])} and {describe(values[gap.second])} differ by "
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


def _exact(model: SqRBM, method: str, engine: str = "auto") -> Estimate:
    from tnqbm import exact

    begun = time.perf_counter()
    chosen = "auto" if method == "exact" else method
    value = float(exact.log_partition(model, method=chosen, engine=engine))
    return Estimate(
        value=value,
        standard_error=0.0,
        ess=math.inf,
        log_weights=np.empty(0),
        method=method,
        n_chains=0,
        n_betas=0,
        seconds=time.perf_counter() - begun,
        trusted=True,
    )
