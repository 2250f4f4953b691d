"""Contraction by quimb and by the compiled engine against enumeration and matrix exponentials."""

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tnqbm.networks.test_contraction import dense_hidden_state
from tests.twins import all_states, averages, enumerate_model
from tnqbm import SqRBM, exact, networks
from tnqbm.base.forecast import nanoseconds
from tnqbm.core import connectivity
from tnqbm.core.paulis import PAULI_MATRICES
from tnqbm.datasets import Target
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.networks import Contraction
from tnqbm.networks.contraction.engines import QuimbEngine
from tnqbm.networks.contraction.plan import Plan, _positions
from tnqbm.networks.contraction.shape import gather_leaves
from tnqbm.networks.contraction.sweep import evaluate, sweep
from tnqbm.networks.contraction.trees import quick_tree
from tnqbm.networks.factors import Factors, largest_field

PAULIS = [
    "".join(letters) for count in (1, 2, 3) for letters in itertools.permutations("XYZ", count)
]
ENGINES = ["quimb", "compiled"]


def random_model(n, m, paulis, seed, scale=1.0, density=1.0):
    """A dense model, or one with a mask."""
    rng = np.random.default_rng(seed)
    mask = None if density == 1.0 else rng.random((n, m)) < density
    return SqRBM.uniform(n, m, paulis, scale=scale, seed=seed, mask=mask)


models = st.builds(
    random_model,
    n=st.integers(1, 7),
    m=st.integers(0, 4),
    paulis=st.sampled_from(PAULIS),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.0, 0.01, 0.5, 2.0]),
    density=st.sampled_from([0.0, 0.4, 1.0]),
)


