"""Collapsed sweeps of sqBMs with small hidden groups leave p(v) invariant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from mc.kernels.groups import GroupSweeper
from tnqbm import SqBM
from tnqbm.core.states import index_of

CHAINS, ROUNDS, BETWEEN = 2000, 30, 5
KEYS = np.array([77], np.uint64)


def chi_squared_chance(model: SqBM, p: np.ndarray) -> float:
    """How often states drawn from p would be farther from it than the chains of a model are."""
    sweeper = GroupSweeper(model.layout)
    states = np.zeros((1, CHAINS, model.n_visible), np.uint8)
    theta = model.to_vector()[None]
    sweeper.sweep(theta, states, KEYS, 0, 20)
    counts = np.zeros(1 << model.n_visible)
    for turn in range(ROUNDS):
        sweeper.sweep(theta, states, KEYS, 20 + turn * BETWEEN, BETWEEN)
        counts += np.bincount(index_of(states[0]), minlength=counts.size)
    expected = p * counts.sum()
    assert expected.min() > 20
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), counts.size - 1))


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_chains_have_the_models_distribution(paulis):
    model = SqBM(
        4, 7, hidden_edges=[(0, 1), (1, 2), (2, 3), (4, 5)], visible_edges=[(0, 2), (1, 3)],
        paulis=paulis, scale=0.5, seed=4,
    )  # fmt: skip
    assert chi_squared_chance(model, model.probabilities()) > 1e-3


def test_the_comparison_notices_missing_couplings():
    edges = [(0, 1), (1, 2), (3, 4)]
    model = SqBM(4, 5, hidden_edges=edges, visible_edges="line", scale=0.6, seed=4)
    for kind in ("hidden", "visible"):
        without = {**model.parameters, kind: 0.0 * model.parameters[kind]}
        other = SqBM(4, 5, hidden_edges=edges, visible_edges="line", parameters=without)
        assert chi_squared_chance(model, other.probabilities()) < 1e-6


def test_chains_do_not_depend_on_how_they_are_grouped():
    mask = np.arange(6)[:, None] // 2 == np.arange(6) // 2
    model = SqBM(6, 6, hidden_edges="groups-3", visible_edges="ring", mask=mask, seed=2)
    sweeper, theta = GroupSweeper(model.layout), model.to_vector()[None]
    whole = np.zeros((1, 21, 6), np.uint8)
    rates = sweeper.sweep(theta, whole, KEYS, 3, 4)
    first, second = np.zeros((1, 9, 6), np.uint8), np.zeros((1, 12, 6), np.uint8)
    for part, begin in ((first, 0), (second, 9)):
        sweeper.sweep(theta, part, KEYS, 3, 1, begin)
        sweeper.sweep(theta, part, KEYS, 4, 3, begin)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), whole)
    assert ((rates > 0) & (rates < 1)).all()


def test_models_of_a_batch_do_not_mix():
    like = SqBM(5, 4, hidden_edges="groups-4", seed=0)
    sweeper = GroupSweeper(like.layout)
    theta = np.random.default_rng(1).normal(size=(3, like.n_parameters)) * 0.3
    keys = np.array([5, 6, 7], np.uint64)
    states = np.zeros((3, 10, 5), np.uint8)
    sweeper.sweep(theta, states, keys, 0, 3)
    for b in range(3):
        own = np.zeros((1, 10, 5), np.uint8)
        sweeper.sweep(theta[b : b + 1], own, keys[b : b + 1], 0, 3)
        np.testing.assert_array_equal(own[0], states[b])
        weights = like.with_coefficients(theta[b]).log_weight(own[0])
        np.testing.assert_array_equal(sweeper.log_weights(theta, states)[b], weights)


def test_fixed_units_stay():
    model = SqBM(4, 4, hidden_edges="groups-4", seed=0)
    free = np.array([True, False, True, False])
    states = np.tile(np.array([0, 1, 0, 0], np.uint8), (1, 50, 1))
    GroupSweeper(model.layout, free=free).sweep(model.to_vector()[None], states, KEYS, 0, 5)
    assert (states[0, :, 1] == 1).all()
    assert (states[0, :, 3] == 0).all()
    assert len(np.unique(states[0, :, [0, 2]].T, axis=0)) == 4
    with pytest.raises(ValueError, match="nothing is left to sample"):
        GroupSweeper(model.layout, free=np.zeros(4, bool))
    with pytest.raises(ValueError, match="4 truth values"):
        GroupSweeper(model.layout, free=np.ones(3, bool))
