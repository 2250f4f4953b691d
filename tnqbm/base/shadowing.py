"""Files that hide packages: Python imports ``mc.py`` beside a script before any package mc.

What is imported is compared with what lies beside this package, before anything is imported: the
file in the way would run otherwise. Only the standard library is used here.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec

from tnqbm.base.errors import HiddenPackageError

NEEDED = (
    "numpy", "scipy", "numba", "llvmlite", "h5py", "quimb", "cotengra", "lazy_loader", "networkx"
)  # fmt: skip
"""What this package imports, by the names that a file could take."""

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def check_beside(name: str) -> None:
    """HiddenPackageError if ``import name`` would not give the package that lies beside this one.

    Does nothing if there is none beside this one.
    """
    own = os.path.join(_ROOT, name, "__init__.py")
    if not os.path.exists(own):
        return
    try:
        spec = find_spec(name)
    except ValueError:  # a module without a specification, which somebody put there by hand
        return
    found = (
        None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or []))
    )
    if found is None or os.path.realpath(found) != own:
        raise _hidden(name, found)


def check_needed(names: tuple[str, ...]) -> None:
    """HiddenPackageError if a file beside the script, or in the working folder, hides a package."""
    for name in names:
        if found := hiding(name, sys.path[0] if sys.path else ""):
            raise _hidden(name, found)


def hiding(name: str, folder: str) -> str | None:
    """The file in ``folder`` that Python would import as ``name`` in place of the package."""
    module = os.path.join(folder or os.getcwd(), name + ".py")
    if os.path.isfile(module):
        return module
    package = os.path.join(folder or os.getcwd(), name, "__init__.py")
    if not os.path.isfile(package):
        return None
    # It may be the package itself: in its own sources, or in the folder it is installed in.
    installed = PathFinder.find_spec(name, [path for path in sys.path if path != folder])
    origin = None if installed is None else installed.origin
    if origin is None or os.path.realpath(origin) == os.path.realpath(package):
        return None
    return package


def _hidden(name: str, found: str | None) -> HiddenPackageError:
    if found is None:
        return HiddenPackageError(
            f"the package {name} of tnqbm cannot be found; install tnqbm again"
        )
    return HiddenPackageError(
        f"the package {name} is hidden by {found}, which Python imports in its place: rename that, "
        "or start Python in another folder and keep the file from beside the script"
    )
