"""One task on one rank: train its batch in chunks, with checkpoints, and write its block."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mc.checkpoint import load_checkpoint, save_checkpoint
from mc.handout import Hand
from mc.provenance import block_provenance, now
from mc.schedule import Task
from mc.seeds import Coordinate
from mc.study import Study
from mc.workspace import Workspace
from tnqbm.errors import ArchiveError
from tnqbm.trajectory import METRICS, Trajectory

if TYPE_CHECKING:
    from tnqbm.settings import TrainingSettings
    from tnqbm.training import Trainer


@dataclass(frozen=True)
class Bench:
    """What a rank needs for every task of a study. ``chunk_seconds`` is how long it may train

    without looking up: rank 0 of several must answer the others.
    """

    study: Study
    workspace: Workspace
    identity: str
    rank: int
    chunk_seconds: float


def warm_up(paulis: Sequence[str], settings: TrainingSettings) -> None:
    """Compile (or load from the cache) what a training needs, with a training of two units."""
    import numpy as np

    from mc.estimators import provide
    from tnqbm.datasets import Target
    from tnqbm.model import SqRBM
    from tnqbm.training import Trainer

    provide()
    quick = dataclasses.replace(
        settings,
        iterations=1,
        batch_size=min(2, settings.batch_size),
        chains=min(2, settings.chains),
        ais_chains=min(2, settings.ais_chains),
        ais_betas=min(3, settings.ais_betas),
    )
    target = Target.from_dense(np.full(4, 0.25))
    for letters in paulis:
        model = SqRBM.uniform(2, 1, letters, seed=0)
        trainer = Trainer([model, model], [target, target], quick)
        while not trainer.finished:
            trainer.advance(1)
        trainer.trajectories()


def train_task(bench: Bench, task: Task, hand: Hand) -> bool:
    """Train a task and write its block; False if it was asked to stop and saved a checkpoint.

    Whatever goes wrong in a run is raised, ValueError, OSError or other.
    """
    trainer, started = _begin(bench, task)
    total = max(1, trainer.settings.iterations)
    path = bench.workspace.checkpoint(task)
    saved = time.monotonic()
    chunk = 1
    stop = hand.tick(trainer.iteration / total)
    while not (trainer.finished or stop):
        before, begin = trainer.iteration, time.perf_counter()
        trainer.advance(chunk)
        spent = max(1e-9, time.perf_counter() - begin)
        pace = (trainer.iteration - before) * bench.chunk_seconds / spent
        chunk = max(1, min(2 * chunk, int(pace)))
        stop = hand.tick(trainer.iteration / total)
        due = time.monotonic() - saved >= bench.study.run.checkpoint_seconds
        if not trainer.finished and (stop or due):
            save_checkpoint(path, task, started, bench.identity, trainer.state())
            saved = time.monotonic()
    if not trainer.finished:
        return False
    _store(bench, task, trainer.trajectories(), started)
    # Only now that the block is on disk.
    path.unlink(missing_ok=True)
    return True


def _begin(bench: Bench, task: Task) -> tuple[Trainer, str]:
    """A trainer at the start, or where the task's checkpoint left it, and when it started."""
    import numpy as np

    from mc.estimators import provide
    from tnqbm.training import Trainer

    provide()
    study, coordinates = bench.study, task.coordinates
    settings = study.settings(str(coordinates["gradient"]))
    models = [study.initial_model(coordinates, seed) for seed in task.seeds]
    targets = study.targets(coordinates, task.seeds)
    keys = np.array([study.key(coordinates, seed) for seed in task.seeds], dtype=np.uint64)
    test = study.test_target(coordinates)
    tests = None if test is None else [test] * len(models)

    def fresh() -> Trainer:
        return Trainer(models, targets, settings, keys=keys, tests=tests)

    trainer = fresh()
    path = bench.workspace.checkpoint(task)
    try:
        checkpoint = load_checkpoint(path)
    except FileNotFoundError:
        return trainer, now()
    except ArchiveError:
        checkpoint = None
    if checkpoint is not None and checkpoint.identity == bench.identity:
        with contextlib.suppress(ValueError):
            trainer.restore(checkpoint.state)
            return trainer, checkpoint.started
    # A checkpoint that cannot be used costs time, never a number: start from the beginning.
    return fresh(), now()


def _store(bench: Bench, task: Task, trajectories: Sequence[Trajectory], started: str) -> None:
    from tnqbm.archive import RunRecord, write_block

    finished = now()
    wanted = bench.study.metrics(str(task.coordinates["gradient"]))
    unwanted: dict[str, None] = {name: None for name in METRICS if name not in wanted}
    if not bench.study.output.model:
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
    write_block(bench.workspace.part(task), records, block_provenance(bench.rank))
