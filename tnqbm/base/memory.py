"""How much memory is free, and one clear refusal before work that would not fit."""

from __future__ import annotations

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")

SHARE = 0.9
"""Part of the free memory that may be used."""


def available_bytes() -> int | None:
    """Memory that this process can still get, in bytes; None if the system does not say.

    The smaller of what the machine has left and what is left of the container's limit (Linux
    control groups, version 2, as set by batch systems and container engines).
    """
    free = [value for value in (_machine_bytes(), _container_bytes()) if value is not None]
    return min(free, default=None)


def check_memory(needed: int, what: str, cure: str) -> None:
    """Raise MemoryError if ``what`` needs more bytes than are free; ``cure`` says what to do."""
    free = available_bytes()
    if free is not None and needed > SHARE * free:
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
