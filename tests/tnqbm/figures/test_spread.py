"""Figures of gradient spreads, and of models compared by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tnqbm.figures import save_figure
from tnqbm.figures.models import ModelValues, models_vs_hidden
from tnqbm.figures.spread import SpreadPoint, gradient_spread
from tnqbm.gradient_spread import KindSpread


def points(hidden: tuple[int, ...] = (2,), visible: tuple[int, ...] = (4, 6)) -> list[SpreadPoint]:
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
    figure, axes = gradient_spread(points(), note="10 draws")
    assert axes.shape == (3, 2)
    assert axes[0, 1].get_title() == "parity"
    # One line for Z and two for XZ, of b and w; one each of a.
    assert [len(axes[row, 0].containers) for row in range(3)] == [2, 3, 3]
    line = axes[1, 0].containers[0].lines[0]
    np.testing.assert_allclose(line.get_xydata(), [[4, 1 / 2], [6, 6**-0.5]])
    assert axes[0, 0].get_yscale() == "log"
    texts = [text.get_text() for text in figure.texts]
    assert "m = 2; 10 draws" in texts
    against, _ = gradient_spread(points((1, 2, 3), (4,)), against="hidden")
    assert "n = 4" in [text.get_text() for text in against.texts]


def test_spreads_that_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="no spread"):
        gradient_spread([])
    with pytest.raises(ValueError, match="hidden = 1, 2; choose one"):
        gradient_spread(points((1, 2)))
    with pytest.raises(ValueError, match="against must be"):
        gradient_spread(points(), against="data")


def values(model: str, base: float, **changes: Any) -> list[ModelValues]:
    where = {"data": "bas", "visible": 4, **changes}
    return [
        ModelValues(model=model, hidden=m, values=np.array([base, base + 0.1]) / m, **where)
        for m in (1, 2, 3)
    ]


def test_models_are_told_apart_by_name(tmp_path: Path) -> None:
    names = {"Z": "RBM", "fields": "RBM with fields", "XZ": "sqRBM"}
    items = values("Z", 0.6) + values("XZ", 0.2) + values("fields", 0.5)
    items += values("Z", 0.3, visible=6)
    figure, axes = models_vs_hidden(items, names, title="A comparison")
    assert axes.shape == (2, 1)
    drawn = {line.get_label(): line for line in axes[0, 0].lines}
    assert set(names.values()) <= set(drawn)
    np.testing.assert_allclose(drawn["sqRBM"].get_ydata(), 0.25 / np.arange(1, 4))
    assert len({drawn[name].get_color() for name in names.values()}) == 3
    # Pauli sets look as in all other figures.
    from tnqbm.figures.styles import COLOURS

    assert drawn["sqRBM"].get_color() == COLOURS["XZ"]
    first = save_figure(figure, tmp_path / "a.png").read_bytes()
    again, _ = models_vs_hidden(items, names, title="A comparison")
    assert save_figure(again, tmp_path / "b.png").read_bytes() == first


def test_models_that_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="no value"):
        models_vs_hidden([], {})
    with pytest.raises(ValueError, match="no name for XZ"):
        models_vs_hidden(values("XZ", 0.1), {"Z": "RBM"})
    many = {name: name for name in ("one", "two", "three", "four")}
    with pytest.raises(ValueError, match="at most 3 models"):
        models_vs_hidden(values("one", 0.1), many)
