"""Measured ratios of hidden units against two counts of parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.scripts.loading import load
from tests.synthetic import ladder, write
from tnqbm import Archive

RATIOS = load("audit").ratios
RatioRow, mean_excess = RATIOS.RatioRow, RATIOS.mean_excess
ratio_table, verdicts = RATIOS.ratio_table, RATIOS.verdicts

ROW = RatioRow("bas", 6, "XYZ", 7.0, 3.0, 7 / 3, 2.0, 2.5, 3.0, 18 / 7, "")


def test_verdicts_compare_intervals_with_laws() -> None:
    assert ROW.verdict(ROW.naive) == "below"
    assert ROW.verdict(2.2) == "within"
    assert ROW.verdict(1.9) == "above"
    assert replace(ROW, low=None, high=None).verdict(9.0) == "within"
    rows = [ROW, replace(ROW, crossing=2.0, ratio=3.5, low=2.7, high=4.0)]
    assert verdicts(rows, "naive") == {"below": 1, "within": 1, "above": 0}
    assert verdicts(rows, "effective") == {"below": 1, "within": 0, "above": 1}
    means = mean_excess([ROW])
    assert means["naive"] == pytest.approx(7 / 9)
    assert means["effective"] == pytest.approx(49 / 54)
    with pytest.raises(ValueError, match="no rows"):
        mean_excess([])


def test_ratios_of_an_archive(tmp_path: Path) -> None:
    """Crossings at 4 2/3 and 1 2/3; a model that never gets there has no row."""
    records = []
    for paulis, m_min in (("Z", 5), ("XYZ", 2), ("XZ", None)):
        values = {m: [0.1 if m_min is not None and m >= m_min else 0.4] * 4 for m in range(1, 7)}
        records += ladder(values, paulis=paulis)
    with Archive(write(tmp_path / "a.h5", records)) as archive:
        (row,) = ratio_table(archive, resamples=50)
        assert ratio_table(archive, threshold=0.01, resamples=10) == []
    assert row.paulis == "XYZ"
    assert (row.classical, row.crossing) == (pytest.approx(14 / 3), pytest.approx(5 / 3))
    assert (row.ratio, row.low, row.high) == (pytest.approx(2.8),) * 3
    assert row.naive == 3.0
    assert row.effective == pytest.approx(3 - 3 / (row.visible + 1))
