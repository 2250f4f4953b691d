"""``tnqbm run``: a study file in, an archive out, alone or on any number of MPI ranks."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import click

from mc.cli import options
from mc.cli.common import PATH, echo, is_first_rank, print_json, print_table, tell
from mc.running.failures import StudyInterrupted
from mc.running.interruption import abort_on_error, on_rank_0
from mc.running.prepare import StartOptions
from mc.running.ranks import connect, get_comm
from mc.running.runner import execute
from mc.studies.checks import without_likelihood
from mc.studies.combinations import unsaid_repeats
from mc.studies.file import load_study

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
@options.no_progress
@click.option("--dry-run", is_flag=True, help="Check the study, show what would run, and stop.")
@options.as_json
def run(
    study: str,
    out: str | None,
    resume: bool,
    retry_failed: bool,
    overwrite: bool,
    no_progress: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train every run of a study and keep the results in an archive.

    Stopped by Ctrl-C, SIGTERM or a crash, it leaves a resumable archive: the same command with
    --resume goes on where it was and ends with the same numbers, on any number of ranks.

    A run that raises or diverges is marked failed, with its cause, and the others go on. The exit
    code is 0 if all runs have ended and not all of them failed, 3 if all failed, 128 plus the
    signal's number after a signal, and 1 after an error that is not a run's own.

    \b
    Examples:
      tnqbm run study.toml -o results.h5
      mpiexec -n 4 tnqbm run study.toml -o results.h5 --resume
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
    ranks = connect(comm)
    first = ranks.rank == 0
    with abort_on_error(ranks):
        checked = on_rank_0(ranks, lambda: _load(study))
    ranks.close()
    start = time.perf_counter()
    try:
        choices = StartOptions(resume or retry_failed, overwrite, retry_failed)
        end = execute(checked, out, comm, choices, progress=not no_progress)
    except StudyInterrupted as stop:
        if first:
            command = shlex.join(["tnqbm", "run", study, "-o", out, "--resume"])
            launcher = f"mpiexec -n {ranks.size} " if ranks.size > 1 else ""
            tell(
                f"Stopped with {stop.finished} of {stop.planned} runs finished; everything is "
                f"saved. Continue with: {launcher}{command}"
            )
        raise SystemExit(stop.exit_code) from None
    failed = end.failed
    code = ALL_FAILED if failed.count == failed.planned else 0
    if first:
        seconds = time.perf_counter() - start
        if as_json:
            print_json(
                {
                    "archive": str(end.path),
                    "runs": failed.planned,
                    "failed": failed.count,
                    "seconds": seconds,
                    "ranks": ranks.size,
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
    if code:
        raise SystemExit(code)


def _load(path: str) -> Study:
    return load_study(path)


def duration(seconds: float) -> str:
    """A time span for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _show_plan(study: Study, as_json: bool) -> None:
    plan, tasks = study.plan(), study.tasks()
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
