"""No log Z is wrong and trusted, and few are right and not trusted: over a set of models.

Models and counts are those of ``scripts/benchmarks/trust.py``, here with fewer and smaller models;
docs/sampling.md has the table of a larger run.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[3] / "scripts" / "benchmarks" / "trust.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("trust", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["trust"] = module  # its named tuples look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(script: ModuleType) -> list[Any]:
    found: list[Any] = script.quick_rows(11, ("Z", "XYZ"))
    return found


def test_none_is_wrong_and_trusted(script: ModuleType, rows: list[Any]) -> None:
    assert len(rows) > 80
    assert script.missed(rows) == []


def test_few_are_right_and_not_trusted(script: ModuleType, rows: list[Any]) -> None:
    false, right = script.alarms(rows)
    assert len(false) <= 0.1 * right, false


def test_stated_errors_cover(script: ModuleType, rows: list[Any]) -> None:
    one, two, three = script.covered(rows)
    assert one > 0.6
    assert two > 0.88
    assert three > 0.96


def test_what_fools_annealing_is_among_them(script: ModuleType, rows: list[Any]) -> None:
    """The set can fail: chains alone see nothing wrong with these."""
    wrong = [row for row in rows if row.method == "ais" and row.errors > 5.0]
    assert len([row for row in wrong if row.kind == "trap"]) >= 2


@pytest.mark.parametrize(("depth", "tilt"), [(4.0, 0.0), (2.5, 3.0)])
def test_two_deep_modes(script: ModuleType, depth: float, tilt: float) -> None:
    found = next(c for c in script.fixed_traps(("Z",)) if c.name == f"depth {depth} tilt {tilt} Z")
    for method, seed in (("ais", 2), ("ais", 3), ("both", 2), ("tensor", 2)):
        for row in script.rows_of(found, method, seed, **script.QUICK):
            assert row.errors <= 5.0 or not row.trusted, row
