"""What transverse fields are worth: figures and tables from the two archives.

    tnqbm run scripts/studies/transverse.toml -o transverse.h5
    python scripts/paper/transverse_qrbm.py -o transverse-qrbm.h5
    python scripts/paper/transverse.py transverse.h5 --qrbm transverse-qrbm.h5 --figures figures/

Prints Markdown tables: the least m of every model, and the mean gain in TVD over the RBM with the
same m, seed by seed, with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tables
import transverse_qrbm

NAMES = {name: transverse_qrbm.NAMES[name] for name in ("Z", "hidden", "XZ")}
RESAMPLES = 2000
CONFIDENCE = 0.95
THRESHOLD = 0.2

Values = Mapping[tuple[str, int, str, int], Mapping[int, float]]
"""Final TVD by (model, n, data, m), then by seed."""


def from_archive(path: Path) -> Values:
    """Final TVDs of the study's three models."""
    from tnqbm import Archive
    from tnqbm.archive.summaries import final_groups

    with Archive(path) as archive:
        groups = final_groups(archive)
    found = {}
    for group in groups:
        couple = dict(group.other).get("couple")
        model = group.paulis if couple is None else "hidden"
        key = (model, group.visible, group.data, group.hidden)
        found[key] = dict(zip(group.seeds, group.values.tolist(), strict=True))
    return found


def from_runs(path: Path) -> Values:
    """Final TVDs of a file of transverse_qrbm.py, of seeds that all four models have finished."""
    results = transverse_qrbm.load(path, None)
    found: dict[tuple[str, int, str, int], dict[int, float]] = {}
    for run, (tvd, _) in results.items():
        if all(run._replace(model=model) in results for model in transverse_qrbm.MODELS):
            key = (run.model, run.visible, run.data, run.hidden)
            found.setdefault(key, {})[run.seed] = tvd
    return found


def gain(one: Mapping[int, float], other: Mapping[int, float]) -> tuple[float, float, float]:
    """Mean of one - other over common seeds, and its central bootstrap interval."""
    seeds = sorted(set(one) & set(other))
    apart = np.array([one[seed] - other[seed] for seed in seeds])
    rng = np.random.default_rng([20250224, len(seeds)])
    means = apart[rng.integers(len(seeds), size=(RESAMPLES, len(seeds)))].mean(axis=1)
    low, high = np.quantile(means, [0.5 - 0.5 * CONFIDENCE, 0.5 + 0.5 * CONFIDENCE])
    return float(apart.mean()), float(low), float(high)


def gain_table(values: Values, models: Sequence[str], *, brief: bool = False) -> str:
    """Markdown: mean gain in TVD over the RBM of the same m, averaged over seeds.

    ``brief`` leaves only the RBM's least m with a mean TVD below 0.2, or the largest tried, and the
    m before it.
    """
    lines = [
        "| n | data | m | seeds | TVD of RBM | "
        + " | ".join(f"gain of {transverse_qrbm.NAMES[model]}" for model in models)
        + " |",
        "| " + " | ".join(["---"] * (5 + len(models))) + " |",
    ]
    order = ("bas", "on2", "cardinality", "parity")
    for _, n, data, m in sorted(
        (key for key in values if key[0] == "Z"),
        key=lambda key: (key[1], order.index(key[2]), key[3]),
    ):
        if brief and m not in _around(values, n, data):
            continue
        base = values["Z", n, data, m]
        cells = []
        for model in models:
            other = values.get((model, n, data, m))
            if other is None or not set(other) & set(base):
                cells.append("")
                continue
            mean, low, high = gain(base, other)
            cells.append(f"{mean:+.3f} ({low:+.3f} to {high:+.3f})")
        rbm = float(np.mean(list(base.values())))
        row = [str(n), data, str(m), str(len(base)), f"{rbm:.3f}", *cells]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def _around(values: Values, n: int, data: str) -> list[int]:
    """The RBM's least m, and the one tried before it."""
    from tnqbm.archive.minimum_hidden import falling_fit

    tried = sorted(key[3] for key in values if key[:3] == ("Z", n, data))
    runs = [np.array(list(values["Z", n, data, m].values())) for m in tried]
    fit = falling_fit(np.array([one.mean() for one in runs]), np.array([one.size for one in runs]))
    at = int(np.sum(fit >= THRESHOLD)) if fit[-1] < THRESHOLD else len(tried) - 1
    return tried[max(0, at - 1) : at + 1]


def least_table(path: Path) -> str:
    """Markdown: m at which the mean TVD falls to 0.2, with 95 % bootstrap intervals."""
    from tnqbm import Archive
    from tnqbm.archive.minimum_hidden import minimum_hidden_table
    from tnqbm.figures.layout import data_order

    with Archive(path) as archive:
        rows = minimum_hidden_table(archive)
    cells: dict[tuple[str, str], str] = {}
    for row in rows:
        model = "hidden" if "couple" in dict(row.other) else row.paulis
        cells[row.data, model] = tables.crossing(row)
    lines = [
        f"| m, n = {rows[0].visible} | " + " | ".join(NAMES.values()) + " |",
        "| --- | --- | --- | --- |",
    ]
    for data in data_order(row.data for row in rows):
        lines.append("| " + " | ".join([data, *(cells.get((data, m), "") for m in NAMES)]) + " |")
    return "\n".join(lines) + "\n"


def figure(values: Values, names: Mapping[str, str], path: Path) -> Path:
    """TVD against m with bands, a line per model."""
    from models_figure import ModelValues, models_vs_hidden

    from tnqbm.figures import save_figure

    items = [
        ModelValues(model, data, n, m, np.array(list(by_seed.values())))
        for (model, n, data, m), by_seed in sorted(values.items())
    ]
    drawn, _ = models_vs_hidden(items, names, title="What a transverse field is worth")
    return save_figure(drawn, path, overwrite=True)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", type=Path, help="of scripts/studies/transverse.toml")
    parser.add_argument("--qrbm", type=Path, help="of transverse_qrbm.py")
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="draw the figures there")
    parser.add_argument("--brief", action="store_true", help="gains only around the RBM's least m")
    parser.add_argument("--into", type=Path, metavar="PAGE.md", help="put the tables into a page")
    options: Any = parser.parse_args(arguments)
    values = from_archive(options.archive)
    gains = gain_table(values, ("hidden", "XZ"), brief=options.brief)
    found = {"transverse": f"{least_table(options.archive)}\n{gains}"}
    if options.figures is not None:
        print(figure(values, NAMES, options.figures / "transverse.png"))
    if options.qrbm is not None:
        small = from_runs(options.qrbm)
        found["qrbm"] = gain_table(small, ("hidden", "all", "XZ"))
        if options.figures is not None:
            path = options.figures / "transverse-qrbm.png"
            print(figure(small, transverse_qrbm.NAMES, path))
    if options.into is None:
        print("\n".join(found.values()))
    else:
        tables.put(options.into, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
