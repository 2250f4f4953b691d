"""Divergences of changed models, from all states and from samples."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reductions import divergence
from tests.twins import all_states
from tnqbm import SqRBM, exact
from tnqbm.model_tools.reweighting import Reference, log_weights, reference


def pair(size: float, seed: int = 1) -> tuple[SqRBM, SqRBM, np.ndarray]:
    """A model, a changed one, and the change of log p~ at every state."""
    one = SqRBM.uniform(6, 3, "XZ", seed=seed)
    change = size * np.random.default_rng(seed).normal(size=one.n_parameters)
    two = SqRBM.from_vector(one.to_vector() + change, 6, 3, "XZ")
    return one, two, one.log_weight(all_states(6)) - two.log_weight(all_states(6))


@pytest.mark.parametrize("size", [1e-3, 0.1, 1.0, 30.0])
def test_cost_is_the_divergence(size: float) -> None:
    one, two, delta = pair(size)
    found = reference(one).cost(delta)
    assert found.kl == pytest.approx(divergence(one, two), rel=1e-6)
    assert found.standard_error == 0.0
    change = exact.log_partition(two) - exact.log_partition(one)
    assert found.log_mean == pytest.approx(change, abs=1e-10)


def test_small_divergences_keep_their_digits() -> None:
    """KL of a change of size h is h^2 times a constant, down to 1e-20."""
    one, _, delta = pair(1.0)
    sizes = np.array([1e-5, 1e-8, 1e-10])
    scaled = np.array([reference(one).cost(h * delta).kl for h in sizes]) / sizes**2
    np.testing.assert_allclose(scaled / scaled[1], 1.0, rtol=1e-3)


def test_constants_are_free() -> None:
    one, _, delta = pair(0.3)
    states = reference(one)
    assert states.cost(delta + 1e3).kl == pytest.approx(states.cost(delta).kl, rel=1e-9)


def test_linear_parts_are_found() -> None:
    one, _, _ = pair(0.3)
    states = reference(one)
    d = np.linspace(-1, 1, 6)
    np.testing.assert_allclose(states.linear(2.0 + states.spins @ d), d, atol=1e-12)
    np.testing.assert_allclose(states.project(2.0 + states.spins @ d), d, atol=1e-9)
    values = np.column_stack([states.spins @ d, states.spins[:, 0] * states.spins[:, 1]])
    rest = states.without_linear(values)
    assert np.abs(rest[:, 0]).max() < 1e-12
    design = np.sqrt(states.weights)[:, None] * np.column_stack([np.ones(64), states.spins])
    np.testing.assert_allclose(design.T @ rest, 0.0, atol=1e-12)


def test_units_that_never_change_in_samples_are_left_alone() -> None:
    one, _, delta = pair(0.3)
    drawn = np.random.default_rng(0).integers(0, 2, (400, 6))
    drawn[:, 2] = 1
    drawn[:, 4] = drawn[:, 5]
    states = reference(one, drawn, limit=0)
    d = states.project(np.resize(delta, 400))
    assert np.isfinite(d).all()
    assert abs(d[2]) < 1e-9
    assert d[4] == pytest.approx(d[5], abs=1e-6)


def test_what_stands_for_the_model() -> None:
    one, _, _ = pair(0.3)
    states = reference(one)
    np.testing.assert_allclose(states.weights, exact.probabilities(one), atol=1e-14)
    np.testing.assert_allclose(
        log_weights(one, states.spins), one.log_weight(all_states(6)), atol=1e-13
    )
    # All states rather than samples, where both are to be had.
    assert reference(one, np.zeros((5, 6))).exact
    drawn = reference(one, np.zeros((4, 5, 6)), limit=0)
    assert (drawn.exact, drawn.chains, drawn.weights.size) == (False, 4, 20)
    assert np.isnan(
        reference(one, np.zeros((1, 5, 6)), limit=0).cost(np.arange(5.0)).standard_error
    )
    with pytest.raises(ValueError, match="give samples"):
        reference(one, limit=5)
    with pytest.raises(ValueError, match="shape"):
        reference(one, np.zeros((2, 2, 2, 6)), limit=0)
    assert isinstance(drawn, Reference)
