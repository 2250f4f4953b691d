"""Limits of the address space (``ulimit -v``), seen before libraries are loaded."""

from __future__ import annotations

import os

LEAST = 350 << 20
"""Bytes below which LLVM or NumPy cannot be loaded: 340,000 KB were not enough when measured."""

ENOUGH, PER_THREAD = 768 << 20, 160 << 20
"""Bytes that a command needs, and further bytes for every thread of BLAS and Numba (stacks and
arenas). A small study with two threads used 715 MB, compiling kernels included."""


def check_address_space() -> str:
    """A warning if the address space is limited to less than may be needed, else an empty text.

    BLAS is then given one thread, if NumPy is not loaded yet and the user has not said otherwise.
    Raises MemoryError if nothing can work.
    """
    try:
        import resource
    except ImportError:  # Windows
        return ""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    needed = ENOUGH + PER_THREAD * (cores or 1)
    if limit >= needed:
        return ""
    words = (
        f"the address space of this process is limited to {limit >> 20} MB (ulimit -v); about "
        f"{needed >> 20} MB may be needed on {cores} cores. Lift the limit with: ulimit -v "
        "unlimited, or ask the batch system for more memory"
    )
    if limit < LEAST:
        raise MemoryError(words)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return words
