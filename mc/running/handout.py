"""Handing out tasks to ranks as they become free.

Rank 0 keeps the list of tasks and computes as well: between two chunks of its own training it
answers the others' requests. Every rank talks to rank 0 alone. A signal to any rank, or an error
that is no run's fault, stops the hand-out; every rank then saves what it is doing and leaves.

Where several ranks share a run, only the leaders of teams ask for tasks and report on them; each
passes rank 0's ("task", index) and ("none",) on to its followers. Signals and goodbyes still go
between rank 0 and every rank.

Messages to rank 0: ("want",), ("progress", fraction), ("done", failed runs), ("saved",),
("failed", Failure), ("signal", number), ("bye",). Messages from rank 0: ("task", index),
("none",), ("stop",), ("goodbye",).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mc.running.distribute import POLL_SECONDS, Ranks
from mc.running.signals import SignalWatch
from mc.studies.schedule import Task

PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class Failure:
    """A task that cannot go on: its place in the list, the rank, the cause, the traceback."""

    task: int
    rank: int
    cause: str
    details: str


@dataclass(frozen=True)
class Outcome:
    """How the hand-out ended. ``signum`` is 0 without a signal."""

    done: list[int]
    signum: int
    failures: list[Failure]


class Hand(Protocol):
    """What a rank that computes sees of the hand-out."""

    def next_task(self) -> Task | None:
        """A task to work on, waiting for one if need be; None when there is nothing more to do."""

    def tick(self, fraction: float) -> bool:
        """Call often while working, with the finished part of the task; True: save and leave."""

    def end_task(
        self, failure: Failure | None = None, *, saved: bool = False, failed: int = 0
    ) -> None:
        """The task is stored, ``failed`` of its runs as such, or was saved, or cannot go on."""

    def finish(self) -> Outcome | None:
        """Wait until every rank has finished; the outcome on rank 0."""


class WorkerHand:
    """The hand-out as seen from every rank but 0."""

    def __init__(self, ranks: Ranks, tasks: Sequence[Task], watch: SignalWatch) -> None:
        self._ranks, self._tasks, self._watch = ranks, tasks, watch
        self._stopping = False
        self._signal_sent = False
        self._reported = time.monotonic()

    def next_task(self) -> Task | None:
        self._look()
        self._ranks.send(("want",), 0)
        answer = self._wait_for("task", "none")
        self._reported = 0.0  # the first report of a task is sent at once: where it begins
        return None if answer[0] == "none" else self._tasks[answer[1]]

    def tick(self, fraction: float) -> bool:
        now = time.monotonic()
        if now - self._reported > PROGRESS_SECONDS:
            self._reported = now
            self._ranks.send(("progress", fraction), 0)
        self._look()
        return self._stopping

    def end_task(
        self, failure: Failure | None = None, *, saved: bool = False, failed: int = 0
    ) -> None:
        if failure is not None:
            self._ranks.send(("failed", failure), 0)
        else:
            self._ranks.send(("saved",) if saved else ("done", failed), 0)

    def finish(self) -> Outcome | None:
        self._ranks.send(("bye",), 0)
        self._wait_for("goodbye")
        return None

    def _look(self) -> tuple[Any, ...] | None:
        """Pass a signal on and take in one message; "stop" is dealt with here."""
        if self._watch.signum and not self._signal_sent:
            self._signal_sent = self._stopping = True
            self._ranks.send(("signal", self._watch.signum), 0)
        found = self._ranks.receive()
        if found is None:
            return None
        message: tuple[Any, ...] = found[1]
        if message[0] == "stop":
            self._stopping = True
        return message

    def _wait_for(self, *kinds: str) -> tuple[Any, ...]:
        pause = POLL_SECONDS
        while True:
            message = self._look()
            if message is None:
                time.sleep(pause)
                pause = min(0.02, 1.1 * pause)
            elif message[0] in kinds:
                return message


class FollowerHand(WorkerHand):
    """The hand-out as seen from a rank that follows the leader of its team."""

    def next_task(self) -> Task | None:
        answer = self._wait_for("task", "none")
        return None if answer[0] == "none" else self._tasks[answer[1]]

    def tick(self, fraction: float) -> bool:
        self._look()
        return False  # the leader decides for all

    def end_task(
        self, failure: Failure | None = None, *, saved: bool = False, failed: int = 0
    ) -> None:
        return None


class LeaderHand:
    """The hand-out as seen from the leader of a team, whose ``followers`` do as it does."""

    def __init__(self, own: Hand, ranks: Ranks, followers: Sequence[int]) -> None:
        self._own, self._ranks, self._followers = own, ranks, followers

    def next_task(self) -> Task | None:
        task = self._own.next_task()
        for rank in self._followers:
            self._ranks.send(("none",) if task is None else ("task", task.index), rank)
        return task

    def tick(self, fraction: float) -> bool:
        return self._own.tick(fraction)

    def end_task(
        self, failure: Failure | None = None, *, saved: bool = False, failed: int = 0
    ) -> None:
        self._own.end_task(failure, saved=saved, failed=failed)

    def finish(self) -> Outcome | None:
        return self._own.finish()


@dataclass
class Board:
    """Where every task stands: what the progress display needs."""

    tasks: Sequence[Task]
    done_cost: float = 0.0
    done_runs: int = 0
    failed_runs: int = 0
    """Those of ``done_runs`` that failed."""
    running: dict[int, tuple[Task, float, float]] = field(default_factory=dict)
    """By rank: the task, the finished fraction, and the fraction it was resumed from."""
    skipped_cost: float = 0.0
    """Cost that was not worked off here, because a checkpoint already held it."""

    def start(self, rank: int, task: Task) -> None:
        self.running[rank] = (task, 0.0, -1.0)

    def advance(self, rank: int, fraction: float) -> None:
        if rank in self.running:
            task, _, start = self.running[rank]
            # A task's first report says where a checkpoint let it begin.
            self.running[rank] = (task, fraction, fraction if start < 0 else start)

    def end(self, rank: int, *, done: bool) -> Task:
        task, _, start = self.running.pop(rank)
        if done:
            self.done_cost += task.cost
            self.done_runs += len(task.seeds)
            self.skipped_cost += max(0.0, start) * task.cost
        return task


class RootHand:
    """The hand-out as seen from rank 0, which keeps the list."""

    def __init__(
        self,
        ranks: Ranks,
        tasks: Sequence[Task],
        watch: SignalWatch,
        on_change: Callable[[Board, bool], None],
        lost: Callable[[], str] = str,
    ) -> None:
        self._ranks, self._watch, self._on_change = ranks, watch, on_change
        self._lost = lost
        self._waiting = list(reversed(tasks))
        self._board = Board(tasks)
        self._done: list[int] = []
        self._failures: list[Failure] = []
        self._signum = 0
        self._stopping = False
        self._byes: set[int] = set()

    def next_task(self) -> Task | None:
        self._serve()
        return self._take(0)

    def tick(self, fraction: float) -> bool:
        self._board.advance(0, fraction)
        self._serve()
        return self._stopping

    def end_task(
        self, failure: Failure | None = None, *, saved: bool = False, failed: int = 0
    ) -> None:
        self._end(0, failure, saved, failed)
        self._serve()

    def finish(self) -> Outcome | None:
        pause = POLL_SECONDS
        while len(self._byes) < self._ranks.size - 1:
            if self._serve():
                pause = POLL_SECONDS
            else:
                time.sleep(pause)
                pause = min(0.02, 1.1 * pause)
        for rank in range(1, self._ranks.size):
            self._ranks.send(("goodbye",), rank)
        self._on_change(self._board, True)
        return Outcome(sorted(self._done), self._signum, self._failures)

    def _serve(self) -> bool:
        """Answer every waiting message; whether there was any."""
        if self._watch.signum and not self._signum:
            self._stop(self._watch.signum)
        if self._lost():
            self._stop(0)
        served = False
        while (found := self._ranks.receive()) is not None:
            served = True
            source, message = found
            match message:
                case ("want",):
                    task = self._take(source)
                    answer = ("none",) if task is None else ("task", task.index)
                    self._ranks.send(answer, source)
                case ("progress", fraction):
                    self._board.advance(source, fraction)
                case ("done", failed):
                    self._end(source, failed=failed)
                case ("saved",):
                    self._end(source, saved=True)
                case ("failed", failure):
                    self._end(source, failure)
                case ("signal", signum):
                    self._stop(signum)
                case ("bye",):
                    self._byes.add(source)
                case _:
                    raise RuntimeError(f"unexpected message {message!r} from rank {source}")
        self._on_change(self._board, False)
        return served

    def _take(self, rank: int) -> Task | None:
        if self._stopping or not self._waiting:
            return None
        task = self._waiting.pop()
        self._board.start(rank, task)
        return task

    def _end(
        self, rank: int, failure: Failure | None = None, saved: bool = False, failed: int = 0
    ) -> None:
        task = self._board.end(rank, done=failure is None and not saved)
        self._board.failed_runs += failed
        if failure is not None:
            self._failures.append(failure)
            self._stop(0)
        elif not saved:
            self._done.append(task.index)

    def _stop(self, signum: int) -> None:
        self._signum = self._signum or signum
        if not self._stopping:
            self._stopping = True
            for rank in range(1, self._ranks.size):
                # After its goodbye a rank no longer listens, but goodbyes come after this.
                self._ranks.send(("stop",), rank)


def deal(
    ranks: Ranks,
    tasks: Sequence[Task],
    watch: SignalWatch,
    on_change: Callable[[Board, bool], None],
    *,
    team: int = 1,
    lost: Callable[[], str] = str,
) -> Hand:
    """This rank's end of the hand-out; ``on_change(board, last)`` is called on rank 0, often.

    ``team`` is how many consecutive ranks share a task. ``lost`` says on rank 0 why the output is
    this study's no more, which stops all ranks, and otherwise nothing.
    """
    if ranks.rank % team:
        return FollowerHand(ranks, tasks, watch)
    own: Hand = WorkerHand(ranks, tasks, watch)
    if ranks.rank == 0:
        own = RootHand(ranks, tasks, watch, on_change, lost)
    if team == 1:
        return own
    return LeaderHand(own, ranks, range(ranks.rank + 1, ranks.rank + team))
