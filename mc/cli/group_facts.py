"""What ``show`` tells of groups and runs beyond the archive's own tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mc.cli.common import number

if TYPE_CHECKING:
    from tnqbm.archive import Archive

HEADS = {
    "tvd": "TVD", "kl": "KL (nats)", "nll": "NLL", "valid_nll": "valid NLL", "test_nll": "test NLL",
}  # fmt: skip
SUMMARY = ("runs", "finished", *(f"{name}_{what}" for name in HEADS for what in ("mean", "std")))
SPENT = ("shots", "success_rate", "failed", "log_z_untrusted")
"""What groups are given where it is known: shots of all runs, their kept share, runs that failed
before their last update, runs whose log Z cannot be right."""

OF_RUNS = ("steps", "stopped", "cause", "started", "finished", "estimator", "log_z_doubt")
"""What rows of single runs have besides coordinates, seed and metrics."""


def add_shots(archive: Archive, groups: list[dict[str, Any]], skip_damaged: bool) -> bool:
    """Give groups the shots of their runs and the share that was kept; whether there are any."""
    totals: dict[Any, list[int]] = {}
    for row in archive.estimators(skip_damaged=skip_damaged):
        found = row["estimator"]
        if "shots" in found:
            total = totals.setdefault(which_run(row, but=("seed",)), [0, 0])
            total[0] += found["shots"]
            total[1] += found.get("kept_shots", found["shots"])
    for group in groups:
        shots, kept = totals.get(which_run(group), (0, 0))
        if shots:
            group |= {"shots": shots, "success_rate": kept / shots}
    return any("shots" in group for group in groups)


def add_failed(table: list[dict[str, Any]], groups: list[dict[str, Any]]) -> int:
    """Give groups the number of their runs that failed, if any run did; that of all groups."""
    return add_count("failed", [row for row in table if row["stopped"] == "failed"], groups)


def add_count(name: str, rows: Iterable[Mapping[str, Any]], groups: list[dict[str, Any]]) -> int:
    """Give groups the number of their runs among ``rows``, if there are any; that of all groups."""
    counts = Counter(which_run(row, but=("seed",)) for row in rows)
    for group in groups if counts else ():
        group[name] = counts[which_run(group)]
    return sum(group.get(name, 0) for group in groups)


def add_reports(archive: Archive, rows: list[dict[str, Any]], skip_damaged: bool) -> bool:
    """Give runs what their estimator reported, as ``estimator``; whether one of them has shots."""
    reports = {
        which_run(row): row["estimator"] for row in archive.estimators(skip_damaged=skip_damaged)
    }
    for row in rows:
        if found := reports.get(which_run(row)):
            row["estimator"] = found
    return any("shots" in row.get("estimator", {}) for row in rows)


def shots_words(found: dict[str, Any]) -> tuple[str, str]:
    """Shots, and the share of them that was kept, as a table shows them."""
    shots = found.get("shots")
    return "–" if shots is None else f"{shots:,}", number(found.get("success_rate"))


def which_run(row: Mapping[str, Any], but: tuple[str, ...] = ()) -> frozenset[tuple[str, Any]]:
    """The coordinates of a run (its seed among them) or group, to be compared."""
    from tnqbm.training.trajectory import METRICS

    other = {*METRICS, *SUMMARY, *SPENT, *OF_RUNS, *but}
    return frozenset((key, value) for key, value in row.items() if key not in other)


def add_likelihoods(table: list[dict[str, Any]], groups: list[dict[str, Any]]) -> list[str]:
    """Give groups mean and std of final likelihoods; the metrics to show, the leading one first.

    The NLL of the training data is shown where they are samples; that of others if there are any.
    """
    import numpy as np

    from tnqbm.archive.summaries import leading_metrics

    leading = leading_metrics({str(group["data"]) for group in groups})
    samples = leading[0] != "tvd"
    finals: dict[Any, list[dict[str, Any]]] = {}
    for row in table:
        finals.setdefault(which_run(row, but=("seed",)), []).append(row)
    of_groups = [(group, finals.get(which_run(group), [])) for group in groups]
    shown = [] if samples else ["tvd", "kl"]
    for name in ("test_nll", "valid_nll", *(["nll"] if samples else [])):
        if all(row[name] is None for _, rows in of_groups for row in rows):
            continue
        shown.append(name)
        for group, rows in of_groups:
            values = [row[name] for row in rows]
            whole = bool(values) and all(v is not None and np.isfinite(v) for v in values)
            group[f"{name}_mean"] = float(np.mean(values)) if whole else None
            group[f"{name}_std"] = float(np.std(values)) if whole else None
    return shown or ["tvd", "kl"]
