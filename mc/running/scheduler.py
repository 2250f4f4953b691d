"""The scheduler: tasks go to ranks as they become free.

Rank 0 schedules and computes as well: between two chunks of its own training it answers the
requests of the others. Every rank talks to rank 0 alone. A signal to any rank, or an error that
belongs to no run, stops the schedule; every rank then saves its task and leaves.

Where several ranks share a run, only the leaders of teams ask for tasks and report on them; each
passes rank 0's answer ("task", index) or ("none",) on to its followers. Signals and goodbyes still
go between rank 0 and every rank.

Messages to rank 0: ("want",), ("progress", fraction), ("ended", result), ("signal", number),
("bye",). Messages from rank 0: ("task", index), ("none",), ("stop",), ("goodbye",). Whoever finds
that ranks have gone tells all others: ("lost", ranks). These then save and leave, too.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mc.running.interruption import SignalWatch
from mc.running.ranks import Ranks, wait_until
from mc.studies.schedule import Task

PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class TaskFailure:
    """A task that cannot go on: its place in the list, the rank, the cause, the traceback."""

    task: int
    rank: int
    cause: str
    details: str


Result = int | None | TaskFailure
"""How a task ended: stored, with so many failed runs; saved for later (None); or not at all."""


@dataclass(frozen=True)
class Outcome:
    """How a schedule ended. ``signum`` is the signal that stopped it, or TIME_UP, or None.

    ``lost`` says that ranks have gone: the others no longer wait for what rank 0 has to say.
    """

    done: list[int]
    signum: int | None
    failures: list[TaskFailure]
    lost: bool = False


@dataclass
class TaskTable:
    """The state of every task, as the progress display shows it."""

    tasks: Sequence[Task]
    done_cost: float = 0.0
    done_runs: int = 0
    failed_runs: int = 0
    """Those of ``done_runs`` that failed."""
    running: dict[int, tuple[Task, float, float]] = field(default_factory=dict)
    """By rank: the task, the finished fraction, and the fraction it was resumed from."""
    skipped_cost: float = 0.0
    """Cost of work that a checkpoint already held when this start began."""

    def start(self, rank: int, task: Task) -> None:
        self.running[rank] = (task, 0.0, -1.0)

    def advance(self, rank: int, fraction: float) -> None:
        if rank in self.running:
            task, _, start = self.running[rank]
            # A task's first report says where a checkpoint let it begin.
            self.running[rank] = (task, fraction, fraction if start < 0 else start)

    def end(self, rank: int, result: Result) -> Task:
        task, _, start = self.running.pop(rank)
        if isinstance(result, int):
            self.done_cost += task.cost
            self.done_runs += len(task.seeds)
            self.failed_runs += result
            self.skipped_cost += max(0.0, start) * task.cost
        return task


class TaskSource(ABC):
    """A rank's side of the schedule; the leader of a team passes its tasks on to ``followers``."""

    def __init__(
        self,
        ranks: Ranks,
        tasks: Sequence[Task],
        watch: SignalWatch,
        followers: Sequence[int] = (),
    ) -> None:
        self._ranks, self._tasks, self._watch = ranks, tasks, watch
        self._followers = followers
        self._stopping = False
        self._known: frozenset[int] = frozenset()

    def next_task(self) -> Task | None:
        """A task to work on, waiting for one if need be; None when there is nothing more to do."""
        task = self._next()
        for rank in self._followers:
            self._ranks.send(task_message(task), rank)
        return task

    @abstractmethod
    def _next(self) -> Task | None: ...

    def _look_for_lost(self) -> None:
        """Tell all others of ranks that this one has found to have gone, and stop."""
        lost = self._ranks.lost()
        if new := lost - self._known:
            self._known, self._stopping = lost, True
            for rank in {*range(self._ranks.size)} - lost - {self._ranks.rank}:
                self._ranks.send(("lost", sorted(new)), rank)

    def _hear_of_lost(self, lost: Sequence[int]) -> None:
        """Take note of lost ranks that another one has told of."""
        self._ranks.note_lost(lost)
        self._known, self._stopping = self._known | {*lost}, True

    @abstractmethod
    def tick(self, fraction: float) -> bool:
        """Call often while working, with the finished part of the task; True: save and leave."""

    @abstractmethod
    def end_task(self, result: Result) -> None:
        """Report how the task ended."""

    @abstractmethod
    def finish(self) -> Outcome | None:
        """Wait until every rank has finished; the outcome on rank 0."""


