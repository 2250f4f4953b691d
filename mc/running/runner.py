"""Running a study: on one process or over MPI ranks, into one archive, resumably."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mc.running.failures import (
    FailedAlone,
    FailedRuns,
    MemberFailed,
    RunFailed,
    StudyInterrupted,
    error_report,
    failures,
    is_of_run,
)
from mc.running.interruption import Agreed, SignalWatch, abort_on_error, on_rank_0
from mc.running.prepare import Start, StartOptions, failed_key, prepare, runs_of
from mc.running.progress import Progress
from mc.running.provenance import now
from mc.running.ranks import Ranks, connect, get_comm, set_threads, wait_until
from mc.running.scheduler import Outcome, TaskFailure, TaskSource, TaskTable, task_source
from mc.running.team import join, team_text
from mc.running.train_task import TaskContext, train_task
from mc.running.wall_time import Deadline, Limit, StopOptions, time_limit
from mc.running.warm_up import warm_up_for
from mc.running.workspace import Workspace, identity_text
from mc.studies.file import load_study
from mc.studies.identity import study_identity
from mc.studies.schedule import Task
from mc.studies.study import Study
from tnqbm.base.text import cause_of

CHUNK_SECONDS = 0.25
"""How long a rank trains between two looks at signals and messages."""

ROOT_CHUNK_SECONDS = 0.03
"""The same for rank 0 while others may be waiting for its answer."""

MOST_PARTS = 40
"""Files of finished tasks beyond one for each rank, above which they are joined: thousands of files
are a burden for file systems of clusters, and slow to look at."""

VISIBLE_SECONDS = 10.0
"""How long other hosts wait for a file of rank 0 to appear on a shared file system."""


def run_study(
    study: Study | str | Path | Mapping[str, Any],
    out: str | Path,
    comm: Any | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    retry_failed: bool = False,
    stop_at: str | datetime | None = None,
    stop_after: str | float | None = None,
    progress: bool = True,
) -> Path:
    """Run everything a study asks for and return the path of the finished archive.

    ``study`` is a Study or what :func:`mc.load_study` takes; ``out`` the archive to be made.
    ``comm`` is an mpi4py communicator; by default the ranks of the MPI launcher, if one started
    this process, else this process alone. Collective: every rank must call it, and all return or
    raise together. The numbers do not depend on ranks, threads, batches or interruptions, nor on
    the study's ``ranks_per_run``, of which the number of ranks must be a multiple.

    ``resume`` continues where an earlier start stopped (or starts, if there was none): settings
    of finished runs must be the same, runs may be added and taken away. ``overwrite`` replaces an
    existing archive. ``progress`` shows one display on rank 0's standard error.

    ``stop_at`` and ``stop_after`` say when the study must have ended, for a batch job with a time
    limit: a time such as "16:30", "2030-01-31T16:30" (local unless it says otherwise), seconds
    since 1970 or a datetime; a span such as "3h30m", "3:30:00" or a number of seconds. The earliest
    counts, and so does SLURM_JOB_END_TIME where Slurm sets it. Before that time, by as much as
    saving took so far and a reserve of half a minute (less where the time is short), the study
    saves its state and raises StudyInterrupted.

    A run that raises or diverges is marked failed, with its cause, and the others go on; at the
    end rank 0 warns of them (RuntimeWarning). ``resume`` leaves failed runs as they are unless
    their settings have changed; ``retry_failed``, which includes it, tries them all again.

    Raises StudyError (a wrong study, or a resume with other settings), FileExistsError and other
    OSErrors about the output, OutputBusyError if another process works on it, ArchiveError if it
    is damaged, RunFailed if a run met an error that is not its own (a full disk, too little memory,
    a missing package), StudyInterrupted on SIGINT, SIGTERM, SIGHUP, SIGUSR1,
    SIGUSR2 or SIGXCPU, or when the time is up. After the last two finished runs are kept and the
    study can be resumed. A rank that was killed ends all others, with exit code 4, wherever the
    launcher has not done so already.
    """
    options = StartOptions(resume or retry_failed, overwrite, retry_failed)
    stop = StopOptions(stop_at, stop_after)
    comm = get_comm() if comm is None else comm
    with SignalWatch() as watch:
        end = execute(study, out, comm, options, stop, watch, progress=progress)
    if end.failed.count and end.first:
        warnings.warn(end.failed.message, RuntimeWarning, stacklevel=2)
    return end.path


@dataclass(frozen=True)
class StudyEnd:
    """A study that has ended: its archive, what failed, and whether this is its first rank."""

    path: Path
    failed: FailedRuns
    first: bool


def execute(
    study: Study | str | Path | Mapping[str, Any],
    out: str | Path,
    comm: Any | None,
    options: StartOptions,
    stop: StopOptions,
    watch: SignalWatch,
    *,
    progress: bool,
) -> StudyEnd:
    """As :func:`run_study`, without the warning of failed runs; ``watch`` has been entered."""
    if not isinstance(study, Study):
        study = load_study(study)
    ranks = connect(comm)
    workspace = Workspace(out)
    try:
        with abort_on_error(ranks):
            limit: Limit = on_rank_0(ranks, lambda: time_limit(stop))
            watch.deadline = Deadline(limit.seconds)
            # Several ranks must not end while others save; their launcher ends them if it must be.
            watch.insist = ranks.size == 1
            failed = _run(study, workspace, ranks, options, watch, limit.notes, progress)
    except StudyInterrupted:
        watch.ignore()
        raise
    finally:
        ranks.close()
    return StudyEnd(workspace.out, failed, ranks.rank == 0)


def _run(
    study: Study,
    workspace: Workspace,
    ranks: Ranks,
    options: StartOptions,
    watch: SignalWatch,
    notes: list[str],
    shown: bool,
) -> FailedRuns:
    # Rank 0's study counts, should a file have changed while the ranks were reading it.
    study = ranks.broadcast(study)
    threads = set_threads(ranks)
    with ExitStack() as stack:
        start: Start = on_rank_0(
            ranks, lambda: prepare(study, workspace, ranks, threads, options, stack)
        )
        _check_visible(workspace, ranks)
        if start.tasks:
            _compile(study, start.tasks, ranks)
        size = study.run.ranks_per_run
        teams = ranks.size // size
        display = Progress(
            study.name,
            planned=start.planned,
            finished=start.finished,
            planned_cost=start.planned_cost,
            finished_cost=start.finished_cost,
            ranks=teams,
            shown=shown and ranks.rank == 0,
        )
        context = TaskContext(
            study=study,
            workspace=workspace,
            identity=identity_text(study_identity(study)),
            rank=ranks.rank,
            chunk_seconds=ROOT_CHUNK_SECONDS if ranks.rank == 0 < teams - 1 else CHUNK_SECONDS,
            team=join(ranks, size),
            watch=watch,
        )
        with display:
            for note in notes:
                display.say(note)
            for warning in start.warnings:
                display.say(f"warning: {warning}")
            if size > 1:
                display.say(team_text(ranks.size, size))
            change = _on_change(display, workspace, watch, MOST_PARTS + ranks.size)
            source = task_source(ranks, start.tasks, watch, change, team=size, lost=workspace.lost)
            error = _work(context, source, start.tasks, ranks)
            outcome = source.finish()
        if outcome is not None and outcome.lost:
            # Nothing can be agreed upon any more; the others have saved and wait to be ended.
            _assemble(study, workspace, start, outcome)
            raise ranks.loss()
        failed: FailedRuns = on_rank_0(
            ranks, lambda: _conclude(study, workspace, start, outcome, error)
        )
    return failed


def _on_change(
    display: Progress, workspace: Workspace, watch: SignalWatch, most: int
) -> Callable[[TaskTable, bool], None]:
    """What rank 0 does whenever it looks up: show progress, and keep the number of parts low."""
    done = -1

    def change(table: TaskTable, last: bool) -> None:
        nonlocal done
        display.update(table, last)
        # The end assembles all parts anyway.
        if table.done_runs != done and not last and watch.signum is None:
            done = table.done_runs
            with watch.saving():
                workspace.join_parts(most)

    return change


def _check_visible(workspace: Workspace, ranks: Ranks) -> None:
    """Refuse ranks that do not see the output's folder: their results would be lost."""
    wait_until(workspace.folder.is_dir, VISIBLE_SECONDS, longest=0.1)
    seen = ranks.gather((socket.gethostname(), workspace.folder.is_dir()))
    blind = [f"rank {k} on {host}" for k, (host, sees) in enumerate(seen) if not sees]
    if blind:
        raise Agreed(
            FileNotFoundError(
                f"{', '.join(blind[:4])} cannot see {workspace.folder.resolve()}: give an output "
                "on a file system that all nodes share"
            )
        )


