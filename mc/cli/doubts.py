"""Runs whose log Z cannot be right, as ``show``, ``verify`` and ``plot`` name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tnqbm.archive import Archive, RunRow

MOST = 24
"""Runs that are named."""

Doubt = tuple["RunRow", str]


def doubted(
    archive: Archive,
    where: Any,
    *,
    rows: Sequence[RunRow] | None = None,
    skip_damaged: bool = False,
) -> list[Doubt]:
    """Runs whose log Z cannot be right, and why; ``rows`` are the archive's, if they are known."""
    from tnqbm.archive.rows import matches
    from tnqbm.archive.trust import doubts, with_bounds

    rows = archive.rows(skip_damaged=skip_damaged) if rows is None else rows
    bounded = with_bounds(rows, archive.runs(skip_damaged=skip_damaged))
    return doubts(row for row in bounded if matches(where, row.identity))


def doubt_lines(doubts: Sequence[Doubt]) -> list[str]:
    """What there is to print about them; nothing if there are none."""
    from tnqbm.archive.rows import in_words

    if not doubts:
        return []
    runs = "1 run" if len(doubts) == 1 else f"{len(doubts)} runs"
    lines = [
        f"log Z of {runs} is not to be trusted; TVD, KL and NLL that rest on it say nothing, and "
        "neither do means over them:"
    ]
    lines += [f"  {in_words(row.identity)}: {why}" for row, why in doubts[:MOST]]
    if len(doubts) > MOST:
        lines.append(f"  and {len(doubts) - MOST} more")
    return lines
