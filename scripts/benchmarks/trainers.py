"""AMSGrad, natural gradients and the em algorithm at equal cost: loss against passes and time.

    python scripts/benchmarks/trainers.py -o trainers.h5          # resumes where it stopped
    python scripts/benchmarks/trainers.py trainers.h5 --table
    python scripts/benchmarks/trainers.py trainers.h5 --figures data/results/trainers

Trains the runs of scripts/studies/trainers.toml, ten seeds of a cell together in one thread, and
keeps KL, TVD, passes and processor time of every recorded row. A pass is one sum over all visible
states: a gradient, a trial of the loss, a metric's matrix or its product with a vector. Processor
time is divided by the runs of a cell.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from timing import one_thread

one_thread()

import numpy as np  # noqa: E402

from mc.running.warm_up import warm_up  # noqa: E402
from mc.studies.file import load_study  # noqa: E402
from mc.studies.study import Study  # noqa: E402
from tnqbm.figures.layout import data_order, data_title, grid, require_matplotlib, style  # noqa: E402
from tnqbm.figures.styles import paulis_name  # noqa: E402
from tnqbm.files.storage import read_tree, write_tree  # noqa: E402
from tnqbm.training.families import DEFAULT  # noqa: E402
from tnqbm.training.trainer import Trainer  # noqa: E402

STUDY = Path(__file__).parents[1] / "studies" / "trainers.toml"
STYLES = {
    "amsgrad": ("AMSGrad", "#000000"),
    "fisher": ("natural, Fisher", "#0072B2"),
    "kubo-mori": ("natural, Kubo-Mori", "#E69F00"),
    "em": ("em", "#009E73"),
}
ROUNDING = 1e-9
"""KL divergences below are not told apart in tables."""

FLOOR = 1e-10
"""KL divergences below are drawn here."""


def measure(study: Study, coordinates: dict[str, Any]) -> dict[str, np.ndarray]:
    """KL, TVD and passes (seeds, records), step and seconds of one run (records,)."""
    settings = study.settings(str(coordinates["gradient"]))
    trainer = Trainer(study.problem(coordinates, study.seeds), settings)
    seconds = []
    start = time.process_time()
    for step in settings.recorded_steps:
        trainer.advance(int(step) - trainer.iteration)
        seconds.append((time.process_time() - start) / trainer.n_runs)
    while not trainer.finished:
        trainer.advance(1)
    runs = trainer.trajectories()
    plain = np.tile(settings.recorded_steps.astype(np.float64), (len(runs), 1))  # of AMSGrad
    passes = [
        run.estimator_records.get("passes", row) for run, row in zip(runs, plain, strict=True)
    ]
    return {
        "kl": np.array([run.kl for run in runs], np.float32),
        "tvd": np.array([run.tvd for run in runs], np.float32),
        "passes": np.array(passes, np.float32),
        "seconds": np.array(seconds, np.float32),
    }


Found = dict[str, dict[str, np.ndarray]]
"""What :func:`measure` found, by "data/paulis/hidden/label"."""


def save(path: Path, found: Found, study: str) -> None:
    """Write a file of results; numbers are cut to four digits, which is what they are good for."""
    arrays = {
        key: np.stack([values[key] for values in found.values()])
        for key in ("kl", "tvd", "passes", "seconds")
    }
    for key in ("kl", "tvd", "seconds"):
        arrays[key] = (arrays[key].astype(np.float32).view(np.uint32) & 0xFFFFF800).view(np.float32)
    arrays["passes"] = arrays["passes"].astype(np.int32)
    attributes = {"study": study, "cells": "\n".join(found)}
    write_tree(path, arrays, attributes, kind="trainers")


def read(path: Path) -> tuple[Found, str]:
    """What :func:`save` wrote, and the study's text."""
    arrays, attributes = read_tree(path, kind="trainers")
    names = str(attributes["cells"]).split("\n")
    found = {name: {key: arrays[key][k] for key in arrays} for k, name in enumerate(names)}
    return found, str(attributes["study"])


def run(path: Path) -> None:
    study = load_study(STUDY)
    results: Found = {}
    if path.exists():
        results, text = read(path)
        if text != study.text:
            sys.exit(f"{path} holds another version of {STUDY.name}; give another path")
    for label in study.labels():
        warm_up([(DEFAULT, paulis) for paulis in ("Z", "XZ", "XYZ")], study.settings(label))
    for coordinates in study.combinations():
        name = "/".join(str(coordinates[k]) for k in ("data", "paulis", "hidden", "gradient"))
        if name in results:
            continue
        found = results[name] = measure(study, coordinates)
        save(path, results, study.text)
        last = f"median KL {np.median(found['kl'][:, -1]):.1e}, {found['seconds'][-1]:.2f} s a run"
        print(f"{name}: {last}", flush=True)


Cells = dict[tuple[str, str, int], dict[str, dict[str, np.ndarray]]]


def load(path: Path) -> Cells:
    """(data, paulis, hidden) -> label -> arrays."""
    cells: Cells = {}
    for name, values in read(path)[0].items():
        data, paulis, hidden, label = name.split("/")
        cells.setdefault((data, paulis, int(hidden)), {})[label] = values
    known = data_order(data for data, _, _ in cells)
    return dict(sorted(cells.items(), key=lambda cell: (known.index(cell[0][0]), *_size(cell[0]))))


def _size(cell: tuple[str, str, int]) -> tuple[int, int]:
    return len(cell[1]), cell[2]


def at(found: dict[str, np.ndarray], key: str, budget: float, cost: str) -> np.ndarray:
    """The last row of each seed within a budget of passes or seconds, (seeds,)."""
    spent = np.broadcast_to(found[cost], found["kl"].shape)
    last = np.maximum((spent <= budget).sum(axis=1) - 1, 0)
    return found[key][np.arange(last.size), last]


