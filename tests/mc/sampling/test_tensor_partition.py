"""log Z and perfect samples from proposals of known quality: unbiased, with honest error bars.

Proposals are distributions written out (tests/mc/sampling/tensor_twins.py), so that everything
about them is known; what networks add is tested in test_tensor.py.
"""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import numpy as np
import pytest

import mc.sampling.partition
import tnqbm.base.limits
from mc.cli.common import plain
from mc.sampling.amplitude.fit import find_states, log_weight_of
from mc.sampling.amplitude.sample import systematic, weigh
from mc.sampling.log_z.estimate import (
    Estimate,
    EstimateWarning,
    gap_between,
    gaps_of,
    pareto_limit,
    pareto_shape,
)
from mc.sampling.policies import Perfect
from mc.sampling.sample import sample
from tests.mc.sampling.tensor_twins import DenseProposal, hot, noisy, probabilities
from tests.mc_twins import chi_squared, log_partition_by, sample_by
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM

MODEL = SqRBM.uniform(8, 4, "XYZ", scale=0.5, seed=1)
LOG_Z = enumerate_model(MODEL)[0]


def estimate(proposal: Any, model: SqRBM = MODEL, **options: Any) -> Estimate:
    given: dict[str, Any] = {"method": "tensor", "samples": 2000, "seed": 1} | options
    return log_partition_by(model, proposal=proposal, **given)


# --- the estimate -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "q", [noisy(MODEL, 0.2), noisy(MODEL, 0.7), hot(MODEL, 0.6)], ids=["fair", "poor", "hot"]
)
def test_estimates_are_right_within_their_errors(q: np.ndarray) -> None:
    found = estimate(DenseProposal(q))
    # Four standard errors, three proposals: false alarm 2e-4.
    assert abs(found.value - LOG_Z) < 4 * found.standard_error
    assert found.trusted
    assert found.warnings == []
    assert found.log_weights.shape == (2000,)
    assert (found.method, found.samples, found.chains, found.betas) == ("tensor", 2000, 0, None)
    assert 500 < found.ess < 2000
    assert found.pareto_k is not None
    assert found.pareto_k < 0.7
    other = found.reverse
    assert other is not None
    assert other.method == "tensor-reverse"
    assert found.gap == pytest.approx(other.value - found.value)
    assert abs(other.value - LOG_Z) < 4 * other.standard_error
    # The delta method: variance of the weights over the number of samples.
    w = np.exp(found.log_weights - found.value)
    assert found.standard_error == pytest.approx(w.std() / math.sqrt(2000), rel=0.25)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_the_mean_weight_is_unbiased(strength: float) -> None:
    """Z estimated 2000 times from 20 samples each: the mean of Z_hat/Z is 1."""
    proposal = DenseProposal(noisy(MODEL, strength))
    weight = log_weight_of(MODEL)
    found = weigh(proposal, weight, 40_000, 3)
    ratios = np.exp(found.log_weights - LOG_Z).reshape(2000, 20).mean(axis=1)
    error = ratios.std() / math.sqrt(2000)
    assert abs(ratios.mean() - 1) < 4 * error  # false alarm 6e-5 each
    # The logarithm of a short mean is low, by about half its variance: Jensen's inequality.
    if strength == 1.0:
        assert np.log(ratios).mean() < -2 * np.log(ratios).std() / math.sqrt(2000)


def test_errors_fall_with_the_square_root_of_the_samples() -> None:
    proposal = DenseProposal(noisy(MODEL, 0.7))
    weight = log_weight_of(MODEL)
    errors = [weigh(proposal, weight, k, 1).standard_error for k in (1000, 16_000)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.3)
    # 40 estimates: their spread is what they say it is. A chi-squared at 1e-6.
    found = [weigh(proposal, log_weight_of(MODEL), 500, key) for key in range(40)]
    z = np.array([(one.log_mean - LOG_Z) / one.standard_error for one in found])
    assert 11 < (z**2).sum() < 100


def test_the_seed_decides_everything() -> None:
    proposal = DenseProposal(noisy(MODEL, 0.5))
    first, again, other = (estimate(proposal, seed=s) for s in (1, 1, 2))
    assert first.value == again.value
    assert first.standard_error == again.standard_error
    assert first.gap == again.gap
    assert first.value != other.value
    assert estimate(proposal, seed=np.random.SeedSequence(1)).value == first.value


def test_a_perfect_proposal_leaves_what_the_check_cannot_see() -> None:
    found = estimate(DenseProposal(probabilities(MODEL)))
    assert abs(found.value - LOG_Z) < 1e-12
    assert found.reverse is not None
    assert found.standard_error == pytest.approx(1 / found.reverse.ess)
    assert 1 / 256 <= found.standard_error < 1 / 100
    assert found.ess == pytest.approx(2000)
    assert found.pareto_k == -math.inf
    assert found.trusted


