"""The estimator "weighted" against enumeration, and across checkpoints, batches and teams.

Runs with keys of their own are independent, so that their spread gives the error of their mean.
Seeds are fixed; false-alarm rates are for another choice of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from mc.estimators.particles import (
    Groups,
    effective_share,
    relative_variance,
    reweighted,
    shortened,
)
from mc.estimators.settings import Weighted, provide
from mc.sampling.resampling import ancestors
from tests.mc.estimators.test_divergence import in_a_team
from tests.mc_twins import LETTERS
from tests.trainings import finished
from tests.trainings import same as same_path
from tests.twins import enumerate_model
from tnqbm import SqRBM, Target, TrainingSettings, datasets, exact, train
from tnqbm.base.errors import EstimateWarning
from tnqbm.base.teams import Alone, Team
from tnqbm.core.shape import Shape
from tnqbm.training.estimators import Averages, Context, between
from tnqbm.training.problems import SqRBMProblem
from tnqbm.training.trainer import Trainer
from tnqbm.training.trajectory import untrusted

N, M = 5, 3


def context_of(p: int, runs: int, **options: Any) -> Context:
    states = np.random.default_rng(0).integers(0, 2, (20, N), dtype=np.uint8)
    keys = options.pop("keys", np.arange(70, 70 + runs, dtype=np.uint64))
    team: Team = options.pop("team", None) or Alone()
    problem = SqRBMProblem([model_of(p)] * runs, [Target.from_samples(states)] * runs)
    return Context(problem, keys, team=team, **options)


def make(p: int, runs: int, *, settings: dict[str, Any] | None = None, **options: Any) -> Any:
    return Weighted(**{"chains": 130, **(settings or {})}).make(context_of(p, runs, **options))


def model_of(p: int, scale: float = 0.8, seed: int = 1) -> SqRBM:
    return SqRBM.uniform(N, M, LETTERS[p], scale=scale, seed=seed)


def walk(count: int, runs: int, p: int, step: float = 0.1) -> np.ndarray:
    """Parameters (count, runs, size) of a training run, so to speak."""
    rng = np.random.default_rng(8)
    size = Shape(N, M, p).size
    start = 0.3 * rng.normal(size=(1, runs, size))
    return np.asarray(start + np.cumsum(step * rng.normal(size=(count, runs, size)), axis=0))


def same(one: Averages, other: Averages) -> None:
    for name in ("model", "data", "log_partition", "log_partition_error"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name, values in one.usage.items():
        np.testing.assert_array_equal(other.usage[name], values)


# --- weights --------------------------------------------------------------------------------------


def test_new_weights_and_their_conditional_share() -> None:
    rng = np.random.default_rng(1)
    old, increments = rng.dirichlet(np.ones(50)), rng.normal(size=50)
    found = reweighted(old, increments)
    u = np.exp(increments)
    np.testing.assert_allclose(found.weights, old * u / (old * u).sum(), rtol=1e-13)
    assert found.log_factor == pytest.approx(np.log((old * u).sum()), rel=1e-13)
    assert found.share == pytest.approx((old * u).sum() ** 2 / (old * u * u).sum(), rel=1e-13)
    shifted = reweighted(old, increments + 700.0)
    np.testing.assert_allclose(shifted.weights, found.weights, rtol=1e-10)
    assert shifted.log_factor == pytest.approx(found.log_factor + 700.0)


def test_equal_increments_leave_everything_but_z() -> None:
    old = np.random.default_rng(2).dirichlet(np.ones(9))
    found = reweighted(old, np.full(9, -3.0))
    np.testing.assert_allclose(found.weights, old, rtol=1e-15)
    assert (found.log_factor, found.share) == (pytest.approx(-3.0), pytest.approx(1.0))


def test_extreme_increments() -> None:
    found = reweighted(np.array([0.5, 0.5, 0.0]), np.array([-5000.0, -5001.0, 8000.0]))
    assert found.log_factor == pytest.approx(-5000.0 + np.log((1 + np.exp(-1.0)) / 2))
    assert found.weights[2] == 0.0
    assert reweighted(np.full(2, 0.5), np.array([0.0, np.nan])).share == 0.0


def test_systematic_resampling_copies_every_chain_as_often_as_it_weighs() -> None:
    weights = np.random.default_rng(3).dirichlet(np.full(40, 0.3))
    offsets = (np.arange(1000) + 0.5) / 1000
    counts = np.array([np.bincount(ancestors(weights, u), minlength=40) for u in offsets])
    assert (np.abs(counts - 40 * weights) < 1.0).all()
    np.testing.assert_allclose(counts.mean(axis=0), 40 * weights, atol=2e-3)
    groups = Groups(40, 30)
    both = np.concatenate([weights[:30] / weights[:30].sum(), weights[30:] / weights[30:].sum()])
    picks = groups.ancestors(both, np.array([0.3, 0.6]))
    assert picks[:30].max() < 30 <= picks[30:].min()


def test_effective_shares_and_families() -> None:
    assert effective_share(np.full(7, 1 / 7)) == pytest.approx(1.0)
    assert effective_share(np.eye(5)[2]) == pytest.approx(0.2)
    # All families alike: nothing has varied. One family is left: nothing is known any more.
    assert relative_variance(np.full(8, 1 / 8), np.arange(8)) == pytest.approx(0.0, abs=1e-15)
    assert relative_variance(np.full(8, 1 / 8), np.zeros(8, np.intp)) == pytest.approx(1.0)
    assert np.isnan(relative_variance(np.ones(1), np.zeros(1, np.intp)))


def test_the_variance_of_independent_weights_is_that_of_their_mean() -> None:
    rng = np.random.default_rng(4)
    draws = np.exp(0.5 * rng.normal(size=(4000, 200)))
    stated = [relative_variance(d / d.sum(), np.arange(200)) for d in draws]
    assert np.mean(stated) == pytest.approx(np.var(draws.mean(axis=1)) / np.exp(0.25), rel=0.1)


def test_a_step_too_long_says_how_long_one_should_be() -> None:
    increments = np.random.default_rng(5).normal(size=1000)
    weights = np.full(1000, 1e-3)
    factor = shortened(reweighted(weights, 0.5 * increments).share, 0.95)
    assert 0.95 < reweighted(weights, 0.5 * factor * increments).share < 0.975
    assert shortened(0.0, 0.9999) == 0.05
    assert shortened(0.8999999, 0.9) == pytest.approx(0.9)


# --- averages and log Z ---------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_averages_and_z_are_those_of_the_model_while_it_moves(p: int, precision: str) -> None:
    """Models far from the start, few sweeps on the way: only weights can make this right."""
    runs, thetas = 40, walk(12, 1, p, step=0.15)
    estimator = make(p, runs, settings={"chains": 400}, precision=precision)
    for theta in thetas:
        found = estimator.estimate(np.repeat(theta, runs, axis=0), np.arange(runs))
    model = SqRBM.from_vector(thetas[-1, 0], N, M, LETTERS[p])
    log_z, moments, _ = enumerate_model(model)
    ratios = np.exp(found.log_partition - log_z)
    error = ratios.std(ddof=1) / np.sqrt(runs)
    assert abs(ratios.mean() - 1.0) < 4 * error  # 6e-5
    assert error < 0.08
    # What runs say of their error is what they differ by: chi-squared, 1e-6 on either side.
    stated = np.mean(found.log_partition_error**2)
    spread = (runs - 1) * ratios.var(ddof=1) / stated
    assert chi2.cdf(spread, runs - 1) > 1e-6
    assert chi2.sf(spread, runs - 1) > 1e-6
    errors = found.model.std(axis=0, ddof=1) / np.sqrt(runs)
    some = errors > 1e-9
    z = (found.model.mean(axis=0) - moments)[some] / errors[some]
    assert np.abs(z).max() < 5.5
    assert np.abs(found.model.mean(axis=0) - moments).max() < 0.03


def test_without_weights_the_averages_would_be_wrong() -> None:
    """Negative control: the models of this walk are too far apart for one sweep."""
    thetas, runs = walk(12, 1, 2, step=0.15), 40
    estimator = make(2, runs, settings={"chains": 400})
    for theta in thetas:
        states = estimator._chains[:, : estimator._groups.first_witness].copy()
        estimator.estimate(np.repeat(theta, runs, axis=0), np.arange(runs))
        estimator._weights[:] = estimator._groups.equal_weights()
    model = SqRBM.from_vector(thetas[-1, 0], N, M, "XZ")
    _, moments, _ = enumerate_model(model)
    found = (1.0 - 2.0 * states).mean(axis=1)
    error = found.std(axis=0, ddof=1) / np.sqrt(runs)
    assert (np.abs(found.mean(axis=0) - moments[:N]) / error).max() > 6


@pytest.mark.parametrize("p", [1, 3])
def test_log_z_is_right_from_the_start_however_large_the_couplings(p: int) -> None:
    runs, model = 20, model_of(p, scale=3.0, seed=4)
    estimator = make(p, runs, settings={"chains": 400})
    found = estimator.estimate(np.tile(model.to_vector(), (runs, 1)), np.arange(runs))
    log_z, moments, _ = enumerate_model(model)
    ratios = np.exp(found.log_partition - log_z)
    assert abs(ratios.mean() - 1.0) < 4 * ratios.std(ddof=1) / np.sqrt(runs)
    assert np.abs(found.model.mean(axis=0) - moments).max() < 0.1
    assert (np.abs(found.log_partition - log_z) < 4.5 * found.log_partition_error).all()


def test_uncoupled_units_have_an_exact_log_z() -> None:
    model = SqRBM.uniform(N, M, "XZ", scale=0.0, seed=1)
    found = make(2, 1).estimate(model.to_vector()[None], np.arange(1))
    assert found.log_partition[0] == pytest.approx((N + M) * np.log(2.0), rel=1e-14)
    assert found.log_partition_error[0] < 1e-12
    assert found.usage["effective_witnesses"][0] == pytest.approx(32.0)


def test_witnesses_have_no_part_in_the_averages() -> None:
    """Other witnesses, the same training: log Z differs, nothing else does."""
    thetas = walk(4, 1, 2)
    one, other = make(2, 1), make(2, 1)
    for k, theta in enumerate(thetas):
        if k == 1:
            other._chains[:, other._groups.first_witness :] ^= 1
        found, changed = (e.estimate(theta, np.arange(1)) for e in (one, other))
        np.testing.assert_array_equal(found.model, changed.model)
    assert found.log_partition[0] != changed.log_partition[0]


def test_states_and_weights_behind_the_averages_are_handed_out() -> None:
    settings = Weighted(chains=40)  # too few for the rows of the data to count as known
    estimator = settings.make(context_of(2, 3, wants_states=True))
    for theta in walk(3, 3, 2):
        found = estimator.estimate(theta, np.arange(3))
    assert found.states.shape == (3, settings.sample_size, N)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, rtol=1e-14)
    spins = 1.0 - 2.0 * found.states
    np.testing.assert_allclose(
        (found.weights[:, :, None] * spins).sum(axis=1), found.model[:, :N], atol=1e-9
    )


# --- how far steps may go -------------------------------------------------------------------------


def test_steps_are_shortened_to_what_the_weights_bear() -> None:
    thetas, rows = walk(2, 3, 2, step=2.0), np.arange(3)
    estimator = make(2, 3, settings={"chains": 1000, "step_share": 0.9})
    estimator.estimate(thetas[0], rows)
    before = {name: values.copy() for name, values in estimator.state().items()}
    after = thetas[1].copy()
    after[2] = thetas[0, 2] + 1e-3
    fractions = estimator.allowed(thetas[0], after, rows)
    assert (fractions[:2] < 0.9).all()
    assert (fractions > 0.0).all()
    assert fractions[2] == 1.0
    new = between(thetas[0], after, fractions)
    found = estimator.estimate(new, rows)
    np.testing.assert_array_equal(found.usage["step_fraction"], fractions)

    def share(theta: np.ndarray) -> np.ndarray:
        twin = make(2, 3, settings={"chains": 1000})
        twin.restore(before)
        return np.asarray(twin._weigh(theta, rows).shares)

    at, beyond = share(new), share(between(thetas[0], after, np.minimum(1.0, 2.0 * fractions)))
    assert (at >= 0.9).all()
    assert (beyond[:2] < 0.9).all()  # not much shorter than they had to be


def test_without_a_share_steps_are_of_any_length() -> None:
    thetas, rows = walk(2, 2, 2, step=3.0), np.arange(2)
    estimator = make(2, 2, settings={"step_share": 0.0})
    estimator.estimate(thetas[0], rows)
    np.testing.assert_array_equal(estimator.allowed(thetas[0], thetas[1], rows), 1.0)


def test_asking_changes_nothing_but_the_time_it_takes() -> None:
    thetas, rows = walk(5, 2, 3, step=0.02), np.arange(2)
    asked, other = make(3, 2), make(3, 2)
    for k, theta in enumerate(thetas):
        same(asked.estimate(theta, rows), other.estimate(theta, rows))
        if k + 1 < len(thetas):
            assert (asked.allowed(theta, thetas[k + 1], rows) == 1.0).all()


def test_a_hopeless_step_ends_after_some_trials() -> None:
    estimator = make(2, 1, settings={"step_share": 0.999})
    start = walk(1, 1, 2)[0]
    estimator.estimate(start, np.arange(1))
    huge = start + 1e12
    fraction = estimator.allowed(start, huge, np.arange(1))
    assert 0.0 < fraction[0] < 1e-10
    found = estimator.estimate(between(start, huge, fraction), np.arange(1))
    assert np.isfinite(found.log_partition).all()
    assert np.isfinite(found.model).all()


# --- batches, checkpoints, teams ------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 3])
def test_runs_do_not_depend_on_their_batch(p: int) -> None:
    thetas = walk(6, 4, p, step=0.3)
    settings = {"resample_below": 0.9}
    whole, some = make(p, 4, settings=settings), make(p, 4, settings=settings)
    alone = make(p, 1, settings=settings, keys=np.array([73], np.uint64))
    rows, one = np.array([1, 3]), np.arange(1)
    resamplings = 0.0
    for k, theta in enumerate(thetas):
        together = whole.estimate(theta, np.arange(4))
        few, single = some.estimate(theta[rows], rows), alone.estimate(theta[3:], one)
        for name in ("model", "log_partition", "log_partition_error"):
            np.testing.assert_array_equal(getattr(few, name), getattr(together, name)[rows])
            np.testing.assert_array_equal(getattr(single, name)[0], getattr(together, name)[3])
        resamplings = together.usage["resamplings"].max()
        if k + 1 < len(thetas):
            after = thetas[k + 1]
            fractions = whole.allowed(theta, after, np.arange(4))
            np.testing.assert_array_equal(
                some.allowed(theta[rows], after[rows], rows), fractions[rows]
            )
            np.testing.assert_array_equal(alone.allowed(theta[3:], after[3:], one), fractions[3:])
            thetas[k + 1] = between(theta, after, fractions)
    assert resamplings > 0


@pytest.mark.parametrize("precision", ["double", "single"])
def test_restoring_a_checkpoint_changes_nothing(precision: str) -> None:
    thetas, rows = walk(7, 3, 2, step=0.3), np.arange(3)
    whole = make(2, 3, precision=precision)
    expected = [whole.estimate(theta, rows) for theta in thetas]
    for stop in (0, 1, 4):
        first, second = make(2, 3, precision=precision), make(2, 3, precision=precision)
        for theta in thetas[:stop]:
            first.estimate(theta, rows)
        state = {key: np.array(value) for key, value in first.state().items()}
        first.estimate(thetas[0], rows)  # what follows must not reach into the state
        second.estimate(thetas[0], rows)
        second.restore(state)
        for theta, wanted in zip(thetas[stop:], expected[stop:], strict=True):
            same(second.estimate(theta, rows), wanted)


@pytest.mark.parametrize("missing", ["chains", "weights", "families", "log_z", "updates"])
def test_a_damaged_state_is_refused(missing: str) -> None:
    estimator = make(2, 2)
    state = estimator.state()
    with pytest.raises(ValueError, match=f"{missing} of the chains has shape nothing"):
        estimator.restore({key: value for key, value in state.items() if key != missing})
    with pytest.raises(ValueError, match="expected"):
        estimator.restore({**state, missing: np.zeros((1, 2, 3, 4, 5))})


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("chains", [260, 100])
def test_a_team_gives_the_numbers_of_one(chains: int, size: int, precision: str) -> None:
    """260 chains are five shards and 65 witnesses; 100 leave a member without any."""
    thetas, rows = walk(5, 3, 2, step=0.4), np.arange(3)
    build: dict[str, Any] = {"settings": {"chains": chains}, "precision": precision}

    def follow(estimator: Any, thetas: np.ndarray) -> list[Averages]:
        found = []
        for theta in thetas:
            found.append(estimator.estimate(theta, rows))
            few = np.array([0, 2])
            estimator.allowed(theta[few], theta[few] + 0.3, few)
            found.append(estimator.estimate(theta[few], few))
        return found

    def work(team: Team | None) -> tuple[list[Averages], Any]:
        estimator = make(2, 3, team=team, **build)
        first, state = follow(estimator, thetas[:3]), estimator.state()
        estimator = make(2, 3, team=team, **build)
        estimator.restore(state)
        return first + follow(estimator, thetas[3:]), state

    alone, kept = work(None)
    assert alone[-1].usage["resamplings"].max() > 0
    for found, state in in_a_team(size, work):
        for one, other in zip(alone, found, strict=True):
            same(one, other)
        for key, value in kept.items():
            np.testing.assert_array_equal(state[key], value)


# --- training -------------------------------------------------------------------------------------


def trainer_of(runs: int = 2, **settings: Any) -> Trainer:
    provide()
    models = [SqRBM.uniform(8, 3, "XYZ", scale=0.1, seed=s) for s in range(runs)]
    values = {"iterations": 40, "learning_rate": 0.1, "chains": 100, "records": 8} | settings
    target = datasets.load("bas", 8)
    problem = SqRBMProblem(models, [target] * runs)
    return Trainer(problem, TrainingSettings(gradient="weighted", **values))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "sgd", "momentum": 0.9, "batch_size": 3, "centred": True},
        {"precision": "single", "weight_decay": 0.01, "clip": 1.0, "step_share": 0.99},
        {"optimizer": "natural", "damping": 0.1, "chains": 60},
    ],
)
def test_training_goes_on_from_a_checkpoint_with_the_same_bits(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    whole = finished(trainer_of(**settings))
    first, second = trainer_of(**settings), trainer_of(**settings)
    first.advance(17)
    first.save(tmp_path / "at.h5")
    second.resume(tmp_path / "at.h5")
    for one, other in zip(whole, finished(second), strict=True):
        assert same_path(one, other)
        for name, values in one.estimator_records.items():
            np.testing.assert_array_equal(other.estimator_records[name], values)


def test_runs_that_stop_early_leave_the_others_as_they_are() -> None:
    settings: dict[str, Any] = {"iterations": 60, "records": 60, "patience": 4, "min_delta": 0.02}
    both = finished(trainer_of(2, **settings))
    assert both[0].step[-1] != both[1].step[-1] or both[0].stopped == "plateau"
    assert same_path(finished(trainer_of(1, **settings))[0], both[0])


def test_an_evaluator_that_is_named_counts_instead_of_the_estimate() -> None:
    provide()
    target, model = datasets.load("bas", 4), SqRBM.uniform(4, 2, "XZ", scale=0.1, seed=1)
    settings: dict[str, Any] = {"gradient": "weighted", "chains": 50, "iterations": 30, "seed": 1}
    own = train(model, target, **settings)
    named = train(model, target, evaluate="exact", evaluations=1, **settings)
    np.testing.assert_array_equal(own.model.w, named.model.w)
    assert (own.log_partition_error > 0.0).all()
    np.testing.assert_array_equal(named.log_partition[:-1], own.log_partition[:-1])
    assert named.log_partition[-1] == pytest.approx(exact.log_partition(named.model), abs=1e-12)
    assert named.log_partition_error[-1] == 0.0


def test_log_z_follows_a_training() -> None:
    """And would not, if the chains that decide steps told it: negative control below."""
    provide()
    target, runs = datasets.load("bas", 8), 12
    models = [SqRBM.uniform(8, 3, "XYZ", scale=0.05, seed=s) for s in range(runs)]
    settings = TrainingSettings(
        gradient="weighted", optimizer="sgd", learning_rate=0.2, iterations=200, chains=200,
        records=5, snapshots=5,
    )  # fmt: skip
    trainer = Trainer(SqRBMProblem(models, [target] * runs), settings)
    estimator: Any = trainer._estimator
    biased = np.zeros(runs)
    weigh = estimator._weigh

    def watched(theta: np.ndarray, rows: np.ndarray) -> Any:
        found = weigh(theta, rows)
        own = estimator._groups.spans[0]
        log_p = estimator._moments.log_weights(theta, estimator._chains[rows])
        for k, run in enumerate(rows):
            part = reweighted(estimator._weights[run, own], (log_p - found.old)[k, own])
            biased[run] += part.log_factor
        return found

    estimator._weigh, estimator._step_share = watched, 0.0
    paths = finished(trainer)
    log_z = np.array([[exact.log_partition(m) for _, m in path.snapshots] for path in paths])
    steps = [step for step, _ in paths[0].snapshots]
    at = np.searchsorted(paths[0].step, steps)
    found = np.array([path.log_partition[at] for path in paths])
    stated = np.array([path.log_partition_error[at] for path in paths])
    z = (found - log_z)[:, 1:] / stated[:, 1:]
    assert np.abs(z).max() < 4.5
    assert np.abs(z.mean(axis=0)).max() < 4.0 / np.sqrt(runs)
    start = log_z[:, 0]
    assert (start + biased - log_z[:, -1]).mean() < -10 * stated[:, -1].mean() / np.sqrt(runs)


def test_what_a_run_records() -> None:
    path = finished(trainer_of(1))[0]
    assert (path.log_partition_error >= 0).all()
    assert path.log_partition_bound is not None
    assert set(path.estimator_records) == {
        "effective_chains", "effective_witnesses", "known_share", "step_fraction",
        "resamplings", "anchorings",
    }  # fmt: skip
    assert (path.estimator_records["effective_chains"] <= 75.0 + 1e-9).all()


def test_lost_mass_that_chains_have_not_found_again_is_called_so() -> None:
    """The data weigh more than log Z allows, and too few witnesses are there to set it right."""
    trainer = trainer_of(1)
    trainer.advance(5)
    estimator: Any = trainer._estimator
    estimator._log_z -= 6.0
    assert "its standard error is not finite" in untrusted(finished(trainer)[0].final)
    small = finished(trainer_of(1, chains=1000, optimizer="sgd"))[0]
    assert untrusted(small.final) == ""


@pytest.mark.parametrize("off", [-6.0, 6.0])
def test_log_z_is_set_right_by_known_states(off: float) -> None:
    trainer = trainer_of(1, chains=4000)
    trainer.advance(5)
    estimator: Any = trainer._estimator
    estimator._log_z += off
    path = finished(trainer)[0]
    assert path.estimator_records["anchorings"][-1] >= 1
    error = abs(path.log_partition[-1] - exact.log_partition(path.model))
    assert error < min(0.1, 4.5 * path.log_partition_error[-1])


def test_known_states_stand_for_the_chains_in_them() -> None:
    """Averages are those of chains elsewhere, and of all rows as they weigh in place of others."""
    estimator = make(2, 1, settings={"chains": 400}, wants_states=True)
    thetas = walk(3, 1, 2)
    for theta in thetas:
        found = estimator.estimate(theta, np.arange(1))
    rows, chains, weights = estimator._known._states[0], found.states[0], found.weights[0]
    inside = (chains[:, None] == rows).all(axis=2).any(axis=1)
    assert 0.1 < weights[inside].sum() < 0.9
    assert found.usage["known_share"][0] == pytest.approx(weights[inside].sum(), rel=1e-12)
    p = np.exp(SqRBM.from_vector(thetas[-1][0], N, M, "XZ").log_weight(rows))
    spins = weights[~inside] @ (1.0 - 2.0 * chains[~inside])
    spins += weights[inside].sum() * (p / p.sum()) @ (1.0 - 2.0 * rows)
    np.testing.assert_allclose(found.model[0, :N], spins, atol=1e-7)


def test_train_warns_of_lost_mass() -> None:
    provide()
    target = datasets.load("bas", 8)
    start = SqRBM.uniform(8, 3, "XYZ", scale=0.05, seed=1)

    made = Weighted(chains=100).make(
        Context(SqRBMProblem([start], [target]), np.array([3], dtype=np.uint64))
    )
    allowed = made.allowed

    def losing(*arguments: Any) -> Any:
        made._log_z -= 1.0
        return allowed(*arguments)

    made.allowed = losing
    with pytest.warns(EstimateWarning, match=r"log Z of the trained model is not to be trusted: "):
        train(start, target, gradient=made, iterations=30, evaluate="none")


def test_train_checks_what_studies_check() -> None:
    provide()
    target = datasets.load("bas", 8)
    start = SqRBM.uniform(8, 3, "XYZ", scale=0.05, seed=1)
    with pytest.raises(ValueError, match="witness_share: 0 of 100 chains"):
        train(start, target, gradient="weighted", witness_share=0.0, iterations=5)
    with pytest.raises(ValueError, match="kernel"):
        train(start, target, gradient="pcd", kernel="block", iterations=5)


# --- settings -------------------------------------------------------------------------------------


def test_settings_are_checked() -> None:
    for settings, words in (
        ({"chains": 3}, "witness_share: 0.25 of 3 chains are 1; at least 2"),
        ({"witness_share": 0.0}, "at least 2 must tell log Z"),
        ({"kernel": "thermal-uncorrected"}, "only approximately"),
    ):
        with pytest.raises(ValueError, match=words):
            trainer_of(1, **settings)
    for name in ("witness_share", "step_share", "resample_below"):
        with pytest.raises(ValueError, match=f"{name}: must be a finite number >= 0 and below 1"):
            Weighted(**{name: 1.5})
