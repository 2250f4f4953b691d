"""What tensor networks show of an sqRBM: a hidden qubit is not P classical bits.

Two kinds of Schmidt spectra along an order of the visible units. Of every hidden unit's factor
2 cosh|Phi_j(v)|: a product of P classical hidden units has bond dimension 2^P, and one classical
unit 2; the factor of one qubit with P > 1 Paulis has full rank, and a bond dimension at a finite
precision that grows with the precision and the weights. And of the whole model's amplitude
sqrt(p~(v)) and weight p~(v), whose bond dimensions say what a matrix product state must hold.

:func:`report` measures both, :func:`classical_twin` makes the RBM to compare with, and
:mod:`tnqbm.figures.structure` draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.process import one_thread
from tnqbm.base.text import short_repr
from tnqbm.core.model import SqRBM
from tnqbm.exact.enumerator import Enumerator
from tnqbm.model_tools.spectra import RESOLUTION, factor_spectra, schmidt_spectra
from tnqbm.networks.amplitude.amplitude import AmplitudeMPS

__all__ = [
    "ChainStructure",
    "StructureReport",
    "UnitStructure",
    "classical_twin",
    "entropy",
    "numerical_bond",
    "report",
]

Float = NDArray[np.float64]
Int = NDArray[np.int64]

PRECISIONS = (1e-4, 1e-8, 1e-12)
"""Relative errors, in the norm over all states, that bond dimensions are reported for."""

FINEST = 1e-12
"""Finest precision that double precision resolves here."""

MAX_EXACT = 22
"""Most visible units of a whole model whose 2^n amplitudes are decomposed as they are."""

SHOWN_UNITS = 8
"""Hidden units looked at if none are named and there are more."""


def numerical_bond(values: ArrayLike, precision: float) -> int:
    """Least bond dimension that is right to ``precision``.

    ``values`` (r,) are Schmidt values in falling order. Keeping the largest chi of them leaves a
    relative error sqrt(sum_{k > chi} values_k^2 / sum_k values_k^2) in the norm over all states,
    which is the least for this chi (Eckart and Young, Psychometrika 1, 211 (1936)); returned is the
    least chi whose error is at most ``precision``.
    """
    squares = np.square(np.asarray(values, dtype=np.float64))
    tails = np.cumsum(squares[::-1])[::-1]
    return int(np.count_nonzero(tails > precision**2 * tails[0]))


def entropy(values: ArrayLike) -> float:
    """Entanglement entropy -sum_k q_k log q_k (nats), q the normalised squares of ``values``."""
    q = np.square(np.asarray(values, dtype=np.float64))
    q = q[q > 0] / q.sum()
    return float(max(0.0, -(q * np.log(q)).sum()))


@short_repr
@dataclass(frozen=True, eq=False)
class UnitStructure:
    """Schmidt spectra of one hidden unit's factor 2 cosh|Phi_j(v)| along its k visible units.

    ``hidden`` is the unit's index j; ``neighbours`` (k,) the visible units it is coupled to in the
    order of the chain; ``spectra`` the Schmidt values at the cuts 1 .. k-1 (squares sum to 1, none
    for k < 2); ``log_norm`` the log of the root of sum_v (2 cosh|Phi_j(v)|)^2 over the 2^k states;
    ``bonds`` (precisions, k-1) the least bond dimensions; ``classical`` the bond dimension of P
    classical hidden units, 2^P, or less if k units do not allow more.
    """

    hidden: int
    neighbours: Int
    spectra: tuple[Float, ...]
    log_norm: float
    bonds: Int
    classical: int

    @property
    def spectrum(self) -> Float:
        """Schmidt values at the middle cut; [1] for fewer than two neighbours."""
        return self.spectra[(len(self.spectra) - 1) // 2] if self.spectra else np.ones(1)

    @property
    def ranks(self) -> Int:
        """Largest bond dimension over all cuts at each precision, (precisions,)."""
        return np.asarray(self.bonds.max(axis=1, initial=1))

    def as_dict(self) -> dict[str, Any]:
        """For JSON; of the spectra only the middle one, down to rounding."""
        return {
            "hidden": self.hidden,
            "neighbours": self.neighbours.tolist(),
            "log_norm": self.log_norm,
            "ranks": self.ranks.tolist(),
            "classical": self.classical,
            "bonds": self.bonds.tolist(),
            "spectrum": _resolved(self.spectrum, RESOLUTION),
        }


@short_repr
@dataclass(frozen=True, eq=False)
class ChainStructure:
    """Schmidt spectra of a whole model along a chain of its n visible units.

    ``quantity`` is "amplitude", sqrt(p~(v)), or "weight", p~(v); ``source`` "exact" or "mps", a
    fitted matrix product state. ``spectra`` holds the Schmidt values at the cuts 1 .. n-1 (squares
    sum to 1), ``entropies`` (n-1,) their entropies in nats, ``bonds`` (precisions, n-1) the least
    bond dimensions, 0 at precisions finer than ``resolution``: the root of a fit's infidelity.
    """

    quantity: Literal["amplitude", "weight"]
    source: Literal["exact", "mps"]
    spectra: tuple[Float, ...]
    entropies: Float
    bonds: Int
    resolution: float

    def bond_dimensions(self, precision: float) -> Int:
        """Least bond dimension at every cut for a relative error ``precision``, (n-1,).

        Raises ValueError for a precision finer than the source resolves.
        """
        if precision < self.resolution:
            raise ValueError(
                f"a precision of {precision:g} is finer than the {self.resolution:.1g} that this "
                f"{self.quantity} is known to; ask for a coarser one"
                + (", or fit with a larger bond dimension" if self.source == "mps" else "")
            )
        return np.array([numerical_bond(s, precision) for s in self.spectra], dtype=np.int64)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; of the spectra only the middle one. Unresolved bond dimensions are None."""
        spectrum = self.spectra[(len(self.spectra) - 1) // 2] if self.spectra else np.ones(1)
        return {
            "quantity": self.quantity,
            "source": self.source,
            "resolution": self.resolution,
            "entropies": self.entropies.tolist(),
            "bonds": [[int(chi) or None for chi in row] for row in self.bonds],
            "spectrum": _resolved(spectrum, RESOLUTION),
        }


@dataclass(frozen=True, eq=False)
class StructureReport:
    """Schmidt spectra of a model's hidden factors and of the whole, made by :func:`report`.

    ``order`` (n,) says which visible unit stands at each place of the chain. ``amplitude`` and
    ``weight`` are None where they were not asked for; ``weight`` also for fitted models.
    """

    paulis: str
    n_visible: int
    n_hidden: int
    n_parameters: int
    precisions: tuple[float, ...]
    order: Int
    units: tuple[UnitStructure, ...]
    amplitude: ChainStructure | None
    weight: ChainStructure | None

    def as_dict(self) -> dict[str, Any]:
        """All figures in types that JSON knows."""
        return {
            "paulis": self.paulis,
            "visible": self.n_visible,
            "hidden": self.n_hidden,
            "parameters": self.n_parameters,
            "precisions": list(self.precisions),
            "order": self.order.tolist(),
            "units": [unit.as_dict() for unit in self.units],
            "amplitude": self.amplitude.as_dict() if self.amplitude else None,
            "weight": self.weight.as_dict() if self.weight else None,
        }


def report(
    model: SqRBM,
    *,
    order: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    precisions: Sequence[float] = PRECISIONS,
    hidden: Sequence[int] | None = None,
    whole: bool = True,
    amplitude: AmplitudeMPS | None = None,
    max_bond: int = 128,
    seed: int = 0,
) -> StructureReport:
    """Schmidt spectra and bond dimensions of a model's hidden factors and of the whole model.

    Parameters
    ----------
    order : (n,) the visible unit at each place of the chain; None is 0 .. n-1, or the order that a
        fitted amplitude has.
    precisions : relative errors that bond dimensions are reported for, between 1e-12 and 1.
    hidden : hidden units to look at, 0-based; None takes all, or 8 evenly spread ones of more.
        Exact for any number of neighbours; see :func:`tnqbm.model_tools.spectra.factor_spectra`.
    whole : also decompose the whole model. Up to 22 visible units all 2^n amplitudes are (some
        seconds at 20); more are fitted by an :class:`tnqbm.networks.AmplitudeMPS` with ``max_bond``
        and ``seed``, which takes the amplitude only, down to its infidelity.
    amplitude : a fit of this model made before, taken instead.

    Raises ValueError or TypeError on impossible arguments, MemoryError where a hidden unit's
    spectrum is out of reach.
    """
    n = model.n_visible
    precisions = _checked_precisions(precisions)
    chosen = _checked_hidden(hidden, model.n_hidden)
    if amplitude is not None and amplitude.n_visible != n:
        raise ValueError(f"amplitude has {amplitude.n_visible} visible units, the model {n}")
    if amplitude is not None and order is not None:
        raise ValueError("order belongs to the fit that amplitude holds; leave order out")
    places = np.arange(n) if order is None else _checked_order(order, n)
    with one_thread():
        if whole and amplitude is None and n > MAX_EXACT:
            wanted: Any = "auto" if order is None else places
            amplitude = AmplitudeMPS.fit(model, max_bond=max_bond, order=wanted, seed=seed)
        if amplitude is not None:
            places = np.asarray(amplitude.order, dtype=np.int64)
        units = tuple(_unit(model, j, places, precisions) for j in chosen)
        chains: list[ChainStructure | None] = [None, None]
        if amplitude is not None:
            chains[0] = _fitted(amplitude, model, precisions, seed)
        elif whole:
            log_weights = _log_weights(model, places)
            chains = [
                _exact("amplitude", 0.5 * log_weights, precisions),
                _exact("weight", log_weights, precisions),
            ]
    return StructureReport(
        model.paulis,
        n,
        model.n_hidden,
        model.n_parameters,
        precisions,
        places,
        units,
        *chains,
    )


def classical_twin(model: SqRBM) -> SqRBM:
    """The RBM with P m hidden units that has the same numbers as the model's parameters.

    Hidden unit p m + j of the twin has the field b[p, j] and the couplings w[p, :, j], so that
    cosh|Phi_j| is replaced by prod_p cosh Phi_j^p: a hidden qubit by P classical bits, with as many
    parameters (paper, Table 1). It is not the same distribution, nor is there an RBM of this size
    that is.
    """
    p, n, m = model.w.shape
    mask = None if model.mask is None else np.tile(model.mask, (1, p))
    w = model.w.transpose(1, 0, 2).reshape(1, n, p * m)
    return SqRBM(model.a, model.b.reshape(1, p * m), w, "Z", mask=mask)


def _unit(model: SqRBM, j: int, places: Int, precisions: tuple[float, ...]) -> UnitStructure:
    coupled = np.any(model.w[:, :, j] != 0.0, axis=0)
    if model.mask is not None:
        coupled |= model.mask[:, j]
    neighbours = places[coupled[places]]
    down_to = min(precisions)
    spectra, log_norm = factor_spectra(model.b[:, j], model.w[:, neighbours, j], down_to=down_to)
    return UnitStructure(
        j,
        neighbours,
        tuple(spectra),
        log_norm,
        _bonds(spectra, precisions),
        2 ** min(len(model.paulis), neighbours.size // 2),
    )


def _log_weights(model: SqRBM, places: Int) -> Float:
    """log p~ of all 2^n states, the unit at the first place the most significant bit."""
    moved = SqRBM(model.a[places], model.b, model.w[:, places], model.paulis)
    enumerator = Enumerator(model.shape)
    return np.asarray(enumerator.log_weights(moved.to_vector()))


def _exact(
    quantity: Literal["amplitude", "weight"], log_values: Float, precisions: tuple[float, ...]
) -> ChainStructure:
    spectra, _ = schmidt_spectra(log_values)
    return _chain(quantity, "exact", spectra, precisions, RESOLUTION)


def _fitted(
    amplitude: AmplitudeMPS, model: SqRBM, precisions: tuple[float, ...], seed: int
) -> ChainStructure:
    infidelity, error = amplitude.infidelity(model, seed=seed)
    spectra = [
        np.asarray(amplitude.schmidt_values(cut), dtype=np.float64)
        for cut in range(amplitude.n_visible - 1)
    ]
    # An estimate by sampling may come out at zero or below; its error bounds it then.
    resolution = float(np.sqrt(max(infidelity, error, RESOLUTION**2)))
    return _chain("amplitude", "mps", spectra, precisions, resolution)


def _chain(
    quantity: Literal["amplitude", "weight"],
    source: Literal["exact", "mps"],
    spectra: Sequence[Float],
    precisions: tuple[float, ...],
    resolution: float,
) -> ChainStructure:
    bonds = _bonds(spectra, precisions)
    bonds[np.asarray(precisions) < resolution] = 0
    entropies = np.array([entropy(values) for values in spectra], dtype=np.float64)
    return ChainStructure(quantity, source, tuple(spectra), entropies, bonds, resolution)


def _bonds(spectra: Sequence[Float], precisions: tuple[float, ...]) -> Int:
    table = [[numerical_bond(values, one) for values in spectra] for one in precisions]
    return np.array(table, dtype=np.int64).reshape(len(precisions), len(spectra))


def _resolved(values: Float, resolution: float) -> list[float]:
    return [float(value) for value in values[values >= resolution]]


def _checked_precisions(precisions: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(one) for one in np.atleast_1d(precisions))
    if not values:
        raise ValueError("precisions is empty: give at least one, such as (1e-4,)")
    for one in values:
        if not FINEST <= one < 1.0:
            raise ValueError(
                f"precisions must be between {FINEST:g}, what double precision resolves, and 1; "
                f"got {one:g}"
            )
    return values


def _checked_hidden(hidden: Sequence[int] | None, m: int) -> list[int]:
    if hidden is None:
        return [round(one) for one in np.linspace(0, m - 1, min(m, SHOWN_UNITS)).tolist()]
    chosen = np.atleast_1d(np.asarray(hidden))
    if chosen.size and chosen.dtype.kind not in "iu":
        raise TypeError(f"hidden must list whole numbers, got dtype {chosen.dtype}")
    for j in chosen.tolist():
        if not 0 <= j < m:
            raise ValueError(f"hidden unit {j} does not exist; there are 0 to {m - 1} of them")
    return [int(j) for j in chosen]


def _checked_order(order: ArrayLike, n: int) -> Int:
    places = np.asarray(order)
    if places.shape != (n,) or not np.array_equal(np.sort(places), np.arange(n)):
        raise ValueError(f"order must hold each of the {n} visible units 0 to {n - 1} once")
    return places.astype(np.int64)
