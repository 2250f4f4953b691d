"""Models behind the interfaces of other libraries, where they rest on chains as well as on tnqbm.

Imports sampling and estimators of gradients. Start with :mod:`~mc.interop.density`, the density
estimator for scikit-learn, and :mod:`~mc.interop.arviz`, for samples.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
