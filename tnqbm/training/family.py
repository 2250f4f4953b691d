"""What a family of models says: how its models are made, what they cost, how they are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.datasets import Target
from tnqbm.training.costs import Size
from tnqbm.training.problems import Problem

if TYPE_CHECKING:
    from tnqbm.hamiltonian.deep_layout import DeepLayout
    from tnqbm.hamiltonian.layout import GroupLayout
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

    def layout(self, shape: ModelShape) -> GroupLayout | DeepLayout | None:
        """Where parameters stand in models of this shape that are no plain vectors of an sqRBM or
        coefficients of Pauli strings, None for those."""

    def coordinates(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Coordinates of runs that say which models they are of, from settings by name."""

    def check(self, shape: ModelShape, training: TrainingSettings) -> None:
        """ValueError "field: what is wrong" for settings that do not go with its models."""

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


def check_parts(kind: str, training: TrainingSettings) -> None:
    """ValueError if a part of the settings does not serve problems of this kind."""
    for name in ("gradient", "optimizer", "evaluate", "bias_reference"):
        part = getattr(training, name)
        if kind not in part.families:
            raise ValueError(
                f"{name}: {part.name!r} does not serve models of the kind {kind!r}, but "
                f"{' and '.join(map(repr, part.families))}"
            )
