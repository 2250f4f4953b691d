"""Text with a row in each line: commas, semicolons, tabs or blanks between values, or bit strings.

Lines are counted as an editor does. Three ways to read, the fastest that fits: lines of 0 and 1
that are all written alike are compared with the first one; numbers go through
:func:`numpy.loadtxt`, block by block; columns of words are looked at only if they are asked for.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import DataError
from tnqbm.datasets.preparation import Preparation
from tnqbm.datasets.readers import text_blocks
from tnqbm.datasets.readers.reader import Reader
from tnqbm.datasets.readers.source import Source
from tnqbm.datasets.readers.table import MISSING, Chosen, Table, choose, no_number, numeric
from tnqbm.datasets.readers.text_lines import Lines, clean, split_lines

BLOCK = 1 << 22
"""Bytes of text that are parsed at a time."""

_NUMBER = re.compile(
    rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|true|false|nan|[+-]?inf(inity)?", re.I
)
_SEVERAL = re.compile(rb" *[-+.\d]+( +[-+.\d]+)+ *")
_MISSING = (b"", b"na", b"n/a", b"?", b"null", b"none", b"-", b".", b"nan")
_BITS = re.compile(rb"[01]{2,}")


@dataclass(frozen=True)
class Layout:
    """How the lines of a text are made: what is between values (b"" for blanks and tabs), whether
    it also stands at their end, the columns and, if there are some, their names."""

    between: bytes
    trailing: bool
    count: int
    names: tuple[str, ...] | None


def read(source: Source, preparation: Preparation) -> Table:
    """The rows of a text file; DataError says in which line and column it cannot be read."""
    lines = split_lines(clean(source.read_bytes()))
    header = _has_header(lines, preparation.header)
    rows = lines.after_first() if header else lines
    if not rows.text:
        raise DataError("there are no rows in it" + (" below the line of names" if header else ""))
    if _BITS.fullmatch(rows.first) and not header:
        bits = text_blocks.alike(rows.text)
        if bits is not None:
            return _table(bits, Layout(b"", False, bits.shape[1], None), rows, preparation)
        _refuse_bit_strings(rows)
    layout = _layout(lines.first if header else None, rows)
    bits = text_blocks.alike(rows.text)
    if bits is not None and bits.shape[1] == layout.count:
        return _table(bits, layout, rows, preparation)
    return _numbers(rows, layout, preparation)


READER = Reader("text", (".csv", ".tsv", ".txt", ".dat", ".data", ".hapt"), read, gzipped=True)


# --- what the lines look like ---------------------------------------------------------------------


def _separator(line: bytes, number: int) -> bytes:
    """What stands between the values of a line."""
    if b";" in line and b"," in line and b'"' not in line:
        raise DataError(
            f"line {number} has both ; and , in it; save the file with one of them between the "
            "values, and with decimal points"
        )
    between = next((mark for mark in (b",", b";", b"\t") if mark in line), b"")
    if between == b"\t" and any(_SEVERAL.fullmatch(piece) for piece in line.split(b"\t")):
        return b""  # blanks here, tabs there
    return between


def fields(line: bytes, between: bytes) -> list[bytes]:
    """The values of a line, without quotes and blanks around them."""
    if b'"' in line:
        text = line.decode("utf-8", "surrogateescape")
        mark = (between or b" ").decode()
        found = next(csv.reader([text], delimiter=mark, skipinitialspace=True), [])
        return [piece.strip().encode("utf-8", "surrogateescape") for piece in found]
    return [piece.strip() for piece in line.split(between or None)]


def _has_header(lines: Lines, given: bool | None) -> bool:
    """Whether the first line holds names: words where the second line has numbers."""
    if given is not None:
        return given
    first = fields(lines.first, _separator(lines.first, lines.number(0)))
    words = [
        k for k, piece in enumerate(first) if not is_number(piece) and piece.lower() not in _MISSING
    ]
    if not words:
        return False
    second = lines.after_first().first
    if not second:
        return len(words) == len(first)
    below = fields(second, _separator(second, lines.number(1)))
    if len(below) != len(first):  # a trailing separator in one of them, or what is refused later
        return len(words) == len(first)
    return any(is_number(below[k]) for k in words)


def is_number(piece: bytes) -> bool:
    """Whether a value of a text is a number, or true or false."""
    return _NUMBER.fullmatch(piece) is not None


def _layout(header: bytes | None, rows: Lines) -> Layout:
    between = _separator(rows.first, rows.number(0))
    first = fields(rows.first, between)
    trailing = bool(between) and len(first) > 1 and first[-1] == b""
    names = None
    if header is not None:
        mark = _separator(header, rows.number(0) - 1) if between in header else between
        names = tuple(name.decode("utf-8", "replace") for name in fields(header, mark))
        if trailing and len(names) == len(first) and names[-1]:
            trailing = False  # a last value that is missing
    count = len(first) - trailing
    if names is not None and len(names) == count + 1 and not names[-1]:
        names = names[:-1]
    if names is not None and len(names) != count:
        raise DataError(
            f"the line of names has {len(names)}, and line {rows.number(0)} has {count} values; "
            "give every column a name (in R: write.table(..., col.names = NA)), or delete the line"
        )
    return Layout(between, trailing, count, names)


# --- rows -----------------------------------------------------------------------------------------


def _table(bits: NDArray[np.uint8], layout: Layout, rows: Lines, preparation: Preparation) -> Table:
    """The table of a text that holds nothing but bits."""
    chosen = choose(layout.count, layout.names, preparation)
    aside = {
        what: None if place is None else bits[:, place].copy()
        for what, place in (("labels", chosen.labels), ("weights", chosen.weights))
    }
    weights = aside["weights"]
    all_of_it = len(chosen.values) == layout.count and (np.diff(chosen.values) == 1).all()
    return Table(
        bits if all_of_it else bits[:, chosen.values],
        chosen.values + 1,
        _names(layout, chosen),
        aside["labels"],
        None if weights is None else weights.astype(np.float64),
        rows.name,
        count=layout.count,
    )


def _names(layout: Layout, chosen: Chosen) -> tuple[str, ...] | None:
    return layout.names and tuple(layout.names[k] for k in chosen.values)


def _numbers(rows: Lines, layout: Layout, preparation: Preparation) -> Table:
    """The table of a text of numbers, some columns of which may hold words."""
    chosen = choose(layout.count, layout.names, preparation)
    values: NDArray[Any] | None = None
    aside: dict[str, list[NDArray[Any]]] = {"labels": [], "weights": []}
    done, total = 0, rows.text.count(b"\n")
    for block in _blocks(rows.text):
        pieces, between = text_blocks.pieces_of(block, layout.between, layout.trailing)
        _check_widths(pieces, between, layout, rows, done)
        try:
            part = text_blocks.parse(pieces, between, chosen.values, layout.count)
        except ValueError:
            _refuse(pieces, between, chosen, layout, rows, done)
            raise
        for what in aside:
            place = getattr(chosen, what)
            if place is not None:
                aside[what].append(text_blocks.words(pieces, between, place, layout.count))
        values = text_blocks.joined(values, part, done, total)
        done += len(part)
    assert values is not None
    labels, weights = (np.concatenate(found) if found else None for found in aside.values())
    if labels is not None:
        labels = text_blocks.as_numbers(labels)
    return Table(
        values,
        chosen.values + 1,
        _names(layout, chosen),
        labels,
        None if weights is None else numeric(text_blocks.as_numbers(weights), "weights"),
        rows.name,
        count=layout.count,
    )


def _blocks(text: bytes) -> Iterator[bytes]:
    """A text that ends in a line break, cut after lines; without the last break of each piece."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", min(start + BLOCK, len(text) - 1))
        yield text[start:end]
        start = end + 1


