"""Tables (Markdown) and figures of an equivalence audit.

    python scripts/audit/tables.py data/results/audit.jsonl
    python scripts/audit/tables.py data/results/audit.jsonl --figures data/results/audit
    python scripts/audit/tables.py data/results/audit.jsonl --archive data/results/figure3.h5

With --figures PREFIX it writes PREFIX-fits.png and PREFIX-scaling.png, and with --archive, an
archive of trained models, the table of ratios of hidden units and PREFIX-ratios.png. With
--update docs/equivalence.md it puts the tables between the marks <!-- PART --> and
<!-- end of PART -->.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import audit_figures
import numpy as np
import ratios
from results import AuditFile, load
from summary import fit_summaries, scaling_summaries, select

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.docs.pages import put  # noqa: E402
from tnqbm.base.errors import ArchiveError, MissingExtraError  # noqa: E402
from tnqbm.figures import save_figure  # noqa: E402

LARGE = 4
"""Hidden units of the sqRBM from which on interpolation between whole numbers matters little."""

PARTS = ("ranks", "special", "controls", "fits", "all-fits", "scaling", "schmidt", "ratios")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE.jsonl", help="of scripts/audit/run.py")
    parser.add_argument(
        "--part",
        choices=PARTS,
        nargs="+",
        metavar="PART",
        default=[part for part in PARTS if part != "all-fits"],
        help=f"{', '.join(PARTS)} [default: all but all-fits]",
    )
    parser.add_argument("--archive", type=Path, metavar="OUT.h5", help="for the ratios")
    parser.add_argument("--figures", metavar="PREFIX", help="draw them as well")
    parser.add_argument("--update", type=Path, metavar="PAGE.md", help="instead of printing")
    arguments = parser.parse_args()
    try:
        file = load(arguments.file)
        rows = _ratio_rows(arguments.archive) if arguments.archive else []
        if arguments.update:
            update(arguments.update, file, rows)
        else:
            for part in arguments.part:
                print(text_of(part, file, rows), end="")
        if arguments.figures:
            draw(file, rows, arguments.figures)
    except (ArchiveError, MissingExtraError, OSError, ValueError) as error:
        print(f"tables.py: {error}", file=sys.stderr)
        return 1
    return 0


def text_of(part: str, file: AuditFile, rows: Sequence[ratios.RatioRow]) -> str:
    """What one part prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if part == "ratios":
            print_ratios(rows)
        else:
            PRINTERS[part](file)
    return printed.getvalue()


def update(page: Path, file: AuditFile, rows: Sequence[ratios.RatioRow]) -> None:
    """Replace the tables of a page; ValueError if a mark has no end or names no part."""
    marks = re.findall(r"^<!-- (?!end of )(.+) -->$", page.read_text("utf-8"), flags=re.MULTILINE)
    if not marks or set(marks) - set(PARTS):
        raise ValueError(f"{page}: marks should be <!-- PART -->, of {', '.join(PARTS)}")
    wanted = [part for part in marks if part != "ratios" or rows]
    put(page, {part: text_of(part, file, rows).removesuffix("\n") for part in wanted})


def print_ranks(file: AuditFile) -> None:
    """Ranks by P, n and m; a Pauli set counts by its number of letters only."""
    groups: dict[tuple[int, int, int], list[dict[str, object]]] = {}
    for cell, result in file.rows("rank"):
        groups.setdefault((len(cell["paulis"]), cell["n"], cell["m"]), []).append(result)
    most = max((m for _, _, m in groups), default=0)
    body = []
    for p in sorted({key[0] for key in groups}):
        for n in sorted({key[1] for key in groups}):
            line = [str(p), str(n)]
            for m in range(1, most + 1):
                found = groups.get((p, n, m), [])
                ranks = sorted({rank for one in found for rank in one["ranks"]})  # type: ignore[attr-defined]
                expected = {one["expected"] for one in found}
                text = ", ".join(map(str, ranks))
                line.append(text if set(ranks) == expected else f"{text} (expected {expected})")
            body.append(line)
    table(("P", "n", *(f"m = {m}" for m in range(1, most + 1))), body)
    results = [one for found in groups.values() for one in found]
    gaps = [float(one["gap"]) for one in results if one["gap"] is not None]  # type: ignore[arg-type]
    decimal = [one for one in results if "decimal_rank" in one]
    same = sum(one["decimal_rank"] == one["expected"] for one in decimal)
    print(
        f"Smallest gap of singular values: {min(gaps):.1e}. Decimal arithmetic gives the expected "
        f"rank in {same} of {len(decimal)} shapes and Pauli sets.\n"
    )


