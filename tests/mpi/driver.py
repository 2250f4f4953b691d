"""Run a study given as JSON, alone or as one rank of several, and report the outcome as JSON.

    driver.py STUDY_JSON OUT OPTIONS_JSON

Options: ``report``, the folder in which rank K writes K.json; ``resume``, ``overwrite``,
``retry_failed``; ``slow``, seconds of sleep in every chunk of at most 3 updates;
``checkpoint_seconds``; ``fail``, coordinates of the runs that raise, on ``fail_rank`` alone if
given, and amid training after ``fail_at`` updates if given; ``die``, the rank that raises outside
of any run.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import mc
import mc.running.runner
import mc.running.train_task
from tnqbm.archive import Archive
from tnqbm.base.process import launcher_rank
from tnqbm.training.trainer import Trainer


def disturb(options: dict[str, Any]) -> None:
    """Slow trainings down and make some fail, as the options say."""
    trainers: Any = Trainer
    tasks: Any = mc.running.train_task
    runner: Any = mc.running.runner
    advance, begin, work = trainers.advance, tasks._begin, runner._work
    slow, fail = options.get("slow", 0.0), options.get("fail")
    mine = launcher_rank() == options.get("fail_rank", launcher_rank())
    failing_now = False

    def slowly(trainer: Trainer, updates: int) -> None:
        if trainer.settings.iterations > 1:
            time.sleep(slow)
            updates = min(updates, 3)
            if failing_now and trainer.iteration >= options["fail_at"]:
                raise ArithmeticError("this update cannot be done")
        advance(trainer, updates)

    def failing(context: Any, task: Any) -> Any:
        nonlocal failing_now
        failing_now = mine and all(task.coordinates[name] == fail[name] for name in fail)
        if failing_now and "fail_at" not in options:
            raise ArithmeticError("this run cannot be done")
        return begin(context, task)

    def dying(context: Any, *arguments: Any) -> Any:
        if context.rank == options["die"]:
            raise RuntimeError("an accident outside of any run")
        return work(context, *arguments)

    if slow or "fail_at" in options:
        trainers.advance = slowly
        tasks.PATIENCE_SECONDS = 1.0
    if fail is not None:
        tasks._begin = failing
    if "die" in options:
        runner._work = dying


def main() -> int:
    study, out, options = json.loads(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    disturb(options)
    if "checkpoint_seconds" in options:
        study.setdefault("run", {})["checkpoint_seconds"] = options["checkpoint_seconds"]
    ways = ("resume", "overwrite", "retry_failed")
    wanted = {name: options[name] for name in ways if name in options}
    found: dict[str, Any] = {}
    code = 0
    try:
        mc.run_study(study, out, **wanted)
        if launcher_rank() == 0:
            archive = Archive(out)
            found = {
                "fingerprint": archive.fingerprint(),
                "progress": archive.progress,
                "ranks": sorted({int(run.provenance["rank"]) for run in archive.runs()}),
                "provenance": archive.provenance,
            }
    except Exception as error:
        found = {"error": type(error).__name__, "message": str(error)}
        code = getattr(error, "exit_code", 1)
    # Not printed: the launcher mixes what its ranks print.
    report = Path(options["report"]) / f"{launcher_rank()}.json"
    report.with_suffix(".tmp").write_text(json.dumps(found))
    report.with_suffix(".tmp").rename(report)
    return code


if __name__ == "__main__":
    sys.exit(main())
