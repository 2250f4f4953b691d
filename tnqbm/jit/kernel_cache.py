"""Makes Numba's cache of compiled kernels notice changes in any file of kernels.

Numba compares a cached function with the source file that holds it, not with the files whose
functions it has inlined: after an update of one file of kernels, machine code of the old one would
still run. Here the stamp of every kernel of these packages covers all their files of kernels.

Numba reads the whole index of a cached function before it looks at the stamp, and an index may name
classes of modules that an update has moved, or may be damaged. Such an index counts as out of date.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from functools import cache
from pathlib import Path
from typing import Any

_MARKS = (b"@njit", b"@intrinsic")


def _folders() -> tuple[Path, ...]:
    own = Path(__file__).resolve().parents[1]
    return own, own.parent / "mc"


@cache
def kernel_digest() -> str:
    """SHA-256 over all source files of these packages that hold compiled functions."""
    digest = hashlib.sha256()
    for folder in _folders():
        for path in sorted(folder.rglob("*.py")):
            source = path.read_bytes()
            if any(mark in source for mark in _MARKS):
                digest.update(path.name.encode() + b"\0" + source)
    return digest.hexdigest()


def _stamped(base: Any) -> Any:
    """A cache locator for files of these packages whose stamp covers all kernels."""

    class Stamped(base):  # type: ignore[misc]
        def get_source_stamp(self) -> Any:
            return super().get_source_stamp(), kernel_digest()

        @classmethod
        def from_function(cls, py_func: Any, py_file: str) -> Any:
            with contextlib.suppress(OSError):
                path = Path(py_file).resolve()
                if any(path.is_relative_to(folder) for folder in _folders()):
                    return super().from_function(py_func, py_file)
            return None

    return Stamped


def _forgiving(read: Any) -> Any:
    """``_load_index`` of Numba's cache files, with nothing found where the index is unreadable."""

    def load_index(self: Any) -> Any:
        try:
            return read(self)
        except (ImportError, AttributeError, EOFError, pickle.UnpicklingError):
            return {}

    return load_index


def install() -> None:
    """Put the stamped locators before Numba's own; without effect if Numba has no such place."""
    from numba.core import caching

    index: Any = getattr(caching, "IndexDataCacheFile", None)
    if hasattr(index, "_load_index"):
        index._load_index = _forgiving(index._load_index)
    for name in ("CacheImpl", "_CacheImpl"):
        implementation: Any = getattr(caching, name, None)
        classes = getattr(implementation, "_locator_classes", None)
        if classes is not None and not any(c.__name__ == "Stamped" for c in classes):
            implementation._locator_classes = [*map(_stamped, classes), *classes]
