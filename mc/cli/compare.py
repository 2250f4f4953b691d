"""``tnqbm compare``: whether two archives hold the same runs, in bits, in numbers or on average."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from mc.cli import options
from mc.cli.common import (
    PATH,
    coordinate_columns,
    echo,
    number,
    parse_pairs,
    print_json,
    print_lines,
    print_table,
)
from tnqbm.archive import compare as compare_archives
from tnqbm.archive.comparison import TOLERANCE
from tnqbm.archive.rows import in_words

if TYPE_CHECKING:
    from tnqbm.archive import Comparison, GroupComparison

STATUS = {"bits": 0, "numbers": 0, "statistics": 3, "different": 1}
"""Exit status by what is equal; that of errors is 2."""

_WORDS = {
    "bits": "equal bits",
    "numbers": "equal numbers",
    "statistics": "equal statistics",
    "different": "different",
}


@click.command()
@click.argument("first", type=PATH, metavar="A.h5")
@click.argument("second", type=PATH, metavar="B.h5")
@click.option(
    "--tolerance",
    type=float,
    default=TOLERANCE,
    show_default=True,
    help="Relative difference of equal numbers, times the number of updates.",
)
@options.where
@options.as_json
def compare(
    first: str, second: str, tolerance: float, where: tuple[str, ...], as_json: bool
) -> None:
    """Compare the runs of two archives that have the same coordinates and seeds.

    Tells apart equal bits; equal numbers, where only digits differ that rounding explains; equal
    statistics, where trainings parted but means over seeds of the final metrics agree (t-tests, of
    pairs where seeds are in both archives, with a probability of 1 % of any false alarm in all of
    them); and different runs, those that differ in groups of fewer than five seeds included. Says
    how many runs are in one archive only, and which settings, versions and processors differ.

    \b
    The exit status is
      0  if all shared runs have equal bits or numbers,
      3  if some differ, but statistics agree,
      1  if some are different,
      2  if the archives cannot be compared.

    \b
    Examples:
      tnqbm compare published.h5 mine.h5
      tnqbm compare published.h5 mine.h5 --where data=bas --json
    """
    try:
        found = compare_archives(first, second, tolerance=tolerance, where=parse_pairs(where))
    except Exception as error:
        # One status for all that keeps an answer from being given, as cmp and diff have it.
        error.exit_code = 2  # type: ignore[attr-defined]
        raise
    if as_json:
        print_json(_document(first, second, found))
    else:
        _print(first, second, found)
    raise SystemExit(STATUS[found.verdict])


def _document(first: str, second: str, found: Comparison) -> dict[str, Any]:
    counts = {what: found.count(what) for what in ("bits", "numbers", "different")}
    return {
        "first": first,
        "second": second,
        "verdict": found.verdict,
        "shared": found.count("shared"),
        **counts,
        **dataclasses.asdict(found),
        "groups": [
            {
                **dataclasses.asdict(group),
                "verdict": group.verdict,
                "tests": [
                    {**dataclasses.asdict(test), "agrees": test.agrees} for test in group.tests
                ],
            }
            for group in found.groups
        ],
    }


def _print(first: str, second: str, found: Comparison) -> None:
    unequal = [group for group in found.groups if group.verdict in ("statistics", "different")]
    if unequal:
        _print_groups(unequal)
    print_lines(
        {
            "runs in both": found.count("shared"),
            "  equal bits": found.count("bits"),
            "  equal numbers": found.count("numbers"),
            "  different": found.count("different"),
            f"only in {first}": found.only_first,
            f"only in {second}": found.only_second,
            **dict(_differences(found)),
        },
        width=max(32, len(first) + 10, len(second) + 10),
    )
    for name, (one, two) in found.settings.items():
        echo(f"setting {name}: {_said(one)} and {_said(two)}")
    for name, (one, two) in found.provenance.items():
        echo(f"{name}: {_said(one)} and {_said(two)}")
    if found.builds[0] != found.builds[1]:
        for path, builds in zip((first, second), found.builds, strict=True):
            for build, runs in builds.items():
                echo(f"{path}: {runs} runs made by tnqbm {build}")
    if found.not_compared:
        echo(f"not compared, as one archive alone holds it: {', '.join(found.not_compared)}")
    echo(f"{first} and {second}: {_WORDS[found.verdict]}")


def _differences(found: Comparison) -> Iterator[tuple[str, str]]:
    """Where the runs part, how far, and what tests of the means say."""
    parts = [group.bits_part for group in found.groups if group.bits_part is not None]
    if parts:
        yield "bits part", f"at update {min(parts)} at the earliest"
    parts = [group.numbers_part for group in found.groups if group.numbers_part is not None]
    if parts:
        yield "numbers part", f"at update {min(parts)} at the earliest"
    group = found.largest
    if group is not None and group.largest is not None:
        gap = group.largest
        run = in_words({**group.coordinates, "seed": group.largest_seed})
        yield (
            "largest difference",
            f"{gap.difference:.3g} in {gap.name} at update {gap.step}: {gap.first!r} and "
            f"{gap.second!r} ({run})",
        )
    if other := sorted({name for group in found.groups for name in group.other}):
        yield "also different", ", ".join(other)
    tests = [test for group in found.groups for test in group.tests]
    if tests:
        disagree = sum(not test.agrees for test in tests)
        least = min(test.adjusted for test in tests)
        yield (
            "means over seeds",
            f"{disagree} of {len(tests)} differ (least adjusted p value {least:.2g})",
        )


def _print_groups(groups: list[GroupComparison]) -> None:
    keys, shared = coordinate_columns([group.coordinates for group in groups])
    rows = []
    for group in groups:
        worst = min(group.tests, key=lambda test: test.p_value, default=None)
        rows.append(
            [
                *(str(group.coordinates.get(key, "")) for key in keys),
                f"{group.different}/{group.shared}",
                number(group.largest.difference if group.largest else None),
                "–" if group.numbers_part is None else str(group.numbers_part),
                *(
                    ["–"] * 4
                    if worst is None
                    else [
                        worst.metric,
                        number(worst.difference),
                        number(worst.standard_error),
                        number(worst.adjusted),
                    ]
                ),
                _WORDS[group.verdict],
            ]
        )
    columns = [
        "different",
        "by at most",
        "from update",
        "metric",
        "means differ by",
        "±",
        "p value",
    ]
    print_table([*keys, *columns, "note"], rows, left=len(keys), title=shared)


def _said(value: Any) -> str:
    return "not said" if value is None else str(value)
