"""Showing a study again and again while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress

import click

from tnqbm.archive import Archive

PAUSE_SECONDS = 2.0
"""Between two looks at the archive."""


def follow(path: str, show: Callable[[Archive], None]) -> None:
    """Call ``show`` at once and whenever runs have finished, until all have or Ctrl-C is pressed.

    On a terminal what was shown before is cleared. Raises what opening the archive raises.
    """
    shown: tuple[int, int] | None = None
    with suppress(KeyboardInterrupt):
        while True:
            with Archive(path) as archive:
                finished, planned = archive.progress
                if shown != (finished, planned):
                    shown = (finished, planned)
                    if sys.stdout.isatty():
                        click.clear()
                    show(archive)
                    sys.stdout.flush()
            if finished >= planned:
                return
            time.sleep(PAUSE_SECONDS)
