"""Whether the log Z that runs recorded can be right: what speaks against it, without new sampling.

Two facts hold for every model and need no estimate. log Z is at least the log of the summed weights
of any distinct states, rows of data among them (:mod:`tnqbm.core.bounds`). And the negative
log-likelihood of data is at least their entropy, so that a KL divergence below 0 is an alarm.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm import datasets
from tnqbm.core.bounds import log_partition_bound

if TYPE_CHECKING:
    from tnqbm.archive import Run

LOG_Z_LIMIT = 10**-0.5
"""Standard error of log Z (nats) above which it is not trusted.

With fewer than 10 effective chains an estimate by annealing is not trusted
(:mod:`mc.sampling.log_z.estimate`), and so many have a relative error of Z of 1/sqrt(10).
"""

SIGMAS = 3.0
"""Standard errors by which an estimate may be on the wrong side of a bound."""

MAX_ROWS = 1000
"""More distinct rows of data are not weighed to judge a run that recorded no bound."""


def untrusted(row: Mapping[str, Any]) -> str:
    """Why the log Z that a run recorded cannot be right, "" if nothing speaks against it.

    ``row`` is one of :meth:`tnqbm.Archive.table` or of :func:`with_bounds`. An exact log Z is
    never doubted.
    """
    error = row.get("log_partition_error")
    if error is None or error == 0:
        return ""
    if not math.isfinite(error):
        return "its standard error is not finite"
    slack = SIGMAS * error
    log_z, bound = row.get("log_partition"), row.get("log_partition_bound")
    if log_z is not None and bound is not None and bound - log_z > slack + 1e-9 * abs(log_z):
        return f"{bound - log_z:.3g} nats below what the rows of the data alone weigh"
    nll, kl, tvd = row.get("nll"), row.get("kl"), row.get("tvd")
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


def with_bounds(rows: Iterable[Mapping[str, Any]], runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Rows of a table with ``log_partition_bound`` where it was not recorded but can be had.

    ``runs`` are those of the rows, in their order. The bound follows from a run's final model, if
    that was kept, and the rows of its data, if these have a name by which they are known and are
    not drawn at random. Runs are read only where one of them has an estimated log Z.
    """
    found = [dict(row) for row in rows]
    lacking = [_lacks_bound(row) for row in found]
    for row, lacks, run in zip(found, lacking, runs if any(lacking) else (), strict=False):
        states = _states(str(row["data"]), int(row["visible"])) if lacks else None
        if states is not None and run.model is not None:
            row["log_partition_bound"] = log_partition_bound(run.model, states)
    return found


def _lacks_bound(row: Mapping[str, Any]) -> bool:
    return bool(
        row.get("log_partition_error")
        and row.get("log_partition") is not None
        and row.get("log_partition_bound") is None
    )


def doubts(rows: Iterable[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], str]]:
    """The rows whose log Z cannot be right, each with the reason."""
    return [(row, why) for row in rows if (why := untrusted(row))]


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
