"""The best fit of an sqRBM to a distribution: the least KL divergence that many starts find.

With d(v) = log p(v) - log q(v) for a target q,

    KL(q || p) = sum_v q_v (exp(d) - 1 - d) = 1/2 sum_v r_v^2,
    r_v = sign(d) sqrt(2 q_v (exp(d) - 1 - d)),

as the p_v and the q_v both sum to 1. So the KL divergence is, exactly, a sum of squares of smooth
residuals, and the Levenberg-Marquardt method minimises it; unlike sum q log(q/p) the sum has no
cancellation and is right down to some 1e-28. Newton's method with the exact Hessian polishes.
The redundant directions of sqRBMs make both singular, which damping takes care of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from tnqbm.base.process import one_thread
from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.metrics import total_variation
from tnqbm.core.model import SqRBM
from tnqbm.core.paulis import check_paulis
from tnqbm.core.shape import Shape
from tnqbm.model_tools.jacobian import DenseLogProbability

Float = NDArray[np.float64]

GRADIENT_TOLERANCE = 1e-8
"""Largest component of the KL's gradient at which a fit counts as converged."""

SAME = 1e-2
"""Relative difference of KL up to which two restarts have found the same optimum."""

FLOOR = 1e-12
"""KL (nats) below which a fit counts as exact."""

_SCALES = (0.1, 2.0)  # random starts are uniform in [-c, c], log c uniform between these
_FAR = 600.0  # |log p - log q| from which exp(d) could overflow
_FARTHEST = 1e12
_SERIES = 1e-2  # |d| below which exp(d) - 1 - d comes from its series
_POLISH = 12  # Newton steps at most
_DIRECT = 1e-9  # eigenvalues of the Hessian below this part of the largest are redundant


@short_repr
@dataclass(frozen=True, eq=False)
class Restarts:
    """What every start led to, arrays of one entry each.

    ``kl`` (nats), ``gradient_norm`` (largest component of the gradient of KL), ``evaluations`` of
    the residuals, ``given`` True where the start was not random.
    """

    kl: Float
    gradient_norm: Float
    evaluations: NDArray[np.int64]
    given: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BestFit:
    """The best of all restarts: an upper bound of the least KL, and how sure it is.

    ``kl`` (nats) and ``tvd`` between target and ``model``; ``gradient_norm`` the largest component
    of the KL's gradient there, ``converged`` whether it is within the tolerance (weights may also
    run off to infinity, where the gradient only falls). ``hits`` is the share of random restarts
    whose KL is within 1 % of the best, or at most FLOOR if the best is; nan without any.
    """

    kl: float
    tvd: float
    model: SqRBM
    gradient_norm: float
    converged: bool
    hits: float
    restarts: Restarts


def fit(
    target: ArrayLike,
    n_hidden: int,
    paulis: str,
    *,
    restarts: int = 20,
    starts: Sequence[SqRBM] = (),
    gradient_tolerance: float = GRADIENT_TOLERANCE,
    max_evaluations: int = 500,
    seed: int = 0,
) -> BestFit:
    """Minimise KL(target || model) over the parameters of an sqRBM with ``n_hidden`` units.

    Parameters
    ----------
    target : (2**n,) probabilities of all visible states in order of their index; zeros are allowed.
    n_hidden, paulis : the shape of the model; ``"Z"`` fits an RBM.
    restarts : number of random starts; start k depends on ``seed`` and k alone.
    starts : models of the same shape to start from as well.
    gradient_tolerance : largest component of the gradient of KL of a converged fit.
    max_evaluations : of the residuals, per start.

    The result does not depend on the number of threads. Raises ValueError for a target that is no
    distribution over 2**n states, n above 14, no start at all, or starts of another shape, and
    MemoryError where the Jacobian would not fit.
    """
    q = _checked_target(target)
    n = q.size.bit_length() - 1
    paulis = check_paulis(paulis)
    if restarts < 0 or restarts + len(starts) < 1:
        raise ValueError(f"need at least one start, got restarts = {restarts} and no starts")
    if max_evaluations < 1:
        raise ValueError(f"max_evaluations must be at least 1, got {max_evaluations}")
    if not gradient_tolerance > 0:
        raise ValueError(f"gradient_tolerance must be positive, got {gradient_tolerance!r}")
    shape = Shape(n, n_hidden, len(paulis))
    for k, start in enumerate(starts):
        if start.shape != shape or start.mask is not None:
            raise ValueError(
                f"starts[{k}] is {start!r}; need a dense model with n_visible = {n}, "
                f"n_hidden = {n_hidden} and {len(paulis)} Paulis"
            )
    function = DenseLogProbability(shape)
    first = [start.to_vector() for start in starts]
    first += [_random_start(shape.size, seed, k) for k in range(restarts)]
    with one_thread():
        problem = _Problem(function, q)
        fits = [problem.solve(x, max_evaluations, gradient_tolerance) for x in first]
    thetas, kl, norms, evaluations = zip(*fits, strict=True)
    table = Restarts(
        np.array(kl),
        np.array(norms),
        np.array(evaluations, dtype=np.int64),
        np.arange(len(first)) < len(starts),
    )
    best = int(np.argmin(table.kl))
    theta = thetas[best]
    return BestFit(
        kl=float(table.kl[best]),
        tvd=total_variation(q, np.exp(function.log_probabilities(theta))),
        model=SqRBM.from_vector(theta, n, n_hidden, paulis),
        gradient_norm=float(table.gradient_norm[best]),
        converged=bool(table.gradient_norm[best] <= gradient_tolerance),
        hits=_hits(table, float(table.kl[best])),
        restarts=table,
    )


