"""The front door to sampling: exactness against enumeration, determinism, diagnosis, bad input."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

import tnqbm.base.limits
from mc.kernels import KERNELS, is_exact
from mc.sampling.chains.sample import FALLBACK
from mc.sampling.info import ChainsInfo, MixingWarning
from mc.sampling.policies import Chains
from mc.sampling.sample import sample
from tests.mc_twins import sample_by
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.core.states import index_of
from tnqbm.datasets import Target

FALSE_ALARM = 1e-6
"""False-alarm rate of every chi-squared test below; there are some twenty."""

ROOT = 20250101


def chi_squared(states: np.ndarray, p: np.ndarray) -> float:
    """Probability of counts of the independent rows (N, n) as far from ``p`` (2**n,), pooled.

    States expected fewer than five times share a bin.
    """
    counts = np.bincount(index_of(states), minlength=p.size).astype(float)
    expected = p * len(states)
    rare = expected < 5
    assert counts[p == 0].sum() == 0
    observed, wanted = counts[~rare], expected[~rare]
    if expected[rare].sum() >= 5:
        observed, wanted = (
            np.append(observed, counts[rare].sum()),
            np.append(wanted, expected[rare].sum()),
        )
    statistic = ((observed - wanted) ** 2 / wanted).sum()
    return float(chi2.sf(statistic, wanted.size - 1))


def probabilities(model: SqRBM) -> np.ndarray:
    log_z, _, log_weight = enumerate_model(model)
    return np.exp(log_weight - log_z)


def last_states(model: SqRBM, kernel: str, **options: Any) -> np.ndarray:
    """One state of each of 10,000 independent chains, after 400 sweeps."""
    given: dict[str, Any] = {"chains": 10_000, "burn_in": 200, "thin": 200, "seed": ROOT}
    with pytest.warns(MixingWarning, match="too few to tell"):
        states, _ = sample_by(model, 1, kernel=kernel, **(given | options))
    return states[:, 0]


# --- exactness ----------------------------------------------------------------------------------


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize("kernel", [name for name in KERNELS if name != "thermal-uncorrected"])
def test_samples_follow_enumeration(paulis: str, kernel: str) -> None:
    if kernel == "block" and paulis != "Z":
        pytest.skip("block is the sampler of one Pauli")
    model = SqRBM.uniform(5, 3, paulis, scale=0.7, seed=7)
    assert chi_squared(last_states(model, kernel), probabilities(model)) > FALSE_ALARM


@pytest.mark.parametrize("kernel", ["bloch", "thermal", "collapsed", "measured"])
def test_clamped_samples_follow_the_conditional_distribution(kernel: str) -> None:
    model = SqRBM.uniform(6, 3, "XYZ", scale=0.7, seed=8)
    states = last_states(model, kernel, clamp={0: 1, 3: 0})
    assert (states[:, 0] == 1).all()
    assert (states[:, 3] == 0).all()
    v = all_states(6)
    p = np.where((v[:, 0] == 1) & (v[:, 3] == 0), probabilities(model), 0.0)
    assert chi_squared(states, p / p.sum()) > FALSE_ALARM


def test_negative_controls_are_found_out() -> None:
    model = SqRBM.uniform(5, 3, "XYZ", scale=1.0, seed=7)
    states = last_states(model, "thermal-uncorrected")
    assert chi_squared(states, probabilities(model)) < FALSE_ALARM  # an approximation
    other = SqRBM(model.a + 0.1, model.b, model.w, "XYZ")
    assert chi_squared(last_states(model, "collapsed"), probabilities(other)) < FALSE_ALARM


def test_defaults_give_right_moments_and_a_clean_bill() -> None:
    model = SqRBM.uniform(8, 4, "XYZ", scale=0.4, seed=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        states, info = sample(model, 200, seed=ROOT)
    assert states.shape == (100, 200, 8)
    assert states.dtype == np.uint8
    assert info.mixed
    assert not info.warnings
    assert info.sweeps == info.burn_in + 200 * info.thin
    _, averages, _ = enumerate_model(model)
    z = averages[:8]
    found = 1 - 2.0 * states.reshape(-1, 8).mean(axis=0)
    error = np.sqrt((1 - z**2) / info.mixing.ess_visible)
    assert (np.abs(found - z) < 5 * error).all()  # false-alarm rate below 1e-5


def test_single_precision_no_hidden_units_and_one_visible_unit() -> None:
    model = SqRBM.uniform(5, 3, "XZ", scale=0.7, seed=7)
    states = last_states(model, "collapsed", precision="single")
    assert chi_squared(states, probabilities(model)) > FALSE_ALARM
    bare = SqRBM([0.3, -0.4], np.zeros((1, 0)), np.zeros((1, 2, 0)), "Z")
    assert chi_squared(last_states(bare, "collapsed"), probabilities(bare)) > FALSE_ALARM
    one = SqRBM([0.3], [[0.2]], [[[0.5]]], "X")
    assert chi_squared(last_states(one, "auto"), probabilities(one)) > FALSE_ALARM


# --- starts -------------------------------------------------------------------------------------


def test_starts() -> None:
    frozen = SqRBM(np.zeros(4), np.zeros((1, 0)), np.zeros((1, 4, 0)), "Z")
    rows = np.array([[0, 0, 1, 1], [1, 1, 0, 0]])
    given = rows[[0, 1, 1, 0, 1]]
    options: dict[str, Any] = {"kernel": "collapsed", "burn_in": 0, "thin": 1, "seed": 1}
    # With all units but one held, the others show where the chains started.
    clamp = np.array([-1, 1, 1, 1])
    with pytest.warns(MixingWarning):
        states, _ = sample_by(frozen, 2, chains=5, init=given, clamp=clamp, **options)
    assert (states[:, :, 1:] == 1).all()
    from mc.sampling.chains.moving import starting_states

    assert (starting_states(given, 5, 4, data=None, seed=0) == given).all()
    for data in (rows, Target.uniform(rows)):
        found = starting_states("data", 50, 4, data=data, seed=0)
        assert {tuple(row) for row in found} == {tuple(row) for row in rows}
    target = Target(rows, [0.9, 0.1])
    assert starting_states("data", 400, 4, data=target, seed=0)[:, 0].mean() < 0.2


# --- determinism --------------------------------------------------------------------------------


def test_the_seed_decides_everything() -> None:
    model = SqRBM.uniform(7, 3, "XYZ", scale=0.5, seed=3)
    states, info = sample(model, 20, Chains(chains=40), seed=5)
    again, same = sample(model, 20, Chains(chains=40, kernel=info.kernel), seed=5)
    assert (states == again).all()  # a choice of "auto", pinned
    assert (info.burn_in, info.thin) == (same.burn_in, same.thin)
    assert info.mixing.ess_energy == same.mixing.ess_energy
    other, _ = sample(model, 20, Chains(chains=40, kernel=info.kernel), seed=6)
    assert (states != other).any()
    seeded, _ = sample(
        model, 20, Chains(chains=40, kernel=info.kernel), seed=np.random.SeedSequence(5)
    )
    assert (states == seeded).all()


def test_chains_do_not_depend_on_how_many_there_are() -> None:
    model = SqRBM.uniform(7, 3, "XZ", scale=0.5, seed=3)
    few, one = sample(model, 60, Chains(chains=7, kernel="collapsed"), seed=5)
    many, two = sample(model, 60, Chains(chains=30, kernel="collapsed"), seed=5)
    assert (few == many[:7]).all()
    assert (one.burn_in, one.thin) == (two.burn_in, two.thin)


def test_progress_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    model = SqRBM.uniform(4, 2, "Z", scale=0.5, seed=3)
    shown, _ = sample(model, 50, Chains(chains=20, kernel="collapsed"), seed=5, progress=True)
    quiet, _ = sample(model, 50, Chains(chains=20, kernel="collapsed"), seed=5)
    assert (shown == quiet).all()
    assert capsys.readouterr().out == ""


# --- kernels and pilots -------------------------------------------------------------------------


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
def test_auto_compares_all_exact_kernels(paulis: str) -> None:
    model = SqRBM.uniform(6, 3, paulis, scale=0.5, seed=3)
    _, info = sample(model, 50, seed=5)
    names = {pilot.kernel for pilot in info.pilots}
    assert names - {"block"} == {"bloch", "thermal", "collapsed", "measured"}
    assert ("block" in names) == (paulis == "Z")
    assert all(is_exact(name, len(paulis)) for name in names)
    assert info.kernel in names
    assert info.exact
    for pilot in info.pilots:
        assert pilot.settled
        assert pilot.ess_per_second > 0
        assert 0 < pilot.acceptance <= 1
    chosen = next(pilot for pilot in info.pilots if pilot.kernel == info.kernel)
    assert (info.burn_in, info.thin) == (chosen.burn_in, chosen.thin)
    plain = info.as_dict()
    assert plain["pilots"][0]["ess_per_second"] == info.pilots[0].ess_per_second


def test_no_pilot_where_nothing_is_left_to_find_out() -> None:
    model = SqRBM.uniform(6, 3, "Z", scale=0.3, seed=3)
    _, info = sample(model, 50, Chains(kernel="block", burn_in=50, thin=2), seed=5)
    assert info.pilots == ()
    assert (info.burn_in, info.thin, info.sweeps) == (50, 2, 150)


def test_an_approximate_kernel_says_so() -> None:
    model = SqRBM.uniform(6, 3, "XZ", scale=0.2, seed=3)
    _, info = sample(model, 50, Chains(kernel="thermal-uncorrected"), seed=5)
    assert not info.exact
    assert "approximates" in " ".join(info.warnings)


# --- mixing -------------------------------------------------------------------------------------


def two_modes(n: int = 8, strength: float = 3.0) -> SqRBM:
    """All up or all down: one strongly coupled hidden unit per visible one."""
    return SqRBM(np.zeros(n), np.zeros((1, 2)), np.full((1, n, 2), strength), "Z")


def test_chains_in_two_modes_are_reported() -> None:
    with pytest.warns(MixingWarning, match=r"R-hat of the visible means is up to .*tempering"):
        states, info = sample(
            two_modes(), 100, Chains(kernel="collapsed", burn_in=20, thin=1), seed=1
        )
    assert not info.mixed
    assert info.mixing.rhat_visible > 1.5
    assert states.mean(axis=(1, 2)).std() > 0.3  # they did stay apart
    assert any("R-hat" in text for text in info.warnings)


def test_an_unsettled_pilot_is_reported() -> None:
    with pytest.warns(MixingWarning):
        _, info = sample(two_modes(), 10, Chains(chains=20, kernel="collapsed"), seed=1)
    assert not info.pilots[0].settled
    assert any("pilot" in text for text in info.warnings)
    assert info.thin <= 100


def test_slow_chains_are_worth_little() -> None:
    model = two_modes(4, 0.6)
    with pytest.warns(MixingWarning, match="worth only"):
        sample(model, 300, Chains(chains=1, kernel="collapsed", burn_in=100, thin=1), seed=1)


def test_too_few_draws_cannot_be_judged() -> None:
    model = SqRBM.uniform(4, 2, "Z", scale=0.3, seed=3)
    with pytest.warns(MixingWarning, match="too few to tell"):
        _, info = sample(model, 2, Chains(kernel="collapsed", burn_in=0, thin=1), seed=1)
    assert math.isnan(info.mixing.rhat_energy)
    # One sample per chain is judged by the end of the burn-in.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, info = sample(
            model, 1, Chains(chains=400, kernel="collapsed", burn_in=100, thin=1), seed=1
        )
    assert info.mixed
    assert 200 < info.mixing.ess_energy < 800


def test_a_certain_state_is_mixed_only_if_chains_came_from_different_ones() -> None:
    certain = SqRBM(np.full(5, 40.0), np.zeros((1, 0)), np.zeros((1, 5, 0)), "Z")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        states, info = sample(certain, 10, Chains(kernel="collapsed", burn_in=10, thin=1), seed=1)
    assert (states == 1).all()
    assert info.mixed
    assert math.isnan(info.mixing.ess_energy)
    assert math.isnan(info.mixing.rhat_visible)
    with pytest.warns(MixingWarning, match="no chain ever left"):
        sample(
            certain,
            10,
            Chains(chains=10, kernel="collapsed", init=np.ones((10, 5)), burn_in=0, thin=1),
            seed=1,
        )


def test_only_free_units_are_judged() -> None:
    model = SqRBM.uniform(6, 3, "XYZ", scale=0.4, seed=3)
    clamp = np.array([0, 0, 1, 1, 1, -1])
    _, info = sample(model, 100, clamp=clamp, seed=1)
    assert info.mixed
    assert info.mixing.ess_visible > 1000


# --- bad input ----------------------------------------------------------------------------------

GOOD = SqRBM.uniform(4, 2, "XZ", seed=1)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"samples": 0}, ValueError, "samples must be at least 1, got 0"),
        ({"samples": 2.5}, TypeError, "samples must be a whole number, got 2.5"),
        ({"chains": -1}, ValueError, "chains must be at least 1"),
        ({"chains": True}, TypeError, "chains"),
        ({"burn_in": -1}, ValueError, "burn_in"),
        ({"thin": 0}, ValueError, "thin"),
        ({"kernel": "gibbs"}, ValueError, "kernel must be one of auto, .*tensor, got 'gibbs'"),
        ({"kernel": "block"}, ValueError, "'block'"),
        ({"precision": "half"}, ValueError, "precision"),
        ({"inertia": -1.0}, ValueError, "inertia"),
        ({"basis": "W"}, ValueError, "basis"),
        ({"basis": "X"}, ValueError, "basis: is for the kernels 'pauli' and 'pauli-exact'"),
        ({"basis": "Y", "kernel": "pauli"}, ValueError, "not among the model's Pauli matrices"),
        ({"seed": -1}, ValueError, "seed must not be negative"),
        ({"seed": 1.5}, TypeError, "seed"),
        ({"init": "zeros"}, ValueError, "init must be 'random', 'data'"),
        ({"init": "data"}, ValueError, "needs data"),
        ({"init": "data", "data": np.zeros((3, 5))}, ValueError, "5 entries per row"),
        ({"init": "data", "data": np.zeros(4)}, ValueError, r"\(N, 4\)"),
        ({"init": np.zeros((3, 4))}, ValueError, r"\(100, 4\).*got an array of shape \(3, 4\)"),
        ({"init": np.full((100, 4), 2)}, ValueError, r"entry \(0, 0\) is"),
        ({"clamp": {4: 1}}, ValueError, "no visible unit 4; units are 0 to 3"),
        ({"clamp": {0: 2}}, ValueError, "unit 0 cannot be held at 2"),
        ({"clamp": {"a": 1}}, ValueError, "'a' is no visible unit"),
        ({"clamp": [0, 1]}, ValueError, r"got an array of shape \(2,\)"),
        ({"clamp": [0, 1, 5, -1]}, ValueError, "unit 2 is 5"),
        ({"clamp": [0, 1, 0, 1]}, ValueError, "all 4 visible units are held fixed"),
        ({"clamp": {0: 1, 1: 1, 2: 1, 3: 0}}, ValueError, "nothing to sample"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], error: type[Exception], says: str) -> None:
    given: dict[str, Any] = {"samples": 5, "seed": 0} | options
    with pytest.raises(error, match=says):
        sample_by(GOOD, given.pop("samples"), **given)


def test_what_does_not_fit_is_refused_with_a_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tnqbm.base.limits, "available_bytes", lambda: 10**9)
    with pytest.raises(MemoryError, match=r"100 chains x 10000000 samples.* GB.*1 GB are free"):
        sample(GOOD, 10**7, seed=0)


def test_info_is_frozen() -> None:
    _, info = sample(GOOD, 20, Chains(kernel=FALLBACK), seed=0)
    assert isinstance(info, ChainsInfo)
    with pytest.raises(AttributeError):
        info.kernel = "block"  # type: ignore[misc]
