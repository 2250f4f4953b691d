"""log Z of one model with an error bar: by annealing, by a tensor network, or exactly."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.annealing import Annealed, Schedule, anneal, choose_kernel
from mc.estimate import (
    Estimate,
    EstimateWarning,
    Gap,
    agree,
    describe,
    gaps_of,
    weight_troubles,
)
from mc.interpolation import reference_fields
from mc.streams import stream_key
from mc.tensor.moves import Proposal
from mc.tensor.networks import MAX_BOND, Feed
from mc.ticker import Ticker
from tnqbm import arguments
from tnqbm.arguments import checked
from tnqbm.datasets import Target
from tnqbm.model import MODEL, SqRBM
from tnqbm.states import as_states

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

Float = NDArray[np.float64]

EXACT = ("exact", "enumeration", "contraction", "quadrature")
METHODS = ("ais", "ais-reverse", "both", "tensor", *EXACT, "all")

MAX_SECONDS = 30.0
"""Forecast for an exact evaluation that is done for comparison only."""

N_SAMPLES = 4000
"""Perfect samples of the network unless another number is asked for."""

_LADDERS = 25
_FORWARD, _REVERSE, _START, _TENSOR = range(4)


@checked(
    model=MODEL,
    method=arguments.text,
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
    method: str = "ais",
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
    seed: int | np.random.SeedSequence | None = None,
    bootstrap: int = 200,
    progress: bool = False,
) -> Estimate:
    """log Z = log Tr exp(-H) of a model of any size, in nats.

    method : "ais", annealed importance sampling, low on average by about half the squared standard
        error; "ais-reverse", backwards from equilibrium states, high on average; "both", which
        brackets log Z; "tensor", importance sampling with perfect samples of an amplitude matrix
        product state, whose mean weight is an unbiased estimate of Z whatever the bond dimension;
        "enumeration", "contraction", "quadrature", or "exact", the fastest of these for the model
        at hand; "all", every way that applies, compared with one another.
    n_chains, n_betas, betas, kernel, sweeps_per_beta, precision, bootstrap : see
        :func:`mc.annealing.anneal`. More inverse temperatures make the weights more even, more
        chains average over them.
    reference : data, a Target or rows (K, n), whose first moments the solvable end of annealing
        gets: a better beginning for trained models. For the network, states from which half of
        the chains start that it is fitted to and checked with.
    samples : equilibrium states for the reverse run, (K, n) independent of one another or
        (chains, draws, n) as mc.sample returns them; default: taken by parallel tempering.
        If there are more than n_chains, evenly spaced ones are used. For "tensor", the states the
        network is fitted to.
    n_samples, max_bond, feed, proposal : perfect samples of the network; its largest bond
        dimension and where the states come from that it is fitted to (see
        :func:`mc.tensor.networks.fit_amplitude`); or the network itself.
    seed : the same seed gives the same numbers; exact methods draw nothing and need none.
    progress : show it on standard error.

    Warns (EstimateWarning) where the result should not be trusted: fewer than 10 or 5% effective
    chains (or samples), one of them with more than a quarter of the weight, forward and reverse
    estimates that differ by more than three standard errors; for "tensor" also a heavy tail of
    the weights, and chain states that see more of the model than the network does; for "all",
    any two methods that differ by more than three standard errors. ValueError on impossible
    arguments, and where the exact method asked for is out of reach.
    """
    if method not in METHODS:
        raise ValueError(f"method: {method!r} is not one of {', '.join(METHODS)}")
    if method in EXACT:
        return _exact(model, method)
    if seed is None:
        raise ValueError(f"seed: method {method!r} draws random numbers; give it a seed")

    def annealed(which: str) -> Estimate:
        return _annealed(
            model, which, n_chains=n_chains, n_betas=n_betas, betas=betas, kernel=kernel,
            sweeps_per_beta=sweeps_per_beta, precision=precision, reference=reference,
            samples=samples, seed=seed, bootstrap=bootstrap, progress=progress,
        )  # fmt: skip

    def tensor() -> Estimate:
        from mc.tensor.partition import estimate

        return estimate(
            model, n_samples=n_samples, max_bond=max_bond, feed=feed, proposal=proposal,
            samples=samples, data=reference, bootstrap=bootstrap,
            key=stream_key(seed, _TENSOR),
        )  # fmt: skip

    begun = time.perf_counter()
    if method == "all":
        found = _all(model, annealed, tensor)
    else:
        found = tensor() if method == "tensor" else annealed(method)
    found = replace(found, seconds=time.perf_counter() - begun)
    for text in found.warnings:
        warnings.warn(text, EstimateWarning, stacklevel=3)
    return found


def affordable(model: SqRBM) -> bool:
    """Whether exact evaluation of the model takes less than about half a minute."""
    from tnqbm import exact

    return any(one.fits and one.seconds <= MAX_SECONDS for one in exact.forecasts(model))


def _all(
    model: SqRBM, annealed: Callable[[str], Estimate], tensor: Callable[[], Estimate]
) -> Estimate:
    """Every method that applies; the exact value if there is one, else the most precise."""
    parts, complaints = [annealed("both")], []
    try:
        parts.append(tensor())
    except MemoryError as error:
        complaints.append(f"tensor: left out: {error}")
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
    best = min(parts, key=lambda one: (not one.trusted, one.standard_error))
    exact = best.standard_error == 0
    return replace(
        best,
        trusted=best.trusted and (exact or all(gap.agree for gap in gaps)),
        warnings=[text for part in parts for text in part.warnings] + complaints,
        parts=tuple(parts),
        gaps=gaps,
    )


def _annealed(
    model: SqRBM,
    method: str,
    *,
    n_chains: int,
    n_betas: int,
    betas: Schedule | ArrayLike,
    kernel: str,
    sweeps_per_beta: int,
    precision: str,
    reference: Target | ArrayLike | None,
    samples: ArrayLike | None,
    seed: int | np.random.SeedSequence,
    bootstrap: int,
    progress: bool,
) -> Estimate:
    n, m, p = model.n_visible, model.n_hidden, len(model.paulis)
    kernel = choose_kernel(kernel, p)
    theta = model.to_vector()[None]
    fields_0 = None if reference is None else reference_fields(reference, n)
    runs = ("ais", "ais-reverse") if method == "both" else (method,)
    keys = {
        run: np.array([stream_key(seed, path)], dtype=np.uint64)
        for run, path in (("ais", _FORWARD), ("ais-reverse", _REVERSE))
    }
    found: list[Estimate] = []
    schedule: Schedule | ArrayLike = betas
    steps = n_betas if isinstance(betas, str) else int(np.shape(betas)[-1])
    with Ticker("annealing", len(runs) * (steps - 1), shown=progress) as ticker:
        for run in runs:
            start, group, before = None, 1, time.perf_counter()
            complaints: list[str] = []
            if run == "ais-reverse":
                start, group, complaints = _equilibrium(
                    model, samples, n_chains, kernel, precision, reference, seed
                )
            result = anneal(
                theta, n, m, p, keys=keys[run],
                n_chains=n_chains, n_betas=n_betas, betas=schedule, kernel=kernel,
                sweeps_per_beta=sweeps_per_beta, precision=precision,
                reference=fields_0,
                start=start, group=group, bootstrap=bootstrap, progress=ticker.advance,
            )  # fmt: skip
            schedule = result.betas  # the second direction takes the same way
            seconds = time.perf_counter() - before
            found.append(_estimate(result, run, kernel, seconds, complaints))
    return found[0] if len(found) == 1 else _bracket(*found)


def _exact(model: SqRBM, method: str) -> Estimate:
    from tnqbm import exact

    begun = time.perf_counter()
    chosen = "auto" if method == "exact" else method
    value = float(exact.log_partition(model, method=chosen))
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


def _equilibrium(
    model: SqRBM,
    samples: ArrayLike | None,
    n_chains: int,
    kernel: str,
    precision: str,
    reference: Target | ArrayLike | None,
    seed: int | np.random.SeedSequence,
) -> tuple[NDArray[np.uint8], int, list[str]]:
    """States (1, C, n) to anneal back from, how many neighbours belong together, complaints."""
    n = model.n_visible
    if samples is None:
        from mc.tempered import TemperingWarning, sample_tempered

        ladders = min(_LADDERS, n_chains)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TemperingWarning)  # passed on as a complaint
            states, info = sample_tempered(
                model,
                -(-n_chains // ladders),
                n_ladders=ladders,
                kernel=kernel,
                precision=precision,
                reference=reference,
                seed=stream_key(seed, _START),
            )
        return (
            states.reshape(1, -1, n),
            states.shape[1],
            [f"the reverse run may not start in equilibrium: {text}" for text in info.warnings],
        )
    given = as_states(samples, n)
    if given.ndim == 2:
        given = given[:, None]
    if given.ndim != 3 or given.size == 0:
        raise ValueError(f"samples must be (K, {n}) or (chains, draws, {n}), got {given.shape}")
    chains, draws, _ = given.shape
    if chains >= n_chains:
        chosen = np.linspace(0, chains - 1, n_chains).round().astype(np.intp)
        return given[None, chosen, -1], 1, []
    each = min(draws, -(-n_chains // chains))
    spaced = np.linspace(0, draws - 1, each).round().astype(np.intp)
    return given[:, spaced].reshape(1, -1, n), each, []


def _estimate(
    result: Annealed, method: str, kernel: str, seconds: float, complaints: list[str]
) -> Estimate:
    chains, temperatures = result.log_weights.shape[1], result.betas.shape[1]
    ess, largest = float(result.ess[0]), float(result.largest[0])
    cure = f"take more than {temperatures} inverse temperatures (n_betas), or more chains"
    troubles = weight_troubles(method, "chains", chains, ess, largest, cure)
    complaints = [*complaints, *troubles]
    return Estimate(
        value=float(result.log_z[0]),
        standard_error=float(result.standard_error[0]),
        ess=ess,
        log_weights=result.log_weights[0],
        method=method,
        n_chains=chains,
        n_betas=temperatures,
        seconds=seconds,
        trusted=not complaints,
        warnings=complaints,
        kernel=kernel,
        betas=result.betas[0],
    )


def _bracket(forward: Estimate, reverse: Estimate) -> Estimate:
    """Both directions as one estimate."""
    gap = reverse.value - forward.value
    complaints = [*forward.warnings, *reverse.warnings]
    if not agree(forward, reverse):
        complaints.append(
            f"forward and reverse annealing differ by {gap:.3g}, against standard errors of "
            f"{forward.standard_error:.2g} and {reverse.standard_error:.2g}: log Z is known only "
            "to lie between them; take more inverse temperatures (n_betas)"
        )
    error = 0.5 * math.hypot(forward.standard_error, reverse.standard_error)
    return replace(
        forward,
        value=0.5 * (forward.value + reverse.value),
        standard_error=max(error, 0.5 * abs(gap)),
        ess=min(forward.ess, reverse.ess),
        method="both",
        trusted=not complaints,
        warnings=complaints,
        forward=forward,
        reverse=reverse,
        gap=gap,
    )
