"""Semi-quantum restricted Boltzmann machines: models, exact evaluation, training, archives.

Public names are loaded when first used, so that ``import tnqbm`` stays quick.
"""

from tnqbm.base.process import NEEDED, check_needed

check_needed(NEEDED)

import lazy_loader  # noqa: E402

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
