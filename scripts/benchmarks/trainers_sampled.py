"""AMSGrad and natural gradients from the same persistent chains, as a table.

    mpiexec -n 2 tnqbm run scripts/studies/trainers-sampled.toml -o trainers-sampled.h5
    python scripts/benchmarks/trainers_sampled.py trainers-sampled.h5

Of every trainer the learning rate (and damping) with the lowest median final KL counts, cell by
cell. Seconds are those of the clock from the start of a batch of runs to its end, divided by its
runs: one rank on one core, as busy as the machine was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tnqbm.archive import Archive, Run
from tnqbm.base.errors import ArchiveError

KINDS = {
    "short": "AMSGrad, 300 updates",
    "fisher": "Fisher, 300",
    "kubo-mori": "Kubo-Mori, 300",
    "amsgrad": "AMSGrad, 4000",
}
"""Trainers by the first part of their labels, in the order of the columns."""

STUCK = 0.4
"""Runs that end with a larger TVD have not left their plateau."""

Cell = tuple[str, str, int]
"""Data set, Pauli set, hidden units."""


class Result(NamedTuple):
    """The runs of one trainer and setting in one cell."""

    label: str
    kl: float
    tvd: float
    seconds: float
    stuck: int
    runs: int

    @property
    def setting(self) -> str:
        """What follows the trainer's name in the label."""
        kind = kind_of(self.label)
        return self.label.removeprefix(kind + "-")


def kind_of(label: str) -> str:
    """The trainer of a label; ValueError if it is none of :data:`KINDS`."""
    for kind in KINDS:
        if label.startswith(kind + "-"):
            return kind
    raise ValueError(f"gradient {label!r} is none of {', '.join(KINDS)}")


def seconds_of(runs: Sequence[Run]) -> float:
    """Seconds of the clock per run; runs that started together were trained together."""
    batches: dict[str, list[str]] = {}
    for run in runs:
        batches.setdefault(run.started, []).append(run.ended)
    spent = sum(
        (datetime.fromisoformat(max(ended)) - datetime.fromisoformat(start)).total_seconds()
        for start, ended in batches.items()
    )
    return spent / len(runs)


def results(archive: Archive) -> dict[Cell, dict[str, list[Result]]]:
    """What every trainer reached, with each of its settings."""
    groups: dict[tuple[Cell, str], list[Run]] = {}
    for run in archive.runs():
        where = run.coordinates
        cell = (str(where["data"]), str(where["paulis"]), int(where["hidden"]))
        groups.setdefault((cell, str(where["gradient"])), []).append(run)
    found: dict[Cell, dict[str, list[Result]]] = {}
    for (cell, label), runs in groups.items():
        kl = np.array([run.trajectory.kl[-1] for run in runs])
        tvd = np.array([run.trajectory.tvd[-1] for run in runs])
        one = Result(
            label=label,
            kl=float(np.median(kl)),
            tvd=float(tvd.mean()),
            seconds=seconds_of(runs),
            stuck=int((tvd > STUCK).sum()),
            runs=len(runs),
        )
        found.setdefault(cell, {}).setdefault(kind_of(label), []).append(one)
    return found


def best(settings: Sequence[Result]) -> Result:
    """The setting with the lowest median KL; one that diverged never is."""
    return min(settings, key=lambda one: one.kl if np.isfinite(one.kl) else np.inf)


def print_cells(found: dict[Cell, dict[str, list[Result]]]) -> None:
    """Median KL, mean TVD and the setting of every trainer."""
    print("| data | model | m | " + " | ".join(KINDS.values()) + " |")
    print("| --- | --- | --- |" + " --- |" * len(KINDS))
    for (data, paulis, m), kinds in found.items():
        row = [best(kinds[kind]) for kind in KINDS]
        texts = [f"{one.kl:.3f} ({one.tvd:.2f}; {one.setting})" for one in row]
        print(f"| {data} | {paulis} | {m} | " + " | ".join(texts) + " |")


def print_settings(found: dict[Cell, dict[str, list[Result]]]) -> None:
    """Over all cells: how often a setting was its trainer's best, and what became of its runs."""
    labels = {one.label: kind for kinds in found.values() for kind, s in kinds.items() for one in s}
    print(f"\n| label | best in cells | median KL over cells | runs with TVD > {STUCK} | s a run |")
    print("| --- | --- | --- | --- | --- |")
    for label, kind in labels.items():
        mine = [one for kinds in found.values() for one in kinds[kind] if one.label == label]
        won = sum(best(kinds[kind]).label == label for kinds in found.values())
        stuck, runs = sum(one.stuck for one in mine), sum(one.runs for one in mine)
        seconds, kl = np.median([one.seconds for one in mine]), np.median([one.kl for one in mine])
        print(f"| {label} | {won} of {len(mine)} | {kl:.2g} | {stuck} of {runs} | {seconds:.1f} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path, help="of scripts/studies/trainers-sampled.toml")
    path = parser.parse_args().archive
    try:
        with Archive(path) as archive:
            found = results(archive)
    except (ArchiveError, OSError, ValueError) as error:
        print(f"trainers_sampled.py: {error}", file=sys.stderr)
        return 1
    print_cells(found)
    print_settings(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
