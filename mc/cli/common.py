"""What commands print and read: messages, JSON, tables, key=value pairs."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from tnqbm.base.process import launcher_rank
from tnqbm.base.text import printable

Value = str | int | float

PATH = click.Path(path_type=str)
"""Paths are checked where they are used, so that every message says what to do."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def tell(text: str) -> None:
    """Print a line on standard error, if it is still open: a terminal may have been closed."""
    with contextlib.suppress(OSError, ValueError):
        echo(text, err=True)


def is_first_rank() -> bool:
    """Whether this process is the one that prints. Does not import MPI."""
    return launcher_rank() == 0


def echo(text: str, *, err: bool = False) -> None:
    """Print a message of one or more lines, with control characters of quoted text escaped."""
    click.echo(printable(text, keep="\n"), err=err)


@contextlib.contextmanager
def warnings_as_messages(*kinds: type[Warning]) -> Iterator[None]:
    """Warnings of certain kinds as messages on standard error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        if issubclass(one.category, kinds):
            echo(f"Warning: {one.message}", err=True)
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def print_json(value: Any) -> None:
    """Print one JSON document; numbers that are not finite become null, as JSON has none."""
    click.echo(json.dumps(plain(value), indent=2, allow_nan=False))


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as comma-separated values, a line of names above; nothing stands for None.

    Columns are those of all rows, in order of their first appearance. Numbers are written so that
    reading them gives the same bits, control characters in text are escaped.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(plain(value)) for name, value in row.items()})
    click.echo(text.getvalue(), nl=False)


def _cell(value: Any) -> Any:
    """A plain value in one cell of a table: lists as words."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return printable(value) if isinstance(value, str) else value


def plain(value: Any) -> Any:
    """The value in types that JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, Iterable):
        return [plain(entry) for entry in value]
    return str(value)


def parse_pairs(texts: Sequence[str]) -> dict[str, list[Value]]:
    """``key=value`` texts as a mapping to lists of values.

    Several pairs may share a text, separated by commas, and a key may have several values:
    ``data=bas,visible=6,8`` means data = bas and visible = 6 or 8.
    """
    pairs: dict[str, list[Value]] = {}
    for text in texts:
        for piece in re.split(r",(?=\s*\w+\s*=)", text):
            key, equals, values = piece.partition("=")
            if not equals or not key.strip() or not values.strip():
                raise click.UsageError(f"{piece!r} is not of the form key=value, e.g. visible=6")
            pairs.setdefault(key.strip(), []).extend(map(parse_value, values.split(",")))
    return pairs


def parse_value(text: str) -> Value:
    """A whole number, a number or a string, whichever the text is."""
    text = text.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def number(value: float | None, digits: int = 4) -> str:
    """A number for a table; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.2e}"


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int, title: str = ""
) -> None:
    """Print a table: the first ``left`` columns and a ``note`` hold text, the rest numbers.

    All text is shown as it is: markup is not interpreted, and control characters are escaped.
    """
    from rich.cells import cell_len
    from rich.text import Text

    # Not a rich table, which takes seconds for thousands of rows.
    cells = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    texts = [k < left or name == "note" for k, name in enumerate(columns)]

    def line(row: Sequence[str]) -> str:
        padded = []
        for cell, width, is_text in zip(row, widths, texts, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(cell + space if is_text else space + cell)
        return f" {'   '.join(padded)} "

    head, *body = map(line, cells)
    rule = "─" * (len(widths) * 3 - 3 + sum(widths))
    blank = " " * (len(rule) + 2)
    if title:
        print_rich(Text(printable(title), style="table.title"))
    click.echo(blank)
    print_rich(Text(head, style="table.header"))
    click.echo("\n".join([f" {rule} ", *body, blank]))


_MAIN = ("data", "visible", "paulis", "hidden")


def coordinate_columns(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], str]:
    """Coordinates that get a column, the main ones first, and those that all rows share."""
    present = dict.fromkeys(key for row in rows for key in row)
    columns, shared = [key for key in _MAIN if key in present], []
    for key in present:
        if key in _MAIN:
            continue
        if len({repr(row.get(key)) for row in rows}) == 1:
            shared.append(f"{key} = {rows[0][key]}")
        else:
            columns.append(key)
    return columns, ", ".join(shared)


def print_lines(values: Mapping[str, Any], width: int = 32) -> None:
    """Print what is known, one line each: a label and, from column ``width`` on, its value."""
    for label, value in values.items():
        if value is not None:
            echo(f"{label:<{width}}{value}")


def print_rich(item: Any) -> None:
    """Print a rich object without cutting lines; the terminal wraps them."""
    from rich.console import Console

    Console(file=sys.stdout, width=10_000, highlight=False).print(item)


def print_rows(
    form: str, document: Mapping[str, Any], name: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Rows as JSON, under their name in a document, or by themselves as CSV.

    Mappings in rows, such as an estimator's report, become columns of CSV: "estimator_shots".
    """
    if form == "json":
        print_json({**document, name: rows})
        return
    flat: list[dict[str, Any]] = []
    for row in rows:
        flat.append({})
        for key, value in row.items():
            inner = value.items() if isinstance(value, Mapping) else ()
            flat[-1] |= {f"{key}_{part}": entry for part, entry in inner}
            if not isinstance(value, Mapping):
                flat[-1][key] = value
    print_csv(flat)
