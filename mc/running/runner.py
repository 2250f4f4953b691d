"""Running a study: on one process or over MPI ranks, into one archive, resumably."""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mc.running.aborting import Agreed, abort_on_error, on_rank_0
from mc.running.checkpoint import begun, usable_checkpoints
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
from mc.running.progress import Progress
from mc.running.provenance import build, now, study_provenance
from mc.running.ranks import Ranks, connect
from mc.running.scheduler import Outcome, TaskFailure, TaskSource, task_source
from mc.running.signals import SignalWatch
from mc.running.team import join, most_members, team_size_error, team_text
from mc.running.threads import set_threads
from mc.running.train_task import TaskContext, train_task, warm_up
from mc.running.workspace import (
    Found,
    Workspace,
    failed_key,
    identity_text,
    resumption,
    runs_of,
    with_finished,
)
from mc.studies.checks import unsaid_repeats
from mc.studies.file import load_study
from mc.studies.identity import SETTINGS, study_identity
from mc.studies.schedule import Key, Task
from mc.studies.study import Study
from tnqbm.base.errors import StudyError
from tnqbm.base.text import cause_of

if TYPE_CHECKING:
    from tnqbm.archive import PlannedGroup

CHUNK_SECONDS = 0.25
"""How long a rank trains between two looks at signals and messages."""

ROOT_CHUNK_SECONDS = 0.03
"""The same for rank 0 while others may be waiting for its answer."""

VISIBLE_SECONDS = 10.0
"""How long other hosts wait for a file of rank 0 to appear on a shared file system."""


@dataclass
class _Start:
    """What rank 0 found and decided before the work; ``tasks`` is sent to all ranks."""

    tasks: list[Task]
    plan: list[PlannedGroup]
    provenance: dict[str, str]
    parts: int = 0
    finished: int = 0
    planned: int = 0
    finished_cost: float = 0.0
    planned_cost: float = 0.0
    warnings: list[str] = field(default_factory=list)


