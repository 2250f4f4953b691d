"""``tnqbm doctor``: is everything there that studies need, and what mends what is not.

Checks never raise: each says what it found, and with which command a fault is mended. MPI is
tried in processes of its own unless an MPI launcher started this one, because a broken MPI
library ends the process that loads it.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import click

from mc.cli.common import as_json as json_option
from mc.cli.common import is_first_rank, print_json
from tnqbm.base.commit import commit
from tnqbm.base.errors import install_command
from tnqbm.base.process import hiding, launched, launcher_rank

EXTRAS = {
    "plot": ("matplotlib", "figures"),
    "table": ("pandas", "Archive.to_dataframe()"),
    "xarray": ("xarray", "Archive.to_datatree()"),
    "arviz": ("arviz", "mc.interop.to_arviz"),
    "data": ("pyarrow", "Parquet and Feather files"),
    "report": ("jinja2", "tnqbm report"),
    "sklearn": ("scikit-learn", "mc.interop.SqRBMDensity"),
    "torch": ("torch", "models in PyTorch files"),
    "mbar": ("pymbar", "log Z by method 'mbar'"),
    "quantum": ("qiskit", "quantum circuits"),
    "ibm": ("qiskit-ibm-runtime", "IBM's quantum computers and their noise models"),
}
"""Optional extras: the package that each brings, and what it is for."""

PATH_FINDERS = {
    "cotengrust": "cotengrust", "kahypar": "kahypar", "igraph": "igraph", "optuna": "optuna",
    "cmaes": "cmaes", "nevergrad": "nevergrad", "scikit-optimize": "skopt",
}  # fmt: skip
"""Packages that help cotengra to search contraction trees, and the names they are imported by."""

_MPI_SECONDS = 60
_ASK_LIBRARY = "from mpi4py import MPI; print(MPI.Get_library_version())"
_ASK_SIZE = "import os; from mpi4py import MPI; os.write(1, b'size %d\\n' % MPI.COMM_WORLD.size)"


@dataclass(frozen=True)
class Check:
    """One line of the report. ``cure`` mends a fault, or brings what a note misses."""

    name: str
    found: str
    status: Literal["ok", "note", "fault"] = "ok"
    cure: str = ""


@dataclass(frozen=True)
class Report:
    """All checks, and whether studies can run."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing that studies need is missing."""
        return all(check.status != "fault" for check in self.checks)

    @property
    def verdict(self) -> str:
        """The last line: ready, or what is missing and the commands that mend it."""
        if not self.ready:
            faults = [check for check in self.checks if check.status == "fault"]
            return "not ready: " + "; ".join(f"{c.name}: {c.found} -> {c.cure}" for c in faults)
        notes = [check for check in self.checks if check.status == "note" and check.cure]
        words = "; ".join(f"{check.name} -> {check.cure}" for check in notes)
        return f"ready; optional: {words}" if words else "ready"

    def as_dict(self) -> dict[str, Any]:
        """The report for --json."""
        checks = [asdict(check) for check in self.checks]
        return {"ready": self.ready, "verdict": self.verdict, "checks": checks}


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check the installation: Python, packages, MPI, threads, HDF5, Numba, cache, extras.

    Ends in one line: ready, or what is missing and the command that mends it. The exit code is 0
    if studies can run. Under mpiexec it checks the ranks as they were started.

    \b
    Examples:
      tnqbm doctor
      mpiexec -n 4 tnqbm doctor
    """
    report = examine()
    if is_first_rank():
        if as_json:
            print_json(report.as_dict())
        else:
            print_report(report)
    if not report.ready:
        raise SystemExit(1)


def examine() -> Report:
    """Run all checks. Under an MPI launcher every rank must call it; rank 0's report counts."""
    checks: list[Check] = []
    steps: list[tuple[str, tuple[str, ...], Callable[[], list[Check]]]] = [
        ("packages", (), _packages),
        ("MPI", ("numba",), _mpi),
        ("HDF5", ("h5py", "numpy"), _hdf5),
        ("kernels", ("numba", "numpy", "scipy"), _kernels),
        ("cotengra helpers", (), _path_finders),
        ("extras", (), _extras),
        ("working folder", (), _working_folder),
    ]
    for name, needed, step in steps:
        installed = {check.name for check in checks if check.status == "ok"}
        if missing := [package for package in needed if package not in installed]:
            checks.append(Check(name, f"not tried without {', '.join(missing)}", "note"))
            continue
        try:
            checks += step()
        except Exception as error:  # a doctor that crashes helps nobody
            found = f"{type(error).__name__}: {_first_line(error)}"
            checks.append(Check(name, found, "fault", "install tnqbm again, with its packages"))
        if name == "MPI" and launcher_rank() > 0:
            break  # the rest is about the node and the files, and rank 0 says it
    return Report(tuple(checks))


def print_report(report: Report) -> None:
    """Print the report as a table (as plain lines without rich) and the verdict as last line."""
    rows = [[c.status.replace("fault", "FAULT"), c.name, c.found] for c in report.checks]
    try:
        from mc.cli.common import print_table

        print_table(["", "what", "found"], rows, left=3)
    except ImportError:
        for sign, name, found in rows:
            print(f"{sign:6} {name}: {found}")
    print(report.verdict)


