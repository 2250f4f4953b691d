"""Limits of sizes, parameters and memory, and clear refusals of work beyond them."""

from __future__ import annotations

from pathlib import Path

MAX_VISIBLE = 30
"""Most visible units summed over by enumeration (about a minute per hidden unit at 30)."""

MAX_DENSE = 26
"""Most visible units for which an array over all 2**n states is made (512 MB at 26)."""

MAX_PARAMETER = 1e100
"""Largest parameter magnitude accepted: squares of hidden fields must stay finite."""

MAX_COUNTS = {
    "iterations": 10**9,
    "patience": 10**9,
    "decay_steps": 10**9,
    "refit": 10**9,
    "global_moves": 10**9,
    "records": 10**6,
    "evaluations": 10**6,
    "snapshots": 10**4,
    "batch_size": 10**7,
    "chains": 10**7,
    "steps": 10**6,
    "temperatures": 10**4,
    "max_rungs": 10**4,
    "ais_chains": 10**6,
    "ais_betas": 10**6,
    "max_bond": 10**5,
    "shots": 10**9,
    "trotter_steps": 10**5,
    "cg_iterations": 10**6,
    "inner_iterations": 10**6,
    "bias_evaluations": 10**6,
    "bias_replicates": 10**4,
    "bias_samples": 10**7,
    "bias_max_bond": 10**5,
}
"""Largest values of settings that count something: far above what is sensible, far below what would
fill memory or never end before anybody notices."""

MEMORY_SHARE = 0.9
"""Part of the free memory that may be used."""

_MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_CGROUP = Path("/sys/fs/cgroup")


def check_enumerable(n: int, *, dense: bool = False) -> None:
    """Raise ValueError if 2**n visible states are too many to sum over (or, dense, to hold)."""
    limit = MAX_DENSE if dense else MAX_VISIBLE
    if n <= limit:
        return
    if dense and n <= MAX_VISIBLE:
        raise ValueError(
            f"an array over all 2**{n} visible states would take {8 * 2.0**n / 1e9:.0f} GB "
            f"(the limit is n = {limit}); use SqRBM.log_weight on the states of interest "
            "together with exact.log_partition, or samples from mc.sample"
        )
    raise ValueError(
        f"exact enumeration over 2**{n} visible states is out of reach (the limit is "
        f"n = {limit}); use fewer visible units; or exact.log_partition with method='contraction' "
        "if every hidden qubit couples to few visible units, method='quadrature' if there are few "
        "hidden qubits; or mc.sample for samples, mc.log_partition for log Z with an error bar, "
        "and a sampled gradient such as 'pcd' for training"
    )


def available_bytes() -> int | None:
    """Memory that this process can still get, in bytes; None if the system does not say.

    The smaller of what the machine has left and what is left of the container's limit (Linux
    control groups, version 2, as set by batch systems and container engines).
    """
    free = [value for value in (_machine_bytes(), _container_bytes()) if value is not None]
    return min(free, default=None)


def peak_bytes() -> int:
    """The most memory that this process has held so far, in bytes; 0 if the system does not say."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def check_memory(needed: int, what: str, cure: str) -> None:
    """Raise MemoryError if ``what`` needs more bytes than are free; ``cure`` says what to do."""
    free = available_bytes()
    if free is not None and needed > MEMORY_SHARE * free:
        raise MemoryError(
            f"{what} would take {in_words(needed)} of memory, and {in_words(free)} are free; {cure}"
        )


def in_words(size: float) -> str:
    """A number of bytes as 512 B, 3.2 MB, 1.5 GB (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            return f"{size:.3g} {unit}" if size < 999.5 else f"{size:.0f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def _machine_bytes() -> int | None:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _container_bytes() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        return None if limit == "max" else max(0, int(limit) - used)
    except (OSError, ValueError):
        return None
