"""Estimates of log Z: what is known of each, when it is trusted, and whether several agree.

Also averages of importance weights given by their logarithms: log mean, error, effective number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import EstimateWarning as EstimateWarning
from tnqbm.base.notebook import facts_table
from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.bounds import SIGMAS, rounding

Float = NDArray[np.float64]

MIN_ESS_SHARE, MIN_ESS = 0.05, 10.0
"""An estimate is trusted with at least this share, and this number, of effective chains."""
MAX_SHARE = 0.25
"""... and if no single chain makes up more than this part of the sum of weights."""
PARETO_LIMIT = 0.7
"""... and if the tail of independent weights is not heavier than a Pareto tail of this shape."""
UNEVEN = 0.9
"""A heavy tail matters if the weights are worth less than this share of their number."""

_PARETO_SAMPLES = 100
"""Fewer weights say nothing about their tail."""
_EVEN = 1e-6
"""Log weights that differ by less have no tail."""


@dataclass(frozen=True)
class Gap:
    """Difference ``second`` - ``first`` of the values of two estimates of log Z, named by method.

    ``standard_error`` combines both; ``sigmas`` = difference / standard_error (0 or infinite if
    there is none); ``agree``: no more than three, rounding apart.
    """

    first: str
    second: str
    difference: float
    standard_error: float
    sigmas: float
    agree: bool


@short_repr
@dataclass(frozen=True)
class Estimate:
    """log Z and how far to trust it.

    ``value`` (nats) and ``standard_error`` (bootstrap over chains or samples; 0 if exact); ``ess``
    the effective number of chains or samples; ``log_weights`` (C,) whose mean estimates Z / Z_0
    (backwards: Z_0 / Z; method "tensor": Z); ``chains`` of annealing
    and ``betas`` (K,) their inverse temperatures; ``trusted``
    and ``warnings`` the verdict. ``lower_bound`` <= log Z is rigorous, whatever became of the
    estimate: from the states that were seen (:mod:`tnqbm.core.bounds`), or by mean-field theory;
    None if the value is exact.

    For method "both", ``forward`` and ``reverse`` are the two estimates, ``gap`` = reverse -
    forward, ``value`` their mean, and ``standard_error`` at least half the gap; ``ess`` is the
    smaller of the two, and ``log_weights`` those of the forward run.

    For method "tensor", ``samples`` perfect samples of a network of bond dimension ``max_bond``
    were weighed, ``pareto_k`` is the shape of the tail of their weights, and ``reverse`` the
    check from the other side: chain states, whose 1/weights estimate 1/Z; ``gap`` = reverse -
    value. For "all", ``parts`` are the estimates, one per method, and ``gaps`` their differences
    pair by pair.

    ``two_sided`` says that what the value rests on bounds log Z from above, too; ``lower`` and
    ``upper`` are three standard errors from the value, ``lower`` at least the lower bound, and
    ``upper`` infinite where nothing bounds log Z from above. The error of ``trusted`` estimates
    covers what is known; see :class:`mc.Certified`.
    """

    value: float
    standard_error: float
    ess: float
    log_weights: Float
    method: str
    seconds: float
    trusted: bool
    warnings: list[str] = field(default_factory=list)
    chains: int = 0
    samples: int = 0
    kernel: str | None = None
    betas: Float | None = None
    forward: Estimate | None = None
    reverse: Estimate | None = None
    gap: float | None = None
    max_bond: int | None = None
    pareto_k: float | None = None
    lower_bound: float | None = None
    parts: tuple[Estimate, ...] = ()
    gaps: tuple[Gap, ...] = ()
    two_sided: bool = False

    @property
    def lower(self) -> float:
        """log Z is at least this, three standard errors or a bound that always holds."""
        below = self.value - SIGMAS * self.standard_error
        return below if self.lower_bound is None else max(below, self.lower_bound)

    @property
    def upper(self) -> float:
        """log Z is at most this, within three standard errors; infinite if nothing says so."""
        return self.value + SIGMAS * self.standard_error if self.two_sided else math.inf

    @property
    def width(self) -> float:
        """Of the interval from ``lower`` to ``upper``."""
        return max(0.0, self.upper - self.lower)

    def _repr_html_(self) -> str:
        facts = {
            "log Z": f"{self.value:.10g} nats",
            "standard error": self.standard_error,
            "trusted": "yes" if self.trusted else "no",
            "method": self.method,
            "effective size": self.ess if self.standard_error else None,
            "lower bound": self.lower_bound,
            "interval": f"{self.lower:.10g} to {self.upper:.10g}" if self.two_sided else None,
            "warnings": "; ".join(self.warnings) or None,
        }
        return facts_table("Estimate of log Z", facts)

    def as_dict(self) -> dict[str, Any]:
        """All numbers by name, without the arrays; ``betas`` is their number."""
        found: dict[str, Any] = {
            "betas": 0 if self.betas is None else self.betas.size,
            "lower": self.lower,
            "upper": self.upper if self.two_sided else None,
        }
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, Estimate):
                found[entry.name] = value.as_dict()
            elif entry.name == "parts":
                found[entry.name] = [one.as_dict() for one in value]
            elif entry.name == "gaps":
                found[entry.name] = [asdict(one) for one in value]
            elif not isinstance(value, np.ndarray):
                found[entry.name] = value
        return found


class Run(NamedTuple):
    """An estimate, the states (K, n) that were seen on the way, and doubts about their beginning.

    The doubts are no part of the estimate's warnings: other estimates may dispel them.
    """

    estimate: Estimate
    states: NDArray[np.uint8]
    doubts: Sequence[str] = ()


def agree(first: Estimate, second: Estimate) -> bool:
    """Whether two estimates of the same log Z differ by at most three standard errors."""
    return gap_between(first, second).agree


def gap_between(first: Estimate, second: Estimate) -> Gap:
    """The difference of two estimates of the same log Z, in combined standard errors."""
    error = math.hypot(first.standard_error, second.standard_error)
    difference = second.value - first.value
    slack = rounding(first.value)
    if abs(difference) <= slack:
        sigmas = difference / max(error, slack)
    else:
        sigmas = difference / error if error > 0 else math.copysign(math.inf, difference)
    close = abs(difference) <= SIGMAS * error + slack
    return Gap(first.method, second.method, difference, error, sigmas, close)


def one_by_one(found: Sequence[Estimate]) -> list[Estimate]:
    """Estimates that stand for themselves: both directions instead of what they amount to."""
    rows: list[Estimate] = []
    for one in found:
        if one.method == "both":
            rows += [part for part in (one.forward, one.reverse) if part is not None]
        else:
            rows.append(one)
    return rows


def gaps_of(found: Sequence[Estimate]) -> tuple[Gap, ...]:
    """Differences of all pairs of estimates."""
    pairs = itertools.combinations(one_by_one(found), 2)
    return tuple(gap_between(one, other) for one, other in pairs)


def describe(found: Estimate) -> str:
    """An estimate in a sentence: method, value and standard error."""
    if found.standard_error == 0:
        return f"{found.method} {found.value:.10g}"
    return f"{found.method} {found.value:.10g} +- {found.standard_error:.2g}"


def weight_troubles(
    method: str, what: str, count: int, ess: float, largest: float, cure: str
) -> list[str]:
    """What is wrong with ``count`` weights: too uneven, or one of them too large."""
    needed = max(MIN_ESS_SHARE * count, MIN_ESS)
    if ess < needed:
        return [
            f"{method}: the weights of {count} {what} are worth {ess:.1f}, fewer than "
            f"{needed:.0f}; log Z and its error bar are not reliable: {cure}"
        ]
    if largest > MAX_SHARE:
        return [
            f"{method}: one of {count} {what} has {100 * largest:.0f}% of the weight; log Z and "
            f"its error bar are not reliable: {cure}"
        ]
    return []


def tail_troubles(
    method: str, what: str, count: int, ess: float, shape: float, cure: str
) -> list[str]:
    """What is wrong with the tail of ``count`` weights of Pareto ``shape``."""
    limit = pareto_limit(count)
    if shape <= limit or ess >= UNEVEN * count or math.isnan(shape):
        return []
    return [
        f"{method}: the weights of {count} {what} have a heavy tail (Pareto shape {shape:.2f}, "
        f"above {limit:.2f}), so rare large ones may be missing: {cure}"
    ]


def pareto_shape(log_weights: Float) -> float:
    """Shape k of the generalised Pareto distribution fitted to the largest weights, (K,) given.

    Moments of order above 1/k do not exist: from k = 0.5 on the variance is infinite, above 0.7
    averages cannot be relied on (Vehtari, Simpson, Gelman, Yao & Gabry, "Pareto smoothed
    importance sampling", JMLR 25 (2024), computed by ArviZ). nan for fewer than 100 weights;
    -inf where there is no tail: weights that are all alike, or of few states that came up again
    and again.
    """
    count = log_weights.size
    if count < _PARETO_SAMPLES:
        return math.nan
    tail = int(min(0.2 * count, 3.0 * math.sqrt(count)))  # as many weights as the fit looks at
    largest = np.partition(log_weights, count - tail)[-tail:]
    if float(np.ptp(largest)) < _EVEN or np.unique(largest).size < tail / 2:
        return -math.inf
    from arviz_stats.base import array_stats

    with np.errstate(all="ignore"):
        # Takes log-likelihoods, the negatives of the log weights of leaving an observation out.
        return float(array_stats.psislw(-log_weights)[1])


def pareto_limit(count: int) -> float:
    """Largest shape with which averages over ``count`` weights can be relied on (ibid., 3.2.4)."""
    return min(PARETO_LIMIT, 1.0 - 1.0 / math.log10(max(count, _PARETO_SAMPLES)))


_WIDEST = 50.0
"""Largest variance of log weights that is looked at: errors beyond mean nothing."""
_BELIEVED = 1.5
_ROUNDED = 1e-12
"""Relative variance of weights below which they are equal but for rounding."""


@short_repr
class WeightSummary(NamedTuple):
    """Of each row of weights: arrays (B,).

    ``log_mean`` log of the mean weight; ``standard_error`` of log_mean, by the bootstrap and, as
    large weights that happen not to be among few cannot be resampled, by what log-normal weights
    as wide as these would have; ``ess`` effective number (sum w)^2 / sum w^2 (Kong, Liu & Wong
    1994); ``largest`` share of the largest weight in the sum.
    """

    log_mean: Float
    standard_error: Float
    ess: Float
    largest: Float


def summarise(
    log_weights: Float, keys: NDArray[np.uint64], *, resamples: int = 200, group: int = 1
) -> WeightSummary:
    """Summaries of log weights (B, C), C >= 1; the resampling of row b is drawn from ``keys[b]``.

    ``group`` neighbouring weights belong together (they come from one Markov chain) and are drawn
    together; it divides C. One group alone has no error: it is nan.
    """
    batch, count = log_weights.shape
    highest = log_weights.max(axis=1)
    weights = np.exp(log_weights - highest[:, None])
    total = weights.sum(axis=1)
    ess = total**2 / (weights**2).sum(axis=1)
    log_mean = highest + np.log(total / count)
    error = np.array(
        [_bootstrap(w, int(k), resamples, group) for w, k in zip(weights, keys, strict=True)]
    ) * _unseen(log_weights, ess)
    return WeightSummary(log_mean, error.reshape(batch), ess, weights.max(axis=1) / total)


def _unseen(log_weights: Float, ess: Float) -> Float:
    """Factors >= 1 of standard errors, for rare large weights that are not among those at hand.

    The relative variance of log-normal weights is exp(s^2) - 1. Their width s is read off twice:
    from the upper half of the log weights, where a factor of up to 1.5 is believed (weights of two
    kinds look wide, too), and from the upper half of the weight, which knows a heavy tail.
    """
    count = log_weights.shape[1]
    above = np.maximum(log_weights - np.median(log_weights, axis=1, keepdims=True), 0.0)
    by_number = 2.0 * (above**2).mean(axis=1)
    ordered = np.sort(log_weights, axis=1)
    weights = np.exp(ordered - ordered[:, -1:])
    upper = np.cumsum(weights, axis=1) >= 0.5 * weights.sum(axis=1, keepdims=True)
    first = ordered[np.arange(len(ordered)), upper.argmax(axis=1)]
    weights *= upper
    by_weight = (weights * (ordered - first[:, None]) ** 2).sum(axis=1) / weights.sum(axis=1)
    seen = count / ess - 1.0
    factors = [
        np.sqrt(
            np.divide(
                np.expm1(np.minimum(s, _WIDEST)), seen, out=np.ones_like(s), where=seen > _ROUNDED
            )
        )
        for s in (by_number, by_weight)
    ]
    found = np.maximum(np.minimum(factors[0], _BELIEVED), factors[1])
    return np.asarray(np.maximum(1.0, found))


def _bootstrap(weights: Float, key: int, times: int, group: int) -> float:
    """Standard error of log mean(weights) over resampled groups."""
    means = weights.reshape(-1, group).mean(axis=1)
    if means.size < 2:
        return float("nan")
    rng = streams.philox(streams.key(key))
    drawn = rng.integers(0, means.size, (times, means.size))
    # A resample may miss every weight that is not negligible.
    resampled = np.maximum(means[drawn].mean(axis=1), np.finfo(np.float64).tiny)
    return float(np.log(resampled).std(ddof=1))