def requirements() -> tuple[str, list[str]]:
    """The versions of Python that tnqbm runs with, and the packages that it always needs.

    Both as its project file has them: that of the sources, or what the installation kept of it.
    """
    path = Path(__file__).parents[2] / "pyproject.toml"
    if path.exists():
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        return project["requires-python"], project["dependencies"]
    lines = metadata.requires("tnqbm") or []
    python = metadata.metadata("tnqbm")["Requires-Python"]
    return python, [line for line in lines if "extra ==" not in line]


def _packages() -> list[Check]:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    oldest, lines = requirements()
    python = Check("Python", f"{platform.python_version()} ({sys.executable})")
    if not SpecifierSet(oldest).contains(platform.python_version(), prereleases=True):
        python = Check("Python", python.found, "fault", f"use Python {oldest}")
    checks = [python]
    for package in map(Requirement, lines):
        version = _version(package.name)
        if version is None:
            check = Check(package.name, "not installed", "fault", f"pip install '{package}'")
        elif not _meets(version, package):
            found = f"{version}, but {package.specifier} is needed"
            check = Check(package.name, found, "fault", f"pip install -U '{package}'")
        else:
            check = Check(package.name, version)
        checks.append(check)
    own = [_version("tnqbm") or "from the source tree, not installed"]
    own += [f"commit {commit()}"] if commit() else []
    return [*checks, Check("tnqbm", ", ".join(own))]


def _meets(version: str, package: Any) -> bool:
    """Whether a version is one that a requirement allows; its release candidates count as it."""
    from packaging.version import Version

    return bool(package.specifier.contains(Version(version).base_version))


def _extras() -> list[Check]:
    checks = []
    for extra, (package, purpose) in EXTRAS.items():
        name, version = f"extra {extra}", _version(package)
        if version is None:
            cure = install_command(extra, package)
            checks.append(Check(name, f"no {package} for {purpose}", "note", cure))
        else:
            checks.append(Check(name, f"{package} {version}"))
    return checks


def _working_folder() -> list[Check]:
    """Files here that Python would import in place of packages, in scripts and notebooks."""
    from packaging.requirements import Requirement

    here = os.getcwd()
    names = [Requirement(line).name.replace("-", "_") for line in requirements()[1]]
    found = [path for name in ("tnqbm", "mc", *names) if (path := hiding(name, here))]
    if not found:
        return []
    words = f"{', '.join(map(os.path.basename, found))} in {here}"
    hides = "hides a package" if len(found) == 1 else "hide packages"
    return [
        Check(
            "working folder",
            f"{words} {hides} of the same name from scripts and notebooks started here",
            "note",
            f"mv {shlex.quote(found[0])} to another name",
        )
    ]


def _path_finders() -> list[Check]:
    """What cotengra finds to help it: told, never missed."""
    words = {True: "present", False: "absent"}
    parts = []
    for there, word in words.items():
        names = [
            n for n, module in PATH_FINDERS.items() if (find_spec(module) is not None) is there
        ]
        parts += [f"{', '.join(names)} {word}"] if names else []
    return [Check("cotengra helpers", f"{'; '.join(parts)} (optional)")]


def _mpi() -> list[Check]:
    return _mpi_launched() if launched() else [*_mpi_alone(), _node(_cores(), 1, _cores())]


def _mpi_launched() -> list[Check]:
    """MPI as the launcher set it up; collective over its ranks."""
    from mc.running.ranks import connect, cores_for_rank, cores_of_node, get_comm, set_threads

    try:
        comm = get_comm()
    except RuntimeError as error:
        return [Check("MPI", _first_line(error), "fault", "see the message")]
    ranks = connect(comm)
    hosts = ranks.gather(platform.node())
    cores, total = cores_for_rank(ranks), cores_of_node(ranks)
    set_threads(ranks)
    library = "none"
    if comm is not None:
        from mpi4py import MPI

        library = _library(MPI.Get_library_version())
    per_node = ", ".join(f"{hosts.count(host)} on {host}" for host in sorted(set(hosts)))
    checks = [
        Check("MPI library", library),
        Check("MPI ranks", f"{ranks.size} ({per_node})"),
        _node(cores, ranks.node_size, total),
    ]
    ranks.close()
    return checks


def _mpi_alone() -> list[Check]:
    """MPI as a launcher would find it, tried in processes of its own."""
    install = install_command("mpich", "mpich")
    answer, trouble = _ask([sys.executable, "-P", "-c", _ASK_LIBRARY])
    if trouble:
        found = "none can be loaded; studies run in one process"
        return [Check("MPI library", found, "note", install)]
    library = Check("MPI library", _library(answer))
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = shutil.which("mpiexec") or (str(beside) if beside.exists() else None)
    if launcher is None:
        found = "not found on PATH; studies run in one process"
        return [library, Check("mpiexec", found, "note", install)]
    answer, trouble = _ask([launcher, "-n", "2", sys.executable, "-P", "-c", _ASK_SIZE])
    if answer.count("size 2") == 2:
        return [library, Check("mpiexec", f"{launcher}: two ranks see each other")]
    if "size 1" in answer:
        found = f"{launcher} belongs to another MPI than the library: its ranks stay alone"
        cure = f"use {beside}" if beside.exists() and str(beside) != launcher else install
        return [library, Check("mpiexec", found, "note", cure)]
    found = f"{launcher} could not start two ranks here: {trouble or _first_line(answer)}"
    return [library, Check("mpiexec", found, "note", "try it inside a batch job, or with srun")]


