"""How far a study is, as rank 0 shows it.

The remaining time comes from the cost of what is left and the rate measured in this start.
"""

from __future__ import annotations

from typing import TextIO

from mc.running.scheduler import TaskTable
from tnqbm.base.progress import Display, duration

MEASURE_SECONDS = 2.0
"""No remaining time is given before this much work has been timed."""


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


class Progress(Display):
    """Shows a TaskTable; its :meth:`update` may be called as often as one likes.

    ``planned`` runs in all, of which ``finished`` (with ``finished_cost`` of ``planned_cost``)
    were there before this start.
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
        super().__init__(name, shown=shown, stream=stream)
        self._planned, self._finished = planned, finished
        self._planned_cost, self._finished_cost = planned_cost, finished_cost
        self._ranks = ranks

    def update(self, table: TaskTable, last: bool = False) -> None:
        """Show where the study stands, if it is time to."""
        self.show(lambda: self._state(table), last=last)

    def _state(self, table: TaskTable) -> tuple[float, str, str]:
        partly = sum(task.cost * done for task, done, _ in table.running.values())
        cost = self._finished_cost + table.done_cost + partly
        share = min(1.0, cost / self._planned_cost) if self._planned_cost > 0 else 1.0
        runs = self._finished + table.done_runs
        failed = f" ({table.failed_runs} failed)" if table.failed_runs else ""
        elapsed = self.elapsed
        left = duration(remaining_seconds(table, elapsed, self._ranks))
        return (
            share,
            f"{runs}/{self._planned} runs{failed}  {duration(elapsed)}  {left} left",
            f"{runs} of {self._planned} runs{failed}, {100 * share:.0f} % of the work, "
            f"{duration(elapsed)} elapsed, {left} left",
        )
