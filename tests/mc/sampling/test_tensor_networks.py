"""Amplitude networks fitted to chains, and what rests on them: log Z, samples, global moves.

Statistical tests fail right code with probability 1e-4 at most each, for a new choice of seeds;
there are about ten.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mc.sampling.amplitude.fit import (
    CHAINS,
    conditioned,
    find_states,
    fit_amplitude,
    log_weight_of,
)
from mc.sampling.amplitude.moves import IndependenceMoves
from mc.sampling.info import MixingWarning
from mc.sampling.log_z.estimate import EstimateWarning
from mc.sampling.log_z.policies import Network
from mc.sampling.partition import log_partition
from mc.sampling.policies import Chains, Perfect
from mc.sampling.sample import sample
from tests.mc.sampling.tensor_twins import probabilities
from tests.mc_twins import chi_squared, draw_states
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.datasets import Target
from tnqbm.kernels.parallel import get_num_threads, max_threads, set_num_threads

MODEL = SqRBM.uniform(10, 10, "XYZ", scale=0.8, seed=1)
P = probabilities(MODEL)
LOG_Z = enumerate_model(MODEL)[0]
TIGHT = 4
"""A bond dimension that leaves this model's network visibly wrong (an exact one needs 32)."""


@pytest.fixture(scope="module")
def network() -> Any:
    return fit_amplitude(MODEL, max_bond=TIGHT, seed=1)


@pytest.fixture
def threads() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


# --- fitting ------------------------------------------------------------------------------------


def test_fitted_networks_are_normalised_and_near(network: Any) -> None:
    assert network.n_visible == 10
    assert max(network.bond_sizes) <= TIGHT
    q = np.exp(network.log_prob(all_states(10)))
    assert q.sum() == pytest.approx(1.0, abs=1e-9)
    distance = 0.5 * np.abs(q - P).sum()
    assert 0.005 < distance < 0.4
    wide = fit_amplitude(MODEL, max_bond=32, seed=1)
    assert 0.5 * np.abs(np.exp(wide.log_prob(all_states(10))) - P).sum() < 0.2 * distance


def test_a_seed_is_a_network_whatever_the_threads(threads: None) -> None:
    model = SqRBM.uniform(24, 8, "XYZ", scale=0.3, seed=1)
    found = []
    for seed, count in ((1, 1), (1, min(2, max_threads())), (2, 1)):
        set_num_threads(count)
        v, log_q = fit_amplitude(model, max_bond=8, seed=seed).sample(100, seed=3)
        found.append((v, log_q))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert (found[0][1] != found[2][1]).any()


@pytest.mark.parametrize("feed", ["chains", "tempered"])
def test_states_to_fit_to_follow_the_model(feed: Any) -> None:
    found = find_states(MODEL, 4, feed=feed, key=3)
    assert found.shape == (CHAINS, 4, 10)
    # The slowest of ten means, in at least 256 independent chains: 5 standard errors.
    wanted = enumerate_model(MODEL)[1][:10]
    assert (np.abs((1.0 - 2.0 * found).mean(axis=(0, 1)) - wanted) < 5 / 16).all()
    np.testing.assert_array_equal(find_states(MODEL, 2, feed=feed, key=3), found[:, :2])
    held = np.full(10, -1, dtype=np.int8)
    held[[2, 7]] = 1, 0
    found = find_states(MODEL, 2, feed=feed, held=held, key=3)
    assert (found[..., [2, 7]] == [1, 0]).all()
    assert (found[..., 3] != found[0, 0, 3]).any()


def test_every_second_chain_starts_from_the_data() -> None:
    n = 8
    model = SqRBM(np.zeros(n), np.zeros((1, 2)), np.full((1, n, 2), 3.0), "Z")  # up or down
    found = find_states(model, 1, data=Target.uniform([[1] * n]), key=1)[:, 0]
    assert (found[::2] == 1).all()
    assert 0.2 < found[1::2].mean() < 0.8
    rows = np.zeros((3, n), dtype=np.uint8)
    assert (find_states(model, 1, feed="chains", data=rows, key=1)[::2, 0] == 0).all()


def test_the_model_of_the_free_units() -> None:
    held = np.full(10, -1, dtype=np.int8)
    held[[0, 4, 9]] = 1, 0, 1
    part = conditioned(MODEL, held)
    v = all_states(10)
    inside = (v[:, 0] == 1) & (v[:, 4] == 0) & (v[:, 9] == 1)
    np.testing.assert_allclose(probabilities(part), P[inside] / P[inside].sum(), rtol=1e-10)
    assert conditioned(MODEL, np.full(10, -1, dtype=np.int8)) is MODEL
    mask = np.zeros((10, 10), dtype=bool)
    mask[:, ::2] = True
    masked = SqRBM(MODEL.a, MODEL.b, MODEL.w * mask, "XYZ", mask=mask)
    np.testing.assert_array_equal(conditioned(masked, held).mask, mask[held == -1])


# --- what rests on it ---------------------------------------------------------------------------


