"""Semi-quantum restricted Boltzmann machines: models, exact evaluation, training, archives.

Public names are loaded when first used, so that ``import tnqbm`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "Archive": "tnqbm.archive",
    "ArchiveError": "tnqbm.errors",
    "MissingExtraError": "tnqbm.errors",
    "PauliHamiltonian": "tnqbm.hamiltonian",
    "SqRBM": "tnqbm.model",
    "StudyError": "tnqbm.errors",
    "Target": "tnqbm.datasets",
    "Trainer": "tnqbm.training",
    "TrainingSettings": "tnqbm.settings",
    "Trajectory": "tnqbm.trajectory",
    "train": "tnqbm.training",
}
_MODULES = (
    "analysis", "archive", "connectivity", "datasets", "exact", "figures", "figures_resources",
    "figures_samples", "figures_structure", "hamiltonian", "metrics", "networks", "optimizers",
    "phases", "quadrature", "quality", "quantum",
)  # fmt: skip

__all__ = ["__version__", *_EXPORTS, *_MODULES]

if TYPE_CHECKING:
    from tnqbm import analysis as analysis
    from tnqbm import archive as archive
    from tnqbm import connectivity as connectivity
    from tnqbm import datasets as datasets
    from tnqbm import exact as exact
    from tnqbm import figures as figures
    from tnqbm import figures_resources as figures_resources
    from tnqbm import figures_samples as figures_samples
    from tnqbm import figures_structure as figures_structure
    from tnqbm import hamiltonian as hamiltonian
    from tnqbm import metrics as metrics
    from tnqbm import networks as networks
    from tnqbm import optimizers as optimizers
    from tnqbm import phases as phases
    from tnqbm import quadrature as quadrature
    from tnqbm import quality as quality
    from tnqbm import quantum as quantum
    from tnqbm.archive import Archive as Archive
    from tnqbm.datasets import Target as Target
    from tnqbm.errors import ArchiveError as ArchiveError
    from tnqbm.errors import MissingExtraError as MissingExtraError
    from tnqbm.errors import StudyError as StudyError
    from tnqbm.hamiltonian import PauliHamiltonian as PauliHamiltonian
    from tnqbm.model import SqRBM as SqRBM
    from tnqbm.settings import TrainingSettings as TrainingSettings
    from tnqbm.training import Trainer as Trainer
    from tnqbm.training import train as train
    from tnqbm.trajectory import Trajectory as Trajectory


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"tnqbm.{name}")
    raise AttributeError(f"module 'tnqbm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