@given(model=models, engine=st.sampled_from(ENGINES))
@settings(max_examples=60, deadline=None)
def test_log_z_and_moments(model, engine):
    log_z, moments, log_weight = enumerate_model(model)
    assert exact.log_partition(model, engine=engine) == pytest.approx(log_z, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(exact.moments(model, engine=engine).to_vector(), moments, atol=1e-11)
    p = exact.probabilities(model, engine=engine)
    np.testing.assert_allclose(p, np.exp(log_weight - log_z), atol=1e-12)


@given(model=models, engine=st.sampled_from(ENGINES), data=st.data())
@settings(max_examples=40, deadline=None)
def test_marginals_with_and_without_a_clamp(model, engine, data):
    n = model.n_visible
    units = data.draw(st.permutations(range(n)))[: data.draw(st.integers(1, n))]
    _, _, log_weight = enumerate_model(model)
    clamp = data.draw(st.dictionaries(st.integers(0, n - 1), st.integers(0, 1), max_size=2))
    states = all_states(n)
    agree = np.all([states[:, i] == bit for i, bit in clamp.items()], axis=0)
    p = np.exp(log_weight - log_weight.max()) * agree
    p = (p / p.sum()).reshape((2,) * n)
    right = p.sum(axis=tuple(set(range(n)) - set(units))).transpose(np.argsort(np.argsort(units)))
    found = networks.marginal(model, units, clamp=clamp, engine=engine)
    np.testing.assert_allclose(found, right, atol=1e-12)


@given(model=models, engine=st.sampled_from(ENGINES), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_gradients(model, engine, seed):
    rng = np.random.default_rng(seed)
    target = Target.from_samples(rng.integers(0, 2, (5, model.n_visible)))
    _, negative, _ = enumerate_model(model)
    right = averages(model, target.states, target.probabilities) - negative
    z, sigma, zsigma = model.shape.split(right)
    if model.mask is not None:
        zsigma[:, ~model.mask] = 0.0
    found = exact.gradient(model, target, engine=engine)
    for part, expected in zip(found, (z, sigma, zsigma), strict=True):
        np.testing.assert_allclose(part, expected, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("paulis", PAULIS)
def test_thermal_averages_of_the_dense_hamiltonian(paulis, engine):
    """log Tr exp(-H) and traces with the Paulis themselves, for a dense and a masked model."""
    n, m = 3, 2
    for density in (1.0, 0.6):
        model = random_model(n, m, paulis, 4, 0.9, density)
        rho = scipy.linalg.expm(-PauliHamiltonian.from_sqrbm(model).matrix())
        z = np.trace(rho).real

        def mean(letters, rho=rho, z=z):
            operator = np.eye(1)
            for letter in letters:
                operator = np.kron(operator, PAULI_MATRICES[letter])
            return np.trace(operator @ rho).real / z

        assert exact.log_partition(model, engine=engine) == pytest.approx(math.log(z), abs=1e-12)
        found = exact.moments(model, engine=engine)
        for i in range(n):
            visible = ["Z" if k == i else "I" for k in range(n)]
            assert found.z[i] == pytest.approx(mean([*visible, "I", "I"]), abs=1e-12)
            for p, letter in enumerate(paulis):
                for j in range(m):
                    hidden = [letter if k == j else "I" for k in range(m)]
                    both = mean([*visible, *hidden])
                    assert found.zsigma[p, i, j] == pytest.approx(both, abs=1e-12)
                    alone = mean(["I"] * n + hidden)
                    assert found.sigma[p, j] == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize("paulis", PAULIS)
@pytest.mark.parametrize("hidden", [[1], [2, 0]])
@pytest.mark.parametrize("clamp", [None, {0: 1, 3: 0}])
def test_hidden_states_by_quimb(paulis, hidden, clamp):
    model = random_model(4, 3, paulis, 11, 1.0, 0.6)
    found = networks.hidden_state(model, hidden, clamp=clamp, engine="quimb")
    np.testing.assert_allclose(found, dense_hidden_state(model, hidden, clamp), atol=1e-12)


@pytest.mark.parametrize("sliced", [0, 2])
@pytest.mark.parametrize("paulis", ["X", "ZX", "XYZ"])
def test_split_and_sliced_by_quimb(paulis, sliced):
    """Hidden units in many tensors, some of them signed, and sums from outside."""
    model = random_model(6, 3, paulis, 1, 0.5, 0.7)
    mask = np.ones((6, 3), dtype=bool) if model.mask is None else model.mask
    split = frozenset({0, 2})
    factors = Factors(mask, len(paulis), split, max(1.0, largest_field(model, mask, split)))
    leaves = gather_leaves(factors)
    tree = quick_tree(leaves.scopes, factors.dims, _positions(factors))
    shared = [v for v in range(len(factors.dims)) if sum(v in scope for scope in leaves.scopes) > 1]
    engine = QuimbEngine(Plan(factors, leaves, tree, shared[:sliced], 1e9))
    entries = evaluate(engine.plan, model)
    log_z, shares = sweep(engine, entries, gradients=True)
    assert sweep(engine, entries, gradients=False).log_partition == pytest.approx(log_z, rel=1e-13)
    right, flat, _ = enumerate_model(model)
    assert log_z == pytest.approx(right, abs=1e-11)
    moments = factors.moments(model, shares).to_vector()
    known = ~np.isnan(moments)
    np.testing.assert_allclose(moments[known], flat[known], atol=1e-10)


def test_quimb_beyond_enumeration():
    mask = connectivity.lattice(6, 6)
    model = SqRBM.uniform(36, 25, "ZXY", scale=0.6, seed=3, mask=mask)
    quimb, compiled = (Contraction.of(model, engine=engine) for engine in ENGINES)
    assert quimb.log_partition(model) == pytest.approx(compiled.log_partition(model), rel=1e-13)
    np.testing.assert_allclose(
        quimb.moments(model).to_vector(), compiled.moments(model).to_vector(), atol=1e-12
    )


def test_limits_of_memory_slice_for_quimb_too():
    model = SqRBM.uniform(36, 25, "XZ", scale=0.6, seed=3, mask=connectivity.lattice(6, 6))
    whole = Contraction.of(model, engine="quimb")
    small = Contraction.of(model, engine="quimb", max_bytes=0.8 * whole.forecast.bytes)
    assert small.forecast.slices > 1
    assert small.log_partition(model) == pytest.approx(whole.log_partition(model), rel=1e-13)
    with pytest.raises(MemoryError, match="max_bytes"):
        Contraction.of(model, engine="quimb", max_bytes=1e4)


def test_quimb_refuses_what_doubles_cannot_hold():
    """Negative control: no digits are lost in silence, and the other engines go on."""
    model = random_model(7, 4, "XZ", 3, 1e3)
    for call in (exact.log_partition, exact.moments):
        with pytest.raises(ArithmeticError, match="engine='compiled'"):
            call(model, engine="quimb")
    log_z = enumerate_model(model)[0]
    for engine in ("auto", "compiled"):
        assert Contraction.of(model, engine=engine).log_partition(model) == pytest.approx(log_z)
    fallback = QuimbEngine(Contraction.of(model)._first.plan)
    fallback.otherwise = Contraction.of(model, engine="compiled")._first
    entries = evaluate(fallback.plan, model)
    assert sweep(fallback, entries, gradients=True).log_partition == pytest.approx(log_z)


@given(
    scale=st.sampled_from([30.0, 100.0, 300.0, 1e3, 1e5]),
    paulis=st.sampled_from(["Z", "XZ", "XYZ"]),
    seed=st.integers(0, 999),
)
@settings(max_examples=30, deadline=None)
def test_quimb_is_right_or_refuses(scale, paulis, seed):
    """Weights that contradict each other, where the largest entries of tensors do not meet."""
    model = random_model(4, 3, paulis, seed, scale, 0.6)
    log_z, moments, _ = enumerate_model(model)
    for call, expected, tolerance in (
        (exact.log_partition, log_z, 1e-12 * abs(log_z)),
        (lambda *a, **k: exact.moments(*a, **k).to_vector(), moments, 1e-9),
    ):
        try:
            found = call(model, engine="quimb")
        except ArithmeticError:
            continue
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)


def test_auto_chooses_by_forecast(monkeypatch):
    model = random_model(6, 4, "XZ", 3)
    forecasts = {engine: Contraction.of(model, engine=engine).forecast for engine in ENGINES}
    chosen = Contraction.of(model).forecast
    assert chosen == min(forecasts.values(), key=lambda forecast: forecast.seconds)
    assert chosen.engine == "compiled"
    assert "engine compiled" in str(exact.forecasts(model))
    assert "engine quimb" in str(exact.forecasts(model, engine="quimb"))
    monkeypatch.setitem(nanoseconds("contraction.compiled"), "call", 1e9)
    assert Contraction.of(model).forecast.engine == "quimb"


def test_engines_that_do_not_exist_or_do_not_apply():
    model = random_model(4, 2, "XZ", 0)
    target = Target.uniform(all_states(4)[:3])
    for call in (
        lambda **how: exact.log_partition(model, **how),
        lambda **how: exact.moments(model, **how),
        lambda **how: exact.probabilities(model, **how),
        lambda **how: exact.gradient(model, target, **how),
        lambda **how: exact.forecasts(model, **how),
        lambda **how: networks.moments(model, **how),
    ):
        with pytest.raises(ValueError, match=r"engine must be one of auto, quimb, .*'quimb'\?"):
            call(engine="qimb")
    for method in ("enumeration", "quadrature"):
        with pytest.raises(ValueError, match=f"engine='quimb' is for contraction; {method}"):
            exact.moments(model, method=method, engine="quimb")
    with pytest.raises(ValueError, match='precision="single" is for enumeration'):
        exact.moments(model, engine="quimb", precision="single")


@pytest.mark.parametrize("paulis", ["Y", "ZX", "XYZ"])
def test_the_engine_contracts_the_public_network(paulis):
    """quimb's own contraction of the network that users get, with a path of its own."""
    model = random_model(6, 4, paulis, 5, 0.8, 0.6)
    tn = networks.network(model)
    mantissa, exponent = tn.contract(output_inds=(), strip_exponent=True)
    log_z = math.log(mantissa) + exponent * math.log(10.0)
    assert exact.log_partition(model, engine="quimb") == pytest.approx(log_z, rel=1e-13)
    engine = Contraction.of(model, engine="quimb")._first
    assert len(engine.scopes) == len([t for t in tn if t.inds])
