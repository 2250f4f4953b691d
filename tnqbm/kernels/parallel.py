"""Numba's parallel tools, with waiting threads that soon go to sleep.

OpenMP's threads by default spin for milliseconds while they wait for the next parallel region.
Kernels here are short and called thousands of times, so on a machine that is not idle (another
rank, another user) spinning threads take the cores from those that work: measured slowdowns of
five times. GNU's OpenMP can be told to spin for about 0.1 ms first, which bridges the gap between
two kernels of one update on an idle machine. The settings are read when Numba starts its threads;
values from the environment are respected.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numba
from numba import get_num_threads, get_thread_id, prange, set_num_threads

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


def njit(*functions: Any, **options: Any) -> Any:
    """``numba.njit``, which gives every function that a factory makes a name of its own.

    Numba calls the machine code of a function by its name and a number that counts functions in
    the order in which a process makes them. Two functions of one factory that got the same number
    in two processes would be taken for one another when machine code is read from the cache.
    """

    def decorate(function: Any) -> Any:
        if getattr(function, "__closure__", None):
            made_with = repr(kernel_cache.identity(function)).encode()
            function.__qualname__ += f"_{hashlib.sha256(made_with).hexdigest()[:16]}"
        return numba.njit(**options)(function)

    return decorate(functions[0]) if functions else decorate


def max_threads() -> int:
    """Most threads this process may use: NUMBA_NUM_THREADS, or the number of cores."""
    return int(numba.config.NUMBA_NUM_THREADS)
