import resource
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.twins import all_states, averages, enumerate_model
from tnqbm import SqRBM, datasets, exact
from tnqbm.core.paulis import PAULI_MATRICES
from tnqbm.core.shape import Shape
from tnqbm.datasets import Target
from tnqbm.exact.averages import StateAverages
from tnqbm.exact.enumerator import Enumerator

PAULI_SETS = ["Z", "X", "XZ", "YZ", "XYZ", "ZXY"]


def expm_reference(model):
    """log Z and p(v) from expm of a matrix built here, without any of the package's formulas."""
    n, m = model.n_visible, model.n_hidden

    def embed(ops):
        full = np.eye(1)
        for k in range(n + m):
            full = np.kron(full, PAULI_MATRICES[ops.get(k, "I")])
        return full

    h = sum(model.a[i] * embed({i: "Z"}) for i in range(n))
    for p, pauli in enumerate(model.paulis):
        for j in range(m):
            h = h + model.b[p, j] * embed({n + j: pauli})
            for i in range(n):
                h = h + model.w[p, i, j] * embed({i: "Z", n + j: pauli})
    rho = scipy.linalg.expm(-h)
    z = np.trace(rho).real
    return np.log(z), rho / z, embed


@pytest.mark.parametrize("paulis", PAULI_SETS)
@pytest.mark.parametrize(("n", "m", "scale"), [(1, 1, 1.0), (4, 3, 0.3), (5, 3, 1.0), (3, 4, 2.0)])
def test_agrees_with_dense_expm(paulis, n, m, scale):
    model = SqRBM.uniform(n, m, paulis, scale=scale, seed=n + m)
    log_z, rho, embed = expm_reference(model)
    assert exact.log_partition(model) == pytest.approx(log_z, rel=1e-12)
    p = np.diag(rho).real.reshape(2**n, -1).sum(axis=1)
    np.testing.assert_allclose(exact.probabilities(model), p, atol=1e-10, rtol=0)
    moments = exact.moments(model)
    for i in range(n):
        assert moments.z[i] == pytest.approx(np.trace(embed({i: "Z"}) @ rho).real, abs=1e-10)
    for k, pauli in enumerate(paulis):
        for j in range(m):
            sigma = np.trace(embed({n + j: pauli}) @ rho).real
            assert moments.sigma[k, j] == pytest.approx(sigma, abs=1e-10)
            for i in range(n):
                both = np.trace(embed({i: "Z", n + j: pauli}) @ rho).real
                assert moments.zsigma[k, i, j] == pytest.approx(both, abs=1e-10)


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_gradient_is_the_derivative_of_the_likelihood(paulis):
    model = SqRBM.uniform(4, 2, paulis, seed=5)
    target = Target.from_dense(np.random.default_rng(1).dirichlet(np.ones(16)))

    def nll(theta):
        m = SqRBM.from_vector(theta, 4, 2, paulis)
        return exact.log_partition(m) - target.probabilities @ m.log_weight(target.states)

    gradient = np.concatenate([g.ravel() for g in exact.gradient(model, target)])
    theta, step = model.to_vector(), 1e-5
    for k in range(theta.size):
        e = np.zeros_like(theta)
        e[k] = step
        assert gradient[k] == pytest.approx(
            (nll(theta + e) - nll(theta - e)) / (2 * step), abs=1e-8
        )