def _compile(study: Study, tasks: list[Task], ranks: Ranks) -> None:
    """Compile on one rank per node first: ranks that compile together race for Numba's cache."""
    for turn in (True, False):
        failure: BaseException | None = None
        if (ranks.node_rank == 0) is turn:
            try:
                warm_up_for(study, tasks)
            except (Exception, SystemExit) as error:
                # What a run raises is that run's affair, when its turn comes.
                if not is_of_run(error):
                    failure = error
        causes = [cause for cause in ranks.gather(failure and cause_of(failure)) if cause]
        if causes:
            raise Agreed(failure or RuntimeError(f"compiling the kernels failed: {causes[0]}"))


def _work(
    context: TaskContext, source: TaskSource, tasks: list[Task], ranks: Ranks
) -> BaseException | None:
    """Work on tasks until there are none; what stopped this rank's last task, if anything did."""
    raised: BaseException | None = None
    while (task := source.next_task()) is not None:
        try:
            failed = train_task(context, task, source.tick)
        except FailedAlone as error:
            # The others of the team wait for this rank for ever: all that is left is to end them.
            cause, details, _ = error_report(error)
            raise RunFailed(
                task.coordinates, task.seeds, ranks.rank, str(error), details
            ) from error
        except Exception as error:
            raised = error
            cause, details, _ = error_report(error)
            rank = error.rank if isinstance(error, MemberFailed) else ranks.rank
            source.end_task(TaskFailure(task.index, rank, cause, details))
        else:
            source.end_task(failed)
    return raised