# --- refusals -------------------------------------------------------------------------------------


def _refuse_bit_strings(rows: Lines) -> None:
    """DataError for the first line that is no bit string of the first one's length."""
    length = len(rows.first)
    for k, line in enumerate(rows.text.splitlines()):
        piece = line.strip()
        if len(piece) == length and _BITS.fullmatch(piece):
            continue
        shown = text_blocks.shown(piece)
        if set(piece) <= set(b"01"):
            raise DataError(
                f"{rows.name(k)} has {len(piece)} bits, and {rows.name(0)} has {length}"
            )
        raise DataError(f"{rows.name(k)} is {shown}, where {rows.name(0)} is a string of bits")


def _check_widths(
    pieces: list[bytes], between: bytes, layout: Layout, rows: Lines, done: int
) -> None:
    """DataError for the first line of a block that has more or fewer values than the first."""
    for k, line in enumerate(pieces):
        count = line.count(between) + 1 if between else len(line.split())
        if count != layout.count:
            what = "the line of names" if layout.names else rows.name(0)
            last = done + k == rows.text.count(b"\n") - 1
            cut = ". It is the last line: is the file whole?" if last else ""
            raise DataError(
                f"{rows.name(done + k)} has {count} value{'s' * (count != 1)}, and {what} has "
                f"{layout.count}; every line must have as many{cut}"
            )


def _refuse(
    pieces: list[bytes], between: bytes, chosen: Chosen, layout: Layout, rows: Lines, done: int
) -> None:
    """DataError for the first value that is asked for and no number; nothing if there is none."""
    for k, line in enumerate(pieces):
        found = fields(line, between)
        for place in chosen.values:
            piece = found[place]
            if is_number(piece):
                continue
            number = int(place) + 1
            name = f" ({layout.names[place]!r})" if layout.names else ""
            where = f"{rows.name(done + k)}, column {number}{name}"
            missing(piece, where)
            header = k + done == 0 and layout.names is None
            raise no_number(where, text_blocks.shown(piece), number, header=header)


def missing(piece: bytes, where: str) -> None:
    """DataError if a value is missing, for which nothing is put in its place."""
    if piece.lower() in _MISSING:
        what = "is empty" if not piece else f"is {text_blocks.shown(piece)}, a missing value"
        raise DataError(f"{where} {what}; {MISSING}")