def product_kl(target: ArrayLike) -> float:
    """KL divergence in nats of the best product of independent bits to probabilities (2**n,).

    It is what a model without hidden units leaves: the entropies of the single bits, less that of
    the target. Raises ValueError as :func:`fit` does.
    """
    q = _checked_target(target)
    n = q.size.bit_length() - 1
    table = q.reshape((2,) * n)
    bits = [table.sum(axis=tuple(j for j in range(n) if j != i)) for i in range(n)]
    return float(sum(entr(bit).sum() for bit in bits) - entr(q).sum())


def kl_to(target: ArrayLike, model: SqRBM) -> float:
    """KL(target || model) in nats without cancellation, right down to some 1e-28.

    ``target`` (2**n,) probabilities; :func:`tnqbm.core.metrics.kl_divergence` is the plain sum,
    which ends at some 1e-16. Raises ValueError as :func:`fit` does.
    """
    q = _checked_target(target)
    function = DenseLogProbability(model.shape)
    if q.size != len(function.spins):
        raise ValueError(f"the target has {q.size} states, the model {len(function.spins)}")
    return _Problem(function, q).kl(model.to_vector())


class _Problem:
    """KL to one target as a sum of squares."""

    def __init__(self, function: DenseLogProbability, q: Float) -> None:
        self.function, self.q = function, q
        self.root = np.sqrt(q)
        self.log_q = np.log(q, out=np.full_like(q, -np.inf), where=q > 0)
        self.on = q > 0

    def kl(self, theta: Float) -> float:
        return 0.5 * float(np.square(self._residuals(self.function.log_probabilities(theta))).sum())

    def gradient(self, theta: Float) -> Float:
        """Gradient of KL: averages over the target of -d log p, without cancellation."""
        log_p, jacobian = self.function.derivatives(theta)
        # p @ jacobian = 0, so the average over q - p is that over q, but its terms are small
        change = np.where(self.on, self.q * np.expm1(np.minimum(self._d(log_p), 700.0)), 0.0)
        change = np.where(self.on, change, np.exp(log_p))
        return np.asarray(change @ jacobian)

    def solve(self, start: Float, most: int, tolerance: float) -> tuple[Float, float, float, int]:
        """Parameters, KL, gradient norm and evaluations from one start."""
        from scipy.optimize import least_squares

        cache: dict[str, Any] = {}

        def residuals(theta: Float) -> Float:
            log_p, jacobian = self.function.derivatives(theta)
            found, slope = self._with_slope(log_p)
            cache["key"], cache["jacobian"] = theta.copy(), slope[:, None] * jacobian
            return found

        def jacobian(theta: Float) -> Any:
            if not np.array_equal(cache.get("key", ()), theta):
                residuals(theta)
            return cache["jacobian"]

        # MINPACK wants at least as many residuals as parameters
        method = "lm" if self.q.size >= start.size else "trf"
        done = least_squares(
            residuals, start, jacobian, method=method, x_scale=1.0,
            xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=most,
        )  # fmt: skip
        theta, evaluations = np.asarray(done.x, dtype=np.float64), int(done.nfev)
        if not np.isfinite(self.kl(theta)):  # ran off beyond all numbers: no candidate
            return start, math.inf, math.inf, evaluations
        theta, norm, steps = self._polished(theta, tolerance)
        return theta, self.kl(theta), norm, evaluations + steps

    def _polished(self, theta: Float, tolerance: float) -> tuple[Float, float, int]:
        """Newton steps while they lower the gradient and not raise KL; the last norm and count."""
        gradient = self.gradient(theta)
        norm, kl = float(np.abs(gradient).max(initial=0.0)), self.kl(theta)
        steps = 0
        while norm > 1e-3 * tolerance and steps < _POLISH:
            values, vectors = np.linalg.eigh(self.function.hessian(theta, self.q))
            size = np.abs(values)
            kept = size > _DIRECT * size.max(initial=0.0)
            inverse = np.divide(1.0, size, out=np.zeros_like(size), where=kept)
            trial = theta - vectors @ (inverse * (vectors.T @ gradient))
            trial_gradient = self.gradient(trial)
            trial_norm, trial_kl = float(np.abs(trial_gradient).max()), self.kl(trial)
            steps += 1
            # KL itself cannot tell once the change is below its own rounding
            if not (trial_norm < norm and trial_kl <= kl * (1.0 + 1e-9)):
                break
            theta, gradient, norm, kl = trial, trial_gradient, trial_norm, trial_kl
        return theta, norm, steps

    def _d(self, log_p: Float) -> Float:
        return np.subtract(log_p, self.log_q, out=np.zeros_like(log_p), where=self.on)

    def _residuals(self, log_p: Float) -> Float:
        return self._with_slope(log_p)[0]

    def _with_slope(self, log_p: Float) -> tuple[Float, Float]:
        """Residuals (2^n,) and their derivatives with respect to log p."""
        d = self._d(log_p)
        y = np.abs(d)
        if y.max() >= _FAR:
            # exp(d) is p/q, which overflows only where q is below all normal numbers
            d = np.clip(d, -_FARTHEST, 700.0)
            y = np.abs(d)
        small = y < _SERIES
        x = np.where(small, 1.0, d)
        rise = np.expm1(x)
        # |d| ratio = sqrt(2 (e^d - 1 - d)), and the residual's slope is (e^d - 1) / (d ratio)
        ratio = np.sqrt(2.0 * (rise - x)) / np.where(small, 1.0, y)
        over = rise / x
        if small.any():
            z = d[small]
            ratio[small] = _series(z)
            over[small] = 1.0 + z / 2 + z**2 / 6 + z**3 / 24 + z**4 / 120
        found = self.root * d * ratio
        slope = self.root * over / ratio
        # states outside the target's support add p
        outside = ~self.on
        if outside.any():
            root = np.sqrt(2.0 * np.exp(log_p))
            found = np.where(outside, root, found)
            slope = np.where(outside, 0.5 * root, slope)
        return found, slope


def _series(d: Float) -> Float:
    """sqrt(2 (e^d - 1 - d)) / |d| for small d."""
    return np.sqrt(1.0 + d / 3 + d**2 / 12 + d**3 / 60 + d**4 / 360 + d**5 / 2520)


def _random_start(size: int, seed: int, k: int) -> Float:
    rng = streams.generator(seed, k)
    low, high = np.log(_SCALES)
    scale = math.exp(rng.uniform(low, high))
    return rng.uniform(-scale, scale, size)


def _hits(table: Restarts, best: float) -> float:
    kl = table.kl[~table.given]
    if kl.size == 0:
        return math.nan
    return float(np.mean(kl <= max(best * (1.0 + SAME), FLOOR if best <= FLOOR else 0.0)))


def _checked_target(target: ArrayLike) -> Float:
    q = np.asarray(target, dtype=np.float64)
    if q.ndim != 1 or q.size < 2 or q.size & (q.size - 1):
        raise ValueError(f"target must hold 2**n probabilities, got shape {q.shape}")
    if not (np.isfinite(q).all() and (q >= 0).all() and abs(q.sum() - 1.0) < 1e-9):
        raise ValueError("target must hold finite probabilities >= 0 that sum to 1")
    return np.asarray(q / q.sum())
