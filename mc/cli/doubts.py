"""Runs whose log Z cannot be right, as ``show`` and ``plot`` tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tnqbm.archive import Archive

MOST = 24
"""Runs that are named."""

Doubt = tuple[Mapping[str, Any], str]


def doubted(archive: Archive, where: Any, *, skip_damaged: bool = False) -> list[Doubt]:
    """Rows of the table whose log Z cannot be right, and why."""
    from tnqbm.archive.summaries import matches
    from tnqbm.archive.trust import doubts, with_bounds

    rows = archive.table(skip_damaged=skip_damaged)
    checked = with_bounds(rows, archive.runs(skip_damaged=skip_damaged))
    return doubts(row for row in checked if matches(where, row))


def doubt_lines(found: Sequence[Doubt]) -> list[str]:
    """What there is to print about them; nothing if there are none."""
    from tnqbm.archive.summaries import describe, run_coordinates

    if not found:
        return []
    runs = "1 run" if len(found) == 1 else f"{len(found)} runs"
    lines = [
        f"log Z of {runs} is not to be trusted; TVD, KL and NLL that rest on it say nothing, and "
        "neither do means over them:"
    ]
    lines += [f"  {describe(run_coordinates(row))}: {why}" for row, why in found[:MOST]]
    if len(found) > MOST:
        lines.append(f"  and {len(found) - MOST} more")
    return lines
