"""Whether the log Z that runs recorded can be right: what speaks against it, without new sampling.

Two facts hold for every model and need no estimate. log Z is at least the log of the summed weights
of any distinct states, rows of data among them (:mod:`tnqbm.core.bounds`). And the negative
log-likelihood of data is at least their entropy, so that a KL divergence below 0 is an alarm.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm import datasets
from tnqbm.archive.rows import RunRow
from tnqbm.core.bounds import log_partition_bound
from tnqbm.training.trajectory import untrusted

if TYPE_CHECKING:
    from tnqbm.archive import Run

MAX_ROWS = 1000
"""More distinct rows of data are not weighed to judge a run that recorded no bound."""


def with_bounds(rows: Sequence[RunRow], runs: Iterable[Run]) -> list[RunRow]:
    """Rows with the metric ``log_partition_bound`` where it was not recorded but can be had.

    ``runs`` are those of the rows, in their order. The bound follows from a run's final model, if
    that was kept, and the rows of its data, if these have a name by which they are known and are
    not drawn at random. Runs are read only where one of them has an estimated log Z.
    """
    bounded = list(rows)
    if not any(map(_lacks_bound, rows)):
        return bounded
    for k, (row, run) in enumerate(zip(rows, runs, strict=False)):
        states = _states(row.group.data, row.group.visible) if _lacks_bound(row) else None
        if states is not None and run.model is not None:
            bound = log_partition_bound(run.model, states)
            metrics = {**row.metrics, "log_partition_bound": bound}
            bounded[k] = dataclasses.replace(row, metrics=metrics)
    return bounded


def _lacks_bound(row: RunRow) -> bool:
    return bool(
        row.metrics["log_partition_error"]
        and row.metrics["log_partition"] is not None
        and row.metrics["log_partition_bound"] is None
    )


def doubts(rows: Iterable[RunRow]) -> list[tuple[RunRow, str]]:
    """The rows whose log Z cannot be right, each with the reason."""
    return [(row, why) for row in rows if (why := untrusted(row.metrics))]


@functools.lru_cache(maxsize=16)
def _states(data: str, n: int) -> NDArray[np.uint8] | None:
    """All distinct rows of a data set, (K, n), where they are few and the same in all runs."""
    if not datasets.is_name(data) or datasets.is_random(data):
        return None
    try:
        states = datasets.load(data, n).states
    except ValueError:
        return None
    return states if len(states) <= MAX_ROWS else None
