"""Hamiltonians of visible and hidden qubits as sums of Pauli strings: the public place.

:class:`PauliHamiltonian` is any of them, with exact log Z, probabilities, expectations, gradients
and entanglement. Families by name are built by :func:`sqbm` (couplings inside both layers),
:func:`qrbm` (any Pauli matrices on the visible units) and :func:`tfim` (transverse-field Ising).
"""

from __future__ import annotations

from tnqbm.hamiltonian_models import qrbm, sqbm, tfim
from tnqbm.hamiltonian_operator import PauliHamiltonian

__all__ = ["PauliHamiltonian", "qrbm", "sqbm", "tfim"]
