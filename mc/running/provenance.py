"""What produced an archive: package versions, processor, host, MPI library, commit, times."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from mc.running.ranks import Ranks
from tnqbm import __version__
from tnqbm.base.commit import commit

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


@cache
def source_digest() -> str:
    """The start of the SHA-256 over all source files of the packages, or "" without them.

    It tells apart what has the same version, and edited sources that no commit holds.
    """
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[2]
    any_source = False
    for package in ("mc", "tnqbm"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
            any_source = True
    return digest.hexdigest()[:12] if any_source else ""


def processor() -> str:
    """The kind of processor that kernels are compiled for: others may round differently."""
    from llvmlite import binding
    from numba.core import config

    return str(config.CPU_NAME or binding.get_host_cpu_name())


def vectors() -> str:
    """The widest vector instructions that kernels may use, "" if that is not known."""
    from llvmlite import binding
    from numba.core import config

    if config.CPU_NAME:
        features = set(str(config.CPU_FEATURES or "").replace("+", "").split(","))
    else:
        features = {name for name, there in binding.get_host_cpu_features().items() if there}
    return next((words for name, words in _VECTORS.items() if name in features), "")


_VECTORS = {
    "avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sve": "SVE", "neon": "NEON",
    "sse2": "SSE2",
}  # fmt: skip
"""By LLVM's name of the feature, widest first."""


@cache
def build() -> str:
    """The software and the processor in a line: what decides how a run's numbers round."""
    words = [__version__, source_digest() and f"source {source_digest()}", processor(), vectors()]
    return ", ".join(filter(None, words))


def study_provenance(ranks: Ranks, threads: int) -> dict[str, str]:
    """Versions, host and layout of this start, all as text."""
    facts = {
        "tnqbm": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "source": source_digest(),
        "processor": processor(),
        "vectors": vectors(),
        "build": build(),
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
    return {
        "host": socket.gethostname(),
        "rank": str(rank),
        "tnqbm": __version__,
        "build": build(),
    }
