"""Diagnostics of chains against series whose autocorrelation time is known."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from mc.sampling.chains.diagnostics import (
    RHAT_LIMIT,
    autocorrelation_time,
    bit_diagnostics,
    disagree,
    effective_sample_size,
    split_rhat,
)


@pytest.fixture(autouse=True)
def _no_warnings() -> None:
    warnings.simplefilter("error")


def ar1(rho: float, chains: int, draws: int, seed: int) -> np.ndarray:
    """Stationary AR(1) series; its integrated autocorrelation time is (1 + rho) / (1 - rho)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(chains, draws)) * math.sqrt(1 - rho**2)
    noise[:, 0] = rng.normal(size=chains)
    series = noise.copy()
    for k in range(1, draws):
        series[:, k] += rho * series[:, k - 1]
    return series


def telegraph(stay: float, chains: int, draws: int, seed: int) -> np.ndarray:
    """Bits that flip with probability 1 - stay; correlation (2 stay - 1)^k after k draws."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 2, (chains, 1))
    flips = rng.random((chains, draws - 1)) > stay
    return np.hstack([first, (first + np.cumsum(flips, axis=1)) % 2]).astype(np.uint8)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_an_ar1_series(rho: float) -> None:
    # 8 chains of 20,000 draws: the estimate spreads by 2 to 3 % (found from 50 seeds), so 12 % is
    # beyond four standard deviations (false-alarm rate below 1e-4). The ranks' autocorrelation
    # is a little shorter than the values', (6 / pi) asin(rho / 2), inside the same margin.
    series = ar1(rho, 8, 20_000, seed=1)
    assert autocorrelation_time(series) == pytest.approx((1 + rho) / (1 - rho), rel=0.12)
    assert split_rhat(series) < 1.01


def test_negative_correlation_is_worth_more_than_independence() -> None:
    assert effective_sample_size(ar1(-0.5, 8, 5000, seed=2)) > 1.5 * 8 * 5000


@pytest.mark.parametrize("stay", [0.5, 0.9])
def test_autocorrelation_time_of_a_bit(stay: float) -> None:
    states = telegraph(stay, 16, 8000, seed=3)[:, :, None]
    rho = 2 * stay - 1
    found = states.size / bit_diagnostics(states).ess[0]
    assert found == pytest.approx((1 + rho) / (1 - rho), rel=0.12)  # as for AR(1)


def test_bits_and_series_agree() -> None:
    states = np.stack([telegraph(stay, 5, 400, seed=4) for stay in (0.6, 0.95)], axis=-1)
    found = bit_diagnostics(states)
    for i in range(2):
        assert found.ess[i] == pytest.approx(effective_sample_size(states[:, :, i]), rel=1e-9)
        # Rank normalisation also folds the series, which can only raise the maximum.
        assert found.rhat[i] <= split_rhat(states[:, :, i]) + 1e-9
    assert found.ess_min == found.ess.min()
    assert found.rhat_max == found.rhat.max()


def test_chains_in_different_modes() -> None:
    series = ar1(0.3, 4, 500, seed=5)
    assert split_rhat(series) < 1.02
    series[2:] += 6.0
    assert split_rhat(series) > 1.5
    assert effective_sample_size(series) < 40
    # Different spread at the same mean is seen by the folded ranks.
    series = ar1(0.3, 4, 500, seed=5)
    series[2:] *= 8.0
    assert split_rhat(series) > 1.2


def test_a_trend_in_every_chain_is_seen_by_the_halves() -> None:
    series = ar1(0.0, 4, 200, seed=6) + np.linspace(0, 5, 200)
    assert split_rhat(series) > 1.3


def test_constant_series() -> None:
    for value in (0.0, -7.25, 1e9):
        series = np.full((5, 40), value)
        assert math.isnan(effective_sample_size(series))
        assert math.isnan(split_rhat(series))
        assert math.isnan(autocorrelation_time(series))
    # Energies of mirrored states are equal up to rounding only.
    series = np.full((5, 40), 12.3)
    series[::2] += 1e-15
    assert math.isnan(split_rhat(series))


def test_frozen_chains() -> None:
    frozen = np.repeat(np.random.default_rng(7).normal(size=(10, 1)), 60, axis=1)
    assert split_rhat(frozen) == math.inf
    assert effective_sample_size(frozen) < 0.1 * frozen.size
    states = np.zeros((10, 60, 3), dtype=np.uint8)
    states[5:, :, 0] = 1
    states[:, :, 1] = telegraph(0.5, 10, 60, seed=8)
    found = bit_diagnostics(states)
    assert found.unmixed.tolist() == [True, False, False]
    assert found.rhat[0] == found.rhat_max == math.inf
    assert math.isnan(found.rhat[2])  # never moved, anywhere
    assert math.isnan(found.ess[2])


def test_nothing_moved() -> None:
    found = bit_diagnostics(np.ones((4, 30, 2), dtype=np.uint8))
    assert math.isnan(found.ess_min)
    assert math.isnan(found.rhat_max)
    assert not found.unmixed.any()


def test_one_chain_is_compared_with_itself() -> None:
    steady = ar1(0.2, 1, 4000, seed=9)
    assert split_rhat(steady) < 1.02
    assert split_rhat(steady + np.linspace(0, 4, 4000)) > 1.3
    assert autocorrelation_time(steady) == pytest.approx(1.5, rel=0.25)
    states = np.zeros((1, 100, 1), dtype=np.uint8)
    states[0, 50:] = 1
    assert bit_diagnostics(states).unmixed[0]


@pytest.mark.parametrize("draws", [1, 2, 3])
def test_too_few_draws(draws: int) -> None:
    series = np.random.default_rng(10).normal(size=(6, draws))
    assert math.isnan(effective_sample_size(series))
    assert math.isnan(split_rhat(series))
    found = bit_diagnostics((series > 0).astype(np.uint8)[:, :, None])
    assert math.isnan(found.ess_min)
    assert math.isnan(found.rhat_max)


def test_single_chain_needs_eight_draws() -> None:
    series = np.random.default_rng(11).normal(size=(1, 8))
    assert math.isnan(split_rhat(series[:, :7]))
    assert not math.isnan(split_rhat(series))


@pytest.mark.parametrize(("chains", "draws"), [(2, 4), (4, 20), (100, 10), (100, 100), (1, 50)])
def test_independent_bits_raise_no_alarm(chains: int, draws: int) -> None:
    # 20 sets of 100 units of every rarity, at most 1e-4 a set: false-alarm rate below 2e-3.
    rng = np.random.default_rng(12)
    p = np.geomspace(1e-3, 0.5, 100)
    largest = 0.0
    for _ in range(20):
        found = bit_diagnostics((rng.random((chains, draws, 100)) < p).astype(np.uint8))
        assert not found.unmixed.any()
        largest = max(largest, 0.0 if math.isnan(found.rhat_max) else found.rhat_max)
    if draws == 20:
        assert largest > RHAT_LIMIT  # the plain limit would have raised one


def test_stuck_chains_among_many_are_seen() -> None:
    rng = np.random.default_rng(13)
    states = (rng.random((100, 50, 2)) < 0.3).astype(np.uint8)
    states[17:27, :, 0] = 1
    assert bit_diagnostics(states).unmixed.tolist() == [True, False]
    rare = np.zeros((100, 50, 1), dtype=np.uint8)
    rare[17, :, 0] = 1
    assert bit_diagnostics(rare).unmixed[0]


def test_disagreement() -> None:
    assert disagree(1.2, 100, 100)
    assert not disagree(1.04, 100, 10_000)
    assert not disagree(math.nan, 4, 3)
    assert disagree(math.inf, 2, 4)
    assert not disagree(1.3, 2, 8)  # four half chains of four draws show that by chance
    assert disagree(1.3, 100, 8)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: effective_sample_size(np.zeros(5)), r"\(chains, draws\), got \(5,\)"),
        (lambda: split_rhat(np.zeros((0, 4))), r"got \(0, 4\)"),
        (lambda: split_rhat([[1.0, 2.0], [1.0, np.nan]]), "chain 1, draw 1 is nan"),
        (lambda: bit_diagnostics(np.zeros((3, 4), np.uint8)), r"\(chains, draws, n\)"),
    ],
)
def test_bad_input(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]
