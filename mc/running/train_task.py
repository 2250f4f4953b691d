"""One task on one rank or team: train its batch in chunks, with checkpoints, write its block."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mc.estimators.settings import provide
from mc.running.failures import MemberFailed, RanksApart, error_report, is_of_run
from mc.running.interruption import SignalWatch
from mc.running.provenance import block_provenance, now
from mc.running.team import PATIENCE_SECONDS, Members
from mc.running.workspace import Checkpoint, Workspace, load_checkpoint, save_checkpoint
from mc.studies.identity import same_numbers
from mc.studies.schedule import Task
from mc.studies.seeds import Coordinate
from mc.studies.study import Study
from tnqbm.archive import RunRecord, write_block
from tnqbm.archive.rows import FAILED_RANK, TRACEBACK
from tnqbm.base.errors import ArchiveError
from tnqbm.training.trainer import Trainer
from tnqbm.training.trajectory import METRICS, Trajectory

KEPT = 4000
"""Characters of the traceback of a run that raised that the archive keeps: half of them from the
beginning, half from the end."""


@dataclass(frozen=True)
class TaskContext:
    """What a rank needs for every task of a study.

    ``team`` are the ranks that share its tasks; ``chunk_seconds`` is how long it may train without
    looking up: rank 0 of several must answer the others. ``watch`` lets no signal interrupt while
    something is saved, and its deadline learns how long work takes.
    """

    study: Study
    workspace: Workspace
    identity: str
    rank: int
    chunk_seconds: float
    team: Members
    watch: SignalWatch = field(default_factory=SignalWatch)


Tick = Callable[[float], bool]
"""Called often with the finished part of a task; True: save and leave."""


def train_task(context: TaskContext, task: Task, tick: Tick) -> int | None:
    """Train a task and write its blocks; how many of its runs failed.

    None if it was asked to stop and saved a checkpoint. Every member of the context's team calls it
    for the same task, and its leader's ``tick`` decides. A run that raises is stored as failed;
    runs that are trained together are then trained again one by one, so that it fails alone. What
    is no run's fault (:func:`mc.running.failures.is_of_run`) is raised by all members:
    :class:`MemberFailed` where it happened to another one. FailedAlone means that the others
    cannot be reached any more.
    """
    made: list[Trainer] = []
    try:
        return _train(context, task, tick, made)
    except (Exception, SystemExit) as error:
        if not is_of_run(error):
            raise
        cause, details, _ = error_report(error)
        if len(details) > KEPT:
            details = f"{details[: KEPT // 2]}\n...\n{details[-KEPT // 2 :]}"
        said = {TRACEBACK: details}
        if isinstance(error, MemberFailed):
            said[FAILED_RANK] = str(error.rank)
    if len(task.seeds) == 1:
        failed: int | None = 1
        if context.team.rank == 0:
            with context.watch.saving():
                _store(context, task, [_failed(context, task, made, cause)], now(), said)
    else:
        failed = _one_by_one(context, task, tick)
    if context.team.rank == 0 and failed is not None:
        context.workspace.checkpoint(task).unlink(missing_ok=True)
    return failed


def _one_by_one(context: TaskContext, task: Task, tick: Tick) -> int | None:
    """The runs of a task each by itself; as :func:`train_task`."""
    count, failed = len(task.seeds), 0
    for k, seed in enumerate(task.seeds):
        alone = dataclasses.replace(task, seeds=(seed,), cost=task.cost / count)
        found = train_task(context, alone, lambda part, k=k: tick((k + part) / count))  # type: ignore[misc]
        if found is None:
            return None
        failed += found
    return failed


def _failed(context: TaskContext, task: Task, made: Sequence[Trainer], cause: str) -> Trajectory:
    """What there is of a run that raised."""
    if made:
        made[-1].abandon(cause)
        return made[-1].trajectories()[0]
    try:
        model = context.study.initial_model(task.coordinates, task.seeds[0])
    except Exception:
        model = None
    names = context.study.metrics(str(task.coordinates["gradient"]))
    unknown: dict[str, Any] = {name: np.array([np.nan]) for name in names}
    step = np.zeros(1, dtype=np.int64)
    return Trajectory(step=step, **unknown, model=model, stopped="failed", cause=cause)


def _train(context: TaskContext, task: Task, tick: Tick, made: list[Trainer]) -> int | None:
    """As :func:`train_task`, but raises what runs raise; puts the trainer into ``made``."""
    team = context.team
    trainer, started = _ready(context, task)
    made.append(trainer)
    total = max(1, trainer.settings.iterations)
    path = context.workspace.checkpoint(task)
    saved = time.monotonic()
    chunk, unsaved = 1, False
    error: BaseException | None = None
    while True:
        stop = tick(trainer.iteration / total)
        leave = stop or trainer.finished
        due = time.monotonic() - saved >= context.study.run.checkpoint_seconds
        save = unsaved and not trainer.finished and (stop or due)
        leave, save, updates = _agreed(context, trainer, (leave, save, chunk), error)
        if leave and not save:
            break
        try:
            if save:
                state = trainer.state()
                if team.rank == 0:
                    with context.watch.saving():
                        save_checkpoint(path, task, started, context.identity, state)
                saved, unsaved = time.monotonic(), False
            if not leave:
                before, begin = trainer.iteration, time.perf_counter()
                trainer.advance(updates)
                spent = max(1e-9, time.perf_counter() - begin)
                context.watch.deadline.learn(training=spent)
                pace = (trainer.iteration - before) * context.chunk_seconds / spent
                chunk, unsaved = max(1, min(2 * updates, int(pace))), True
        except (Exception, SystemExit) as caught:
            error = caught  # raised when the others have been told
    if not trainer.finished:
        return None
    try:
        if team.rank == 0:
            with context.watch.saving():
                _store(context, task, trainer.trajectories(), started)
                # Only now that the block is on disk.
                path.unlink(missing_ok=True)
    except (Exception, SystemExit) as caught:
        error = caught
    team.synchronize((), error, PATIENCE_SECONDS)
    return len(trainer.failures)


def _agreed(
    context: TaskContext,
    trainer: Trainer,
    order: tuple[bool, bool, int],
    error: BaseException | None,
) -> tuple[bool, bool, int]:
    """The leader's order (leave, save, updates to do), after everybody has come as far as it."""
    team = context.team
    where = (0, 0) if team.size == 1 else (trainer.iteration, _checksum(trainer))
    numbers = team.synchronize((*order, *where), error, PATIENCE_SECONDS)
    apart = (numbers[:, 3:] != numbers[0, 3:]).any(axis=1).nonzero()[0]
    if apart.size:
        raise RanksApart(
            f"ranks that share a run must compute the same, but member {apart[0]} of the team has "
            f"other parameters than its leader at update {trainer.iteration}: give a team "
            "processors of one kind and one installation of the software"
        )
    return bool(numbers[0, 0]), bool(numbers[0, 1]), int(numbers[0, 2])


