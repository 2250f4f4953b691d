"""Modes by mean-field theory, the survey of them, and what both say of an estimate of log Z."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mc.sampling.log_z.estimate import Estimate, Run
from mc.sampling.log_z.modes import Modes, find_modes
from mc.sampling.log_z.verdict import ModeWeights, judge, weigh_modes
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.core.bounds import log_partition_bound

NOTHING = np.zeros((0, 8), dtype=np.uint8)


def two_modes(paulis: str, tilt: float = 0.5, n: int = 8) -> SqRBM:
    """All up or all down, weights apart by exp(tilt)."""
    axis = np.ones(len(paulis)) / math.sqrt(len(paulis))
    w = np.tile(2.5 * axis[:, None, None], (1, n, 1))
    return SqRBM(np.full(n, 1.2), (n * 1.2 + tilt / 2) * axis[:, None], w, paulis)


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_both_modes_are_found_without_any_state(paulis: str) -> None:
    modes = find_modes(two_modes(paulis), NOTHING, seed=1)
    assert modes.states.tolist() == [[0] * 8, [1] * 8]  # the heavier one first
    assert 0.3 < modes.bounds[0] - modes.bounds[1] < 1.5


@pytest.mark.parametrize("paulis", ["Z", "YZ", "XYZ"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_every_mode_bounds_log_z(paulis: str, scale: float) -> None:
    model = SqRBM.uniform(8, 5, paulis, scale=scale, seed=3)
    modes = find_modes(model, NOTHING, seed=1)
    log_z = enumerate_model(model)[0]
    assert (modes.bounds < log_z).all()
    assert (np.diff(modes.bounds) <= 0).all()
    assert modes.bounds[0] > log_z - 3.0
    # Fixed points: the means are those of independent bits in the fields.
    np.testing.assert_allclose(modes.means, -np.tanh(modes.fields[:, :8]), atol=1e-2)


def test_weak_couplings_have_one_mode_and_patterns_many() -> None:
    assert (
        len(find_modes(SqRBM.uniform(8, 4, "XYZ", scale=0.1, seed=1), NOTHING, seed=1).means) == 1
    )
    patterns = np.random.default_rng(4).choice([-1.0, 1.0], (3, 12))
    model = SqRBM(np.zeros(12), np.zeros((1, 3)), 1.0 * patterns.T[None], "Z")
    found = find_modes(model, np.zeros((0, 12), dtype=np.uint8), seed=1)
    wanted = {tuple(row) for row in (patterns < 0).astype(int)}
    wanted |= {tuple(row) for row in (patterns > 0).astype(int)}
    assert wanted <= {tuple(row) for row in found.states.tolist()}


def test_states_belong_to_the_nearest_mode() -> None:
    modes = Modes(np.array([[0.9, 0.9, 0.9], [-0.9, -0.9, -0.9]]), np.zeros(2), np.zeros((2, 6)))
    near = modes.nearest(np.array([[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 1]], dtype=np.uint8))
    assert near.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
def test_a_survey_weighs_modes_that_no_chain_saw(paulis: str) -> None:
    model = two_modes(paulis)
    log_z = enumerate_model(model)[0]
    seen = np.zeros((5, 8), dtype=np.uint8)
    known = weigh_modes(model, seen, chains=100, betas=200, key=3)
    assert abs(known.total - log_z) < 1e-3
    assert known.error < 0.02
    assert log_partition_bound(model, seen) < known.bound <= log_z + 1e-12
    weights = np.exp(enumerate_model(model)[2] - log_z)
    nearest = known.modes.nearest(all_states(8))
    for k in range(2):
        share = weights[nearest == k].sum()
        assert known.log_z[k] - log_z == pytest.approx(math.log(share), abs=1e-3)
    again = weigh_modes(model, seen, chains=100, betas=200, key=3)
    assert again.total == known.total
    assert weigh_modes(model, seen, chains=100, betas=200, key=4).total != known.total


# --- verdicts -----------------------------------------------------------------------------------


def run(value: float, error: float = 0.1, ess: float = 100.0, **more: Any) -> Run:
    warnings = more.pop("warnings", [])
    found = Estimate(value, error, ess, np.zeros(1), "ais", 0.0, not warnings, warnings=warnings)
    return Run(found, NOTHING, **more)


def known(total: float = 10.0, error: float = 0.01, bound: float = 5.0) -> ModeWeights:
    modes = Modes(np.zeros((1, 8)), np.zeros(1), np.zeros((1, 16)))
    return ModeWeights(modes, np.array([total]), np.array([error]), total, error, bound, 7)


def test_a_value_below_the_bound_is_not_trusted() -> None:
    found = judge(run(9.0), known(bound=9.5))
    assert not found.trusted
    assert "7 states that were seen alone give log Z >= 9.5" in found.warnings[0]
    assert (found.value, found.standard_error, found.lower_bound) == (9.0, 0.1, 9.5)
    near = judge(run(9.8), known(bound=9.95))  # within the error: the bar grows to what is missing
    assert near.trusted
    assert near.standard_error == pytest.approx(0.15)
    assert judge(run(9.96), known(bound=9.95)).standard_error == 0.1
    exact = judge(run(10.0, 0.0), known(10.0, 0.0, bound=10.0 + 1e-12))
    assert exact.trusted  # rounding


def test_a_value_that_lacks_a_mode_is_not_trusted() -> None:
    found = judge(run(9.3), known())
    assert not found.trusted
    assert "chains inside each of 1 modes add up to 10 +- 0.01" in found.warnings[0]
    assert judge(run(9.7), known()).standard_error == pytest.approx(0.3)
    assert judge(run(9.9), known()).standard_error == 0.1
    # A survey that falls short of the value says nothing against it.
    assert judge(run(12.0), known()).trusted


def test_doubts_are_dropped_where_the_modes_confirm_the_value() -> None:
    doubtful: dict[str, Any] = {"warnings": ["uneven"], "doubts": ["start"]}
    assert judge(run(9.9, **doubtful), known()).trusted
    for one, what in (
        (run(11.0, **doubtful), known()),  # the survey does not reach it
        (run(9.9, **doubtful), known(error=0.2)),  # or does not know
        (run(9.9, ess=5.0, **doubtful), known()),  # too few chains to state an error at all
    ):
        found = judge(one, what)
        assert not found.trusted
        assert found.warnings == ["uneven", "start"]
        assert judge(one, what, doubts=False).warnings == ["uneven"]


def test_a_value_is_known_as_well_as_the_modes_confirm_it() -> None:
    doubtful: dict[str, Any] = {"warnings": ["uneven"], "doubts": ["start"]}
    found = judge(run(10.08, 0.001, **doubtful), known())
    assert found.trusted
    assert found.standard_error == pytest.approx(0.08)
    assert not judge(run(10.12, 0.001, **doubtful), known()).trusted
    assert not judge(run(9.92, 0.001, **doubtful), known()).trusted  # it lacks something
    # Without doubts nothing needs to be confirmed from above.
    assert judge(run(10.08, 0.001), known()).standard_error == 0.001
