"""TVD of a study's final models with log Z bounded from both sides, as Markdown.

    python scripts/paper/certified.py cd-bas64.h5
    python scripts/paper/certified.py cd-bas64.h5 --into docs/contrastive-divergence.md

For every final model log Z is certified anew, whatever the training said of it. "certified" counts
the runs whose interval is at most 0.1 nats wide, "at most 0.2" those whose TVD is below 0.2 at both
ends of it. The second table holds the hidden units at which the mean TVD falls to 0.2, and the
ratios to those of the RBM, by the upper ends, with 95 % bootstrap intervals over seeds. With --into
the tables replace what stands between <!-- certified --> and <!-- end of certified --> of a page.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tables
from numpy.typing import NDArray

import mc
import tnqbm
from tnqbm.archive import Run
from tnqbm.archive.minimum_hidden import crossing_of, falling_fit, seed_weights

WIDTH = 0.1
"""Nats that the bounds of log Z may be apart."""

THRESHOLD = 0.2
"""The paper's, of TVD."""


class Row(NamedTuple):
    """One run: TVD at the bounds of log Z, whether they are certified, and what training said."""

    lower: float
    upper: float
    certified: bool
    off: float


def certify(run: Run, study: Any) -> Row:
    """The final model of a run."""
    seed, path = int(run.coordinates["seed"]), run.trajectory
    target = study.target(run.coordinates, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mc.EstimateWarning)  # counted in the table
        log_z = mc.log_partition(run.model, "certified", data=target, seed=seed)
        tvd = mc.total_variation_on_support(run.model, target, log_z)
    low, high = sorted((tvd.lower, tvd.upper))
    own = np.nan
    if path.log_partition is not None:
        own = float(path.log_partition[-1]) - log_z.value
    row = Row(low, high, log_z.trusted and log_z.width <= WIDTH, own)
    print(f"{run.coordinates}: {row}", file=sys.stderr)
    return row


def markdown(found: Mapping[tuple[str, str, int], list[Row]]) -> str:
    """One line for each gradient, Pauli set and m."""
    lines = [
        "| gradient | model | m | mean TVD (bounds) | certified | TVD at most 0.2 | log Z of the "
        "training, off by at most |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (gradient, paulis, hidden), rows in found.items():
        certified = [row for row in rows if row.certified]
        low, high = (
            np.mean([row[k] for row in certified]) if certified else np.nan for k in (0, 1)
        )
        good = sum(row.upper <= THRESHOLD for row in certified)
        worst = max((abs(row.off) for row in certified), default=np.nan)
        lines.append(
            f"| {gradient} | {paulis} | {hidden} | {low:.3f} to {high:.3f} | {len(certified)} of "
            f"{len(rows)} | {good} | {worst:.2f} |"
        )
    return "\n".join(lines) + "\n"


def least(found: Mapping[tuple[str, str, int], list[Row]], resamples: int = 2000) -> str:
    """Crossings of each gradient and Pauli set, and their ratios to those of Z."""
    lines = ["| gradient | model | hidden units | RBM / model |", "| --- | --- | --- | --- |"]
    reference: dict[str, NDArray[np.float64]] = {}
    for gradient, paulis in dict.fromkeys(key[:2] for key in found):
        tried = sorted(m for g, p, m in found if (g, p) == (gradient, paulis))
        tvd = np.array([[row.upper for row in found[gradient, paulis, m]] for m in tried])
        # The first row counts every seed once, the others are resamples of the seeds.
        weights = seed_weights(tuple(range(tvd.shape[1])), resamples)
        weights = np.vstack([np.ones(tvd.shape[1]), weights])
        means = weights @ tvd.T / weights.sum(axis=1)[:, None]
        crossings = np.array([crossing_of(tried, falling_fit(row), THRESHOLD) for row in means])
        if paulis == "Z":
            reference[gradient] = crossings
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = "" if paulis == "Z" else _in_words(reference[gradient] / crossings)
        lines.append(f"| {gradient} | {paulis} | {_in_words(crossings)} | {ratio} |")
    return "\n".join(lines) + "\n"


def _in_words(values: NDArray[np.float64]) -> str:
    """The first value and the central 95 % of the others; "–" where there is none."""
    if not np.isfinite(values[0]):
        return "–"
    ordered = np.sort(values[1:])
    tail = 0.025 * (ordered.size - 1)
    low, high = ordered[math.floor(tail)], ordered[math.ceil(ordered.size - 1 - tail)]
    return f"{values[0]:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--into", type=Path, help="page whose marked part is replaced")
    chosen = parser.parse_args()
    found: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
    with tnqbm.Archive(chosen.archive) as archive:
        study = mc.load_study(archive.study_text + "\n", archived=True)
        for run in archive.runs():
            at = run.coordinates
            key = (str(at["gradient"]), str(at["paulis"]), int(at["hidden"]))
            found[key].append(certify(run, study))
    text = markdown(found) + "\n" + least(found)
    if chosen.into is None:
        print(text)
    else:
        tables.put(chosen.into, {"certified": text})


if __name__ == "__main__":
    main()