def _checksum(trainer: Trainer) -> int:
    """A number that tells apart parameters that differ in any bit; negligible time."""
    return int(np.ascontiguousarray(trainer.parameters).view(np.int64).sum())


def _ready(context: TaskContext, task: Task) -> tuple[Trainer, str]:
    """A trainer at the start, or where the task's checkpoint left it, and when it started."""
    team = context.team
    error: BaseException | None = None
    found: Checkpoint | None = None
    try:
        make = _begin(context, task)
        trainer, started = make(), now()
        # The leader's alone: other hosts may see a file later than it does, or an older one.
        found = _usable_checkpoint(context, task) if team.rank == 0 else None
    except (Exception, SystemExit) as caught:
        error = caught
    team.synchronize((), error)
    found = team.broadcast(found)
    if found is None:
        return trainer, started
    try:
        try:
            trainer.restore(found.state)
            started = found.started
        except ValueError:
            # A checkpoint that cannot be used costs time, never a number: start anew.
            trainer = make()
    except (Exception, SystemExit) as caught:
        error = caught
    team.synchronize((), error)
    return trainer, started


def _usable_checkpoint(context: TaskContext, task: Task) -> Checkpoint | None:
    """The checkpoint of a task, if there is one of the same settings and it can be read."""
    try:
        found = load_checkpoint(context.workspace.checkpoint(task))
    except (FileNotFoundError, ArchiveError):
        return None
    same = same_numbers(found.identity, context.identity, task.coordinates)
    return found if same else None


def _begin(context: TaskContext, task: Task) -> Callable[[], Trainer]:
    """What makes trainers of a task, at its start."""
    provide()
    study, coordinates = context.study, task.coordinates
    settings = study.settings(str(coordinates["gradient"]))
    keys = np.array([study.key(coordinates, seed) for seed in task.seeds], dtype=np.uint64)
    problem = study.problem(coordinates, task.seeds)
    return lambda: Trainer(problem, settings, keys=keys, team=context.team)


def _store(
    context: TaskContext,
    task: Task,
    trajectories: Sequence[Trajectory],
    started: str,
    said: Mapping[str, str] | None = None,
) -> None:
    """Write the block of a task; ``said`` is what a run that raised leaves beside its cause."""
    finished = now()
    wanted = context.study.metrics(str(task.coordinates["gradient"]))
    unwanted: dict[str, None] = {name: None for name in METRICS if name not in wanted}
    if not context.study.output.model:
        unwanted["model"] = None
    coordinates: dict[str, Coordinate] = dict(task.coordinates)
    records = [
        RunRecord(
            coordinates=coordinates,
            seed=seed,
            trajectory=dataclasses.replace(trajectory, **unwanted),  # type: ignore[arg-type]
            started=started,
            finished=finished,
        )
        for seed, trajectory in zip(task.seeds, trajectories, strict=True)
    ]
    provenance = {**block_provenance(context.rank), **(said or {})}
    write_block(context.workspace.part(task), records, provenance)
