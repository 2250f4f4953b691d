"""Whether an estimate of log Z stands up to what else is known of the model: its modes, weighed.

Chains that fall into one mode know nothing of another, and neither do their weights or their
standard error. Mean-field theory finds modes without chains (:mod:`mc.sampling.log_z.modes`). From
the fields that units feel in a mode, annealing takes a path that stays there, so that a few chains
weigh the states nearest to it. Annealing weights times any function of the last state are unbiased
(Neal 2001), so the weights of all modes add up to an estimate of Z, which is low, not high, if it
is off: a value below it lacks something. What was seen on the way also bounds log Z
(:mod:`tnqbm.core.bounds`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mc.sampling.amplitude.fit import log_weight_of
from mc.sampling.amplitude.moves import Proposal
from mc.sampling.amplitude.sample import weigh
from mc.sampling.group_path import form_of, path_of
from mc.sampling.log_z.annealing import anneal_along, kernel_for
from mc.sampling.log_z.estimate import MIN_ESS, Estimate, Run
from mc.sampling.log_z.modes import Modes, find_modes
from tnqbm.core import streams
from tnqbm.core.bounds import (
    SIGMAS,
    below_bound,
    distinct_rows,
    log_partition_bound,
    log_sum,
    rounding,
)
from tnqbm.core.model import SqRBM
from tnqbm.hamiltonian.grouped import SqBM

Float = NDArray[np.float64]
States = NDArray[np.uint8]

LEAST_CHAINS, LEAST_BETAS = 32, 64
"""Of every mode."""
SHARE_OF_BETAS = 5
"""A path inside a mode takes one inverse temperature where the way through the model takes five."""
NUMBERS = 1 << 18
"""Parameters of all the copies of a model that are annealed together."""
NEIGHBOURS = 20_000
"""States two flips away from modes are looked at if there are no more than so many."""


class ModeWeights(NamedTuple):
    """The modes of a model and the weight of the states nearest to each.

    ``log_z`` (M,) log of these weights, -inf where no chain ended near its mode, and ``errors``
    (M,), their standard errors; ``total`` log of their sum, with ``error``. ``bound`` <= log Z is
    rigorous: from ``n_seen`` distinct states that were seen, or from the best mode alone.
    """

    modes: Modes
    log_z: Float
    errors: Float
    total: float
    error: float
    bound: float
    n_seen: int


def weigh_modes(
    model: SqRBM | SqBM,
    seen: States,
    *,
    chains: int,
    betas: int,
    kernel: str = "auto",
    precision: str = "double",
    key: int,
) -> ModeWeights:
    """Find and weigh the modes of a model.

    seen : (K, n) states of chains or data, K >= 0: climbs to modes start from some, and all count
        in the bound.
    chains, betas : of the estimate that is to be judged. The chains are divided among the
        modes, at least 32 each, and take a fifth of the inverse temperatures.
    """
    form = form_of(model)
    modes = find_modes(model, seen, seed=streams.key(key, streams.Modes.CLIMBS))
    count = len(modes.means)
    theta = model.to_vector()[None]
    log_z, errors, states = np.empty(count), np.empty(count), [seen, _around(modes.states)]
    step = max(1, NUMBERS // theta.size)
    for first in range(0, count, step):
        batch = range(first, min(first + step, count))
        found = anneal_along(
            path_of(form, np.repeat(theta, len(batch), axis=0), modes.fields[batch]),
            keys=np.array([streams.key(key, streams.Modes.CHAINS, k) for k in batch], np.uint64),
            chains=max(LEAST_CHAINS, chains // count),
            betas=max(LEAST_BETAS, betas // SHARE_OF_BETAS),
            schedule="linear",
            kernel=kernel_for(form, kernel, precision),
            precision=precision,
            resamples=2,
        )  # fmt: skip
        for k, z, weights, ends in zip(
            batch, found.log_z, found.log_weights, found.states, strict=True
        ):
            log_z[k], errors[k] = _part(z, weights, modes.nearest(ends) == k)
            states.append(ends)
    rows = np.concatenate(states)
    rows = rows[distinct_rows(rows)]
    total = float(log_sum(log_z))
    share = np.exp(log_z - total) if math.isfinite(total) else np.zeros(count)
    error = float(np.sqrt(((share * np.nan_to_num(errors)) ** 2).sum()))
    bound = max(log_partition_bound(model, rows), float(modes.bounds.max()))
    return ModeWeights(modes, log_z, errors, total, error, bound, len(rows))


def no_survey(model: SqRBM, bound: float, n_seen: int) -> ModeWeights:
    """What is known of a model whose modes are not surveyed: a lower bound of log Z alone."""
    none = np.empty(0)
    modes = Modes(
        np.empty((0, model.n_visible)), none, np.empty((0, model.n_visible + model.b.size))
    )
    return ModeWeights(modes, none, none, -math.inf, 0.0, bound, n_seen)


def _part(log_z: float, log_weights: Float, here: NDArray[np.bool_]) -> tuple[float, float]:
    """log Z of the part of the states that chains ended in, and its standard error."""
    weights = np.exp(log_weights - log_weights.max())
    part = np.where(here, weights, 0.0)
    mean = part.mean()
    if mean == 0.0:
        return -math.inf, math.nan
    error = part.std(ddof=1) / (mean * math.sqrt(part.size))
    return log_z + math.log(mean / weights.mean()), float(error)


def _around(states: States) -> States:
    """States (M, n) and those one flip away from them; two flips, unless there are too many."""
    count, n = states.shape
    flips = np.eye(n, dtype=np.uint8)
    if count * n * n // 2 <= NEIGHBOURS:
        one, two = np.triu_indices(n)
        flips = flips[one] ^ flips[two]  # one == two: no flip
        flips = np.concatenate([flips, np.eye(n, dtype=np.uint8)])
    found = (states[:, None] ^ flips).reshape(-1, n)
    return np.concatenate([states, found])


LACKING = 4.0
"""Standard errors below the weight of the modes from which on a value is not trusted."""
EVIDENT = 2.0
"""... and from which on its error bar says so."""
SHARP = 0.1
"""Standard error up to which the weight of the modes can confirm a value, and how closely."""


def judge(run: Run, known: ModeWeights, *, doubts: bool = True) -> Estimate:
    """The estimate with its lower bound, an error bar that admits what is known, and a verdict.

    The value stays what it is. It is not trusted if it is more than three standard errors below
    the weight of states that were seen, which is rigorous, or more than four (of both) below the
    weight of the modes one by one; where it falls short of them by less, the standard error is at
    least what is missing. Doubts about the way to a value, uneven weights or a doubtful start, are
    dropped if the weight of the modes, which is independent of that way, confirms it; the standard
    error is then at least that to which it does. ``doubts`` False leaves the run's doubts out, for
    callers that have something to hold them against.
    """
    found = run.estimate
    combined = math.hypot(found.standard_error, known.error)
    below, lacking = known.bound - found.value, known.total - found.value
    troubles = [*found.warnings, *(run.doubts if doubts else ())]
    missing = 0.0
    if troubles and _confirmed(found, known, combined):
        troubles = []
        missing = abs(lacking) if abs(lacking) > SIGMAS * combined else 0.0
    if below_bound(found.value, found.standard_error, known.bound):
        troubles.append(
            f"{found.method}: log Z = {found.value:.8g} +- {found.standard_error:.2g} is too low: "
            f"{known.n_seen} states that were seen alone give log Z >= {known.bound:.8g}; {_CURE}"
        )
    elif lacking > LACKING * combined + rounding(found.value):
        troubles.append(
            f"{found.method}: log Z = {found.value:.8g} +- {found.standard_error:.2g} lacks a part "
            f"of the model: chains inside each of {len(known.log_z)} modes add up to "
            f"{known.total:.8g} +- {known.error:.2g}; {_CURE}"
        )
    else:
        missing = max(missing, below, lacking if lacking > EVIDENT * combined else 0.0)
    return replace(
        found,
        standard_error=max(found.standard_error, missing),
        lower_bound=known.bound,
        trusted=not troubles,
        warnings=troubles,
    )


_CURE = "start from data, if there are any, or use another method"


def _confirmed(found: Estimate, known: ModeWeights, combined: float) -> bool:
    return (
        found.ess >= MIN_ESS
        and known.error <= SHARP
        and abs(known.total - found.value) <= max(SIGMAS * combined, SHARP)
    )


SAMPLES = 1000
"""Perfect samples whose mean weight is compared with that of the modes."""
CHAINS, BETAS = 256, 300
"""Of the survey of the modes."""


def lacks(model: SqRBM, proposal: Proposal, *, key: int) -> list[str]:
    """What is wrong with a network of the model, one line each; none if nothing is known to be.

    Its samples give the log Z of what the network has. The modes that mean-field theory finds in
    the model (:mod:`mc.sampling.log_z.verdict`) must not add up to more.
    """
    found = weigh(
        proposal, log_weight_of(model), SAMPLES, streams.key(key, streams.Coverage.WEIGHTS)
    )
    value = Estimate(
        value=found.log_mean,
        standard_error=max(found.standard_error, 1.0 / SAMPLES),
        ess=found.ess,
        log_weights=np.empty(0),
        method="the network",
        seconds=0.0,
        trusted=True,
    )
    known = weigh_modes(
        model,
        found.states,
        chains=CHAINS,
        betas=BETAS,
        key=streams.key(key, streams.Coverage.MODES),
    )
    return judge(Run(value, found.states), known).warnings
