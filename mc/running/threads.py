"""How many threads each rank may keep busy on its node."""

from __future__ import annotations

import os
import socket

from mc.running.ranks import Ranks


def cores_for_rank(ranks: Ranks) -> int:
    """Cores that this rank may keep busy so that the node's ranks together never exceed it.

    Counts the cores of the affinity mask (what mpiexec and Slurm bind a rank to), each divided
    by the number of the node's ranks that may use it. At least 1. Collective.
    """
    mine = _affinity()
    host = socket.gethostname()
    masks = [mask for name, mask in ranks.gather((host, mine)) if name == host]
    share = sum(1.0 / max(1, sum(core in mask for mask in masks)) for core in mine)
    return max(1, int(share + 1e-9))


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def set_threads(ranks: Ranks) -> int:
    """Give this rank's Numba its share of the node's cores and return it. Collective.

    NUMBA_NUM_THREADS in the environment is taken as the user's own choice.
    """
    from tnqbm.kernels import parallel

    most = parallel.max_threads()
    share = cores_for_rank(ranks)
    threads = most if os.environ.get("NUMBA_NUM_THREADS") else min(share, most)
    parallel.set_num_threads(threads)
    return threads
