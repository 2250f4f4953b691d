"""Parallel tempering against enumeration; statistical tests have fixed seeds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

import mc.sampling.tempering.ladders
from mc.sampling.info import MixingWarning
from mc.sampling.path import Path
from mc.sampling.policies import Tempered
from mc.sampling.sample import sample
from mc.sampling.tempering.ladder import Tempering
from mc.sampling.tempering.sample import tune_ladder
from tests.mc_twins import sample_by
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.core.states import index_of

PAULIS = {1: "Z", 2: "XZ", 3: "XYZ"}
BETAS = [0.0, 0.2, 0.5, 1.0]


def probabilities(theta: np.ndarray, n: int, m: int, paulis: str) -> np.ndarray:
    log_z, _, log_weight = enumerate_model(SqRBM.from_vector(theta, n, m, paulis))
    return np.exp(log_weight - log_z)


def p_value(states: np.ndarray, p: np.ndarray) -> float:
    """Chi-squared test of independent states (K, n); rare states are counted as one."""
    counts = np.bincount(index_of(states), minlength=p.size)
    expected = p * len(states)
    rare = expected < 5
    if rare.any():
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    keep = expected > 0
    if keep.sum() < 2:
        return 1.0
    statistic = ((counts[keep] - expected[keep]) ** 2 / expected[keep]).sum()
    return float(chi2.sf(statistic, keep.sum() - 1))


def make(
    n: int = 4, m: int = 3, p: int = 3, *, count: int = 1, ladders: int = 8, **options: Any
) -> Tempering:
    keys = np.arange(11, 11 + count, dtype=np.uint64)
    return Tempering(Shape(n, m, p), **{"betas": BETAS, "chains": ladders, "keys": keys, **options})


def models(count: int, n: int = 4, m: int = 3, p: int = 3, scale: float = 1.5) -> np.ndarray:
    return np.stack(
        [SqRBM.uniform(n, m, PAULIS[p], scale=scale, seed=s).to_vector() for s in range(count)]
    )


# --- exactness ----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, 3])
def test_every_temperature_has_its_distribution(p: int) -> None:
    # 2 models x 4 temperatures at 1e-5: false alarm 8e-5. Ladders are independent of one another.
    theta = models(2, p=p)
    tempering = make(p=p, count=2, ladders=3000)
    tempering.advance(theta, 30)
    ladder = Path(theta, 4, 3, p).ladder(tempering.betas).reshape(2, 4, -1)
    for b in range(2):
        for r in range(4):
            expected = probabilities(ladder[b, r], 4, 3, PAULIS[p])
            assert p_value(tempering.chains[b, r], expected) > 1e-5


def swap_only(rounds: int = 41) -> list[float]:
    """p-values at all temperatures after swaps alone, from exact samples."""
    theta, ladders = models(1, scale=2.0), 4000
    tempering = make(ladders=ladders)
    ladder = Path(theta, 4, 3, 3).ladder(tempering.betas)
    expected = [probabilities(row, 4, 3, "XYZ") for row in ladder]
    rng, states = np.random.default_rng(3), all_states(4)
    for r, p in enumerate(expected):
        tempering.chains[0, r] = states[rng.choice(16, size=ladders, p=p / p.sum())]
    for _ in range(rounds):
        tempering._swap(ladder, tempering.chains, np.arange(1))
    assert (tempering._identity != np.arange(4)[None, :, None]).any(axis=1).mean() > 0.5
    return [p_value(tempering.chains[0, r], p) for r, p in enumerate(expected)]


def test_swaps_alone_keep_every_distribution() -> None:
    # Four tests at 1e-5.
    assert min(swap_only()) > 1e-5


@pytest.mark.parametrize(
    "wrong",
    [
        lambda own_low, own_high, low_at_high, high_at_low: 0.0 * own_low,
        lambda own_low, own_high, low_at_high, high_at_low: low_at_high - own_high,
    ],
    ids=["always", "half"],
)
def test_a_wrong_swap_rule_is_noticed(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the two tests above."""
    monkeypatch.setattr(mc.sampling.tempering.ladders, "swap_log_ratio", wrong)
    assert min(swap_only()) < 1e-12


def two_modes(n: int = 14) -> SqRBM:
    """A ferromagnet with a field: two modes that single flips cannot connect, one the heavier."""
    return SqRBM(np.full(n, 0.05), np.zeros((1, n)), np.full((1, n, n), 0.6), "Z")


