"""A look at a path before it is opened: opening a pipe waits for ever, a device may do anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def irregular(path: str | Path) -> str:
    """What a path is, such as "a pipe", if it is no ordinary file; "" if it is one.

    Raises FileNotFoundError if there is nothing, and OSError as :func:`os.stat` does. Symbolic
    links are followed.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    if stat.S_ISREG(mode):
        return ""
    return next((kind for test, kind in _KINDS if test(mode)), "not an ordinary file")


def check_regular(path: str | Path) -> None:
    """Raise ValueError unless the path is an ordinary file; FileNotFoundError if it is nothing."""
    if kind := irregular(path):
        raise ValueError(
            f"{path} is {kind}; only ordinary files are read: save its content to one first"
        )
