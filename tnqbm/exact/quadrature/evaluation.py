"""log Z and moments of models with few hidden qubits and any number of visible units.

Every hidden factor is a quadrature over the sphere (:mod:`tnqbm.kernels.sphere`),

    2 cosh|Phi_j(v)| = 2 sum_k weights_k (1 + d_k.Phi_j(v)) exp(d_k.Phi_j(v)),

so that for each tuple of nodes, one per hidden qubit, the visible units factorise, and the linear
factors are averaged in closed form (:mod:`tnqbm.kernels.quadrature`). The work is proportional to
n K**m with K the nodes of a rule: about degree**2 / 3 for three Paulis and half of it for two.
The degree needed grows with the hidden fields, at first like |Phi| and as 8 sqrt(|Phi|) where they
are large. Terms have both signs, since 1 + d.Phi may be negative, but cancel mildly: exp(d.Phi) is
small where it is.

With one Pauli two nodes without linear factor are exact. The sum over the 2**m hidden states of
such a model is an enumeration with visible and hidden units in each other's place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tnqbm.base.forecast import Forecast, nanoseconds
from tnqbm.base.limits import MAX_VISIBLE
from tnqbm.core.model import SqRBM
from tnqbm.core.moments import Moments
from tnqbm.exact.quadrature.sums import CoupledPart, NodeSums, dual_sums
from tnqbm.kernels import sphere

TOLERANCE = 1e-12
"""Two degrees agree if log Z and moments differ by less, times |log Z| where that exceeds 1."""

MAX_OPERATIONS = 2e10
"""Most evaluations of one visible unit at one tuple of nodes: some minutes on one core."""

MAX_COUPLED = 4
"""Most hidden qubits with couplings, for two or three Paulis: four take 6e6 tuples at degree 11."""

LADDER = (
    3, 5, 7, 9, 11, 15, 19, 23, 29, 35, 41, 47, 53, 59, 71, 83, 95, 113, 131, 151, 175, 201, 231,
    265, 305, 351, 405, 465, 535, 615, 707, 813, 935, 1075, 1237, 1423, 1637,
)  # fmt: skip
"""Degrees that are tried one after another; each costs about a third more per hidden qubit."""

_FIRST = 0.5
"""Part of the estimated fields that the first degree is chosen for."""

NS = nanoseconds("quadrature")


@dataclass(frozen=True)
class QuadratureResult:
    """log Z by quadrature and, where they were asked for, the moments.

    ``log_partition`` and ``moments`` at ``degree``, with ``nodes`` per hidden qubit; ``error`` is
    the distance of log Z from its value at the degree tried before, whose error it measures, and
    ``moments_error`` the largest one of the moments. The errors at ``degree`` are far smaller, as
    they fall faster than exponentially with the degree. One Pauli: exact, degree 1 and two nodes.
    """

    log_partition: float
    error: float
    degree: int
    nodes: int
    moments: Moments | None = None
    moments_error: float = 0.0


@dataclass(frozen=True)
class QuadratureForecast(Forecast):
    """What log Z or, if they were asked for, log Z and the moments will take.

    On top of a :class:`tnqbm.base.forecast.Forecast`, whose ``fits`` tells whether the work is
    within the default limits: ``hidden`` qubits with couplings; ``degree`` estimated from the sizes
    of the hidden fields, ``nodes`` per hidden qubit; ``operations`` visible units times tuples of
    nodes, over all degrees that will be tried.
    """

    hidden: int
    degree: int
    nodes: int
    operations: float


def log_partition(
    model: SqRBM,
    degree: int | None = None,
    *,
    tolerance: float = TOLERANCE,
    max_operations: float = MAX_OPERATIONS,
) -> float:
    """log Z = log Tr exp(-H) of a model with few hidden qubits, as :func:`evaluate`."""
    return evaluate(model, degree, tolerance=tolerance, max_operations=max_operations).log_partition


def moments(
    model: SqRBM,
    degree: int | None = None,
    *,
    tolerance: float = TOLERANCE,
    max_operations: float = MAX_OPERATIONS,
) -> Moments:
    """<Z_i>, <sigma_j^P> and <Z_i sigma_j^P> in the Gibbs state, as :func:`evaluate`."""
    result = evaluate(
        model, degree, moments=True, tolerance=tolerance, max_operations=max_operations
    )
    assert result.moments is not None
    return result.moments


def evaluate(
    model: SqRBM,
    degree: int | None = None,
    *,
    moments: bool = False,
    tolerance: float = TOLERANCE,
    max_operations: float = MAX_OPERATIONS,
) -> QuadratureResult:
    """log Z and, with ``moments``, the moments, with what their accuracy rests on.

    Without ``degree``, degrees are raised until two in succession differ by less than
    ``tolerance`` (times |log Z| where that exceeds 1), in log Z and in the moments. With it (5 or
    more), that degree is compared with the one before and nothing is raised if they differ: see the
    result's errors.

    Raises ValueError on impossible arguments, and if ``max_operations`` (visible units times
    tuples of nodes) would be exceeded before two degrees agree.
    """
    part = CoupledPart(model)
    _check(degree, tolerance, max_operations)
    if part.exact:
        _check_dual(part, max_operations)
        log_z, inner = dual_sums(part, moments=moments)
        averages = part.moments(inner) if moments else None
        return QuadratureResult(part.log_constant + log_z, 0.0, 1, 2, averages)
    before, last = _climb(part, degree, tolerance, max_operations, moments=moments)
    log_z, gap = part.log_constant + last.log_partition, _gap(before, last)
    if not moments:
        return QuadratureResult(log_z, gap, last.degree, last.nodes)
    return QuadratureResult(
        log_z, gap, last.degree, last.nodes, part.moments(last.moments), _moments_gap(before, last)
    )


def forecast(
    model: SqRBM, degree: int | None = None, *, moments: bool = False
) -> QuadratureForecast:
    """The cost of log Z or, with ``moments``, of log Z and the moments; no sum is made.

    Raises ValueError on an impossible ``degree``.
    """
    part = CoupledPart(model)
    _check(degree, TOLERANCE, MAX_OPERATIONS)
    n, m, p = part.n_visible, part.n_hidden, part.n_paulis
    units = f"{m} coupled hidden unit{'s' * (m != 1)}"
    if part.exact:
        operations = n * _power(2, m)
        seconds = 1e-9 * (NS["call"] + NS["one_pauli"] * operations) * (1.2 if moments else 1.0)
        fits = m <= MAX_VISIBLE and operations <= MAX_OPERATIONS
        note = f"{units}, one Pauli: 2**{m} hidden states" if m else "no couplings"
        return QuadratureForecast("quadrature", seconds, 1e6, fits, note, m, 1, 2, operations)
    if m > MAX_COUPLED:
        nodes = _n_nodes(LADDER[0], p)
        operations = n * _power(nodes, m)
        seconds = 1e-9 * NS["refused"] * operations * (2.0 if moments else 1.0)
        note = f"{units}: too many, or fields too large"
        return QuadratureForecast(
            "quadrature", seconds, math.inf, False, note, m, LADDER[0], nodes, operations
        )
    degrees = _degrees(part, degree, TOLERANCE)
    enough = degree or _needed(part.field(), TOLERANCE)
    later = (k for k, rung in enumerate(degrees[1:]) if rung >= enough)
    count = 2 + next(later, len(degrees) - 2)
    nodes = _n_nodes(degrees[count - 1], p)
    tuples = [_power(_n_nodes(rung, p), m) for rung in degrees[:count]]
    (each, per_unit), (each_more, per_unit_more) = NS["sum"][m - 1], NS["derivative"][m - 1]
    seconds = 1e-9 * (NS["call"] + (each + per_unit * n) * sum(tuples))
    if moments:
        seconds += 1e-9 * (each_more + per_unit_more * n) * sum(tuples[-2:])
    fits = n * sum(tuples) <= MAX_OPERATIONS and (degree is not None or enough <= LADDER[-1])
    note = f"{units}, degree {degrees[count - 1]}: {nodes} nodes each"
    return QuadratureForecast(
        method="quadrature",
        seconds=seconds,
        bytes=8.0 * (64 * (6 + 3 * m + 2 * m * p) * (n + 8) + nodes * (p + m + 2)),
        fits=fits,
        note=note if fits else f"{units}: too many, or fields too large",
        hidden=m,
        degree=degrees[count - 1],
        nodes=nodes,
        operations=n * sum(tuples),
    )


def _check(degree: int | None, tolerance: float, max_operations: float) -> None:
    if degree is not None and (isinstance(degree, bool) or degree != int(degree) or degree < 5):
        raise ValueError(f"degree must be a whole number, 5 or more, got {degree!r}")
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"tolerance must lie between 0 and 1, got {tolerance!r}")
    if not max_operations > 0.0:
        raise ValueError(f"max_operations must be positive, got {max_operations!r}")


def _check_dual(part: CoupledPart, max_operations: float) -> None:
    operations = part.n_visible * _power(2, part.n_hidden)
    if part.n_hidden > MAX_VISIBLE or operations > max_operations:
        raise ValueError(
            f"{part.n_hidden} hidden units with couplings to {part.n_visible} visible units: the "
            f"sum over 2**{part.n_hidden} hidden states is out of reach (max_operations = "
            f"{max_operations:.1e}, at most {MAX_VISIBLE} units); {_ADVICE}"
        )


def _climb(
    part: CoupledPart,
    degree: int | None,
    tolerance: float,
    max_operations: float,
    *,
    moments: bool,
) -> tuple[NodeSums, NodeSums]:
    """Raise the degree until two in succession agree; those two."""
    if part.n_hidden > MAX_COUPLED:
        raise ValueError(
            f"quadrature takes at most {MAX_COUPLED} hidden qubits with couplings, the model has "
            f"{part.n_hidden}; {_ADVICE}"
        )
    spent, gap = 0.0, math.inf
    before: NodeSums | None = None
    for rung in _degrees(part, degree, tolerance):
        spent += _operations(part, rung)
        if spent > max_operations:
            raise ValueError(
                f"quadrature over {part.n_hidden} hidden qubits and {part.n_visible} visible units "
                f"reached {_reached(before, gap)} and would need {spent:.1e} operations for "
                f"degree {rung} (max_operations = {max_operations:.1e}); {_ADVICE}"
            )
        last = NodeSums(part, rung)
        if before is not None:
            gap = _gap(before, last)
            if degree is not None and math.isfinite(last.log_partition):
                return before, last
            allowed = tolerance * max(1.0, abs(last.log_partition))
            if gap < math.inf and gap <= allowed:
                gap = _moments_gap(before, last) if moments else gap
                if gap <= allowed:
                    return before, last
        before = last
    raise ValueError(
        f"quadrature did not converge: it reached {_reached(before, gap)}, and no rule of higher "
        f"degree {'was asked for' if degree else 'is tried'}; {_ADVICE}"
    )


_ADVICE = (
    "use fewer hidden qubits or smaller weights, exact.log_partition(method='contraction') if each "
    "hidden qubit has few couplings, or mc.log_partition(method='ais' or 'tensor')"
)


def _reached(before: NodeSums | None, gap: float) -> str:
    if before is None:
        return "no degree"
    if gap == math.inf:
        return f"degree {before.degree}"
    return f"degree {before.degree} with a difference of {gap:.1e} to the degree before"


def _gap(before: NodeSums, last: NodeSums) -> float:
    if not (math.isfinite(before.log_partition) and math.isfinite(last.log_partition)):
        return math.inf
    return abs(last.log_partition - before.log_partition)


def _moments_gap(before: NodeSums, last: NodeSums) -> float:
    if not math.isfinite(_gap(before, last)):
        return math.inf
    return float(np.abs(last.moments.to_vector() - before.moments.to_vector()).max())


def _degrees(part: CoupledPart, degree: int | None, tolerance: float) -> list[int]:
    """Degrees to try in turn, two at least."""
    if degree is not None:
        return [max(rung for rung in LADDER if rung < degree), int(degree)]
    first = _needed(_FIRST * part.field(), tolerance)
    return [rung for rung in LADDER if rung >= min(first, LADDER[-2])]


def _needed(field: float, tolerance: float) -> int:
    """Degree at which cosh|Phi| has a relative error below ``tolerance`` for |Phi| = field.

    The first spherical harmonics that a rule of degree D gets wrong are of degree D + 1; their
    part of exp(d.Phi) is (2 D + 3) i_(D+1)(|Phi|), i the modified spherical Bessel function.
    """
    from scipy.special import ive

    if field < 1e-8:
        return LADDER[0]
    for degree in LADDER:
        bessel = math.sqrt(math.pi / (2.0 * field)) * float(ive(degree + 1.5, field))
        if 2.0 * (degree + 1) * (2 * degree + 3) * bessel < tolerance:
            return degree
    return LADDER[-1] + 1


def _operations(part: CoupledPart, degree: int) -> float:
    return part.n_visible * _power(_n_nodes(degree, part.n_paulis), part.n_hidden)


def _power(base: int, exponent: int) -> float:
    """base**exponent as a float, or e**690 where that is more."""
    return math.exp(min(690.0, exponent * math.log(base)))


def _n_nodes(degree: int, n_paulis: int) -> int:
    if degree <= sphere.LEBEDEV[-1]:
        return int(sphere.nodes(degree, n_paulis)[1].size)
    heights = degree // 2 + 1
    return (degree + 1) * (heights if n_paulis == 3 else -(-heights // 2))
