"""The model: Pauli matrices, visible states, masks, parameters, averages, random streams.

Imports :mod:`tnqbm.base` and :mod:`tnqbm.files`. Start with :mod:`~tnqbm.core.model`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
