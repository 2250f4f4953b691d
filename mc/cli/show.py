"""``tnqbm show``, ``verify`` and ``merge``: what is in an archive, and is it whole."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

import click

from mc.cli import options
from mc.cli.common import (
    PATH,
    coordinate_columns,
    echo,
    number,
    parse_pairs,
    print_json,
    print_rows,
    print_table,
)
from mc.cli.follow import follow
from mc.cli.group_facts import HEADS, doubt_lines, doubted, group_facts, shots_words, shown_metrics
from mc.cli.minima import show_minima, show_savings
from tnqbm.archive import Archive
from tnqbm.archive import merge as merge_archives
from tnqbm.archive.rows import (
    TRACEBACK,
    check_where,
    chosen,
    in_words,
    matches,
    with_families,
)
from tnqbm.archive.summaries import leading_metrics
from tnqbm.archive.verify import several_builds, verify_archive
from tnqbm.base.text import one_page
from tnqbm.training.trajectory import METRICS, ran_away


@click.command()
@click.argument("archive", type=PATH, metavar="OUT.h5")
@click.option("--runs", is_flag=True, help="One row per finished run instead of per group.")
@click.option(
    "--min-hidden",
    is_flag=True,
    help="Hidden units at which the TVD falls to a threshold, and ratios.",
)
@click.option(
    "--min-parameters",
    is_flag=True,
    help="Parameters and units at which the TVD falls to a threshold, beside the sqRBMs' or RBMs'.",
)
@options.threshold("For --min-hidden and --min-parameters.")
@options.where
@click.option("--skip-damaged", is_flag=True, help="Leave damaged blocks out.")
@click.option("--follow", "again", is_flag=True, help="Show it again whenever runs have finished.")
@options.as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
def show(
    archive: str,
    runs: bool,
    min_hidden: bool,
    min_parameters: bool,
    threshold: float,
    where: tuple[str, ...],
    skip_damaged: bool,
    again: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show how far a study is and what its runs reached.

    Final total variation distance (TVD) and KL divergence (nats), and negative log-likelihood
    (NLL, nats) of held-out data where there are any: mean and standard deviation over the finished
    seeds of each group. Where the data are samples of an unknown distribution the NLL takes the
    place of the TVD, which is near 1 there for any good model. Runs whose log Z cannot be right are
    named. Where gradients were measured on circuits, the shots of all runs of the
    group and the share of them that survived post-selection. Works while the study is running;
    with --follow until all its runs have finished, or Ctrl-C is pressed.

    \b
    Examples:
      tnqbm show results.h5
      tnqbm show results.h5 --where data=bas,visible=6 --json
      tnqbm show results.h5 --min-hidden
      tnqbm show families.h5 --min-parameters
      tnqbm show results.h5 --follow
      tnqbm show results.h5 --runs --csv > results.csv
    """
    if min_hidden and min_parameters:
        raise click.UsageError("--min-hidden and --min-parameters are two tables; choose one")
    if (min_hidden or min_parameters) and (runs or skip_damaged):
        name = "--min-hidden" if min_hidden else "--min-parameters"
        raise click.UsageError(f"{name} goes with neither --runs nor --skip-damaged")
    if as_json and as_csv:
        raise click.UsageError("--json and --csv are two forms of the same; choose one")
    if again and (as_json or as_csv):
        raise click.UsageError("--follow shows tables: it goes with neither --json nor --csv")
    form = "json" if as_json else "csv" if as_csv else "table"
    wanted = parse_pairs(where)

    def show_once(source: Archive) -> None:
        if skip_damaged:
            for problem in source.problems:
                echo(f"left out: {problem}", err=True)
        if min_hidden:
            show_minima(source, threshold, wanted, form)
        elif min_parameters:
            show_savings(source, threshold, wanted, form)
        elif runs:
            _show_runs(source, wanted, skip_damaged, form)
        else:
            _show_groups(source, wanted, skip_damaged, form)

    if again:
        follow(archive, show_once)
    else:
        show_once(Archive(archive))


