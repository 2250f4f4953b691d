"""Progress of long work on standard error: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from tnqbm.base.text import printable

REFRESH_SECONDS = 0.1
FIRST_LINE_SECONDS, LAST_LINE_SECONDS = 5.0, 60.0


def duration(seconds: float | None) -> str:
    """12 s, 3 min 05 s, 2 h 07 min, 3 d 04 h; "?" for None."""
    if seconds is None:
        return "?"
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    if s < 86400:
        return f"{s // 3600} h {s % 3600 // 60:02d} min"
    return f"{s // 86400} d {s % 86400 // 3600:02d} h"


class Display:
    """A bar on a terminal, elsewhere lines at growing intervals; a context manager.

    A display that cannot be written to falls silent: it must never stop the work. ``shown`` False
    shows nothing.
    """

    def __init__(self, name: str, *, shown: bool, stream: TextIO | None = None) -> None:
        self.name = printable(name)
        self._shown = shown
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._task: Any = None
        self._started = self._refreshed = time.monotonic()
        self._pause = FIRST_LINE_SECONDS

    def __enter__(self) -> Self:
        self._started = self._refreshed = time.monotonic()
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
            self._guarded(self._bar.stop)

    @property
    def elapsed(self) -> float:
        """Seconds since the display was opened."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Show a line of text, above the bar."""
        if not self._shown:
            return
        if self._bar is not None:
            self._guarded(lambda: self._bar.console.print(text, markup=False, highlight=False))
        else:
            self._guarded(lambda: print(text, file=self._stream, flush=True))

    def show(self, state: Callable[[], tuple[float, str, str]], *, last: bool = False) -> None:
        """Show the state if it is time to, or if this is the ``last`` one.

        ``state`` is called only then; it returns the share that is done, the text beside the bar,
        and the text of a line.
        """
        if not self._shown:
            return
        now = time.monotonic()
        pause = REFRESH_SECONDS if self._bar is not None else self._pause
        if not last and now - self._refreshed < pause:
            return
        self._refreshed = now
        share, beside, line = state()
        if self._bar is not None:
            self._guarded(lambda: self._show_bar(share, beside))
        else:
            self._pause = min(LAST_LINE_SECONDS, 1.5 * self._pause)
            self.say(f"{self.name}: {line}")

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        # No refresh thread: the display changes only when the work itself reports.
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[beside]}", markup=False),
            console=Console(file=self._stream),
            auto_refresh=False,
        )
        self._task = self._bar.add_task(self.name, total=1.0, beside="")
        self._bar.start()

    def _show_bar(self, share: float, beside: str) -> None:
        self._bar.update(self._task, completed=share, beside=beside)
        self._bar.refresh()

    def _guarded(self, show: Callable[[], None]) -> None:
        try:
            show()
        except (OSError, ValueError):  # a closed pipe or terminal
            self._shown, self._bar = False, None


class StepsDisplay(Display):
    """Shows how many of ``total`` equal steps are done."""

    def __init__(self, name: str, total: int, *, shown: bool, stream: TextIO | None = None) -> None:
        super().__init__(name, shown=shown, stream=stream)
        self._total, self._done = total, 0

    def advance(self, steps: int) -> None:
        """Report that so many more steps are done."""
        self._done += steps
        self.show(self._state, last=self._bar is not None and self._done >= self._total)

    def _state(self) -> tuple[float, str, str]:
        done, total = self._done, self._total
        elapsed = self.elapsed
        left = duration(elapsed * (total / done - 1) if done else None)
        return (
            done / total,
            f"{done}/{total}  {left} left",
            f"{done} of {total}, {duration(elapsed)} elapsed, {left} left",
        )
