"""What produced an archive: package versions, processor, host, MPI library, commit, times."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from mc.running.distribute import Ranks
from tnqbm import __version__

PACKAGES = ("numpy", "scipy", "numba", "h5py", "mpi4py")


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def version(package: str) -> str:
    """An installed distribution's version, or "not installed"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """The commit of the source tree that is running, with "+changes" if it is edited, or ""."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        words = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*"]
        # Without optional locks: never in the way of a git command of the user's.
        found = subprocess.run(
            [*words, "--dirty=+changes"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def processor() -> str:
    """The kind of processor that kernels are compiled for: others may round differently."""
    from llvmlite import binding

    return str(binding.get_host_cpu_name())


def study_provenance(ranks: Ranks, threads: int) -> dict[str, str]:
    """Versions, host and layout of this start, all as text."""
    facts = {
        "tnqbm": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "processor": processor(),
        "host": socket.gethostname(),
        "ranks": str(ranks.size),
        "threads_per_rank": str(threads),
        "commit": commit(),
        "started": now(),
    }
    if ranks.size > 1:
        from mpi4py import MPI

        facts["mpi"] = MPI.Get_library_version().splitlines()[0].strip("\0 ")
    if job := os.environ.get("SLURM_JOB_ID"):
        facts["slurm_job"] = job
    return {name: value for name, value in facts.items() if value}


def block_provenance(rank: int) -> dict[str, str]:
    """Where one block was computed; kept short, since there are thousands of blocks."""
    return {"host": socket.gethostname(), "rank": str(rank), "tnqbm": __version__}
