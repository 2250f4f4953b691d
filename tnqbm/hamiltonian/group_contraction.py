"""Exact evaluation of locally coupled sqBMs by contraction of their factor graph.

    p~(v) = prod_i exp(-a_i s_i) prod_(ik) exp(-J_ik s_i s_k) prod_g Tr exp(-H_g(v))

is a product of a vector for each visible unit, a matrix for each coupling of visible units, and a
tensor for each group of hidden qubits over the visible units that it touches. Its contraction is
planned and carried out by :mod:`tnqbm.networks`; the cost is set by the treewidth of the couplings
and not by the number of units. The share of Z that an entry of a group's tensor has is the
probability of these values, from which the averages of the group follow (Demidik et al. 2025,
Proposition 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.forecast import Forecast, Forecasts
from tnqbm.base.limits import MAX_DENSE, available_bytes
from tnqbm.hamiltonian.forecast import group_work
from tnqbm.hamiltonian.group_states import GroupStates, listed_averages, listed_log_weights
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.layout import GroupLayout
from tnqbm.networks.contraction.engines import engine_maker
from tnqbm.networks.contraction.plan import (
    WIDEST_DENSE,
    ContractionForecast,
    engine_for,
    first_plan,
)
from tnqbm.networks.contraction.sweep import Entries, sweep
from tnqbm.networks.factors import Member

Float = NDArray[np.float64]

PAIR = np.array([1.0, -1.0, -1.0, 1.0])
"""s_i s_k of the values (0, 0), (0, 1), (1, 0), (1, 1)."""


class _Part(NamedTuple):
    """A group alone with the visible units that it touches, as a model of their own.

    ``own`` are the entries of its vector that are entries ``whole`` of the model's; the others, its
    visible fields, are 0. Its tensor begins at ``offset``.
    """

    found: GroupStates
    own: NDArray[np.intp]
    whole: NDArray[np.intp]
    offset: int

    @property
    def size(self) -> int:
        """Entries of its tensor: states of its visible units."""
        return 1 << self.found.layout.n

    def vector(self, vector: Float) -> Float:
        """Its parameters, from those of the model."""
        out = np.zeros(self.found.layout.size)
        out[self.own] = vector[self.whole]
        return out


class GroupFactors:
    """The tensors of all sqBMs of a layout; a :class:`tnqbm.networks.factors.FactorGraph`.

    ValueError where a group touches more than 28 visible units.
    """

    def __init__(self, layout: GroupLayout) -> None:
        self.layout = layout
        self.n, self.m, self.n_paulis = layout.n, layout.m, layout.n_paulis
        self.dims = [2] * layout.n
        self.members = [Member(f"v{i}", (i,), 2 * i) for i in range(layout.n)]
        self.size = 2 * layout.n
        self.edges = self.size
        for i, k in layout.visible_edges.tolist():
            self._add(f"v{i}-v{k}", (i, k))
        place = {name: index for index, name in enumerate(layout.names())}
        self.parts = [self._part(group, place) for group in layout.groups]

    @property
    def largest(self) -> int:
        """As :attr:`tnqbm.networks.factors.FactorGraph.largest`."""
        return max((part.size for part in self.parts), default=0)

    def _add(self, tag: str, scope: tuple[int, ...]) -> int:
        offset = self.size
        self.members.append(Member(tag, scope, offset))
        self.size += 2 ** len(scope)
        return offset

    def _part(self, group: tuple[int, ...], place: dict[str, int]) -> _Part:
        layout = self.layout
        # A group that touches nothing has a tensor over unit 0 that does not depend on it.
        units = np.flatnonzero(layout.coupled[:, list(group)].any(axis=1)).tolist() or [0]
        if len(units) > WIDEST_DENSE:
            raise ValueError(
                f"the hidden qubits {', '.join(map(str, group))} are coupled to {len(units)} "
                f"visible units, too many for one tensor: at most {WIDEST_DENSE} are contracted. "
                "Use a mask, or mc.log_partition(method='ais') for an estimate with an error bar"
            )
        hidden = {j: k for k, j in enumerate(group)}
        edges = [(hidden[j], hidden[k]) for j, k in layout.hidden_edges.tolist() if j in hidden]
        alone = GroupLayout(
            len(units), len(group), layout.paulis, layout.coupled[np.ix_(units, list(group))], [],
            edges, layout.hidden_pairs,
        )  # fmt: skip
        own = np.arange(len(units), alone.size)
        whole = [place[_renamed(name, units, group)] for name in alone.names()[len(units) :]]
        offset = self._add("h" + "-".join(map(str, group)), tuple(units))
        return _Part(GroupStates(alone), own, np.array(whole, dtype=np.intp), offset)

    def entries(self, vector: Float) -> Entries:
        """Entries of all members for the model with parameters (size,)."""
        logs = np.empty(self.size)
        a, _, _, couplings, _ = (vector[part] for part in self.layout.parts)
        logs[: 2 * self.n] = (a[:, None] * np.array([-1.0, 1.0])).ravel()
        logs[self.edges :][: 4 * couplings.size] = (-couplings[:, None] * PAIR).ravel()
        for part in self.parts:
            found = listed_log_weights(part.found, part.vector(vector))
            logs[part.offset :][: part.size] = found
        return Entries(logs, np.ones(self.size, dtype=np.int8), 0.0)

    def expectations(self, vector: Float, shares: Float) -> Float:
        """Expectations (size,) of all terms, from the probabilities of all entries' values."""
        out = np.empty(self.layout.size)
        fields, _, _, couplings, _ = self.layout.parts
        out[fields] = shares[: 2 * self.n : 2] - shares[1 : 2 * self.n : 2]
        count = couplings.stop - couplings.start
        out[couplings] = shares[self.edges :][: 4 * count].reshape(count, 4) @ PAIR
        for part in self.parts:
            p = shares[part.offset :][: part.size]
            out[part.whole] = listed_averages(part.found, part.vector(vector), p)[part.own]
        return out