def print_special(file: AuditFile) -> None:
    cells = list(file.rows("special"))
    names = list(cells[0][1]["ranks"]) if cells else []
    body = [
        [cell["paulis"], str(result["expected"]), *(str(result["ranks"][name]) for name in names)]
        for cell, result in cells
    ]
    table(("Paulis", "generic", *names), body)


def print_controls(file: AuditFile) -> None:
    body = []
    for row, (_, result) in zip(fit_summaries(file, "control"), file.rows("control"), strict=True):
        body.append(
            [
                _shape(row.target, row.n, row.m),
                _shape(row.paulis, row.n, row.k),
                f"{row.scale:g}",
                f"{row.exact:.0%}",
                f"{max(result['kl']):.1e}",
                f"{row.hits:.0%}",
            ]
        )
    table(("target", "model", "c", "exact", "largest KL", "restarts that find it"), body)


def print_fits(file: AuditFile) -> None:
    """Median KL of every pair of shapes, a column for each scale of the targets' parameters."""
    rows = fit_summaries(file)
    scales = sorted({row.scale for row in rows})
    pairs = dict.fromkeys((row.n, row.target, row.m, row.paulis, row.k) for row in rows)
    body = []
    for n, target, m, paulis, k in sorted(pairs, key=lambda pair: (pair[0], pair[1] == "Z", *pair)):
        chosen = {
            row.scale: row for row in select(rows, n=n, target=target, m=m, paulis=paulis, k=k)
        }
        line = [_shape(target, n, m), _shape(paulis, n, k)]
        for scale in scales:
            line.append(_kl(chosen[scale].median) if scale in chosen else "–")
        one = chosen.get(1.0)
        twin = "–" if one is None or one.naive is None else _kl(one.naive)
        line += [_share(chosen[c].share) if c in chosen else "–" for c in (0.1, 0.3, 1.0)]
        line += ["–" if one is None else f"{one.tvd:.1e}", twin]
        line.append(f"{min(row.converged for row in chosen.values()):.0%}")
        line.append(f"{min(row.hits for row in chosen.values()):.0%}")
        body.append(line)
    head = (
        "target", "model", *(f"KL, c = {c:g}" for c in scales), "share, c = 0.1", "share, c = 0.3",
        "share, c = 1",
        "TVD, c = 1", "twin's KL, c = 1",
        "converged, at least", "restarts that find it, at least",
    )  # fmt: skip
    table(head, body)


def print_all_fits(file: AuditFile) -> None:
    """Every cell of fits with quartiles and intervals."""
    body = []
    for row in fit_summaries(file):
        body.append(
            [
                str(row.n),
                _shape(row.target, row.n, row.m),
                _shape(row.paulis, row.n, row.k),
                f"{row.scale:g}",
                str(row.targets),
                _kl(row.median),
                f"{_kl(row.quartiles[0])} to {_kl(row.quartiles[1])}",
                f"{_kl(row.interval[0])} to {_kl(row.interval[1])}",
                f"{row.tvd:.1e}",
                "–" if not row.bound else f"{row.bound:.1e}",
                "–" if row.naive is None else _kl(row.naive),
                f"{row.converged:.0%}",
                f"{row.hits:.0%}",
            ]
        )
    head = (
        "n", "target", "model", "c", "targets", "KL, median", "quartiles", "95 % of the median",
        "TVD", "TVD at least", "twin's KL", "converged", "restarts that find it",
    )  # fmt: skip
    table(head, body)


def print_scaling(file: AuditFile) -> None:
    body = [
        [
            row.paulis,
            str(row.n),
            str(row.t),
            f"{row.naive:.2f}",
            f"{row.ratio:.3f}",
            f"{row.best:.2f}",
            f"{row.gain:.0f}",
        ]
        for row in scaling_summaries(file)
    ]
    head = ("Paulis", "n", "target", "slope, twin", "twin / leading term", "slope, best fit",
            "twin / best fit")  # fmt: skip
    table(head, body)


