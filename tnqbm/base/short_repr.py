"""The repr of results that hold arrays: what there is and how large, not all numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

Class = TypeVar("Class", bound=type)

FEW = 4
"""Entries of arrays and lists that are written out."""

_LONGEST = 160


def short_repr(cls: Class) -> Class:
    """A decorator for dataclasses and named tuples: a repr without the numbers in arrays.

    Fields that are None or empty are left out.
    """
    cls.__repr__ = _repr  # type: ignore[method-assign, assignment]
    return cls


def brief(value: Any) -> str:
    """A value in such a repr: arrays by type and shape, long lists by their length."""
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
