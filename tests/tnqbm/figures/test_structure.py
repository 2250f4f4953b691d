"""Figure of structure reports: what is drawn, that nothing overlaps or is cut off, bad input."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tests.tnqbm.figures.overlaps import check_layout
from tnqbm import SqRBM, figures
from tnqbm.base.errors import MissingExtraError
from tnqbm.core import connectivity
from tnqbm.figures.structure import figure
from tnqbm.figures.styles import COLOURS, paulis_name
from tnqbm.model_tools.structure import StructureReport, classical_twin, numerical_bond, report

MODELS = {paulis: SqRBM.uniform(10, 3, paulis, scale=0.5, seed=1) for paulis in ("Z", "XZ", "XYZ")}
REPORTS = {paulis_name(paulis): report(model) for paulis, model in MODELS.items()}
TWIN = report(classical_twin(MODELS["XYZ"]))
LINE = report(SqRBM.uniform(12, 9, "XYZ", scale=1.0, seed=2, mask=connectivity.line(12, 4)))


def fitted(one: StructureReport, resolution: float) -> StructureReport:
    assert one.amplitude is not None
    chain = replace(one.amplitude, source="mps", resolution=resolution)
    return replace(one, amplitude=chain, weight=None)


CASES: dict[str, Any] = {
    "one": REPORTS["sqRBM XYZ"],
    "three": REPORTS,
    "twin": {**REPORTS, "RBM, parameters of XYZ": TWIN},
    "line": {"line of windows": LINE},
    "fitted": {"sqRBM XYZ": fitted(REPORTS["sqRBM XYZ"], 0.02)},
    "hidden only": replace(REPORTS["sqRBM XZ"], amplitude=None, weight=None),
    "whole only": replace(REPORTS["sqRBM XZ"], units=()),
    "one visible unit": report(SqRBM.uniform(1, 1, "XZ", seed=1)),
    "two visible units": report(SqRBM.uniform(2, 1, "XZ", seed=1)),
    "independent bits": report(SqRBM.uniform(6, 0, "XZ", seed=1)),
    "long": report(SqRBM.uniform(20, 1, "XYZ", scale=0.3, seed=1)),
}


@pytest.mark.parametrize("case", list(CASES))
def test_no_text_overlaps_or_is_cut_off(case: str) -> None:
    drawn, axes = figure(CASES[case])
    assert axes.shape == (1, 1 if case == "hidden only" else 3)
    check_layout(drawn, axes)


def test_what_is_drawn() -> None:
    _, axes = figure(CASES["twin"], precision=1e-6)
    spectra, entropies, bonds = axes[0]
    lines = [line for line in spectra.lines if len(line.get_xdata()) > 2]
    assert len(lines) == 6  # three units of each sqRBM; units of RBMs have two values
    one = REPORTS["sqRBM XZ"].units[0].spectrum
    drawn = next(line for line in lines if line.get_color() == COLOURS["XZ"])
    np.testing.assert_allclose(drawn.get_ydata(), (one / one[0])[: len(drawn.get_ydata())])
    marks = {
        line.get_xdata()[0]: line.get_color()
        for line in spectra.lines
        if len(set(line.get_xdata())) == 1
    }
    assert marks == {2: COLOURS["Z"], 4: COLOURS["XZ"], 8: COLOURS["XYZ"]}
    chains = [one.amplitude for one in CASES["twin"].values()]
    for chain, line in zip(chains, entropies.lines, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 10))
        np.testing.assert_array_equal(line.get_ydata(), chain.entropies)
    for chain, line in zip(chains, bonds.lines, strict=True):
        expected = [numerical_bond(values, 1e-6) for values in chain.spectra]
        np.testing.assert_array_equal(line.get_ydata(), expected)
    colours = [line.get_color() for line in entropies.lines]
    assert len(set(colours)) == 4
    assert colours[:3] == [COLOURS["Z"], COLOURS["XZ"], COLOURS["XYZ"]]
    assert entropies.lines[3].get_linestyle() == "--"  # a second model with one Pauli


def test_a_fit_is_drawn_at_what_it_resolves() -> None:
    drawn, axes = figure({**REPORTS, "fit": fitted(TWIN, 0.0021)})
    assert "to 0.005" in axes[0, 2].get_title()
    assert any("fitted" in text.get_text() for text in drawn.texts)
    for precision, text in ((0.003, "to 0.003"), (1e-3, "to 10$^{-3}$")):
        _, axes = figure(REPORTS, precision=precision)
        assert text in axes[0, 2].get_title()
    _, axes = figure(fitted(TWIN, 0.99))  # a fit that says nothing
    assert "to 0.5" in axes[0, 2].get_title()


def test_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    paths = [figures.save_figure(figure(TWIN)[0], tmp_path / f"{k}.svg") for k in (0, 1)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("reports", "error", "message"),
    [
        ({}, ValueError, "nothing to draw"),
        ({"a": 1}, TypeError, "'a' must be a StructureReport, got int"),
        (replace(TWIN, units=(), amplitude=None), ValueError, "no hidden unit and no chain"),
    ],
)
def test_bad_reports(reports: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        figure(reports)


@pytest.mark.parametrize("precision", [0.0, 1.0, float("nan")])
def test_bad_precision(precision: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        figure(TWIN, precision=precision)


def test_matplotlib_is_imported_on_the_first_call() -> None:
    code = "import sys, tnqbm.figures.structure; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="plot"):
        figure(TWIN)
