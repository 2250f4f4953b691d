"""Figures of models compared by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tests.scripts.loading import load
from tnqbm.figures import save_figure

PAPER = load("paper")
ModelValues = PAPER.models_figure.ModelValues
models_vs_hidden = PAPER.models_figure.models_vs_hidden


def values(model: str, base: float, **changes: Any) -> list[Any]:
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
