"""Processes: finding the MPI ranks, talking between them, sharing a node's cores.

MPI is imported only when the process was started by an MPI launcher or is given a communicator;
everywhere else one rank does everything. All waiting is done by polling with short sleeps,
because MPI's own blocking calls spin and would take the cores from the ranks that still compute.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from mc.studies.seeds import Coordinate
from tnqbm.base.errors import install_command
from tnqbm.base.launcher import launched, launcher_size

POLL_SECONDS = 0.002
MESSAGE_TAG = 1

LAST_WORDS = 0.5
"""Seconds between what a failing rank says and the end of all ranks."""


MOST_WORDS = 10_000
"""Characters of a traceback's beginning and end that are shown."""


class StudyInterrupted(Exception):
    """A study was stopped by a signal after saving its state; it can be resumed.

    ``signum`` is the signal, ``out`` the archive, ``finished`` of ``planned`` runs are whole.
    """

    def __init__(self, signum: int, out: str, finished: int, planned: int) -> None:
        super().__init__(signum, out, finished, planned)
        self.signum, self.out, self.finished, self.planned = signum, out, finished, planned

    def __str__(self) -> str:
        return (
            f"stopped by signal {self.signum} with {self.finished} of {self.planned} runs "
            f"finished; everything is saved, continue with the same command and --resume "
            f"(in Python: resume=True)"
        )

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process ended by this signal: 130 for Ctrl-C."""
        return 128 + self.signum


class RunFailed(RuntimeError):
    """A run raised; the message holds its coordinates and the cause.

    ``coordinates`` (without seed), ``seeds`` of the batch, ``rank`` and ``details``, the
    traceback's text. Finished runs are kept and the study can be resumed.
    """

    def __init__(
        self,
        coordinates: Mapping[str, Coordinate],
        seeds: tuple[int, ...],
        rank: int,
        cause: str,
        details: str,
    ) -> None:
        super().__init__(dict(coordinates), seeds, rank, cause, details)
        self.coordinates, self.seeds, self.rank = dict(coordinates), seeds, rank
        self.cause, self.details = cause, details

    def __str__(self) -> str:
        from mc.studies.schedule import seeds_text

        where = ", ".join(f"{name} = {value!r}" for name, value in self.coordinates.items())
        return (
            f"run {where}, seed = {seeds_text(self.seeds)} failed on rank {self.rank}: "
            f"{self.cause}. Finished runs are kept; once the cause is mended, continue with "
            f"--resume (in Python: resume=True)"
        )


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

    def bcast(self, value: Any) -> Any:
        """Rank 0's value on every rank (collective)."""

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value on every rank, in rank order (collective)."""

    def meet(self, *, on_node: bool = False) -> None:
        """Return once all ranks (of this node) have come here (collective)."""

    def split(self, size: int) -> Any:
        """A new mpi4py communicator of this rank's ``size`` consecutive ranks (collective)."""

    def abort(self, code: int) -> None:
        """End all ranks at once; they get no chance to say anything."""

    def close(self) -> None:
        """Give back what MPI holds for this study (collective)."""


