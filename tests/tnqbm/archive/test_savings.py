"""What couplings save, against crossings worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.mc.cli.calling import caller
from tests.synthetic import ladder, write
from tnqbm.archive import Archive
from tnqbm.archive.savings import savings_table
from tnqbm.figures import savings

PAIRS = {
    "family": "sqbm", "visible_edges": "none", "hidden_edges": "groups-2", "hidden_pairs": "ZZ",
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """RBMs, sqRBMs and sqBMs with crossings at 3, 2 and 1.5 units, n = 2."""
    runs = ladder({2: [0.3, 0.3], 4: [0.1, 0.1]}, visible=2)
    runs += ladder({1: [0.3, 0.3], 3: [0.1, 0.1]}, visible=2, paulis="XZ")
    runs += ladder({1: [0.3, 0.3], 2: [0.1, 0.1]}, visible=2, paulis="XZ", **PAIRS)
    runs += ladder({4: [0.5, 0.5]}, visible=2, paulis="XZ", couple="Z")
    # ladder makes sqRBMs: other models are left out, as by [output] model = false
    bare = [replace(run, trajectory=replace(run.trajectory, model=None)) for run in runs]
    return write(tmp_path / "a.h5", bare)


def test_models_are_compared_with_those_they_extend(path: Path) -> None:
    rows = {(row.paulis, dict(row.other).get("family"), row.hidden.reached): row
            for row in savings_table(Archive(path))}  # fmt: skip
    rbm, sqrbm = rows["Z", None, True], rows["XZ", None, True]
    pairs, field = rows["XZ", "sqbm", True], rows["XZ", None, False]
    assert (rbm.reference, rbm.hidden_ratio) == ("", None)
    assert [row.hidden.crossing for row in (rbm, sqrbm, pairs)] == pytest.approx([3, 2, 1.5])
    # n + P m (n + 1) parameters, and one more for a pair: between 8 and 20, and 8 and 15
    assert [row.parameters.crossing for row in (rbm, sqrbm, pairs)] == pytest.approx([11, 14, 11.5])
    assert (sqrbm.reference, pairs.reference) == ("Z", "XZ")
    assert sqrbm.hidden_ratio is not None
    assert sqrbm.hidden_ratio.ratio == pytest.approx(1.5)
    assert pairs.parameter_ratio is not None
    assert pairs.parameter_ratio.ratio == pytest.approx(14 / 11.5)
    assert pairs.parameter_ratio.kind == "value"
    # 2 + 2 * 4 fields and 8 couplings are more than 14 parameters
    assert field.parameters.tried == (18,)
    assert field.parameter_ratio is not None
    assert field.parameter_ratio.kind == "at most"
    assert field.parameter_ratio.ratio == pytest.approx(14 / 18)


def test_the_table_and_the_figure(path: Path) -> None:
    shown = caller("show", str(path), "--min-parameters")().stdout
    assert "1.22" in shown
    assert "≤ 0.78" in shown
    figure, _ = savings(Archive(path))
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(labels) == 3
    assert "XZ over Z" in labels
    with pytest.raises(ValueError, match="no model with an sqRBM or RBM on the same data"):
        savings(Archive(path), where={"paulis": "Z"})
