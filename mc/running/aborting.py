"""How an error of one rank ends the others, which would otherwise wait for its messages."""

from __future__ import annotations

import pickle
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

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
    except BaseException:
        if ranks.size > 1:
            head = f"rank {ranks.rank} on {socket.gethostname()} failed:\n"
            text = traceback.format_exc()
            if len(text) > 2 * TRACEBACK:
                text = f"{text[:TRACEBACK]}\n...\n{text[-TRACEBACK:]}"
            # A terminal that has gone must not keep this rank from ending the others.
            with suppress(OSError, ValueError):
                sys.stderr.write(head + text)  # at once: others may write, too
            _wait_for_delivery()
            ranks.abort(1)
        raise


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
