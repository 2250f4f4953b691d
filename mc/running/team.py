"""Teams: several MPI ranks that share one run, and how they stay together.

The ranks of a study are cut into teams of consecutive ranks. The first of a team leads it: it
fetches tasks, decides how far the team trains before it looks up, and writes all files. Members
exchange numbers of the training only as :class:`tnqbm.base.teams.Team` does; everything else goes
through :meth:`Members.synchronize` and :meth:`Members.broadcast`, on a communicator of its own, so
that a member that has failed can say so while others still exchange numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mc.running.failures import FailedAlone, MemberFailed, error_report
from mc.running.ranks import Ranks, wait_until
from tnqbm.base.teams import Alone, Team
from tnqbm.base.text import cause_of

PATIENCE_SECONDS = 5.0
"""How long a member that failed waits for the others to come to the same end."""

SHORTEST_PAUSE, LONGEST_PAUSE = 1e-5, 0.005


class Members(Team, Protocol):
    """The processes of one run as they train together; all must call every method in turn."""

    def synchronize(
        self,
        numbers: Sequence[int],
        error: BaseException | None = None,
        patience: float | None = None,
    ) -> NDArray[np.int64]:
        """The numbers of all members as an array (members, numbers).

        If a member brings an error all raise: those with an error theirs, the others
        :class:`MemberFailed`; but if one brings an error that is not the run's, all of them raise
        that one. A member with an error waits no longer than ``patience`` seconds (None: for ever)
        for the others, then raises :class:`FailedAlone`.
        """

    def broadcast(self, value: Any) -> Any:
        """The leader's value on every member."""


class SingleMember(Alone):
    """A team of one process."""

    def synchronize(
        self,
        numbers: Sequence[int],
        error: BaseException | None = None,
        patience: float | None = None,
    ) -> NDArray[np.int64]:
        if error is not None:
            raise error
        return np.array([numbers], dtype=np.int64)

    def broadcast(self, value: Any) -> Any:
        return value


class MpiTeam:
    """A team over an mpi4py communicator.

    ``control`` is a second communicator of the same processes; ``first`` is the leader's rank in
    the study, for messages.
    """

    def __init__(self, comm: Any, control: Any, first: int) -> None:
        from mpi4py import MPI

        self._mpi, self._comm, self._control = MPI, comm, control
        self.rank, self.size = int(comm.rank), int(comm.size)
        self._first = first

    def add(self, sums: NDArray[np.int64]) -> None:
        if sums.dtype != np.int64 or not sums.flags.c_contiguous:
            raise TypeError(f"sums must be a contiguous array of int64, got {sums.dtype}")
        # Blocking calls spin, which is what is wanted here: the others are at most a part of an
        # update behind.
        self._comm.Allreduce(self._mpi.IN_PLACE, sums, op=self._mpi.SUM)

    def gather(self, part: NDArray[Any]) -> NDArray[Any]:
        rows = np.ascontiguousarray(np.moveaxis(part, 1, 0))
        counts = self._comm.allgather(rows.shape[0])
        joined = np.empty((sum(counts), *rows.shape[1:]), rows.dtype)
        # Counted in chains, so that large arrays do not overflow MPI's counters of bytes.
        chain = self._mpi.BYTE.Create_contiguous(joined[:1].nbytes).Commit()
        try:
            self._comm.Allgatherv([rows, rows.shape[0], chain], [joined, counts, chain])
        finally:
            chain.Free()
        return np.ascontiguousarray(np.moveaxis(joined, 0, 1))

    def synchronize(
        self,
        numbers: Sequence[int],
        error: BaseException | None = None,
        patience: float | None = None,
    ) -> NDArray[np.int64]:
        own = np.array([error is not None, *numbers], dtype=np.int64)
        gathered = np.empty((self.size, own.size), dtype=np.int64)
        request = self._control.Iallgather(own, gathered)
        arrived = wait_until(
            request.Test,
            None if error is None else patience,
            shortest=SHORTEST_PAUSE,
            longest=LONGEST_PAUSE,
        )
        if not arrived:
            assert error is not None
            raise FailedAlone(cause_of(error)) from error
        if gathered[:, 0].any():
            report = None if error is None else error_report(error)
            causes = self._control.allgather(report)
            # What stops the study comes first: all members must see the same.
            k = min(np.flatnonzero(gathered[:, 0]), key=lambda member: causes[member][2])
            if error is not None and report is not None and report[2] == causes[k][2]:
                raise error
            raise MemberFailed(self._first + int(k), *causes[k])
        return gathered[:, 1:]

    def broadcast(self, value: Any) -> Any:
        wait_until(self._control.Ibarrier().Test, shortest=SHORTEST_PAUSE, longest=LONGEST_PAUSE)
        return self._control.bcast(value, root=0)


def join(ranks: Ranks, size: int) -> Members:
    """This rank's team of ``size`` consecutive ranks. Collective over all ranks."""
    if size == 1:
        return SingleMember()
    return MpiTeam(ranks.split(size), ranks.split(size), ranks.rank // size * size)


def team_size_error(ranks: int, size: int) -> str:
    """Why so many ranks cannot be cut into teams of ``size``, or an empty text."""
    if ranks % size == 0:
        return ""
    near = [count for count in (ranks // size * size, (ranks // size + 1) * size) if count]
    return (
        f"{ranks} rank{'s' * (ranks != 1)} cannot be cut into teams of {size}; start with "
        f"{' or '.join(f'mpiexec -n {count}' for count in near)}, or change the key, on which no "
        "number depends"
    )


def team_text(ranks: int, size: int) -> str:
    """The layout for people: ``2 teams of 4 ranks``."""
    teams = ranks // size
    return f"{teams} team{'s' * (teams != 1)} of {size} ranks"
