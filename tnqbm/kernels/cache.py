"""Numba's cache of compiled kernels, made to notice every change and to stop no work.

Numba compares a cached function with the source file that holds it, not with the files whose
functions it has inlined: after an update of such a file, machine code of the old one would still
run. Here the stamp of a kernel of these packages covers the files of kernels that its own imports,
and those of the functions that it was made with, to the last: an update has those kernels compiled
again that may have changed, and no others.

Numba tells kernels that are made by one function, each with functions of its own, apart by pickling
these, and a number drawn anew in every process goes into that. Here their names do.

Numba reads the whole index of a cached function before it looks at the stamp, and an index may name
classes of modules that an update has moved, or may be damaged. Such an index counts as out of date.

Where neither the package's folder nor the user's can be written, Numba refuses to compile at all;
here a private folder for temporary files takes over, and where there is none either, nothing is
kept. A full disk ends the keeping, not the work. Each is told in one line.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import re
import stat
import tempfile
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

from tnqbm.base.process import interactive, print_once

_MARKS = (b"@njit", b"@intrinsic", b"@part", b"@parallel_over")

_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)"
    rb"|import[ \t]+([\w., \t]+))",
    re.MULTILINE,
)

Place = Literal["NUMBA_CACHE_DIR", "package", "user", "temporary", "nowhere"]
"""Where machine code is kept: the folder so named, beside the source files, in the user's cache
folder, in a private folder for temporary files, or nowhere."""

_PLACES: dict[str, Place] = {
    "UserProvidedCacheLocator": "NUMBA_CACHE_DIR",
    "InTreeCacheLocator": "package",
    "UserWideCacheLocator": "user",
}

_compiled: set[tuple[str, str]] = set()

CURE = "set NUMBA_CACHE_DIR to a folder that can be written and lasts"


def _folders() -> tuple[Path, ...]:
    own = Path(__file__).resolve().parents[1]
    return own, own.parent / "mc"


def _file_of(module: str) -> Path | None:
    """The file of a module of these packages; None if it is another's, or none."""
    first, *rest = module.split(".")
    for folder in _folders():
        if folder.name == first:
            path = folder.joinpath(*rest)
            found = (path / "__init__.py", path.with_suffix(".py"))
            return next((one for one in found if one.is_file()), None)
    return None


@cache
def _read(path: Path) -> tuple[bytes, frozenset[Path]]:
    """What is in a file, if it is one of kernels, and the files of these packages it imports."""
    source = path.read_bytes()
    names = []
    for module, members, modules in _IMPORT.findall(source):
        names += [module, *(module + b"." + name for name in re.findall(rb"\w+", members))]
        names += [name.strip() for name in modules.split(b",")]
    files = {_file_of(name.decode()) for name in names if name}
    counts = path.parent.name == "kernels" or any(mark in source for mark in _MARKS)
    return (source if counts else b""), frozenset(file for file in files if file)


@cache
def sources(files: frozenset[Path]) -> tuple[Path, ...]:
    """Files of kernels among these and all that they import, directly or through others."""
    found: set[Path] = set()
    pending = {*files}
    while pending:
        path = pending.pop()
        found.add(path)
        pending |= _read(path)[1] - found
    return tuple(sorted(path for path in found if _read(path)[0]))


@cache
def digest(files: frozenset[Path]) -> str:
    """SHA-256 over :func:`sources`."""
    whole = hashlib.sha256()
    for path in sources(files):
        whole.update(path.name.encode() + b"\0" + _read(path)[0])
    return whole.hexdigest()


def _files_of(function: Any) -> frozenset[Path]:
    """The files of a function and of the functions it was made with."""
    function = getattr(function, "py_func", function)
    if not isinstance(function, FunctionType):
        return frozenset()
    inner = (_files_of(cell.cell_contents) for cell in function.__closure__ or ())
    return frozenset({Path(function.__code__.co_filename).resolve()}).union(*inner)


def _is_ours(py_file: str) -> bool:
    with contextlib.suppress(OSError):
        path = Path(py_file).resolve()
        return any(path.is_relative_to(folder) for folder in _folders())
    return False


def _stamped(base: Any) -> Any:
    """A cache locator for files of these packages, whose stamp covers what a kernel rests on."""

    class Stamped(base):  # type: ignore[misc]
        ours = True
        place = getattr(base, "place", _PLACES.get(base.__name__))

        def get_source_stamp(self) -> Any:
            return super().get_source_stamp(), digest(_files_of(self.function))

        @classmethod
        def from_function(cls, py_func: Any, py_file: str) -> Any:
            found = super().from_function(py_func, py_file) if _is_ours(py_file) else None
            if found is not None:
                found.function = py_func
            return found

    return Stamped


@cache
def temporary_folder() -> Path | None:
    """This user's own folder among temporary files; None where none is safe or can be written.

    Machine code is read back and run, so the folder must belong to this user and be closed to
    others.
    """
    try:
        path = Path(tempfile.gettempdir()) / f"tnqbm-{os.getuid()}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        private = found.st_uid == os.getuid() and not found.st_mode & 0o077
        if not (stat.S_ISDIR(found.st_mode) and private):
            return None
        tempfile.TemporaryFile(dir=path).close()
    except (OSError, AttributeError):  # nothing can be written; no user numbers on this system
        return None
    return path


