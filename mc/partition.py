"""log Z of one model with an error bar: annealed importance sampling, or enumeration."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.annealing import Annealed, Schedule, anneal, choose_kernel
from mc.interpolation import reference_fields
from mc.streams import stream_key
from mc.ticker import Ticker
from tnqbm.datasets import Target
from tnqbm.limits import MAX_VISIBLE
from tnqbm.model import SqRBM
from tnqbm.states import as_states

Float = NDArray[np.float64]

METHODS = ("ais", "ais-reverse", "both", "exact")

MIN_ESS_SHARE, MIN_ESS = 0.05, 10.0
"""An estimate is trusted with at least this share, and this number, of effective chains."""
MAX_SHARE = 0.25
"""... and if no single chain makes up more than this part of the sum of weights."""
SIGMAS = 3.0
"""Standard errors by which two estimates may differ and still agree."""

MAX_ENUMERATION = 3e10
"""Operations of an enumeration that is done for comparison only."""

_LADDERS = 25
_FORWARD, _REVERSE, _START = range(3)


class EstimateWarning(UserWarning):
    """An estimate of log Z that should not be relied on; the message says what to do."""


@dataclass(frozen=True)
class Estimate:
    """log Z and how far to trust it.

    ``value`` (nats) and ``standard_error`` (bootstrap over chains; 0 if exact); ``ess`` the
    effective number of chains; ``log_weights`` (C,) whose mean estimates Z / Z_0 (backwards:
    Z_0 / Z); ``betas`` (K,) the inverse temperatures; ``trusted`` and ``warnings`` the verdict.

    For method "both", ``forward`` and ``reverse`` are the two estimates, ``gap`` = reverse -
    forward, ``value`` their mean, and ``standard_error`` at least half the gap; ``ess`` is the
    smaller of the two, and ``log_weights`` those of the forward run.
    """

    value: float
    standard_error: float
    ess: float
    log_weights: Float
    method: str
    n_chains: int
    n_betas: int
    seconds: float
    trusted: bool
    warnings: list[str] = field(default_factory=list)
    kernel: str | None = None
    betas: Float | None = None
    forward: Estimate | None = None
    reverse: Estimate | None = None
    gap: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """All numbers by name, without the arrays."""
        found: dict[str, Any] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Estimate):
                found[entry.name] = value.as_dict()
            elif not isinstance(value, np.ndarray):
                found[entry.name] = value
        return found


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
    seed: int | np.random.SeedSequence,
    bootstrap: int = 200,
    progress: bool = False,
) -> Estimate:
    """log Z = log Tr exp(-H) of a model of any size, in nats.

    method : "ais", annealed importance sampling, low on average by about half the squared standard
        error; "ais-reverse", backwards from equilibrium states, high on average; "both", which
        brackets log Z; "exact", enumeration (up to 30 visible units).
    n_chains, n_betas, betas, kernel, sweeps_per_beta, precision, bootstrap : see
        :func:`mc.annealing.anneal`. More inverse temperatures make the weights more even, more
        chains average over them.
    reference : data, a Target or rows (K, n), whose first moments the solvable end gets: a better
        beginning for trained models.
    samples : equilibrium states for the reverse run, (K, n) independent of one another or
        (chains, draws, n) as mc.sample returns them; default: taken by parallel tempering.
        If there are more than n_chains, evenly spaced ones are used.
    seed : the same seed gives the same numbers.
    progress : show it on standard error.

    Warns (EstimateWarning) where the result should not be trusted: fewer than 10 or 5% effective
    chains, one chain with more than a quarter of the weight, or forward and reverse estimates
    that differ by more than three standard errors. ValueError on impossible arguments.
    """
    if method not in METHODS:
        raise ValueError(f"method: {method!r} is not one of {', '.join(METHODS)}")
    if method == "exact":
        return _exact(model)
    begun = time.perf_counter()
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
    estimate = found[0] if len(found) == 1 else _bracket(*found)
    estimate = replace(estimate, seconds=time.perf_counter() - begun)
    for text in estimate.warnings:
        warnings.warn(text, EstimateWarning, stacklevel=2)
    return estimate


def agree(first: Estimate, second: Estimate) -> bool:
    """Whether two estimates of the same log Z differ by at most three standard errors."""
    error = math.hypot(first.standard_error, second.standard_error)
    rounding = 1e-9 * (1.0 + abs(first.value))
    return abs(first.value - second.value) <= SIGMAS * error + rounding


def affordable(model: SqRBM) -> bool:
    """Whether enumeration of the model takes less than about half a minute."""
    n = model.n_visible
    work = 2.0**n * max(1, model.n_hidden) * (1 + len(model.paulis))
    return n <= MAX_VISIBLE and work <= MAX_ENUMERATION


def _exact(model: SqRBM) -> Estimate:
    from tnqbm import exact

    begun = time.perf_counter()
    value = float(exact.log_partition(model))
    return Estimate(
        value=value,
        standard_error=0.0,
        ess=math.inf,
        log_weights=np.empty(0),
        method="exact",
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
    complaints = list(complaints)
    needed = max(MIN_ESS_SHARE * chains, MIN_ESS)
    cure = f"take more than {temperatures} inverse temperatures (n_betas), or more chains"
    if ess < needed:
        complaints.append(
            f"{method}: the weights of {chains} chains are worth {ess:.1f}, fewer than "
            f"{needed:.0f}; log Z and its error bar are not reliable: {cure}"
        )
    elif largest > MAX_SHARE:
        complaints.append(
            f"{method}: one of {chains} chains has {100 * largest:.0f}% of the weight; log Z and "
            f"its error bar are not reliable: {cure}"
        )
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