def _show_groups(archive: Archive, where: Any, skip_damaged: bool, form: str) -> None:
    rows = archive.rows(skip_damaged=skip_damaged)
    seeds = archive.seeds()
    check_where(where, (group.coordinates for group in seeds))
    doubts = doubted(archive, where, rows=rows, skip_damaged=skip_damaged)
    shown = [group for group in seeds if matches(where, group.coordinates)]
    groups = group_facts(shown, rows, doubts)
    metrics = shown_metrics(groups)
    finished, planned = archive.progress
    builds: dict[str, int] = {**archive.made_by().get("build", {})}
    several = any("family" in group.seeds.coordinates for group in groups)
    if form != "table":
        any_failed = any(row.stopped == "failed" for row in rows)
        flat = [
            {
                **group.flat(metrics),
                **({"parameters": group.parameters} if several else {}),
                **({"failed": group.failed} if any_failed else {}),
                **({"log_z_untrusted": group.doubted} if doubts else {}),
            }
            for group in groups
        ]
        progress = {"finished": finished, "planned": planned}
        document = {"archive": str(archive.path), "progress": progress, "builds": builds}
        print_rows(form, document, "groups", flat)
        return
    coordinates = with_families([group.seeds.coordinates for group in groups])
    keys, shared = coordinate_columns(coordinates)
    measured = any(group.shots for group in groups)
    print_table(
        [
            *(*keys, *(["parameters"] if several else []), "finished"),
            *(word for name in metrics for word in (HEADS[name], "±")),
            *(["shots", "kept"] if measured else []),
        ],
        [
            [
                *(str(here.get(key, "")) for key in keys),
                *([str(group.parameters)] if several else []),
                f"{len(group.seeds.finished)}/{len(group.seeds.planned)}",
                *(number(value) for name in metrics for value in group.statistics(name)),
                *(shots_words(group.shots) if measured else ()),
            ]
            for here, group in sorted(
                zip(coordinates, groups, strict=True), key=lambda pair: _sorting(pair[0], keys)
            )
        ],
        left=len(keys),
        title=shared,
    )
    echo(_progress(finished, planned))
    for build, runs in builds.items():
        echo(f"{_count(runs, 'run')} made by tnqbm {build}")
    for line in doubt_lines(doubts):
        echo(line)
    if failed := sum(group.failed for group in groups):
        echo(
            f"{_count(failed, 'run')} failed before the last update; --runs shows which "
            '("stopped by"), and why'
        )
    worse = sum(bool(ran_away(row.metrics, row.group.visible)) for row in chosen(rows, where))
    if worse:
        echo(
            f"{_count(worse, 'run')} ended worse than fair coins (NLL above n log 2): "
            "training ran away or had hardly begun; 'tnqbm report' names them"
        )


def _show_runs(archive: Archive, where: Any, skip_damaged: bool, form: str) -> None:
    all_rows = archive.rows(skip_damaged=skip_damaged)
    check_where(where, (row.coordinates for row in all_rows))
    rows = chosen(all_rows, where)
    doubts = doubted(archive, where, rows=all_rows, skip_damaged=skip_damaged)
    finished, planned = archive.progress
    if form != "table":
        reasons = {(row.group, row.seed): why for row, why in doubts}
        flat = [
            {
                **row.flat(),
                **({"estimator": row.estimator} if row.estimator else {}),
                **({"log_z_doubt": why} if (why := reasons.get((row.group, row.seed))) else {}),
                **({"failure": row.failure} if row.failure else {}),
            }
            for row in rows
        ]
        progress = {"finished": finished, "planned": planned}
        print_rows(form, {"archive": str(archive.path), "progress": progress}, "runs", flat)
        return
    identities = with_families([row.identity for row in rows])
    keys, shared = coordinate_columns(
        [{k: v for k, v in row.items() if k != "seed"} for row in identities]
    )
    keys.append("seed")
    leading = leading_metrics({row.group.data for row in rows})
    ordered = dict.fromkeys([*leading, *METRICS])
    metrics = [name for name in ordered if any(row.metrics[name] is not None for row in rows)]
    measured = any("shots" in row.estimator for row in rows)
    print_table(
        [*keys, *metrics, *(["shots", "kept"] if measured else []), "updates", "stopped by"],
        [
            [
                *(str(identity.get(key, "")) for key in keys),
                *(number(row.metrics[name]) for name in metrics),
                *(shots_words(row.estimator) if measured else ()),
                str(row.steps),
                row.stopped,
            ]
            for identity, row in sorted(
                zip(identities, rows, strict=True), key=lambda pair: _sorting(pair[0], keys)
            )
        ],
        left=len(keys),
        title=shared,
    )
    echo(_progress(finished, planned))
    for line in doubt_lines(doubts):
        echo(line)
    tracebacks: dict[str, list[str]] = {}
    for row in rows:
        if row.stopped != "failed":
            continue
        run = in_words({key: row.identity[key] for key in keys if key in row.identity})
        place = f" ({row.place})" if row.place else ""
        echo(f"failed: {run}{place}: {one_page(row.cause) or f'after {row.steps} updates'}")
        if traceback := row.failure.get(TRACEBACK):
            tracebacks.setdefault(traceback, []).append(run)
    for traceback, runs in tracebacks.items():
        more = f" and {_count(len(runs) - 1, 'other run')}" if len(runs) > 1 else ""
        echo(f"traceback of {runs[0]}{more}:")
        echo(traceback)


