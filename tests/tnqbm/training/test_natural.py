"""Natural gradient descent in the training loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import special_ortho_group
from threadpoolctl import threadpool_limits

import mc.estimators.settings
from tests.trainings import finished
from tests.twins import all_states
from tnqbm import SqRBM, Target, TrainingSettings, datasets, exact, train
from tnqbm.core import connectivity
from tnqbm.core.shape import Shape
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.training import SqRBMProblem
from tnqbm.training.estimators import Averages
from tnqbm.training.inputs import uncoupled
from tnqbm.training.optimizers.scores import Scores, enumerated
from tnqbm.training.optimizers.solvers import solve
from tnqbm.training.trainer import Trainer

mc.estimators.settings.provide()

NATURAL = {"optimizer": "natural", "learning_rate": 1.0}
GRADIENTS = [{"gradient": "exact"}, {"gradient": "pcd", "chains": 30, "steps": 2}]


def trainer(runs=4, data="on2", paulis="XYZ", mask=None, **settings):
    models = [SqRBM.uniform(6, 4, paulis, seed=k, mask=mask) for k in range(runs)]
    targets = [datasets.load(data, 6, seed=k) for k in range(runs)]
    given = NATURAL | {"iterations": 8} | settings
    return Trainer(SqRBMProblem(models, targets), TrainingSettings(**given))


def realisable(seed, n=4, m=2, paulis="XYZ", scale=0.6, away=0.1):
    """A target that a model has exactly, and another model near it."""
    model = SqRBM.uniform(n, m, paulis, scale=scale, seed=seed)
    noise = np.random.default_rng(seed).normal(size=model.n_parameters)
    near = SqRBM.from_vector(model.to_vector() + away * noise, n, m, paulis)
    return Target.from_dense(exact.probabilities(model)), near


@pytest.mark.filterwarnings("ignore:training ran away")  # one update with hardly any damping may
@pytest.mark.parametrize("solver", ["dense", "cg"])
@pytest.mark.parametrize("metric", ["fisher", "kubo-mori"])
def test_one_update_with_fixed_damping_is_the_solution(metric, solver):
    target = datasets.load("bas", 4)
    model = SqRBM.uniform(4, 2, "XZ", seed=3)
    settings = {"metric": metric, "damping": 0.05, "damping_rule": "fixed", "solver": solver}
    got = train(
        model, target, iterations=1, optimizer="natural", learning_rate=0.5, cg_tolerance=1e-12,
        **settings,
    ).model.to_vector()  # fmt: skip
    matrix = Scores(model.to_vector(), enumerated(4), 2, 2).matrix(metric)
    gradient = exact.gradient(model, target).to_vector()
    step = np.linalg.solve(matrix + 0.05 * np.eye(gradient.size), gradient)
    np.testing.assert_allclose(got, model.to_vector() - 0.5 * step, atol=1e-9)


@pytest.mark.parametrize("metric", ["fisher", "kubo-mori"])
@pytest.mark.parametrize("data", ["bas", "parity", "on2"])
def test_loss_never_rises(data, metric):
    for run in finished(trainer(data=data, metric=metric, iterations=15)):
        assert (np.diff(run.kl) <= 1e-12).all()
        assert run.kl[-1] < run.kl[0]


def test_fisher_updates_converge_faster_than_linearly_to_a_realisable_target():
    """There the Fisher metric is the Hessian, the Kubo-Mori metric is not."""
    for seed in range(3):
        target, near = realisable(seed)
        settings = {"iterations": 30, "damping": 1e-4, **NATURAL}
        run = train(near, target, **settings)
        assert run.kl[-1] < 1e-12
        # Once small, every update gains more than the one before it.
        kl = run.kl[(run.kl < 1e-3) & (run.kl > 1e-12)]
        rate = kl[1:] / kl[:-1]
        assert rate.size >= 2
        assert rate[-1] < 0.05
        assert rate[-1] < rate[0] or rate[0] < 0.01
        other = train(near, target, metric="kubo-mori", **settings)
        assert run.kl[-1] < other.kl[-1]


def test_update_commutes_with_rotations_of_the_hidden_axes():
    """p(v) after an update does not depend on the axes of each hidden unit."""
    target = datasets.load("on2", 5, seed=1)
    model = SqRBM.uniform(5, 3, "XYZ", seed=2)
    turns = special_ortho_group.rvs(3, size=3, random_state=np.random.default_rng(3))
    b, w = np.empty_like(model.b), np.empty_like(model.w)
    for j, turn in enumerate(turns):
        b[:, j] = turn @ model.b[:, j]
        w[:, :, j] = turn @ model.w[:, :, j]
    turned = SqRBM(model.a, b, w, "XYZ")
    np.testing.assert_allclose(exact.probabilities(turned), exact.probabilities(model), atol=1e-14)
    for metric in ("fisher", "kubo-mori"):
        settings = {"iterations": 5, "metric": metric, **NATURAL}
        one, two = (train(x, target, **settings).model for x in (model, turned))
        np.testing.assert_allclose(exact.probabilities(one), exact.probabilities(two), atol=1e-9)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_interrupted_training_ends_with_the_same_bits(gradient):
    settings = {**gradient, "iterations": 9}
    whole = finished(trainer(**settings))
    first = trainer(**settings)
    first.advance(4)
    second = trainer(**settings)
    second.restore(first.state())
    for one, two in zip(whole, finished(second, chunk=1), strict=True):
        assert one.model == two.model
        assert np.array_equal(one.kl, two.kl)
        assert np.array_equal(one.estimator_records["passes"], two.estimator_records["passes"])


@pytest.mark.parametrize("solver", ["dense", "cg"])
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_bits_do_not_depend_on_batch_or_threads(gradient, solver):
    settings = {**gradient, "solver": solver}
    together = finished(trainer(runs=3, **settings))
    with threadpool_limits(limits=2, user_api="blas"):
        again = finished(trainer(runs=3, **settings))
    alone = finished(trainer(runs=1, **settings))
    assert alone[0].model == together[0].model
    for one, two in zip(together, again, strict=True):
        assert one.model == two.model


def test_runs_that_stop_early_leave_the_others_alone():
    """A run stopped on its plateau and the rest as if it had never been there."""
    settings = {"iterations": 40, "patience": 5, "min_delta": 0.02}
    together = finished(trainer(runs=4, **settings))
    assert len({run.step.size for run in together}) > 1
    assert finished(trainer(runs=1, **settings))[0].model == together[0].model


@pytest.mark.parametrize("solver", ["auto", "cg", "dense"])
def test_absent_and_frozen_parameters_stay(solver):
    mask = connectivity.line(6, 3)
    models = [SqRBM.uniform(6, 4, "XYZ", seed=1, mask=mask)]
    frozen = uncoupled(6, 4, "XYZ", "Z")
    frozen[:3] = True
    target = datasets.load("bas", 6)
    settings = TrainingSettings(iterations=4, solver=solver, **NATURAL)
    one = Trainer(SqRBMProblem(models, [target], frozen=frozen), settings)
    found = finished(one)[0]
    before, after = models[0].to_vector(), found.model.to_vector()
    held = frozen | ~Shape(*mask.shape, 3).free(mask)
    assert np.array_equal(after[held], before[held])
    assert (after[~held] != before[~held]).all()
    assert (np.diff(found.kl) < 0).all()


@pytest.mark.parametrize("solver", ["kernel", "cg"])
def test_samples_of_persistent_chains_give_the_metric(solver):
    """Gradient and metric from the same chains; the seed is fixed."""
    target = datasets.load("bas", 4)
    model = SqRBM.uniform(4, 3, "XYZ", scale=0.3, seed=1)
    run = train(
        model, target, gradient="pcd", chains=400, steps=3, optimizer="natural",
        learning_rate=0.3, damping=0.02, trust_radius=0.3, solver=solver, iterations=60, seed=5,
    )  # fmt: skip
    assert run.kl[-1] < 0.1 < run.kl[0]


def test_solvers_agree_in_training_on_samples():
    mask = connectivity.line(6, 3)
    for masked in (None, mask):
        found = [
            finished(
                trainer(
                    runs=1, mask=masked, gradient="pcd", chains=40, solver=solver,
                    damping=0.05, cg_tolerance=1e-12, cg_iterations=500, iterations=3,
                )
            )[0].model.to_vector()
            for solver in ("kernel", "cg", "dense")
        ]  # fmt: skip
        np.testing.assert_allclose(found[1], found[0], atol=1e-7)
        np.testing.assert_allclose(found[2], found[0], atol=1e-7)


def test_trust_radius_bounds_updates_in_the_metric():
    target, model = datasets.load("bas", 4), SqRBM.uniform(4, 3, "XYZ", seed=1)
    new = train(model, target, iterations=1, trust_radius=0.05, damping_rule="fixed", **NATURAL)
    move = new.model.to_vector() - model.to_vector()
    scores = Scores(model.to_vector(), enumerated(4), 3, 3)
    assert np.sqrt(move @ scores.product(move)) == pytest.approx(0.05)
    # In the same direction as without the bound.
    plain = solve(scores, exact.gradient(model, target).to_vector(), 0.01, solver="dense")
    assert move @ plain / np.linalg.norm(move) / np.linalg.norm(plain) == pytest.approx(-1)


def test_weighted_samples_and_minibatches_are_taken():
    target = datasets.load("bas", 6)
    model = SqRBM.uniform(6, 2, "XZ", scale=0.1, seed=1)
    settings = {"optimizer": "natural", "learning_rate": 0.3, "trust_radius": 0.5, "iterations": 10}
    for more in ({"gradient": "tensor", "chains": 50}, {"batch_size": 3}):
        run = train(model, target, **settings, **more)
        assert run.kl[-1] < run.kl[0]


def test_weight_decay_is_part_of_the_loss():
    target = datasets.load("bas", 4)
    model = SqRBM.uniform(4, 2, "XZ", seed=1)
    run = train(model, target, iterations=60, weight_decay=0.05, **NATURAL)
    end = run.model
    gradient = exact.gradient(end, target).to_vector()
    gradient[4 + 2 * 2 :] += 0.05 * end.w.ravel()
    assert np.abs(gradient).max() < 1e-6


def test_plateau_of_parity_is_left():
    """AMSGrad's run from the same start stays at a TVD of 0.5; the negative control."""
    target = datasets.load("parity", 6)
    model = SqRBM.uniform(6, 3, "XYZ", scale=0.05, seed=1)
    assert train(model, target, iterations=100).tvd[-1] > 0.49
    assert train(model, target, iterations=100, **NATURAL).tvd[-1] < 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentum": 0.5}, "momentum: optimizer 'natural' has no such setting.*'sgd'"),
        ({"centred": True}, "centred: not with"),
        ({"clip": 1.0}, "clip: not with .* trust_radius"),
        ({"metric": "fischer"}, "did you mean 'fisher'"),
        ({"damping": 0.0}, "damping: must be above 0"),
        ({"damping_rule": "adaptive", "gradient": "pcd"}, "damping_rule: 'adaptive'"),
        ({"metric": "kubo-mori", "solver": "kernel"}, "solver: 'kernel'"),
        ({"gradient": "quantum"}, "optimizer: 'natural' needs samples"),
        ({"cg_iterations": 0}, "cg_iterations: must be an integer >= 1"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(optimizer="natural", **settings)


def test_estimators_without_samples_are_refused():
    class Silent:
        def estimate(self, theta, rows, data=None):
            return Averages(np.zeros_like(theta))

        def state(self):
            return {}

    target, model = datasets.load("bas", 4), SqRBM.uniform(4, 1, "Z", seed=0)
    with pytest.raises(ValueError, match="hands out none"):
        train(model, target, gradient=Silent(), iterations=1, **NATURAL)
    with pytest.raises(ValueError, match="needs log Z at every update"):
        train(model, target, gradient=Silent(), optimizer="em", iterations=1)


def test_given_estimators_may_hand_out_states():
    """All states with their probabilities: the exact metric, and so the exact updates."""

    class Weighted:
        def estimate(self, theta, rows, data=None):
            models = [SqRBM.from_vector(row, 4, 2, "XZ") for row in theta]
            return Averages(
                np.stack([exact.moments(model).to_vector() for model in models]),
                states=np.stack([all_states(4)] * len(models)),
                weights=np.stack([exact.probabilities(model) for model in models]),
            )

        def state(self):
            return {}

    target, model = datasets.load("bas", 4), SqRBM.uniform(4, 2, "XZ", scale=0.3, seed=1)
    settings = {
        "optimizer": "natural", "learning_rate": 0.2, "damping": 0.5, "damping_rule": "fixed",
        "solver": "dense", "iterations": 3,
    }  # fmt: skip
    given, expected = (
        train(model, target, gradient=gradient, **settings).model.to_vector()
        for gradient in (Weighted(), "exact")
    )
    np.testing.assert_allclose(given, expected, atol=1e-7)


def test_sizes_and_models_that_cannot_be_enumerated_are_refused():
    large = SqRBM.uniform(17, 1, "Z", seed=0)
    target = Target(np.zeros((1, 17), np.uint8), np.ones(1))
    with pytest.raises(ValueError, match="take at most 16 visible units, not 17"):
        train(large, target, iterations=1, **NATURAL)
    h = PauliHamiltonian.from_sqrbm(SqRBM.uniform(3, 1, "XZ", seed=0))
    with pytest.raises(
        ValueError, match="'natural' does not serve models of the kind 'hamiltonian'"
    ):
        train(h, datasets.load("parity", 3), iterations=1, **NATURAL)
