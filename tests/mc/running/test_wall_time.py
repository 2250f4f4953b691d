"""When a start must end: what may be said of it, and the margin that is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import mc.running.wall_time
from mc import run_study
from mc.running.wall_time import SLURM, Deadline, Limit, StopOptions, time_limit
from tests.mc.studies.samples import tiny

NOW = datetime(2030, 1, 31, 23, 30, tzinfo=UTC)


def limit(at: Any = None, after: Any = None, **environ: str) -> Limit:
    return time_limit(StopOptions(at, after), environ, NOW)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("90s", 90),
        ("1m0.5s", 60.5),
        ("45m", 2700),
        ("45min", 2700),
        ("3h30m", 12600),
        ("3 h 30 min", 12600),
        ("1d12h", 129600),
        ("0:30", 1800),
        ("3:30:00", 12600),
        ("100:00:01", 360001),
        ("1-12:00:00", 129600),
        (90, 90),
        (0.5, 0.5),
    ],
)
def test_spans_of_time(after: str | float, seconds: float) -> None:
    assert limit(after=after) == Limit(seconds, "--stop-after")


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        ("23:31", 60),
        ("23:30:05", 5),
        ("23:30", 86400),  # the next one
        ("0:30", 3600),
        ("2030-01-31T23:30:01+00:00", 1),
        ("2030-02-01 00:30:00+01:00", None),
        ("2030-02-01 02:30+01:00", 7200),
        (str(int(NOW.timestamp()) + 7), 7),
        (NOW + timedelta(seconds=3), 3),
    ],
)
def test_moments(at: str | datetime, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(ValueError, match="stop_at is in the past"):
            limit(at)
    else:
        assert limit(at) == Limit(seconds, "--stop-at")


@pytest.mark.parametrize("after", ["", "90", "soon", "-5m", "1.5h", "m", "0s", 0, -1.0])
def test_wrong_spans_say_what_is_right(after: str | float) -> None:
    with pytest.raises(ValueError, match=r"stop_after must be .* got"):
        limit(after=after)


@pytest.mark.parametrize("at", ["", "noon", "24:00", "25:61", "2030-13-01", "9" * 40])
def test_wrong_moments_say_what_is_right(at: str) -> None:
    with pytest.raises(ValueError, match="stop_at must be a time such as 16:30"):
        limit(at)


def test_a_wrong_time_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop_after must be"):
        run_study(tiny(), tmp_path / "out.h5", stop_after="90")
    with pytest.raises(TypeError, match="got list"):
        run_study(tiny(), tmp_path / "out.h5", stop_after=[90])  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_earliest_counts_and_slurm_is_asked() -> None:
    end = str(int(NOW.timestamp()) + 600)
    assert limit() == Limit()
    assert limit().notes == []
    assert limit(**{SLURM: end}) == Limit(600, SLURM)
    assert limit(after="5m", **{SLURM: end}) == Limit(300, "--stop-after")
    assert limit(after="15m", at="23:39", **{SLURM: end}) == Limit(540, "--stop-at")
    assert limit(after="15m", **{SLURM: end}) == Limit(600, SLURM)
    assert limit(**{SLURM: "UNLIMITED"}) == Limit()
    (note,) = limit(**{SLURM: end}).notes
    assert note.startswith("stops by 20")


def test_a_moment_of_another_job_is_not_used() -> None:
    past = str(int(NOW.timestamp()) - 600)
    found = limit(after="5m", **{SLURM: past})
    assert found.seconds == 300
    assert "600 s ago, is not used" in found.notes[0]


def test_the_margin_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr(mc.running.wall_time.time, "monotonic", lambda: clock)
    assert not Deadline().reached
    assert Deadline().margin == 0
    deadline = Deadline(3600.0)
    assert deadline.margin == 30  # the reserve alone
    deadline.learn(training=20.0)
    deadline.learn(training=4.0, saving=5.0)
    assert deadline.margin == 30 + 1.5 * 20 + 4 * 5
    clock += 3600 - 81
    assert not deadline.reached
    clock += 1
    assert deadline.reached


def test_the_margin_leaves_time_to_work() -> None:
    assert Deadline(10.0).margin == 0.5
    deadline = Deadline(10.0)
    deadline.learn(training=3600.0)
    assert deadline.margin == 5