def _assemble(study: Study, workspace: Workspace, start: Start, outcome: Outcome) -> None:
    """Write the archive of what has finished. Rank 0 only."""
    workspace.check_held()
    if outcome.done or start.parts or start.tasks or not workspace.out.exists():
        provenance = start.provenance | {"finished": now()}
        workspace.assemble(start.plan, study.text, provenance)


def _conclude(
    study: Study,
    workspace: Workspace,
    start: Start,
    outcome: Outcome | None,
    raised: BaseException | None,
) -> FailedRuns:
    """Assemble the archive; raise if the study was stopped; what failed. Rank 0 only."""
    assert outcome is not None
    _assemble(study, workspace, start, outcome)
    if outcome.failures:
        failure = outcome.failures[0]
        task = start.tasks[failure.task]
        error = RunFailed(
            task.coordinates, task.seeds, failure.rank, failure.cause, failure.details
        )
        raise error from raised
    finished = start.finished + sum(len(start.tasks[index].seeds) for index in outcome.done)
    if outcome.signum is not None and finished < start.planned:
        raise StudyInterrupted(outcome.signum, str(workspace.out), finished, start.planned)
    planned = runs_of(study.plan())
    return failures(
        [row for row in workspace.failures() if failed_key(row) in planned], start.planned
    )
