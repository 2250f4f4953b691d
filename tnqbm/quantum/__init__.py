"""Quantum circuits of sqRBMs for Qiskit, and what they cost.

May import everything down to the core and the training; start reading at ``sampler``. What builds
circuits needs the extra ``quantum`` (:class:`tnqbm.MissingExtraError` without it); resource
estimates, product formulas and surrogate models do not.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
