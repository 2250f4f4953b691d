"""``tnqbm run``: a study file in, an archive out, alone or on any number of MPI ranks."""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mc.cli import options
from mc.cli.common import PATH, echo, is_first_rank, print_json, print_table, tell
from mc.running.failures import StudyInterrupted
from mc.running.interruption import SignalWatch, abort_on_error, on_rank_0
from mc.running.memory import study_memory
from mc.running.prepare import StartOptions
from mc.running.ranks import connect, get_comm
from mc.running.runner import StudyEnd, execute
from mc.running.wall_time import StopOptions
from mc.studies.checks import without_likelihood
from mc.studies.combinations import unsaid_repeats
from mc.studies.file import load_study
from tnqbm.base.limits import in_words
from tnqbm.base.process import launched, launcher_size

if TYPE_CHECKING:
    from mc.studies.study import Study


ALL_FAILED = 3
"""Exit code of a study of which no run succeeded."""


@click.command()
@click.argument("study", type=PATH, metavar="STUDY.toml")
@click.option("-o", "--output", "out", type=PATH, metavar="OUT.h5", help="Archive to write.")
@click.option("--resume", is_flag=True, help="Continue, or extend, what is in OUT.h5.")
@click.option(
    "--retry-failed", is_flag=True, help="Continue, and try runs again that failed earlier."
)
@click.option("--overwrite", is_flag=True, help="Delete what is in OUT.h5 and start anew.")
@click.option("--stop-at", metavar="TIME", help="Save and stop by then: 16:30, 2030-01-31T16:30.")
@click.option("--stop-after", metavar="SPAN", help="Save and stop within it: 45m, 3h30m, 3:30:00.")
@options.no_progress
@click.option("--dry-run", is_flag=True, help="Check the study, show what would run, and stop.")
@options.as_json
def run(
    study: str,
    out: str | None,
    resume: bool,
    retry_failed: bool,
    overwrite: bool,
    stop_at: str | None,
    stop_after: str | None,
    no_progress: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train every run of a study and keep the results in an archive.

    Stopped by Ctrl-C, SIGTERM or a crash, it leaves a resumable archive: the same command with
    --resume goes on where it was and ends with the same numbers, on any number of ranks.

    With --stop-at or --stop-after it stops in time by itself, and so it does before the end of a
    Slurm job (SLURM_JOB_END_TIME); the earliest counts.

    A run that raises or diverges is marked failed, with its cause, and the others go on. The exit
    code is 0 if all runs have ended and not all of them failed, 3 if all failed, 4 if a rank was
    lost, 75 if the time was up, 128 plus the signal's number after a signal, and 1 after an error
    that is not a run's own.

    \b
    Examples:
      tnqbm run study.toml -o results.h5
      mpiexec -n 4 tnqbm run study.toml -o results.h5 --resume
      tnqbm run study.toml -o results.h5 --resume --stop-after 3h30m
      tnqbm run study.toml --dry-run
    """
    if (resume or retry_failed) and overwrite:
        asked = "--resume" if resume else "--retry-failed"
        raise click.UsageError(f"{asked} and --overwrite exclude each other")
    if study == "-":
        raise click.UsageError(
            "a study is read from a file, not from standard input: every rank reads it, and its "
            "folder is where data files are looked for. Save it, for example as study.toml"
        )
    if out is None and not dry_run:
        raise click.UsageError("say where the archive goes, for example: -o results.h5")

    if dry_run:
        plan = load_study(study)
        if is_first_rank():
            _show_plan(plan, as_json)
            for note in without_likelihood(plan):
                click.echo(f"Note: {note}", err=True)
            for problem in unsaid_repeats(plan):
                echo(f"It cannot start yet: {problem}", err=True)
        return

    assert out is not None
    comm = get_comm()
    choices = StartOptions(resume or retry_failed, overwrite, retry_failed)
    start = time.perf_counter()
    # From here to the end of the process, so that no signal comes between saving and leaving.
    with SignalWatch() as watch:
        ranks = connect(comm)
        size, first = ranks.size, ranks.rank == 0
        try:
            with abort_on_error(ranks):
                checked = on_rank_0(ranks, lambda: load_study(study))
        finally:
            ranks.close()
        stop = StopOptions(stop_at, stop_after)
        try:
            end = execute(checked, out, comm, choices, stop, watch, progress=not no_progress)
        except StudyInterrupted as interrupted:
            if first:
                tell(_continue(interrupted, study, out, size))
            raise SystemExit(interrupted.exit_code) from None
    failed = end.failed
    if first:
        _show_end(end, time.perf_counter() - start, size, as_json)
    if failed.count == failed.planned:
        raise SystemExit(ALL_FAILED)


def _continue(interrupted: StudyInterrupted, study: str, out: str, ranks: int) -> str:
    """How a study was stopped, and the command that goes on."""
    command = shlex.join(["tnqbm", "run", study, "-o", out, "--resume"])
    launcher = f"mpiexec -n {ranks} " if ranks > 1 else ""
    cause = interrupted.cause[0].upper() + interrupted.cause[1:]
    return (
        f"{cause} with {interrupted.finished} of {interrupted.planned} runs finished; everything "
        f"is saved. Continue with: {launcher}{command}"
    )


def _show_end(end: StudyEnd, seconds: float, ranks: int, as_json: bool) -> None:
    """What a study that has ended came to."""
    failed = end.failed
    if as_json:
        print_json(
            {
                "archive": str(end.path),
                "runs": failed.planned,
                "failed": failed.count,
                "seconds": seconds,
                "ranks": ranks,
            }
        )
    else:
        runs = f"all {failed.planned} runs finished"
        if failed.count:
            runs = f"{failed.planned - failed.count} of {failed.planned} runs finished, "
            runs += f"{failed.count} failed"
        echo(f"{runs} ({duration(seconds)} this time): {end.path}")
        echo(f"Look at them with: {shlex.join(['tnqbm', 'show', str(end.path)])}")
    if failed.count:
        tell(f"warning: {failed.message}")


def duration(seconds: float) -> str:
    """A time span for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _show_plan(study: Study, as_json: bool) -> None:
    plan, tasks = study.plan(), study.tasks()
    memory = study_memory(study, tasks, launcher_size() if launched() else 1)
    if memory.problem:
        tell(f"warning: {memory.problem}")
    total = sum(task.cost for task in tasks)
    runs = sum(len(group.seeds) for group in plan)
    costs: dict[str, float] = {}
    for task in tasks:
        name = repr(task.coordinates)
        costs[name] = costs.get(name, 0.0) + task.cost
    groups = [
        {
            **group.coordinates,
            "runs": len(group.seeds),
            "core_seconds": 1e-9 * costs[repr(group.coordinates)],
        }
        for group in plan
    ]
    if as_json:
        summary = {
            "name": study.name,
            "runs": runs,
            "tasks": len(tasks),
            "core_seconds": 1e-9 * total,
            "memory": {**asdict(memory), "total": memory.total},
        }
        print_json({**summary, "groups": groups})
        return
    # Not all groups have the same coordinates.
    names = list(dict.fromkeys(name for group in plan for name in group.coordinates))
    print_table(
        [*names, "runs", "share of the work"],
        [
            [*(str(group.get(name, "")) for name in names), str(group["runs"]), f"{share:.1%}"]
            for group in groups
            for share in [float(str(group["core_seconds"])) / total * 1e9]
        ],
        left=len(names),
        title=f"{study.name}: {runs} runs in {len(groups)} groups, {len(tasks)} tasks",
    )
    size = study.run.ranks_per_run
    kind = "team" if size > 1 else "rank"
    who = kind + "s" * (len(tasks) != 1) + (f" of {size} ranks" if size > 1 else "")
    echo(
        f"Work: about {duration(total * 1e-9)} of one core, good to a factor of two or so; "
        f"up to {len(tasks)} {who} can share it."
    )
    further = (
        f"{in_words(memory.total)} on {memory.ranks} ranks together"
        if memory.ranks > 1
        else f"each further rank {in_words(memory.rank)}"
    )
    echo(
        f"Memory: at most about {in_words(memory.first)} on rank 0, {further}; "
        f"{in_words(memory.libraries)} of each are Python, libraries and data being read."
    )
