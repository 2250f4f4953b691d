"""Numba's parallel tools, with waiting threads that sleep.

OpenMP's threads by default spin while they wait for the next parallel region. Kernels here are
short and called thousands of times, so on a machine that is not idle (another rank, another user)
spinning threads take the cores from those that work: measured slowdowns of five times. The
setting is read when Numba starts its threads; a value from the environment is respected.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba
from numba import get_num_threads, get_thread_id, njit, prange, set_num_threads

__all__ = [
    "get_num_threads",
    "get_thread_id",
    "max_threads",
    "njit",
    "prange",
    "set_num_threads",
]


def max_threads() -> int:
    """Most threads this process may use: NUMBA_NUM_THREADS, or the number of cores."""
    return int(numba.config.NUMBA_NUM_THREADS)
