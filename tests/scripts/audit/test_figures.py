"""Figures of the equivalence audit: what is drawn, that nothing overlaps, bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tests.scripts.loading import SCRIPTS, load
from tests.tnqbm.figures.overlaps import check_layout
from tnqbm.base.errors import MissingExtraError
from tnqbm.figures.styles import COLOURS

AUDIT = load("audit")
AuditFile, RatioRow = AUDIT.results.AuditFile, AUDIT.ratios.RatioRow
audit_figures = AUDIT.audit_figures
SCALES = (0.1, 0.3, 1.0, 3.0)
STRENGTHS = [0.4, 0.1, 0.05, 0.025]
ROW = RatioRow("bas", 6, "XYZ", 7.0, 3.0, 7 / 3, 2.0, 2.5, 3.0, 18 / 7, "")


@pytest.fixture
def file(tmp_path: Path) -> AuditFile:
    made = AuditFile(tmp_path / "audit.jsonl", seed=0)
    for paulis in ("XZ", "XYZ"):
        p = len(paulis)
        shapes = [(paulis, 1, "Z", k) for k in range(1, 2 * p + 1)]
        shapes += [("Z", p, paulis, m) for m in range(1, p)]
        for target, m, fitted, k in shapes:
            for c in SCALES:
                cell = {"kind": "fit", "n": 6, "scale": c, "target": target, "m": m,
                        "paulis": fitted, "k": k, "targets": 3, "restarts": 2}  # fmt: skip
                kl = [10.0**-k * c * t for t in (1.0, 2.0, 4.0)]
                naive = [1.0] * 3 if k * len(fitted) == m * len(target) else [None] * 3
                made.add(cell, {
                    "kl": kl, "tvd": kl, "gradient_norm": kl, "converged": [True] * 3,
                    "hits": [0.5] * 3, "largest": kl, "naive": naive, "bound": [None] * 3,
                })  # fmt: skip
        for t in (0, 1):
            naive = [(1 + t) * c**8 for c in STRENGTHS]
            made.add(
                {"kind": "scaling", "paulis": paulis, "n": 6, "t": t},
                {"strengths": STRENGTHS, "naive": naive, "best": [0.1 * one for one in naive],
                 "gradient_norm": naive, "leading": 1.0 + t},
            )  # fmt: skip
    return made


def test_fits(file: AuditFile) -> None:
    drawn, axes = audit_figures.fits(file)
    assert axes.shape == (2, 2)
    check_layout(drawn, axes)
    upper = axes[0, 1]
    # four lines of six points, medians at twice 10^-k c; four twins; the line k = P
    lines = [line for line in upper.lines if len(line.get_xdata()) == 6]
    assert len(lines) == 4
    np.testing.assert_allclose(lines[2].get_ydata(), [2 * 10.0**-k for k in range(1, 7)])
    twins = [line for line in upper.lines if len(line.get_xdata()) == 1]
    assert len(twins) == 4
    assert {round(float(line.get_xdata()[0])) for line in twins} == {3}
    assert upper.get_yscale() == "log"
    with pytest.raises(ValueError, match="n = 9"):
        audit_figures.fits(file, n=9)


def test_scaling(file: AuditFile) -> None:
    drawn, axes = audit_figures.scaling(file)
    assert axes.shape == (1, 2)
    check_layout(drawn, axes)
    assert "twin 8.00 to 8.00, best fit 8.00 to 8.00" in axes[0, 0].get_title()
    assert len(axes[0, 0].lines) == 2 * 2 + 1
    assert {line.get_color() for line in axes[0, 1].lines[:4]} == {COLOURS["XYZ"]}


def test_scaling_without_cells(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scaling"):
        audit_figures.scaling(AuditFile(tmp_path / "a.jsonl", seed=0))


def test_ratios() -> None:
    rows = [
        replace(ROW, data=data, visible=n, paulis=paulis, low=low)
        for data in ("bas", "on2", "cardinality", "parity", "mine.h5")
        for n in (6, 8)
        for paulis, low in (("XZ", 1.9), ("XYZ", None))
    ]
    drawn, axes = audit_figures.ratios(rows)
    assert axes.shape == (1, 2)
    check_layout(drawn, axes)
    points = [line for line in axes[0, 1].lines if len(line.get_xdata()) == 1]
    assert len(points) == 10
    assert all(line.get_ydata()[0] == ROW.ratio for line in points)
    with pytest.raises(ValueError, match="nothing to draw"):
        audit_figures.ratios([])


def test_matplotlib_is_imported_on_the_first_call() -> None:
    code = "import sys, audit_figures; assert 'matplotlib' not in sys.modules"
    path = os.pathsep.join((str(SCRIPTS / "audit"), str(SCRIPTS.parent)))
    env = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="plot"):
        audit_figures.ratios([ROW])
