"""Figure of resources: what is drawn, that nothing overlaps or is cut off, bad input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from tests.tnqbm.figures.overlaps import check_layout
from tnqbm import figures
from tnqbm.base.errors import MissingExtraError
from tnqbm.figures.resources import figure
from tnqbm.figures.styles import COLOURS
from tnqbm.quantum.resources import RandomModel, Resources, estimate

SIZES = (2, 4, 8, 30)


def rows(paulis: str, m: int, sizes: tuple[int, ...] = SIZES, **options: Any) -> list[Resources]:
    options = {"scale": 0.1, "strategy": "imaginary-time", "log_partition": "bound", **options}
    scale = options.pop("scale")
    return [estimate(RandomModel(n, m, paulis, scale), **options) for n in sizes]


FOUR = {
    "sqRBM XYZ, imaginary-time": rows("XYZ", 2),
    "sqRBM XYZ, thermal": rows("XYZ", 2, strategy="thermal"),
    "RBM, same parameters, imaginary-time": rows("Z", 6),
    "RBM, same parameters, thermal": rows("Z", 6, strategy="thermal"),
}
CASES: dict[str, dict[str, list[Resources]]] = {
    "four": FOUR,
    "one": {"sqRBM XZ": rows("XZ", 2)},
    "one size": {"sqRBM XZ": rows("XZ", 2, (8,))},
    "thermal": {"sqRBM XZ": rows("XZ", 2, strategy="thermal")},
    "nothing hidden": {"sqRBM XZ": rows("XZ", 0)},
    "beyond floats": {"sqRBM XYZ": rows("XYZ", 60, (20, 40), scale=2.0)},
    "several of a kind": {f"line {k}": rows("XYZ", k, (3, 6)) for k in range(1, 7)},
    "line": {"sqRBM XYZ": rows("XYZ", 2, (2, 4), coupling_map="line")},
}


@pytest.mark.parametrize("case", list(CASES))
def test_no_text_overlaps_or_is_cut_off(case: str) -> None:
    drawn, axes = figure(CASES[case])
    assert axes.shape == (1, 3)
    check_layout(drawn, axes)


def test_what_is_drawn() -> None:
    drawn, axes = figure(FOUR)
    qubits, gates, shots = axes[0]
    for axis, name in ((qubits, "qubits"), (gates, "cx_gates"), (shots, "log10_shots")):
        lines = [line for line in axis.lines if line.get_linestyle() != "None"]
        for line, found in zip(lines, FOUR.values(), strict=True):
            assert list(line.get_xdata()) == list(SIZES)
            assert list(line.get_ydata()) == [getattr(one, name) for one in found]
        green, blue = COLOURS["XYZ"], COLOURS["Z"]
        assert [line.get_color() for line in lines] == [green, green, blue, blue]
        assert lines[0].get_linestyle() != lines[1].get_linestyle()
    hollow = [line for line in shots.lines if line.get_markerfacecolor() == "white"]
    assert len(hollow) == 2  # bounds; the thermal strategy has none
    text = " ".join(text.get_text() for text in drawn.texts)
    assert "m = 2, 6; Trotter steps: 4; standard error 0.01; coupling map all-to-all" in text


@pytest.mark.parametrize("sizes", [(4, 6, 8), (1, 6, 20), (1, 2, 12), (2, 30), (8,)])
def test_axes_of_gates_have_two_labels_at_least(sizes: tuple[int, ...]) -> None:
    drawn, axes = figure({"sqRBM XZ": rows("XZ", 1, sizes)})
    drawn.canvas.draw()
    for axis in axes[0, 1:]:
        low, high = axis.get_ylim()
        ticks = zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)
        assert sum(low <= tick <= high and bool(label.get_text()) for tick, label in ticks) >= 2
    check_layout(drawn, axes)


def test_same_pauli_sets_have_different_colours() -> None:
    _, axes = figure(CASES["several of a kind"])
    assert len({line.get_color() for line in axes[0, 0].lines}) == 6


def test_rows_are_sorted() -> None:
    _, axes = figure({"sqRBM XZ": rows("XZ", 1, (6, 2, 4))})
    assert list(axes[0, 0].lines[0].get_xdata()) == [2, 4, 6]


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_files(suffix: str, tmp_path: Path) -> None:
    saved = figures.save_figure(figure(CASES["four"])[0], tmp_path / f"figure{suffix}")
    assert saved.stat().st_size > 5000


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        figure({"sqRBM": []})
    with pytest.raises(TypeError, match="must hold Resources"):
        figure({"sqRBM": [RandomModel(2, 1)]})  # type: ignore[list-item]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="plot"):
        figure(FOUR)


def test_matplotlib_is_imported_lazily() -> None:
    code = "import sys, tnqbm.figures.resources; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
