"""Whether an estimate of log Z stands up to what else is known of the model."""

from __future__ import annotations

import math
from dataclasses import replace

from mc.sampling.log_z.estimate import MIN_ESS, Estimate, Run
from mc.sampling.log_z.mode_weights import ModeWeights
from tnqbm.core.bounds import SIGMAS, below_bound, rounding

LACKING = 4.0
"""Standard errors below the weight of the modes from which on a value is not trusted."""
EVIDENT = 2.0
"""... and from which on its error bar says so."""
SHARP = 0.1
"""Standard error up to which the weight of the modes can confirm a value."""


def judge(run: Run, known: ModeWeights, *, doubts: bool = True) -> Estimate:
    """The estimate with its lower bound, an error bar that admits what is known, and a verdict.

    The value stays what it is. It is not trusted if it is more than three standard errors below
    the weight of states that were seen, which is rigorous, or more than four (of both) below the
    weight of the modes one by one; where it falls short of them by less, the standard error is at
    least what is missing. Doubts about the way to a value, uneven weights or a doubtful start, are
    dropped if the weight of the modes, which is independent of that way, confirms it. ``doubts``
    False leaves the run's doubts out, for callers that have something to hold them against.
    """
    found = run.estimate
    combined = math.hypot(found.standard_error, known.error)
    below, lacking = known.bound - found.value, known.total - found.value
    troubles = [*found.warnings, *(run.doubts if doubts else ())]
    if _confirmed(found, known, combined):
        troubles = []
    missing = 0.0
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
        missing = max(below, lacking if lacking > EVIDENT * combined else 0.0)
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
        and abs(known.total - found.value) <= SIGMAS * combined
    )
