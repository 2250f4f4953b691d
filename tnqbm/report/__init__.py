"""Reports of studies: one self-contained HTML page for an archive or several.

:func:`write` makes the page, :func:`collect` only the numbers in it; start reading there. Needs the
extra ``report`` (Jinja2 and matplotlib); imports all of tnqbm.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
