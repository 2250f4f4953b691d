"""The verdict on chains: modes that no unit and no energy tells apart, and both kinds of error."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from mc.sampling.chains.mixing import cut, diagnose, directions
from mc.sampling.chains.moving import spread_states
from mc.sampling.info import MixingWarning
from mc.sampling.policies import Chains, Tempered
from mc.sampling.sample import sample
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.datasets import Target


def trap(depth: float, tilt: float, n: int, paulis: str = "Z", field: float = 1.2) -> SqRBM:
    """All spins up or all down, ``depth`` per unit deep, weights apart by exp(tilt)."""
    axis = np.full(len(paulis), len(paulis) ** -0.5)
    b = (n * field + tilt / 2) * axis[:, None]
    w = np.tile(depth * axis[:, None, None], (1, n, 1))
    return SqRBM(np.full(n, field), b, w, paulis)


def flat(n: int = 40) -> SqRBM:
    return SqRBM(np.zeros(n), np.zeros((1, 0)), np.zeros((1, n, 0)), "Z")


def verdict(states: NDArray[np.uint8]) -> tuple[str, ...]:
    """Judged without energies that differ."""
    energies = np.random.default_rng(7).normal(size=states.shape[:2])
    along = directions(flat(states.shape[2]), states, None)
    return diagnose(states, energies, kept=states.shape[1], along=along).troubles


def drawn(means: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.uint8]:
    """Independent bits (chains, draws, n) with <s> = means, (chains, n) or (chains, draws, n)."""
    means = means if means.ndim == 3 else means[:, None]
    shape = (means.shape[0], draws, means.shape[2])
    s_up = np.random.default_rng(seed).random(shape) < 0.5 * (1 + means)
    return (~s_up).astype(np.uint8)


def test_modes_that_differ_a_little_in_every_unit_are_seen() -> None:
    """Each chain in one of two modes whose units differ by less than any test of one can see."""
    side = np.where(np.arange(20) % 2, 1.0, -1.0)
    states = drawn(0.15 * side[:, None] * np.ones(40), 50, 1)
    found = verdict(states)
    assert any("shares of the modes" in text for text in found)
    assert not any("visible means" in text for text in found)
    # The same mixture, a mode drawn anew for every state.
    mixed = np.random.default_rng(2).choice([-1.0, 1.0], (20, 50, 1))
    assert verdict(drawn(0.15 * mixed * np.ones(40), 50, 3)) == ()


def test_independent_draws_are_no_false_alarm() -> None:
    """Below 1e-4 for units, modes and energy each: not one in 60 runs of short chains."""
    rng = np.random.default_rng(5)
    for seed in range(60):
        chains, draws = (10, 12) if seed % 2 else (40, 50)
        share = rng.uniform(0.02, 0.5)
        modes = np.where(rng.random((chains, draws, 1)) < share, 1.0, -1.0)
        assert verdict(drawn(0.9 * modes * np.ones(12), draws, seed)) == ()


def test_states_are_cut_between_their_modes() -> None:
    states = drawn(np.array([[0.9], [-0.9]]) * np.ones((2, 30)), 100, 1)
    sides = cut(states, np.full((1, 30), 30**-0.5))[:, :, 0]
    assert sides[0].min() == 1
    assert sides[1].max() == 0
    alike = np.zeros((2, 5, 30), dtype=np.uint8)
    assert np.ptp(cut(alike, np.eye(30)[:2])) == 0


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_ladders_start_in_all_modes(paulis: str) -> None:
    """Random states fall into the second mode of this model rarely; opposite ones do not."""
    starts = spread_states(trap(4.0, 0.0, 20, paulis), 12, None, 1)
    ups = (1.0 - 2.0 * starts).mean(axis=1)
    assert (ups[1::4] * ups[3::4] == -1).all()
    assert (np.abs(ups[::2]) < 0.9).all()
    data = Target.uniform([[1, 0] * 10])
    with_data = spread_states(trap(4.0, 0.0, 20, paulis), 10, data, 1)
    assert (with_data[[5, 7]] == data.states[0]).all()
    assert spread_states(flat(5), 3, None, 1).shape == (3, 5)


def test_two_modes_out_of_proportion_are_not_called_mixed() -> None:
    """The energy says nothing here: both modes have the same."""
    with pytest.warns(MixingWarning, match="R-hat of the visible means"):
        _, info = sample(trap(4.0, 0.0, 20), 50, Tempered(chains=20), seed=3)
    assert info.mixing.rhat_energy < 1.05
    assert info.mixing.rhat_modes > 1.05
    assert not info.mixed


def test_chains_that_all_fell_into_one_mode_are_found_out() -> None:
    """They agree about everything; half of the probability is where none of them is."""
    model = trap(3.0, 0.0, 18, "XZ")
    with pytest.warns(MixingWarning, match="a mode that these have not seen"):
        samples, info = sample(model, 50, Chains(chains=20, kernel="collapsed"), seed=101)
    assert (samples.mean(axis=2) < 0.5).all()
    assert max(info.mixing.rhat_energy, info.mixing.rhat_visible, info.mixing.rhat_modes) < 1.05
    assert not info.mixed
    assert "share of perhaps 0.5" in info.warnings[0]


def off(model: SqRBM, samples: NDArray[np.uint8], ess: float) -> float:
    """Largest error of a visible mean, in standard errors of ``ess`` independent samples."""
    n = model.n_visible
    log_z, _, log_weight = enumerate_model(model)
    exact = np.exp(log_weight - log_z) @ (1.0 - 2.0 * all_states(n))
    found = (1.0 - 2.0 * samples.reshape(-1, n)).mean(axis=0)
    return float((np.abs(found - exact) / np.sqrt((1 - exact**2) / ess)).max())


def test_rates_of_both_errors() -> None:
    """Wrong by more than five errors and called mixed: none. Right and called unmixed: at most
    10 %.

    Models and seeds on which nothing was tuned; the easy ones mix, by tempering and by chains.
    """
    hard = [trap(3.5, 0.5, 12), trap(3.0, 1.0, 12, "XYZ"), trap(3.0, 3.0, 12, "XZ")]
    easy = [
        SqRBM.uniform(10, 6, paulis, scale=scale, seed=21)
        for paulis in ("Z", "XYZ")
        for scale in (0.2, 0.5, 0.8)
    ]
    wrong, alarms, runs = [], 0, 0
    for k, model in enumerate([*hard, *easy]):
        for tempered in (True, False):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MixingWarning)
                plain = Chains(chains=12, kernel="collapsed", thin=5, burn_in=300)
                policy = Tempered(chains=12) if tempered else plain
                samples, info = sample(model, 40, policy, seed=31 + k)
            ess = np.nanmin([info.mixing.ess_visible, info.mixing.ess_modes, samples.shape[0] * 40])
            if info.mixed and off(model, samples, ess) > 5:
                wrong.append((k, tempered))
            if k >= len(hard):
                runs += 1
                alarms += not info.mixed
    assert not wrong
    assert alarms <= runs // 10
