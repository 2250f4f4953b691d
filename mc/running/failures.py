"""Errors of runs and of the machine, and the summary of failed runs at the end of a study."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mc.running.interruption import TIME_UP
from mc.studies.schedule import seeds_text
from mc.studies.seeds import Coordinate
from tnqbm.base.errors import ArchiveError
from tnqbm.base.text import cause_of, one_page

OUT_OF_TIME = 75
"""Exit code of a study whose time was up; sysexits.h has it for what should be tried again."""

MOST = 5
"""Groups of failed runs that a message names."""

TRACEBACK = 20_000
"""Characters that are kept of a traceback."""


class StudyInterrupted(Exception):
    """A study was stopped by a signal, or its time was up; its state is saved, it can be resumed.

    ``signum`` is the signal, or 0 where the time was up; ``out`` the archive, ``finished`` of
    ``planned`` runs are whole.
    """

    def __init__(self, signum: int, out: str, finished: int, planned: int) -> None:
        super().__init__(signum, out, finished, planned)
        self.signum, self.out, self.finished, self.planned = signum, out, finished, planned

    def __str__(self) -> str:
        return (
            f"{self.cause} with {self.finished} of {self.planned} runs finished; everything is "
            "saved, continue with the same command and --resume (in Python: resume=True)"
        )

    @property
    def cause(self) -> str:
        """What stopped the study, in words."""
        if self.signum == TIME_UP:
            return "stopped because its time was up"
        return f"stopped by signal {self.signum}"

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process ended by the signal (Ctrl-C: 130), or OUT_OF_TIME."""
        return OUT_OF_TIME if self.signum == TIME_UP else 128 + self.signum


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
        where = ", ".join(f"{name} = {value!r}" for name, value in self.coordinates.items())
        return (
            f"run {where}, seed = {seeds_text(self.seeds)} failed on rank {self.rank}: "
            f"{self.cause}. Finished runs are kept; once the cause is mended, continue with "
            f"--resume (in Python: resume=True)"
        )


class MemberFailed(RuntimeError):
    """Another member of the team raised: its ``rank`` in the study, ``cause`` and ``details``.

    ``of_run`` is whether the error belongs to the run, see :func:`is_of_run`.
    """

    def __init__(self, rank: int, cause: str, details: str, of_run: bool) -> None:
        super().__init__(rank, cause, details, of_run)
        self.rank, self.cause, self.details, self.of_run = rank, cause, details, of_run

    def __str__(self) -> str:
        return f"rank {self.rank} failed: {self.cause}"


class FailedAlone(RuntimeError):
    """This member raised while the others wait for it, and they cannot be reached any more."""


class RanksApart(RuntimeError):
    """Members of a team computed different numbers."""


_NOT_THE_RUN = (
    OSError, MemoryError, ImportError, KeyboardInterrupt, ArchiveError, FailedAlone, RanksApart,
)  # fmt: skip


def is_of_run(error: BaseException) -> bool:
    """Whether an error belongs to the run in which it was raised.

    Then the run fails and the others go on. Anything that another run would meet as well, or that
    another machine or hour would not, stops the study, which can be resumed: disks, memory,
    networks, missing packages, MPI.
    """
    if isinstance(error, MemberFailed):
        return error.of_run
    return not isinstance(error, _NOT_THE_RUN) and not type(error).__module__.startswith("mpi4py")


def error_report(error: BaseException) -> tuple[str, str, bool]:
    """An error for other ranks: its cause, its traceback, and whether it belongs to the run."""
    if isinstance(error, MemberFailed):
        return error.cause, error.details, error.of_run
    text = "".join(traceback.format_exception(error))
    return cause_of(error), one_page(text, TRACEBACK), is_of_run(error)


@dataclass(frozen=True)
class FailedRuns:
    """How many of a study's ``planned`` runs failed, and a ``message`` that says which, and why."""

    count: int
    planned: int
    message: str = ""


def failures(rows: Sequence[Mapping[str, Any]], planned: int) -> FailedRuns:
    """The summary of runs that failed; ``rows`` as :meth:`tnqbm.Archive.failures`."""
    if not rows:
        return FailedRuns(0, planned)
    groups: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        where = ", ".join(f"{k} = {v!r}" for k, v in row.items() if k not in ("seed", "cause"))
        cause = row["cause"].partition("\n")[0] or "its gradient could not be estimated any more"
        groups.setdefault((where, cause), []).append(row["seed"])
    lines = [
        f"  {where}, seed = {seeds_text(sorted(seeds))}: {cause}"
        for (where, cause), seeds in list(groups.items())[:MOST]
    ]
    if len(groups) > MOST:
        lines.append(f"  and {len(groups) - MOST} more; tnqbm show --runs names all")
    head = f"{len(rows)} of {planned} runs failed; they are marked so in the archive:"
    cure = (
        "--resume does not try them again unless their settings change, or with --retry-failed "
        "(in Python: retry_failed=True)"
    )
    return FailedRuns(len(rows), planned, "\n".join([head, *lines, cure]))
