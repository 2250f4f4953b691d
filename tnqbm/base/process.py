"""What surrounds this process: the MPI launcher, who reads its messages, files that hide packages.

Used before anything else is imported, and therefore rests on the standard library alone. Also BLAS
in one thread, where results must not depend on how many there are.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any

from tnqbm.base.errors import HiddenPackageError

NEEDED = (
    "numpy", "scipy", "numba", "llvmlite", "h5py", "quimb", "cotengra", "lazy_loader"
)  # fmt: skip
"""What this package imports, by the names that a file could take."""

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
_printed: set[str] = set()
_is_command = False


# --- the MPI launcher, read from the environment alone ---


def launcher_size(environ: Mapping[str, str] = os.environ) -> int:
    """How many ranks the MPI launcher says it started; 1 without a launcher.

    In a Slurm batch script itself SLURM_NTASKS is set too, but no step was started: only srun's
    own SLURM_STEP_NUM_TASKS counts.
    """
    names = ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"]
    if "SLURM_PROCID" in environ:
        names.append("SLURM_STEP_NUM_TASKS")
        if "SLURM_STEP_ID" in environ:
            names.append("SLURM_NTASKS")
    for name in names:
        if environ.get(name, "").isdigit():
            return int(environ[name])
    return 1


def launcher_rank(environ: Mapping[str, str] = os.environ) -> int:
    """This process's rank as the launcher numbers it, without importing MPI; 0 without one."""
    for name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK"):
        if environ.get(name, "").isdigit():
            return int(environ[name])
    if launcher_size(environ) > 1 and environ.get("SLURM_PROCID", "").isdigit():
        return int(environ["SLURM_PROCID"])
    return 0


def launched(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether an MPI launcher (mpiexec, srun) started this process."""
    return launcher_size(environ) > 1 or any(
        name in environ for name in ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
    )


# --- messages on standard error ---


def mark_as_command() -> None:
    """From now on this process is a command: somebody reads its standard error, or a log does."""
    global _is_command
    _is_command = True


def is_command() -> bool:
    """Whether this process is a command, and ends when that has ended."""
    return _is_command


def interactive() -> bool:
    """Whether this is a command, an interactive session, or standard error is a terminal."""
    return _is_command or hasattr(sys, "ps1") or (sys.stderr is not None and sys.stderr.isatty())


def print_once(line: str) -> None:
    """Print a line to standard error, once per process and on the launcher's first rank only."""
    if line in _printed or launcher_rank() > 0:
        return
    _printed.add(line)
    with contextlib.suppress(OSError, ValueError):  # closed: no reason to stop the work
        print(f"tnqbm: {line}", file=sys.stderr, flush=True)


# --- files that hide packages: Python imports mc.py beside a script before any package mc ---
#
# What would be imported is compared with what lies beside this package before anything is
# imported: the file in the way would run otherwise.


def check_beside(name: str) -> None:
    """HiddenPackageError if ``import name`` would not give the package that lies beside this one.

    Does nothing if there is none beside this one.
    """
    expected = os.path.join(_ROOT, name, "__init__.py")
    if not os.path.exists(expected):
        return
    try:
        spec = find_spec(name)
    except ValueError:  # a module without a specification, which somebody put there by hand
        return
    origin = (
        None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or []))
    )
    if origin is None or os.path.realpath(origin) != expected:
        raise _hidden(name, origin)


def check_needed(names: tuple[str, ...]) -> None:
    """HiddenPackageError if a file beside the script, or in the working folder, hides a package."""
    for name in names:
        if path := hiding(name, sys.path[0] if sys.path else ""):
            raise _hidden(name, path)


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


def _hidden(name: str, path: str | None) -> HiddenPackageError:
    if path is None:
        return HiddenPackageError(
            f"the package {name} of tnqbm cannot be found; install tnqbm again"
        )
    return HiddenPackageError(
        f"the package {name} is hidden by {path}, which Python imports in its place: rename that, "
        "or start Python in another folder and keep the file from beside the script"
    )


def one_thread() -> Any:
    """A context in which BLAS runs in one thread."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> Any:
    """The BLAS libraries of this process, looked up once: that takes milliseconds."""
    import scipy.linalg  # noqa: F401  (loads its own BLAS)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
