"""How objects show themselves in notebooks: small tables in HTML, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping

from tnqbm.base.text import printable

MOST_CHARACTERS = 300
"""Of one cell; longer text is cut."""


def facts_table(title: str, facts: Mapping[str, object]) -> str:
    """A table of two columns under a title; None is left out. Works in any notebook, no styles."""
    lines = [
        f"<tr><th style='text-align:left'>{_cell(name)}</th>"
        f"<td style='text-align:left'>{_cell(value)}</td></tr>"
        for name, value in facts.items()
        if value is not None
    ]
    return f"<table><caption>{_cell(title)}</caption>{''.join(lines)}</table>"


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    if len(text) > MOST_CHARACTERS:
        text = text[: MOST_CHARACTERS - 3] + "..."
    return html.escape(printable(text))
