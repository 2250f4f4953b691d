"""Families of models by the names that study files give them: how each is made, and trained.

An sqRBM is trained as such; every other family is a sum of Pauli strings, all coefficients of which
are trained. A family says which settings its models have beside sizes and Pauli matrices, all of
them texts, so that they can be coordinates of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import connectivity, streams
from tnqbm.core.connectivity import DENSE
from tnqbm.core.model import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.datasets import Target
from tnqbm.hamiltonian.models import qrbm, sqbm, tfim
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.hamiltonian.terms import MAX_QUBITS
from tnqbm.training.costs import Size
from tnqbm.training.hamiltonians import HamiltonianProblem, check_settings
from tnqbm.training.inputs import uncoupled
from tnqbm.training.problems import Problem, SqRBMProblem

if TYPE_CHECKING:
    from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
Targets = Sequence[Target]


@dataclass(frozen=True)
class ModelShape:
    """What decides which parameters the models of a run have.

    ``mask`` (n_visible, n_hidden) says which units of different layers are coupled, None if all;
    ``couple`` holds the Paulis that couple to visible units, None for all; ``settings`` are those
    of the family, by name.
    """

    n_visible: int
    n_hidden: int
    paulis: str
    mask: Mask | None = None
    couple: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


class Family(Protocol):
    """A family of models."""

    @property
    def name(self) -> str:
        """What study files and coordinates call it."""

    @property
    def kind(self) -> str:
        """What its problems of training are called (:attr:`Problem.family`)."""

    @property
    def paulis(self) -> str:
        """The Pauli matrices that its hidden units have; "" if they can be chosen."""

    @property
    def settings(self) -> Mapping[str, str]:
        """Settings beside sizes, Pauli matrices and connectivity, with their defaults."""

    @property
    def couples(self) -> bool:
        """Whether some Paulis may be fields only."""

    @property
    def most_units(self) -> int | None:
        """Most units of both layers together, None: any number."""

    def coordinates(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Coordinates of runs that say which models they are of, from settings by name."""

    def check(self, training: TrainingSettings) -> None:
        """ValueError "field: what is wrong" for settings that do not go with the family."""

    def size(self, shape: ModelShape) -> Size:
        """The size of its models; ValueError "setting: what is wrong" if there are none."""

    def n_parameters(self, shape: ModelShape) -> int:
        """How many parameters are trained: those left out by mask and ``couple`` are not."""

    def model(self, shape: ModelShape, scale: float, seed: np.random.SeedSequence) -> Any:
        """A model with parameters that are uniform in [-scale, scale], those left out apart."""

    def with_fields(self, model: Any, fields: Float) -> Any:
        """The model with other fields Z of the visible units, (n_visible,)."""

    def problem(
        self,
        shape: ModelShape,
        models: Sequence[Any],
        targets: Targets,
        tests: Targets | None = None,
        valids: Targets | None = None,
    ) -> Problem:
        """The problem of training these models."""


