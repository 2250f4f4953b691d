"""Conversions to and from the objects and files of other libraries, each an optional package.

Imports models, archives and what stands before them. A module is named after the library that it
converts to and from, and imports it inside its functions.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
