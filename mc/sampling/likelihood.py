"""Likelihood and total variation distance with error bars, from an estimated log Z."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import Sweeper
from mc.sampling.log_z.estimate import Estimate, EstimateWarning
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.core.bounds import SIGMAS, below_bound, bound_from_weights
from tnqbm.core.metrics import on_support
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.hamiltonian.kinds import ANY_MODEL, Model

Float = NDArray[np.float64]


class WithError(NamedTuple):
    """A number and its standard error."""

    value: float
    standard_error: float


class LogLikelihood(NamedTuple):
    """Mean log-likelihood of data in nats per row, or a difference of two.

    ``standard_error`` combines ``data_error``, of the mean over a sample of rows, and
    ``partition_error``, of log Z, which all rows share. ``lower`` and ``upper`` are the mean over
    these very rows at the ends of the interval of log Z (:attr:`mc.Estimate.upper`).
    """

    value: float
    standard_error: float
    data_error: float
    partition_error: float
    n_rows: int
    lower: float = math.nan
    upper: float = math.nan


class TotalVariation(NamedTuple):
    """A total variation distance, its standard error, and what it is at the ends of the interval
    of log Z."""

    value: float
    standard_error: float
    lower: float
    upper: float


def _estimate(value: object) -> Exception | None:
    """Kind of estimates of log Z."""
    if isinstance(value, Estimate):
        return None
    if isinstance(value, tuple | list) and len(value) == 2:
        return arguments.number(value[0]) or arguments.number(value[1])
    hint = ""
    if arguments.number(value) is None:
        hint = f"; if log Z is known exactly give ({arguments.shown(value)}, 0.0)"
    return TypeError(
        "must be an estimate of log Z, from mc.log_partition or a pair (value, standard error), "
        f"got {arguments.shown(value)}{hint}"
    )


@checked(model=ANY_MODEL, rows=arguments.rows(Target), log_z=_estimate)
def log_likelihood(
    model: Model, rows: Target | ArrayLike, log_z: Estimate | WithError
) -> LogLikelihood:
    """Mean of log p(v) = log p~(v) - log Z over rows (N, n), repeated rows counted as often.

    The rows are a sample, and so is a Target that was made from samples: the mean over them has an
    error (that of one row alone is unknown, nan). A Target that is known exactly has none.
    ``log_z``: from :func:`mc.sampling.partition.log_partition`, or any (value, standard_error),
    whose interval is three standard errors to each side. Raises ValueError on rows of another
    width, and warns (EstimateWarning) of a log Z that is smaller than what the rows alone weigh.
    """
    value, partition_error = _log_z(log_z)
    lower, upper = _interval(log_z)
    data = _Rows.of(rows, model)
    found = log_weights(model, data.states)
    _warn_of_excess(found, data.states, value, partition_error)
    mean = data.mean(found - value, partition_error)
    return mean._replace(lower=mean.value + value - upper, upper=mean.value + value - lower)


@checked(model=ANY_MODEL, rows=arguments.rows(Target), log_z=_estimate)
def log_likelihoods(
    model: Model, rows: Target | ArrayLike, log_z: Estimate | WithError
) -> NDArray[np.float64]:
    """log p(v) in nats of every row (N,), or of every state of a Target (K,) in its order.

    Arguments and errors are those of :func:`log_likelihood`; the error of log Z moves all of them
    alike.
    """
    value, error = _log_z(log_z)
    states = _Rows.of(rows, model).states
    found = log_weights(model, states)
    _warn_of_excess(found, states, value, error)
    return found - value


@checked(
    first=ANY_MODEL,
    second=ANY_MODEL,
    rows=arguments.rows(Target),
    first_log_z=_estimate,
    second_log_z=_estimate,
)
def compare_likelihoods(
    first: Model,
    second: Model,
    rows: Target | ArrayLike,
    first_log_z: Estimate | WithError,
    second_log_z: Estimate | WithError,
) -> LogLikelihood:
    """Mean of log p_first(v) - log p_second(v) over the same rows: how much better the first is.

    The differences are paired row by row, so that what makes a row likely or unlikely under both
    models cancels: ``data_error`` is the standard error of their mean, usually several times
    smaller than that of either likelihood. ``partition_error`` combines the errors of both log Z,
    taken as independent. Other arguments and errors are those of :func:`log_likelihood`.
    """
    if first.n_visible != second.n_visible:
        raise ValueError(
            f"the models have {first.n_visible} and {second.n_visible} visible units; rows belong "
            "to both"
        )
    data = _Rows.of(rows, first)
    one, other = (
        log_likelihoods(model, data.states, estimate)
        for model, estimate in ((first, first_log_z), (second, second_log_z))
    )
    error = math.hypot(_log_z(first_log_z)[1], _log_z(second_log_z)[1])
    mean = data.mean(one - other, error)
    (low, high), (other_low, other_high) = _interval(first_log_z), _interval(second_log_z)
    shift = mean.value + _log_z(first_log_z)[0] - _log_z(second_log_z)[0]
    return mean._replace(lower=shift - high + other_low, upper=shift - low + other_high)


@dataclass(frozen=True)
class _Rows:
    """States (K, n), how often each counts (K,), and their number if they are a sample."""

    states: NDArray[np.uint8]
    weights: Float
    n_samples: int | None

    @classmethod
    def of(cls, rows: Target | ArrayLike, model: Model) -> _Rows:
        """Rows or a Target of a model; ValueError if they do not fit."""
        if isinstance(rows, Target):
            return cls(_own(rows, model), rows.probabilities, rows.n_samples)
        states = as_states(rows, model.n_visible)
        if states.ndim != 2 or states.size == 0:
            raise ValueError(f"rows must have shape (N, {model.n_visible}), got {states.shape}")
        return cls(states, np.full(len(states), 1.0 / len(states)), len(states))

    def mean(self, values: Float, partition_error: float) -> LogLikelihood:
        """The mean of values (K,) and its errors."""
        mean = float((self.weights * values).sum())
        count = self.n_samples
        if count is None:
            return LogLikelihood(mean, partition_error, 0.0, partition_error, len(self.states))
        variance = float((self.weights * (values - mean) ** 2).sum())
        data_error = math.sqrt(variance / (count - 1)) if count > 1 else math.nan
        error = math.hypot(data_error, partition_error)
        return LogLikelihood(mean, error, data_error, partition_error, count)


def _warn_of_excess(
    log_weight: Float, states: NDArray[np.uint8], log_z: float, error: float
) -> None:
    """EstimateWarning if the probabilities of the states would sum to more than one."""
    bound = float(bound_from_weights(log_weight, states))
    if below_bound(log_z, error, bound):
        warnings.warn(
            f"log Z = {log_z:.6g} is {bound - log_z:.3g} nats below what these rows alone weigh, "
            "so it is wrong, and likelihoods and distances from it are",
            EstimateWarning,
            stacklevel=4,
        )


@checked(model=ANY_MODEL, target=TARGET, log_z=_estimate)
def total_variation_on_support(
    model: Model, target: Target, log_z: Estimate | WithError
) -> TotalVariation:
    """TVD between target and model, from the target's support alone, in [0, 1].

    TVD = 0.5 [sum_S |q - p| + 1 - p(S)]. It rises with log Z, with slope p({v: p(v) < q(v)});
    its standard error is half its change over two standard errors of log Z (the delta method
    where that is small). Raises ValueError if target and model differ in width, and warns
    (EstimateWarning) of a log Z that is smaller than what the support alone weighs: the formula
    then stays in [0, 1] and says nothing.
    """
    value, error = _log_z(log_z)
    log_weight = log_weights(model, _own(target, model))
    _warn_of_excess(log_weight, target.states, value, error)
    q = np.asarray(target.probabilities)

    def tvd(at: float) -> float:
        return float(on_support(log_weight - at, q)["tvd"])

    lower, upper = _interval(log_z)
    spread = 0.5 * (tvd(value + error) - tvd(value - error))
    return TotalVariation(tvd(value), spread, tvd(lower), tvd(upper))


def log_weights(model: Model, states: NDArray[np.uint8]) -> Float:
    """log p~(v) of states (K, n), (K,): SqRBM.log_weight without arrays of hidden fields."""
    if not isinstance(model, SqRBM):
        return model.log_weight(states)
    sweeper = Sweeper(model.shape, "collapsed")
    theta = model.to_vector()[None]
    return np.asarray(sweeper.log_weights(theta, np.ascontiguousarray(states)[None])[0])


def _log_z(log_z: Estimate | WithError) -> tuple[float, float]:
    if isinstance(log_z, Estimate):
        return log_z.value, log_z.standard_error
    value, error = log_z
    if not (math.isfinite(value) and error >= 0):
        raise ValueError(f"log Z must be finite with an error >= 0, got {value} +- {error}")
    return float(value), float(error)


def _interval(log_z: Estimate | WithError) -> tuple[float, float]:
    """What log Z is at least and at most."""
    if isinstance(log_z, Estimate):
        return log_z.lower, log_z.upper
    value, error = _log_z(log_z)
    return value - SIGMAS * error, value + SIGMAS * error


def _own(target: Target, model: Model) -> NDArray[np.uint8]:
    if target.n_visible != model.n_visible:
        raise ValueError(
            f"the target has {target.n_visible} visible units, the model {model.n_visible}"
        )
    return target.states
