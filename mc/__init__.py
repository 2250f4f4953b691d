"""Monte Carlo and cluster runs on top of :mod:`tnqbm`: sampling, log Z, studies over ranks."""

from __future__ import annotations

import os
from importlib.util import find_spec

NEEDED = ("mpi4py", "click", "rich", "pydantic", "arviz_stats", "tomli_w", "packaging")
"""What this package imports besides what tnqbm does."""


def _check_names() -> None:
    """ImportError if a file in the user's folder is in the place of tnqbm or of another package."""
    # What checks other names is part of tnqbm, so that is the first to be looked at.
    own = os.path.join(os.path.dirname(os.path.dirname(__file__)), "tnqbm", "__init__.py")
    spec = find_spec("tnqbm")
    found = None if spec is None else spec.origin or list(spec.submodule_search_locations or [])
    if not (isinstance(found, str) and os.path.exists(own) and os.path.samefile(found, own)):
        raise ImportError(
            f"the package tnqbm is hidden by {found}, which Python imports in its place: rename "
            "that, or start Python in another folder"
        )
    from tnqbm.base.process import check_needed

    check_needed(NEEDED)


_check_names()

import lazy_loader  # noqa: E402

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
