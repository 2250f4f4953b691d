"""Numba's parallel tools, with waiting threads that soon go to sleep.

OpenMP's threads by default spin for milliseconds while they wait for the next parallel region.
Kernels here are short and called thousands of times, so on a machine that is not idle (another
rank, another user) spinning threads take the cores from those that work: measured slowdowns of
five times. GNU's OpenMP can be told to spin for about 0.1 ms first, which bridges the gap between
two kernels of one update on an idle machine. The settings are read when Numba starts its threads;
values from the environment are respected.
"""

from __future__ import annotations

import os

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numba
from numba import get_num_threads, get_thread_id, njit, prange, set_num_threads

from tnqbm.kernels import cache as kernel_cache

kernel_cache.install()

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