@click.command()
@click.argument("archive", type=PATH, metavar="OUT.h5")
@options.as_json
def verify(archive: str, as_json: bool) -> None:
    """Check an archive's format and every checksum in it.

    Says what is damaged and what is still whole. The exit code is 0 only if all is whole. Names
    runs whose log Z cannot be right, too.

    \b
    Example:
      tnqbm verify results.h5
    """
    report = verify_archive(archive)
    # What is whole may still be wrong.
    doubts = doubted(Archive(archive), {}) if report.ok else None
    if as_json:
        count = None if doubts is None else len(doubts)
        print_json({"archive": archive, **dataclasses.asdict(report), "log_z_untrusted": count})
    else:
        for problem in report.problems:
            echo(f"damaged: {problem}")
        counts = f"{_count(report.blocks_checked, 'block')} checked, "
        counts += f"{_count(report.runs_whole, 'run')} whole"
        verdict = "whole" if report.ok else _count(len(report.problems), "problem")
        echo(f"{archive}: {verdict}; {counts}")
        for line in doubt_lines(doubts or []):
            echo(line)
    if not report.ok:
        raise SystemExit(1)


@click.command()
@click.argument("archives", type=PATH, nargs=-1, required=True, metavar="A.h5 B.h5 ...")
@click.option("-o", "--output", "out", type=PATH, required=True, metavar="OUT.h5")
@options.overwrite("OUT.h5 if it exists")
@click.option("--skip-damaged", is_flag=True, help="Leave damaged blocks out: rescue the rest.")
@options.as_json
def merge(
    archives: tuple[str, ...], out: str, overwrite: bool, skip_damaged: bool, as_json: bool
) -> None:
    """Join several archives into a new one.

    A run held by several of them is kept once; if its numbers differ, nothing is written. With
    --skip-damaged and a single archive this rescues what is whole of it.

    \b
    Examples:
      tnqbm merge part1.h5 part2.h5 -o all.h5
      tnqbm merge damaged.h5 --skip-damaged -o rescued.h5
    """
    merge_archives(archives, out, overwrite, skip_damaged=skip_damaged)
    if warning := several_builds(out):
        echo(f"warning: {warning}", err=True)
    finished, planned = Archive(out).progress
    if as_json:
        print_json({"archive": out, "progress": {"finished": finished, "planned": planned}})
    else:
        echo(f"{out} holds {finished} of {planned} planned runs")
        echo(f"Look at them with: {shlex.join(['tnqbm', 'show', out])}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _sorting(row: Mapping[str, Any], keys: list[str]) -> list[tuple[bool, int, Any]]:
    values = [row.get(key, "") for key in keys]
    return [
        (isinstance(value, str), len(value) if key == "paulis" else 0, value)
        for key, value in zip(keys, values, strict=True)
    ]


def _progress(finished: int, planned: int) -> str:
    share = f" ({finished / planned:.0%})" if planned else ""
    state = "complete" if finished == planned else "to be continued with: tnqbm run ... --resume"
    return f"{finished} of {planned} runs finished{share}: {state}"
