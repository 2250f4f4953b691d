"""Families of models with couplings inside the layers, and of Pauli sums of any kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import streams
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.grouping import layout_of, uniform
from tnqbm.hamiltonian.layout import GroupLayout, hidden_groups
from tnqbm.hamiltonian.models import edge_list, sqbm
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.hamiltonian.terms import MAX_QUBITS
from tnqbm.kernels.group_traces import MAX_GROUP
from tnqbm.training.costs import Size
from tnqbm.training.family import Float, ModelShape, Targets, check_parts
from tnqbm.training.groups import SqBMProblem, check_group_settings, size_of
from tnqbm.training.hamiltonians import HamiltonianProblem, check_settings
from tnqbm.training.problems import Problem

if TYPE_CHECKING:
    from tnqbm.training.settings import TrainingSettings

MAX_PAIRED = 2048
"""Most units of models whose layers may have couplings of all pairs of units."""


@dataclass(frozen=True)
class _Key:
    """A shape with its settings, as caches take it."""

    n: int
    m: int
    paulis: str
    mask: bytes | None
    settings: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, shape: ModelShape, settings: Mapping[str, str]) -> _Key:
        mask = None if shape.mask is None else shape.mask.tobytes()
        given = tuple(sorted(settings.items()))
        return cls(shape.n_visible, shape.n_hidden, shape.paulis, mask, given)

    @property
    def coupled(self) -> NDArray[np.bool_] | None:
        """The mask (n, m)."""
        if self.mask is None:
            return None
        return np.frombuffer(self.mask, np.bool_).reshape(self.n, self.m)


@dataclass(frozen=True)
class HamiltonianFamily:
    """Sums of Pauli strings that ``build(n, m, ...)`` makes, one of :mod:`tnqbm.hamiltonian`."""

    name: str
    build: Callable[..., PauliHamiltonian]
    settings: Mapping[str, str]
    paulis: str = ""
    couples: bool = False
    most_units: int | None = MAX_QUBITS

    def coordinates(self, settings: Mapping[str, str]) -> dict[str, str]:
        own = {name: settings.get(name, default) for name, default in self.settings.items()}
        return {"family": self.name, **own}

    def layout(self, shape: ModelShape) -> GroupLayout | None:
        return None

    def check(self, shape: ModelShape, training: TrainingSettings) -> None:
        check_settings(training)
        check_parts(HamiltonianProblem.family, training)

    def size(self, shape: ModelShape) -> Size:
        return _size(self.build, _Key.of(shape, self._arguments(shape)))

    def n_parameters(self, shape: ModelShape) -> int:
        return self.size(shape).n_parameters

    def model(
        self, shape: ModelShape, scale: float, seed: np.random.SeedSequence
    ) -> PauliHamiltonian:
        given: dict[str, Any] = self._arguments(shape)
        return self.build(
            shape.n_visible, shape.n_hidden, mask=shape.mask, scale=scale, seed=seed, **given
        )

    def with_fields(self, model: PauliHamiltonian, fields: Float) -> PauliHamiltonian:
        n, q = model.n_visible, model.n_qubits
        own = {"I" * i + "Z" + "I" * (q - i - 1): float(fields[i]) for i in range(n)}
        return model.with_coefficients([own.get(term, c) for term, c in model.terms.items()])

    def problem(
        self,
        shape: ModelShape,
        models: Sequence[PauliHamiltonian],
        targets: Targets,
        tests: Targets | None = None,
        valids: Targets | None = None,
    ) -> Problem:
        return HamiltonianProblem(models, targets, tests=tests, valids=valids)

    def _arguments(self, shape: ModelShape) -> dict[str, str]:
        """Keywords of ``build`` beside sizes, mask and parameters."""
        paulis = {} if self.paulis else {"paulis": shape.paulis}
        return {**self.settings, **shape.settings, **paulis}


@lru_cache(maxsize=256)
def _size(build: Callable[..., PauliHamiltonian], key: _Key) -> Size:
    """The size of Hamiltonians, from their terms; those of large models take a while."""
    n, m, coupled = key.n, key.m, key.coupled
    given: dict[str, Any] = dict(key.settings)
    model = build(n, m, mask=coupled, scale=0.0, seed=streams.sequence(0), **given)
    found = Size(n, m, len(key.paulis), coupled, paulis=key.paulis)
    return found._replace(terms=len(model.terms), forecast=model.forecast())


class SqBMFamily:
    """sqBMs: of small hidden groups at any size (:class:`SqBM`), others as Pauli sums.

    Which of the two a model is follows from its shape: hidden qubits that ``hidden_edges`` connect
    are a group, and groups have at most four.
    """

    name = "sqbm"
    paulis = ""
    settings: Mapping[str, str] = {
        "visible_edges": "all", "hidden_edges": "all", "hidden_pairs": "all",
    }  # fmt: skip
    couples = True
    most_units: int | None = MAX_PAIRED
    dense = HamiltonianFamily(name, sqbm, settings)
    """The family as Pauli sums, of any groups."""

    def coordinates(self, settings: Mapping[str, str]) -> dict[str, str]:
        return self.dense.coordinates(settings)

    def layout(self, shape: ModelShape) -> GroupLayout | None:
        units = shape.n_visible + shape.n_hidden
        if units > MAX_PAIRED:
            raise ValueError(f"{units} units are more than the {MAX_PAIRED} of this family")
        own = {name: shape.settings.get(name, value) for name, value in self.settings.items()}
        return _layout(_Key.of(shape, own))

    def check(self, shape: ModelShape, training: TrainingSettings) -> None:
        layout = self.layout(shape)
        if layout is None and shape.couple is not None:
            raise ValueError(f"couple: is for small groups; {self._why_dense(shape)}")
        if layout is not None:
            check_group_settings(training)
            check_parts(SqBMProblem.family, training)
            return
        try:
            self.dense.check(shape, training)
        except ValueError as error:
            raise ValueError(f"{error} ({self._why_dense(shape)})") from None

    def size(self, shape: ModelShape) -> Size:
        layout = self.layout(shape)
        if layout is not None:
            return size_of(layout)
        units = shape.n_visible + shape.n_hidden
        if units > MAX_QUBITS:
            raise ValueError(
                f"{units} units are more than the {MAX_QUBITS} of a Pauli sum; "
                f"{self._why_dense(shape)}"
            )
        return self.dense.size(shape)

    def n_parameters(self, shape: ModelShape) -> int:
        layout = self.layout(shape)
        held = 0 if layout is None else int(layout.fields_only(shape.couple).sum())
        return self.size(shape).n_parameters - held

    def model(self, shape: ModelShape, scale: float, seed: np.random.SeedSequence) -> Any:
        layout = self.layout(shape)
        if layout is None:
            return self.dense.model(shape, scale, seed)
        theta = uniform(layout, scale, seed)
        return SqBM.of(layout, np.where(layout.fields_only(shape.couple), 0.0, theta))

    def with_fields(self, model: Any, fields: Float) -> Any:
        if not isinstance(model, SqBM):
            return self.dense.with_fields(model, fields)
        theta = model.to_vector()
        theta[model.layout.parts[0]] = fields
        return model.with_coefficients(theta)

    def problem(
        self,
        shape: ModelShape,
        models: Sequence[Any],
        targets: Targets,
        tests: Targets | None = None,
        valids: Targets | None = None,
    ) -> Problem:
        layout = self.layout(shape)
        if layout is None:
            return self.dense.problem(shape, models, targets, tests, valids)
        held = layout.fields_only(shape.couple)
        return SqBMProblem(models, targets, tests=tests, valids=valids, frozen=held)

    def _why_dense(self, shape: ModelShape) -> str:
        edges = {**self.settings, **shape.settings}["hidden_edges"]
        largest = _largest_group(shape.n_hidden, edges)
        return (
            f"hidden_edges = {edges!r} couples {largest} hidden qubits with one another; groups of "
            f"at most {MAX_GROUP}, such as 'groups-4', are trained at any size, also by chains"
        )


@lru_cache(maxsize=16)
def _layout(key: _Key) -> GroupLayout | None:
    """The layout of an sqBM of small groups, None for others."""
    own = dict(key.settings)
    visible, hidden = own["visible_edges"], own["hidden_edges"]
    if _largest_group(key.m, hidden) > MAX_GROUP:
        edge_list("visible_edges", visible, key.n)
        return None
    pairs = own["hidden_pairs"]
    return layout_of(key.n, key.m, visible, hidden, key.paulis, pairs, key.coupled)


def _largest_group(m: int, hidden_edges: str) -> int:
    return max(map(len, hidden_groups(m, edge_list("hidden_edges", hidden_edges, m))), default=0)