@pytest.mark.parametrize("max_bond", [TIGHT, 32])
def test_log_z_at_any_bond_dimension(max_bond: int) -> None:
    found = log_partition(MODEL, Network(max_bond=max_bond), seed=2)
    assert found.max_bond is not None
    assert found.max_bond <= max_bond
    assert abs(found.value - LOG_Z) < 4 * found.standard_error + 1e-9
    assert found.trusted
    assert found.ess > 0.6 * 4000


def test_a_network_that_is_too_small_is_found_out() -> None:
    """A product state sits in one mode of this model: nothing in its own weights shows the rest."""
    with pytest.warns(EstimateWarning, match="lacks a part of the model that the chains found"):
        found = log_partition(MODEL, Network(max_bond=1), seed=1)
    assert found.max_bond == 1
    assert found.value < LOG_Z - 5 * found.standard_error
    assert not found.trusted
    assert found.reverse is not None
    assert abs(found.reverse.value - LOG_Z) < 0.2


def test_samples_given_to_fit_to() -> None:
    """States of one mode only: the check with chains finds the other."""
    n = 10
    model = SqRBM(np.full(n, 0.03), np.zeros((1, 3)), np.full((1, n, 3), 0.9), "Z")
    log_z = enumerate_model(model)[0]
    one = draw_states(
        np.where(all_states(n).sum(axis=1) > n / 2, probabilities(model), 0.0),
        1000, n, np.random.default_rng(1),
    )  # fmt: skip
    whole = log_partition(model, Network(max_bond=16), seed=1)
    assert whole.trusted
    assert abs(whole.value - log_z) < 4 * whole.standard_error + 1e-9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EstimateWarning)
        found = log_partition(model, Network(max_bond=16, states=one), seed=1)
    # The fit may find the other mode by itself; if it did not, the estimate says so.
    assert not found.trusted or abs(found.value - log_z) < 4 * found.standard_error + 1e-9


def test_global_moves_keep_the_distribution(network: Any) -> None:
    moves = IndependenceMoves(network, log_weight_of(MODEL), 9)
    states = draw_states(P, 20_000, 10, np.random.default_rng(1))
    before = states.copy()
    accepted = moves.propose(states, 0) | moves.propose(states, 1)
    assert chi_squared(states, P) > 1e-6
    assert 0.5 < accepted.mean() < 1
    assert (states != before).any(axis=1).mean() > 0.5


def test_chains_with_moves_cross_between_modes() -> None:
    n = 12
    noise = SqRBM.uniform(n, 3, "XYZ", scale=0.2, seed=3)
    w = noise.w.copy()
    w[2, :, 0] += 1.4
    model = SqRBM(0.2 * noise.a, 0.1 * noise.b, w, "XYZ")
    with_moves = Chains(40, kernel="tensor", max_bond=16)
    with pytest.warns(MixingWarning, match="R-hat"):
        sample(model, 50, Chains(40, kernel="collapsed", burn_in=50, thin=1), seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        states, info = sample(model, 50, with_moves, seed=1)
    assert info.mixed
    up = all_states(n).sum(axis=1) < n / 2
    wanted = probabilities(model)[up].sum()
    assert 0.1 < wanted < 0.9
    error = np.sqrt(0.25 / info.mixing.ess_visible)
    assert abs((states.sum(axis=2) < n / 2).mean() - wanted) < 5 * error
    again, _ = sample(model, 50, with_moves, seed=1)
    assert (again == states).all()


def test_perfect_samples_given_clamped_units() -> None:
    held = {0: 1, 4: 0}
    states, info = sample(MODEL, 20_000, Perfect(max_bond=16, resample=True), clamp=held, seed=1)
    assert (states[:, [0, 4]] == [1, 0]).all()
    v = all_states(10)
    inside = (v[:, 0] == 1) & (v[:, 4] == 0)
    p = np.where(inside, P, 0.0) / P[inside].sum()
    wanted = p @ (1.0 - 2.0 * v)
    assert info.ess > 10_000
    assert (np.abs((1.0 - 2.0 * states).mean(axis=0) - wanted) < 5 / np.sqrt(info.ess)).all()
    completed, _ = sample(MODEL, 50, Chains(kernel="tensor", max_bond=16), clamp=held, seed=1)
    assert (completed[..., [0, 4]] == [1, 0]).all()
    error = np.sqrt(1 / (completed[..., 0].size / 4))
    assert (np.abs((1.0 - 2.0 * completed).mean(axis=(0, 1)) - wanted) < 5 * error).all()


@pytest.mark.parametrize(("n", "m"), [(1, 2), (1, 0), (2, 1), (5, 0)])
def test_small_models(n: int, m: int) -> None:
    model = SqRBM.uniform(n, m, "XZ", seed=2)
    log_z = enumerate_model(model)[0]
    found = log_partition(model, Network(samples=500), seed=1)
    assert abs(found.value - log_z) < 5 * found.standard_error + 1e-9
    states, info = sample(model, 5000, "perfect", seed=1)
    assert chi_squared(states, probabilities(model)) > 1e-6 or info.ess < 4999
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)
        _, mixed = sample(model, 20, Chains(kernel="tensor", chains=20), seed=1)
    assert mixed.acceptance > 0.9
