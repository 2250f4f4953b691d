"""Whether the log Z that runs recorded can be right: what speaks against it, without new sampling.

Two facts hold for every model and need no estimate. log Z is at least the log of the summed weights
of any distinct states, rows of data among them (:mod:`tnqbm.core.bounds`). And the negative
log-likelihood of data is at least their entropy, so that a KL divergence below 0 is an alarm.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm import datasets
from tnqbm.archive.rows import RunRow
from tnqbm.core.bounds import SIGMAS, below_bound, log_partition_bound

if TYPE_CHECKING:
    from tnqbm.archive import Run

LOG_Z_LIMIT = 10**-0.5
"""Standard error of log Z (nats) above which it is not trusted.

With fewer than 10 effective chains an estimate by annealing is not trusted
(:mod:`mc.sampling.log_z.estimate`), and so many have a relative error of Z of 1/sqrt(10).
"""

MAX_ROWS = 1000
"""More distinct rows of data are not weighed to judge a run that recorded no bound."""


def untrusted(metrics: Mapping[str, float | None]) -> str:
    """Why the log Z that a run recorded cannot be right, "" if nothing speaks against it.

    ``metrics`` are the final values of a run, with the bounds of :func:`with_bounds` if they are
    to be checked. An exact log Z is never doubted.
    """
    error = metrics.get("log_partition_error")
    if error is None or error == 0:
        return ""
    if not math.isfinite(error):
        return "its standard error is not finite"
    slack = SIGMAS * error
    log_z, bound = metrics.get("log_partition"), metrics.get("log_partition_bound")
    if log_z is not None and bound is not None and below_bound(log_z, error, bound):
        return f"{bound - log_z:.3g} nats below what the rows of the data alone weigh"
    nll, kl, tvd = metrics.get("nll"), metrics.get("kl"), metrics.get("tvd")
    if nll is not None and nll < -slack:
        return f"the NLL would be {nll:.3g}, below zero"
    if kl is not None and kl < -slack:
        return f"the NLL would be {-kl:.3g} nats below the entropy of the data"
    # Earlier versions raised a negative KL divergence to 0.
    if kl == 0:
        return "the NLL would be below the entropy of the data (KL divergence cut off at 0)"
    if tvd == 0 and kl is not None and kl > slack:
        return "the probabilities of the data would exceed 1 in sum (TVD 0)"
    if error > LOG_Z_LIMIT:
        return f"its standard error is {error:.2g} nats"
    return ""


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
