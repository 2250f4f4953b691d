"""What messages about study files have in common."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any


def near_value(value: str, choices: Sequence[str]) -> str:
    """What was probably meant, or all there is to choose from, as the end of a message."""
    near = difflib.get_close_matches(value, choices, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(choices)}"


def failure(check: Callable[..., Any], *arguments: Any) -> str:
    """What ``check(*arguments)`` complains about, or an empty text."""
    try:
        check(*arguments)
    except (ValueError, OSError, ImportError) as error:
        return str(error)
    except Exception as error:  # e.g. ArchiveError for a damaged .h5 data file
        return f"{type(error).__name__}: {error}"
    return ""
