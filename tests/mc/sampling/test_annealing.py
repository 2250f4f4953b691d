"""Annealed importance sampling against enumeration; statistical tests have fixed seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mc.sampling.log_z.annealing
from mc.sampling.log_z.annealing import adaptive_betas, anneal, choose_kernel
from mc.sampling.log_z.estimate import summarise
from mc.sampling.path import Path, check_betas, matching_fields, reference_fields
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM
from tnqbm.base.teams import SHARD, share
from tnqbm.datasets import Target

PAULIS = {1: "Z", 2: "XZ", 3: "XYZ"}


def batch(count: int, n: int, m: int, paulis: str, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """theta (count, size) of random models and their exact log Z."""
    models = [SqRBM.uniform(n, m, paulis, scale=scale, seed=s) for s in range(count)]
    return np.stack([x.to_vector() for x in models]), np.array(
        [enumerate_model(x)[0] for x in models]
    )


def keys(count: int, first: int = 1) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.uint64)


def equilibrium(theta: np.ndarray, n: int, m: int, paulis: str, count: int) -> np.ndarray:
    """Independent samples of every model, (B, count, n), by enumeration."""
    rng, states, found = np.random.default_rng(5), all_states(n), []
    for row in theta:
        log_z, _, log_weight = enumerate_model(SqRBM.from_vector(row, n, m, paulis))
        p = np.exp(log_weight - log_z)
        found.append(states[rng.choice(len(states), size=count, p=p / p.sum())])
    return np.stack(found)


# --- the path -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [None, np.array([0.3, -1.0, 0.0])])
def test_path_ends_are_solvable_and_the_model(reference: np.ndarray | None) -> None:
    model = SqRBM.uniform(3, 2, "XZ", seed=1)
    path = Path(model.to_vector()[None], 3, 2, 2, reference)
    start = SqRBM.from_vector(path.at(np.zeros(1))[0], 3, 2, "XZ")
    assert not start.w.any()
    np.testing.assert_array_equal(start.b, model.b)
    np.testing.assert_array_equal(start.a, model.a if reference is None else reference)
    assert path.log_z0()[0] == pytest.approx(enumerate_model(start)[0], rel=1e-13)
    np.testing.assert_array_equal(path.at(np.ones(1))[0], model.to_vector())
    np.testing.assert_array_equal(path.theta[0], model.to_vector())
    half = SqRBM.from_vector(path.at(np.array([0.5]))[0], 3, 2, "XZ")
    np.testing.assert_allclose(half.w, 0.5 * model.w)
    np.testing.assert_allclose(half.a, 0.5 * (start.a + model.a))


def test_path_may_begin_in_other_hidden_fields() -> None:
    model = SqRBM.uniform(3, 2, "XZ", seed=1)
    fields = np.random.default_rng(1).normal(size=3 + 4)
    path = Path(model.to_vector()[None], 3, 2, 2, fields)
    start = SqRBM.from_vector(path.at(np.zeros(1))[0], 3, 2, "XZ")
    np.testing.assert_array_equal(np.concatenate([start.a, start.b.ravel()]), fields)
    assert not start.w.any()
    assert path.log_z0()[0] == pytest.approx(enumerate_model(start)[0], rel=1e-13)
    np.testing.assert_array_equal(path.at(np.ones(1))[0], model.to_vector())
    half = SqRBM.from_vector(path.at(np.array([0.5]))[0], 3, 2, "XZ")
    np.testing.assert_allclose(half.b, 0.5 * (start.b + model.b))
    with pytest.raises(ValueError, match=r"must have shape \(3,\)"):
        Path(model.to_vector()[None], 3, 2, 2, np.zeros(5))


def test_ladder_lists_temperatures_of_each_model() -> None:
    theta, _ = batch(2, 3, 2, "XYZ", 1.0)
    path = Path(theta, 3, 2, 3)
    betas = np.array([[0.0, 0.4, 1.0], [0.1, 0.5, 1.0]])
    ladder = path.ladder(betas)
    assert ladder.shape == (6, theta.shape[1])
    for row in range(6):
        b, r = divmod(row, 3)
        np.testing.assert_array_equal(ladder[row], path.at(betas[:, r])[b])


def test_matching_fields_give_the_data_their_moments() -> None:
    rows = np.array([[0, 1, 1], [0, 1, 0], [0, 0, 1], [0, 1, 0]], dtype=np.uint8)
    fields = matching_fields(rows, regularisation=0.1)
    np.testing.assert_allclose(-np.tanh(fields), 0.9 * (1 - 2 * rows.mean(axis=0)))
    target = Target.from_samples(rows)
    np.testing.assert_allclose(reference_fields(target, 3), matching_fields(rows))
    several = matching_fields(np.stack([rows, 1 - rows]), np.full((2, 4), 0.25))
    np.testing.assert_allclose(several[0], -several[1])
    with pytest.raises(ValueError, match="2 visible units, the model has 3"):
        reference_fields(Target.uniform([[0, 1]]), 3)
    with pytest.raises(ValueError, match="regularisation"):
        matching_fields(rows, regularisation=0.0)
    with pytest.raises(ValueError, match="shape"):
        matching_fields(np.zeros((0, 3)))


@pytest.mark.parametrize(
    ("betas", "says"),
    [
        ([0.0], "at least 0 and 1"),
        ([0.1, 1.0], "begin with 0"),
        ([0.0, 0.9], "end with 1"),
        ([0.0, 0.5, 0.5, 1.0], r"betas\[2\] = 0.5 after 0.5"),
        ([0.0, np.nan, 1.0], "increase"),
    ],
)
def test_bad_betas(betas: list[float], says: str) -> None:
    with pytest.raises(ValueError, match="begin with 0" if np.isnan(betas).any() else says):
        check_betas(betas)


# --- weights ------------------------------------------------------------------------------------


def test_equal_weights_have_no_error() -> None:
    found = summarise(np.full((2, 50), 700.0), keys(2))
    np.testing.assert_allclose(found.log_mean, 700.0)
    np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.ess, 50.0)
    np.testing.assert_allclose(found.largest, 0.02)


@pytest.mark.parametrize("width", [0.3, 1.0, 1.5])
def test_stated_errors_cover_wide_weights(width: float) -> None:
    """400 means of 200 log-normal weights; the bootstrap alone covers 0.89 and 0.97 at 1.5."""
    log_weights = np.random.default_rng(3).normal(0.0, width, (400, 200))
    found = summarise(log_weights, keys(400), resamples=100)
    off = np.abs(found.log_mean - 0.5 * width**2) / found.standard_error
    assert (off < 2.0).mean() > 0.92
    assert (off < 3.0).mean() > 0.98
    assert (off < 1.0).mean() < 0.85  # nor are they twice too large


def test_errors_of_two_kinds_of_weights_stay_finite() -> None:
    log_weights = np.where(np.arange(300) % 3 == 0, 0.0, -40.0)[None]
    wanted = np.sqrt(2.0 / 300)  # a share of a third
    assert summarise(log_weights, keys(1)).standard_error[0] == pytest.approx(
        1.25 * wanted, rel=0.4
    )


def test_bootstrap_matches_the_delta_method_and_knows_groups() -> None:
    log_weights = np.random.default_rng(1).normal(0, 0.5, (1, 400))
    weights = np.exp(log_weights[0])
    expected = weights.std() / weights.mean() / np.sqrt(400)
    found = summarise(log_weights, keys(1), resamples=2000)
    assert found.standard_error[0] == pytest.approx(expected, rel=0.1)
    assert found.log_mean[0] == pytest.approx(np.log(weights.mean()))
    # Every weight four times: no new information if neighbours belong together.
    repeated = np.repeat(log_weights, 4, axis=1)
    grouped = summarise(repeated, keys(1), resamples=2000, group=4)
    assert grouped.standard_error[0] == pytest.approx(expected, rel=0.1)
    naive = summarise(repeated, keys(1), resamples=2000)
    assert naive.standard_error[0] == pytest.approx(expected / 2, rel=0.1)
    assert np.isnan(summarise(log_weights, keys(1), group=400).standard_error[0])


def test_one_dominating_weight() -> None:
    log_weights = np.zeros((1, 100))
    log_weights[0, 3] = 800.0
    found = summarise(log_weights, keys(1))
    assert found.ess[0] == pytest.approx(1.0)
    assert found.largest[0] == pytest.approx(1.0)
    assert np.isfinite(found.standard_error[0])


# --- annealing ----------------------------------------------------------------------------------

CASES = [(p, scale) for p in (1, 2, 3) for scale in (0.3, 1.0, 2.5)]


def z_scores(**options: Any) -> np.ndarray:
    """Errors in units of their standard errors: 45 models of one to three Paulis and 8 units."""
    found = []
    for p, scale in CASES:
        theta, exact = batch(5, 8, 4, PAULIS[p], scale)
        result = anneal(theta, 8, 4, p, keys=keys(5), chains=200, betas=150, **options)
        found.append((result.log_z - exact) / result.standard_error)
    return np.concatenate(found)


def test_log_z_within_three_standard_errors() -> None:
    # For normal errors more than two of 45 beyond 3: probability 3e-4; rms outside: below 1e-4.
    z = z_scores()
    assert (np.abs(z) > 3).sum() <= 2
    assert 0.6 < np.sqrt((z**2).mean()) < 1.45


def test_sweeping_another_model_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: chains swept at beta = 1 all along do not give log Z."""
    sweep = mc.sampling.log_z.annealing._Walker.sweep

    def wrong(self: Any, theta: np.ndarray, states: np.ndarray, sweeps: int, rows: Any = None):
        at_one = self._path.theta if rows is None else self._path.theta[rows]
        sweep(self, at_one, states, sweeps, rows)

    monkeypatch.setattr(mc.sampling.log_z.annealing._Walker, "sweep", wrong)
    assert (np.abs(z_scores(schedule="linear")) > 3).sum() > 20