def print_schmidt(file: AuditFile) -> None:
    body = []
    for cell, result in file.rows("schmidt"):
        p = len(cell["paulis"])
        beyond = float(np.median(result["beyond"]))
        bounds = result["bounds"]
        body.append(
            [
                cell["paulis"],
                str(cell["n"]),
                f"{cell['scale']:g}",
                _span(result["ranks"]),
                _span(result["coarse"]),
                str(2**p),
                "0" if beyond < 1e-14 else f"{beyond:.1e}",
                f"{float(np.median(bounds)):.1e}" if bounds and max(bounds) > 0 else "–",
            ]
        )
    head = ("Paulis", "n", "c", "rank to 1e-12", "rank to 1e-4", "P classical units",
            "norm beyond them", "TVD from RBM_{n,P} at least")  # fmt: skip
    table(head, body)


def print_ratios(rows: Sequence[ratios.RatioRow]) -> None:
    """Each ratio, then where the intervals of groups of them lie against the laws."""
    if not rows:
        return
    body = [
        [
            f"{row.data} ({row.note})" if row.note else row.data,
            str(row.visible),
            row.paulis,
            f"{row.classical:.2f} / {row.crossing:.2f}",
            f"{row.ratio:.2f}",
            "–" if row.low is None or row.high is None else f"{row.low:.2f} to {row.high:.2f}",
            f"{row.naive:.0f}",
            row.verdict(row.naive),
            f"{row.effective:.2f}",
            row.verdict(row.effective),
        ]
        for row in rows
    ]
    head = ("data", "n", "Paulis", "m, RBM / sqRBM", "ratio", "95 %", "P", "ratio is",
            "effective", "ratio is")  # fmt: skip
    table(head, body)
    large = [row for row in rows if row.crossing > LARGE]
    groups = [("all", rows), (f"sqRBM of more than {LARGE} units", large)]
    groups += [
        (f"{paulis}, more than {LARGE} units", [row for row in large if row.paulis == paulis])
        for paulis in sorted({row.paulis for row in large})
    ]
    groups += [(d, [r for r in rows if r.data == d]) for d in dict.fromkeys(r.data for r in rows)]
    body = []
    for name, chosen in groups:
        if not chosen:
            continue
        means = ratios.mean_excess(chosen)
        line = [name, str(len(chosen))]
        for law in ("naive", "effective"):
            line += [str(count) for count in ratios.verdicts(chosen, law).values()]
            line.append(f"{means[law]:.2f}")
        body.append(line)
    head = ("ratios", "number", "below P", "P within", "above P", "mean of ratio / P",
            "below effective", "within", "above", "mean of ratio / effective")  # fmt: skip
    table(head, body)


PRINTERS = {
    "ranks": print_ranks,
    "special": print_special,
    "controls": print_controls,
    "fits": print_fits,
    "all-fits": print_all_fits,
    "scaling": print_scaling,
    "schmidt": print_schmidt,
}


def draw(file: AuditFile, rows: Sequence[ratios.RatioRow], prefix: str) -> None:
    made = {"fits": audit_figures.fits(file), "scaling": audit_figures.scaling(file)}
    if rows:
        made["ratios"] = audit_figures.ratios(rows)
    for name, (figure, _) in made.items():
        path = save_figure(figure, f"{prefix}-{name}.png", overwrite=True)
        print(f"figure: {path}")


def table(head: Iterable[str], body: Iterable[Sequence[str]]) -> None:
    head = list(head)
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for line in body:
        print("| " + " | ".join(line) + " |")
    print()


def _ratio_rows(path: Path) -> list[ratios.RatioRow]:
    from tnqbm import Archive

    with Archive(path) as archive:
        return ratios.ratio_table(archive)


def _share(value: float) -> str:
    return "< 1e-12" if value < 1e-12 else f"{value:.1g}"


def _shape(paulis: str, n: int, units: int) -> str:
    if paulis == "rank-1":
        return f"one XYZ qubit of parallel rows, n = {n}"
    return f"RBM_{{{n},{units}}}" if paulis == "Z" else f"sqRBM_{{{n},{units}}} {paulis}"


def _kl(value: float) -> str:
    return "< 1e-12" if value < 1e-12 else f"{value:.1e}"


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _range(values: tuple[int, int]) -> str:
    return str(values[0]) if values[0] == values[1] else f"{values[0]} to {values[1]}"


if __name__ == "__main__":
    sys.exit(main())
