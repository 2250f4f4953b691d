"""How much memory is free."""

from __future__ import annotations

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Memory that this process can still get, in bytes; None if the system does not say.

    The smaller of what the machine has left and what is left of the container's limit (Linux
    control groups, version 2, as set by batch systems and container engines).
    """
    free = [value for value in (_machine_bytes(), _container_bytes()) if value is not None]
    return min(free, default=None)


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
