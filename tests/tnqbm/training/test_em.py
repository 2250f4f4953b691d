"""The em algorithm: projections, monotone descent, its place in the training loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import logm

import mc.estimators.settings
from tests.twins import all_states
from tnqbm import SqRBM, Target, TrainingSettings, datasets, exact, train
from tnqbm.core import connectivity, metrics
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.training import SqRBMProblem
from tnqbm.training.optimizers.em import LONGEST, project
from tnqbm.training.optimizers.scores import Objective
from tnqbm.training.trainer import Trainer

mc.estimators.settings.provide()


def objective(target, m, paulis, **keywords):
    return Objective(target.states[None], target.probabilities[None], m, len(paulis), **keywords)


def dirichlet(n, seed=0):
    return Target.from_dense(np.random.default_rng(seed).dirichlet(np.ones(2**n)))


def dense_sigma(model, q):
    """sum_v q(v) |v><v| x rho(h|v), by Kronecker products."""
    hidden = model.hidden_states(all_states(model.n_visible))
    blocks = []
    for weight, qubits in zip(q, hidden, strict=True):
        state = np.eye(1)
        for one in qubits:
            state = np.kron(state, one)
        blocks.append(weight * state)
    size = blocks[0].shape[0]
    sigma = np.zeros((len(blocks) * size,) * 2, complex)
    for k, block in enumerate(blocks):
        sigma[k * size : (k + 1) * size, k * size : (k + 1) * size] = block
    return sigma


def relative_entropy(sigma, rho):
    return float(np.trace(sigma @ (logm(sigma) - logm(rho))).real)


def test_e_step_reaches_the_divergence_of_the_visible_units():
    """D(sigma || rho) = KL(q || p), and another sigma over the same q is further away."""
    target = dirichlet(2)
    model = SqRBM.uniform(2, 2, "XYZ", seed=1)
    q, rho = target.dense(), PauliHamiltonian.from_sqrbm(model).gibbs_state()
    kl = metrics.kl_divergence(q, exact.probabilities(model))
    assert relative_entropy(dense_sigma(model, q), rho) == pytest.approx(kl, abs=1e-9)
    other = SqRBM.uniform(2, 2, "XYZ", seed=2)
    assert relative_entropy(dense_sigma(other, q), rho) > kl + 0.01


def test_m_step_minimises_the_relative_entropy_and_matches_the_averages():
    target, model = dirichlet(2, 3), SqRBM.uniform(2, 2, "XZ", seed=4)
    whole = objective(target, 2, "XZ")
    theta = model.to_vector()
    clamped = whole.clamped(whole.scores(theta), 0)
    found = project(whole, theta, clamped, iterations=50, tolerance=1e-6)
    assert found.converged
    end = SqRBM.from_vector(found.theta, 2, 2, "XZ")
    np.testing.assert_allclose(exact.moments(end).to_vector(), clamped, atol=1e-6)
    sigma = dense_sigma(model, target.dense())
    least = relative_entropy(sigma, PauliHamiltonian.from_sqrbm(end).gibbs_state())
    rng = np.random.default_rng(5)
    for _ in range(5):
        near = SqRBM.from_vector(found.theta + 0.05 * rng.normal(size=theta.size), 2, 2, "XZ")
        assert relative_entropy(sigma, PauliHamiltonian.from_sqrbm(near).gibbs_state()) > least


@pytest.mark.parametrize("inner", ["newton", "l-bfgs"])
@pytest.mark.parametrize(("data", "paulis"), [("bas", "Z"), ("on2", "XYZ"), ("parity", "XZ")])
def test_divergence_never_rises(data, paulis, inner):
    for seed in range(3):
        run = train(
            SqRBM.uniform(6, 3, paulis, seed=seed), datasets.load(data, 6, seed=seed),
            optimizer="em", inner_solver=inner, iterations=8,
        )  # fmt: skip
        assert (np.diff(run.kl) <= 1e-12).all()
        assert run.kl[-1] < run.kl[0]


@pytest.mark.parametrize("iterations", [1, 2])
def test_inexact_m_steps_do_not_raise_it_either(iterations):
    run = train(
        SqRBM.uniform(6, 3, "XYZ", seed=1), datasets.load("on2", 6, seed=1), optimizer="em",
        inner_iterations=iterations, iterations=20,
    )  # fmt: skip
    assert (np.diff(run.kl) <= 1e-12).all()


def test_one_newton_iteration_is_a_natural_gradient_in_the_kubo_mori_metric():
    target, model = dirichlet(4), SqRBM.uniform(4, 2, "XYZ", scale=0.3, seed=1)
    em = train(model, target, optimizer="em", inner_iterations=1, iterations=4)
    natural = train(
        model, target, optimizer="natural", metric="kubo-mori", learning_rate=1.0, damping=1e-10,
        damping_rule="fixed", iterations=4,
    )  # fmt: skip
    np.testing.assert_allclose(em.model.to_vector(), natural.model.to_vector(), atol=1e-6)


def test_newton_and_lbfgs_end_at_the_same_place():
    target, model = dirichlet(4), SqRBM.uniform(4, 2, "XYZ", seed=2)
    settings = {"optimizer": "em", "iterations": 3, "inner_iterations": 500}
    ends = [
        train(model, target, inner_solver=inner, inner_tolerance=1e-8, **settings).model.to_vector()
        for inner in ("newton", "l-bfgs")
    ]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-5)


def test_a_fixed_point_is_a_stationary_point_of_the_likelihood():
    target, model = dirichlet(4, 1), SqRBM.uniform(4, 1, "Z", scale=0.3, seed=3)
    run = train(model, target, optimizer="em", iterations=400, records=2, inner_tolerance=1e-9)
    assert np.abs(exact.gradient(run.model, target).to_vector()).max() < 1e-5


def test_contraction_serves_the_m_step_of_models_beyond_enumeration():
    n = 24
    mask = connectivity.line(n, 3)
    rng = np.random.default_rng(0)
    target = Target.from_samples(np.repeat(rng.integers(0, 2, (200, n // 2), np.uint8), 2, axis=1))
    model = SqRBM.uniform(n, 22, "XZ", scale=0.3, seed=1, mask=mask)
    run = train(
        model, target, gradient="contraction", optimizer="em", iterations=3,
        inner_iterations=5,
    )  # fmt: skip
    assert (np.diff(run.nll) < 0).all()
    assert run.model.mask is not None
    assert (run.model.w[:, ~mask] == 0).all()


def test_parameters_grow_no_faster_than_the_bound():
    """All units always alike: the optimum is at infinity."""
    target = Target(np.ones((1, 5), np.uint8), np.ones(1))
    model = SqRBM.uniform(5, 2, "XZ", seed=1)
    run = train(
        model, target, optimizer="em", iterations=5, inner_iterations=3, snapshots=6,
        inner_tolerance=0.0,
    )  # fmt: skip
    points = [one.to_vector() for _, one in run.snapshots]
    assert max(np.abs(np.diff(points, axis=0)).max(axis=1)) <= 3 * LONGEST
    assert np.isfinite(points).all()
    assert run.kl[-1] < 1e-6
    decayed = train(model, target, optimizer="em", iterations=5, weight_decay=0.1)
    assert np.abs(decayed.model.w).max() < np.abs(run.model.w).max()


@pytest.mark.parametrize("inner", ["newton", "l-bfgs"])
def test_bits_do_not_depend_on_batch_or_interruption(inner):
    models = [SqRBM.uniform(6, 2, "XYZ", seed=k) for k in range(3)]
    targets = [datasets.load("on2", 6, seed=k) for k in range(3)]
    settings = TrainingSettings(optimizer="em", iterations=5, inner_solver=inner)
    whole, first, second = (Trainer(SqRBMProblem(models, targets), settings) for _ in range(3))
    alone = Trainer(SqRBMProblem(models[:1], targets[:1]), settings)
    whole.advance(9)
    first.advance(2)
    second.restore(first.state())
    second.advance(9)
    alone.advance(9)
    ends = [one.trajectories() for one in (whole, second, alone)]
    assert [run.model for run in ends[0]] == [run.model for run in ends[1]]
    assert ends[0][0].model == ends[2][0].model
    passes = [run.estimator_records["passes"] for run in ends[0]]
    assert all((np.diff(one) > 1).all() for one in passes)
    assert np.array_equal(passes[1], ends[1][1].estimator_records["passes"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient": "pcd"}, "optimizer: 'em' needs log Z"),
        ({"batch_size": 10}, "optimizer: 'em' needs log Z"),
        ({"centred": True}, "centred: not with"),
        ({"inner_solver": "bfgs"}, "did you mean 'l-bfgs'"),
        ({"inner_iterations": 0}, "inner_iterations: must be an integer >= 1"),
        ({"solver": "kernel"}, "solver: 'kernel'"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(optimizer="em", **settings)
