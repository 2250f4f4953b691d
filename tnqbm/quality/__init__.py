"""Sample quality beyond the likelihood: :func:`assess` measures all of a :class:`Quality`.

Imports data sets and the model. Start with :mod:`~tnqbm.quality.assessment`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
