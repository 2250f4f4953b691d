"""Signals that ask a study to stop: noted here, acted on where its state can be saved."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

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

AGAIN_SECONDS = 1.0
"""Launchers and terminals may both deliver one Ctrl-C: what comes so soon is the same one."""


class SignalWatch:
    """While entered, signals that ask to stop are only noted, in ``signum``, the first of them.

    Later ones change nothing, with one exception if ``insist``: a second Ctrl-C, a second or more
    after the first, interrupts at once, unless something is being saved. Enter it after MPI is
    initialised: MPICH has a handler of its own for SIGUSR1, which does nothing.
    """

    def __init__(self, *, insist: bool = True) -> None:
        self.signum = 0
        self._insist, self._saving = insist, 0
        self._first = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> SignalWatch:
        # Signal handlers can be set in the main thread only; elsewhere signals are the caller's.
        if threading.current_thread() is threading.main_thread():
            for number in (*ALWAYS, *UNLESS_IGNORED):
                if number in ALWAYS or signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
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

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """While entered, nothing interrupts."""
        self._saving += 1
        try:
            yield
        finally:
            self._saving -= 1

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signum == 0:
            self.signum, self._first = number, time.monotonic()
            return
        again = number == signal.SIGINT and time.monotonic() - self._first >= AGAIN_SECONDS
        if again and self._insist and not self._saving:
            raise KeyboardInterrupt