def _last_resorts(user_wide: Any) -> list[Any]:
    """Locators for where Numba finds no place: among temporary files, and nowhere."""

    class Temporary(user_wide):  # type: ignore[misc]
        place: Place = "temporary"

        def __init__(self, py_func: Any, py_file: str) -> None:
            super().__init__(py_func, py_file)
            folder = temporary_folder()
            if folder is None:
                raise OSError("no folder for temporary files")
            self._cache_path = str(folder / self.get_suitable_cache_subpath(py_file))

        @classmethod
        def from_function(cls, py_func: Any, py_file: str) -> Any:
            with contextlib.suppress(OSError):
                return super().from_function(py_func, py_file)
            return None

    class Nowhere(user_wide):  # type: ignore[misc]
        place: Place = "nowhere"

        def ensure_cache_path(self) -> None:
            return None

    return [Temporary, Nowhere]


def _forgiving(read: Any) -> Any:
    """``_load_index`` of Numba's cache files, with nothing found where the index is unreadable."""

    def load_index(self: Any) -> Any:
        try:
            return read(self)
        except (ImportError, AttributeError, EOFError, pickle.UnpicklingError):
            return {}

    return load_index


def identity(value: Any) -> Any:
    """What tells a value that a kernel was made with from others, alike in every process."""
    function = getattr(value, "py_func", value)
    if not isinstance(function, FunctionType):
        return value
    cells = function.__closure__ or ()
    inner = tuple(identity(cell.cell_contents) for cell in cells)
    return function.__module__, function.__qualname__, inner


def own_name(function: Any) -> None:
    """Give a function that a factory has made a name of its own.

    Numba calls the machine code of a function by its name and a number that counts functions in
    the order in which a process makes them. Two functions of one factory that got the same number
    in two processes would be taken for one another when machine code is read from the cache.
    """
    if getattr(function, "__closure__", None):
        made_with = repr(identity(function)).encode()
        function.__qualname__ += f"_{hashlib.sha256(made_with).hexdigest()[:16]}"


def _steady(index_key: Any) -> Any:
    """``_index_key`` of Numba's caches, the same in every process; sources are in the stamp."""

    def key(self: Any, sig: Any, codegen: Any) -> Any:
        function = self._py_func
        if not (function.__closure__ and getattr(self._impl.locator, "ours", False)):
            return index_key(self, sig, codegen)
        parts = function.__code__.co_code, repr(identity(function)).encode()
        return sig, codegen.magic_tuple(), tuple(hashlib.sha256(p).hexdigest() for p in parts)

    return key


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _told(load: Any) -> Any:
    """``load_overload`` of Numba's caches: says what is to be compiled, and where it is kept."""

    def load_overload(self: Any, sig: Any, target_context: Any) -> Any:
        locator = self._impl.locator
        place = getattr(locator, "place", None)
        ours = getattr(locator, "ours", False)
        if ours and place == "temporary":
            print_once(
                f"compiled kernels are kept in {temporary_folder()}, for neither the package's "
                f"folder nor your own can be written; {CURE}"
            )
        found = None
        if place != "nowhere":
            try:
                found = load(self, sig, target_context)
            except OSError as error:
                print_once(
                    f"compiled kernels cannot be read from {self.cache_path}: {_reason(error)}"
                )
        if found is None and ours:
            _compiled.add((self._name, str(sig)))
        if found is None and ours and interactive():
            often = "at every start, as no folder can be written" if place == "nowhere" else ""
            print_once(f"compiling kernels, {often or 'once per machine'}: this may take a minute")
        return found

    return load_overload


def _surviving(save: Any) -> Any:
    """``save_overload`` of Numba's caches, which lets a full disk pass."""

    def save_overload(self: Any, sig: Any, data: Any) -> None:
        if getattr(self._impl.locator, "place", None) == "nowhere":
            print_once(f"compiled kernels are kept nowhere: no folder can be written; {CURE}")
            return
        try:
            save(self, sig, data)
        except OSError as error:
            print_once(
                f"compiled kernels cannot be kept in {self.cache_path}: {_reason(error)}; "
                f"the work goes on, and the next start compiles them again"
            )

    return save_overload


@cache
def install() -> None:
    """Change Numba's cache as said above; without effect where Numba has no such place."""
    from numba.core import caching

    index: Any = getattr(caching, "IndexDataCacheFile", None)
    if hasattr(index, "_load_index"):
        index._load_index = _forgiving(index._load_index)
    functions: Any = getattr(caching, "Cache", None)
    if hasattr(functions, "load_overload") and hasattr(functions, "save_overload"):
        functions.load_overload = _told(functions.load_overload)
        functions.save_overload = _surviving(functions.save_overload)
    if hasattr(functions, "_index_key"):
        functions._index_key = _steady(functions._index_key)
    user_wide = getattr(caching, "UserWideCacheLocator", None)
    for name in ("CacheImpl", "_CacheImpl"):
        implementation: Any = getattr(caching, name, None)
        classes = getattr(implementation, "_locator_classes", None)
        if classes is not None:
            others = _last_resorts(user_wide) if user_wide is not None else []
            # Those for any file come last: they are for what Numba would refuse.
            mine = [_stamped(locator) for locator in (*classes, *others)]
            implementation._locator_classes = [*mine, *classes, *others]


def compiled() -> int:
    """How many kernels this process has compiled, each for given types of arguments."""
    return len(_compiled)


def place_of(function: Any) -> tuple[Place, Path] | None:
    """Where the machine code of a compiled function is kept; None if Numba does not say."""
    found = getattr(getattr(function, "_cache", None), "_impl", None)
    place = getattr(getattr(found, "locator", None), "place", None)
    return None if place is None else (place, Path(function.stats.cache_path))
