"""Measured times that forecasts rest on: one table, coefficients.toml beside this file."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_suffix(".toml")


def nanoseconds(section: str) -> dict[str, Any]:
    """The coefficients of a section such as "enumeration" or "contraction.quimb", by name."""
    table = _tables()
    for name in section.split("."):
        table = table[name]
    return table


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(PATH.read_text(encoding="utf-8"))
