"""When a start must have ended, and how long before that it has to begin to end.

A time comes from the caller (``stop_at``, ``stop_after``) or from Slurm (``SLURM_JOB_END_TIME``);
the earliest counts. Training ends a margin before it, so that the state can be saved and the
archive written. The margin is learned: what is needed is what saving and training have taken so
far in this start.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

SLURM = "SLURM_JOB_END_TIME"

SPARE_SECONDS, SPARE_SHARE = 30.0, 0.05
"""What is kept in reserve beside what was learned: so much, or a share of a short time."""

MOST_SHARE = 0.5
"""The margin never takes more of the time than this: otherwise nothing would be computed."""

_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
_UNITS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)(?:min|m))?(?:(\d+(?:\.\d+)?)s)?")
_TIME_OF_DAY = re.compile(r"\d\d?:\d\d(?::\d\d)?")


class StopOptions(NamedTuple):
    """What the caller says of the time: see :func:`mc.run_study`."""

    at: str | datetime | None = None
    after: str | float | None = None


@dataclass(frozen=True)
class Limit:
    """So many ``seconds`` are left from now on; ``source`` says who says so.

    ``expired`` is a moment of the past that was found and is not used, or empty.
    """

    seconds: float | None = None
    source: str = ""
    expired: str = ""

    @property
    def notes(self) -> list[str]:
        """What a user should know of it."""
        notes = []
        if self.expired:
            notes.append(f"warning: {self.expired}, is not used: it is another job's")
        if self.seconds is not None:
            end = datetime.now() + timedelta(seconds=self.seconds)
            notes.append(f"stops by {end:%Y-%m-%d %H:%M:%S} ({self.source})")
        return notes


def time_limit(
    options: StopOptions, environ: Mapping[str, str] = os.environ, now: datetime | None = None
) -> Limit:
    """The earliest of what the caller and Slurm say. ValueError if the caller's is no time.

    ``now`` is local time. A moment of the past is an error of the caller's; in the environment it
    belongs to another job and is reported as expired.
    """
    now = now or datetime.now().astimezone()
    found: list[tuple[float, str]] = []
    if options.after is not None:
        found.append((_seconds(options.after), "--stop-after"))
    if options.at is not None:
        found.append((_until(options.at, now), "--stop-at"))
    expired = ""
    if (word := environ.get(SLURM, "")).isdigit():
        left = int(word) - now.timestamp()
        if left > 0:
            found.append((left, SLURM))
        else:
            expired = f"{SLURM}={word}, {-left:.0f} s ago"
    if not found:
        return Limit(expired=expired)
    seconds, source = min(found)
    return Limit(seconds, source, expired)


def _seconds(given: str | float) -> float:
    """A span of time in seconds; ValueError if it is none."""
    if isinstance(given, str):
        seconds = _seconds_of_text(given)
    elif isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"stop_after must be a text or seconds, got {type(given).__name__}")
    else:
        seconds = float(given)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"stop_after must be more than 0 seconds, got {given!r}")
    return seconds


def _seconds_of_text(given: str) -> float:
    text = "".join(given.split()).lower()
    if clock := _CLOCK.fullmatch(text):
        words = clock.groups()
    elif text and (units := _UNITS.fullmatch(text)):
        words = units.groups()
    else:
        raise ValueError(
            f"stop_after must be a span of time such as 90s, 45m, 3h30m, 1d12h, 3:30:00 (hours, "
            f"minutes, seconds) or 1-12:00:00 (with days), got {given!r}"
        )
    days, hours, minutes, rest = (float(word or 0) for word in words)
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def _until(given: str | datetime, now: datetime) -> float:
    """Seconds until a moment; ValueError if it is none, or past."""
    try:
        moment = given if isinstance(given, datetime) else _moment(given.strip(), now)
        left = moment.timestamp() - now.timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            "stop_at must be a time such as 16:30, 2030-01-31T16:30, 2030-01-31T16:30+01:00 or "
            f"seconds since 1970, got {given!r}"
        ) from None
    if left <= 0:
        raise ValueError(f"stop_at is in the past: {given!r}")
    return left


def _moment(text: str, now: datetime) -> datetime:
    if text.isdigit():
        return datetime.fromtimestamp(int(text)).astimezone()
    if not _TIME_OF_DAY.fullmatch(text):
        return datetime.fromisoformat(text)
    hours, minutes, *seconds = (int(word) for word in text.split(":"))
    there = now.replace(hour=hours, minute=minutes, second=sum(seconds), microsecond=0)
    # A time of day is the next one.
    return there if there > now else there + timedelta(days=1)


class Deadline:
    """The end of the time of this process, and the margin that ending takes.

    ``seconds`` from now are allowed; None for no end.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds
        self._training = self._saving = 0.0

    def learn(self, *, training: float = 0.0, saving: float = 0.0) -> None:
        """Learn how many seconds training took without looking up, or saving something."""
        self._training = max(self._training, training)
        self._saving = max(self._saving, saving)

    @property
    def margin(self) -> float:
        """Seconds before the end at which training must stop.

        One more piece of training, the checkpoint and, on rank 0, the archive, with a reserve.
        """
        if self._seconds is None:
            return 0.0
        spare = min(SPARE_SECONDS, SPARE_SHARE * self._seconds)
        needed = spare + 1.5 * self._training + 4.0 * self._saving
        return min(needed, MOST_SHARE * self._seconds)

    @property
    def reached(self) -> bool:
        """Whether it is time to save and leave."""
        return self._end is not None and time.monotonic() >= self._end - self.margin
