"""Quantum circuits of sqRBMs for Qiskit: hidden thermal states, Gibbs states, proposals, averages.

Needs the extra ``quantum`` (:class:`tnqbm.MissingExtraError` without it), but for resource
estimates, product formulas and surrogate models, which are calculations. Public names are loaded
when first used: Qiskit takes a second to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "Device": "tnqbm.quantum.devices",
    "EnhancedChain": "tnqbm.quantum.enhanced",
    "GibbsCircuit": "tnqbm.quantum.gibbs",
    "IsingSurrogate": "tnqbm.quantum.surrogate",
    "HamiltonianPhase": "tnqbm.quantum.hamiltonian_phase",
    "Measured": "tnqbm.quantum.sampler",
    "Patience": "tnqbm.quantum.jobs",
    "PauliAverages": "tnqbm.quantum.pauli_averages",
    "Postselected": "tnqbm.quantum.postselection",
    "QiskitGibbs": "tnqbm.quantum.sampler",
    "Resources": "tnqbm.quantum.resources",
    "Shape": "tnqbm.quantum.resources",
    "Spent": "tnqbm.quantum.spent",
    "TooFewShotsError": "tnqbm.quantum.spent",
    "bits_from_bit_array": "tnqbm.quantum.endian",
    "bits_from_counts": "tnqbm.quantum.endian",
    "estimate": "tnqbm.quantum.resources",
    "expand_surrogate": "tnqbm.quantum.surrogate",
    "fit_surrogate": "tnqbm.quantum.surrogate",
    "from_sparse_pauli_op": "tnqbm.quantum.endian",
    "gibbs_circuit": "tnqbm.quantum.gibbs",
    "hidden_thermal_circuit": "tnqbm.quantum.thermal",
    "open_device": "tnqbm.quantum.devices",
    "postselect": "tnqbm.quantum.postselection",
    "proposal_circuit": "tnqbm.quantum.proposal",
    "proposal_matrix": "tnqbm.quantum.proposal",
    "thermal_angles": "tnqbm.quantum.thermal",
    "thermal_template": "tnqbm.quantum.thermal",
    "to_sparse_pauli_op": "tnqbm.quantum.endian",
    "trotterise": "tnqbm.quantum.trotter",
}

_WITHOUT_QISKIT = frozenset({"jobs", "resources", "spent", "surrogate", "trotter"})
"""Modules that calculate, without a circuit."""

__all__ = list(_EXPORTS)

if TYPE_CHECKING:
    from tnqbm.quantum.devices import Device as Device
    from tnqbm.quantum.devices import open_device as open_device
    from tnqbm.quantum.endian import bits_from_bit_array as bits_from_bit_array
    from tnqbm.quantum.endian import bits_from_counts as bits_from_counts
    from tnqbm.quantum.endian import from_sparse_pauli_op as from_sparse_pauli_op
    from tnqbm.quantum.endian import to_sparse_pauli_op as to_sparse_pauli_op
    from tnqbm.quantum.enhanced import EnhancedChain as EnhancedChain
    from tnqbm.quantum.gibbs import GibbsCircuit as GibbsCircuit
    from tnqbm.quantum.gibbs import gibbs_circuit as gibbs_circuit
    from tnqbm.quantum.hamiltonian_phase import HamiltonianPhase as HamiltonianPhase
    from tnqbm.quantum.jobs import Patience as Patience
    from tnqbm.quantum.pauli_averages import PauliAverages as PauliAverages
    from tnqbm.quantum.postselection import Postselected as Postselected
    from tnqbm.quantum.postselection import postselect as postselect
    from tnqbm.quantum.proposal import proposal_circuit as proposal_circuit
    from tnqbm.quantum.proposal import proposal_matrix as proposal_matrix
    from tnqbm.quantum.resources import Resources as Resources
    from tnqbm.quantum.resources import Shape as Shape
    from tnqbm.quantum.resources import estimate as estimate
    from tnqbm.quantum.sampler import Measured as Measured
    from tnqbm.quantum.sampler import QiskitGibbs as QiskitGibbs
    from tnqbm.quantum.spent import Spent as Spent
    from tnqbm.quantum.spent import TooFewShotsError as TooFewShotsError
    from tnqbm.quantum.surrogate import IsingSurrogate as IsingSurrogate
    from tnqbm.quantum.surrogate import expand_surrogate as expand_surrogate
    from tnqbm.quantum.surrogate import fit_surrogate as fit_surrogate
    from tnqbm.quantum.thermal import hidden_thermal_circuit as hidden_thermal_circuit
    from tnqbm.quantum.thermal import thermal_angles as thermal_angles
    from tnqbm.quantum.thermal import thermal_template as thermal_template
    from tnqbm.quantum.trotter import trotterise as trotterise


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        module = _EXPORTS[name]
        if module.rpartition(".")[2] not in _WITHOUT_QISKIT:
            from tnqbm.quantum.extra import need_qiskit

            need_qiskit(f"tnqbm.quantum.{name}")
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'tnqbm.quantum' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