def _node(cores: int, node_ranks: int, total: int) -> Check:
    """How the ranks of this node share its cores, of which they have ``total`` between them."""
    chosen = os.environ.get("NUMBA_NUM_THREADS")
    threads = int(chosen) if chosen and chosen.isdigit() else cores
    ranks_text = f"{node_ranks} rank{'s' * (node_ranks != 1)}"
    found = f"{ranks_text} x {threads} thread{'s' * (threads != 1)} on {total} "
    found += f"core{'s' * (total != 1)}"
    if chosen:
        found += " (NUMBA_NUM_THREADS)"
    if threads * node_ranks > max(total, 1):
        cure = "start fewer ranks per node, or let the launcher give them more cores"
        cure = "unset NUMBA_NUM_THREADS" if chosen and threads > cores else cure
        return Check("ranks x threads", f"{found}: more than the cores", "note", cure)
    return Check("ranks x threads", found)


def _hdf5() -> list[Check]:
    import h5py
    import numpy as np

    from tnqbm.files.storage import read_tree, write_tree

    numbers = np.linspace(0.0, 1.0, 1000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "check.h5"
        write_tree(path, {"numbers": numbers}, {"made by": "tnqbm doctor"})
        arrays, _ = read_tree(path)
    if not np.array_equal(arrays["numbers"], numbers):
        raise RuntimeError("numbers written to HDF5 come back different")
    return [Check("HDF5", f"{h5py.version.hdf5_version}: written and read back")]


def _kernels() -> list[Check]:
    """Numba: compile and run a real kernel, and compare its number with plain NumPy."""
    import numba

    from mc.running.provenance import processor, vectors

    checks = [Check("SIMD", f"{vectors() or 'none known'} ({processor()})")]
    start = time.perf_counter()
    error = _kernel_error()
    seconds = time.perf_counter() - start
    if not error < 1e-10:
        found = f"log Z differs from NumPy's by {error:.1e}"
        return [*checks, Check("kernels", found, "fault", "pip install -U numba llvmlite")]
    checks.append(Check("kernels", f"run and agree with NumPy (first use took {seconds:.1f} s)"))
    try:
        layer = numba.threading_layer()
    except ValueError:
        layer = "not started yet"
    threads = Check("Numba threads", f"layer {layer}, {numba.get_num_threads()} threads")
    return [*checks, threads, _kernel_cache()]


def _kernel_cache() -> Check:
    """Where Numba keeps compiled kernels."""
    from tnqbm.kernels.cache import place_of
    from tnqbm.kernels.tables import add_scaled

    name, cure = "kernel cache", "export NUMBA_CACHE_DIR=FOLDER, one that can be written and lasts"
    found = place_of(add_scaled)
    if found is None:
        return Check(name, "Numba does not say where", "note")
    place, folder = found
    said = {
        "package": f"beside the source files, as in {folder}",
        "NUMBA_CACHE_DIR": f"{folder.parent} (NUMBA_CACHE_DIR)",
        "user": f"{folder.parent} (the package's folder cannot be written)",
        "temporary": f"{folder.parent}, which may be emptied: no other folder can be written",
        "nowhere": "no folder can be written: every start compiles anew",
    }[place]
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    refused = bool(chosen) and place != "NUMBA_CACHE_DIR"
    if refused:
        said += f"; NUMBA_CACHE_DIR={chosen} cannot be written"
    if refused or place in ("temporary", "nowhere"):
        return Check(name, said, "note", cure)
    return Check(name, said)


def _kernel_error() -> float:
    """Relative difference of log Z between the compiled kernels and plain NumPy."""
    import numpy as np

    from tnqbm import exact
    from tnqbm.core.model import SqRBM

    n = 4
    model = SqRBM.uniform(n, 3, "XYZ", seed=1)
    states = (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1
    reference = float(np.logaddexp.reduce(model.log_weight(states)))
    return abs(float(exact.log_partition(model)) / reference - 1.0)


def _ask(command: list[str]) -> tuple[str, str]:
    """A command's output, and what went wrong (empty if nothing)."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_MPI_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer within {_MPI_SECONDS} s"
    except OSError as error:
        return "", str(error)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return done.stdout, lines[-1].strip() if lines else f"exit code {done.returncode}"
    return done.stdout, ""


def _library(text: str) -> str:
    """The first line of MPI's description, which some libraries pad and split by tabs."""
    return " ".join(_first_line(text).replace("\0", "").split())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _first_line(text: object) -> str:
    return next(iter(str(text).strip().splitlines()), "")
