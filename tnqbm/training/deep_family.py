"""The family of deep sqRBMs, for study files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tnqbm.hamiltonian.deep import DeepSqRBM
from tnqbm.hamiltonian.deep_layout import DeepLayout
from tnqbm.training.costs import Size
from tnqbm.training.deep import DeepProblem, check_deep_settings, size_of
from tnqbm.training.family import Float, ModelShape, Targets, check_parts

if TYPE_CHECKING:
    from tnqbm.training.problems import Problem
    from tnqbm.training.settings import TrainingSettings


class DeepFamily:
    """sqRBMs with a second hidden layer, whose size is the setting ``deep``."""

    name = "deep"
    paulis = ""
    settings: Mapping[str, str] = {"deep": "1"}
    couples = False
    most_units: int | None = None

    def coordinates(self, settings: Mapping[str, str]) -> dict[str, str]:
        own = {name: settings.get(name, default) for name, default in self.settings.items()}
        return {"family": self.name, **own}

    def layout(self, shape: ModelShape) -> DeepLayout:
        text = {**self.settings, **shape.settings}["deep"]
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"deep: must be a whole number of units >= 0, not {text!r}")
        return DeepLayout(shape.n_visible, shape.n_hidden, int(text), shape.paulis, shape.mask)

    def check(self, shape: ModelShape, training: TrainingSettings) -> None:
        check_parts(DeepProblem.family, training)
        check_deep_settings(self.layout(shape).n_deep, training)

    def size(self, shape: ModelShape) -> Size:
        return size_of(self.layout(shape))

    def n_parameters(self, shape: ModelShape) -> int:
        layout = self.layout(shape)
        return int(np.count_nonzero(layout.joint.free(layout.joint_mask)))

    def model(self, shape: ModelShape, scale: float, seed: np.random.SeedSequence) -> DeepSqRBM:
        layout = self.layout(shape)
        size = (layout.n, layout.m, layout.n_deep, layout.paulis)
        return DeepSqRBM.uniform(*size, scale=scale, seed=seed, mask=layout.mask)

    def with_fields(self, model: DeepSqRBM, fields: Float) -> DeepSqRBM:
        theta = model.to_vector()
        theta[: model.n_visible] = fields
        return DeepSqRBM.of(model.layout, theta)

    def problem(
        self,
        shape: ModelShape,
        models: Sequence[DeepSqRBM],
        targets: Targets,
        tests: Targets | None = None,
        valids: Targets | None = None,
    ) -> Problem:
        return DeepProblem(models, targets, tests=tests, valids=valids)