def best(labels: dict[str, dict[str, np.ndarray]], kind: str, budget: float, cost: str) -> str:
    """Of a trainer's learning rates the one with the lowest median KL within a budget."""
    mine = [label for label in labels if label.rpartition("-")[0] == kind or label == kind]
    return min(mine, key=lambda one: float(np.median(at(labels[one], "kl", budget, cost))))


def stuck(cells: Cells, beyond: float = 0.4) -> None:
    """Seeds whose run ends with a TVD above a bound, of all seeds, for every learning rate."""
    labels = list(dict.fromkeys(label for found in cells.values() for label in found))
    print(f"\nSeeds of ten that end with TVD > {beyond}\n")
    print("| data | model | m | " + " | ".join(labels) + " |")
    print("| --- | --- | --- | " + " | ".join("---" for _ in labels) + " |")
    for (data, paulis, m), found in cells.items():
        counts = [int((found[label]["tvd"][:, -1] > beyond).sum()) for label in labels]
        if any(counts):
            print(f"| {data} | {paulis} | {m} | " + " | ".join(map(str, counts)) + " |")


def table(cells: Cells, cost: str, budget: float) -> None:
    """Median KL and TVD within a budget, the best learning rate of each trainer."""
    unit = {"passes": "passes", "seconds": "s of one core"}[cost]
    print(f"\nAfter {budget:g} {unit}: median KL (mean TVD; learning rate) of the best rate\n")
    print("| data | model | m | " + " | ".join(name for name, _ in STYLES.values()) + " |")
    print("| --- | --- | --- | " + " | ".join("---" for _ in STYLES) + " |")
    for (data, paulis, m), labels in cells.items():
        row = []
        for kind in STYLES:
            label = best(labels, kind, budget, cost)
            kl = np.median(at(labels[label], "kl", budget, cost))
            tvd = at(labels[label], "tvd", budget, cost).mean()
            rate = label.removeprefix(kind).removeprefix("-")
            shown = f"{kl:.0e}" if kl > ROUNDING else f"< {ROUNDING:.0e}"
            row.append(f"{shown} ({tvd:.2f}{'; ' + rate if rate else ''})")
        print(f"| {data} | {paulis} | {m} | " + " | ".join(row) + " |")


def figure(cells: Cells, cost: str, path: Path) -> None:
    """Median KL and quartiles over seeds, of each trainer the best rate, larger m of a cell."""
    require_matplotlib()
    with style():
        from matplotlib.lines import Line2D

        names = data_order(data for data, _, _ in cells)
        models = list(dict.fromkeys(paulis for _, paulis, _ in cells))
        fig, axes = grid(len(models), len(names), sharey=True, scale=1.0)
        for row, paulis in enumerate(models):
            for column, data in enumerate(names):
                axis = axes[row, column]
                sizes = sorted(m for d, p, m in cells if (d, p) == (data, paulis))
                for m, line in zip(sizes, ("--", "-"), strict=False):
                    draw(axis, cells[data, paulis, m], cost, line)
                name = f"{paulis_name(paulis)}, m = {sizes[0]}, {sizes[-1]}"
                axis.set_title(name if row else f"{data_title(data)}\n{name}")
                axis.set_xscale("log")
                axis.set_yscale("log")
                axis.set_ylim(FLOOR, 10)
                if cost == "passes":
                    axis.set_xlim(left=3)
                if row == len(models) - 1:
                    text = "passes over all states" if cost == "passes" else "processor time (s)"
                    axis.set_xlabel(text)
                if column == 0:
                    axis.set_ylabel("KL (nats)")
        handles = [Line2D([], [], color=colour, label=name) for name, colour in STYLES.values()]
        handles += [
            Line2D([], [], color="#666666", linestyle="--", label="smaller m"),
            Line2D([], [], color="#666666", linestyle="-", label="larger m"),
        ]
        fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        fig.savefig(path, dpi=110)
        print(path)


def draw(axis: Any, labels: dict[str, dict[str, np.ndarray]], cost: str, line: str) -> None:
    """One line per trainer, and a band between the quartiles where it is solid."""
    for kind, (_, colour) in STYLES.items():
        found = labels[best(labels, kind, np.inf, cost)]
        x = found[cost] if cost == "seconds" else np.median(found[cost], axis=0)
        low, middle, high = np.maximum(np.quantile(found["kl"], (0.25, 0.5, 0.75), axis=0), FLOOR)
        shown = x > 0
        axis.plot(x[shown], middle[shown], color=colour, linestyle=line, linewidth=1.2)
        if line == "-":
            axis.fill_between(x[shown], low[shown], high[shown], color=colour, alpha=0.15, lw=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, help="measured before, to be looked at")
    parser.add_argument("-o", "--output", type=Path, help="measure, and keep it here")
    parser.add_argument("--table", action="store_true", help="print tables at equal cost")
    parser.add_argument("--figures", type=Path, help="write FIGURES-passes.png and -seconds.png")
    arguments = parser.parse_args()
    if arguments.output is not None:
        run(arguments.output)
    path = arguments.file or arguments.output
    if path is None:
        parser.error("give a file to look at, or -o FILE to measure")
    cells = load(path)
    if arguments.table:
        table(cells, "passes", 500)
        table(cells, "seconds", 0.15)
        stuck(cells)
    if arguments.figures is not None:
        for cost in ("passes", "seconds"):
            figure(cells, cost, Path(f"{arguments.figures}-{cost}.png"))


if __name__ == "__main__":
    main()
