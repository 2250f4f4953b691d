"""Least hidden units of trained models against two counts of parameters, in whole numbers.

The paper equates numbers of parameters, so that one qubit with P Paulis replaces P classical units.
Counting only effective parameters (:func:`tnqbm.audit.effective_ratio`) it replaces
rho = P - P(P-1)/(2(n+1)) of them. A least m is a whole number: if the RBM needs m_Z units, a law of
ratio rho allows the sqRBM any m from floor((m_Z - 1)/rho) + 1 to ceil(m_Z/rho).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tnqbm.analysis import REFERENCE, hidden_ratio_table, minimum_hidden_table
from tnqbm.audit.jacobian import effective_ratio

if TYPE_CHECKING:
    from tnqbm.archive import Archive


@dataclass(frozen=True)
class RatioRow:
    """One data set, n and Pauli set: least m of both models, and what the two laws allow.

    ``ratio`` is classical / least with its bootstrap interval ``low`` to ``high``; ``naive`` = P
    and ``effective`` the ratios of the laws; ``naive_range`` and ``effective_range`` the least m
    that they allow the sqRBM. ``note`` is not empty where m was not tried finely enough.
    """

    data: str
    visible: int
    paulis: str
    classical: int
    least: int
    ratio: float
    low: float | None
    high: float | None
    naive: float
    effective: float
    naive_range: tuple[int, int]
    effective_range: tuple[int, int]
    note: str


def allowed(classical: int, rho: float) -> tuple[int, int]:
    """Least and most m of a law of ratio ``rho`` if the RBM needs ``classical`` units.

    The true threshold of the RBM, were m a continuous number, is above classical - 1 and at most
    classical. Raises ValueError for classical < 1 and rho < 1.
    """
    if classical < 1 or rho < 1.0:
        raise ValueError(f"need classical >= 1 and rho >= 1, got {classical} and {rho}")
    # a hair less than an exact multiple must not be one more
    return math.floor((classical - 1) / rho + 1e-12) + 1, math.ceil(classical / rho - 1e-12)


def ratio_table(
    archives: Archive | Sequence[Archive],
    *,
    threshold: float = 0.2,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> list[RatioRow]:
    """Measured ratios of hidden units beside both laws; arguments as in :mod:`tnqbm.analysis`.

    Groups in which a model does not reach the threshold, or does at the smallest m tried, are left
    out: their ratio is only a bound.
    """
    minima = {
        (row.data, row.visible, row.paulis, row.other): row
        for row in minimum_hidden_table(
            archives, threshold=threshold, confidence=confidence, resamples=1, seed=seed
        )
    }
    rows = []
    for one in hidden_ratio_table(
        archives, threshold=threshold, confidence=confidence, resamples=resamples, seed=seed
    ):
        classical = minima[one.data, one.visible, REFERENCE, one.other].m_min
        least = minima[one.data, one.visible, one.paulis, one.other].m_min
        if one.kind != "value" or one.ratio is None or classical is None or least is None:
            continue
        p = len(one.paulis)
        effective = effective_ratio(one.visible, p)
        rows.append(
            RatioRow(
                data=one.data,
                visible=one.visible,
                paulis=one.paulis,
                classical=classical,
                least=least,
                ratio=one.ratio,
                low=one.low,
                high=one.high,
                naive=float(p),
                effective=effective,
                naive_range=allowed(classical, p),
                effective_range=allowed(classical, effective),
                note=one.note,
            )
        )
    return rows


def agreement(rows: Sequence[RatioRow]) -> dict[str, int]:
    """How many rows each law allows: ``rows``, ``naive``, ``effective``."""
    return {
        "rows": len(rows),
        "naive": sum(r.naive_range[0] <= r.least <= r.naive_range[1] for r in rows),
        "effective": sum(r.effective_range[0] <= r.least <= r.effective_range[1] for r in rows),
    }


def mean_excess(rows: Sequence[RatioRow], *, whole: bool = False) -> dict[str, float]:
    """Geometric means of the measured ratio over each law's, ``naive`` and ``effective``.

    With ``whole`` a law's ratio is what whole numbers make of it: classical / ceil(x / rho),
    averaged over thresholds x that give the same classical m. Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("there are no rows to average over")
    sums = {"naive": 0.0, "effective": 0.0}
    for row in rows:
        for law, rho in (("naive", row.naive), ("effective", row.effective)):
            expected = rounded_ratio(row.classical, rho) if whole else rho
            sums[law] += math.log(row.ratio / expected)
    return {law: math.exp(total / len(rows)) for law, total in sums.items()}


def rounded_ratio(classical: int, rho: float) -> float:
    """Geometric mean of classical / ceil(x / rho) over x uniform in (classical - 1, classical]."""
    low, high = allowed(classical, rho)
    mean = 0.0
    for m in range(low, high + 1):
        share = min(classical, m * rho) - max(classical - 1, (m - 1) * rho)
        mean += share * math.log(m)
    return classical / math.exp(mean)