def test_both_modes_are_visited_in_their_proportion() -> None:
    model = two_modes()
    log_z, _, log_weight = enumerate_model(model)
    p = np.exp(log_weight - log_z)
    ones = all_states(14).sum(axis=1)
    heavy = p[ones > 7].sum()
    assert 0.6 < heavy < 0.95
    samples, info = sample(model, 50, Tempered(chains=20, kernel="collapsed"), seed=1)
    found = (samples.sum(axis=2) > 7).mean()
    # 1000 samples, perhaps 300 of them independent: five standard errors.
    assert abs(found - heavy) < 5 * np.sqrt(heavy * (1 - heavy) / 300)
    assert info.round_trips.min() > 0
    assert info.mixed
    # Negative control: plain chains stay where they started.
    with pytest.warns(MixingWarning, match="disagree"):
        plain, _ = sample(
            model,
            50,
            Tempered(chains=20, temperatures=[1.0], kernel="collapsed", burn_in=50, thin=1),
            seed=1,
        )
    assert (np.ptp((plain.sum(axis=2) > 7).astype(int), axis=1) == 0).all()


# --- bookkeeping --------------------------------------------------------------------------------


def test_states_travel_with_their_identity() -> None:
    """With sweeps that do not move anything, the state of a replica stays the same."""
    theta = models(1)
    tempering = make(ladders=50)
    tempering._sweeper.sweep = lambda *_: np.zeros((4, 50))  # type: ignore[method-assign]
    before = tempering.chains.copy()
    tempering.advance(theta, 21)
    for row in range(4):
        for ladder in range(50):
            origin = tempering._identity[0, row, ladder]
            np.testing.assert_array_equal(
                tempering.chains[0, row, ladder], before[0, origin, ladder]
            )
    assert (np.sort(tempering._identity, axis=1) == np.arange(4)[None, :, None]).all()


def test_round_trips_are_counted() -> None:
    """Against a plain count from the recorded identities."""
    theta = models(1, scale=0.5)
    tempering = make(ladders=3)
    history = []
    for _ in range(300):
        tempering.advance(theta, 1)
        history.append(tempering._identity[0].copy())
    for ladder in range(3):
        trips = 0
        for replica in range(4):
            seen = ""
            for identity in history:
                if identity[-1, ladder] == replica:
                    trips += seen == "hot"
                    seen = "cold"
                elif identity[0, ladder] == replica and seen == "cold":
                    seen = "hot"
        assert tempering.round_trips[0, ladder] == trips
        assert trips > 20


def test_rates_are_those_of_independent_neighbours() -> None:
    """Mean swap acceptance against its value in equilibrium, by enumeration."""
    theta = models(1, scale=2.0)
    tempering = make(ladders=400)
    tempering.advance(theta, 20)
    tempering.reset_counters()
    tempering.advance(theta, 200)
    ladder = Path(theta, 4, 3, 3).ladder(tempering.betas)
    log_weights = [enumerate_model(SqRBM.from_vector(x, 4, 3, "XYZ"))[2] for x in ladder]
    expected = []
    for low, high in pairwise(log_weights):
        pair = np.exp(low - np.logaddexp.reduce(low))[:, None] * np.exp(
            high - np.logaddexp.reduce(high)
        )
        ratio = (high - low)[:, None] - (high - low)[None]
        expected.append((pair * np.exp(np.minimum(ratio, 0))).sum())
    # 40,000 swaps per pair: the error of the mean is below 0.0025.
    np.testing.assert_allclose(tempering.swap_rates[0], expected, atol=0.0125)
    assert tempering.acceptance.shape == (1, 4)
    assert ((tempering.acceptance > 0) & (tempering.acceptance < 1)).all()


def assert_same(one: Tempering, other: Tempering) -> None:
    for name, value in one.state().items():
        np.testing.assert_array_equal(value, other.state()[name], err_msg=name)


def test_calls_may_be_divided_and_runs_resumed() -> None:
    theta = models(2)
    whole, pieces = make(count=2), make(count=2)
    whole.advance(theta, 12)
    for sweeps in (1, 4, 7):
        pieces.advance(theta, sweeps)
    np.testing.assert_array_equal(whole.chains, pieces.chains)
    resumed = make(count=2)
    resumed.restore(whole.state())
    assert_same(resumed, whole)
    for one in (whole, resumed):
        one.advance(0.9 * theta, 5)
    assert_same(resumed, whole)
    np.testing.assert_array_equal(whole.states, whole.chains[:, -1])