def test_printed_equations_of_the_paper_are_not_the_gradient():
    """Negative control: Phi(v) of the data in the negative phase (eq. 11 as printed) is wrong."""
    model = SqRBM.uniform(4, 2, "XYZ", seed=5)
    target = datasets.load("bas", 4)
    right = exact.gradient(model, target).b
    v, p = all_states(4), exact.probabilities(model)

    def t(states):
        r = np.linalg.norm(model.fields(states), axis=1)
        return np.tanh(r) / r

    phi_q = np.einsum("v,vpj->pj", target.probabilities, model.fields(target.states))
    printed = -np.einsum(
        "v,vj,vpj->pj", target.probabilities, t(target.states), model.fields(target.states)
    ) + phi_q * (p @ t(v))
    assert np.abs(printed - right).max() > 0.05


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 9, 10, 13, 15])
def test_enumeration_agrees_with_its_numpy_twin(n, precision):
    tolerance = 1e-12 if precision == "double" else 3e-5
    rng = np.random.default_rng(n)
    for m, paulis, scale in [(0, "Z", 1.0), (1, "XZ", 0.0), (3, "XYZ", 0.5), (17, "YZ", 1.0)]:
        model = SqRBM.uniform(n, m, paulis, scale=scale, seed=n)
        log_z, moments, log_weight = enumerate_model(model)
        enumerator = Enumerator(Shape(n, m, len(paulis)), precision)
        theta = model.to_vector()[None]
        q = rng.dirichlet(np.ones(2**n))[None]
        got_z, got, clamped = enumerator.both_phases(theta, q)
        assert got_z[0] == pytest.approx(log_z, rel=tolerance)
        np.testing.assert_allclose(got[0], moments, atol=10 * tolerance, rtol=0)
        np.testing.assert_allclose(
            clamped[0], averages(model, all_states(n), q[0]), atol=10 * tolerance, rtol=0
        )
        np.testing.assert_allclose(
            enumerator.log_weights(theta[0]), log_weight, rtol=tolerance, atol=tolerance
        )
        assert enumerator.log_partition(theta)[0] == got_z[0]


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("n", [1, 7, 12, 70])
def test_state_averages_agree_with_their_numpy_twin(n, precision):
    tolerance = 1e-12 if precision == "double" else 3e-5
    rng = np.random.default_rng(n)
    for m, paulis, count in [(0, "Z", 3), (1, "XZ", 1), (9, "XYZ", 300), (16, "YZ", 9000)]:
        models = [SqRBM.uniform(n, m, paulis, scale=0.5, seed=k) for k in range(3)]
        theta = np.stack([model.to_vector() for model in models])
        v = rng.integers(0, 2, (3, count, n)).astype(np.uint8)
        q = rng.dirichlet(np.ones(count), size=3)
        own = StateAverages(v, q, Shape(n, m, len(paulis)), precision)
        moments, log_weights = own.moments_and_log_weights(theta)
        for k, model in enumerate(models):
            np.testing.assert_allclose(
                moments[k], averages(model, v[k], q[k]), atol=10 * tolerance, rtol=0
            )
            np.testing.assert_allclose(
                log_weights[k], model.log_weight(v[k]), rtol=10 * tolerance, atol=10 * tolerance
            )
        # A subset of the runs, and one list shared by all, give the same numbers.
        np.testing.assert_array_equal(own.moments(theta[[2]], np.array([2]))[0], moments[2])
        shared = StateAverages(v[1], q[1], Shape(n, m, len(paulis)), precision)
        np.testing.assert_array_equal(shared.moments(theta)[1], moments[1])


@pytest.mark.parametrize("scale", [30.0, 1000.0])
@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (6, 3), (9, 40), (14, 2)])
def test_extreme_parameters(scale, paulis, n, m):
    model = SqRBM.uniform(n, m, paulis, scale=scale, seed=2)
    log_z, moments, _ = enumerate_model(model)
    assert exact.log_partition(model) == pytest.approx(log_z, rel=1e-12)
    got = exact.moments(model)
    # Log weights of size 1e5 carry absolute rounding errors of 1e-11 in any order of summation.
    tolerance = 1e-10 + 1e-15 * abs(log_z)
    np.testing.assert_allclose(
        np.concatenate([x.ravel() for x in got]), moments, atol=tolerance, rtol=0
    )


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_cancelling_fields_give_r_exactly_zero(paulis):
    p = len(paulis)
    model = SqRBM(np.zeros(2), np.zeros((p, 1)), np.ones((p, 2, 1)), paulis)  # r = 0 for v = 01
    log_z, moments, _ = enumerate_model(model)
    assert exact.log_partition(model) == pytest.approx(log_z, rel=1e-14)
    np.testing.assert_allclose(
        np.concatenate([x.ravel() for x in exact.moments(model)]), moments, atol=1e-14
    )
    zero = SqRBM(np.zeros(3), np.zeros((p, 2)), np.zeros((p, 3, 2)), paulis)
    assert exact.log_partition(zero) == pytest.approx(5 * np.log(2), rel=1e-14)
    np.testing.assert_allclose(exact.probabilities(zero), 1 / 8, rtol=1e-14)


