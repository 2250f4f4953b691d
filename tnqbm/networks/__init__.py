"""Tensor networks of sqRBMs: the factor graph, its contraction, the amplitude of dense models.

Imports what stands below it: base, core, kernels. Start with :mod:`~tnqbm.networks.graph`, the
factor graph as a quimb network. Names load when first used: quimb takes a second to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
