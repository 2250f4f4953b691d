"""Changing and comparing models: gauge, more and fewer Paulis and hidden units, equivalence.

Modules are loaded when first used. :func:`tnqbm.equivalent` is the short way to compare two models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
