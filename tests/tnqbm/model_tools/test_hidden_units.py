"""Lifting, lowering, adding, selecting and removing hidden units."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM, Target, exact
from tnqbm.core.connectivity import line
from tnqbm.model_tools import gauge
from tnqbm.model_tools.hidden_units import add_hidden, lift, lower, remove_hidden, select_hidden


def log_p(model: SqRBM) -> np.ndarray:
    log_z, _, log_weight = enumerate_model(model)
    return log_weight - log_z


@pytest.mark.parametrize(
    ("old", "new"), [("Z", "XZ"), ("Z", "XYZ"), ("XZ", "XYZ"), ("XZ", "ZYX"), ("X", "YX")]
)
def test_lifting_changes_nothing(old: str, new: str) -> None:
    model = SqRBM.uniform(5, 3, old, seed=1, mask=line(5, 3))
    lifted = lift(model, new)
    assert lifted.paulis == new
    assert np.array_equal(lifted.mask, model.mask)
    assert enumerate_model(lifted)[0] == pytest.approx(enumerate_model(model)[0], abs=1e-12)
    np.testing.assert_allclose(log_p(lifted), log_p(model), atol=1e-12)
    before, after = exact.moments(model), exact.moments(lifted)
    for row, letter in enumerate(new):
        if letter in old:
            k = old.index(letter)
            np.testing.assert_allclose(after.sigma[row], before.sigma[k], atol=1e-12)
            np.testing.assert_allclose(after.zsigma[row], before.zsigma[k], atol=1e-12)
        else:
            assert not after.sigma[row].any()
    assert lower(lifted) == model if old in ("Z", "X") else lower(lifted, old) == model


def test_relabelling() -> None:
    model = SqRBM.uniform(4, 2, "XZ", seed=1)
    other = lift(model, "XYZ", relabel={"X": "Y"})
    np.testing.assert_allclose(log_p(other), log_p(model), atol=1e-12)
    assert np.array_equal(other.b[1], model.b[0])
    assert not other.b[0].any()
    swapped = lift(model, "XZ", relabel={"X": "Z", "Z": "X"})
    assert np.array_equal(swapped.w, model.w[::-1])
    assert lift(model, "XZ") == model


def test_new_rows_are_stationary_until_noise_breaks_the_symmetry() -> None:
    model = SqRBM.uniform(4, 2, "Z", seed=1)
    target = Target.from_dense(np.random.default_rng(0).dirichlet(np.ones(16)))
    lifted = lift(model, "XZ")
    gradient = exact.gradient(lifted, target)
    assert not gradient.b[0].any()
    assert not gradient.w[0].any()
    assert np.abs(gradient.w[1]).max() > 1e-3
    noisy = lift(model, "XZ", noise=1e-3, seed=5)
    assert noisy == lift(model, "XZ", noise=1e-3, seed=5)
    assert np.array_equal(noisy.w[1], model.w[0])
    assert 0 < np.abs(noisy.w[0]).max() <= 1e-3
    assert np.abs(exact.gradient(noisy, target).w[0]).max() > 1e-6
    # Second order in the noise: a factor 10 in it is a factor 100 in log p.
    change = [
        np.abs(log_p(lift(model, "XZ", noise=size, seed=5)) - log_p(model)).max()
        for size in (1e-2, 1e-3)
    ]
    assert change[0] / change[1] == pytest.approx(100, rel=0.05)


def test_noise_respects_the_mask() -> None:
    mask = line(5, 2)
    noisy = lift(SqRBM.uniform(5, 4, "Z", seed=1, mask=mask), "XYZ", noise=0.1, seed=1)
    assert np.array_equal(noisy.mask, mask)
    assert (noisy.w[:, mask] != 0).all()


@pytest.mark.parametrize(("paulis", "up"), [("Z", "XYZ"), ("Z", "XZ"), ("XZ", "XYZ")])
def test_lowering_undoes_turns(paulis: str, up: str) -> None:
    model = SqRBM.uniform(5, 4, paulis, seed=2, mask=line(5, 2))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, len(up), len(up))))[0]
    hidden = gauge.rotate(lift(model, up), None, turn)
    found = lower(hidden)
    assert found.paulis == paulis
    assert np.array_equal(found.mask, model.mask)
    np.testing.assert_allclose(log_p(found), log_p(model), atol=1e-12)
    np.testing.assert_allclose(
        gauge.canonical(found).to_vector(), gauge.canonical(model).to_vector(), atol=1e-10
    )


def test_a_unit_of_rank_one_is_a_classical_unit() -> None:
    direction = np.array([0.48, -0.6, 0.64])
    rows = np.random.default_rng(3).normal(size=(5, 2))
    units = direction[:, None, None] * rows[None]
    quantum = SqRBM(np.zeros(4), units[:, 0], units[:, 1:], "XYZ")
    classical = SqRBM(np.zeros(4), rows[None, 0], rows[None, 1:], "Z")
    np.testing.assert_allclose(log_p(quantum), log_p(classical), atol=1e-12)
    assert gauge.ranks(quantum).tolist() == [1, 1]
    assert lower(quantum).paulis == "Z"


def test_lowering_keeps_rows_that_need_no_turn() -> None:
    model = SqRBM.uniform(4, 2, "Y", seed=1)
    assert lower(lift(model, "XYZ")) == model
    two = lift(SqRBM.uniform(4, 2, "YX", seed=1), "XYZ")
    assert lower(two) == SqRBM(two.a, two.b[:2], two.w[:2], "XY")
    zero = SqRBM.uniform(3, 2, "XYZ", seed=0, scale=0.0)
    assert lower(zero).paulis == "Z"
    assert lower(SqRBM.uniform(3, 0, "XYZ", seed=0)).paulis == "Z"


def test_lowering_says_what_it_would_drop() -> None:
    model = SqRBM.uniform(4, 3, "XYZ", seed=1)
    values = gauge.singular_values(model)
    with pytest.raises(ValueError, match="3 of 3 hidden units need more than 2") as caught:
        lower(model)
    worst = int(np.argmax(values[:, 2] / values[:, 0]))
    assert f"(hidden unit {worst})" in str(caught.value)
    assert f"{values[worst, 2]:.3g}" in str(caught.value)
    with pytest.raises(ValueError, match="need more than 1"):
        lower(model, "Z")
    with pytest.raises(ValueError, match="one Pauli per hidden unit already"):
        lower(SqRBM.uniform(4, 3, "Z", seed=1))
    with pytest.raises(ValueError, match="use lift"):
        lower(SqRBM.uniform(4, 3, "Z", seed=1), "XZ")


def test_lowering_within_a_tolerance_is_the_best_there_is() -> None:
    """Dropped singular values bound the change of log p~."""
    model = lift(SqRBM.uniform(5, 2, "XZ", seed=4), "XYZ", noise=1e-5, seed=1)
    with pytest.raises(ValueError, match="tolerance"):
        lower(model)
    found = lower(model, tolerance=1e-3)
    assert found.paulis == "XZ"
    dropped = gauge.singular_values(model)[:, 2].sum()
    states = all_states(5)
    difference = np.abs(found.log_weight(states) - model.log_weight(states)).max()
    assert difference <= np.sqrt(6) * dropped
    assert difference < 1e-9  # second order, where fields are not small


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
def test_new_units_of_zeros_shift_log_z_alone(paulis: str) -> None:
    model = SqRBM.uniform(4, 2, paulis, seed=1)
    larger = add_hidden(model, 3)
    assert larger.n_hidden == 5
    np.testing.assert_allclose(log_p(larger), log_p(model), atol=1e-12)
    grown = enumerate_model(larger)[0] - enumerate_model(model)[0]
    assert grown == pytest.approx(3 * math.log(2), abs=1e-12)
    assert remove_hidden(larger, [2, 3, 4]) == model
    target = Target.from_dense(np.random.default_rng(0).dirichlet(np.ones(16)))
    assert not exact.gradient(larger, target).w[:, :, 2:].any()
    random = add_hidden(model, 3, scale=0.1, seed=1)
    assert 0 < np.abs(random.w[:, :, 2:]).max() <= 0.1
    assert remove_hidden(random, [4, 3, 2]) == model
    assert add_hidden(model, 0) == model


def test_masks_of_new_units() -> None:
    local = SqRBM.uniform(4, 3, "XZ", seed=1, mask=line(4, 2))
    dense = SqRBM.uniform(4, 3, "XZ", seed=1)
    new = np.array([[True], [False], [True], [False]])
    for model in (local, dense):
        larger = add_hidden(model, 1, scale=1.0, seed=1, mask=new)
        assert np.array_equal(larger.mask[:, 3:], new)
        assert not larger.w[:, ~new[:, 0], 3].any()
    assert add_hidden(local, 1, scale=1.0, seed=1).mask[:, 3].all()
    assert add_hidden(dense, 1).mask is None
    assert np.array_equal(select_hidden(local, [2, 0]).mask, local.mask[:, [2, 0]])
    assert np.array_equal(remove_hidden(local, 1).mask, local.mask[:, [0, 2]])


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(4)), st.floats(-3, 3), st.sampled_from(["Z", "XZ", "XYZ"]))
def test_order_does_not_matter(order: list[int], power: float, paulis: str) -> None:
    model = SqRBM.uniform(4, 4, paulis, scale=10.0**power, seed=1)
    states = all_states(4)
    scale = max(1.0, 10.0**power)
    other = select_hidden(model, order)
    np.testing.assert_allclose(
        other.log_weight(states), model.log_weight(states), rtol=0, atol=1e-12 * scale
    )


def test_arguments_are_checked() -> None:
    model = SqRBM.uniform(3, 2, "XZ", seed=0)
    with pytest.raises(ValueError, match="has no X, which"):
        lift(model, "Z")
    with pytest.raises(ValueError, match="relabel names 'Y'"):
        lift(model, "XYZ", relabel={"Y": "Z"})
    with pytest.raises(ValueError, match="one letter"):
        lift(model, "XYZ", relabel={"X": "Z"})
    with pytest.raises(ValueError, match="give a seed"):
        lift(model, "XYZ", noise=0.1)
    with pytest.raises(ValueError, match="noise must be"):
        lift(model, "XYZ", noise=-1.0, seed=1)
    with pytest.raises(ValueError, match="give a seed"):
        add_hidden(model, 1, scale=0.1)
    with pytest.raises(ValueError, match="at least 0"):
        add_hidden(model, -1)
    with pytest.raises(ValueError, match="mask"):
        add_hidden(model, 2, mask=np.ones((3, 1), bool))
    with pytest.raises(ValueError, match="does not exist"):
        remove_hidden(model, 2)
    with pytest.raises(ValueError, match="named twice"):
        select_hidden(model, [0, 0])
