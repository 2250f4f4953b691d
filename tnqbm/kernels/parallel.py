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
from typing import Any

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numba
from numba import get_num_threads, get_thread_id, set_num_threads

from tnqbm.kernels import cache as kernel_cache

kernel_cache.install()

OPTIONS: dict[str, Any] = {"error_model": "numpy", "cache": True, "nogil": True}
"""Of all kernels."""

__all__ = [
    "OPTIONS",
    "get_num_threads",
    "get_thread_id",
    "max_threads",
    "njit",
    "set_num_threads",
]


def njit(*functions: Any, **options: Any) -> Any:
    """``numba.njit``, which gives every function that a factory makes a name of its own."""

    def decorate(function: Any) -> Any:
        kernel_cache.own_name(function)
        return numba.njit(**options)(function)

    return decorate(functions[0]) if functions else decorate


def max_threads() -> int:
    """Most threads this process may use: NUMBA_NUM_THREADS, or the number of cores."""
    return int(numba.config.NUMBA_NUM_THREADS)
