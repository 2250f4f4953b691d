"""Do two models have the same distribution p(v)? An answer, and what it rests on.

Two models are called equivalent if |log p_1(v) - log p_2(v)| <= tolerance for all v. With
D(v) = log p~_1(v) - log p~_2(v), of which a constant is only log Z_1 - log Z_2, that is decided by
how much D varies. Four ways to see it, each proving one side or both:

- parameters: both models are simplified by exact rules (:mod:`tnqbm.model_tools.simplify`), and
  their hidden units turned onto each other (:func:`tnqbm.model_tools.gauge.axes_distance`), which
  bounds D from above for any n. Models may be equal in distribution and differ here.
- distribution: D at all 2^n states, for n that allows it.
- expansion: D as a sum over sets S of visible units, D = sum_S c_S prod_{i in S} s_i, for any n if
  every hidden unit is coupled to few: max|c_S| and sum|c_S| over S other than the empty set bound
  the variation of D from below and above.
- states: D at some states. Two that differ prove that the models do; if none do, it proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of
from tnqbm.base.limits import MAX_DENSE, check_memory
from tnqbm.base.process import one_thread
from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.fields import largest_lengths
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states, states_of
from tnqbm.exact.enumerator import Enumerator
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.model_tools import gauge
from tnqbm.model_tools.expansion import coefficients, n_terms
from tnqbm.model_tools.simplify import Simplified, simplify

__all__ = ["METHODS", "Equivalence", "equivalent"]

Float = NDArray[np.float64]
Verdict = Literal["equal parameters", "equal distribution", "different", "undecided"]

METHODS = ("auto", "parameters", "distribution", "expansion", "states")

AUTO_DENSE = 20
"""Most visible units whose 2^n states are compared without being asked for."""

MAX_TERMS = 2**22
"""Most terms of an expansion, the sum over hidden units of 2^(units it is coupled to)."""

_SMALL = 12
# Up to here NumPy is quick enough, and compiled kernels need not be loaded.

_COARSEST = 1e-3
# Where rounding of log p~ exceeds this (and the tolerance), agreement within it decides nothing.

_ROUNDING = 16 * np.finfo(np.float64).eps


@short_repr
@dataclass(frozen=True, eq=False)
class Equivalence:
    """What is known of two models' distributions; true in conditions if they are the same.

    ``verdict`` is "equal parameters" (up to turns of Pauli axes, order of units, and units without
    effect), "equal distribution", "different" or "undecided"; ``reasons`` says why in words, one
    per way that was tried, the last of them decisive; ``method`` names that way.

    ``tolerance`` is the one used: what was asked for, or what rounding of log p~ allows, if more;
    where that is above 1e-3, agreement within it is "undecided".
    ``at_least`` and ``at_most`` bound max_v |log p_1(v) - log p_2(v)|; ``tvd``, ``kl``, which is
    KL(p_1 || p_2), and ``reverse_kl`` (nats) are None where not all states were compared.
    ``witness`` (2, n) holds two states whose ratio of probabilities differs most between the
    models, of those compared, None if none were; ``log_ratio`` is by how much,
    log p_1(v)/p_1(v') - log p_2(v)/p_2(v').
    """

    verdict: Verdict
    method: str
    reasons: tuple[str, ...]
    tolerance: float
    at_least: float
    at_most: float
    tvd: float | None = None
    kl: float | None = None
    reverse_kl: float | None = None
    witness: NDArray[np.uint8] | None = None
    log_ratio: float | None = None

    def __bool__(self) -> bool:
        return self.verdict in ("equal parameters", "equal distribution")

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reasons[-1]}"

    def as_dict(self) -> dict[str, Any]:
        """All of it in types that JSON knows."""
        return {
            "verdict": self.verdict,
            "equivalent": bool(self),
            "method": self.method,
            "reasons": list(self.reasons),
            "tolerance": self.tolerance,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "tvd": self.tvd,
            "kl": self.kl,
            "reverse_kl": self.reverse_kl,
            "witness": None if self.witness is None else self.witness.tolist(),
            "log_ratio": self.log_ratio,
        }


def _model(value: object) -> Exception | None:
    return one_of(SqRBM, PauliHamiltonian)(value)


@checked(
    first=_model,
    second=_model,
    tolerance=arguments.number,
    method=arguments.text,
    samples=arguments.rows(),
    n_states=arguments.whole,
    seed=arguments.seed,
)
def equivalent(
    first: SqRBM | PauliHamiltonian,
    second: SqRBM | PauliHamiltonian,
    *,
    tolerance: float = 1e-9,
    method: str = "auto",
    samples: ArrayLike | None = None,
    n_states: int = 4096,
    seed: int = 0,
) -> Equivalence:
    """Whether two models have the same distribution of the visible units.

    The models may differ in their Paulis, their number of hidden units, and their masks.

    Parameters
    ----------
    tolerance : largest |log p_1(v) - log p_2(v)| that counts as equal, raised to what rounding
        allows for large parameters (see :class:`Equivalence`).
    method : "parameters", "distribution" (n <= 26), "expansion", "states", or "auto": parameters
        first; then all states up to n = 20, else the expansion if it has at most 4 million terms,
        else some states. Hamiltonians (:class:`tnqbm.PauliHamiltonian`) need "distribution".
    samples : visible states (..., n) to compare besides random ones, for "states": those of the
        models show differences where the weight is.
    n_states : random states to compare, half of them single flips away from another, for "states".
    seed : of these.

    A Hamiltonian that does not commute with the visible Z_i gives probabilities to absolute, not
    relative, precision: then tolerance is compared with the total variation distance.

    Raises ValueError or TypeError on impossible arguments, also if the numbers of visible units
    differ, and MemoryError where 2^n states do not fit.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance!r}")
    if n_states < 2:
        raise ValueError(f"n_states must be at least 2, got {n_states}")
    if first.n_visible != second.n_visible:
        raise ValueError(
            f"models of {first.n_visible} and {second.n_visible} visible units have different "
            "sets of states; there is nothing to compare"
        )
    if not (isinstance(first, SqRBM) and isinstance(second, SqRBM)):
        found = _hamiltonians(first, second, tolerance, method)
    else:
        with one_thread():
            found = _sqrbms(first, second, tolerance, method, samples, n_states, seed)
    coarsest = max(tolerance, _COARSEST)
    if found and found.tolerance > coarsest and found.at_most > coarsest:
        text = (
            f"parameters are so large that rounding hides differences of log p(v) up to "
            f"{found.tolerance:.2g}; the models agree to {found.at_most:.2g}"
        )
        return replace(found, verdict="undecided", reasons=(*found.reasons, text))
    return found


