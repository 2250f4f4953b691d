"""How a start ends early: signals that ask it to stop, its time, and errors that end all ranks.

A signal is noted here and acted on where the study's state can be saved; the end of the time that
a start has is treated as one more signal. An error of one rank ends the others, which would
otherwise wait for its messages.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from mc.running.liveness import RanksLost
from mc.running.wall_time import Deadline
from tnqbm.base.process import is_command

if TYPE_CHECKING:
    from mc.running.ranks import Ranks


DELIVERY_SECONDS = 0.5
"""Seconds between what a failing rank writes and the end of all ranks."""

TRACEBACK = 10_000
"""Characters of a traceback's beginning and end that are shown."""


class Agreed(Exception):
    """Carries an exception that all ranks raise together through :func:`abort_on_error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def abort_on_error(ranks: Ranks) -> Iterator[None]:
    """End all ranks if this one fails alone; exceptions that all raise together pass.

    Without it, a rank that fails would leave the others waiting for its messages.
    """
    try:
        yield
    except Agreed as agreed:
        raise agreed.error from agreed.error.__cause__
    except RanksLost as error:
        _end_all(ranks, f"Error: {error}\n", error.exit_code)
        raise
    except BaseException:
        if ranks.size > 1:
            text = traceback.format_exc()
            if len(text) > 2 * TRACEBACK:
                text = f"{text[:TRACEBACK]}\n...\n{text[-TRACEBACK:]}"
            _end_all(ranks, f"rank {ranks.rank} on {socket.gethostname()} failed:\n{text}", 1)
        raise


def _end_all(ranks: Ranks, text: str, code: int) -> None:
    """Say why, and end all ranks."""
    # A terminal that has gone must not keep this rank from ending the others.
    with suppress(OSError, ValueError):
        sys.stderr.write(text)  # at once: others may write, too
    _wait_for_delivery()
    ranks.abort(code)


def on_rank_0(ranks: Ranks, work: Callable[[], Any]) -> Any:
    """Do ``work`` on rank 0 and return its result everywhere, or raise its exception everywhere.

    The exception is wrapped as :class:`Agreed` on all ranks.
    """
    result: Any = None
    failure: BaseException | None = None
    if ranks.rank == 0:
        try:
            result = work()
        except Exception as error:
            failure = error
    result, failure = ranks.broadcast((result, _sendable(failure)))
    if failure is not None:
        raise Agreed(failure)
    return result


def _sendable(error: BaseException | None) -> BaseException | None:
    """The exception, or a stand-in if it does not survive being sent to another process."""
    if error is None:
        return None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


_hooked = False


def abort_on_uncaught(mpi: Any) -> None:
    """Let an uncaught exception end all ranks: left alone, the others would wait for ever."""
    global _hooked
    if _hooked or mpi.COMM_WORLD.size == 1:
        return
    _hooked = True
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        previous(kind, error, trace)
        if mpi.Is_initialized() and not mpi.Is_finalized():
            _wait_for_delivery()
            mpi.COMM_WORLD.Abort(1)

    sys.excepthook = hook


def _wait_for_delivery() -> None:
    """Give the launcher time to pass on what was written: aborting ends it, whatever it holds."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    time.sleep(DELIVERY_SECONDS)


ALWAYS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)
UNLESS_IGNORED = tuple(
    getattr(signal, name)
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
"""What terminals that close, batch systems and limits of processor time send. Where one of them was
ignored from the start, as ``nohup`` does with SIGHUP, it stays ignored."""

TIME_UP = 0
"""Stands for the number of a signal where a start stops because its time is up."""

AGAIN_SECONDS = 1.0
"""Launchers and terminals may both deliver one Ctrl-C: what comes so soon is the same one."""


class SignalWatch:
    """While entered, signals that ask to stop are only noted, in ``signum``, the first of them.

    Later ones change nothing, with one exception if ``insist``: a second Ctrl-C, a second or more
    after the first, interrupts at once, unless something is being saved. Enter it after MPI is
    initialised: MPICH has a handler of its own for SIGUSR1, which does nothing. A ``deadline`` that
    is reached counts as the signal TIME_UP.
    """

    def __init__(self, *, insist: bool = True) -> None:
        self.deadline, self.insist = Deadline(), insist
        self._signum: int | None = None
        self._saving = 0
        self._first = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> SignalWatch:
        # Signal handlers can be set in the main thread only; elsewhere signals are the caller's.
        if threading.current_thread() is threading.main_thread():
            for number in (*ALWAYS, *UNLESS_IGNORED):
                if number in ALWAYS or signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self.note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # None is a handler that is not Python's, such as MPICH's, and cannot be put back.
            unknown = signal.SIG_DFL if number in ALWAYS else signal.SIG_IGN
            signal.signal(number, unknown if handler is None else handler)

    @property
    def signum(self) -> int | None:
        """The first signal that asked to stop, or TIME_UP; None while nothing did."""
        if self._signum is None and self.deadline.reached:
            self.note(TIME_UP)
        return self._signum

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """While entered, nothing interrupts; the deadline learns how long that takes."""
        self._saving += 1
        begin = time.monotonic()
        try:
            yield
        finally:
            self._saving -= 1
            self.deadline.learn(saving=time.monotonic() - begin)

    def ignore(self) -> None:
        """Let no signal interrupt this process any more, if it is a command: all is saved."""
        if not is_command():
            return
        if threading.current_thread() is threading.main_thread():
            for number in self._previous:
                signal.signal(number, signal.SIG_IGN)
        self._previous.clear()

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Note a signal, or TIME_UP; the handler of all signals that are watched."""
        if self._signum is None:
            self._signum, self._first = number, time.monotonic()
            return
        again = number == signal.SIGINT and time.monotonic() - self._first >= AGAIN_SECONDS
        if again and self.insist and not self._saving:
            raise KeyboardInterrupt
