"""The figure of gradient spreads."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")


from tests.scripts.loading import load

PAPER = load("paper")
KindSpread, SpreadPoint = PAPER.spread.KindSpread, PAPER.spread_figure.SpreadPoint
spread_figure = PAPER.spread_figure.spread_figure


def points(hidden: tuple[int, ...] = (2,), visible: tuple[int, ...] = (4, 6)) -> list:
    return [
        SpreadPoint(data, n, m, paulis, KindSpread(kind, pauli, 1.0 / n, 0.01))
        for data in ("bas", "parity")
        for n in visible
        for m in hidden
        for paulis in ("Z", "XZ")
        for kind in "abw"
        for pauli in ([""] if kind == "a" else paulis)
    ]


def test_spreads_are_drawn_where_they_are() -> None:
    figure, axes = spread_figure(points(), note="10 draws")
    assert axes.shape == (3, 2)
    assert axes[0, 1].get_title() == "parity"
    # One line for Z and two for XZ, of b and w; one each of a.
    assert [len(axes[row, 0].containers) for row in range(3)] == [2, 3, 3]
    line = axes[1, 0].containers[0].lines[0]
    np.testing.assert_allclose(line.get_xydata(), [[4, 1 / 2], [6, 6**-0.5]])
    assert axes[0, 0].get_yscale() == "log"
    texts = [text.get_text() for text in figure.texts]
    assert "m = 2; 10 draws" in texts
    against, _ = spread_figure(points((1, 2, 3), (4,)), against="hidden")
    assert "n = 4" in [text.get_text() for text in against.texts]


def test_spreads_that_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="no spread"):
        spread_figure([])
    with pytest.raises(ValueError, match="hidden = 1, 2; choose one"):
        spread_figure(points((1, 2)))
    with pytest.raises(ValueError, match="against must be"):
        spread_figure(points(), against="data")
