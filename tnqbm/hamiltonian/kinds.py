"""The kinds of models that there are, for arguments that may be any of them.

All have ``n_visible``, ``n_hidden``, ``log_weight`` and ``to_vector``. Those that are no sqRBMs
also have ``log_partition``, ``probabilities`` and ``expectations``, which are exact.
"""

from __future__ import annotations

from tnqbm.base.arguments import one_of
from tnqbm.core.model import SqRBM
from tnqbm.hamiltonian.deep import DeepSqRBM
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.operator import PauliHamiltonian

Model = SqRBM | DeepSqRBM | SqBM | PauliHamiltonian

ANY_MODEL = one_of(SqRBM, DeepSqRBM, SqBM, PauliHamiltonian)
"""Kind of arguments that are models of any family, see :mod:`tnqbm.base.arguments`."""
