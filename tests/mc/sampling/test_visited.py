"""log Z by the weight of visited states: against exact values, its error bars, what it refuses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mc
import tnqbm
from mc.sampling.log_z.policies import Visited
from mc.sampling.policies import Tempered


def estimate(model: tnqbm.SqRBM, policy: Visited, seed: int, **more: object) -> mc.Estimate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mc.EstimateWarning)
        return mc.log_partition(model, policy, seed=seed, **more)  # type: ignore[arg-type]


def policy(samples: int, chains: int = 12) -> Visited:
    return Visited(samples, Tempered(chains=chains, temperatures=3, burn_in=50, thin=3))


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_errors_cover(paulis: str) -> None:
    """14 units, of whose states the chains see a part: the values scatter as their errors say."""
    model = tnqbm.SqRBM.uniform(14, 4, paulis, scale=0.8, seed=4)
    exact = tnqbm.exact.log_partition(model)
    found = [estimate(model, policy(150), seed) for seed in range(1, 11)]
    assert all(each.trusted for each in found), found[0].warnings
    off = np.array([(each.value - exact) / each.standard_error for each in found])
    assert np.abs(off).max() < 4
    assert max(each.standard_error for each in found) < 0.1
    assert all(each.lower_bound is not None and each.lower_bound <= exact for each in found)


def test_agrees_with_annealing_out_of_reach_of_enumeration() -> None:
    rng = np.random.default_rng(3)
    model = tnqbm.SqRBM(
        rng.normal(0, 2.0, 40), rng.normal(0, 0.3, (3, 4)), rng.normal(0, 0.2, (3, 40, 4)), "XYZ"
    )
    found = estimate(model, policy(300), 1)
    other = estimate(model, mc.Annealing("both", chains=200, betas=300), 1)  # type: ignore[arg-type]
    assert found.trusted, found.warnings
    assert abs(found.value - other.value) < 4 * np.hypot(found.standard_error, other.standard_error)
    assert found.method == "visited"
    assert (found.chains, found.samples) == (12, 3600)


def test_same_seed_same_number() -> None:
    model = tnqbm.SqRBM.uniform(10, 3, "XZ", scale=1.0, seed=5)
    one, other = (estimate(model, policy(50), 7) for _ in range(2))
    assert one.value == other.value
    assert one.value != estimate(model, policy(50), 8).value


def test_broad_models_are_not_trusted() -> None:
    """60 fair coins: no two samples agree, so that nothing is known of the visited states."""
    model = tnqbm.SqRBM.uniform(60, 2, "Z", scale=0.01, seed=1)
    found = estimate(model, policy(60), 1)
    assert not found.trusted
    assert "fewer than 5%" in found.warnings[0]


def test_rows_of_data_count_as_visited() -> None:
    """All states given: their weight is Z, and every sample falls on them."""
    model = tnqbm.SqRBM.uniform(8, 3, "XYZ", scale=1.5, seed=6)
    states = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.uint8)
    found = estimate(model, policy(100), 2, data=states)
    exact = tnqbm.exact.log_partition(model)
    assert found.value == pytest.approx(exact, abs=1e-9)
    assert 0 < found.standard_error < 0.1


@pytest.mark.parametrize("depth", [3.0, 5.0])
def test_a_mode_that_no_chain_finds(depth: float) -> None:
    """Two deep modes; where chains start in one of them only, the other is missed or noticed."""
    n = 20
    w = np.full((1, n, 4), depth / 4)
    model = tnqbm.SqRBM(np.zeros(n), np.zeros((1, 4)), w, "Z")
    start = np.zeros((12, n), dtype=np.uint8)
    cold = Tempered(chains=12, temperatures=[0.9, 1.0], init=start, burn_in=20, thin=2)
    found = estimate(model, Visited(200, cold), 3)
    off = abs(found.value - tnqbm.exact.log_partition(model))
    assert off <= 5 * found.standard_error or not found.trusted


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="chains must be at least 8"):
        Visited(100, Tempered(chains=7))
    with pytest.raises(ValueError, match="samples must be at least 1"):
        Visited(0)
    with pytest.raises(ValueError, match="seed"):
        mc.log_partition(tnqbm.SqRBM.uniform(4, 2, "Z", seed=1), "visited")
