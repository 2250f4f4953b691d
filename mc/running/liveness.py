"""Whether processes live, and a watch that notices ranks that have gone without a word.

A rank that is killed, for want of memory say, sends no message, and not every launcher ends the
others: they would wait for it for ever. So every rank looks at the process of the next one on its
node, around a ring, and tells all what it finds. The main thread then saves and leaves as after a
signal; where it cannot, because it waits for the lost rank inside MPI, the watch ends the process.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

RANK_LOST = 4
"""Exit code of a study that has lost a rank."""

LOOK_SECONDS = 1.0
"""Between two looks at the next rank."""

PATIENCE_SECONDS = 60.0
"""How long the ranks that are left may take to save and leave before the watch ends them."""

ABORT_SECONDS = 5.0
"""How long MPI may take to end all ranks before the process ends itself."""


def state_and_start(pid: int) -> tuple[str, str]:
    """A process's state letter and start time in ticks, from /proc; empty if not known."""
    try:
        # Fields 3 and 22 of stat; the name in field 2 may hold spaces and brackets.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return words[0], words[19]
    except (OSError, IndexError):
        return "", ""


def alive(pid: int, start: str) -> bool:
    """Whether the process that started at ``start`` still runs; its id may be another's by now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # exists, but belongs to somebody else
    state, started = state_and_start(pid)
    # A zombie has ended, and only waits for its parent to take note.
    return started == start and state not in ("Z", "X")


@dataclass(frozen=True)
class RankProcess:
    """Where a rank runs. Processes of one ``host`` and ``space`` see each other's ids."""

    host: str
    space: str
    pid: int
    start: str

    @classmethod
    def own(cls) -> RankProcess:
        """This process."""
        try:
            # Containers number their processes by themselves, and hosts may share a name.
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            space = f"{boot} {os.readlink('/proc/self/ns/pid')}"
        except OSError:
            space = ""
        return cls(socket.gethostname(), space, os.getpid(), state_and_start(os.getpid())[1])

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class RanksLost(RuntimeError):
    """Ranks have ended without a word; what had finished is kept and the study can be resumed."""

    exit_code = RANK_LOST

    def __init__(self, lost: Sequence[str]) -> None:
        super().__init__(list(lost))
        self.lost = list(lost)

    def __str__(self) -> str:
        one = len(self.lost) == 1
        return (
            f"{', '.join(self.lost)} {'has' if one else 'have'} ended without a word: killed, out "
            "of memory perhaps, or crashed. All ranks stop; finished runs and checkpoints are "
            "kept. Continue with --resume (in Python: resume=True)"
        )


class RankWatch:
    """Looks at the next rank of the node in a thread of its own until it is stopped.

    ``processes`` are those of all ranks, of which this one is ``rank``. ``give_up(message)`` must
    end this process; it is called ``PATIENCE_SECONDS`` after a rank was found to have gone, with
    an empty message by ranks that another one has told of it.
    """

    def __init__(
        self, processes: Sequence[RankProcess], rank: int, give_up: Callable[[str], None]
    ) -> None:
        self._processes, self._give_up = processes, give_up
        self._lost: frozenset[int] = frozenset()
        self._since = 0.0
        self._noticed_here = False
        self._ended = threading.Event()
        places = [(process.host, process.space) for process in processes]
        ring = [k for k, place in enumerate(places) if place == places[rank]]
        self._next = ring[(ring.index(rank) + 1) % len(ring)]
        self._thread = threading.Thread(target=self._run, name="ranks", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> frozenset[int]:
        """The ranks that are known to have gone."""
        return self._lost

    def add(self, ranks: Iterable[int]) -> None:
        """Take note of ranks that another one has found to have gone."""
        if not self._lost:
            self._since = time.monotonic()
        self._lost |= {*ranks}

    def error(self) -> RanksLost:
        """The error that says which ranks have gone."""
        return RanksLost([f"rank {k} ({self._processes[k]})" for k in sorted(self._lost)])

    def stop(self) -> None:
        """Look no more: from now on ranks may end."""
        self._ended.set()

    def _run(self) -> None:
        there = self._processes[self._next]
        while not self._ended.wait(LOOK_SECONDS):
            if self._next not in self._lost and not alive(there.pid, there.start):
                self.add([self._next])
                self._noticed_here = True
            if self._lost and time.monotonic() - self._since >= PATIENCE_SECONDS:
                self._give_up(str(self.error()) if self._noticed_here else "")
                return


def end_process(abort: Callable[[int], None], message: str) -> None:
    """Say why, and end all ranks through MPI; or this process alone, should MPI not do so."""
    if message:
        with suppress(OSError):
            os.write(2, f"Error: {message}\n".encode())

    def last() -> None:
        time.sleep(ABORT_SECONDS)
        os._exit(RANK_LOST)

    threading.Thread(target=last, daemon=True).start()
    abort(RANK_LOST)
