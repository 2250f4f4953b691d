"""Rows for tables and figures from the file of an audit: medians, quartiles, slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from results import AuditFile
from study import target_of

from tnqbm.model_tools.best_fit import FLOOR, product_kl
from tnqbm.model_tools.expansion import slope
from tnqbm.model_tools.jacobian import probabilities

SMALL = 0.1
"""Largest strength of the weights from which slopes are fitted."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class FitSummary:
    """Best fits of one shape to several random targets of another, at one weight scale.

    ``target`` and ``m`` are the targets' Pauli set and units, ``paulis`` and ``k`` the fitted
    model's. KL in nats: ``median``, ``quartiles``, and ``interval``, a 95 % bootstrap interval of
    the median over targets; ``tvd`` its median; ``naive`` the median KL of the model with the
    target's own numbers (None where shapes do not match); ``share`` the median of KL over that of
    the best product model, without hidden units; ``bound`` the median proved lower bound of TVD;
    ``exact``, ``converged`` shares of targets; ``hits`` the mean share of random restarts that
    found the best.
    """

    n: int
    scale: float
    target: str
    m: int
    paulis: str
    k: int
    targets: int
    median: float
    quartiles: tuple[float, float]
    interval: tuple[float, float]
    tvd: float
    naive: float | None
    share: float
    bound: float | None
    exact: float
    converged: float
    hits: float


@dataclass(frozen=True)
class ScalingSummary:
    """Slopes of log KL against log c for one target, from strengths up to SMALL.

    ``ratio`` is the KL of the classical twin at the smallest strength over its leading term.
    """

    paulis: str
    n: int
    t: int
    naive: float
    best: float
    ratio: float
    gain: float


def fit_summaries(file: AuditFile, kind: str = "fit") -> list[FitSummary]:
    """One row for each cell of best fits; ``kind`` "fit" or "control"."""
    return [_fit_summary(cell, result) for cell, result in file.rows(kind)]


def select(rows: Sequence[FitSummary], **wanted: Any) -> list[FitSummary]:
    """Rows whose fields have these values, in order of scale, then of k."""
    found = [r for r in rows if all(getattr(r, name) == value for name, value in wanted.items())]
    return sorted(found, key=lambda r: (r.scale, r.k))


def scaling_summaries(file: AuditFile) -> list[ScalingSummary]:
    """One row for each target whose weights were scaled down."""
    rows = []
    for cell, result in file.rows("scaling"):
        c = np.array(result["strengths"])
        small = c <= SMALL * (1 + 1e-9)
        naive, best = np.array(result["naive"]), np.array(result["best"])
        last = int(np.argmin(c))
        rows.append(
            ScalingSummary(
                paulis=cell["paulis"],
                n=cell["n"],
                t=cell["t"],
                naive=slope(c[small], naive[small]),
                best=slope(c[small], best[small]),
                ratio=float(naive[last] / (result["leading"] * c[last] ** 8)),
                gain=float(naive[last] / best[last]),
            )
        )
    return rows


def _fit_summary(cell: dict[str, Any], result: dict[str, Any]) -> FitSummary:
    kl = np.array(result["kl"])
    low, high = np.quantile(kl, (0.25, 0.75))
    rng = np.random.default_rng(0)
    medians = np.median(kl[rng.integers(kl.size, size=(_RESAMPLES, kl.size))], axis=1)
    interval = np.quantile(medians, (0.025, 0.975))
    products = [product_kl(probabilities(target_of(cell, t))) for t in range(kl.size)]
    return FitSummary(
        n=cell["n"],
        scale=cell["scale"],
        target=cell["target"],
        m=cell["m"],
        paulis=cell["paulis"],
        k=cell["k"],
        targets=kl.size,
        median=float(np.median(kl)),
        quartiles=(float(low), float(high)),
        interval=(float(interval[0]), float(interval[1])),
        tvd=float(np.median(result["tvd"])),
        naive=_median(result["naive"]),
        share=float(np.median(kl / products)),
        bound=_median(result["bound"]),
        exact=float(np.mean(kl <= FLOOR)),
        converged=float(np.mean(result["converged"])),
        hits=float(np.mean([one for one in result["hits"] if one is not None])),
    )


def _median(values: Sequence[float | None]) -> float | None:
    found = [one for one in values if one is not None]
    return float(np.median(found)) if found else None