def run_study(
    study: Study | str | Path | Mapping[str, Any],
    out: str | Path,
    comm: Any | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    retry_failed: bool = False,
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

    A run that raises or diverges is marked failed, with its cause, and the others go on; at the
    end rank 0 warns of them (RuntimeWarning). ``resume`` leaves failed runs as they are unless
    their settings have changed; ``retry_failed``, which includes it, tries them all again.

    Raises StudyError (a wrong study, or a resume with other settings), FileExistsError and other
    OSErrors about the output, OutputBusyError if another process works on it, ArchiveError if it
    is damaged, RunFailed if a run met an error that is not its own (a full disk, too little memory,
    a missing package), StudyInterrupted on SIGINT, SIGTERM, SIGHUP, SIGUSR1,
    SIGUSR2 or SIGXCPU. After the last two finished runs are kept and the study can be resumed.
    """
    done = execute(
        study,
        out,
        comm,
        resume=resume,
        overwrite=overwrite,
        retry_failed=retry_failed,
        progress=progress,
    )
    if done.failed.count and done.first:
        warnings.warn(done.failed.words, RuntimeWarning, stacklevel=2)
    return done.path


@dataclass(frozen=True)
class Done:
    """A study that has ended: its archive, what failed, and whether this is its first rank."""

    path: Path
    failed: FailedRuns
    first: bool


def execute(
    study: Study | str | Path | Mapping[str, Any],
    out: str | Path,
    comm: Any | None,
    *,
    resume: bool,
    overwrite: bool,
    retry_failed: bool,
    progress: bool,
) -> Done:
    """As :func:`run_study`, without the warning of failed runs."""
    if not isinstance(study, Study):
        study = load_study(study)
    ranks = connect(comm)
    wanted = Wanted(resume or retry_failed, overwrite, retry_failed)
    workspace = Workspace(out)
    try:
        with abort_on_error(ranks):
            failed = _run(study, workspace, ranks, wanted, progress)
    finally:
        ranks.close()
    return Done(workspace.out, failed, ranks.rank == 0)


class Wanted(NamedTuple):
    """What is to be done with what earlier starts left."""

    resume: bool
    overwrite: bool
    retry_failed: bool


def _run(
    study: Study, workspace: Workspace, ranks: Ranks, wanted: Wanted, shown: bool
) -> FailedRuns:
    # Rank 0's study counts, should a file have changed while the ranks were reading it.
    study = ranks.broadcast(study)
    threads = set_threads(ranks)
    with ExitStack() as stack:
        # Several ranks must not end while others save; their launcher ends them if it must be.
        watch = stack.enter_context(SignalWatch(insist=ranks.size == 1))
        start: _Start = on_rank_0(
            ranks, lambda: _prepare(study, workspace, ranks, threads, wanted, stack)
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
            saving=watch.saving,
        )
        with display:
            for warning in start.warnings:
                display.say(f"warning: {warning}")
            if size > 1:
                display.say(team_text(ranks.size, size))
            source = task_source(
                ranks, start.tasks, watch, display.update, team=size, lost=workspace.lost
            )
            error = _work(context, source, start.tasks, ranks)
            outcome = source.finish()
        failed: FailedRuns = on_rank_0(
            ranks, lambda: _conclude(study, workspace, start, outcome, error)
        )
    return failed


def _prepare(
    study: Study,
    workspace: Workspace,
    ranks: Ranks,
    threads: int,
    wanted: Wanted,
    stack: ExitStack,
) -> _Start:
    """Everything that can be wrong before the work, and the list of tasks. Rank 0 only."""
    size = study.run.ranks_per_run
    if wrong := team_size_error(ranks.size, size):
        raise StudyError(f"run.ranks_per_run = {size}: {wrong}")
    workspace.check(resume=wanted.resume, overwrite=wanted.overwrite, inputs=study.files())
    plan = study.plan()
    identity = study_identity(study)
    stack.enter_context(workspace.hold())
    # Again, now that nobody else can change it.
    workspace.check(resume=wanted.resume, overwrite=wanted.overwrite)
    workspace.sweep()
    if wanted.overwrite:
        workspace.clear()
    found = workspace.read()
    again: frozenset[Key] = frozenset()
    other_build: list[str] = []
    if workspace.begun():
        going_on = resumption(study, workspace, found, retry_failed=wanted.retry_failed)
        identity, again = going_on.identity, going_on.again
        found.finished -= again
        other_build = _other_build(found)
    elif problems := unsaid_repeats(study):
        raise StudyError("\n  ".join([f"{study.name} cannot start:", *problems]))
    plan = with_finished(plan, found.finished)
    text = identity_text(identity)
    checkpoints, useless = usable_checkpoints(workspace.checkpoints, text)
    provenance = study_provenance(ranks, threads) | {SETTINGS: text, "starts": "1"}
    if size > 1:
        provenance["ranks_per_run"] = str(size)
    if found.provenance:
        provenance["started"] = found.provenance.get("started", provenance["started"])
        provenance["starts"] = str(int(found.provenance.get("starts", "0")) + 1)
    tasks = study.tasks(finished=found.finished, begun=begun(checkpoints))
    if again:
        workspace.assemble(plan, study.text, provenance, without=again)
        found.parts = 0
    _drop_superseded(workspace, tasks)
    everything = study.tasks()
    planned_cost = sum(task.cost for task in everything)
    if tasks:
        workspace.write_plan(plan, study.text, provenance)
    runs = runs_of(study.plan())
    return _Start(
        tasks=tasks,
        plan=plan,
        provenance=provenance,
        parts=found.parts,
        finished=len(runs & found.finished),
        planned=len(runs),
        finished_cost=planned_cost - sum(task.cost for task in tasks),
        planned_cost=planned_cost,
        warnings=[
            *found.warnings,
            *useless,
            *(other_build if tasks else []),
            *_idle_members(study),
        ],
    )


def _other_build(found: Found) -> list[str]:
    """A warning if what is there was made by another build than what will be."""
    earlier = found.provenance.get("build", f"{found.provenance.get('tnqbm', '?')} (not recorded)")
    if not found.finished or earlier == build():
        return []
    return [
        f"the runs that are there were made by another build ({earlier}) than this one "
        f"({build()}); their digits may differ from those of the runs to come"
    ]


def _idle_members(study: Study) -> list[str]:
    """Warnings of gradients that leave some ranks of a team without work."""
    size = study.run.ranks_per_run
    most = {label: most_members(study.settings(label)) for label in study.labels()}
    return [
        f"run.ranks_per_run = {size}: the chains and minibatches of {label!r} occupy at most "
        f"{count} of them"
        for label, count in most.items()
        if count < size
    ]


def _drop_superseded(workspace: Workspace, tasks: list[Task]) -> None:
    """Remove checkpoints of tasks that are no longer to do: their blocks are there."""
    wanted = {workspace.checkpoint(task) for task in tasks}
    for path in workspace.checkpoints.glob("*.h5"):
        if path not in wanted:
            path.unlink(missing_ok=True)


def _check_visible(workspace: Workspace, ranks: Ranks) -> None:
    """Refuse ranks that do not see the output's folder: their results would be lost."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while not workspace.folder.is_dir() and time.monotonic() < deadline:
        time.sleep(0.1)
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
    used: dict[str, set[str]] = {}
    for task in tasks:
        gradient, letters = (str(task.coordinates[key]) for key in ("gradient", "paulis"))
        used.setdefault(gradient, set()).add(letters)
    for turn in (True, False):
        failure: BaseException | None = None
        if (ranks.node_rank == 0) is turn:
            try:
                for gradient, paulis in used.items():
                    warm_up(sorted(paulis), study.settings(gradient))
            except (Exception, SystemExit) as error:
                # What a run raises is that run's affair, when its turn comes.
                if not is_of_run(error):
                    failure = error
        found = [cause for cause in ranks.gather(failure and cause_of(failure)) if cause]
        if found:
            raise Agreed(failure or RuntimeError(f"compiling the kernels failed: {found[0]}"))


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


def _conclude(
    study: Study,
    workspace: Workspace,
    start: _Start,
    outcome: Outcome | None,
    raised: BaseException | None,
) -> FailedRuns:
    """Assemble the archive; raise if the study was stopped; what failed. Rank 0 only."""
    assert outcome is not None
    workspace.check_held()
    if outcome.done or start.parts or start.tasks or not workspace.out.exists():
        provenance = start.provenance | {"finished": now()}
        workspace.assemble(start.plan, study.text, provenance)
    if outcome.failures:
        failure = outcome.failures[0]
        task = start.tasks[failure.task]
        error = RunFailed(
            task.coordinates, task.seeds, failure.rank, failure.cause, failure.details
        )
        raise error from raised
    finished = start.finished + sum(len(start.tasks[index].seeds) for index in outcome.done)
    if outcome.signum and finished < start.planned:
        raise StudyInterrupted(outcome.signum, str(workspace.out), finished, start.planned)
    planned = runs_of(study.plan())
    return failures(
        [row for row in workspace.failures() if failed_key(row) in planned], start.planned
    )
