"""Running jobs of samplers: waiting at most so long, and submitting again what failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tnqbm.base.errors import MissingExtraError

FINAL = (TypeError, ValueError, NotImplementedError, MemoryError, MissingExtraError)
"""Errors that another attempt would repeat: they are about what was asked for."""


@dataclass(frozen=True)
class Patience:
    """How long and how often a job is tried.

    Attributes
    ----------
    attempts : submissions at most, 1 or more.
    wait : seconds before the second attempt; doubled before each further one.
    time_limit : seconds that one attempt may take, queueing included; None: any. A job that
        takes longer is cancelled and counts as failed.

    Raises ValueError on values that are impossible.
    """

    attempts: int = 3
    wait: float = 2.0
    time_limit: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise ValueError(f"attempts must be a whole number, got {self.attempts!r}")
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts}")
        if not self.wait >= 0:
            raise ValueError(f"wait must be >= 0 seconds, got {self.wait!r}")
        if self.time_limit is not None and not self.time_limit > 0:
            raise ValueError(f"time_limit must be above 0 seconds or None, got {self.time_limit!r}")


def run_job(
    submit: Callable[[], Any],
    patience: Patience | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Any:
    """The result of the job that ``submit()`` returns, submitted again if it fails.

    Errors about what was asked for (see ``FINAL``) are raised at once; after the last attempt a
    RuntimeError, or TimeoutError, with the last error as its cause. ``sleep`` and ``clock`` are
    those of :mod:`time` unless a test says otherwise.
    """
    patience = patience or Patience()
    for attempt in range(1, patience.attempts + 1):
        try:
            return _result(submit(), patience.time_limit, sleep, clock)
        except FINAL:
            raise
        except Exception as error:
            if attempt == patience.attempts:
                kind = TimeoutError if isinstance(error, TimeoutError) else RuntimeError
                times = "once" if attempt == 1 else f"{attempt} times"
                raise kind(f"the job failed {times}, the last time with: {error}") from error
        sleep(patience.wait * 2.0 ** (attempt - 1))
    raise AssertionError("unreachable")


def _result(
    job: Any, limit: float | None, sleep: Callable[[float], None], clock: Callable[[], float]
) -> Any:
    if limit is None:
        return job.result()
    start, pause = clock(), 1e-3
    while not job.in_final_state():
        if clock() - start > limit:
            job.cancel()
            raise TimeoutError(f"no result within {limit:g} s; the job was cancelled")
        sleep(pause)
        pause = min(2.0 * pause, 5.0)
    return job.result()
