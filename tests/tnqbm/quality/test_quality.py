"""Sample quality: known answers, brute-force twins, calibrated errors, edge cases."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tnqbm import SqRBM, Target, datasets, quality
from tnqbm.quality.support_coverage import expected_tvd
from tnqbm.quality.units import as_rows

Bits = NDArray[np.uint8]


def bits(rng: np.random.Generator, *shape: int, p: float = 0.5) -> Bits:
    return (rng.random(shape) < p).astype(np.uint8)


def sticky(rng: np.random.Generator, chains: int, length: int, n: int, stay: float) -> Bits:
    """Chains of fair independent bits, each kept from sample to sample with probability stay."""
    out = np.empty((chains, length, n), dtype=np.uint8)
    state = bits(rng, chains, n)
    for k in range(length):
        state = np.where(rng.random((chains, n)) < stay, state, bits(rng, chains, n))
        out[:, k] = state
    return out


def accuracy_twin(samples: Bits, data: Bits) -> tuple[float, float]:
    """AA_truth and AA_syn by loops over pairs."""

    def nearest(row: Bits, rows: Bits, skip: int | None) -> int:
        return min(int(np.sum(row != r)) for k, r in enumerate(rows) if k != skip)

    def side(own: Bits, other: Bits) -> float:
        score = 0.0
        for i, row in enumerate(own):
            across, within = nearest(row, other, None), nearest(row, own, i)
            score += 1.0 if across > within else 0.5 if across == within else 0.0
        return score / len(own)

    return side(data, samples), side(samples, data)


# Adversarial accuracy ---------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "count"), [(1, 4), (3, 9), (5, 40), (30, 25)])
def test_adversarial_accuracy_equals_its_twin(n: int, count: int) -> None:
    rng = np.random.default_rng(n)
    samples, data = bits(rng, count, n, p=0.4), bits(rng, count, n)
    found = quality.adversarial_accuracy(samples, data)
    assert (found.truth.value, found.syn.value) == pytest.approx(accuracy_twin(samples, data))
    assert found.mean.value == pytest.approx(0.5 * (found.truth.value + found.syn.value))
    assert found.n_points == count


def test_blocks_of_the_distance_matrix_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    samples, data, test = (bits(rng, 60, 12) for _ in range(3))
    whole = quality.privacy_loss(samples, data, test)
    monkeypatch.setattr("tnqbm.quality.neighbours._BLOCK", 7 * 60)
    assert quality.privacy_loss(samples, data, test) == whole


def test_identical_distributions_give_one_half_within_the_stated_error() -> None:
    # 60 independent repetitions: the mean within 4 standard errors (false alarm 6e-5), the
    # stated errors on average within 25 % of the true spread (its own uncertainty: 9 %; the
    # chance of a false alarm is 6e-3, and the seed is fixed).
    rng = np.random.default_rng(1)
    results = [
        quality.adversarial_accuracy(bits(rng, 200, 20, p=0.3), bits(rng, 200, 20, p=0.3))
        for _ in range(60)
    ]
    values = np.array([result.mean.value for result in results])
    errors = np.array([result.mean.standard_error for result in results])
    assert abs(values.mean() - 199 / 399) < 4 * values.std() / np.sqrt(60)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.25)


def test_errors_of_correlated_chains_are_those_of_chains() -> None:
    rng = np.random.default_rng(2)
    data = [bits(rng, 400, 20) for _ in range(40)]
    chains = [sticky(rng, 20, 20, 20, 0.9) for _ in range(40)]
    results = [quality.adversarial_accuracy(s, t) for s, t in zip(chains, data, strict=True)]
    spread = np.std([result.truth.value for result in results])
    stated = np.mean([result.truth.standard_error for result in results])
    assert stated == pytest.approx(spread, rel=0.4)


def test_memorised_data_are_near_zero_and_strangers_near_one() -> None:
    rng = np.random.default_rng(3)
    data, test = bits(rng, 200, 40), bits(rng, 200, 40)
    copies = quality.adversarial_accuracy(data, data)
    assert (copies.truth.value, copies.syn.value, copies.mean.value) == (0.0, 0.0, 0.0)
    assert copies.mean.standard_error < 0.02
    far = data.copy()
    far[:, :20], data[:, :20] = 0, 1
    apart = quality.adversarial_accuracy(far, data)
    assert (apart.truth.value, apart.syn.value) == (1.0, 1.0)
    assert apart.mean.standard_error == 0.0
    loss = quality.privacy_loss(test, test, bits(rng, 200, 40)).loss
    assert loss.value == pytest.approx(0.5, abs=0.15)
    assert loss.value > 5 * loss.standard_error
    honest = quality.privacy_loss(bits(rng, 200, 40), test, bits(rng, 200, 40)).loss
    assert abs(honest.value) < 4 * honest.standard_error  # false alarm 6e-5


def test_ties_favour_nobody() -> None:
    same = np.zeros((10, 3), dtype=np.uint8)
    found = quality.adversarial_accuracy(same, same)
    assert (found.truth.value, found.syn.value) == (0.5, 0.5)


def test_sets_of_different_sizes_are_thinned_reproducibly() -> None:
    rng = np.random.default_rng(4)
    samples, data = bits(rng, 300, 10), bits(rng, 80, 10)
    one = quality.adversarial_accuracy(samples, data, seed=5)
    assert one.n_points == 80
    assert one == quality.adversarial_accuracy(samples, data, seed=5)
    assert quality.adversarial_accuracy(samples, data, max_points=30).n_points == 30
    with pytest.raises(ValueError, match="max_points"):
        quality.adversarial_accuracy(samples, data, max_points=3)


# Moments ----------------------------------------------------------------------------------------


def test_moments_equal_numpy() -> None:
    rng = np.random.default_rng(6)
    samples, data = bits(rng, 300, 6, p=0.3), bits(rng, 200, 6)
    first, second = quality.compare_moments(samples, data)
    upper = np.triu_indices(6, k=1)
    for states, one, two in (
        (samples, first.samples, second.samples),
        (data, first.data, second.data),
    ):
        s = 1.0 - 2.0 * states
        np.testing.assert_allclose(one, s.mean(axis=0), atol=1e-14)
        np.testing.assert_allclose(two, np.cov(s.T, ddof=0)[upper], atol=1e-14)
    assert first.rms.value == pytest.approx(np.sqrt(np.mean((first.samples - first.data) ** 2)))
    assert second.correlation.value == pytest.approx(
        stats.pearsonr(second.samples, second.data).statistic
    )


def test_the_floor_is_what_perfect_samples_show_and_others_exceed_it() -> None:
    rng = np.random.default_rng(7)
    data = bits(rng, 1000, 16, p=0.3)
    perfect = quality.compare_moments(bits(rng, 500, 16, p=0.3), data)
    wrong = quality.compare_moments(bits(rng, 500, 16, p=0.4), data)
    for one in perfect:  # the floor's own uncertainty included: false alarm 1e-4 for both
        assert one.rms.value == pytest.approx(one.floor.value, abs=4 * one.floor.standard_error)
    # Known exactly for independent fair-ish bits: var of a mean is (1 - <s>^2)/N.
    exact = np.sqrt(4 * 0.3 * 0.7 * (1 / 500 + 1 / 1000))
    assert perfect[0].floor.value == pytest.approx(exact, rel=0.2)
    assert wrong[0].rms.value > wrong[0].floor.value + 10 * wrong[0].floor.standard_error
    assert wrong[0].rms.value == pytest.approx(0.2, abs=4 * wrong[0].rms.standard_error)


def test_bootstrap_over_chains_is_wider_than_over_rows() -> None:
    rng = np.random.default_rng(8)
    chains, data = sticky(rng, 20, 50, 1, 0.95), bits(rng, 5000, 1)
    by_chain = quality.compare_moments(chains, data, resamples=400)[0].rms
    by_row = quality.compare_moments(chains.reshape(-1, 1), data, resamples=400)[0].rms
    assert by_chain.value == by_row.value
    assert by_chain.standard_error > 2.5 * by_row.standard_error


def test_resampling_few_chains_is_not_too_narrow() -> None:
    # Two chains: the variance of their mean, (x1 - x2)^2 / 4, which the plain bootstrap halves.
    chains = as_rows(np.array([[[1], [1]], [[0], [0]]]), "samples")
    rng = np.random.default_rng(9)
    means = [float(chains.weights(rng) @ chains.states[:, 0]) for _ in range(2000)]
    assert np.var(means) == pytest.approx(0.25, rel=0.02)


def test_a_single_chain_is_cut_into_stretches() -> None:
    rows = as_rows(np.zeros((1, 100, 2)), "samples")
    assert rows.n_units == 20
    assert np.bincount(rows.unit).tolist() == [5] * 20
    assert as_rows(np.zeros((1, 6, 2)), "samples").n_units == 6


def test_constant_columns_and_one_unit_have_no_correlation() -> None:
    rng = np.random.default_rng(10)
    constant = np.ones((50, 4), dtype=np.uint8)
    first, second = quality.compare_moments(constant, constant)
    assert first.rms.value == second.rms.value == 0.0
    assert np.isnan(first.correlation.value)
    assert np.isnan(first.correlation.standard_error)
    one = quality.compare_moments(bits(rng, 50, 1), bits(rng, 50, 1))[1]
    assert one.samples.size == 0
    assert np.isnan(one.rms.value)


# Energies ---------------------------------------------------------------------------------------


def test_energy_distances_are_scipys() -> None:
    rng = np.random.default_rng(11)
    model = SqRBM.uniform(5, 3, "XYZ", seed=0)
    samples, data, test = bits(rng, 300, 5, p=0.4), bits(rng, 200, 5), bits(rng, 100, 5)
    found = quality.compare_energies(model, samples, data, test=test)
    ours, theirs = -model.log_weight(samples), -model.log_weight(data)
    np.testing.assert_allclose(found.samples, ours, rtol=1e-10)
    # With 32 states and ties, scipy needs the rounded energies too.
    ks = stats.ks_2samp(np.round(ours, 9), np.round(theirs, 9), method="asymp").statistic
    assert found.to_data.ks.value == pytest.approx(ks, abs=1e-12)
    assert found.to_data.wasserstein.value == pytest.approx(
        stats.wasserstein_distance(ours, theirs), rel=1e-8
    )
    assert found.to_data.difference.value == pytest.approx(ours.mean() - theirs.mean(), abs=1e-9)
    assert found.test is not None
    assert found.to_test is not None
    assert found.to_test.wasserstein.value == pytest.approx(
        stats.wasserstein_distance(ours, -model.log_weight(test)), rel=1e-8
    )


def test_energies_equal_up_to_rounding_are_equal() -> None:
    class Noisy:
        n_visible = 3

        def log_weight(self, v: Bits) -> NDArray[np.float64]:
            return 100.0 + 1e-13 * v.sum(axis=1)

    zeros, ones = np.zeros((10, 3)), np.ones((10, 3))
    found = quality.compare_energies(Noisy(), zeros, ones)
    assert found.to_data.ks.value == found.to_data.wasserstein.value == 0.0


def test_energy_floors_and_a_wrong_sampler() -> None:
    rng = np.random.default_rng(12)
    model = SqRBM.uniform(12, 4, "XZ", scale=0.5, seed=1)
    data, good = bits(rng, 600, 12), bits(rng, 600, 12)
    found = quality.compare_energies(model, good, data)
    assert found.to_data.ks.value < found.ks_floor.value + 4 * found.ks_floor.standard_error
    bad = quality.compare_energies(model, bits(rng, 600, 12, p=0.2), data)
    assert bad.to_data.ks.value > bad.ks_floor.value + 4 * bad.ks_floor.standard_error
    assert bad.to_data.wasserstein.value > 4 * bad.to_data.wasserstein.standard_error


# Coverage ---------------------------------------------------------------------------------------


def test_coverage_of_bars_and_stripes_by_hand() -> None:
    target = datasets.load("bas", 6)  # five states
    samples = np.concatenate([target.states[[0, 0, 0, 1, 1]], [[1, 0, 0, 0, 0, 0]]])
    found = quality.coverage(samples, target)
    assert found.visited == pytest.approx(2 / 5)
    assert found.inside.value == pytest.approx(5 / 6)
    np.testing.assert_allclose(found.frequencies, [3 / 6, 2 / 6, 0, 0, 0])
    assert found.tvd.value == pytest.approx(0.5 * (0.3 + 2 / 6 - 0.2 + 0.6 + 1 / 6))
    chi = stats.chisquare([3, 2, 0, 0, 0])
    assert found.chi_squared == pytest.approx(chi.statistic)
    assert found.p_value == pytest.approx(chi.pvalue)
    assert found.degrees == 4
    assert found.visited_floor.value == pytest.approx(1 - 0.8**6)


def test_coverage_finds_its_floor_and_tells_a_lost_mode() -> None:
    rng = np.random.default_rng(13)
    q = np.array([0.5, 0.2, 0.2, 0.05, 0.05])
    target = Target(datasets.load("bas", 6).states, q)
    perfect = quality.coverage(target.states[rng.choice(5, 500, p=q)], target)
    assert perfect.p_value > 1e-3
    assert perfect.tvd.value < perfect.tvd_floor.value + 4 * perfect.tvd_floor.standard_error
    lost = quality.coverage(target.states[rng.choice(4, 500, p=q[:4] / q[:4].sum())], target)
    assert lost.visited == pytest.approx(4 / 5)
    assert lost.p_value < 1e-3
    assert lost.visited < lost.visited_floor.value - 0.1
    assert np.isnan(quality.coverage(np.tile(target.states, (4, 1, 1)), target).p_value)
    nowhere = quality.coverage(np.zeros((5, 6)), target)
    assert (nowhere.visited, nowhere.inside.value, nowhere.tvd.value) == (0.0, 0.0, 1.0)
    assert np.isnan(nowhere.chi_squared)


@pytest.mark.parametrize("q", [[1.0], [0.5, 0.5], [0.9, 0.06, 0.04], [1 / 300] * 300])
@pytest.mark.parametrize("n", [1, 7, 100])
def test_expected_tvd_is_the_binomials_mean_deviation(q: list[float], n: int) -> None:
    counts = np.arange(n + 1)
    exact = 0.5 * sum(
        float(np.sum(stats.binom.pmf(counts, n, p) * np.abs(counts / n - p))) for p in q
    )
    assert expected_tvd(q, n) == pytest.approx(exact, abs=1e-12)


def test_states_are_found_at_any_n() -> None:
    rng = np.random.default_rng(14)
    states = np.unique(bits(rng, 50, 131), axis=0)
    order = rng.integers(0, 50, 400)
    found = quality.coverage(states[order], Target.uniform(states))
    np.testing.assert_allclose(found.frequencies, np.bincount(order, minlength=50) / 400)


# All together -----------------------------------------------------------------------------------


def everything(samples: Any = None, **changes: Any) -> quality.Quality:
    rng = np.random.default_rng(15)
    target = datasets.load("bas", 6)
    data, test = (target.states[rng.integers(0, 5, 40)] for _ in range(2))
    chains = target.states[rng.integers(0, 5, (4, 10))]
    options = {"test": test, "model": SqRBM.uniform(6, 2, "XZ", seed=0), "target": target}
    return quality.assess(chains if samples is None else samples, data, **options | changes)


def test_assess_brings_all_parts_reproducibly_as_json() -> None:
    found = everything(seed=3)
    text = json.dumps(found.as_dict(), allow_nan=False)
    assert text == json.dumps(everything(seed=3).as_dict(), allow_nan=False)
    assert text != json.dumps(everything(seed=4).as_dict(), allow_nan=False)
    read = json.loads(text)
    assert (read["n_samples"], read["n_chains"], read["n_data"], read["n_test"]) == (40, 4, 40, 40)
    assert set(read["first"]["rms"]) == {"value", "standard_error"}
    assert read["coverage"]["p_value"] is None
    assert "samples" not in read["first"]
    full = json.loads(json.dumps(found.as_dict(arrays=True), allow_nan=False))
    assert len(full["second"]["samples"]) == 15
    assert len(full["coverage"]["states"]) == 5


def test_parts_not_asked_for_are_none() -> None:
    found = everything(test=None, model=None, target=None).as_dict()
    assert [found[key] for key in ("privacy", "energies", "coverage", "n_test")] == [None] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": np.zeros((1, 6))}, "samples has 1 rows; at least 4"),
        ({"samples": np.zeros(6)}, "samples must have shape"),
        ({"samples": np.zeros((5, 0))}, "samples must have shape"),
        ({"samples": np.full((5, 6), 2)}, r"samples: visible states must be 0 or 1; entry \(0, 0"),
        ({"samples": np.full((5, 6), np.nan)}, "samples: visible states must be 0 or 1"),
        ({"samples": np.zeros((5, 7))}, "data has 6 visible units a row, but 7"),
        ({"test": np.zeros((5, 3))}, "test has 3 visible units"),
        ({"test": np.zeros((3, 6))}, "test has 3 rows"),
        ({"model": SqRBM.uniform(5, 2, "Z", seed=0)}, "model has 5 visible units"),
        ({"target": datasets.load("bas", 4)}, "target has 4 visible units"),
        ({"resamples": 1}, "resamples"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        everything(**change)


def test_the_least_that_can_be_assessed() -> None:
    found = quality.assess([[0], [1], [0], [1]], [[0], [1], [1], [1]])
    assert np.isnan(found.adversarial.mean.standard_error)
    assert found.first.rms.value == pytest.approx(0.5)
    json.dumps(found.as_dict(), allow_nan=False)
