"""Blocks of lines as arrays: what of reading a text takes time."""

from __future__ import annotations

import contextlib
import csv
import re
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIKE = re.compile(rb"[ \t]*[01](?:[ \t]*[,;][ \t]*[01]|[ \t]+[01])*[ \t]*[,;]?[ \t]*|[01]+")
_WORDS = ((b"true", b"1"), (b"false", b"0"))
_WHOLE = re.compile(rb"\.0+(?:[eE][+-]?0+)?(?![0-9eE])")
_INTEGERS = b"0123456789+-,; \t\x1f\n"
_ROWS_BYTES = 1 << 22
_UNIT = "\x1f"
"""Put between values where commas may stand in quotes."""


def alike(text: bytes) -> NDArray[np.uint8] | None:
    """Rows (N, n) of a text whose lines are all written as the first one, with 0 and 1 in them.

    None for any other text. Every line has a line break at its end.
    """
    first = text[: text.find(b"\n")]
    if _ALIKE.fullmatch(first) is None:
        return None
    stride = len(first) + 1
    if len(text) % stride:
        return None
    lines = np.frombuffer(text, np.uint8).reshape(-1, stride)
    pattern = lines[0].copy()
    digits = (pattern == ord("0")) | (pattern == ord("1"))
    pattern[digits] = ord("0")
    places, others = np.flatnonzero(digits), np.flatnonzero(~digits)
    bits = np.empty((len(lines), len(places)), np.uint8)
    step = max(1, _ROWS_BYTES // stride)
    for start in range(0, len(lines), step):
        block = lines[start : start + step] ^ pattern
        if block.max() > 1 or block[:, others].any():
            return None
        np.take(block, places, axis=1, out=bits[start : start + step])
    return bits


def pieces_of(block: bytes, between: bytes, trailing: bool) -> tuple[list[bytes], bytes]:
    """The lines of a block, and what stands between their values.

    Quotes are taken off; where there are some, values are then divided by a character that no text
    has. A separator at the end of all lines goes.
    """
    if b'"' in block:
        text = block.decode("utf-8", "surrogateescape")
        rows = csv.reader(
            text.split("\n"), delimiter=(between or b" ").decode(), skipinitialspace=True
        )
        lines = [_UNIT.join(row).encode("utf-8", "surrogateescape") for row in rows]
        between = _UNIT.encode()
    else:
        lines = block.split(b"\n")
    if trailing:
        lines = [_without_last(line, between) for line in lines]
    return lines, between


def _without_last(line: bytes, between: bytes) -> bytes:
    bare = line.rstrip(b" ") if between != b" " else line
    return bare.removesuffix(between)


def parse(
    lines: list[bytes], between: bytes, columns: NDArray[np.int64], count: int
) -> NDArray[Any]:
    """The numbers in some of the ``count`` columns of some lines, (N, c), as the smallest type.

    true and false are 1 and 0 in all spellings. Raises ValueError where one is no number.
    """
    options: dict[str, Any] = {"ndmin": 2, "comments": None, "delimiter": between.decode() or None}
    block = b"\n".join(lines)
    others = block.translate(None, _INTEGERS)
    if others:  # points, exponents, words
        block = _plain(block)
        lines = block.split(b"\n")
        others = block.translate(None, _INTEGERS)
    all_of_it = len(columns) == count
    with warnings.catch_warnings():
        # NumPy would take 0.5 for 0 where whole numbers are asked for, with a warning.
        warnings.simplefilter("error", DeprecationWarning)
        if not others:
            with contextlib.suppress(ValueError, OverflowError, DeprecationWarning):
                values = np.loadtxt(lines, dtype=np.int64, **options)
                return smallest(values if all_of_it else values[:, columns])
        options["usecols"] = None if all_of_it else columns
        with contextlib.suppress(ValueError, OverflowError, DeprecationWarning):
            if not all_of_it:
                return smallest(np.loadtxt(lines, dtype=np.int64, **options))
        return smallest(np.loadtxt(lines, dtype=np.float64, **options))


def _plain(block: bytes) -> bytes:
    """true and false as 1 and 0, and 1.000 and 1.0e+00 as 1."""
    for word, digit in _WORDS:
        for spelling in (word, word.capitalize(), word.upper()):
            block = block.replace(spelling, digit)
    return _WHOLE.sub(b"", block) if b"." in block else block


def smallest(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in the smallest type: whole numbers as integers, all others as they are."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or np.abs(values).max(initial=0) >= 2**53:
            return values
        whole = values.astype(np.int64)
        if (whole != values).any():
            return values
        values = whole
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    for dtype in (np.uint8, np.int8, np.int16, np.int32):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            return values.astype(dtype)
    return values


def joined(values: NDArray[Any] | None, part: NDArray[Any], done: int, total: int) -> NDArray[Any]:
    """Rows of a block put in their place among all ``total`` rows, in a type that holds both."""
    if values is None:
        values = np.empty((total, part.shape[1]), part.dtype)
    dtype = np.result_type(values, part)
    if dtype != values.dtype:
        values = values.astype(dtype)
    values[done : done + len(part)] = part
    return values


def words(lines: list[bytes], between: bytes, column: int, count: int) -> NDArray[Any]:
    """One of ``count`` columns of a block as text, (N,)."""
    mark = between or None
    if column < count - column:
        pieces = [line.split(mark, column + 1)[column] for line in lines]
    else:
        last = column - count
        pieces = [line.rsplit(mark, -last)[last] for line in lines]
    return np.char.decode(np.array(pieces), "utf-8", "replace")


def as_numbers(column: NDArray[Any]) -> NDArray[Any]:
    """A column of text as numbers, if all of it is numbers, or as it is without blanks."""
    column = np.char.strip(column)
    for dtype in (np.int64, np.float64):
        try:
            return column.astype(dtype)
        except (ValueError, OverflowError):
            continue
    return column


def shown(piece: bytes) -> str:
    """A value in a message, not longer than it can be read."""
    text = piece.decode("utf-8", "replace")
    return repr(text if len(text) <= 30 else text[:27] + "...")
