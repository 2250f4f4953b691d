"""docs/equivalence.md: its examples run, and its tables are those of the published file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "equivalence.md").read_text(encoding="utf-8")
PUBLISHED = ROOT / "data" / "results" / "audit.jsonl"


def test_examples() -> None:
    space: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE):
        exec(block, space)
    assert space["bound"].rank == 16
    assert space["bound"].tvd == pytest.approx(6e-5, rel=0.1)
    assert space["found"].kl == pytest.approx(4.4e-4, rel=0.05)
    assert space["found"].tvd >= space["bound"].tvd
    assert space["found"].converged


def test_tables_are_those_of_the_published_file(tmp_path: Path) -> None:
    """Putting them in once more changes nothing; the ratios rest on another file."""
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    script = str(ROOT / "scripts" / "audit" / "tables.py")
    command = [sys.executable, script, str(PUBLISHED), "--update", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    assert page.read_text(encoding="utf-8") == PAGE
    page.write_text(PAGE.replace("<!-- fits -->", "<!-- fit -->"), encoding="utf-8")
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 1
    assert "marks should be" in done.stderr