class GroupContraction:
    """Contraction of the factor graphs of sqBMs of one layout: planned once, run often.

    Parameters
    ----------
    layout : ``model.layout`` of an :class:`tnqbm.SqBM`.
    engine, max_bytes, max_operations, seed : as for :class:`tnqbm.exact.Contraction`.

    Raises ValueError or MemoryError, with a forecast and advice, for what will not fit.
    """

    def __init__(
        self,
        layout: GroupLayout,
        *,
        engine: str = "auto",
        max_bytes: float | None = None,
        max_operations: float = 1e13,
        seed: int = 0,
    ) -> None:
        self.layout = layout
        self._factors = GroupFactors(layout)
        if max_bytes is None:
            max_bytes = (available_bytes() or 8 << 30) / 2
        self._engine = engine_for(
            first_plan(self._factors, float(max_bytes)),
            engine_maker(engine),
            max_operations=float(max_operations),
            seed=int(seed),
        )

    @property
    def forecast(self) -> ContractionForecast:
        """Cost of log Z with all expectations."""
        found = self._engine.forecast()
        parts = self._factors.parts
        made = 1e-9 * sum(part.size * _work(part) for part in parts)
        return replace(found, seconds=found.seconds + made)

    def log_partition(self, vector: Float) -> float:
        """log Z = log Tr exp(-H) of the model with parameters (size,)."""
        entries = self._factors.entries(vector)
        return sweep(self._engine, entries, gradients=False).log_partition

    def log_partition_and_expectations(self, vector: Float) -> tuple[float, Float]:
        """log Z and the expectations (size,) of all terms."""
        found = sweep(self._engine, self._factors.entries(vector), gradients=True)
        assert found.shares is not None
        return found.log_partition, self._factors.expectations(vector, found.shares)


def enumeration_forecast(model: SqBM) -> Forecast:
    """What log Z of an sqBM takes by enumeration, on one core."""
    n = model.n_visible
    states = 2.0 ** min(n, 1000)
    note = f"2^{n} states" if n <= MAX_DENSE else f"more than {MAX_DENSE} visible units"
    seconds = 1e-9 * group_work(model.layout).weight * states
    return Forecast("enumeration", seconds, 8.0 * states, n <= MAX_DENSE, note)


def forecasts(model: SqBM, engine: str = "auto") -> Forecasts:
    """What log Z of an sqBM takes by enumeration and by contraction, on one core."""
    try:
        contraction: Forecast = GroupContraction(model.layout, engine=engine).forecast
    except (ValueError, MemoryError) as error:
        contraction = Forecast("contraction", math.inf, math.inf, False, str(error).split(".")[0])
    return Forecasts([enumeration_forecast(model), contraction])


def quick(model: SqBM, seconds: float) -> bool:
    """Whether log Z of an sqBM is known exactly in so many seconds."""
    enumeration = enumeration_forecast(model)
    if enumeration.fits and enumeration.seconds <= seconds:
        return True  # without a plan of a contraction
    return any(each.fits and each.seconds <= seconds for each in forecasts(model))


def exact_log_partition(model: SqBM, method: str = "exact", engine: str = "auto") -> float:
    """log Z of an sqBM by "enumeration", "contraction", or "exact", the faster one.

    ValueError or MemoryError for what is out of reach, and for other methods.
    """
    if method == "enumeration":
        return model.log_partition()
    if method not in ("exact", "contraction"):
        raise ValueError(f"method: log Z of an SqBM is not known by {method!r}; use 'exact'")
    enumeration = enumeration_forecast(model)
    otherwise = method == "exact" and enumeration.fits
    try:
        contraction = GroupContraction(model.layout, engine=engine)
    except (ValueError, MemoryError):
        if not otherwise:
            raise
        return model.log_partition()
    if otherwise and enumeration.seconds <= contraction.forecast.seconds:
        return model.log_partition()
    return contraction.log_partition(model.vector)


def _work(part: _Part) -> float:
    """Nanoseconds that the log weight and the averages of a group take at one state."""
    work = group_work(part.found.layout)
    return work.weight + work.averages


def _renamed(name: str, units: Sequence[int], group: Sequence[int]) -> str:
    """The model's name of a parameter of a group alone."""
    kind, _, inside = name.rstrip("]").partition("[")
    words = inside.split(",")
    if kind == "b":
        words[1] = str(group[int(words[1])])
    elif kind == "w":
        words[1:] = [str(units[int(words[1])]), str(group[int(words[2])])]
    else:
        words[:2] = [str(group[int(word)]) for word in words[:2]]
    return f"{kind}[{','.join(words)}]"
