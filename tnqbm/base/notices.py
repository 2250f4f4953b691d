"""Lines on standard error that tell a user once what happens, from one process of a job."""

from __future__ import annotations

import contextlib
import sys

from tnqbm.base.launcher import launcher_rank

_told: set[str] = set()
_command = False


def serve_command() -> None:
    """From now on this process is a command: somebody reads its standard error, or a log does."""
    global _command
    _command = True


def watched() -> bool:
    """Whether this is a command, an interactive session, or standard error is a terminal."""
    return _command or hasattr(sys, "ps1") or (sys.stderr is not None and sys.stderr.isatty())


def tell_once(line: str) -> None:
    """Print a line to standard error, once per process and on the launcher's first rank only."""
    if line in _told or launcher_rank() > 0:
        return
    _told.add(line)
    with contextlib.suppress(OSError, ValueError):  # closed: no reason to stop the work
        print(f"tnqbm: {line}", file=sys.stderr, flush=True)
