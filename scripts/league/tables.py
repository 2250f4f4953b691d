"""The league's tables as Markdown, and its figure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sets import DataSet

Float = NDArray[np.float64]

NAMES = {"Z": "RBM", "XZ": "XZ", "XYZ": "XYZ"}
LINEAR = 0.1
"""Differences (nats) up to which the figure's axis is linear."""


@dataclass(frozen=True)
class Group:
    """Final runs of one Pauli set."""

    rows: list[dict[str, Any]]
    log_p: Float
    """(seeds, test rows)."""

    @property
    def mean(self) -> float:
        return float(self.log_p.mean())

    @property
    def spread(self) -> float:
        """Standard error over seeds."""
        return _error(self.log_p.mean(axis=1))

    def mmd(self) -> str:
        """Mean squared MMD over seeds; the larger of both errors."""
        values = np.array([row["mmd"] for row in self.rows])
        error = max(_error(values[:, 0]), math.hypot(*values[:, 1]) / len(values))
        return f"{1e3 * values[:, 0].mean():.2f} ± {1e3 * error:.2f}"


def _error(values: Float) -> float:
    return float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.nan


def difference(first: Group, second: Group) -> tuple[float, float]:
    """Mean of log p_first - log p_second, paired row by row; its error over rows and seeds."""
    rows = first.log_p.mean(axis=0) - second.log_p.mean(axis=0)
    return float(rows.mean()), math.hypot(_error(rows), first.spread, second.spread)


def groups(data: DataSet, out: Path) -> dict[str, Group]:
    """Final runs by Pauli set, of one data set."""
    runs = json.loads((out / f"{data.name}.json").read_text())["runs"]
    log_p = np.load(out / f"{data.name}.npz")["log_p"]
    found = {}
    for paulis in data.hidden:
        members = [k for k, row in enumerate(runs) if row["paulis"] == paulis]
        found[paulis] = Group([runs[k] for k in members], log_p[members])
    return found


def markdown(sets: Sequence[DataSet], out: Path) -> str:
    """All tables: test likelihoods, log Z and settings, squared MMD, numbers of others."""
    found = {data.name: groups(data, out) for data in sets}
    parts = [_likelihoods(sets, found), _certificates(sets, found)]
    compared = [data for data in sets if data.bandwidth is not None]
    if compared:
        parts.append(_discrepancies(compared, found))
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _likelihoods(sets: Sequence[DataSet], found: dict[str, dict[str, Group]]) -> str:
    rows = []
    for data in sets:
        here = found[data.name]
        others = [f"{p.value:.2f} {p.model} ({p.source})" for p in data.published if not p.mmd]
        rows.append([
            data.title, str(data.visible),
            f"{here['Z'].rows[0]['independent']:.2f}",
            *(f"{here[p].mean:.3f} ± {here[p].spread:.3f}" for p in NAMES),
            *("{:+.3f} ± {:.3f}".format(*difference(here[p], here["Z"])) for p in ("XZ", "XYZ")),
            "; ".join(others) or "–",
        ])  # fmt: skip
    head = ["data", "n", "independent bits", *NAMES.values(), "XZ - RBM", "XYZ - RBM", "published"]
    return _table(head, rows)


def _certificates(sets: Sequence[DataSet], found: dict[str, dict[str, Group]]) -> str:
    rows = []
    for data in sets:
        for paulis, name in NAMES.items():
            runs = found[data.name][paulis].rows
            widths = [run["upper"] - run["lower"] for run in runs]
            trusted = sum(run["trusted"] for run in runs)
            methods = sorted({run["method"] for run in runs})
            train = np.mean([run["train"] for run in runs])
            rows.append([
                data.title, name, str(runs[0]["hidden"]), str(runs[0]["parameters"]),
                f"`{runs[0]['trial']}`", f"{train:.3f}", ", ".join(methods),
                f"{max(widths):.3f}", f"{trusted} of {len(runs)}",
            ])  # fmt: skip
    head = ["data", "model", "m", "parameters", "trial", "train", "log Z by",
            "widest bracket (nats)", "trusted"]  # fmt: skip
    return _table(head, rows)


def _discrepancies(sets: Sequence[DataSet], found: dict[str, dict[str, Group]]) -> str:
    rows = []
    for data in sets:
        others = [f"{1e3 * p.value:.2f} {p.model} ({p.source})" for p in data.published if p.mmd]
        rows.append([
            data.title, f"{data.bandwidth:.5g}",
            *(found[data.name][paulis].mmd() for paulis in NAMES), "; ".join(others),
        ])  # fmt: skip
    return _table(["squared MMD x 1000", "bandwidth", *NAMES.values(), "published"], rows)


def figure(sets: Sequence[DataSet], out: Path, path: Path) -> None:
    """Differences of test log-likelihood from the RBM's, for every set."""
    from matplotlib.figure import Figure

    from tnqbm.figures import save_figure

    drawing = Figure(figsize=(6.4, 0.9 + 0.42 * len(sets)), layout="constrained")
    axes = drawing.subplots()
    for shift, (paulis, colour) in zip((0.12, -0.12), (("XZ", "C0"), ("XYZ", "C3")), strict=True):
        pairs = [
            difference(here[paulis], here["Z"]) for here in (groups(data, out) for data in sets)
        ]
        places = np.arange(len(sets))[::-1] + shift
        values, errors = np.array(pairs).T
        axes.errorbar(values, places, xerr=2 * errors, fmt="o", ms=5, color=colour, label=paulis)
    axes.axvline(0.0, color="0.6", lw=1)
    if max(map(abs, axes.get_xlim())) > LINEAR:
        axes.set_xscale("symlog", linthresh=LINEAR)
    else:
        axes.locator_params(axis="x", nbins=5)
    axes.set_yticks(np.arange(len(sets))[::-1], [f"{d.title}, n = {d.visible}" for d in sets])
    axes.set_xlabel("test log-likelihood less the RBM's, equally many parameters (nats a row)")
    drawing.legend(title="Pauli set", loc="outside right upper")
    save_figure(drawing, path, overwrite=True)
