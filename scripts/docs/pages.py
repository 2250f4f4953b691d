"""Tables of documentation pages that scripts write, between marks.

The lines <!-- NAME --> and <!-- end of NAME --> hold a table; the rest of the page is written by
hand. Scripts of other folders import this file as ``scripts.docs.pages``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tnqbm.files.atomic import atomic_write


def insert(page: str, name: str, table: str) -> str:
    """The page with the table between its marks; ValueError if it has not exactly one pair."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page must have one line {begin.strip()} and one {end}")
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    if end in head:
        raise ValueError(f"{end} stands above {begin.strip()}")
    return f"{head}{begin}\n{table}\n{end}{tail}"


def put(path: Path, tables: Mapping[str, str]) -> None:
    """Put tables between their marks on a page; ValueError, and no change, if there are none."""
    page = path.read_text(encoding="utf-8")
    for name, table in tables.items():
        try:
            page = insert(page, name, table)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
