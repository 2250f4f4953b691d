"""Tensor networks of sqRBMs: exact contraction, and the amplitude matrix product state.

Public names are loaded when first used: quimb and cotengra take a second to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
