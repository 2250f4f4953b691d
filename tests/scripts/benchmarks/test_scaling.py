"""The simulated schedule and update of scripts/benchmarks/scaling.py."""

from __future__ import annotations

import math
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from tests.scripts.loading import SCRIPTS

FOLDER = SCRIPTS / "benchmarks"
SPEC = spec_from_file_location("scaling", FOLDER / "scaling.py")
scaling = module_from_spec(SPEC)
sys.path.insert(0, str(FOLDER))
try:
    SPEC.loader.exec_module(scaling)
finally:
    sys.path.remove(str(FOLDER))
IDEAL = scaling.Machine(
    answer=0.0, latency=0.0, bandwidth=math.inf, spread=0.0, write=0.0, start=0.0
)


def test_one_rank_does_everything_in_turn() -> None:
    found = scaling.play([3.0, 2.0, 1.0], 1, IDEAL)
    assert found == pytest.approx((6.0, 1.0))


def test_every_rank_starts_before_its_first_task() -> None:
    machine = IDEAL._replace(start=2.0)
    assert scaling.play([3.0, 2.0, 1.0], 1, machine) == pytest.approx((8.0, 0.75))
    two = scaling.play([3.0, 3.0], 2, machine)
    assert two.seconds == pytest.approx(5.0, abs=0.1)
    assert two.efficiency == pytest.approx(0.6, abs=0.02)


def test_tasks_go_to_whoever_is_free() -> None:
    # 5 | 4 | 3, then 2 to the third, 1 to the second and 1 to the first or the third.
    costs = [5.0, 4.0, 3.0, 2.0, 1.0, 1.0]
    found = scaling.play(costs, 3, IDEAL)
    assert found.seconds == pytest.approx(6.0, abs=0.1)  # rank 0 answers every 0.03 s
    assert found.efficiency == pytest.approx(sum(costs) / 3 / found.seconds)


def test_the_largest_task_bounds_the_end() -> None:
    found = scaling.play([10.0] + [0.1] * 20, 64, IDEAL)
    assert found.seconds == pytest.approx(10.0, abs=0.1)


def test_a_rank_that_only_answers_does_not_work() -> None:
    machine = IDEAL._replace(answer=0.01)
    many = scaling.play([1.0] * 400, 100, machine)  # 0.01 x 99 / 0.5 > 1
    assert many.seconds > 4.0
    few = scaling.play([1.0] * 40, 10, machine)
    assert few.efficiency > many.efficiency


def test_spread_leaves_the_mean_and_is_reproducible() -> None:
    machine = IDEAL._replace(spread=0.3)
    costs = [1.0] * 4000
    found = scaling.play(costs, 1, machine)
    assert found.seconds == pytest.approx(4000.0, rel=0.02)
    assert found == scaling.play(costs, 1, machine)
    assert found != scaling.play(costs, 1, machine, seed=2)


def test_an_update_that_ranks_share() -> None:
    parts = {"shards": 10, "fixed": 1.0, "shard": 2.0, "size": 1000}
    assert scaling.update_seconds(1, machine=IDEAL, **parts) == pytest.approx(21.0)
    assert scaling.update_seconds(4, machine=IDEAL, **parts) == pytest.approx(7.0)  # 3 shards
    assert scaling.update_seconds(64, machine=IDEAL, **parts) == pytest.approx(3.0)
    slow = IDEAL._replace(latency=0.5, bandwidth=1500.0)
    assert scaling.update_seconds(4, machine=slow, **parts) == pytest.approx(7.0 + 2.0 + 1.0)
