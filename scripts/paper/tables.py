"""The paper's Table 1, the ratios of Figure 3, and those of another optimizer, as Markdown.

    python scripts/paper/tables.py --table1
    python scripts/paper/tables.py --ratios figure3.h5
    python scripts/paper/tables.py --table1 --ratios figure3.h5 --into docs/results.md
    python scripts/paper/tables.py --least figure3-natural.h5 figure3.h5

With --into the tables replace what stands between the marks of a page, lines such as
<!-- ratios --> and <!-- end of ratios -->; the rest of the page stays as it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.docs.pages import put  # noqa: E402

FORMULAS = {"Z": "n + m(n + 1)", "XZ": "n + 2m(n + 1)", "XYZ": "n + 3m(n + 1)"}
SIZES = ((6, 1), (6, 3), (8, 2), (8, 4), (10, 3))

Series = tuple[str, int, str]
"""Data set, visible units, Pauli set."""


def table1(sizes: Sequence[tuple[int, int]] = SIZES) -> str:
    """Markdown: parameters of each model; RuntimeError if a model disagrees with Table 1."""
    import tnqbm
    from tnqbm.model_tools import jacobian

    lines = [
        "| n, m | " + " | ".join(f"{p}: {FORMULAS[p]}" for p in FORMULAS) + " | effective, "
        "Z / XZ / XYZ |",
        "| --- | --- | --- | --- | --- |",
    ]
    for n, m in sizes:
        counts, ranks = [], []
        for paulis in FORMULAS:
            model = tnqbm.SqRBM.uniform(n, m, paulis, seed=0)
            found = model.n_parameters, jacobian.jacobian_rank(model).rank
            p = len(paulis)
            expected = n + p * m * (n + 1), jacobian.expected_rank(n, m, p)
            if found != expected:
                raise RuntimeError(
                    f"{paulis}, n = {n}, m = {m}: {found[0]} parameters, of which {found[1]} "
                    f"effective; expected {expected}"
                )
            counts.append(str(found[0]))
            ranks.append(str(found[1]))
        lines.append(f"| {n}, {m} | {' | '.join(counts)} | {' / '.join(ranks)} |")
    return "\n".join(lines) + "\n"


def ratios(path: Path) -> str:
    """Markdown: crossings and ratios to the RBM with 95 % bootstrap intervals, and predictions."""
    from tnqbm import Archive
    from tnqbm.archive.minimum_hidden import minimum_hidden_tables
    from tnqbm.model_tools.jacobian import effective_ratio

    with Archive(path) as archive:
        minima, table = map(_by_series, minimum_hidden_tables(archive))
    lines = [
        "| data | n | m: Z / XZ / XYZ | whole m | Z / XZ | parameters | effective | Z / XYZ "
        "| parameters | effective |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for data, n in _sizes(minima):
        cells = []
        for p in ("XZ", "XYZ"):
            row = table.get((data, n, p))
            cells += [_ratio(row), str(len(p)), f"{effective_ratio(n, len(p)):.2f}"]
        both = (_joined(minima, data, n, one) for one in (crossing, _whole))
        lines.append("| " + " | ".join([data, str(n), *both, *cells]) + " |")
    return "\n".join(lines) + "\n"


def least(paths: Sequence[Path], names: Sequence[str]) -> str:
    """Markdown: crossings and ratios of several archives side by side, where the first has any."""
    from tnqbm import Archive
    from tnqbm.archive.minimum_hidden import minimum_hidden_tables

    found = []
    for path in paths:
        with Archive(path) as archive:
            found.append([_by_series(table) for table in minimum_hidden_tables(archive)])
    heads = [f"{'m: Z / XZ / XYZ, ' if k == 0 else ''}{name}" for k, name in enumerate(names)]
    heads += [f"Z / {p}, {name}" for p in ("XZ", "XYZ") for name in names]
    lines = [f"| data | n | {' | '.join(heads)} |", "| --- | --- |" + " --- |" * len(heads)]
    for data, n in _sizes(found[0][0]):
        cells = [_joined(minima, data, n, crossing) for minima, _ in found]
        cells += [_ratio(ratios.get((data, n, p))) for p in ("XZ", "XYZ") for _, ratios in found]
        lines.append(f"| {data} | {n} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _by_series(rows: Iterable[Any]) -> dict[Series, Any]:
    return {(row.data, row.visible, row.paulis): row for row in rows}


def _sizes(minima: Mapping[Series, Any]) -> list[tuple[str, int]]:
    """Data sets in their usual order, with the numbers of visible units that there are."""
    from tnqbm.figures.layout import data_order

    pairs = {(data, n) for data, n, _ in minima}
    return [
        (d, n)
        for d in data_order(d for d, _ in pairs)
        for n in sorted(n for e, n in pairs if e == d)
    ]


def _joined(minima: Mapping[Series, Any], data: str, n: int, text: Callable[[Any], str]) -> str:
    return " / ".join(text(minima[data, n, p]) for p in FORMULAS if (data, n, p) in minima)


def crossing(row: Any) -> str:
    """An interpolated m with its interval, or its bound; * where the m tried leave a gap."""
    if row.crossing is None:
        return f"> {row.tried[-1]}"
    if row.at_smallest:
        return f"≤ {row.tried[0]}"
    gap = "*" if "no m tried" in row.note else ""
    return f"{row.crossing:.2f}{gap}{_interval(row)}"


def _whole(row: Any) -> str:
    return "–" if row.m_min is None else str(row.m_min)


def _ratio(row: Any) -> str:
    if row is None or row.ratio is None:
        return ""
    if row.kind != "value":
        return f"{'≥' if row.kind == 'at least' else '≤'} {row.ratio:.2f}"
    return f"{row.ratio:.2f}{_interval(row)}"


def _interval(row: Any) -> str:
    if row.seeds < 2:
        return ""
    low, high = ("…" if end is None else f"{end:.2f}" for end in (row.low, row.high))
    return f" ({low} to {high})"


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    from tnqbm.base.errors import ArchiveError

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table1", action="store_true", help="numbers of parameters")
    parser.add_argument("--ratios", type=Path, metavar="FIGURE3.h5", help="hidden units and ratios")
    parser.add_argument(
        "--least",
        type=Path,
        nargs=2,
        metavar=("NATURAL.h5", "FIGURE3.h5"),
        help="hidden units by natural gradients beside those of Figure 3",
    )
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="put the tables into a page")
    options = parser.parse_args(arguments)
    if not (options.table1 or options.ratios or options.least):
        parser.error(
            "say which tables: --table1, --ratios FIGURE3.h5, --least NATURAL.h5 FIGURE3.h5"
        )
    try:
        found = wanted(options)
        if options.into is None:
            print("\n".join(found.values()))
        else:
            put(options.into, found)
    except (ArchiveError, OSError, ValueError, RuntimeError) as error:
        print(f"tables.py: {error}", file=sys.stderr)
        return 1
    return 0


def wanted(options: argparse.Namespace) -> dict[str, str]:
    """The tables that were asked for, by their marks."""
    found = {}
    if options.table1:
        found["table 1"] = table1()
    if options.ratios is not None:
        found["ratios"] = ratios(options.ratios)
    if options.least is not None:
        found["least"] = least(options.least, ("natural gradients", "AMSGrad"))
    return found


if __name__ == "__main__":
    sys.exit(main())