def _sqrbms(
    first: SqRBM,
    second: SqRBM,
    tolerance: float,
    method: str,
    samples: ArrayLike | None,
    n_states: int,
    seed: int,
) -> Equivalence:
    n = first.n_visible
    small = simplify(first, pairs="all"), simplify(second, pairs="all")
    limit = max(tolerance, _ROUNDING * max(_size(first), _size(second)))
    found: Equivalence | None = None
    if method in ("auto", "parameters"):
        found = _parameters(*small, limit)
        if method == "parameters":
            return found
    if method == "auto":
        if n <= AUTO_DENSE:
            method = "distribution"
        elif found:
            return found
        else:
            terms = max(n_terms(one.model) for one in small)
            method = "expansion" if terms <= MAX_TERMS else "states"
    if method == "distribution":
        return _after(found, _distribution(_log_p(first), _log_p(second), n, limit))
    if method == "expansion":
        return _after(found, _expansion(small[0].model, small[1].model, limit))
    return _after(found, _states(first, second, limit, samples, n_states, seed))


def _parameters(first: Simplified, second: Simplified, limit: float) -> Equivalence:
    distance = gauge.axes_distance(first.model, second.model)
    # log p = log p~ - log Z, and both move by no more than the distance.
    at_most = 2.0 * distance
    if at_most <= limit:
        text = (
            "without units that have no effect, and up to turns of Pauli axes and the order of "
            f"hidden units, the parameters give log p(v) within {at_most:.2g} of each other"
        )
        return Equivalence("equal parameters", "parameters", (text,), limit, 0.0, at_most)
    text = (
        "the parameters differ by more than turns of Pauli axes, order and units without effect "
        f"(by {distance:.3g} in all), which need not change the distribution"
    )
    return Equivalence("undecided", "parameters", (text,), limit, 0.0, at_most)


