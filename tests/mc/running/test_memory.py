"""What studies will take of memory."""

from __future__ import annotations

from typing import Any

import pytest

from mc.estimators.settings import provide
from tnqbm.exact.averages import state_bytes
from tnqbm.training.costs import Size, run_memory
from tnqbm.training.settings import TrainingSettings

SMALL = Size(10, 4, 2, rows=50, paulis="XZ")


def memory(size: Size = SMALL, runs: int = 4, **settings: Any) -> float:
    provide()
    return run_memory(size, TrainingSettings(iterations=5, evaluate="none", **settings), runs)


@pytest.mark.parametrize("gradient", ["exact", "cd", "pcd", "tempered", "trajectory", "weighted"])
def test_every_estimator_takes_more_for_more_runs(gradient: str) -> None:
    assert memory(gradient=gradient) < memory(runs=8, gradient=gradient)


@pytest.mark.parametrize("gradient", ["pcd", "tempered", "trajectory", "weighted", "tensor"])
def test_chains_are_counted_at_least_as_states(gradient: str) -> None:
    few, many = (memory(gradient=gradient, chains=chains) for chains in (10, 10_010))
    assert many - few >= 4 * 10_000 * SMALL.n_visible


def test_ladders_hold_a_state_at_every_rung() -> None:
    def of_chains(**settings: Any) -> float:
        return memory(chains=10_000, **settings) - memory(chains=10, **settings)

    ladders = of_chains(gradient="tempered", temperatures=10)
    assert ladders >= 10 * of_chains(gradient="pcd")


def test_networks_grow_with_their_bonds() -> None:
    wide = SMALL._replace(n_visible=24)
    assert memory(wide, gradient="tensor", max_bond=128) > memory(wide, gradient="tensor")


def test_snapshots_and_parameters_are_held_by_every_run() -> None:
    large = Size(200, 100, 3, rows=50, paulis="XYZ")
    assert memory(large, gradient="pcd") >= 4 * 8 * 10 * large.n_parameters
    held = memory(large, gradient="pcd", snapshots=10) - memory(large, gradient="pcd")
    assert held >= 4 * 8 * 10 * large.n_parameters


def test_data_are_counted_at_least_as_they_are() -> None:
    assert state_bytes(100, 5000, 1, 4, 10) >= 5000 * (100 + 8)
    assert memory(SMALL._replace(rows=100_000)) > memory()
