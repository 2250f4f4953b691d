"""Likelihood and total variation distance with error bars, from an estimated log Z."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.annealing import Schedule, anneal, choose_kernel
from mc.interpolation import matching_fields
from mc.kernels import Sweeper
from mc.partition import Estimate
from mc.streams import stream_key
from tnqbm.datasets import Target
from tnqbm.metrics import on_support
from tnqbm.model import SqRBM
from tnqbm.states import as_states
from tnqbm.teams import Team

if TYPE_CHECKING:
    from tnqbm.phases import PhaseContext

Float = NDArray[np.float64]
Evaluator = Callable[[Float, NDArray[np.intp], int], tuple[Float, Float]]


class WithError(NamedTuple):
    """A number and its standard error."""

    value: float
    standard_error: float


class LogLikelihood(NamedTuple):
    """Mean log-likelihood of data in nats per row.

    ``standard_error`` combines ``data_error``, of the mean over a sample of rows, and
    ``partition_error``, of log Z, which all rows share.
    """

    value: float
    standard_error: float
    data_error: float
    partition_error: float
    n_rows: int


def log_likelihood(
    model: SqRBM, rows: Target | ArrayLike, estimate: Estimate | WithError
) -> LogLikelihood:
    """Mean of log p(v) = log p~(v) - log Z over rows (N, n), repeated rows counted as often.

    A Target stands for the whole distribution: its mean has no sampling error. One row alone has
    an unknown one (nan). ``estimate`` of log Z: from :func:`mc.partition.log_partition`, or any
    (value, standard_error). Raises ValueError on rows of another width.
    """
    log_z, partition_error = _log_z(estimate)
    if isinstance(rows, Target):
        states, weights = _own(rows, model), rows.probabilities
        mean = float((weights * log_weights(model, states)).sum())
        return LogLikelihood(mean - log_z, partition_error, 0.0, partition_error, rows.n_states)
    states = as_states(rows, model.n_visible)
    if states.ndim != 2 or states.size == 0:
        raise ValueError(f"rows must have shape (N, {model.n_visible}), got {states.shape}")
    found = log_weights(model, states)
    count = found.size
    data_error = float(found.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    error = math.hypot(data_error, partition_error)
    return LogLikelihood(float(found.mean()) - log_z, error, data_error, partition_error, count)


def total_variation(model: SqRBM, target: Target, estimate: Estimate | WithError) -> WithError:
    """TVD between target and model, from the target's support alone, in [0, 1].

    TVD = 0.5 [sum_S |q - p| + 1 - p(S)]. It rises with log Z, with slope p({v: p(v) < q(v)});
    its standard error is half its change over two standard errors of log Z (the delta method
    where that is small). Raises ValueError if target and model differ in width.
    """
    log_z, error = _log_z(estimate)
    log_weight = log_weights(model, _own(target, model))
    q = np.asarray(target.probabilities)

    def tvd(at: float) -> float:
        # Too small a log Z makes p larger than a probability can be; TVD is then cut at its ends.
        log_p = np.minimum(log_weight - at, 0.0)
        return float(on_support(log_p, q)["tvd"])

    return WithError(tvd(log_z), 0.5 * (tvd(log_z + error) - tvd(log_z - error)))


def log_weights(model: SqRBM, states: NDArray[np.uint8]) -> Float:
    """log p~(v) of states (K, n), (K,): SqRBM.log_weight without arrays of hidden fields."""
    n, m, p = model.n_visible, model.n_hidden, len(model.paulis)
    sweeper = Sweeper(n, m, p, "collapsed")
    theta = model.to_vector()[None]
    return np.asarray(sweeper.log_weights(theta, np.ascontiguousarray(states)[None])[0])


def log_partition_evaluator(
    n: int,
    m: int,
    n_paulis: int,
    *,
    keys: NDArray[np.uint64],
    n_chains: int = 200,
    n_betas: int = 500,
    betas: Schedule | ArrayLike = "adaptive",
    kernel: str = "auto",
    precision: str = "double",
    reference: Float | None = None,
    team: Team | None = None,
) -> Evaluator:
    """Annealed estimates of log Z while models are trained.

    Returns a callable (theta (B, size), rows (B,), step) -> (log_z (B,), standard_error (B,)):
    theta are the parameters of the runs ``rows`` after ``step`` updates. ``keys`` (runs,) name
    their random streams and ``reference`` is (n,) or (runs, n); numbers depend on (key, step,
    theta) alone. Other arguments as for :func:`mc.annealing.anneal`.
    """
    kernel = choose_kernel(kernel, n_paulis)
    names = np.asarray(keys, dtype=np.uint64)

    def evaluate(theta: Float, rows: NDArray[np.intp], step: int) -> tuple[Float, Float]:
        here = np.array([stream_key(int(names[row]), step) for row in rows], dtype=np.uint64)
        own = reference is not None and reference.ndim == 2
        found = anneal(
            theta, n, m, n_paulis, keys=here, n_chains=n_chains, n_betas=n_betas, betas=betas,
            kernel=kernel, precision=precision, team=team,
            reference=reference[rows] if reference is not None and own else reference,
        )  # fmt: skip
        return found.log_z, found.standard_error

    return evaluate


_EVALUATION = 0xA15
"""Keeps the streams of an evaluation apart from those of the training it looks at."""


def ais_log_partition(context: PhaseContext) -> Evaluator:
    """The evaluator "ais" of training: chains and temperatures from its settings.

    Annealing starts at the first moments of the training data.
    """
    settings = context.settings
    reference = matching_fields(context.states, context.probabilities)
    runs = len(context.keys)
    if reference.shape[0] == 1:
        reference = reference[0]
    elif reference.shape[0] != runs:
        raise ValueError(f"{reference.shape[0]} lists of data for {runs} runs")
    return log_partition_evaluator(
        context.n_visible,
        context.n_hidden,
        context.n_paulis,
        keys=np.array([stream_key(int(key), _EVALUATION) for key in context.keys], np.uint64),
        n_chains=settings.ais_chains,
        n_betas=settings.ais_betas,
        precision=context.precision,
        reference=reference,
        team=context.team,
    )


def _log_z(estimate: Estimate | WithError) -> tuple[float, float]:
    if isinstance(estimate, Estimate):
        return estimate.value, estimate.standard_error
    value, error = estimate
    if not (math.isfinite(value) and error >= 0):
        raise ValueError(f"log Z must be finite with an error >= 0, got {value} +- {error}")
    return float(value), float(error)


def _own(target: Target, model: SqRBM) -> NDArray[np.uint8]:
    if target.n_visible != model.n_visible:
        raise ValueError(
            f"the target has {target.n_visible} visible units, the model {model.n_visible}"
        )
    return target.states
