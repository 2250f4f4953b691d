"""Progress of one long calculation on standard error: a bar where a person watches."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, TextIO

REFRESH_SECONDS = 0.1
FIRST_LINE_SECONDS, LAST_LINE_SECONDS = 5.0, 60.0


class Ticker:
    """Shows how many of ``total`` steps are done; a context manager.

    On a terminal a bar with the time left, elsewhere a line now and then. A display that cannot
    be written to falls silent: it must never stop the work. ``shown`` False shows nothing.
    """

    def __init__(self, name: str, total: int, *, shown: bool, stream: TextIO | None = None) -> None:
        self._name, self._total, self._shown = name, total, shown
        self._stream = stream or sys.stderr
        self._done = 0
        self._bar: Any = None
        self._task: Any = None
        self._started = self._refreshed = time.monotonic()
        self._pause = FIRST_LINE_SECONDS

    def __enter__(self) -> Ticker:
        if self._shown and self._stream.isatty():
            self._guarded(self._open_bar)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._guarded(self._show_bar)
            self._guarded(self._bar.stop)

    def advance(self, steps: int) -> None:
        """So many more steps are done."""
        self._done += steps
        if not self._shown:
            return
        now = time.monotonic()
        if now - self._refreshed < (REFRESH_SECONDS if self._bar is not None else self._pause):
            return
        self._refreshed = now
        if self._bar is not None:
            self._guarded(self._show_bar)
        else:
            self._pause = min(LAST_LINE_SECONDS, 1.5 * self._pause)
            self._guarded(self._show_line)

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        # No refresh thread: the display changes only when the work itself reports.
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}", markup=False),
            TimeRemainingColumn(),
            console=Console(file=self._stream),
            auto_refresh=False,
        )
        self._task = self._bar.add_task(self._name, total=self._total)
        self._bar.start()

    def _show_bar(self) -> None:
        self._bar.update(self._task, completed=self._done)
        self._bar.refresh()

    def _show_line(self) -> None:
        from mc.running.progress import duration

        elapsed = time.monotonic() - self._started
        left = elapsed * (self._total / self._done - 1) if self._done else None
        print(
            f"{self._name}: {self._done} of {self._total}, {duration(elapsed)} elapsed, "
            f"{duration(left)} left",
            file=self._stream,
            flush=True,
        )

    def _guarded(self, show: Any) -> None:
        try:
            show()
        except (OSError, ValueError):  # a closed pipe or terminal
            self._shown, self._bar = False, None
