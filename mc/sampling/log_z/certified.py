"""log Z in an interval: methods with more and more effort until one is narrow and none objects.

Every estimate that is trusted and bounds log Z from both sides gives an interval, three standard
errors to each side, cut off below by the weight of all states that any method has visited, which
always holds. The narrowest one counts, if no other trusted estimate contradicts it. A mode that
neither chains nor the search of mean-field theory nor the data know of is in no interval. A method
that cannot help with the model at hand is left out: visited states where the model is too broad,
and networks that would take long to fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mc.sampling.log_z.estimate import Estimate, Run, describe, gap_between, gaps_of
from mc.sampling.log_z.policies import Annealing, Certified, Network, Visited
from mc.sampling.log_z.visited import MIN_SHARE
from mc.sampling.log_z.work import Work, estimates, network_affordable
from tnqbm.core import streams
from tnqbm.core.bounds import below_bound, log_partition_bound

GROWTH = 4
"""How much more each round does than the one before."""


def certified(work: Work, policy: Certified) -> Estimate:
    """The estimate "certified" of :func:`mc.log_partition`, for models without an exact value."""
    runs: list[Run] = []
    found: list[Estimate] = []
    complaints: list[str] = []
    for number in range(policy.rounds):
        here = replace(work, seed=streams.key(work.seed, streams.LogZ.ROUND, number))
        for method in _methods(policy, number):
            if not _promising(method, work, found, runs):
                continue
            try:
                new = here.runs(method)
            except MemoryError as error:
                complaints.append(f"{type(method).__name__.lower()}: left out: {error}")
                continue
            seen = [run._replace(doubts=()) for run in runs]
            known = here.known([*new, *seen], policy.annealing)
            runs += new
            found = [_still_above(one, known.bound) for one in found]
            found += estimates(new, known)
            best = _summary(found, complaints)
            if len(found) > 1 and _narrow(best, policy):
                return best
        best = _summary(found, complaints)
        if _narrow(best, policy):
            return best
    return best


def _narrow(best: Estimate, policy: Certified) -> bool:
    return best.trusted and best.width <= policy.width


def _methods(policy: Certified, number: int) -> Iterator[Annealing | Network | Visited]:
    """What is tried in a round, the first with what the policy says, later ones with more."""
    more = GROWTH**number
    yield replace(policy.annealing, betas=policy.annealing.n_betas * more)
    yield Visited(Visited().samples * more)
    yield replace(policy.network, max_bond=policy.network.max_bond << number)


def _promising(
    method: Annealing | Network | Visited,
    work: Work,
    found: Sequence[Estimate],
    runs: Sequence[Run],
) -> bool:
    """Whether a method has a chance with this model and takes no more than minutes.

    The probability of the states that samples visit grows at most in proportion to their number,
    from what the states of the ``runs`` so far hold of it.
    """
    if isinstance(method, Network):
        return network_affordable(work.model, method.max_bond)
    if isinstance(method, Visited) and found:
        seen = np.concatenate([run.states for run in runs])
        value = min(found, key=lambda one: (not one.trusted, one.standard_error)).value
        more = method.samples * method.tempered.chains / len(seen)
        share = log_partition_bound(work.model, seen) - value + math.log(more)
        return share >= math.log(MIN_SHARE)
    return True


def _still_above(estimate: Estimate, bound: float) -> Estimate:
    """An earlier estimate, with a lower bound that may have risen above it."""
    if estimate.lower_bound is not None and bound <= estimate.lower_bound:
        return estimate
    if not below_bound(estimate.value, estimate.standard_error, bound):
        return replace(estimate, lower_bound=bound)
    text = f"{describe(estimate)} is too low: states seen since give log Z >= {bound:.8g}"
    return replace(estimate, lower_bound=bound, trusted=False, warnings=[*estimate.warnings, text])


def _summary(found: Sequence[Estimate], complaints: Sequence[str]) -> Estimate:
    """The estimate with the narrowest interval among those that are trusted; all as parts.

    A value that noise has put below what states that were seen weigh is raised to this.
    """
    best = min(found, key=lambda one: (not one.trusted, one.width, one.standard_error))
    against = [
        f"{describe(best)} and {describe(one)} differ by {abs(gap.sigmas):.3g} standard errors: "
        "at least one of them is wrong, or its error bar is"
        for one in found
        if one.trusted and one is not best and not (gap := gap_between(best, one)).agree
    ]
    return replace(
        best,
        value=best.value if best.lower_bound is None else max(best.value, best.lower_bound),
        trusted=best.trusted and not against,
        warnings=[*best.warnings, *against, *complaints],
        parts=tuple(found),
        gaps=gaps_of([one for one in found if one.trusted]),
    )