@pytest.mark.parametrize("kernel", ["block", "bloch", "thermal", "collapsed", "measured"])
def test_every_exact_kernel(kernel: str) -> None:
    # Eight numbers beyond 4 standard errors: false alarm 5e-4.
    for p in (1, 3):
        if kernel == "block" and p != 1:
            continue
        theta, exact = batch(4, 6, 3, PAULIS[p], 1.0)
        found = anneal(
            theta, 6, 3, p, keys=keys(4), chains=150, betas=100, kernel=kernel, resamples=100
        )
        assert (np.abs(found.log_z - exact) < 4 * found.standard_error).all()


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize(("n", "m"), [(1, 2), (1, 0), (5, 0)])
def test_degenerate_shapes(paulis: str, n: int, m: int) -> None:
    theta, exact = batch(3, n, m, paulis, 1.5)
    found = anneal(theta, n, m, len(paulis), keys=keys(3), chains=100, betas=50)
    assert (np.abs(found.log_z - exact) <= 4 * found.standard_error).all()


def test_models_without_couplings_are_exact() -> None:
    for n, m, p in ((4, 3, 1), (4, 3, 3), (1, 1, 2)):
        theta = np.zeros((2, n + p * m * (n + 1)))
        theta[1, : n + p * m] = 1.3
        exact = [enumerate_model(SqRBM.from_vector(t, n, m, PAULIS[p]))[0] for t in theta]
        found = anneal(theta, n, m, p, keys=keys(2), chains=20, betas=10)
        np.testing.assert_allclose(found.log_z, exact, rtol=1e-13)
        np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-13)