class Worker(TaskSource):
    """The schedule as seen from every rank but 0."""

    _signal_sent = False
    _reported = 0.0

    def _tell(self, *message: Any) -> None:
        """Send rank 0 a message, if it is there."""
        if 0 not in self._known:
            self._ranks.send(message, 0)

    def _next(self) -> Task | None:
        self._receive()
        self._tell("want")
        self._reported = 0.0  # the first report of a task is sent at once: where it begins
        return self._answer()

    def tick(self, fraction: float) -> bool:
        now = time.monotonic()
        if now - self._reported > PROGRESS_SECONDS:
            self._reported = now
            self._tell("progress", fraction)
        self._receive()
        return self._stopping

    def end_task(self, result: Result) -> None:
        self._tell("ended", result)

    def finish(self) -> Outcome | None:
        self._tell("bye")
        self._wait_for("goodbye")
        return None

    def _answer(self) -> Task | None:
        message = self._wait_for("task", "none")
        return None if message[0] == "none" else self._tasks[message[1]]

    def _receive(self) -> tuple[Any, ...]:
        """Pass a signal on and receive one message, or (); acts on "stop"."""
        if not self._signal_sent and self._watch.signum is not None:
            self._signal_sent = self._stopping = True
            self._tell("signal", self._watch.signum)
        self._look_for_lost()
        received = self._ranks.receive()
        message: tuple[Any, ...] = received[1] if received else ()
        if message[:1] == ("lost",):
            self._hear_of_lost(message[1])
        self._stopping |= message[:1] == ("stop",)
        return message

    def _wait_for(self, *kinds: str) -> tuple[Any, ...]:
        message: tuple[Any, ...] = ()

        def arrived() -> bool:
            nonlocal message
            while message := self._receive():
                if message[0] in kinds:
                    return True
            return False

        wait_until(arrived)
        return message


class Follower(Worker):
    """The schedule as seen from a rank that follows the leader of its team."""

    def _next(self) -> Task | None:
        return self._answer()

    def tick(self, fraction: float) -> bool:
        self._receive()
        return False  # the leader decides for all

    def end_task(self, result: Result) -> None:
        return None


class Scheduler(TaskSource):
    """The schedule as seen from rank 0, which keeps the list of tasks and works on some itself.

    ``on_change(table, last)`` is called often. ``lost`` says why the output belongs to this study
    no more, which stops all ranks, and otherwise nothing.
    """

    def __init__(
        self,
        ranks: Ranks,
        tasks: Sequence[Task],
        watch: SignalWatch,
        followers: Sequence[int] = (),
        *,
        on_change: Callable[[TaskTable, bool], None],
        lost: Callable[[], str] = str,
    ) -> None:
        super().__init__(ranks, tasks, watch, followers)
        self._on_change, self._lost = on_change, lost
        self._waiting = list(reversed(tasks))
        self._table = TaskTable(tasks)
        self._done: list[int] = []
        self._failures: list[TaskFailure] = []
        self._signum: int | None = None
        self._finished: set[int] = set()

    def _next(self) -> Task | None:
        self._serve()
        return self._assign(0)

    def tick(self, fraction: float) -> bool:
        self._table.advance(0, fraction)
        self._serve()
        return self._stopping

    def end_task(self, result: Result) -> None:
        self._end(0, result)
        self._serve()

    def finish(self) -> Outcome | None:
        def all_finished() -> bool:
            self._serve()
            return len(self._finished | self._known) == self._ranks.size - 1

        wait_until(all_finished)
        for rank in {*range(1, self._ranks.size)} - self._known:
            self._ranks.send(("goodbye",), rank)
        self._on_change(self._table, True)
        lost = bool(self._known)
        return Outcome(sorted(self._done), self._signum, self._failures, lost)

    def _serve(self) -> None:
        """Answer every waiting message."""
        if self._signum is None and self._watch.signum is not None:
            self._stop(self._watch.signum)
        if self._lost():
            self._stop()
        self._look_for_lost()
        while (received := self._ranks.receive()) is not None:
            rank, message = received
            match message:
                case ("want",):
                    self._ranks.send(task_message(self._assign(rank)), rank)
                case ("progress", fraction):
                    self._table.advance(rank, fraction)
                case ("ended", result):
                    self._end(rank, result)
                case ("signal", signum):
                    self._stop(signum)
                case ("bye",):
                    self._finished.add(rank)
                case ("lost", ranks):
                    self._hear_of_lost(ranks)
                case _:
                    raise RuntimeError(f"unexpected message {message!r} from rank {rank}")
        self._on_change(self._table, False)

    def _assign(self, rank: int) -> Task | None:
        if self._stopping or not self._waiting:
            return None
        task = self._waiting.pop()
        self._table.start(rank, task)
        return task

    def _end(self, rank: int, result: Result) -> None:
        task = self._table.end(rank, result)
        if isinstance(result, TaskFailure):
            self._failures.append(result)
            self._stop()
        elif result is not None:
            self._done.append(task.index)

    def _stop(self, signum: int | None = None) -> None:
        self._signum = signum if self._signum is None else self._signum
        if not self._stopping:
            self._stopping = True
            for rank in {*range(1, self._ranks.size)} - self._known:
                # After its goodbye a rank no longer listens, but goodbyes come after this.
                self._ranks.send(("stop",), rank)


def task_message(task: Task | None) -> tuple[Any, ...]:
    """The message that hands out a task, or says that there is none."""
    return ("none",) if task is None else ("task", task.index)


def task_source(
    ranks: Ranks,
    tasks: Sequence[Task],
    watch: SignalWatch,
    on_change: Callable[[TaskTable, bool], None],
    *,
    team: int = 1,
    lost: Callable[[], str] = str,
) -> TaskSource:
    """This rank's side of the schedule, for teams of ``team`` consecutive ranks.

    ``on_change`` and ``lost`` as for :class:`Scheduler`.
    """
    if ranks.rank % team:
        return Follower(ranks, tasks, watch)
    followers = range(ranks.rank + 1, ranks.rank + team)
    if ranks.rank:
        return Worker(ranks, tasks, watch, followers)
    return Scheduler(ranks, tasks, watch, followers, on_change=on_change, lost=lost)
