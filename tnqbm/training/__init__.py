"""Training: the loop, estimators of gradients, optimizers, settings, what is recorded.

Start with :mod:`~tnqbm.training.trainer`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
