"""Hamiltonians of visible and hidden qubits as sums of Pauli strings.

:class:`PauliHamiltonian` is any of them, with exact log Z, probabilities, expectations, gradients
and entanglement. Families by name are built by :func:`sqbm` (couplings inside both layers),
:func:`qrbm` (any Pauli matrices on the visible units) and :func:`tfim` (transverse-field Ising).
:func:`tnqbm.train` trains any of them. :class:`SqBM` is an sqBM of any size whose hidden qubits are
coupled in groups of at most four. :class:`TypicalGibbs` estimates what :class:`PauliHamiltonian`
calculates, with error bars, for up to some twenty qubits.
Imports :mod:`tnqbm.core` and :mod:`tnqbm.kernels`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
