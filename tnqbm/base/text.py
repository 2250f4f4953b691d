"""Text for people, safe to show and short enough to read. NumPy is imported only where needed."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

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


# --- messages ---

PAGE = 2000
"""Characters of a message that are kept: about a page."""


def cause_of(error: BaseException) -> str:
    """An exception's type and message as :func:`one_page` gives them, whatever they hold."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return f"{name} (its message cannot be shown)"
    return one_page(f"{name}: {text}" if text else name)


def one_page(text: str, most: int = PAGE) -> str:
    """At most ``most`` characters of a text, with all but its line breaks printable.

    Control characters, and others that do not show, are written as Python escapes them.
    """
    shown = "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii")
        for c in text[:most]
    )
    if len(text) <= most and len(shown) <= most:
        return shown
    end = f" ... ({len(text)} characters in all)"
    return shown[: most - len(end)] + end


# --- reprs of results ---

Class = TypeVar("Class", bound=type)

FEW = 4
"""Entries of arrays and lists that are written out in a repr."""

_LONGEST = 160


def short_repr(cls: Class) -> Class:
    """A decorator for dataclasses and named tuples: a repr without the numbers in arrays.

    Fields that are None or empty are left out.
    """
    cls.__repr__ = _repr  # type: ignore[method-assign, assignment]
    return cls


def brief(value: Any) -> str:
    """A value in such a repr: arrays by type and shape, long lists by their length."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return str(value.tolist()) if value.size <= FEW else f"<{value.dtype} {value.shape}>"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return f"<{len(value)} {'entry' if len(value) == 1 else 'entries'}>"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        if len(value) > FEW:
            return f"<{len(value)} entries>"
        inside = ", ".join(brief(entry) for entry in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _repr(self: Any) -> str:
    fields = ", ".join(f"{name}={brief(value)}" for name, value in _fields(self))
    return f"{type(self).__name__}({fields})"


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    names = getattr(value, "_fields", None) or [f.name for f in dataclasses.fields(value) if f.repr]
    for name in names:
        entry = getattr(value, name)
        if entry is None or (isinstance(entry, list | tuple | dict) and not entry):
            continue
        yield name, entry
