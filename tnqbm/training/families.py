"""Families of models by the names that study files give them: how each is made, and trained.

An sqRBM is trained as such, and so is an sqBM whose hidden qubits are coupled in small groups;
every other model is a sum of Pauli strings, all coefficients of which are trained. A family says
which settings its models have beside sizes and Pauli matrices, all of them texts, so that they can
be coordinates of runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import connectivity
from tnqbm.core.connectivity import DENSE
from tnqbm.core.model import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.hamiltonian.deep_layout import DeepLayout
from tnqbm.hamiltonian.layout import GroupLayout
from tnqbm.hamiltonian.models import qrbm, tfim
from tnqbm.training.costs import Size
from tnqbm.training.deep_family import DeepFamily
from tnqbm.training.family import Family, Float, ModelShape, Targets, check_parts
from tnqbm.training.hamiltonian_families import HamiltonianFamily, SqBMFamily
from tnqbm.training.inputs import uncoupled
from tnqbm.training.problems import Problem, SqRBMProblem

if TYPE_CHECKING:
    from tnqbm.training.settings import TrainingSettings


class SqRBMFamily:
    """Semi-quantum restricted Boltzmann machines, and RBMs as those of one Pauli matrix."""

    name = "sqrbm"
    paulis = ""
    settings: Mapping[str, str] = {}
    couples = True
    most_units: int | None = None

    def coordinates(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {}

    def layout(self, shape: ModelShape) -> GroupLayout | None:
        return None

    def check(self, shape: ModelShape, training: TrainingSettings) -> None:
        check_parts(SqRBMProblem.family, training)

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


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        SqRBMFamily(),
        SqBMFamily(),
        DeepFamily(),
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


def layout_of(coordinates: Mapping[str, Any]) -> GroupLayout | DeepLayout | None:
    """Where parameters stand in runs whose models are :class:`tnqbm.SqBM` or
    :class:`tnqbm.DeepSqRBM`, None for others.

    Errors of :func:`shape_of`.
    """
    return family_of(coordinates).layout(shape_of(coordinates))


def n_parameters(coordinates: Mapping[str, Any]) -> int:
    """How many parameters are trained in runs of these coordinates; errors of :func:`shape_of`."""
    return family_of(coordinates).n_parameters(shape_of(coordinates))
