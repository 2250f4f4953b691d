"""Score functions, the two metrics, and solving with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.twins import all_states
from tnqbm import SqRBM, exact
from tnqbm.core import connectivity
from tnqbm.core.fields import tanh_ratio, tanh_ratio_slope
from tnqbm.core.shape import Shape
from tnqbm.core.states import spins
from tnqbm.training.optimizers.scores import Scores, enumerated
from tnqbm.training.optimizers.solvers import chosen, solve

SHAPES = [("Z", 4, 3), ("XZ", 4, 2), ("XYZ", 3, 2), ("XYZ", 1, 1), ("YZ", 3, 0)]


def of(model: SqRBM, **keywords: object) -> Scores:
    s = enumerated(model.n_visible)
    return Scores(model.to_vector(), s, model.n_hidden, len(model.paulis), **keywords)


def features(model: SqRBM) -> np.ndarray:
    """h(v) by the definition, (2**n, n_parameters)."""
    v = all_states(model.n_visible)
    s, phi = spins(v), model.fields(v)
    sigma = -tanh_ratio(np.linalg.norm(phi, axis=1))[:, None] * phi
    both = s[:, None, :, None] * sigma[:, :, None, :]
    return np.hstack([s, sigma.reshape(len(v), -1), both.reshape(len(v), -1)])


@pytest.mark.parametrize(("paulis", "n", "m"), SHAPES)
def test_averages_and_log_partition_are_those_of_enumeration(paulis, n, m):
    model = SqRBM.uniform(n, m, paulis, seed=1)
    scores = of(model)
    np.testing.assert_allclose(scores.averages(), exact.moments(model).to_vector(), atol=1e-12)
    assert scores.log_partition == pytest.approx(exact.log_partition(model), abs=1e-12)
    np.testing.assert_allclose(scores.p, exact.probabilities(model), atol=1e-13)


@pytest.mark.parametrize(("paulis", "n", "m"), SHAPES)
def test_fisher_metric_is_the_covariance_of_the_scores(paulis, n, m):
    model = SqRBM.uniform(n, m, paulis, seed=2)
    p, h = exact.probabilities(model), features(model)
    centred = h - p @ h
    expected = centred.T @ (p[:, None] * centred)
    np.testing.assert_allclose(of(model).matrix(), expected, atol=1e-12)


@pytest.mark.parametrize(("paulis", "n", "m"), SHAPES)
def test_scores_are_the_derivative_of_log_p(paulis, n, m):
    model, step = SqRBM.uniform(n, m, paulis, seed=3), 1e-6
    theta, v = model.to_vector(), all_states(n)
    for k in range(theta.size):
        up, down = theta.copy(), theta.copy()
        up[k] += step
        down[k] -= step
        slope = [SqRBM.from_vector(x, n, m, paulis).log_weight(v) for x in (up, down)]
        got = (slope[0] - slope[1]) / (2 * step)
        np.testing.assert_allclose(got, -features(model)[:, k], atol=1e-8)


@pytest.mark.parametrize("scale", [1.0, 0.0])
@pytest.mark.parametrize(("paulis", "n", "m"), SHAPES)
def test_kubo_mori_metric_is_the_hessian_of_log_z(paulis, n, m, scale):
    """Also at zero, where all fields vanish."""
    model, step = SqRBM.uniform(n, m, paulis, scale=scale, seed=4), 1e-5
    theta = model.to_vector()
    hessian = np.empty((theta.size, theta.size))
    for k in range(theta.size):
        moments = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[k] += sign * step
            moments.append(exact.moments(SqRBM.from_vector(moved, n, m, paulis)).to_vector())
        hessian[k] = -(moments[0] - moments[1]) / (2 * step)
    np.testing.assert_allclose(of(model).matrix("kubo-mori"), hessian, atol=2e-9)


@pytest.mark.parametrize("metric", ["fisher", "kubo-mori"])
@pytest.mark.parametrize(("paulis", "n", "m"), SHAPES)
def test_products_are_those_of_the_matrix(paulis, n, m, metric):
    scores = of(SqRBM.uniform(n, m, paulis, seed=5))
    unit = np.eye(scores.size)
    rows = np.stack([scores.product(x, metric) for x in unit])
    np.testing.assert_allclose(rows, scores.matrix(metric), atol=1e-12)


def test_kubo_mori_exceeds_fisher_and_has_no_gauge_directions():
    model = SqRBM.uniform(4, 2, "XYZ", seed=6)
    fisher, kubo = of(model).matrix(), of(model).matrix("kubo-mori")
    assert np.linalg.eigvalsh(kubo - fisher).min() > -1e-12
    # P(P-1)/2 = 3 rotations of each unit's axes change p(v) not at all; rank 2^n - 1 at most.
    zero = (np.linalg.eigvalsh(fisher) < 1e-12).sum()
    assert zero == fisher.shape[0] - 15
    assert np.linalg.eigvalsh(kubo).min() > 1e-4


@pytest.mark.parametrize("free", [False, True])
def test_kernel_has_the_eigenvalues_of_the_fisher_metric(free):
    model = SqRBM.uniform(4, 3, "XZ", seed=7)
    which = np.random.default_rng(0).random(model.n_parameters) < 0.6 if free else None
    scores = of(model, free=which)
    small, large = scores.kernel(), scores.matrix()
    got, expected = np.linalg.eigvalsh(small)[::-1][:10], np.linalg.eigvalsh(large)[::-1][:10]
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_all_solvers_agree_with_a_dense_solution(masked):
    mask = connectivity.line(5, 3) if masked else None
    model = SqRBM.uniform(5, 3, "XYZ", seed=8, mask=mask)
    free = Shape(*mask.shape, 3).free(mask) if masked else None
    scores = of(model, free=free)
    g = np.random.default_rng(1).normal(size=scores.size)
    keep = np.arange(g.size) if free is None else np.flatnonzero(free)
    for metric in ("fisher", "kubo-mori"):
        expected = np.zeros(g.size)
        damped = scores.matrix(metric) + 0.01 * np.eye(keep.size)
        expected[keep] = np.linalg.solve(damped, g[keep])
        solvers = ("cg", "dense", "kernel") if metric == "fisher" else ("cg", "dense")
        for solver in solvers:
            d = solve(scores, g, 0.01, metric=metric, solver=solver, tolerance=1e-12)
            np.testing.assert_allclose(d, expected, atol=1e-9)
            assert (d[expected == 0] == 0).all()


def test_cut_off_conjugate_gradients_still_descend():
    scores = of(SqRBM.uniform(5, 3, "XYZ", seed=9))
    g = np.random.default_rng(2).normal(size=scores.size)
    for iterations in (1, 2, 5):
        assert g @ solve(scores, g, 1e-3, solver="cg", iterations=iterations) > 0


def test_solver_is_chosen_by_sizes():
    scores = of(SqRBM.uniform(5, 3, "XYZ", seed=9))
    assert chosen("auto", scores, "fisher", sampled=False) == "dense"
    assert chosen("auto", scores, "fisher", sampled=True) == "kernel"
    assert chosen("auto", scores, "kubo-mori", sampled=True) == "dense"
    assert chosen("cg", scores, "fisher", sampled=True) == "cg"


@settings(deadline=None, max_examples=25)
@given(scale=st.floats(1e-12, 1e3), seed=st.integers(0, 99))
def test_metrics_are_finite_and_positive_at_any_scale(scale, seed):
    scores = of(SqRBM.uniform(3, 2, "XYZ", scale=scale, seed=seed))
    for metric in ("fisher", "kubo-mori"):
        matrix = scores.matrix(metric)
        assert np.isfinite(matrix).all()
        assert np.linalg.eigvalsh(matrix).min() > -1e-9


def test_second_derivative_is_smooth_where_the_series_ends():
    r = np.array([0.0, 1e-9, 0.03 - 1e-9, 0.03 + 1e-9, 1.0, 700.0])
    got = tanh_ratio_slope(r)
    assert got[0] == -2 / 3
    assert got[2] == pytest.approx(got[3], abs=1e-9)
    assert got[4] == pytest.approx(1 - np.tanh(1) ** 2 - np.tanh(1))
    assert np.isfinite(got).all()


def test_fisher_of_samples_converges_to_the_exact_one():
    """z of every entry against its own standard error: largest below 5.5 (false alarm 4e-5 for the
    about 1000 entries), their root mean square near 1; the error falls as one over the root."""
    model = SqRBM.uniform(4, 2, "XYZ", seed=10)
    p, h, expected = exact.probabilities(model), features(model), of(model).matrix()
    rng = np.random.default_rng(11)
    errors = []
    for count in (500, 8000):
        drawn = rng.choice(p.size, size=count, p=p)
        weights = np.full(count, 1.0 / count)
        s = enumerated(4)[drawn]
        sampled = Scores(model.to_vector(), s, 2, 3, weights=weights).matrix()
        centred = h[drawn] - h[drawn].mean(axis=0)
        products = centred[:, :, None] * centred[:, None, :]
        error = products.std(axis=0) / np.sqrt(count)
        z = (sampled - expected) / error
        assert np.abs(z).max() < 5.5
        assert 0.5 < np.sqrt((z * z).mean()) < 1.6
        errors.append(np.sqrt(((sampled - expected) ** 2).mean()))
    assert 2 < errors[0] / errors[1] < 8
    # Negative control: samples of another model are told apart.
    other = exact.probabilities(SqRBM.uniform(4, 2, "XYZ", seed=12))
    s = enumerated(4)[rng.choice(p.size, size=count, p=other)]
    wrong = Scores(model.to_vector(), s, 2, 3, weights=weights).matrix()
    assert np.abs((wrong - expected) / error).max() > 20


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="limit is n = 16"):
        enumerated(17)
    scores = of(SqRBM.uniform(3, 1, "Z", seed=0))
    with pytest.raises(ValueError, match="damping must be positive"):
        solve(scores, np.zeros(scores.size), 0.0)
    with pytest.raises(ValueError, match="Fisher metric alone"):
        solve(scores, np.zeros(scores.size), 1.0, metric="kubo-mori", solver="kernel")
    with pytest.raises(ValueError, match="shape"):
        Scores(np.zeros(3), enumerated(3), 2, 1)
