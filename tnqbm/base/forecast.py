"""What a method of exact evaluation will take, and several of them as a table.

Forecasts rest on measured times, one table: forecast.toml beside this file.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Forecast:
    """What one exact method will take for a model.

    ``seconds`` on one core (infinite if unknown) and ``bytes`` of memory beside the model; ``fits``
    tells whether the method takes the model at all, ``note`` why not or what sets the cost.
    """

    method: str
    seconds: float
    bytes: float
    fits: bool
    note: str


class Forecasts(list[Forecast]):
    """Forecasts of several methods; printed as a table."""

    def __str__(self) -> str:
        return table(self)


def table(forecasts: Iterable[Forecast]) -> str:
    """Forecasts as lines of text, one per method under a line of headings."""
    rows = [("method", "time", "memory", "note")]
    for forecast in forecasts:
        rows.append(
            (
                forecast.method if forecast.fits else f"{forecast.method} (no)",
                _time(forecast.seconds),
                _memory(forecast.bytes),
                forecast.note,
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    lines = (
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _time(seconds: float) -> str:
    if seconds == math.inf:
        return "-"
    for size, unit in ((60.0, "s"), (3600.0, "min"), (86400.0, "h"), (3.15e7, "d")):
        if seconds < 2.0 * size:
            least = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}[unit]
            value = max(seconds / least, 0.001)
            return f"{value:.2g} {unit}" if value < 99.5 else f"{value:.0f} {unit}"
    return f"{seconds / 3.15e7:.1g} years"


def _memory(size: float) -> str:
    if size == math.inf:
        return "-"
    return f"{max(size / 1e6, 1.0):.0f} MB" if size < 1e9 else f"{size / 1e9:.2g} GB"
