"""Distances between gradients, and the bias and variance of an estimator from its replicates.

Replicates x_r, r = 1 ... R, are independent estimates of one gradient whose exact value is g. With
their mean x, b = E[x] - g and the covariance S of one replicate,

    E |x - g|^2 = |b|^2 + tr S / R,

so |x - g|^2 minus the scatter over R estimates |b|^2 without bias; it is as often negative as
positive where there is no bias. For averages of many states, which are nearly normal, its variance
is

    4 b.S b / R + 2 tr S^2 / (R (R - 1)),

of which both terms are estimated from the products of the replicates' deviations, tr S^2 without
bias as in Bai & Saranadasa (Statistica Sinica 6, 311, 1996). A reference that samples adds the
covariance of its own averages.

The Fisher metric is F = Cov_p(h) with the functions h whose averages a gradient compares. For two
gradients x and g, d = x - g, a small step of plain descent of rate e along one or the other ends at
models whose Kullback-Leibler divergence is e^2 d.F d / 2. That is the distance used here, d.F d
relative to g.F g, rather than d.F^-1 d: F is singular along rotations of the Pauli axes of a hidden
unit, and nearly so along others. d.F d needs no pseudo-inverse with its cut-off, is not changed by
such rotations, and can be found from samples of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import short_repr

Float = NDArray[np.float64]
Half = Callable[[Float], Float]
"""A x from x, with the Fisher metric F = A^T A."""


@short_repr
@dataclass(frozen=True)
class GradientBias:
    """How far an estimator's gradient is from the exact one at some parameters.

    A single estimate against the exact gradient g: ``gradient_cosine``, ``gradient_norm_ratio``
    |x|/|g|, ``gradient_sign_share`` the share of components with equal signs, ``gradient_distance``
    |x - g|/|g|, and ``fisher_distance``, the same in the Fisher metric.

    From replicates: ``bias_squared`` |E x - g|^2/|g|^2, corrected for the scatter, and
    ``bias_squared_error`` its standard error; ``gradient_variance`` E |x - E x|^2/|g|^2 of one
    estimate; ``expected_cosine`` and ``expected_norm_ratio`` of E x, corrected likewise.
    ``fisher_bias_squared``, ``fisher_bias_squared_error`` and ``fisher_variance`` are the same in
    the Fisher metric. ``exact_gradient_norm`` is |g|, and ``reference_error`` the root of the
    variance of a reference that samples, relative to |g|, which all errors include; 0 for exact
    ones. What is not known is NaN.
    """

    exact_gradient_norm: float
    reference_error: float
    gradient_cosine: float = math.nan
    gradient_norm_ratio: float = math.nan
    gradient_sign_share: float = math.nan
    gradient_distance: float = math.nan
    fisher_distance: float = math.nan
    bias_squared: float = math.nan
    bias_squared_error: float = math.nan
    gradient_variance: float = math.nan
    expected_cosine: float = math.nan
    expected_norm_ratio: float = math.nan
    fisher_bias_squared: float = math.nan
    fisher_bias_squared_error: float = math.nan
    fisher_variance: float = math.nan

    @property
    def bias(self) -> float:
        """|E x - g|/|g|, the root of ``bias_squared``; negative where that came out negative."""
        return signed_root(self.bias_squared)

    @property
    def bias_error(self) -> float:
        """Standard error of :attr:`bias`, by the delta method; where the bias is within it of 0,
        the root of the square's error."""
        return root_error(self.bias_squared, self.bias_squared_error)


def signed_root(square: float) -> float:
    """The root of the magnitude, with the sign."""
    return math.copysign(math.sqrt(abs(square)), square)


def root_error(square: float, error: float) -> float:
    """Standard error of the root of a number that is known to ``error``."""
    if math.isnan(square) or math.isnan(error):
        return math.nan
    return error / (2.0 * math.sqrt(square)) if square > error else math.sqrt(error)


@dataclass(frozen=True)
class Spread:
    """Squared bias with its standard error, and variances, as :func:`spread` finds them.

    ``variance`` is that of one replicate, ``reference`` that of the reference.
    """

    bias_squared: float
    error: float
    variance: float
    reference: float


def spread(replicates: Float, exact: Float, deviations: Float | None = None) -> Spread:
    """Bias and variance of estimates (R, D), R >= 2, of a vector (D,).

    ``deviations`` (S, D) are those of :class:`tnqbm.training.bias.ModelAverages`. The standard
    error rests on the scatter of the replicates, and is somewhat too large where there is no bias:
    a part of it that comes out negative counts as zero. From two or three it is an upper bound.
    """
    count = replicates.shape[0]
    mean = replicates.mean(axis=0)
    scatter = replicates - mean
    gap = mean - exact
    inner = scatter @ scatter.T / (count - 1)  # nonzero eigenvalues of the sample covariance
    trace = float(np.trace(inner))
    square = _trace_of_square(inner, count)
    along = float(((scatter @ gap) ** 2).sum()) / (count - 1)
    of_bias = max(0.0, along - square / count) / count
    of_noise = square / (count * (count - 1))
    reference = 0.0
    if deviations is not None:
        parts = deviations.shape[0]
        scale = parts * (parts - 1)
        reference = float((deviations**2).sum()) / scale
        own = float(((deviations @ deviations.T) ** 2).sum()) / scale**2
        both = float(((scatter @ deviations.T) ** 2).sum()) / ((count - 1) * scale)
        along = float(((deviations @ gap) ** 2).sum()) / scale
        of_bias += max(0.0, along - both / count - own)
        of_noise += own + 2.0 * both / count
    return Spread(
        float(gap @ gap) - trace / count - reference,
        math.sqrt(4.0 * of_bias + 2.0 * of_noise),
        trace,
        reference,
    )


