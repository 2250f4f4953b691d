"""Text that came out of a file, made safe to show: a stranger may have written it."""

from __future__ import annotations

import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control characters, marks that reorder or hide text, lone surrogates, line separators."""


def printable(text: str, *, keep: str = "") -> str:
    r"""The text with every character that steers a terminal or reorders text as an escape.

    ``"\x1b[31m"`` becomes the six visible characters ``\x1b[31m``; so do line breaks, unless they
    are among the characters to ``keep``. All other text stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char in keep or unicodedata.category(char) not in _UNSAFE else _escaped(char)
        for char in text
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
