"""The lines of a text that hold data, with the numbers that an editor shows beside them."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import DataError

_BLANK = re.compile(rb"\n[ \t]*\n")


@dataclass(frozen=True)
class Lines:
    """Lines of data, ``text``, each with a line break at its end, without comments and blank lines.

    ``numbers`` (N,) are their numbers in the file, from 1 on; None if nothing lies between them,
    and the first is ``start``.
    """

    text: bytes
    start: int
    numbers: NDArray[np.int64] | None = None

    @cached_property
    def first(self) -> bytes:
        """The first line without blanks around it, b"" if there is none."""
        end = self.text.find(b"\n")
        return self.text[: max(end, 0)].strip(b" ")

    def number(self, k: int) -> int:
        """The number in the file of line k, counted from 0."""
        return self.start + k if self.numbers is None else int(self.numbers[k])

    def name(self, k: int) -> str:
        return f"line {self.number(k)}"

    def after_first(self) -> Lines:
        """All lines but the first."""
        rest = self.text[self.text.find(b"\n") + 1 :]
        numbers = self.numbers
        if numbers is None:
            return Lines(rest, self.start + 1)
        return Lines(rest, self.start, numbers[1:])


def clean(raw: bytes) -> bytes:
    """A text as UTF-8 with line breaks \\n, the last line with one, too.

    Marks of the byte order are taken off, and UTF-16 (as spreadsheets write it) is understood.
    DataError if it is no text.
    """
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if raw.startswith(mark):
            try:
                raw = raw[2:].decode(encoding).encode()
            except UnicodeDecodeError:
                raise DataError("it begins as UTF-16 text and does not go on as such") from None
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if b"\0" in raw:
        raise DataError("it is no text: there are zero bytes in it; see what made the file")
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return raw if raw.endswith(b"\n") else raw + b"\n"


def split_lines(text: bytes) -> Lines:
    """The lines with data of a text of :func:`clean`; # begins a comment."""
    start, place = 1, 0
    while place < len(text):  # comments and blank lines at the top are the usual case
        end = text.find(b"\n", place)
        line = text[place:end].strip()
        if line and not line.startswith(b"#"):
            break
        start, place = start + 1, end + 1
    body = text[place:].rstrip(b" \t\n") + b"\n" if text[place:].strip() else b""
    if b"#" not in body and not _BLANK.search(body):
        return Lines(body, start)
    kept, numbers = [], []
    for number, line in enumerate(body.split(b"\n"), start):
        data = line.partition(b"#")[0].rstrip()
        if data.strip():
            kept.append(data)
            numbers.append(number)
    return Lines(b"\n".join(kept) + b"\n", start, np.array(numbers, dtype=np.int64))