def test_forward_is_low_and_reverse_is_high() -> None:
    """With few temperatures each direction is off to its own side, and they bracket log Z."""
    count = 80
    theta, exact = batch(count, 7, 5, "XYZ", 1.5)
    options: dict[str, Any] = {"betas": 6, "schedule": "linear"}
    forward = anneal(theta, 7, 5, 3, keys=keys(count), chains=1, **options)
    start = equilibrium(theta, 7, 5, "XYZ", 1)
    reverse = anneal(theta, 7, 5, 3, keys=keys(count, 100), init=start, **options)
    low, high = forward.log_z - exact, reverse.log_z - exact
    # Means below and above zero by five of their standard errors.
    assert low.mean() < -5 * low.std() / np.sqrt(count)
    assert high.mean() > 5 * high.std() / np.sqrt(count)
    assert np.isnan(forward.standard_error).all()  # one chain does not know its error


def test_reverse_is_right_with_enough_temperatures() -> None:
    # Six numbers beyond 4 standard errors: false alarm 4e-4.
    theta, exact = batch(6, 8, 4, "XZ", 1.5)
    start = equilibrium(theta, 8, 4, "XZ", 200)
    found = anneal(theta, 8, 4, 2, keys=keys(6), init=start, betas=150)
    assert (np.abs(found.log_z - exact) < 4 * found.standard_error).all()
    assert found.log_weights.shape == (6, 200)


def test_reference_fields_change_the_way_not_the_end() -> None:
    # Twice three numbers beyond 4 standard errors: false alarm 4e-4.
    theta, exact = batch(3, 7, 4, "XYZ", 1.0)
    for reference in (np.linspace(-1, 1, 7), np.random.default_rng(1).normal(0, 1, (3, 7))):
        found = anneal(theta, 7, 4, 3, keys=keys(3), chains=200, betas=150, reference=reference)
        assert (np.abs(found.log_z - exact) < 4 * found.standard_error).all()


def test_single_precision_sweeps() -> None:
    theta, exact = batch(3, 7, 4, "XYZ", 1.0)
    found = anneal(theta, 7, 4, 3, keys=keys(3), chains=200, betas=150, precision="single")
    assert (np.abs(found.log_z - exact) < 4 * found.standard_error).all()