def _after(found: Equivalence | None, new: Equivalence) -> Equivalence:
    """The new finding with what the parameters said before it."""
    if found is None:
        return new
    verdict: Verdict = found.verdict if found else new.verdict
    return Equivalence(
        verdict,
        found.method if found else new.method,
        (*new.reasons, *found.reasons) if found else (*found.reasons, *new.reasons),
        new.tolerance,
        new.at_least,
        new.at_most if new.method == "distribution" else min(new.at_most, found.at_most),
        new.tvd,
        new.kl,
        new.reverse_kl,
        new.witness,
        new.log_ratio,
    )


def _distribution(
    log_p: Float, log_q: Float, n: int, limit: float, *, absolute: bool = False
) -> Equivalence:
    difference = log_p - log_q
    largest = float(np.abs(difference).max())
    p, q = np.exp(log_p), np.exp(log_q)
    tvd = 0.5 * float(np.abs(p - q).sum())
    name = "total variation distance" if absolute else "largest |log p1 - log p2|"
    compared = tvd if absolute else largest
    equal = compared <= limit
    ends = np.array([np.argmax(difference), np.argmin(difference)])
    text = (
        f"over all 2^{n} states the {name} is {compared:.3g}, "
        f"{'within' if equal else 'above'} {limit:.2g}"
    )
    return Equivalence(
        "equal distribution" if equal else "different",
        "distribution",
        (text,),
        limit,
        largest,
        largest,
        tvd,
        _kl(p, q, difference),
        _kl(q, p, -difference),
        states_of(ends, n),
        float(difference[ends[0]] - difference[ends[1]]),
    )


def _expansion(first: SqRBM, second: SqRBM, limit: float) -> Equivalence:
    terms = max(n_terms(first), n_terms(second))
    if terms > MAX_TERMS:
        raise ValueError(
            f"the expansion would have {terms:.3g} terms, the sum over hidden units of 2^(visible "
            f"units coupled to), and {MAX_TERMS} are the limit; use method='states'"
        )
    one, two = coefficients(first), coefficients(second)
    sets = sorted((one.keys() | two.keys()) - {()})
    differences = np.array([one.get(s, 0.0) - two.get(s, 0.0) for s in sets])
    largest, total = (float(f(np.abs(differences), initial=0.0)) for f in (np.max, np.sum))
    # c_S is an average of +-D: D varies by at least 2 max|c_S|, so log p by at least half of that;
    # and by at most 2 sum|c_S|, within which log p differs from 0 on both sides.
    at_most = 2.0 * total
    if at_most <= limit:
        verdict: Verdict = "equal distribution"
        text = (
            f"all coefficients of log p(v) as a polynomial in the spins agree, to {total:.2g} in "
            f"all, so log p(v) differs by at most {at_most:.2g}"
        )
    elif largest > limit:
        verdict = "different"
        text = (
            f"a coefficient of log p(v) as a polynomial in the spins differs by {largest:.3g}, so "
            f"log p(v) differs by at least this at some v, above {limit:.2g}"
        )
    else:
        verdict = "undecided"
        text = (
            f"coefficients of log p(v) as a polynomial in the spins differ by up to {largest:.2g}, "
            f"by {total:.2g} in all: log p(v) by something between these and twice as much, on "
            f"either side of {limit:.2g}"
        )
    return Equivalence(verdict, "expansion", (text,), limit, largest, at_most)


