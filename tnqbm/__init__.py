"""Semi-quantum restricted Boltzmann machines: models, exact evaluation, training, archives.

Public names are loaded when first used, so that ``import tnqbm`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tnqbm.hidden import NEEDED, check_needed

__version__ = "0.1.0"

check_needed(NEEDED)

_EXPORTS = {
    "Archive": "tnqbm.archive",
    "ArchiveError": "tnqbm.errors",
    "Equivalence": "tnqbm.model_tools.equivalence",
    "MissingExtraError": "tnqbm.errors",
    "PauliHamiltonian": "tnqbm.hamiltonian",
    "SqRBM": "tnqbm.model",
    "StudyError": "tnqbm.errors",
    "Target": "tnqbm.datasets",
    "Trainer": "tnqbm.training",
    "TrainingSettings": "tnqbm.settings",
    "Trajectory": "tnqbm.trajectory",
    "equivalent": "tnqbm.model_tools.equivalence",
    "train": "tnqbm.training",
}
_MODULES = (
    "analysis", "archive", "audit", "connectivity", "datasets", "exact", "figures", "hamiltonian",
    "metrics", "model_tools", "networks", "optimizers", "phases", "quadrature", "quality",
    "quantum", "report", "second_order",
)  # fmt: skip

__all__ = ["__version__", *_EXPORTS, *_MODULES]

if TYPE_CHECKING:
    from tnqbm import analysis as analysis
    from tnqbm import archive as archive
    from tnqbm import audit as audit
    from tnqbm import connectivity as connectivity
    from tnqbm import datasets as datasets
    from tnqbm import exact as exact
    from tnqbm import figures as figures
    from tnqbm import hamiltonian as hamiltonian
    from tnqbm import metrics as metrics
    from tnqbm import model_tools as model_tools
    from tnqbm import networks as networks
    from tnqbm import optimizers as optimizers
    from tnqbm import phases as phases
    from tnqbm import quadrature as quadrature
    from tnqbm import quality as quality
    from tnqbm import quantum as quantum
    from tnqbm import report as report
    from tnqbm import second_order as second_order
    from tnqbm.archive import Archive as Archive
    from tnqbm.datasets import Target as Target
    from tnqbm.errors import ArchiveError as ArchiveError
    from tnqbm.errors import MissingExtraError as MissingExtraError
    from tnqbm.errors import StudyError as StudyError
    from tnqbm.hamiltonian import PauliHamiltonian as PauliHamiltonian
    from tnqbm.model import SqRBM as SqRBM
    from tnqbm.model_tools.equivalence import Equivalence as Equivalence
    from tnqbm.model_tools.equivalence import equivalent as equivalent
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
