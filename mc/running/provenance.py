"""What produced an archive: package versions, processor, host, MPI library, commit, times."""

from __future__ import annotations

import hashlib
import os
import platform
import re
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


@cache
def vectors() -> str:
    """The widest vector instructions in kernels' machine code, "" if they are none that is known.

    What LLVM makes of sixteen numbers tells: the processor's name and features, those of the
    environment too, say it less plainly.
    """
    from llvmlite import binding
    from numba.core import config

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    features = config.CPU_FEATURES
    if features is None:
        features = binding.get_host_cpu_features().flatten()
    target = binding.Target.from_default_triple()
    machine = target.create_target_machine(cpu=processor(), features=features)
    code = machine.emit_assembly(binding.parse_assembly(_SIXTEEN))
    return next((words for pattern, words in _VECTORS if re.search(pattern, code)), "")


_SIXTEEN = """
define void @reals(ptr %at) {
  %x = load <16 x float>, ptr %at
  %y = fadd <16 x float> %x, %x
  store <16 x float> %y, ptr %at
  ret void
}
define void @integers(ptr %at) {
  %x = load <16 x i32>, ptr %at
  %y = add <16 x i32> %x, %x
  store <16 x i32> %y, ptr %at
  ret void
}
"""
_VECTORS = (
    (r"\bzmm\d", "AVX-512"),
    (r"\bymm\d(?s:.*)\bxmm\d", "AVX"),  # integers have the half of its registers
    (r"\bymm\d", "AVX2"),
    (r"\bxmm\d", "SSE2"),
    (r"\bz\d+\.s", "SVE"),
    (r"\bv\d+\.4s", "NEON"),
)
"""Registers in machine code, and whose they are; the first that fits counts."""


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
