"""Teams of ranks without MPI: layouts, refusals, orders from leaders, members that stay away."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mc import run_study
from mc.running.failures import FailedAlone, MemberFailed
from mc.running.interruption import SignalWatch
from mc.running.prepare import idle_members
from mc.running.scheduler import Follower, Scheduler, TaskTable, Worker, task_source
from mc.running.team import MpiTeam, SingleMember, join, team_size_error, team_text
from mc.studies.file import load_study
from mc.studies.identity import study_identity
from mc.studies.schedule import Task
from tests.mc.studies.samples import tiny
from tnqbm.base.errors import StudyError
from tnqbm.training.settings import TrainingSettings

# --- layouts -----------------------------------------------------------------------------------


def test_numbers_of_ranks() -> None:
    assert team_size_error(1, 1) == team_size_error(4, 2) == team_size_error(6, 6) == ""
    found = team_size_error(5, 2)
    assert found.startswith("5 ranks cannot be cut into teams of 2; start with mpiexec -n 4 or ")
    assert "mpiexec -n 6, or change the key" in found
    assert "1 rank cannot be cut into teams of 4; start with mpiexec -n 4, or" in team_size_error(
        1, 4
    )
    assert team_text(4, 2) == "2 teams of 2 ranks"
    assert team_text(3, 3) == "1 team of 3 ranks"


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({}, 1),
        ({"batch_size": 1000}, 1),
        ({"gradient": "pcd", "chains": 64}, 1),
        ({"gradient": "pcd", "chains": 65}, 2),
        ({"gradient": "pcd", "chains": 64, "batch_size": 200}, 4),
        ({"gradient": "cd", "chains": 640, "batch_size": 100}, 2),
        ({"gradient": "cd", "chains": 640}, 10),
        ({"gradient": "tempered", "chains": 1}, 1),
    ],
)
def test_who_finds_work(settings: dict[str, Any], most: int) -> None:
    checked = TrainingSettings(**settings)
    assert checked.gradient.members(checked) == most


def sampled(team: int, *gradients: str, chains: int = 128) -> dict[str, Any]:
    training: dict[str, Any] = {"gradient": list(gradients), "iterations": 3}
    if set(gradients) != {"exact"}:
        training["chains"] = chains
    return tiny(training=training, run={"ranks_per_run": team})


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (sampled(2, "exact"), ["run.ranks_per_run = 2: 'exact' enumerates", "leave the key out"]),
        (sampled(2, "pcd-2", "exact"), ["'exact' enumerates", "a study of their own"]),
        (sampled(4, "tempered-1"), ["the 128 chains of 'tempered-1' can be shared by at most 2"]),
    ],
)
def test_what_a_team_cannot_share_is_refused(raw: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(raw)
    for word in words:
        assert word in str(caught.value)
    # Alone every one of them is right.
    raw["run"]["ranks_per_run"] = 1
    load_study(raw)


def test_idle_members_are_warned_of() -> None:
    assert idle_members(load_study(sampled(2, "pcd-2", "cd-1", "tempered"))) == []
    (warning,) = idle_members(load_study(sampled(2, "pcd", chains=50)))
    assert warning == (
        "run.ranks_per_run = 2: the chains and minibatches of 'pcd' occupy at most 1 of them"
    )


def test_one_process_makes_no_team_of_two(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"ranks_per_run = 2: 1 rank cannot .*mpiexec -n 2"):
        run_study(sampled(2, "pcd"), tmp_path / "out.h5", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_teams_change_no_identity() -> None:
    assert study_identity(load_study(sampled(2, "pcd"))) == study_identity(
        load_study(sampled(1, "pcd"))
    )


# --- scheduling ---------------------------------------------------------------------------------


class Mailboxes:
    """Messages between ranks that live in one process."""

    def __init__(self, size: int) -> None:
        self.boxes: list[deque[tuple[int, Any]]] = [deque() for _ in range(size)]

    def rank(self, rank: int) -> Any:
        return FakeRanks(self, rank)


class FakeRanks:
    def __init__(self, mailboxes: Mailboxes, rank: int) -> None:
        self.mailboxes, self.rank, self.size = mailboxes, rank, len(mailboxes.boxes)
        self.gone: frozenset[int] = frozenset()

    def send(self, message: Any, to: int) -> None:
        self.mailboxes.boxes[to].append((self.rank, message))

    def receive(self) -> tuple[int, Any] | None:
        box = self.mailboxes.boxes[self.rank]
        return box.popleft() if box else None

    def lost(self) -> frozenset[int]:
        return self.gone

    def note_lost(self, ranks: Any) -> None:
        self.gone |= {*ranks}


def nothing(table: TaskTable, last: bool) -> None:
    return None


TASKS = [Task(k, {"paulis": "Z"}, (1, 2), 1.0) for k in range(2)]


def task_sources(ranks: int, team: int) -> tuple[list[Any], list[SignalWatch]]:
    mailboxes = Mailboxes(ranks)
    watches = [SignalWatch() for _ in range(ranks)]
    found = [
        task_source(mailboxes.rank(k), TASKS, watches[k], nothing, team=team) for k in range(ranks)
    ]
    return found, watches


def test_only_leaders_ask_for_tasks() -> None:
    found, _ = task_sources(6, 3)
    kinds = [type(source) for source in found]
    assert kinds == [Scheduler, Follower, Follower, Worker, Follower, Follower]
    assert [type(source) for source in task_sources(2, 1)[0]] == [Scheduler, Worker]


def test_followers_are_given_what_their_leader_takes() -> None:
    (leader, follower), _ = task_sources(2, 2)
    for task in (*TASKS, None):
        assert leader.next_task() is task
        assert follower.next_task() is task
        if task is not None:
            assert not follower.tick(0.5)
            follower.end_task(0)
            leader.end_task(0)
    follower._ranks.send(("bye",), 0)
    outcome = leader.finish()
    assert outcome.done == [0, 1]
    assert follower._wait_for("goodbye") == ("goodbye",)


def test_a_signal_to_a_follower_stops_its_leader() -> None:
    (leader, follower), watches = task_sources(2, 2)
    leader.next_task()
    follower.next_task()
    watches[1].note(15)
    assert not leader.tick(0.1)
    assert not follower.tick(0.1)  # it goes on until its leader says so
    assert leader.tick(0.2)
    leader.end_task(None)
    assert leader.next_task() is None
    # What rank 0 said to all comes first, and is nothing to a follower.
    assert follower.next_task() is None
    follower._ranks.send(("bye",), 0)
    assert leader.finish().signum == 15


def test_the_others_stop_and_do_not_wait_for_a_lost_rank() -> None:
    (root, worker, lost), _ = task_sources(3, 1)
    root._ranks.send(("task", 0), 1)
    root._ranks.send(("task", 1), 2)
    assert worker._answer() is TASKS[0]
    assert not worker.tick(0.1)
    worker._ranks.gone = frozenset({2})  # its watch has found that
    assert worker.tick(0.2)
    worker.end_task(None)
    root._table.start(1, TASKS[0])
    assert root.next_task() is None
    assert root._ranks.gone == {2}, "rank 0 has been told"
    worker._ranks.send(("want",), 0)
    worker._ranks.send(("bye",), 0)
    outcome = root.finish()
    assert outcome.lost
    assert outcome.signum is None
    assert worker._answer() is None
    assert worker._wait_for("goodbye") == ("goodbye",)
    # Nothing is sent to it: only what came before, and what its watch would tell.
    kinds = [message[0] for _, message in lost._ranks.mailboxes.boxes[2]]
    assert kinds == ["task"]


# --- synchronising ------------------------------------------------------------------------------


def test_one_process_is_a_team() -> None:
    team = join(FakeRanks(Mailboxes(1), 0), 1)
    assert isinstance(team, SingleMember)
    assert (team.rank, team.size) == (0, 1)
    assert team.synchronize((3, 4)).tolist() == [[3, 4]]
    assert team.broadcast("it") == "it"
    error = KeyError("gone")
    with pytest.raises(KeyError) as caught:
        team.synchronize((), error, 0.0)
    assert caught.value is error


class Comm:
    """Of two members, this one (rank 0) and one that brings ``other`` or never comes (None)."""

    rank, size = 0, 2

    def __init__(self, other: list[int] | None) -> None:
        self.other = other

    def Iallgather(self, own: Any, found: Any) -> Any:
        if self.other is not None:
            found[0], found[1] = own, self.other
        return self

    def Test(self) -> bool:
        return self.other is not None

    def allgather(self, told: Any) -> list[Any]:
        return [told, ("KeyError: no space", "the traceback", True)]


def meeting(other: list[int] | None) -> MpiTeam:
    pytest.importorskip("mpi4py")
    team = object.__new__(MpiTeam)  # without loading an MPI library
    team._comm = team._control = Comm(other)
    team.rank, team.size, team._first = 0, 2, 4
    return team


def test_members_that_meet() -> None:
    assert np.array_equal(meeting([0, 8]).synchronize((7,)), [[7], [8]])
    with pytest.raises(MemberFailed, match="rank 5 failed: KeyError: no space") as other:
        meeting([1, 8]).synchronize((7,))
    assert other.value.details == "the traceback"
    with pytest.raises(ValueError, match="mine"):
        meeting([1, 8]).synchronize((7,), ValueError("mine"), 0.0)


def test_who_fails_alone_does_not_wait_for_ever() -> None:
    with pytest.raises(FailedAlone, match="ValueError: mine"):
        meeting(None).synchronize((7,), ValueError("mine"), 0.05)