def test_restoring_foreign_state_is_refused() -> None:
    tempering = make()
    with pytest.raises(ValueError, match="not the state of parallel tempering"):
        tempering.restore({})
    with pytest.raises(ValueError, match=r"chains of shape \(1, 4, 9, 4\)"):
        tempering.restore(make(ladders=9).state())


def test_models_do_not_depend_on_the_batch() -> None:
    theta = models(3)
    together = make(count=3)
    together.advance(theta, 9)
    for b in range(3):
        alone = make(keys=np.array([11 + b], dtype=np.uint64))
        alone.advance(theta[b : b + 1], 9)
        np.testing.assert_array_equal(alone.chains[0], together.chains[b])
        np.testing.assert_array_equal(alone.swap_rates[0], together.swap_rates[b])


def test_ladders_may_be_shared_between_processes() -> None:
    theta = models(1)
    whole = make(ladders=30)
    parts = [make(ladders=13), make(ladders=17, first_chain=13)]
    for one in (whole, *parts):
        one.advance(theta, 9)
    joined = np.concatenate([part.chains for part in parts], axis=2)
    np.testing.assert_array_equal(joined, whole.chains)


def test_some_models_of_a_batch_advance() -> None:
    theta = models(3)
    some, every = make(count=3), make(count=3)
    every.advance(theta, 6)
    before = some.chains[1].copy()
    some.advance(theta[[0, 2]], 6, rows=np.array([0, 2]))
    np.testing.assert_array_equal(some.chains[[0, 2]], every.chains[[0, 2]])
    np.testing.assert_array_equal(some.chains[1], before)
    shuffled = make(count=3)
    shuffled.advance(theta[[2, 0, 1]], 6, rows=np.array([2, 0, 1]))
    np.testing.assert_array_equal(shuffled.chains, every.chains)
    with pytest.raises(ValueError, match="theta has 3 rows, but 2 models"):
        some.advance(theta, 1, rows=np.array([0, 2]))


