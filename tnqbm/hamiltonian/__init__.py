"""Hamiltonians of visible and hidden qubits as sums of Pauli strings: the public place.

:class:`PauliHamiltonian` is any of them, with exact log Z, probabilities, expectations, gradients
and entanglement. Families by name are built by :func:`sqbm` (couplings inside both layers),
:func:`qrbm` (any Pauli matrices on the visible units) and :func:`tfim` (transverse-field Ising).
:func:`train` trains any of them; it is loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tnqbm.hamiltonian.models import qrbm, sqbm, tfim
from tnqbm.hamiltonian.operator import PauliHamiltonian

if TYPE_CHECKING:
    from tnqbm.training.hamiltonian import HamiltonianTrainer as HamiltonianTrainer
    from tnqbm.training.hamiltonian import HamiltonianTrajectory as HamiltonianTrajectory
    from tnqbm.training.hamiltonian import train as train

_TRAINING = ("HamiltonianTrainer", "HamiltonianTrajectory", "train")

__all__ = ["PauliHamiltonian", *_TRAINING, "qrbm", "sqbm", "tfim"]


def __getattr__(name: str) -> Any:
    if name in _TRAINING:
        return getattr(importlib.import_module("tnqbm.training.hamiltonian"), name)
    raise AttributeError(f"module 'tnqbm.hamiltonian' has no attribute {name!r}")