# --- verdicts -----------------------------------------------------------------------------------


def two_modes(n: int = 10) -> tuple[SqRBM, np.ndarray]:
    """All up or all down, the first with about a third of the weight; which states are up."""
    model = SqRBM(np.full(n, 0.03), np.zeros((1, 3)), np.full((1, n, 3), 0.6), "Z")
    return model, all_states(n).sum(axis=1) < n / 2


def test_a_mode_the_network_lacks_is_found_by_chains() -> None:
    """Its own samples look perfect; the states of chains show what is missing."""
    model, up = two_modes()
    log_z = enumerate_model(model)[0]
    p = probabilities(model)
    lacking = np.where(up, 1e-9, 1.0) * p
    assert 0.2 < p[up].sum() < 0.5
    with pytest.warns(EstimateWarning, match="lacks a part of the model"):
        found = estimate(DenseProposal(lacking), model)
    assert not found.trusted
    assert found.ess > 1900
    assert found.value == pytest.approx(log_z + np.log(p[~up].sum()), abs=1e-6)
    assert found.gap is not None
    assert found.gap > 0.1
    # Even where it gives the states no probability at all.
    with pytest.warns(EstimateWarning, match="lacks a part of the model"):
        estimate(DenseProposal(np.where(up, 0.0, p)), model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert estimate(DenseProposal(p), model, data=np.ones((5, 10))).trusted


def test_modes_that_hardly_count_raise_no_alarm() -> None:
    """Many chains fall into a mode without weight, which a network may leave out."""
    n = 10
    model = SqRBM(np.full(n, 0.45), np.zeros((1, 3)), np.full((1, n, 3), 0.9), "Z")
    p, up = probabilities(model), all_states(n).sum(axis=1) < n / 2
    stranded = find_states(model, 1, key=1)[:, 0].sum(axis=1) < n / 2
    assert stranded.mean() > 0.1
    assert p[up].sum() < 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = estimate(DenseProposal(np.where(up, 1e-6, 1.0) * p), model)
    assert found.trusted
    assert found.value == pytest.approx(enumerate_model(model)[0], abs=1e-3)


def test_a_check_that_says_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    rough = SqRBM.uniform(20, 20, "XYZ", scale=3.0, seed=1)
    monkeypatch.setattr("mc.sampling.log_z.network.BETAS", 4)
    with pytest.warns(EstimateWarning, match=r"of the check are worth \d\.\d, too few"):
        estimate(DenseProposal(np.ones(2**20)), rough)


def test_uneven_weights_are_reported() -> None:
    model = SqRBM.uniform(10, 6, "XYZ", scale=2.0, seed=2)
    with pytest.warns(EstimateWarning, match=r"worth \d+\.\d, fewer than 100.*max_bond"):
        found = estimate(DenseProposal(np.ones(1024)), model)
    assert not found.trusted
    assert "not reliable" in " ".join(found.warnings)


def test_heavy_tails_are_reported() -> None:
    rng = np.random.default_rng(3)
    light, heavy = rng.normal(size=4000), 1.2 * rng.exponential(size=4000)
    assert pareto_shape(light) < 0.5
    # Exponentials of exponential numbers with mean k are Pareto distributed with shape k.
    assert pareto_shape(heavy) == pytest.approx(1.2, abs=0.3)
    assert pareto_shape(heavy) > pareto_limit(4000) == 0.7
    assert pareto_limit(100) == 0.5
    assert pareto_shape(np.zeros(1000)) == -math.inf
    assert math.isnan(pareto_shape(heavy[:50]))
    few = np.repeat([0.0, 1.0], 500)
    assert pareto_shape(few) == -math.inf
    # As a proposal for 2**16 alike states: of its samples' weights exp(10 E), E exponential with
    # mean 1/11, the shape is 10/11.
    free = SqRBM(np.zeros(16), np.zeros((1, 0)), np.zeros((1, 16, 0)), "Z")
    with pytest.warns(EstimateWarning, match="heavy tail"):
        found = estimate(
            DenseProposal(np.exp(-10 * rng.exponential(size=2**16))), free, samples=4000
        )
    assert found.pareto_k == pytest.approx(10 / 11, abs=0.25)


def test_gaps_between_estimates() -> None:
    def one(value: float, error: float, method: str) -> Estimate:
        return Estimate(value, error, 1.0, np.zeros(1), method, 0.0, True)

    gap = gap_between(one(10.0, 0.3, "a"), one(12.0, 0.4, "b"))
    assert (gap.first, gap.second) == ("a", "b")
    assert (gap.difference, gap.standard_error, gap.sigmas) == pytest.approx((2.0, 0.5, 4.0))
    assert not gap.agree
    assert gap_between(one(10.0, 0.3, "a"), one(11.4, 0.4, "b")).agree
    exact = gap_between(one(10.0, 0.0, "a"), one(10.0 + 1e-10, 0.0, "b"))
    assert exact.agree
    assert abs(exact.sigmas) <= 1
    apart = gap_between(one(10.0, 0.0, "a"), one(9.0, 0.0, "b"))
    assert apart.sigmas == -math.inf
    assert not apart.agree
    assert [g.second for g in gaps_of([one(1, 1, "a"), one(1, 1, "b"), one(1, 1, "c")])] == [
        "b",
        "c",
        "c",
    ]


# --- every method -------------------------------------------------------------------------------

QUICK: dict[str, Any] = {"chains": 100, "betas": 100}


def test_all_methods_are_compared() -> None:
    found = estimate(DenseProposal(noisy(MODEL, 0.3)), method="all", **QUICK)
    assert [one.method for one in found.parts] == ["both", "tensor", "exact"]
    assert found.method == "exact"
    assert found.value == pytest.approx(LOG_Z, abs=1e-10)
    assert found.trusted
    assert len(found.gaps) == 6
    assert all(gap.agree for gap in found.gaps)
    values = json.loads(json.dumps(plain(found.as_dict())))
    assert [one["method"] for one in values["parts"]] == ["both", "tensor", "exact"]
    assert values["gaps"][0]["first"] == "ais"
    alone = estimate(DenseProposal(noisy(MODEL, 0.3)))
    assert found.parts[1].value == alone.value


def test_disagreement_names_both_values(monkeypatch: pytest.MonkeyPatch) -> None:
    model, up = two_modes()
    lacking = DenseProposal(np.where(up, 1e-9, 1.0) * probabilities(model))
    with pytest.warns(EstimateWarning, match=r"ais .* \+- .* and tensor .* \+- .* differ by"):
        found = estimate(lacking, model, method="all", **QUICK)
    assert found.trusted  # the exact value is what it is
    monkeypatch.setattr(mc.sampling.partition, "affordable", lambda model: False)
    with pytest.warns(EstimateWarning, match="differ by"):
        found = estimate(lacking, model, method="all", **QUICK)
    assert not found.trusted
    assert found.method == "both"  # the network's estimate is not to be trusted
    assert [one.method for one in found.parts] == ["both", "tensor"]


def test_a_network_that_does_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr("mc.sampling.log_z.network.fit_amplitude", refuse)
    with pytest.warns(EstimateWarning, match="tensor: left out: too large"):
        found = log_partition_by(MODEL, "all", seed=1, **QUICK)
    assert [one.method for one in found.parts] == ["both", "exact"]


# --- perfect samples ----------------------------------------------------------------------------


def test_weighted_samples_have_the_models_averages() -> None:
    proposal = DenseProposal(noisy(MODEL, 0.7))
    states, info = sample(MODEL, 20_000, Perfect(proposal=proposal), seed=1)
    assert states.shape == (20_000, 8)
    assert states.dtype == np.uint8
    assert chi_squared(states, proposal.q) > 1e-6
    assert chi_squared(states, probabilities(MODEL)) < 1e-10  # without their weights
    w = np.exp(info.log_weights - info.log_weights.max())
    w /= w.sum()
    wanted = enumerate_model(MODEL)[1][:8]
    found = w @ (1.0 - 2.0 * states)
    assert (np.abs(found - wanted) < 5 / math.sqrt(info.ess)).all()  # false alarm below 5e-6
    assert info.ess == pytest.approx(1 / (w**2).sum())
    assert abs(info.log_partition - LOG_Z) < 4 * info.standard_error
    assert info.trusted
    assert (info.drawn, info.distinct, info.resampled) == (20_000, 20_000, False)
    assert "log_weights" not in info.as_dict()


def test_resampled_ones_count_alike() -> None:
    """Independent draws of one resampled state each follow p; 300 of them, chi-squared at 1e-6."""
    model = SqRBM.uniform(3, 2, "XZ", seed=4)
    proposal = DenseProposal(noisy(model, 0.7, seed=3))
    p = probabilities(model)
    picked = []
    for seed in range(300):
        states, info = sample(model, 200, Perfect(proposal=proposal, resample=True), seed=seed)
        assert len(states) == math.floor(info.ess)
        assert info.resampled
        assert not info.log_weights.any()
        assert info.drawn == 200
        picked.append(states[np.random.default_rng(seed).integers(len(states))])
    assert chi_squared(np.array(picked), p) > 1e-6
    together, info = sample(model, 20_000, Perfect(proposal=proposal, resample=True), seed=1)
    counts = np.bincount(together @ [4, 2, 1], minlength=8) / len(together)
    assert np.abs(counts - p).max() < 5 * math.sqrt(0.25 / info.ess)
    assert info.distinct <= len(together) < 20_000


def test_systematic_resampling_rounds_expected_numbers() -> None:
    weights = np.array([0.1, 0.0, 0.45, 0.25, 0.2])
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    total = np.zeros(5)
    for key in range(400):
        found = systematic(log_weights, 7, key)
        assert (np.diff(found) >= 0).all()
        counts = np.bincount(found, minlength=5)
        assert counts.sum() == 7
        assert (np.abs(counts - 7 * weights) < 1).all()
        total += counts
    # Each number of copies is one of two neighbours: a standard deviation of at most 1/2.
    assert (np.abs(total / 400 - 7 * weights) < 5 * 0.5 / 20).all()


def test_clamped_units_are_held() -> None:
    from mc.sampling.amplitude.fit import conditioned

    held = np.array([-1, 1, -1, -1, 0, -1, -1, -1], dtype=np.int8)
    part = conditioned(MODEL, held)
    proposal = DenseProposal(noisy(part, 0.5))
    for clamp in ({1: 1, 4: 0}, held):
        states, info = sample(MODEL, 5000, Perfect(proposal=proposal), clamp=clamp, seed=1)
        assert (states[:, [1, 4]] == [1, 0]).all()
        assert chi_squared(states[:, held == -1], proposal.q) > 1e-6
        log_z = enumerate_model(part)[0]
        assert abs(info.log_partition - log_z) < 4 * info.standard_error
    with pytest.raises(ValueError, match="about 8 visible units, but 6"):
        sample(MODEL, 10, Perfect(proposal=DenseProposal(np.ones(256))), clamp={0: 1, 1: 1}, seed=1)


# --- bad input ----------------------------------------------------------------------------------

GOOD = DenseProposal(np.ones(256))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"samples": 0}, ValueError, "samples must be at least 1, got 0"),
        ({"samples": 2.5}, TypeError, "samples must be a whole number"),
        ({"resamples": 1}, ValueError, "resamples must be at least 2"),
        ({"proposal": DenseProposal(np.ones(16))}, ValueError, "about 4 visible units, but 8"),
        ({"proposal": "network"}, TypeError, "proposal must be an AmplitudeMPS.*got str"),
        ({"feed": "tea"}, ValueError, "feed must be one of chains, tempered, got 'tea'"),
        ({"proposal": None, "max_bond": 0}, ValueError, "max_bond must be at least 1, got 0"),
        ({"proposal": None, "states": np.zeros((3, 4))}, ValueError, "8 visible units"),
        ({"proposal": None, "states": np.zeros((0, 8))}, ValueError, "there are none"),
        ({"proposal": None, "states": np.full((3, 8), 2)}, ValueError, "must be 0 or 1"),
        ({"data": np.zeros((3, 4))}, ValueError, "8 visible units, got"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        log_partition_by(MODEL, **{"method": "tensor", "proposal": GOOD, "seed": 0} | options)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"samples": 0}, ValueError, "samples"),
        ({"seed": -1}, ValueError, "seed must not be negative"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"clamp": {9: 1}}, ValueError, "no visible unit 9"),
        ({"proposal": None, "feed": "tea"}, ValueError, "feed must be one of"),
        ({"proposal": None, "data": np.zeros((3, 4))}, ValueError, "4 entries per row"),
        ({"proposal": None, "max_bond": True}, TypeError, "max_bond"),
    ],
)
def test_bad_input_to_samples(options: dict[str, Any], error: type[Exception], says: str) -> None:
    given = {"samples": 5, "proposal": GOOD, "seed": 0} | options
    with pytest.raises(error, match=says):
        sample_by(MODEL, given.pop("samples"), "perfect", **given)


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tnqbm.base.limits, "available_bytes", lambda: 10**6)
    with pytest.raises(MemoryError, match="100000 samples of 8 visible units"):
        estimate(GOOD, samples=100_000)
    with pytest.raises(MemoryError, match="100000 samples"):
        sample(MODEL, 100_000, Perfect(proposal=GOOD), seed=1)


def test_weights_that_are_no_numbers() -> None:
    bias = np.where(np.arange(256) == 7, -np.inf, 0.0)
    with pytest.raises(FloatingPointError, match="not a finite number"):
        estimate(DenseProposal(np.ones(256), bias))