def test_chains_start_as_told() -> None:
    start = np.random.default_rng(1).integers(0, 2, (8, 4), dtype=np.uint8)
    np.testing.assert_array_equal(make(init=start).chains, np.tile(start, (1, 4, 1, 1)))
    both = np.stack([start, 1 - start])
    np.testing.assert_array_equal(make(count=2, init=both).states, both)
    # Random: 4 x 5000 x 4 fair bits, five standard errors.
    random = make(ladders=5000).chains
    assert abs(random.mean() - 0.5) < 5 * 0.5 / np.sqrt(random.size)
    with pytest.raises(ValueError, match="init must have shape"):
        make(init=start[:3])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"betas": [0.0, 0.5]}, "exactly 1"),
        ({"betas": [0.5, 0.5, 1.0]}, "increase"),
        ({"betas": [-0.1, 1.0]}, "0 or more"),
        ({"betas": []}, "shape"),
        ({"ladders": 0}, "chains must be at least 1"),
        ({"kernel": "thermal-uncorrected"}, "would bias"),
        ({"kernel": "none"}, "not one of"),
    ],
)
def test_bad_arguments(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make(**options)


# --- the ladder ---------------------------------------------------------------------------------


def test_retuning_makes_swap_rates_even() -> None:
    theta = models(1, n=10, m=6, scale=2.0)
    tempering = make(10, 6, betas=np.linspace(0, 1, 6), ladders=60)
    tempering.advance(theta, 300)
    uneven = np.ptp(tempering.swap_rates)
    for _ in range(2):
        tempering.retune()
        tempering.advance(theta, 300)
    assert np.ptp(tempering.swap_rates) < 0.3 * uneven
    assert tempering.betas[0, 0] == 0.0
    assert tempering.betas[0, -1] == 1.0
    tempering.retune(9)
    assert tempering.chains.shape == (1, 9, 60, 10)
    tempering.advance(theta, 3)
    tempering.retune(1)
    np.testing.assert_array_equal(tempering.betas, [[1.0]])
    tempering.advance(theta, 3)
    with pytest.raises(ValueError, match="at least 1"):
        tempering.retune(0)


def test_ladder_gets_the_swap_rate_asked_for() -> None:
    theta = np.stack([two_modes(20).to_vector(), 0.7 * two_modes(20).to_vector()])
    for target in (0.3, 0.6):
        tempering = make(20, 20, 1, count=2, betas=[0.0, 1.0], ladders=20)
        tune_ladder(tempering, theta, target_swap_rate=target)
        tempering.advance(theta, 300)
        hardest = tempering.swap_rates[0]
        assert np.abs(hardest - target).max() < 0.2
        assert (tempering.swap_rates[1] > target - 0.2).all()
    with pytest.raises(ValueError, match="target_swap_rate"):
        tune_ladder(tempering, theta, target_swap_rate=1.0)
    with pytest.raises(ValueError, match="max_temperatures"):
        tune_ladder(tempering, theta, max_temperatures=1)


# --- samples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize(("n", "m", "scale"), [(1, 2, 1.5), (4, 0, 1.0), (3, 2, 0.0), (5, 3, 2.0)])
def test_samples_follow_the_model(paulis: str, n: int, m: int, scale: float) -> None:
    # Twelve chi-squared tests at 1e-5, of one state from each of 1500 independent ladders.
    model = SqRBM.uniform(n, m, paulis, scale=scale, seed=4)
    samples, info = sample(model, 1, Tempered(chains=1500, burn_in=20), seed=9)
    assert samples.shape == (1500, 1, n)
    assert samples.dtype == np.uint8
    expected = probabilities(model.to_vector(), n, m, paulis)
    assert p_value(samples[:, 0], expected) > 1e-5
    assert info.betas[-1] == 1.0


def test_samples_are_reproducible_and_described() -> None:
    model = SqRBM.uniform(6, 3, "XZ", seed=1)
    samples, info = sample(model, 20, Tempered(chains=5), seed=2)
    again, _ = sample(model, 20, Tempered(chains=5), seed=2)
    other, _ = sample(model, 20, Tempered(chains=5), seed=3)
    np.testing.assert_array_equal(samples, again)
    assert (samples != other).any()
    assert info.sweeps == info.ladder_sweeps + info.burn_in + 20 * info.thin
    assert info.swap_rates.shape == (info.betas.size - 1,)
    assert info.round_trips.shape == (5,)
    assert info.kernel == "collapsed"
    assert set(info.as_dict()) >= {"betas", "swap_rates", "round_trips", "ess_energy"}


def test_given_ladder_and_reference_data() -> None:
    model = SqRBM.uniform(6, 3, "XZ", seed=1)
    data = np.random.default_rng(1).integers(0, 2, (50, 6))
    samples, info = sample(
        model, 10, Tempered(chains=4, temperatures=BETAS, init=data[:4]), data=data, seed=1
    )
    np.testing.assert_array_equal(info.betas, BETAS)
    assert info.ladder_sweeps == 0
    assert samples.shape == (4, 10, 6)


def test_a_ladder_that_does_not_connect_is_reported() -> None:
    model = SqRBM.uniform(30, 30, "XYZ", scale=2.0, seed=1)
    with pytest.warns(MixingWarning, match=r"between beta = 0 and 1, is accepted"):
        _, info = sample(
            model, 5, Tempered(chains=4, temperatures=[0.0, 1.0], burn_in=20, thin=1), seed=1
        )
    assert not info.mixed
    assert info.warnings


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"samples": 0}, "samples must be at least 1"),
        ({"burn_in": -1}, "burn_in must be at least 0"),
        ({"thin": 0}, "thin must be at least 1"),
        ({"temperatures": "even"}, "temperatures must be 'adaptive' or .*, got 'even'"),
        ({"temperatures": 0}, "temperatures must be at least 1"),
        ({"temperatures": [0.5, 0.7]}, "exactly 1"),
        ({"init": "data"}, "init must be 'spread' or an array"),
        ({"clamp": {0: 1}}, "tempering holds no units fixed"),
        ({"data": np.zeros((2, 3))}, "visible"),
        ({"init": np.full((10, 6), 2)}, "0 or 1"),
        ({"max_temperatures": 1}, "max_temperatures"),
    ],
)
def test_bad_sampling_arguments(options: dict[str, Any], says: str) -> None:
    model = SqRBM.uniform(6, 3, "XZ", seed=1)
    count = options.pop("samples", 3)
    with pytest.raises(ValueError, match=says):
        sample_by(model, count, "tempered", seed=1, **options)
