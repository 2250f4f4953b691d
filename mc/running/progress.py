"""One progress display for a whole study, on rank 0's standard error.

A bar where a person watches, a line now and then where the output goes to a file. The remaining
time comes from the cost of what is left and the rate measured in this start.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from tnqbm.base.text import printable

if TYPE_CHECKING:
    from mc.running.scheduler import TaskTable

REFRESH_SECONDS = 0.1
FIRST_LINE_SECONDS, LAST_LINE_SECONDS = 5.0, 60.0
MEASURE_SECONDS = 2.0
"""No remaining time is given before this much work has been timed."""


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


def remaining_seconds(table: TaskTable, elapsed: float, ranks: int) -> float | None:
    """Estimated time until the last task ends, or None before there is something to go by.

    The work left at the measured rate; but never less than the longest running task still takes
    on its own rank, since the last tasks leave other ranks idle.
    """
    running = list(table.running.values())
    partly = sum(task.cost * done for task, done, _ in running)
    worked = table.done_cost + partly - table.skipped_cost
    worked -= sum(task.cost * max(0.0, start) for task, _, start in running)
    left = max(0.0, sum(task.cost for task in table.tasks) - table.done_cost - partly)
    if not running and left == 0:
        return 0.0
    if elapsed < MEASURE_SECONDS or worked <= 0:
        return None
    busy = max(1, min(ranks, len(table.tasks)))
    longest = max((task.cost * (1 - done) for task, done, _ in running), default=0.0)
    return float(max(left, longest * busy) / worked * elapsed)


class Progress:
    """Shows a TaskTable; a context manager. Its :meth:`update` may be called as often as one likes.

    ``planned`` runs in all, of which ``finished`` (with ``finished_cost`` of ``planned_cost``)
    were there before this start. A display that cannot be written to falls silent: it must never
    stop the work.
    """

    def __init__(
        self,
        name: str,
        *,
        planned: int,
        finished: int,
        planned_cost: float,
        finished_cost: float,
        ranks: int,
        shown: bool,
        stream: TextIO | None = None,
    ) -> None:
        self._name, self._planned, self._finished = printable(name), planned, finished
        self._planned_cost, self._finished_cost = planned_cost, finished_cost
        self._ranks, self._shown = ranks, shown
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._task: Any = None
        self._started = self._refreshed = time.monotonic()
        self._pause = FIRST_LINE_SECONDS

    def __enter__(self) -> Progress:
        self._started = self._refreshed = time.monotonic()
        if self._shown and self._stream.isatty():
            self._open_bar()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._guarded(self._bar.stop)

    def update(self, table: TaskTable, last: bool = False) -> None:
        """Show where the study stands, if it is time to."""
        if not self._shown:
            return
        now = time.monotonic()
        pause = REFRESH_SECONDS if self._bar is not None else self._pause
        if not last and now - self._refreshed < pause:
            return
        self._refreshed = now
        if self._bar is not None:
            self._guarded(lambda: self._show_bar(table, now))
        else:
            self._pause = min(LAST_LINE_SECONDS, 1.5 * self._pause)
            self._guarded(lambda: self.say(self.line(table, now - self._started)))

    def say(self, text: str) -> None:
        """One line for the user, above the bar."""
        if not self._shown:
            return
        if self._bar is not None:
            self._guarded(lambda: self._bar.console.print(text, markup=False, highlight=False))
        else:
            self._guarded(lambda: print(text, file=self._stream, flush=True))

    def line(self, table: TaskTable, elapsed: float) -> str:
        """The state in a line."""
        share, runs = self._state(table)
        left = remaining_seconds(table, elapsed, self._ranks)
        return (
            f"{self._name}: {runs} of {self._planned} runs{_failed(table)}, "
            f"{100 * share:.0f} % of the work, "
            f"{duration(elapsed)} elapsed, {duration(left)} left"
        )

    def _state(self, table: TaskTable) -> tuple[float, int]:
        partly = sum(task.cost * done for task, done, _ in table.running.values())
        done = self._finished_cost + table.done_cost + partly
        share = done / self._planned_cost if self._planned_cost > 0 else 1.0
        return min(1.0, share), self._finished + table.done_runs

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        # No refresh thread: the display changes only when the work itself reports.
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[words]}", markup=False),
            console=Console(file=self._stream),
            auto_refresh=False,
        )
        self._task = self._bar.add_task(self._name, total=1.0, words="")
        self._guarded(self._bar.start)

    def _show_bar(self, table: TaskTable, now: float) -> None:
        share, runs = self._state(table)
        elapsed = now - self._started
        left = remaining_seconds(table, elapsed, self._ranks)
        count = f"{runs}/{self._planned} runs{_failed(table)}"
        words = f"{count}  {duration(elapsed)}  {duration(left)} left"
        self._bar.update(self._task, completed=share, words=words)
        self._bar.refresh()

    def _guarded(self, show: Any) -> None:
        try:
            show()
        except (OSError, ValueError):  # a closed pipe or terminal
            self._shown, self._bar = False, None


def _failed(table: TaskTable) -> str:
    return f" ({table.failed_runs} failed)" if table.failed_runs else ""
