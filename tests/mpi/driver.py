"""Run studies given as JSON, alone or as one rank of several, and report the outcomes as JSON.

    driver.py STUDY_JSON OUT OPTIONS_JSON [STUDY_JSON OUT OPTIONS_JSON ...]

The studies run one after another. A study that is a text is Python code instead, which every rank
executes with ``out`` defined.

Options: ``report``, the folder in which rank K writes K.json; ``stderr``, true if what rank K
writes to its standard error goes to K.err in that folder; ``resume``, ``overwrite``,
``retry_failed``, ``stop_after``; ``slow``, seconds of sleep in every chunk of at most 3 updates;
``checkpoint_seconds``; ``fail``, coordinates of the runs that raise, on ``fail_rank`` alone if
given, and amid training after ``fail_at`` updates if given; ``die``, the rank that raises outside
of any run; ``rounding``, the rank whose parameters differ in their last bits from update 6 on;
``patience``, seconds after which ranks that wait for a lost one end; ``most_parts``, above which
files of finished tasks are joined.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import mc
import mc.running.liveness
import mc.running.runner
import mc.running.train_task
from tnqbm.archive import Archive
from tnqbm.base.process import launcher_rank, mark_as_command
from tnqbm.training.trainer import Trainer


@contextmanager
def disturbed(options: dict[str, Any]) -> Iterator[None]:
    """Slow trainings down and make some fail, as the options say."""
    tasks: Any = mc.running.train_task
    runner: Any = mc.running.runner
    advance, begin, work = Trainer.advance, tasks._begin, runner._work
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

    def rounded(trainer: Trainer, updates: int) -> None:
        advance(trainer, updates)
        if launcher_rank() == options["rounding"] and trainer.iteration > 5:
            trainer._runs.theta = np.nextafter(trainer._runs.theta, 1.0)

    with ExitStack() as stack:

        def replace(owner: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(owner, name, value))

        if slow or "fail_at" in options:
            replace(Trainer, "advance", slowly)
            replace(tasks, "PATIENCE_SECONDS", 1.0)
        if "patience" in options:
            replace(mc.running.liveness, "PATIENCE_SECONDS", options["patience"])
        if "most_parts" in options:
            replace(runner, "MOST_PARTS", options["most_parts"])
        if "rounding" in options:
            replace(Trainer, "advance", rounded)
        if fail is not None:
            replace(tasks, "_begin", failing)
        if "die" in options:
            replace(runner, "_work", dying)
        yield


def work_on(study: Any, out: str, options: dict[str, Any]) -> int:
    """Run one study or text of code and write this rank's report; the exit code."""
    folder = Path(options["report"])
    if options.get("stderr"):
        sys.stderr.flush()
        with (folder / f"{launcher_rank()}.err").open("wb") as file:
            os.dup2(file.fileno(), 2)
    if "checkpoint_seconds" in options:
        study.setdefault("run", {})["checkpoint_seconds"] = options["checkpoint_seconds"]
    ways = ("resume", "overwrite", "retry_failed", "stop_after")
    wanted = {name: options[name] for name in ways if name in options}
    found: dict[str, Any] = {}
    code = 0
    try:
        if isinstance(study, str):
            exec(study, {"out": out})
        else:
            with disturbed(options):
                mc.run_study(study, out, **wanted)
        if launcher_rank() == 0 and Path(out).exists():
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
    report = folder / f"{launcher_rank()}.json"
    report.with_suffix(".tmp").write_text(json.dumps(found))
    report.with_suffix(".tmp").rename(report)
    return code


def main() -> int:
    mark_as_command()
    words = sys.argv[1:]
    jobs = zip(words[::3], words[1::3], words[2::3], strict=True)
    return max(work_on(json.loads(s), out, json.loads(options)) for s, out, options in jobs)


if __name__ == "__main__":
    sys.exit(main())
