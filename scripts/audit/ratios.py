"""Hidden units that trained models need, against two counts of parameters.

The paper equates numbers of parameters, so that one qubit with P Paulis replaces P classical units.
Counting only effective parameters (:func:`tnqbm.model_tools.jacobian.effective_ratio`) it replaces
rho = P - P(P-1)/(2(n+1)) of them. Both are held against the ratio of the numbers of units at which
the mean distance falls to a threshold (:mod:`tnqbm.archive.minimum_hidden`), a continuous number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tnqbm.archive.minimum_hidden import REFERENCE, hidden_ratio_table, minimum_hidden_table
from tnqbm.model_tools.jacobian import effective_ratio

if TYPE_CHECKING:
    from tnqbm.archive import Archive


@dataclass(frozen=True)
class RatioRow:
    """One data set, n and Pauli set: crossings of both models, their ratio, and the two laws.

    ``ratio`` is classical / crossing with its bootstrap interval ``low`` to ``high`` (None where it
    is open); ``naive`` = P and ``effective`` are the ratios of the laws. ``note`` is not empty
    where the m tried limit the numbers.
    """

    data: str
    visible: int
    paulis: str
    classical: float
    crossing: float
    ratio: float
    low: float | None
    high: float | None
    naive: float
    effective: float
    note: str

    def verdict(self, law: float) -> str:
        """Whether the interval lies "below" or "above" a law's ratio, or holds it ("within")."""
        if self.high is not None and self.high < law:
            return "below"
        if self.low is not None and self.low > law:
            return "above"
        return "within"


def ratio_table(
    archives: Archive | Sequence[Archive],
    *,
    threshold: float = 0.2,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> list[RatioRow]:
    """Measured ratios of hidden units beside both laws; arguments as in
    :mod:`tnqbm.archive.minimum_hidden`.

    Groups in which a model does not reach the threshold, or does at the smallest m tried, are left
    out: their ratio is only a bound.
    """
    crossings = {
        (row.data, row.visible, row.paulis, row.other): row.crossing
        for row in minimum_hidden_table(
            archives, threshold=threshold, confidence=confidence, resamples=1, seed=seed
        )
    }
    rows = []
    for one in hidden_ratio_table(
        archives, threshold=threshold, confidence=confidence, resamples=resamples, seed=seed
    ):
        classical = crossings[one.data, one.visible, REFERENCE, one.other]
        crossing = crossings[one.data, one.visible, one.paulis, one.other]
        if one.kind != "value" or one.ratio is None or classical is None or crossing is None:
            continue
        rows.append(
            RatioRow(
                data=one.data,
                visible=one.visible,
                paulis=one.paulis,
                classical=classical,
                crossing=crossing,
                ratio=one.ratio,
                low=one.low,
                high=one.high,
                naive=float(len(one.paulis)),
                effective=effective_ratio(one.visible, len(one.paulis)),
                note=one.note,
            )
        )
    return rows


def verdicts(rows: Sequence[RatioRow], law: str) -> dict[str, int]:
    """How many intervals lie "below", hold ("within"), or lie "above" a law's ratio.

    ``law`` is "naive" or "effective".
    """
    found = [row.verdict(getattr(row, law)) for row in rows]
    return {name: found.count(name) for name in ("below", "within", "above")}


def mean_excess(rows: Sequence[RatioRow]) -> dict[str, float]:
    """Geometric means of the measured ratio over each law's, ``naive`` and ``effective``.

    Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("there are no rows to average over")
    return {
        law: math.exp(sum(math.log(r.ratio / getattr(r, law)) for r in rows) / len(rows))
        for law in ("naive", "effective")
    }
