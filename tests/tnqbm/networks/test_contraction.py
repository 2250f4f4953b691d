"""Contraction against enumeration, quimb and dense matrix exponentials."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.twins import all_states, averages, enumerate_model
from tnqbm import SqRBM, exact, networks
from tnqbm.base.forecast import nanoseconds
from tnqbm.core import connectivity
from tnqbm.core.model import coupling_mask
from tnqbm.core.shape import Shape
from tnqbm.datasets import Target
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.networks import Contraction
from tnqbm.networks.compiled import engine as compiled
from tnqbm.networks.compiled.engine import PerfectSampler
from tnqbm.networks.contraction import sweep as sweeps
from tnqbm.networks.contraction.contraction import _moments
from tnqbm.networks.contraction.plan import Plan, _positions
from tnqbm.networks.contraction.shape import gather_leaves
from tnqbm.networks.contraction.trees import quick_tree
from tnqbm.networks.factors import Factors, largest_field

PAULI_SETS = ["X", "Y", "Z", "XY", "XZ", "YZ", "XYZ"]


def random_model(n, m, paulis, seed, scale=1.0, density=0.5):
    mask = np.random.default_rng(seed).random((n, m)) < density
    return SqRBM.uniform(n, m, paulis, scale=scale, seed=seed, mask=mask)


def agree(model, log_z, moments, tolerance=1e-10):
    """Where moments are not nan, they are those of enumeration, and so is log Z."""
    expected, flat, _ = enumerate_model(model)
    assert log_z == pytest.approx(expected, abs=tolerance * max(1.0, abs(expected)))
    exact_moments = Shape(model.n_visible, model.n_hidden, len(model.paulis)).split(flat)
    for found, right in zip(moments, exact_moments, strict=True):
        known = ~np.isnan(found)
        np.testing.assert_allclose(found[known], right[known], atol=tolerance, rtol=0)


@given(
    n=st.integers(1, 10),
    m=st.integers(0, 7),
    paulis=st.sampled_from(PAULI_SETS),
    density=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    scale=st.sampled_from([0.0, 0.01, 0.3, 1.0, 10.0, 1e3]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_equals_enumeration(n, m, paulis, density, scale, seed):
    model = random_model(n, m, paulis, seed, scale, density)
    contraction = Contraction.of(model)
    log_z, moments = contraction.log_partition_and_moments(model)
    agree(model, log_z, moments)
    assert np.array_equal(np.isnan(moments.zsigma[0]), ~contraction.mask)
    assert contraction.log_partition(model) == pytest.approx(log_z, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("paulis", PAULI_SETS)
@pytest.mark.parametrize("scale", [0.5, 1e3])
def test_all_pairs(paulis, scale):
    model = random_model(8, 5, paulis, 3, scale, 0.4)
    moments = networks.moments(model, pairs="all")
    log_z = networks.log_partition(model)
    assert not np.isnan(moments.zsigma).any()
    agree(model, log_z, moments)


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_sixteen_units(paulis):
    model = random_model(16, 12, paulis, 8, 0.7, 0.2)
    agree(model, networks.log_partition(model), networks.moments(model))


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
def test_gradient(paulis):
    """Clamped minus model moments, against the exact gradient."""
    model = random_model(7, 6, paulis, 5, 0.8)
    states = all_states(7)[::9]
    q = np.full(len(states), 1.0 / len(states))
    positive = Shape(7, 6, len(paulis)).split(averages(model, states, q))
    negative = networks.moments(model)
    right = exact.gradient(model, Target(states, q))
    for plus, minus, gradient in zip(positive, negative, right, strict=True):
        known = ~np.isnan(minus)
        np.testing.assert_allclose((plus - minus)[known], gradient[known], atol=1e-8)


@pytest.mark.parametrize("split", ["wide", "always", "never"])
@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_quimb_contracts_the_same_network(paulis, split):
    model = random_model(7, 4, paulis, 2, 1.0, 0.6)
    tn = networks.network(model, split=split)
    mantissa, exponent = tn.contract(output_inds=(), strip_exponent=True)
    log_z = np.log(mantissa) + exponent * np.log(10.0)
    assert log_z == pytest.approx(networks.log_partition(model), rel=1e-11)
    assert tn.contract(output_inds=()) == pytest.approx(np.exp(log_z), rel=1e-10)


def planned(model, split, sliced=0):
    """An engine for a plan that splits and slices what it is told to."""
    mask = coupling_mask(model)
    field = max(1.0, largest_field(model, mask, split))
    factors = Factors(mask, len(model.paulis), frozenset(split), field)
    leaves = gather_leaves(factors)
    tree = quick_tree(leaves.scopes, factors.dims, _positions(factors))
    shared = [v for v in range(len(factors.dims)) if sum(v in scope for scope in leaves.scopes) > 1]
    chosen = np.random.default_rng(len(shared)).permutation(shared)[:sliced].tolist()
    return compiled.CompiledEngine(Plan(factors, leaves, tree, sorted(chosen), 1e9))


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("sliced", [0, 2])
@pytest.mark.parametrize("paulis", ["X", "XZ", "XYZ"])
def test_split_and_sliced(paulis, sliced, logarithmic, monkeypatch):
    """Hidden units in many tensors, sums from outside, and the arithmetic of logarithms."""
    if logarithmic:
        monkeypatch.setattr(compiled._Linear, "__call__", lambda *_: None)
    for seed in range(3):
        model = random_model(6, 3, paulis, seed, [0.05, 0.5, 2.0][seed], 0.7)
        for split in ([0, 2], [1], [0, 1, 2]):
            engine = planned(model, split, sliced)
            agree(model, *_moments(engine, model, sweeps.evaluate(engine.plan, model)))


def test_wide_unit_in_a_local_model():
    """A unit with 20 of 60 neighbours need not become a tensor of 2^20 entries."""
    n, m = 60, 58
    mask = np.zeros((n, m), dtype=bool)
    mask[:, :57] = connectivity.line(n, 4)
    mask[np.arange(0, 60, 3), 57] = True
    for paulis in ("Z", "XZ", "XYZ"):
        model = SqRBM.uniform(n, m, paulis, scale=0.2, seed=4, mask=mask)
        contraction = Contraction.of(model)
        assert contraction.forecast.width < 16
        log_z, moments = contraction.log_partition_and_moments(model)
        engine = planned(model, [])
        assert engine.plan.shape.width >= 20
        dense, expected = _moments(engine, model, sweeps.evaluate(engine.plan, model))
        assert log_z == pytest.approx(dense, rel=1e-12)
        for found, right in zip(moments, expected, strict=True):
            np.testing.assert_allclose(found, right, atol=1e-11)


def test_results_follow_from_the_model_alone():
    """A plan that has seen models with larger fields gives the same bits as a new one."""
    mask = np.ones((14, 2), dtype=bool)
    small, large = (SqRBM.uniform(14, 2, "XZ", scale=c, seed=1, mask=mask) for c in (0.1, 1.0))
    used = Contraction.of(large)
    used.moments(large)
    for one, other in zip(used.moments(small), Contraction.of(small).moments(small), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
def test_marginals(paulis):
    model = random_model(9, 7, paulis, 6, 0.9, 0.4)
    p = exact.probabilities(model).reshape((2,) * 9)
    for units in ([4], [7, 0], [0, 3, 8], [8, 2, 5, 1, 0], list(range(9))):
        rest = tuple(k for k in range(9) if k not in units)
        right = p.sum(axis=rest).transpose(np.argsort(np.argsort(units)))
        np.testing.assert_allclose(networks.marginal(model, units), right, atol=1e-12)
    given_one = p[:, 1] / p[:, 1].sum()
    right = given_one.sum(axis=tuple(k for k in range(8) if k not in (0, 4)))
    np.testing.assert_allclose(networks.marginal(model, [0, 5], clamp={1: 1}), right, atol=1e-12)
    assert networks.marginal(model, []).shape == ()


@pytest.mark.parametrize("paulis", ["Z", "XZ"])
def test_marginal_by_a_plan_of_its_own(paulis, monkeypatch):
    """Both ways to a joint distribution of units that share no hidden unit."""
    model = SqRBM.uniform(12, 9, paulis, scale=0.8, seed=2, mask=connectivity.line(12, 4))
    units = [0, 11, 6]
    contraction = Contraction.of(model)
    clamped = contraction.marginal(model, units)
    monkeypatch.setattr("tnqbm.networks.contraction.contraction.AT_ONCE", 0.0)
    monkeypatch.setitem(nanoseconds("contraction.compiled"), "call", 1.0)
    kept = contraction.marginal(model, units)
    assert any(output for _, output in contraction._engines)
    p = exact.probabilities(model).reshape((2,) * 12)
    right = p.sum(axis=tuple(k for k in range(12) if k not in units)).transpose(0, 2, 1)
    np.testing.assert_allclose(kept, right, atol=1e-13)
    np.testing.assert_allclose(clamped, right, atol=1e-13)


def test_clamped_log_partition_is_a_probability():
    model = random_model(6, 4, "XYZ", 9, 1.5)
    p = exact.probabilities(model).reshape((2,) * 6)
    found = networks.log_partition(model, clamp={2: 1, 5: 0}) - networks.log_partition(model)
    assert found == pytest.approx(np.log(p[:, :, 1, :, :, 0].sum()), abs=1e-12)


def dense_hidden_state(model, hidden, clamp=None):
    """Partial trace of expm(-H)."""
    n, m = model.n_visible, model.n_hidden
    rho = scipy.linalg.expm(-PauliHamiltonian.from_sqrbm(model).matrix())
    rho = rho.reshape((2**n, 2**m, 2**n, 2**m))
    states = all_states(n)
    kept = np.all([states[:, i] == bit for i, bit in (clamp or {}).items()], axis=0)
    weights = np.ones(2**n) * kept
    state = np.einsum("v,vavb->ab", weights, rho)
    state = (state / np.trace(state)).reshape((2,) * (2 * m))
    rest = [k for k in range(m) if k not in hidden]
    order = [*hidden, *rest]
    state = state.transpose([*order, *(m + k for k in order)])
    a, b = 2 ** len(hidden), 2 ** len(rest)
    return np.einsum("arbr->ab", state.reshape(a, b, a, b))


@pytest.mark.parametrize("paulis", ["Y", "XZ", "XYZ"])
@pytest.mark.parametrize("hidden", [[1], [0, 2], [2, 0], [1, 3]])
@pytest.mark.parametrize("clamp", [None, {0: 1, 3: 0}])
def test_hidden_states(paulis, hidden, clamp):
    model = random_model(5, 4, paulis, 11, 1.0, 0.6)
    found = networks.hidden_state(model, hidden, clamp=clamp)
    np.testing.assert_allclose(found, dense_hidden_state(model, hidden, clamp), atol=1e-12)


@pytest.mark.parametrize("paulis", ["X", "XZ", "XYZ"])
def test_hidden_state_of_split_units(paulis, monkeypatch):
    model = random_model(5, 3, paulis, 12, 0.8, 0.9)
    engine = planned(model, [0, 1])
    contraction = Contraction.of(model)
    monkeypatch.setattr(contraction, "_engine", lambda _: engine)
    for hidden in ([0, 1], [1, 2], [2, 0]):
        found = contraction.hidden_state(model, hidden)
        np.testing.assert_allclose(found, dense_hidden_state(model, hidden), atol=1e-12)


def test_edge_cases():
    alone = SqRBM([0.3], np.zeros((2, 0)), np.zeros((2, 1, 0)), "XZ")
    assert networks.log_partition(alone) == pytest.approx(np.log(2 * np.cosh(0.3)))
    free = SqRBM([0.3, -1.0], [[0.5, 0.0]], np.zeros((1, 2, 2)), "Y")
    moments = networks.moments(free, pairs="all")
    agree(free, networks.log_partition(free), moments)
    assert moments.zsigma[0, 1, 0] == pytest.approx(np.tanh(1.0) * -np.tanh(0.5))


def test_no_overflow_at_any_scale():
    """n = 400 and weights up to 1e90: finite, and the energy of the one state that matters."""
    mask = connectivity.line(400, 4)
    for scale in (1e5, 1e90):
        model = SqRBM.uniform(400, 397, "XYZ", scale=scale, seed=3, mask=mask)
        log_z, moments = networks.log_partition(model), networks.moments(model)
        state = (moments.z < 0).astype(np.uint8)
        assert log_z == pytest.approx(float(model.log_weight(state)), rel=1e-12)


def test_lines_rings_and_lattices_have_the_obvious_width():
    for mask, width in (
        (connectivity.line(400, 4), 4),
        (connectivity.line(400, 4, periodic=True), 7),
        (connectivity.lattice(8, 8), 9),
        (connectivity.lattice(4, 30), 5),
    ):
        assert Contraction(mask, 3).forecast.width <= width


def test_memory_limits_are_kept_and_change_nothing(monkeypatch):
    """Checkpoints give the same bits, slices the same digits."""
    monkeypatch.setattr("tnqbm.networks.contraction.plan.SEARCH_FROM", np.inf)
    mask = connectivity.lattice(12, 12)
    model = SqRBM.uniform(144, 121, "XZ", scale=0.4, seed=1, mask=mask)
    whole = Contraction.of(model)
    log_z, moments = whole.log_partition_and_moments(model)
    for share, slices in ((0.7, 1), (0.25, 2)):
        limit = share * whole.forecast.bytes
        small = Contraction.of(model, max_bytes=limit)
        assert small.forecast.bytes <= limit
        assert small.forecast.slices >= slices
        again, others = small.log_partition_and_moments(model)
        assert again == pytest.approx(log_z, rel=1e-13)
        for one, other in zip(moments, others, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
        if slices == 1:
            assert again == log_z
            assert all(
                np.array_equal(one, other, equal_nan=True)
                for one, other in zip(moments, others, strict=True)
            )


def test_refusals():
    with pytest.raises(ValueError, match=r"treewidth of at least 59.*patches"):
        Contraction(np.ones((60, 60), dtype=bool), 3)
    with pytest.raises(ValueError, match="max_operations"):
        Contraction(connectivity.lattice(12, 12), 3, max_operations=1e4)
    with pytest.raises(MemoryError, match="max_bytes"):
        Contraction(connectivity.lattice(12, 12), 3, max_bytes=1e5)
    with pytest.raises(ValueError, match="boolean"):
        Contraction(np.ones((3, 3)), 1)
    with pytest.raises(ValueError, match="n_paulis"):
        Contraction(np.ones((3, 3), dtype=bool), 4)
    mask = np.eye(3, dtype=bool)
    contraction = Contraction(mask, 1)
    model = SqRBM.uniform(3, 3, "Z", seed=0)
    with pytest.raises(ValueError, match="visible unit 0 and hidden unit 1 are coupled"):
        contraction.moments(model)
    with pytest.raises(ValueError, match="planned for n = 3, m = 3 and 1 Paulis"):
        contraction.log_partition(SqRBM.uniform(3, 3, "XZ", seed=0))
    local = SqRBM.uniform(3, 3, "Z", seed=0, mask=mask)
    with pytest.raises(ValueError, match="no visible unit 3"):
        contraction.marginal(local, [3])
    with pytest.raises(ValueError, match="twice"):
        contraction.marginal(local, [1, 1])
    with pytest.raises(ValueError, match="bits are 0 or 1"):
        contraction.log_partition(local, clamp={0: 2})
    with pytest.raises(ValueError, match="one or two"):
        contraction.hidden_state(local, [0, 1, 2])
    with pytest.raises(TypeError, match="integers"):
        contraction.marginal(local, [0.5])
    with pytest.raises(ValueError, match="pairs"):
        contraction.moments(local, pairs="every")


def chi_square(states, p):
    """p-value of samples against probabilities, rare states put together."""
    counts = np.bincount(states @ (2 ** np.arange(states.shape[1])[::-1]), minlength=p.size)
    expected = p * len(states)
    rare = expected < 8
    groups = [*zip(counts[~rare], expected[~rare], strict=True)]
    if rare.any():
        groups.append((counts[rare].sum(), max(expected[rare].sum(), 1e-9)))
    seen, right = np.array(groups).T
    return scipy.stats.chi2.sf(np.sum((seen - right) ** 2 / right), len(groups) - 1)


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_perfect_samples(paulis, logarithmic, monkeypatch):
    """Fixed seeds; a right sampler fails each of the seven checks with probability 1e-4."""
    if logarithmic:
        monkeypatch.setattr(compiled._Linear, "__call__", lambda *_: None)
    model = random_model(8, 7, paulis, 5, 0.8, 0.45)
    p = exact.probabilities(model)
    contraction = Contraction.of(model)
    states = contraction.sample(model, 20000, seed=1)
    assert np.array_equal(states[:100], contraction.sample(model, 100, seed=1))
    assert chi_square(states, p) > 1e-4
    # negative control: a slightly different model is told apart
    other = SqRBM(model.a + 0.05, model.b, model.w, paulis, model.mask)
    assert chi_square(states, exact.probabilities(other)) < 1e-6
    clamped = contraction.sample(model, 5000, seed=2, clamp={3: 1})
    assert clamped[:, 3].all()


def test_perfect_samples_of_split_units():
    """One Pauli: the values of h are drawn and dropped."""
    model = SqRBM.uniform(9, 3, "Y", scale=0.7, seed=3)
    plan = planned(model, [0, 1, 2]).plan
    states = PerfectSampler(plan).sample(
        sweeps.evaluate(plan, model), 20000, np.random.default_rng(4)
    )
    assert chi_square(states, exact.probabilities(model)) > 1e-4
    wide = SqRBM.uniform(40, 1, "XZ", scale=0.1, seed=3)
    with pytest.raises(ValueError, match="quadrature"):
        Contraction.of(wide).sample(wide, 1, seed=0)
    with pytest.raises(ValueError, match="whole number"):
        Contraction.of(model).sample(model, -1, seed=0)