def test_rows_do_not_depend_on_the_batch() -> None:
    theta, _ = batch(5, 7, 4, "XYZ", 2.0)
    options: dict[str, Any] = {"chains": 40, "betas": 30}
    together = anneal(theta, 7, 4, 3, keys=keys(5), **options)
    for row in range(5):
        alone = anneal(theta[row : row + 1], 7, 4, 3, keys=keys(5)[row : row + 1], **options)
        for name in ("log_z", "standard_error", "ess", "log_weights", "betas"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[row])


def test_members_of_a_team_share_the_chains() -> None:
    theta, _ = batch(2, 6, 3, "XZ", 1.0)
    chains = 2 * SHARD + 22
    options: dict[str, Any] = {"chains": chains, "betas": 20, "schedule": "linear"}
    alone = anneal(theta, 6, 3, 2, keys=keys(2), **options)

    class Member:
        def __init__(self, rank: int, size: int) -> None:
            self.rank, self.size = rank, size

        def add(self, sums: np.ndarray) -> None:
            raise AssertionError("nothing to add up")

        def gather(self, part: np.ndarray) -> np.ndarray:
            self.part = part
            return alone.log_weights  # what the members' parts amount to

    for size in (2, 5):  # with five, some have no chain
        members = [Member(rank, size) for rank in range(size)]
        found = [anneal(theta, 6, 3, 2, keys=keys(2), team=x, **options) for x in members]
        parts = np.concatenate([member.part for member in members], axis=1)
        np.testing.assert_array_equal(parts, alone.log_weights)
        assert [x.part.shape[1] for x in members] == [
            last - first for first, last in (share(chains, x) for x in members)
        ]
        np.testing.assert_array_equal(found[-1].standard_error, alone.standard_error)


def test_adaptive_schedule_finds_a_transition() -> None:
    """A ferromagnet orders near beta = 0.06, where evenly spaced temperatures are too few."""
    n, m = 24, 24
    model = SqRBM(np.zeros(n), np.zeros((1, m)), np.ones((1, n, m)), "Z")
    theta = model.to_vector()[None]
    betas = adaptive_betas(Path(theta, n, m, 1), 60, keys=keys(1), kernel="collapsed")
    assert betas.shape == (1, 60)
    check_betas(betas[0])
    assert (betas[0] < 0.15).sum() > 30
    spread = {}
    for name in ("adaptive", "linear"):
        found = anneal(theta, n, m, 1, keys=keys(1), chains=100, betas=60, schedule=name)
        spread[name] = found.log_weights.std()
    assert spread["adaptive"] < 0.5 * spread["linear"]


def test_given_betas_are_used() -> None:
    theta, _ = batch(2, 4, 2, "Z", 1.0)
    betas = np.linspace(0, 1, 9) ** 2
    found = anneal(theta, 4, 2, 1, keys=keys(2), chains=10, betas=betas)
    np.testing.assert_array_equal(found.betas, [betas, betas])
    own = anneal(theta, 4, 2, 1, keys=keys(2), chains=10, betas=found.betas)
    np.testing.assert_array_equal(own.log_weights, found.log_weights)
    seen: list[int] = []
    anneal(theta, 4, 2, 1, keys=keys(2), chains=10, betas=betas, progress=seen.append)
    assert sum(seen) == 8


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"chains": 0}, "chains must be at least 1"),
        ({"betas": 1}, "betas must be at least 2"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"resamples": 1}, "resamples must be at least 2"),
        ({"schedule": "geometric"}, "schedule must be 'adaptive' or 'linear', got 'geometric'"),
        ({"betas": [0.0, 2.0]}, "end with 1"),
        ({"kernel": "gibbs"}, "'gibbs' is not one of"),
        ({"kernel": "block"}, "one Pauli"),
        ({"kernel": "thermal-uncorrected"}, "would bias"),
        ({"reference": np.zeros(3)}, r"shape \(4,\) or \(2, 4\)"),
        ({"reference": np.full(4, np.inf)}, "finite"),
        ({"init": np.zeros((1, 3, 4), np.uint8)}, r"shape \(2, chains, 4\)"),
        ({"init": np.zeros((2, 3, 4), np.uint8), "group": 2}, "does not divide"),
    ],
)
def test_bad_arguments(options: dict[str, Any], says: str) -> None:
    theta, _ = batch(2, 4, 2, "XZ", 1.0)
    with pytest.raises(ValueError, match=says):
        anneal(theta, 4, 2, 2, keys=keys(2), **options)


def test_automatic_kernel() -> None:
    assert [choose_kernel("auto", p) for p in (1, 2, 3)] == ["block", "collapsed", "collapsed"]