def test_no_hidden_units_is_a_product_distribution():
    model = SqRBM(np.array([0.3, -1.2]), np.zeros((1, 0)), np.zeros((1, 2, 0)), "Z")
    assert exact.log_partition(model) == pytest.approx(np.log(2 * np.cosh(model.a)).sum())
    np.testing.assert_allclose(exact.moments(model).z, -np.tanh(model.a), rtol=1e-13)


@given(
    n=st.integers(1, 8), m=st.integers(0, 5), paulis=st.sampled_from(PAULI_SETS),
    log_scale=st.floats(-8, 3), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_shape_and_scale(n, m, paulis, log_scale, seed):
    model = SqRBM.uniform(n, m, paulis, scale=10**log_scale, seed=seed)
    log_z, moments, log_weight = enumerate_model(model)
    assert exact.log_partition(model) == pytest.approx(log_z, rel=1e-12, abs=1e-13)
    np.testing.assert_allclose(exact.probabilities(model), np.exp(log_weight - log_z), atol=1e-9)
    flat = np.concatenate([x.ravel() for x in exact.moments(model)])
    np.testing.assert_allclose(flat, moments, atol=1e-10 + 1e-15 * abs(log_z))
    assert (np.abs(flat) <= 1 + 1e-9).all()


def test_weights_that_climb_past_the_headroom():
    """Block after block of larger weights forces rescaling, in both precisions."""
    n = 13
    a = np.zeros(n)
    a[:4] = [200.0, 150.0, 120.0, 90.0]
    model = SqRBM(a, np.full((2, 2), 0.4), np.full((2, n, 2), 0.2), "XZ")
    log_z, moments, _ = enumerate_model(model)
    for precision, tolerance in (("double", 1e-12), ("single", 1e-4)):
        got_z, got = Enumerator(Shape(n, 2, 2), precision).log_partition_and_moments(
            model.to_vector()[None]
        )
        assert got_z[0] == pytest.approx(log_z, rel=tolerance)
        np.testing.assert_allclose(got[0], moments, atol=tolerance)


def test_rotating_the_paulis_of_a_hidden_qubit_changes_nothing():
    model = SqRBM.uniform(6, 2, "XYZ", seed=4)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    b, w = model.b.copy(), model.w.copy()
    b[:, 0] = rotation @ b[:, 0]
    w[:, :, 0] = np.einsum("pq,qi->pi", rotation, w[:, :, 0])
    rotated = SqRBM(model.a, b, w, "XYZ")
    np.testing.assert_allclose(exact.probabilities(rotated), exact.probabilities(model), rtol=1e-12)


def test_too_many_units_are_refused_with_advice():
    big = SqRBM.uniform(40, 40, "Z", seed=0)
    for function in (exact.log_partition, exact.moments, exact.probabilities):
        with pytest.raises(ValueError, match="use fewer visible units"):
            function(big)
    with pytest.raises(ValueError, match=r"SqRBM\.log_weight on the states of interest"):
        exact.probabilities(SqRBM.uniform(28, 0, "Z", seed=0))
    with pytest.raises(ValueError, match="no exact method fits") as caught:
        exact.log_partition(big)
    message = str(caught.value)
    for advice in (*exact.METHODS[1:], "method='ais'", "method='tensor'", "mc.sample", "2**30"):
        assert advice in message
    bigger = SqRBM.uniform(60, 60, "Z", seed=0)
    for method in exact.METHODS[1:]:
        with pytest.raises((ValueError, MemoryError), match=r"out of reach|exact contraction"):
            exact.log_partition(bigger, method=method)


def test_target_of_another_size_is_refused():
    with pytest.raises(ValueError, match="4 visible units, the model 6"):
        exact.gradient(SqRBM.uniform(6, 1, "Z", seed=0), datasets.load("bas", 4))


def test_memory_does_not_grow_with_the_number_of_states():
    code = (
        "import resource, numpy as np\n"
        "from tnqbm import SqRBM, exact\n"
        "from tnqbm.datasets import Target\n"
        "target = Target.uniform(np.eye(20, dtype=np.uint8))\n"
        "exact.gradient(SqRBM.uniform(9, 1, 'XYZ', seed=0), Target.uniform(np.eye(9)))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "exact.gradient(SqRBM.uniform(20, 4, 'XYZ', seed=0), target)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # 2**20 x 4 doubles alone would be 32 MB; ru_maxrss is in kB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 25e6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def sparse(n, m, paulis, *, seed, share=0.3, scale=0.5, masked=True):
    """A model whose couplings are there with probability ``share``."""
    mask = np.random.default_rng(seed).random((n, m)) < share
    model = SqRBM.uniform(n, m, paulis, scale=scale, seed=seed, mask=mask)
    return model if masked else SqRBM(model.a, model.b, model.w, paulis)


def flat(parts):
    return np.concatenate([part.ravel() for part in parts])


@given(
    n=st.integers(1, 9), m=st.integers(0, 2), paulis=st.sampled_from(PAULI_SETS),
    share=st.sampled_from([0.0, 0.4, 1.0]), masked=st.booleans(), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_all_methods_agree(n, m, paulis, share, masked, seed):
    model = sparse(n, m, paulis, seed=seed, share=share, masked=masked)
    target = Target.uniform(np.unique(np.random.default_rng(seed).integers(0, 2, (4, n)), axis=0))
    log_z, moments, _ = enumerate_model(model)
    gradient = flat(exact.gradient(model, target, method="enumeration"))
    for method in exact.METHODS:
        assert exact.log_partition(model, method=method) == pytest.approx(log_z, abs=1e-10)
        got = exact.moments(model, method=method)
        np.testing.assert_allclose(flat(got), moments, atol=1e-10)
        coupled = exact.moments(model, method=method, pairs="coupled")
        outside = ~((model.w != 0).any(axis=0) if model.mask is None else model.mask)
        np.testing.assert_array_equal(
            np.isnan(coupled.zsigma), np.broadcast_to(outside, coupled.zsigma.shape)
        )
        np.testing.assert_allclose(coupled.zsigma[:, ~outside], got.zsigma[:, ~outside], atol=1e-10)
        np.testing.assert_allclose(
            flat(exact.gradient(model, target, method=method)), gradient, atol=1e-10
        )


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_contraction_and_quadrature_agree_beyond_enumeration(paulis):
    mask = np.zeros((60, 2), dtype=bool)
    mask[:9, 0] = mask[6:16, 1] = True
    model = SqRBM.uniform(60, 2, paulis, scale=0.7, seed=4, mask=mask)
    values = [exact.log_partition(model, method=x) for x in ("auto", "contraction", "quadrature")]
    np.testing.assert_allclose(values, values[0], rtol=1e-12)
    np.testing.assert_allclose(
        flat(exact.moments(model, method="contraction")),
        flat(exact.moments(model, method="quadrature")),
        atol=1e-10,
    )


@pytest.mark.parametrize("masked", [True, False])
def test_gradient_of_a_sparse_model_beyond_enumeration(masked):
    n, mask = 40, np.zeros((40, 8), dtype=bool)
    for j in range(8):
        mask[4 * j : 4 * j + 6, j] = True
    model = SqRBM.uniform(n, 8, "XZ", scale=0.4, seed=2, mask=mask)
    if not masked:
        model = SqRBM(model.a, model.b, model.w, "XZ")
    target = Target.from_samples(np.random.default_rng(1).integers(0, 2, (30, n)))
    gradient = exact.gradient(model, target)

    def nll(theta):
        at = SqRBM.from_vector(theta, n, 8, "XZ")
        return exact.log_partition(at) - target.probabilities @ at.log_weight(target.states)

    outside = np.broadcast_to(~mask, gradient.w.shape)
    assert (gradient.w[outside] == 0).all() == masked
    theta, slopes, step = model.to_vector(), flat(gradient), 1e-5
    probe = np.concatenate([np.arange(3), np.flatnonzero(theta)[[45, 60, 100, 130]]])
    for k in probe:
        e = np.zeros_like(theta)
        e[k] = step
        assert slopes[k] == pytest.approx((nll(theta + e) - nll(theta - e)) / (2 * step), abs=1e-8)


def test_auto_takes_what_is_cheap():
    from tnqbm.exact import cost, evaluation

    def chosen(model):
        return evaluation._method(model, "auto", "auto", "double", moments=True, pairs="coupled")

    assert chosen(SqRBM.uniform(12, 3, "XYZ", seed=0)) == "enumeration"
    assert chosen(SqRBM.uniform(150, 1, "XYZ", scale=0.1, seed=0)) == "quadrature"
    assert chosen(SqRBM.uniform(28, 6, "Z", seed=0)) == "quadrature"
    line = sparse(60, 60, "XYZ", seed=0, share=0.0)
    mask = np.eye(60, dtype=bool) | np.eye(60, k=1, dtype=bool)
    line = SqRBM.uniform(60, 60, "XYZ", seed=0, mask=mask)
    assert chosen(line) == "contraction"
    found = exact.forecasts(line, moments=True)
    assert [one.method for one in found] == list(cost.METHODS)
    assert [one.fits for one in found] == [False, True, False]
    lines = str(found).splitlines()
    assert lines[0].split() == ["method", "time", "memory", "note"]
    assert lines[1].startswith("enumeration (no)")
    assert len(lines) == 4
    coupled = exact.forecasts(line, moments=True, pairs="coupled")[1]
    assert exact.forecasts(line)[1].seconds < coupled.seconds < found[1].seconds


def test_contractions_are_planned_once_for_the_same_couplings(monkeypatch):
    from tnqbm.networks import Contraction
    from tnqbm.networks.contraction import cache

    made = []
    real = Contraction.of

    def counted(model, **options):
        made.append(model)
        return real(model, **options)

    monkeypatch.setattr(cache, "_PLANS", type(cache._PLANS)())
    monkeypatch.setattr(Contraction, "of", counted)
    mask = np.eye(20, dtype=bool) | np.eye(20, k=1, dtype=bool)
    for seed in range(4):
        model = SqRBM.uniform(20, 20, "XZ", seed=seed, mask=mask)
        exact.log_partition(model, method="contraction")
        exact.moments(model, method="contraction", pairs="coupled")
    assert len(made) == 1
    exact.log_partition(SqRBM.uniform(20, 20, "XYZ", seed=0, mask=mask), method="contraction")
    assert len(made) == 2
    dense = SqRBM.uniform(60, 60, "XZ", seed=0)
    for _ in range(2):
        with pytest.raises((ValueError, MemoryError), match="contraction"):
            exact.log_partition(dense, method="contraction")
    assert len(made) == 3
    for k in range(1, cache.MOST_PLANS + 4):
        one = SqRBM.uniform(k, 1, "XZ", seed=0)
        exact.log_partition(one, method="contraction")
    assert len(cache._PLANS) == cache.MOST_PLANS


def test_impossible_requests():
    model = SqRBM.uniform(4, 1, "XZ", seed=0)
    target = datasets.load("bas", 4)
    calls = (
        lambda **k: exact.log_partition(model, **k),
        lambda **k: exact.moments(model, **k),
        lambda **k: exact.gradient(model, target, **k),
    )
    for call in calls:
        with pytest.raises(ValueError, match="method must be one of auto, enumeration"):
            call(method="montecarlo")
        with pytest.raises(ValueError, match='precision must be "double" or "single"'):
            call(precision="half")
        for method in ("contraction", "quadrature"):
            with pytest.raises(ValueError, match='precision="single" is for enumeration'):
                call(method=method, precision="single")
        call(precision="single")
    with pytest.raises(ValueError, match='pairs must be "all" or "coupled"'):
        exact.moments(model, pairs="some")


def test_small_models_do_not_load_tensor_networks():
    code = (
        "import sys\n"
        "from tnqbm import SqRBM, exact\n"
        "exact.moments(SqRBM.uniform(8, 3, 'XYZ', seed=0))\n"
        "exact.log_partition(SqRBM.uniform(80, 1, 'Z', seed=0))\n"
        "print({'quimb', 'cotengra'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
