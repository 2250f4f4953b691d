"""The table of certified distances, for a small study whose exact values are known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import mc
import tnqbm
from tests.scripts.loading import load

STUDY = """
name = "small"
seeds = 2

[model]
visible = 6
paulis = ["Z", "XYZ"]
hidden = 2

[data]
name = "bas"

[training]
recipe = "auto"
iterations = 150
chains = 200
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certified")
    study = folder / "study.toml"
    study.write_text(STUDY)
    mc.run_study(mc.load_study(study), folder / "small.h5", progress=False)
    return folder / "small.h5"


def test_the_table_holds_the_exact_values(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- certified -->\nold\n<!-- end of certified -->\nafter\n")
    monkeypatch.setattr(sys, "argv", ["certified.py", str(archive), "--into", str(page)])
    load("paper").certified.main()
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    target = tnqbm.datasets.load("bas", 6)
    exact: dict[str, list[float]] = {"Z": [], "XYZ": []}
    with tnqbm.Archive(archive) as found:
        for run in found.runs():
            log_z = (tnqbm.exact.log_partition(run.model), 0.0)
            distance = mc.total_variation_on_support(run.model, target, log_z)
            exact[str(run.coordinates["paulis"])].append(distance.value)
    for paulis, values in exact.items():
        mean = sum(values) / 2
        assert f"| weighted | {paulis} | 2 | {mean:.3f} to {mean:.3f} | 2 of 2 |" in text


def test_where_the_upper_ends_cross() -> None:
    certified = load("paper").certified

    def rows(*upper: float) -> list[object]:
        return [certified.Row(0.0, value, True, 0.0) for value in upper]

    found = {
        ("weighted", "Z", 4): rows(0.6, 0.6),
        ("weighted", "Z", 8): rows(0.1, 0.1),
        ("weighted", "XZ", 2): rows(0.3, 0.3),
        ("weighted", "XZ", 3): rows(0.1, 0.1),
    }
    text = certified.least(found)
    assert "| weighted | Z | 7.20 (7.20 to 7.20) |  |" in text
    assert "| weighted | XZ | 2.50 (2.50 to 2.50) | 2.88 (2.88 to 2.88) |" in text
    found["weighted", "Z", 8] = rows(0.6, 0.6)
    text = certified.least(found)
    assert "| weighted | Z | – |  |" in text
    assert "| weighted | XZ | 2.50 (2.50 to 2.50) | – |" in text