class OneRank:
    """A study in a single process."""

    rank, size, node_rank, node_size = 0, 1, 0, 1

    def send(self, message: Any, to: int) -> None:
        raise RuntimeError("a single process has nobody to send to")

    def receive(self) -> tuple[int, Any] | None:
        return None

    def bcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def meet(self, *, on_node: bool = False) -> None:
        return None

    def split(self, size: int) -> Any:
        raise RuntimeError("a single process cannot be divided")

    def abort(self, code: int) -> None:
        raise SystemExit(code)

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

    def send(self, message: Any, to: int) -> None:
        self._comm.send(message, dest=to, tag=MESSAGE_TAG)

    def receive(self) -> tuple[int, Any] | None:
        status = self._mpi.Status()
        if not self._comm.iprobe(source=self._mpi.ANY_SOURCE, tag=MESSAGE_TAG, status=status):
            return None
        source = int(status.Get_source())
        return source, self._comm.recv(source=source, tag=MESSAGE_TAG)

    def bcast(self, value: Any) -> Any:
        self.meet()
        return self._comm.bcast(value, root=0)

    def gather(self, value: Any) -> list[Any]:
        self.meet()
        return list(self._comm.allgather(value))

    def meet(self, *, on_node: bool = False) -> None:
        request = (self._node if on_node else self._comm).Ibarrier()
        pause = POLL_SECONDS
        while not request.Test():
            time.sleep(pause)
            pause = min(0.05, 1.2 * pause)

    def split(self, size: int) -> Any:
        self._parts.append(self._comm.Split(self.rank // size, self.rank))
        return self._parts[-1]

    def abort(self, code: int) -> None:
        self._mpi.COMM_WORLD.Abort(code)

    def close(self) -> None:
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
        raise RuntimeError(
            f"the launcher started {expected} processes, but each of them is alone in MPI: the "
            f"launcher (mpiexec or srun) belongs to another MPI than the library in use, "
            f"{library}. Start with that library's own mpiexec "
            f"({install_command('mpich', 'mpich')} brings one: {beside}), under "
            "Slurm try srun --mpi=pmi2 or --mpi=pmix, or rebuild mpi4py for the cluster's MPI: "
            "pip install --force-reinstall --no-binary mpi4py mpi4py"
        )
    _abort_on_uncaught(MPI)
    return MPI.COMM_WORLD


def connect(comm: Any | None = None) -> Ranks:
    """The ranks of ``comm`` (an mpi4py communicator), or of the launcher, or this process."""
    comm = get_comm() if comm is None else comm
    return OneRank() if comm is None or comm.size == 1 else MpiRanks(comm)


_hooked = False


def _abort_on_uncaught(mpi: Any) -> None:
    """Let an uncaught exception end all ranks: left alone, the others would wait for ever."""
    global _hooked
    if _hooked or mpi.COMM_WORLD.size == 1:
        return
    _hooked = True
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        previous(kind, error, trace)
        if mpi.Is_initialized() and not mpi.Is_finalized():
            _let_words_through()
            mpi.COMM_WORLD.Abort(1)

    sys.excepthook = hook


def _let_words_through() -> None:
    """Give the launcher time to pass on what was written: aborting ends it, whatever it holds."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    time.sleep(LAST_WORDS)


class Agreed(Exception):
    """Carries an exception that every rank raises together, past :func:`abort_on_error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def abort_on_error(ranks: Ranks) -> Iterator[None]:
    """End all ranks if this one fails alone; exceptions that all raise together pass.

    Without it, a rank that fails would leave the others waiting for its messages.
    """
    try:
        yield
    except Agreed as agreed:
        raise agreed.error from agreed.error.__cause__
    except BaseException:
        if ranks.size > 1:
            head = f"rank {ranks.rank} on {socket.gethostname()} failed:\n"
            text = traceback.format_exc()
            if len(text) > 2 * MOST_WORDS:
                text = f"{text[:MOST_WORDS]}\n...\n{text[-MOST_WORDS:]}"
            # A terminal that has gone must not keep this rank from ending the others.
            with suppress(OSError, ValueError):
                sys.stderr.write(head + text)  # at once: others may write, too
            _let_words_through()
            ranks.abort(1)
        raise


def together(ranks: Ranks, work: Callable[[], Any]) -> Any:
    """Do ``work`` on rank 0 and return its result everywhere, or raise its exception everywhere.

    The exception is wrapped as :class:`Agreed` on all ranks.
    """
    result: Any = None
    failure: BaseException | None = None
    if ranks.rank == 0:
        try:
            result = work()
        except Exception as error:
            failure = error
    result, failure = ranks.bcast((result, _sendable(failure)))
    if failure is not None:
        raise Agreed(failure)
    return result


def _sendable(error: BaseException | None) -> BaseException | None:
    """The exception, or a stand-in if it does not survive being sent to another process."""
    import pickle

    if error is None:
        return None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


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