def _states(
    first: SqRBM,
    second: SqRBM,
    limit: float,
    samples: ArrayLike | None,
    n_states: int,
    seed: int,
) -> Equivalence:
    n = first.n_visible
    rng = streams.generator(seed)
    half = n_states // 2
    drawn = rng.integers(0, 2, (n_states - half, n), dtype=np.uint8)
    near = drawn[:half].copy()
    near[np.arange(half), np.arange(half) % n] ^= 1
    states = np.concatenate([drawn, near])
    if samples is not None:
        given = as_states(samples, n).reshape(-1, n)
        states = np.concatenate([np.unique(given, axis=0), states])
    difference = np.concatenate(
        [
            first.log_weight(part) - second.log_weight(part)
            for part in np.array_split(states, max(1, states.shape[0] // 1024))
        ]
    )
    ends = np.array([np.argmax(difference), np.argmin(difference)])
    spread = float(difference[ends[0]] - difference[ends[1]])
    # One of the two states' log p must differ by half of what their ratio does.
    different = 0.5 * spread > limit
    text = (
        f"two of {states.shape[0]} states have log ratios of probabilities that differ by "
        f"{spread:.3g} between the models: proof that the distributions differ"
        if different
        else f"at {states.shape[0]} states the models agree to {spread:.2g}, which is evidence "
        "for, but no proof of, the same distribution"
    )
    return Equivalence(
        "different" if different else "undecided",
        "states",
        (text,),
        limit,
        0.5 * spread,
        float("inf"),
        witness=states[ends],
        log_ratio=spread,
    )


def _hamiltonians(
    first: SqRBM | PauliHamiltonian,
    second: SqRBM | PauliHamiltonian,
    tolerance: float,
    method: str,
) -> Equivalence:
    for one in (first, second):
        if not isinstance(one, SqRBM | PauliHamiltonian):
            raise TypeError(f"need SqRBM or PauliHamiltonian, got {type(one).__name__}")
    if method not in ("auto", "distribution"):
        raise ValueError(f'Hamiltonians are compared by method="distribution", not {method!r}')
    absolute, size, log_p = False, 0.0, []
    for one in (first, second):
        if isinstance(one, SqRBM):
            log_p.append(_log_p(one))
            size = max(size, _size(one))
        else:
            log_weights = one.log_weights()
            log_p.append(log_weights - _log_sum(log_weights))
            absolute |= not one.is_semi_quantum
            size = max(size, float(np.abs(one.to_vector()).sum()) * 2.0**one.n_hidden)
    limit = max(tolerance, _ROUNDING * size)
    return _distribution(log_p[0], log_p[1], first.n_visible, limit, absolute=absolute)


def _log_p(model: SqRBM) -> Float:
    """log p of all states (2^n,), visible unit 1 the most significant bit."""
    n = model.n_visible
    if n > MAX_DENSE:
        raise ValueError(
            f"2^{n} states are too many to compare one by one (the limit is n = {MAX_DENSE}); use "
            "method='auto', 'parameters', 'expansion' or 'states'"
        )
    check_memory(6 * 8 * 2**n, f"the comparison of all 2^{n} states", "use method='auto'")
    if n <= _SMALL:
        log_p = model.log_weight(states_of(np.arange(2**n), n))
    else:
        log_p = Enumerator(model.shape).log_weights(model.to_vector())
    return np.asarray(log_p - _log_sum(log_p))


def _log_sum(log_values: Float) -> float:
    highest = float(log_values.max())
    return highest + float(np.log(np.exp(log_values - highest).sum()))


def _kl(p: Float, q: Float, difference: Float) -> float:
    """sum p (log p - log q), as a sum of terms p (d + exp(-d) - 1) >= 0, d = log p - log q."""
    near = np.abs(difference) < 0.5
    d = np.where(near, difference, 0.0)
    terms = np.where(near, p * (d + np.expm1(-d)), p * difference + q - p)
    return max(0.0, float(terms.sum()))


def _size(model: SqRBM) -> float:
    """Largest |log p~| there can be, less the constants: what rounding errors grow with."""
    return float(np.abs(model.a).sum() + largest_lengths(model.b, model.w).sum()) + model.n_hidden
