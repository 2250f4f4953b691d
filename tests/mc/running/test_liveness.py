"""Whether processes live, and the watch that notices ranks that have gone."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator

import pytest

import mc.running.liveness
from mc.running.liveness import RankProcess, RanksLost, RankWatch, alive, state_and_start
from tests.mc.studies.samples import wait_until


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until it is killed."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def place(process: subprocess.Popen[bytes]) -> RankProcess:
    start = state_and_start(process.pid)[1]
    return dataclasses.replace(RankProcess.own(), pid=process.pid, start=start)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mc.running.liveness, "LOOK_SECONDS", 0.01)


def test_the_dead_and_those_with_a_new_life_are_not_alive(
    other: subprocess.Popen[bytes],
) -> None:
    start = state_and_start(other.pid)[1]
    assert alive(other.pid, start)
    assert not alive(other.pid, start + "1"), "its id is another's"
    other.kill()
    wait_until(lambda: not alive(other.pid, start))  # before anybody has waited for it
    assert not alive(2**22 + 1, "")


def test_a_rank_that_is_killed_is_noticed(
    other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    watch = RankWatch([RankProcess.own(), place(other)], 0, ended.append)
    assert watch.lost == frozenset()
    other.kill()
    wait_until(lambda: watch.lost == {1})
    assert not ended, "the main thread has time to save"
    error = watch.error()
    assert isinstance(error, RanksLost)
    assert error.exit_code == 4
    assert f"rank 1 (process {other.pid} on " in str(error)
    monkeypatch.setattr(mc.running.liveness, "PATIENCE_SECONDS", 0.0)
    wait_until(lambda: ended == [str(error)])


def test_who_was_told_of_a_loss_ends_without_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mc.running.liveness, "PATIENCE_SECONDS", 0.0)
    ended: list[str] = []
    elsewhere = RankProcess("another host", "", 1, "")
    watch = RankWatch([RankProcess.own(), elsewhere], 0, ended.append)
    watch.add([1])
    assert watch.lost == {1}
    wait_until(lambda: ended == [""])


def test_processes_that_cannot_be_seen_are_not_watched(other: subprocess.Popen[bytes]) -> None:
    own = RankProcess.own()
    contained = dataclasses.replace(place(other), space="another container")
    watch = RankWatch([own, contained], 0, lambda _: None)
    assert watch._next == 0
    watch.stop()
    watches = [RankWatch([own, contained, own], k, lambda _: None) for k in (0, 2)]
    assert [watch._next for watch in watches] == [2, 0]
    for watch in watches:
        watch.stop()


def test_a_watch_that_was_stopped_notices_nothing(other: subprocess.Popen[bytes]) -> None:
    watch = RankWatch([RankProcess.own(), place(other)], 0, lambda _: None)
    watch.stop()
    watch._thread.join()
    other.kill()
    assert watch.lost == frozenset()