def _trace_of_square(inner: Float, count: int) -> float:
    """tr S^2 of a covariance from the products (R, R) / (R - 1) of R deviations."""
    trace, squared = float(np.trace(inner)), float((inner * inner).sum())
    if count < 4:
        return trace * trace
    free = count - 1.0
    found = free * free / ((free + 2.0) * (free - 1.0)) * (squared - trace * trace / free)
    return min(max(found, 0.0), trace * trace)


def compared(
    estimates: Float,
    replicates: Float,
    exact: Float,
    deviations: Float | None,
    half: Half | None,
) -> GradientBias:
    """What :class:`GradientBias` says of gradients, D numbers each, with the exact one (D,).

    ``estimates`` (., D) are single ones, averaged over after they were compared; ``replicates``
    (R, D) are two or more, or none. ``half`` gives A x from x (D,), with the Fisher metric
    F = A^T A; None if the metric is not known.
    """
    found = _single(estimates, exact, deviations)
    if replicates.shape[0]:
        found |= _expected(replicates, exact, deviations)
    if half is not None:
        found |= _in_metric(estimates, replicates, exact, deviations, half)
    return GradientBias(**found)


def _norm(exact: Float, deviations: Float | None) -> float:
    """|g|, less what the noise of a reference adds."""
    noise = 0.0 if deviations is None else _variance(deviations)
    square = float(exact @ exact) - noise
    return math.sqrt(square) if square > 0 else 0.0


def _variance(deviations: Float) -> float:
    parts = len(deviations)
    return float(np.sum(deviations**2)) / (parts * (parts - 1))


def _single(estimates: Float, exact: Float, deviations: Float | None) -> dict[str, float]:
    norm = _norm(exact, deviations)
    noise = 0.0 if deviations is None else math.sqrt(_variance(deviations))
    lengths = np.sqrt((estimates**2).sum(axis=1))
    apart = np.sqrt(((estimates - exact) ** 2).sum(axis=1))
    free = exact != 0.0  # couplings that do not exist have no sign
    signs = np.sign(estimates[:, free]) == np.sign(exact[free])
    return {
        "exact_gradient_norm": norm,
        "reference_error": _ratio(noise, norm),
        "gradient_cosine": float(np.mean([_ratio(*p) for p in _cosines(estimates, exact)])),
        "gradient_norm_ratio": _ratio(float(lengths.mean()), norm),
        "gradient_sign_share": float(signs.mean()) if signs.size else math.nan,
        "gradient_distance": _ratio(float(apart.mean()), norm),
    }


def _cosines(estimates: Float, exact: Float) -> list[tuple[float, float]]:
    length = math.sqrt(float(exact @ exact))
    return [(float(x @ exact), length * math.sqrt(float(x @ x))) for x in estimates]


def _expected(replicates: Float, exact: Float, deviations: Float | None) -> dict[str, float]:
    norm, found = _norm(exact, deviations), spread(replicates, exact, deviations)
    mean = replicates.mean(axis=0)
    length = float(mean @ mean) - found.variance / len(replicates)
    root = math.sqrt(length) if length > 0 else math.nan
    square = norm * norm
    along = float(mean @ exact)
    return {
        "bias_squared": _ratio(found.bias_squared, square),
        "bias_squared_error": _ratio(found.error, square),
        "gradient_variance": _ratio(found.variance, square),
        "expected_cosine": _ratio(along, root * norm),
        "expected_norm_ratio": _ratio(root, norm),
    }


def _in_metric(
    estimates: Float,
    replicates: Float,
    exact: Float,
    deviations: Float | None,
    half: Half,
) -> dict[str, float]:
    truth = half(exact)
    spreads = None if deviations is None else np.array([half(row) for row in deviations])
    square = _norm(truth, spreads) ** 2
    apart = [half(x - exact) for x in estimates]
    lengths = [math.sqrt(_ratio(float(y @ y), square)) for y in apart]
    found = {"fisher_distance": float(np.mean(lengths))}
    if replicates.shape[0]:
        own = spread(np.array([half(x) for x in replicates]), truth, spreads)
        found |= {
            "fisher_bias_squared": _ratio(own.bias_squared, square),
            "fisher_bias_squared_error": _ratio(own.error, square),
            "fisher_variance": _ratio(own.variance, square),
        }
    return found


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else math.nan
