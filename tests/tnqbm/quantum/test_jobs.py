"""Jobs that fail, and jobs that never end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tnqbm.quantum.devices import Patience, run_job


class Job:
    """Done at a certain time, or failing."""

    def __init__(self, outcome: object, done: Callable[[], bool] = lambda: True) -> None:
        self._outcome, self._done = outcome, done
        self.cancelled = False

    def in_final_state(self) -> bool:
        return self._done()

    def cancel(self) -> None:
        self.cancelled = True

    def result(self) -> object:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def test_failed_jobs_are_submitted_again_with_growing_pauses() -> None:
    jobs = [Job(OSError("lost")), Job(RuntimeError("queue")), Job("shots")]
    pauses: list[float] = []
    patience = Patience(attempts=3, wait=2.0)
    assert run_job(lambda: jobs.pop(0), patience, sleep=pauses.append) == "shots"
    assert pauses == [2.0, 4.0]


def test_the_last_error_is_told() -> None:
    pauses: list[float] = []
    with pytest.raises(RuntimeError, match="failed 2 times, the last time with: lost") as info:
        run_job(lambda: Job(OSError("lost")), Patience(attempts=2), sleep=pauses.append)
    assert isinstance(info.value.__cause__, OSError)
    assert len(pauses) == 1


def test_wrong_requests_are_not_repeated() -> None:
    tried: list[int] = []

    def submit() -> Job:
        tried.append(1)
        return Job(ValueError("no such gate"))

    with pytest.raises(ValueError, match="no such gate"):
        run_job(submit)
    assert len(tried) == 1


def test_jobs_beyond_the_time_limit_are_cancelled() -> None:
    now = [0.0]
    jobs: list[Job] = []

    def submit() -> Job:
        jobs.append(Job("late", lambda: now[0] >= 100.0))
        return jobs[-1]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    patience = Patience(attempts=2, wait=1.0, time_limit=10.0)
    with pytest.raises(TimeoutError, match="within 10 s"):
        run_job(submit, patience, sleep=sleep, clock=lambda: now[0])
    assert [job.cancelled for job in jobs] == [True, True]
    assert now[0] < 60.0
    long = Patience(attempts=1, time_limit=200.0)
    assert run_job(submit, long, sleep=sleep, clock=lambda: now[0]) == "late"


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"attempts": 1.5}, {"wait": -1.0}, {"time_limit": 0.0}]
)
def test_impossible_patience_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Patience(**wrong)  # type: ignore[arg-type]
