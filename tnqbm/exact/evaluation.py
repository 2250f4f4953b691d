"""log Z, moments and gradients by enumeration, contraction or quadrature.

The hidden qubits are summed in closed form given the visible state. The sum over visible states is
done by one of three methods, whatever is cheapest for the model unless one is asked for:

- "enumeration" of all 2**n states, at a cost of about P m 2**n and little memory, n <= 30;
- "contraction" of the factor graph (:mod:`tnqbm.networks`), where each hidden qubit couples to few
  visible units, on a line or a lattice for instance: the cost is set by the treewidth. Its
  arithmetic is done by an engine, "quimb" or "compiled";
- "quadrature" on the sphere (:mod:`tnqbm.exact.quadrature`), for few hidden qubits and any n.

All give the same numbers to rounding, about 1e-12.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import check_choice, checked, flag, text
from tnqbm.base.forecast import table
from tnqbm.base.limits import MAX_DENSE, MAX_VISIBLE, check_enumerable
from tnqbm.core.model import MODEL, SqRBM, coupling_mask
from tnqbm.core.moments import Gradient, Moments
from tnqbm.core.shape import Shape
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.exact import cost, quadrature
from tnqbm.exact.averages import StateAverages
from tnqbm.exact.enumerator import Enumerator, dense_targets
from tnqbm.networks.contraction import cache
from tnqbm.networks.contraction.engines import ENGINES

if TYPE_CHECKING:
    from tnqbm.base.forecast import Forecasts
    from tnqbm.networks import Contraction


__all__ = [
    "MAX_DENSE",
    "MAX_VISIBLE",
    "METHODS",
    "Gradient",
    "Moments",
    "check_enumerable",
    "forecasts",
    "gradient",
    "log_partition",
    "moments",
    "probabilities",
]

Float = NDArray[np.float64]
Pairs = Literal["all", "coupled"]

METHODS = ("auto", "enumeration", "contraction", "quadrature")

ENOUGH = 0.5
"""Seconds on one core that a method may take to be chosen without a look at the dearer ones."""


@checked(model=MODEL, method=text, engine=text, precision=text)
def log_partition(
    model: SqRBM, *, method: str = "auto", engine: str = "auto", precision: str = "double"
) -> float:
    """log Z = log Tr exp(-H), factor 2**m of the hidden trace included.

    method : "auto", "enumeration", "contraction" or "quadrature".
    engine : what contracts the factor graph, "quimb" or "compiled"; "auto" takes the one with the
        lower forecast. An engine that is named asks for contraction.
    precision : "double" or, for enumeration only, "single".

    Raises ValueError or MemoryError, with what each method would take, if the model is too large
    for the method, or for all.
    """
    method = _method(model, method, engine, precision, moments=False)
    if method == "enumeration":
        return float(_enumerator(model, precision).log_partition(model.to_vector()[None])[0])
    if method == "contraction":
        return _contraction(model, engine).log_partition(model)
    return quadrature.log_partition(model)


@checked(model=MODEL, engine=text)
def probabilities(model: SqRBM, *, engine: str = "auto") -> Float:
    """p(v) for all visible states, (2**n,); visible unit 1 is the most significant bit.

    By enumeration, or by contraction with the ``engine`` that is named, "quimb" or "compiled".
    Raises ValueError above n = 26, where the array itself would not fit.
    """
    check_enumerable(model.n_visible, dense=True)
    if engine != "auto":
        _method(model, "contraction", engine, "double", moments=False)
        return _contraction(model, engine).marginal(model, range(model.n_visible)).ravel()
    log_p = _enumerator(model, "double").log_weights(model.to_vector())
    log_p -= log_p.max()
    p = np.exp(log_p, out=log_p)
    p /= p.sum()
    return p


@checked(model=MODEL, method=text, engine=text, precision=text)
def moments(
    model: SqRBM,
    *,
    method: str = "auto",
    engine: str = "auto",
    precision: str = "double",
    pairs: Pairs = "all",
) -> Moments:
    """<Z_i>, <sigma_j^P> and <Z_i sigma_j^P> in the Gibbs state.

    ``pairs="coupled"`` leaves <Z_i sigma_j^P> nan where visible unit i and hidden qubit j are not
    coupled (outside the model's mask; without one, where all their w are 0), which saves
    contraction most of its time. Other arguments and errors as for :func:`log_partition`.
    """
    if pairs not in ("all", "coupled"):
        raise ValueError(f'pairs must be "all" or "coupled", got {pairs!r}')
    method = _method(model, method, engine, precision, moments=True, pairs=pairs)
    averages = _moments(model, method, engine, precision, pairs)
    if pairs == "coupled":
        averages.zsigma[:, ~coupling_mask(model)] = np.nan
    return averages


@checked(model=MODEL, target=TARGET, method=text, engine=text, precision=text)
def gradient(
    model: SqRBM,
    target: Target,
    *,
    method: str = "auto",
    engine: str = "auto",
    precision: str = "double",
) -> Gradient:
    """Gradient of L = -sum_v q_v log p_v: the clamped moments minus the model's.

    With a mask, derivatives with respect to couplings outside it are 0. Other arguments and
    errors as for :func:`log_partition`; ValueError if the target is of another size.

    The paper's eqs. (11) and (12) print Phi(v) and s_i(v) in the second term where the summed
    v' is meant; both phases are averages of the same function of the visible state.
    """
    if target.n_visible != model.n_visible:
        raise ValueError(
            f"the target has {target.n_visible} visible units, the model {model.n_visible}"
        )
    pairs: Pairs = "all" if model.mask is None else "coupled"
    method = _method(model, method, engine, precision, moments=True, pairs=pairs)
    theta, q = model.to_vector()[None], None
    if method == "enumeration":
        q = dense_targets(target.states[None], target.probabilities[None], model.n_visible)
    if q is not None:
        _, averages, clamped = _enumerator(model, precision).both_phases(theta, q)
        negative = _unflattened(model, averages[0])
    else:
        negative = _moments(model, method, engine, precision, pairs)
        clamped = StateAverages(
            target.states, target.probabilities, model.shape, precision
        ).moments(theta)
    positive = _unflattened(model, clamped[0])
    w = positive.zsigma - negative.zsigma
    if model.mask is not None:
        w[:, ~model.mask] = 0.0
    return Gradient(positive.z - negative.z, positive.sigma - negative.sigma, w)


@checked(model=MODEL, moments=flag, engine=text)
def forecasts(
    model: SqRBM, *, moments: bool = False, pairs: Pairs = "all", engine: str = "auto"
) -> Forecasts:
    """What each method would take for log Z or, with ``moments``, for the moments too.

    A list of :class:`tnqbm.base.forecast.Forecast`, printed as a table; times are of one
    core. Contraction is planned for it, which takes seconds for large models; the plan is cached,
    and the note says which engine would do the arithmetic.
    """
    _check_engine(engine)
    return cost.all_methods(model, moments=moments, pairs=pairs, engine=engine)


def _moments(model: SqRBM, method: str, engine: str, precision: str, pairs: Pairs) -> Moments:
    """Moments that may be nan where a pair is not coupled, if only coupled pairs are asked for."""
    if method == "enumeration":
        theta = model.to_vector()[None]
        return _unflattened(
            model, _enumerator(model, precision).log_partition_and_moments(theta)[1][0]
        )
    if method == "contraction":
        return _contraction(model, engine).moments(model, pairs=pairs)
    return quadrature.moments(model)


def _method(
    model: SqRBM, method: str, engine: str, precision: str, *, moments: bool, pairs: Pairs = "all"
) -> str:
    """The method asked for, or the cheapest of those that fit; ValueError if there is none."""
    check_choice("method", method, METHODS)
    if precision not in ("double", "single"):
        raise ValueError(f'precision must be "double" or "single", got {precision!r}')
    _check_engine(engine)
    if engine != "auto":
        if method not in ("auto", "contraction"):
            raise ValueError(f"engine={engine!r} is for contraction; {method} has no engines")
        if method == "auto":
            method = "contraction"
    if precision == "single":
        if method not in ("auto", "enumeration"):
            raise ValueError(
                f'precision="single" is for enumeration; {method} works in double precision'
            )
        return "enumeration"
    return method if method != "auto" else _cheapest(model, moments, pairs)


def _check_engine(engine: str) -> None:
    if engine != "auto":  # the usual case loads no tensor networks
        check_choice("engine", engine, ENGINES)


def _cheapest(model: SqRBM, moments: bool, pairs: Pairs) -> str:
    """The cheapest method that fits; ValueError with all forecasts if none does."""
    enumeration = cost.enumeration(model, moments=moments)
    if enumeration.fits and enumeration.seconds <= ENOUGH:
        return "enumeration"
    costs = [enumeration, cost.quadrature(model, moments=moments)]
    if not (costs[1].fits and costs[1].seconds <= ENOUGH):
        costs.insert(1, cost.contraction(model, moments=moments, pairs=pairs))
    fitting = [forecast for forecast in costs if forecast.fits]
    if fitting:
        return min(fitting, key=lambda forecast: forecast.seconds).method
    raise ValueError(
        f"no exact method fits this model (n = {model.n_visible}, m = {model.n_hidden}, "
        f"{model.paulis}):\n{table(costs)}\n"
        "use fewer visible units, fewer couplings per hidden qubit (a mask) or few hidden qubits; "
        "or mc.log_partition(model, method='ais') or (method='tensor') for log Z with an error "
        "bar, mc.sample for samples, and a sampled gradient such as 'pcd' for training"
    )


class _Last(threading.local):
    """The last enumerator of a Python thread: its work space costs as much as a small model."""

    key: tuple[Shape, str] | None = None
    enumerator: Enumerator


_LAST = _Last()


def _enumerator(model: SqRBM, precision: str) -> Enumerator:
    check_enumerable(model.n_visible)
    key = model.shape, precision
    if _LAST.key != key:
        _LAST.enumerator, _LAST.key = Enumerator(*key), key
    return _LAST.enumerator


def _contraction(model: SqRBM, engine: str) -> Contraction:
    return cache.contraction(model, engine=engine)


def _unflattened(model: SqRBM, flat: Float) -> Moments:
    return Moments(*model.shape.split(flat))