class SqRBMFamily:
    """Semi-quantum restricted Boltzmann machines, and RBMs as those of one Pauli matrix."""

    name = "sqrbm"
    kind = SqRBMProblem.family
    paulis = ""
    settings: Mapping[str, str] = {}
    couples = True
    most_units: int | None = None

    def coordinates(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {}

    def check(self, training: TrainingSettings) -> None:
        """All settings go with sqRBMs."""

    def size(self, shape: ModelShape) -> Size:
        n, m, paulis = shape.n_visible, shape.n_hidden, shape.paulis
        return Size(n, m, len(paulis), shape.mask, paulis=paulis)

    def n_parameters(self, shape: ModelShape) -> int:
        free = Shape(shape.n_visible, shape.n_hidden, len(shape.paulis)).free(shape.mask)
        frozen = self._frozen(shape)
        return int(np.count_nonzero(free if frozen is None else free & ~frozen))

    def model(self, shape: ModelShape, scale: float, seed: np.random.SeedSequence) -> SqRBM:
        size = (shape.n_visible, shape.n_hidden, shape.paulis)
        model = SqRBM.uniform(*size, scale=scale, seed=seed, mask=shape.mask)
        frozen = self._frozen(shape)
        if frozen is None:
            return model
        return SqRBM.from_vector(np.where(frozen, 0.0, model.to_vector()), *size, model.mask)

    def with_fields(self, model: SqRBM, fields: Float) -> SqRBM:
        return SqRBM(fields, model.b, model.w, model.paulis, model.mask)

    def problem(
        self,
        shape: ModelShape,
        models: Sequence[SqRBM],
        targets: Targets,
        tests: Targets | None = None,
        valids: Targets | None = None,
    ) -> Problem:
        frozen = self._frozen(shape)
        return SqRBMProblem(models, targets, tests=tests, valids=valids, frozen=frozen)

    def _frozen(self, shape: ModelShape) -> NDArray[np.bool_] | None:
        if shape.couple is None:
            return None
        return uncoupled(shape.n_visible, shape.n_hidden, shape.paulis, shape.couple)


@dataclass(frozen=True)
class HamiltonianFamily:
    """Sums of Pauli strings that ``build(n, m, ...)`` makes, one of :mod:`tnqbm.hamiltonian`."""

    name: str
    build: Callable[..., PauliHamiltonian]
    settings: Mapping[str, str]
    paulis: str = ""
    kind: str = HamiltonianProblem.family
    couples: bool = False
    most_units: int | None = MAX_QUBITS

    def coordinates(self, settings: Mapping[str, str]) -> dict[str, str]:
        own = {name: settings.get(name, default) for name, default in self.settings.items()}
        return {"family": self.name, **own}

    def check(self, training: TrainingSettings) -> None:
        check_settings(training)

    def size(self, shape: ModelShape) -> Size:
        mask = shape.mask
        key = None if mask is None else mask.tobytes()
        settings = tuple(sorted(shape.settings.items()))
        return _size(self.name, shape.n_visible, shape.n_hidden, shape.paulis, key, settings)

    def n_parameters(self, shape: ModelShape) -> int:
        return self.size(shape).n_parameters

    def model(
        self, shape: ModelShape, scale: float, seed: np.random.SeedSequence
    ) -> PauliHamiltonian:
        given: dict[str, Any] = {**self.settings, **shape.settings}
        if not self.paulis:
            given["paulis"] = shape.paulis
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


@lru_cache(maxsize=256)
def _size(
    name: str,
    n: int,
    m: int,
    paulis: str,
    mask: bytes | None,
    settings: tuple[tuple[str, str], ...],
) -> Size:
    """The size of Hamiltonians, from their terms; those of large models take a while."""
    coupled = None if mask is None else np.frombuffer(mask, np.bool_).reshape(n, m)
    shape = ModelShape(n, m, paulis, coupled, settings=dict(settings))
    model = FAMILIES[name].model(shape, 0.0, streams.sequence(0))
    found = Size(n, m, len(paulis), coupled, paulis=paulis)
    return found._replace(terms=len(model.terms), forecast=model.forecast())


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        SqRBMFamily(),
        HamiltonianFamily(
            "sqbm", sqbm, {"visible_edges": "all", "hidden_edges": "all", "hidden_pairs": "all"}
        ),
        HamiltonianFamily("qrbm", qrbm, {"visible_paulis": "XYZ", "interactions": "all"}),
        HamiltonianFamily(
            "tfim",
            tfim,
            {"visible_paulis": "XZ", "visible_edges": "none", "hidden_edges": "none"},
            paulis="XZ",
        ),
    )
}
"""All families, by name."""

DEFAULT = SqRBMFamily.name
"""The family of runs that do not name theirs."""


def family_of(coordinates: Mapping[str, Any]) -> Family:
    """The family of a run; ValueError for one that is not known."""
    name = str(coordinates.get("family", DEFAULT))
    if name not in FAMILIES:
        raise ValueError(f"family {name!r} is not known; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def shape_of(coordinates: Mapping[str, Any]) -> ModelShape:
    """What the coordinates of a run say of its models' parameters.

    ValueError for an unknown family or connectivity, and sizes that do not fit.
    """
    settings = family_of(coordinates).settings
    n, m = int(coordinates["visible"]), int(coordinates["hidden"])
    return ModelShape(
        n,
        m,
        str(coordinates["paulis"]),
        connectivity.named(str(coordinates.get("connectivity", DENSE)), n, m),
        coordinates.get("couple"),
        {name: str(coordinates.get(name, default)) for name, default in settings.items()},
    )


def n_parameters(coordinates: Mapping[str, Any]) -> int:
    """How many parameters are trained in runs of these coordinates; errors of :func:`shape_of`."""
    return family_of(coordinates).n_parameters(shape_of(coordinates))


def check_parts(kind: str, training: TrainingSettings) -> None:
    """ValueError if a part of the settings does not serve problems of this kind."""
    for name in ("gradient", "optimizer", "evaluate", "bias_reference"):
        part = getattr(training, name)
        if kind not in part.families:
            raise ValueError(
                f"{name}: {part.name!r} does not serve models of the kind {kind!r}, but "
                f"{' and '.join(map(repr, part.families))}"
            )
