"""What one training run leaves behind: metric rows, the final model, parameter snapshots."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.notebook import facts_table
from tnqbm.core.bounds import SIGMAS, below_bound

METRICS = (
    "kl", "tvd", "nll", "gradient_norm", "log_partition", "log_partition_error", "test_nll",
    "valid_nll", "log_partition_bound",
)  # fmt: skip
"""Names of the recorded metrics, in the order in which they are stored. New ones go to the end."""


LOG_Z_LIMIT = 10**-0.5
"""Standard error of log Z (nats) above which it is not trusted.

With fewer than 10 effective chains an estimate by annealing is not trusted
(:mod:`mc.sampling.log_z.estimate`), and so many have a relative error of Z of 1/sqrt(10).
"""


def ran_away(final: Mapping[str, float | None], n_visible: int) -> str:
    """How a model with these final metrics is worse than independent fair coins, or an empty text.

    Their negative log-likelihood is n log 2, whatever the data. Any useful training ends below.
    """
    coins = n_visible * math.log(2.0)
    for name, what in (("nll", "training"), ("test_nll", "test"), ("valid_nll", "validation")):
        value = final.get(name)
        if value is not None and value > coins * (1.0 + 1e-9):
            return (
                f"the negative log-likelihood of the {what} data is {value:.4g} nats, that of fair "
                f"coins {coins:.4g}"
            )
    return ""


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


@dataclass(frozen=True, repr=False)
class Trajectory:
    """Metric rows of one run; row k belongs to the parameters after ``step[k]`` updates.

    ``kl``, ``nll`` in nats, ``tvd`` in [0, 1] (``kl`` and ``tvd`` are negative, a sign that log Z
    is wrong, where an estimated one is far too small), ``gradient_norm`` the Euclidean norm of the
    (estimated) gradient of the negative log-likelihood at those parameters, ``log_partition`` is
    log Z and ``log_partition_error`` its standard error where an evaluator found it,
    ``log_partition_bound`` what an estimated log Z may not be below: logsumexp of log p~ over the
    distinct rows of all data. ``test_nll`` and ``valid_nll`` are negative log-likelihoods of test
    and validation data in nats. Each is (T,) and aligned with ``step`` (T,),
    NaN in rows at which log Z was not asked for. A metric that was not kept, or cannot be known,
    is None, and so is ``model``. ``model_step`` is the number of updates after which ``model`` was
    the current one, where training looked for the best (``patience``); None: it is the last.
    ``stopped`` is "iterations", "plateau" after early stopping, "asked" after
    :meth:`tnqbm.Trainer.stop`, or "failed" if the run could not go on; ``cause`` then says why, and
    is empty otherwise. A run that failed ends with the parameters that it had; one that had no row
    yet has one of NaN.

    ``estimator`` holds what the estimator of the gradient reports on the whole run (shots, say), by
    name, and ``estimator_records`` arrays (T,) of what it took for each recorded row. Empty for
    estimators that report nothing.
    """

    step: NDArray[np.int64]
    kl: NDArray[np.float64] | None = None
    tvd: NDArray[np.float64] | None = None
    nll: NDArray[np.float64] | None = None
    gradient_norm: NDArray[np.float64] | None = None
    log_partition: NDArray[np.float64] | None = None
    log_partition_error: NDArray[np.float64] | None = None
    test_nll: NDArray[np.float64] | None = None
    valid_nll: NDArray[np.float64] | None = None
    log_partition_bound: NDArray[np.float64] | None = None
    model: Any = None
    snapshots: list[tuple[int, Any]] = field(default_factory=list)
    model_step: int | None = None
    stopped: str = "iterations"
    cause: str = ""
    estimator: dict[str, int | float | str] = field(default_factory=dict)
    estimator_records: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __repr__(self) -> str:
        parts = [f"{len(self.step)} rows up to step {self.step[-1]}" if len(self.step) else "empty"]
        parts += [f"{name}={value:.6g}" for name, value in self.final.items()]
        parts.append(f"stopped={self.stopped!r}")
        if self.model is not None:
            parts.append(f"model={self.model!r}")
        if self.snapshots:
            parts.append(f"{len(self.snapshots)} snapshots")
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        rows = f"{len(self.step)}" + (f", up to update {self.step[-1]}" if len(self.step) else "")
        facts = {
            "rows": rows,
            **self.final,
            "stopped by": self.stopped,
            "cause": self.cause or None,
        }
        return facts_table("Trajectory", {**facts, "model": self.model})

    def metric(self, name: str) -> NDArray[np.float64]:
        """The rows of one metric by name; KeyError if unknown, ValueError if it was not kept."""
        if name not in METRICS:
            raise KeyError(f"unknown metric {name!r}; known: {', '.join(METRICS)}")
        values = getattr(self, name)
        if values is None:
            raise ValueError(f"metric {name!r} was not kept in this run")
        return np.asarray(values)

    @property
    def final(self) -> dict[str, float]:
        """Values of every metric that was kept: those of ``model_step`` if given, else the last."""
        at = -1 if self.model_step is None else int(np.searchsorted(self.step, self.model_step))
        kept: dict[str, Any] = {name: getattr(self, name) for name in METRICS}
        return {
            name: float(rows[at]) for name, rows in kept.items() if rows is not None and len(rows)
        }
