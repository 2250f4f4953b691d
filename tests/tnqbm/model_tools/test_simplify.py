"""Exact removal and merging of hidden units, and the bounds on what removal does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reductions import SUPPORTS, sparse
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.model_tools import gauge
from tnqbm.model_tools.simplify import Simplified, absorbed, factors, removal_bounds, simplify


def check(model: SqRBM, found: Simplified) -> None:
    log_z, _, log_weight = enumerate_model(model)
    new_log_z, _, new_log_weight = enumerate_model(found.model)
    scale = max(1.0, float(np.abs(model.to_vector()).max()))
    np.testing.assert_allclose(
        new_log_weight - new_log_z, log_weight - log_z, rtol=0, atol=1e-12 * scale
    )
    assert found.log_partition_change == pytest.approx(new_log_z - log_z, abs=1e-11 * scale)
    named = sorted([*found.removed, *(j for group in found.groups for j in group)])
    assert named == list(range(model.n_hidden))
    assert len(found.groups) == found.model.n_hidden
    assert found.model.paulis == model.paulis


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize("pairs", ["merge", "all", "keep"])
def test_the_distribution_stays(paulis: str, pairs: str) -> None:
    model = sparse(5, paulis, SUPPORTS)
    found = simplify(model, pairs=pairs)
    check(model, found)
    assert found.removed == (1, 2, 6)
    if pairs == "keep":
        assert found.groups == ((0,), (3,), (4,), (5,), (7,), (8,), (9,))
    else:
        assert found.groups == ((0, 4, 9), (3,), (5, 8), (7,))
        single = gauge.unit_matrices(found.model)[3]
        kept = gauge.unit_matrices(model)[7]
        assert np.array_equal(single, kept) == (pairs == "merge")
        units = found.model.mask.T
        assert np.flatnonzero(units[0]).tolist() == [0, 1]
        assert np.flatnonzero(units[2]).tolist() == [3, 4]


@settings(max_examples=40, deadline=None)
@given(
    paulis=st.sampled_from(["Z", "XZ", "XYZ"]),
    power=st.floats(-3, 3),
    count=st.integers(1, 4),
)
def test_any_scale(paulis: str, power: float, count: int) -> None:
    model = sparse(3, paulis, [(0, 2)] * count + [(1,)], scale=10.0**power)
    found = simplify(model, pairs="all")
    check(model, found)
    assert found.model.n_hidden <= 1


def test_opposite_units_leave_nothing() -> None:
    """Two classical units with couplings (x, y) and (x, -y), no fields: J cancels."""
    w = np.array([[[0.7, 0.7], [0.3, -0.3]]])
    model = SqRBM(np.zeros(2), np.zeros((1, 2)), w, "Z")
    found = simplify(model)
    check(model, found)
    assert found.removed == (0, 1)
    assert found.model.n_hidden == 0


def test_units_on_three_visible_units_are_left_alone() -> None:
    """Also equal ones: twice a unit is not a unit of twice the size."""
    model = SqRBM.uniform(3, 1, "Z", seed=1)
    twice = SqRBM(model.a, np.tile(model.b, 2), np.tile(model.w, 2), "Z")
    found = simplify(twice)
    assert found.groups == ((0,), (1,))
    doubled = SqRBM(model.a, 2 * model.b, 2 * model.w, "Z")
    states = all_states(3)
    phi = np.abs(model.fields(states)[:, 0, 0])
    difference = twice.log_weight(states) - doubled.log_weight(states)
    np.testing.assert_allclose(difference, np.log1p(1 / np.cosh(2 * phi)), atol=1e-12)
    assert np.ptp(difference) > 0.01


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
def test_bounds_hold(paulis: str) -> None:
    """The best bound and its linear part, at every state."""
    n = 5
    s = 1.0 - 2.0 * all_states(n)
    for scale, field in ((1.0, 0.0), (0.1, 0.0), (0.3, 3.0)):
        model = SqRBM.uniform(n, 6, paulis, scale=scale, seed=2)
        units = gauge.unit_matrices(model)
        units[:3] = units[:3, :, :1] * np.array([1.0, -0.5, 0.7])[: len(paulis)]  # rank 1
        units[:, 0] *= 1.0 + 10.0 * field / scale
        units[5, 2:] = 0.0
        model = gauge.with_unit_matrices(model, units)
        bounds, linear = removal_bounds(model)
        rest = factors(units, s) - s @ linear
        spread = 0.5 * np.ptp(rest, axis=0)
        assert (spread <= bounds + 1e-12).all()
        assert bounds[5] == 0.0
        if field:
            assert bounds[:3].max() < 0.01  # the rule for fields that keep their sign
    assert removal_bounds(SqRBM.uniform(2, 0, "Z", seed=1))[0].shape == (0,)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="pairs must be"):
        simplify(SqRBM.uniform(2, 1, "Z", seed=1), pairs="some")
    with pytest.raises(ValueError, match="coupled to 2 visible units"):
        absorbed(SqRBM.uniform(2, 1, "Z", seed=1), [0])
