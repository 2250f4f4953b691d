"""Tables of benchmarks' figures, one column per kind of processor, and what became slower.

    python scripts/benchmarks/exact_gradient.py --json figures.jsonl     # and so on, on any machine
    python scripts/benchmarks/table.py figures.jsonl others.jsonl        # Markdown
    python scripts/benchmarks/table.py --since old.jsonl figures.jsonl   # exit status 1 if slower
    python scripts/benchmarks/table.py --into docs/performance.md        # those that are kept

With --into the tables replace what stands between the marks of a page, a pair of lines such as
<!-- exact_gradient --> and <!-- end of exact_gradient --> for every benchmark of the files.
Of figures measured more than once on a kind of processor, the best one counts, or the last where
neither small nor large ones are better.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.docs.pages import put  # noqa: E402

KEPT = ROOT / "data" / "results" / "benchmarks"
"""The figures that the documentation shows."""

WORSE = 1.1
"""Figures that are worse by more than this factor have regressed."""

Name = tuple[str, str, str]
"""Benchmark, what was measured, figure."""


def read(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """The lines of files; ValueError with the place of a line that is none of a benchmark's."""
    found = []
    for path in paths:
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                line = json.loads(text)
                name_of(line), kind_of(line), float(line["value"]), line["better"]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}, line {number} is no benchmark's figure") from error
            found.append(line)
    return found


def name_of(line: dict[str, Any]) -> Name:
    """What a line's figure is of."""
    where = ", ".join(f"{key} = {value}" for key, value in line["where"].items())
    return str(line["benchmark"]), where, str(line["figure"])


def kind_of(line: dict[str, Any]) -> str:
    """The kind of processor, with its vectors."""
    return " ".join(word for word in (line["processor"], line["vectors"]) if word)


def best(lines: Iterable[dict[str, Any]]) -> dict[tuple[Name, str], dict[str, Any]]:
    """The line that counts of every figure and kind of processor."""
    found: dict[tuple[Name, str], dict[str, Any]] = {}
    for line in lines:
        key = name_of(line), kind_of(line)
        if key not in found or worse_by(found[key], line) <= 1.0:
            found[key] = line
    return found


def worse_by(old: dict[str, Any], new: dict[str, Any]) -> float:
    """The factor by which a figure became worse; 1 if neither small nor large ones are better."""
    before, after = float(old["value"]), float(new["value"])
    if new["better"] == "higher":
        before, after = after, before
    return after / before if new["better"] and before > 0 else 1.0


def tables(lines: Iterable[dict[str, Any]]) -> dict[str, str]:
    """A table in Markdown for every benchmark, one column per kind of processor."""
    found = best(lines)
    made = {}
    for benchmark in dict.fromkeys(name[0] for name, _ in found):
        mine = {key: line for key, line in found.items() if key[0][0] == benchmark}
        kinds = list(dict.fromkeys(kind for _, kind in mine))
        text = [
            f"| {benchmark} | | {' | '.join(kinds)} |",
            "| --- |" + " --- |" * (1 + len(kinds)),
        ]
        for name in dict.fromkeys(name for name, _ in mine):
            cells = [mine.get((name, kind)) for kind in kinds]
            values = [f"{line['value']:.3g}" if line else "-" for line in cells]
            text.append(f"| {name[1]} | {name[2]} | {' | '.join(values)} |")
        made[benchmark] = "\n".join([*text, ""])
    return made


def regressions(
    old: Iterable[dict[str, Any]], new: Iterable[dict[str, Any]]
) -> list[tuple[Name, str, float]]:
    """Figures that are worse than before by more than :data:`WORSE`, kind of processor, factor."""
    before = best(old)
    pairs = [(key, before[key], line) for key, line in best(new).items() if key in before]
    factors = [(*key, worse_by(old_line, line)) for key, old_line, line in pairs]
    return [found for found in factors if found[2] > WORSE]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "files", nargs="*", type=Path, default=sorted(KEPT.glob("*.jsonl")),
        help=f"written by --json of the benchmarks, default {KEPT.relative_to(ROOT)}/*.jsonl",
    )  # fmt: skip
    parser.add_argument("--since", type=Path, metavar="FILE", help="compare with an earlier file")
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="put the tables into a page")
    given = parser.parse_args(arguments)
    if given.since and given.into:
        parser.error("--since compares and --into writes tables; give one of them")
    try:
        lines = read(given.files)
        earlier = read([given.since]) if given.since else None
        if given.into:
            put(given.into, tables(lines))
            return 0
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if earlier is None:
        print("\n".join(tables(lines).values()))
        return 0
    shared = best(earlier).keys() & best(lines).keys()
    worse = regressions(earlier, lines)
    for (benchmark, where, figure), kind, factor in worse:
        print(f"{benchmark}, {where}, {figure}: {factor:.2f} times worse on {kind}")
    print(f"{len(worse)} of {len(shared)} figures in both are worse by more than {WORSE - 1:.0%}")
    return 1 if worse or not shared else 0


if __name__ == "__main__":
    sys.exit(main())
