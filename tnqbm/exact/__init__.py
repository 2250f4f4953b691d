"""log Z, probabilities, moments and gradients without sampling error, by the cheapest method.

Imports what stands below it: base, core, kernels, datasets, networks. Start with
:mod:`~tnqbm.exact.evaluation`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
