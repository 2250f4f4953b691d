"""Quadrature over hidden qubits: against enumeration, closed forms, other degrees, differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import numba
import numpy as np
import pytest
from scipy.special import gammaln, logsumexp

from tests.twins import enumerate_model
from tnqbm import SqRBM
from tnqbm.core.fields import log_2cosh
from tnqbm.exact import quadrature
from tnqbm.exact.quadrature import evaluation
from tnqbm.kernels import sphere

PAULI_SETS = ["X", "Y", "Z", "XY", "XZ", "YZ", "XYZ"]


def check(model: SqRBM, tolerance: float = 1e-11) -> quadrature.QuadratureResult:
    """log Z and moments against plain enumeration."""
    log_z, moments, _ = enumerate_model(model)
    found = quadrature.evaluate(model, moments=True)
    scale = max(1.0, abs(log_z))
    assert abs(found.log_partition - log_z) < tolerance * scale
    assert abs(quadrature.log_partition(model) - log_z) < tolerance * scale
    assert found.moments is not None
    np.testing.assert_allclose(found.moments.to_vector(), moments, atol=tolerance * scale, rtol=0)
    return found


@pytest.mark.parametrize("paulis", PAULI_SETS)
@pytest.mark.parametrize(
    ("n", "m", "scale"), [(1, 1, 1.0), (9, 1, 1.0), (7, 2, 0.5), (5, 3, 0.2), (17, 1, 0.3)]
)
def test_agrees_with_enumeration(paulis: str, n: int, m: int, scale: float) -> None:
    check(SqRBM.uniform(n, m, paulis, scale=scale, seed=n + m))


@pytest.mark.parametrize("paulis", ["XZ", "XYZ"])
def test_weights_of_size_one_at_sixteen_units(paulis: str) -> None:
    found = check(SqRBM.uniform(16, 2, paulis, scale=1.0, seed=3))
    assert found.error < 1e-9
    assert found.moments_error < 1e-9


def test_four_hidden_qubits() -> None:
    """The kernels' general case; three Paulis at a degree that is good for a few digits."""
    check(SqRBM.uniform(4, 4, "XY", scale=0.01, seed=5))
    model = SqRBM.uniform(5, 4, "XYZ", scale=0.2, seed=5)
    log_z, moments, _ = enumerate_model(model)
    found = quadrature.evaluate(model, 7, moments=True)
    assert abs(found.log_partition - log_z) < 1e-6
    np.testing.assert_allclose(found.moments.to_vector(), moments, atol=5e-6)


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_large_fields(paulis: str) -> None:
    """Fields of several hundred: degrees far above the tabulated rules."""
    check(SqRBM.uniform(8, 1, paulis, scale=60.0, seed=2))
    check(SqRBM.uniform(6, 9, "Z", scale=1000.0, seed=2))


@pytest.mark.parametrize("paulis", PAULI_SETS)
def test_units_without_couplings(paulis: str) -> None:
    p = len(paulis)
    dense = SqRBM.uniform(6, 3, paulis, seed=1)
    w = dense.w.copy()
    w[:, [1, 4], :] = 0.0
    w[:, :, 1] = 0.0
    check(SqRBM(dense.a, dense.b, w, paulis))
    check(SqRBM(dense.a, dense.b, np.zeros_like(w), paulis))
    check(SqRBM(dense.a, np.zeros((p, 0)), np.zeros((p, 6, 0)), paulis))
    check(SqRBM(np.zeros(6), np.zeros((p, 3)), np.zeros((p, 6, 3)), paulis))


def equal_units(n: int, m: int, paulis: str, scale: float, seed: int) -> tuple[SqRBM, float]:
    """A model whose visible units are all alike, and log Z as a sum over their number of ones."""
    rng = np.random.default_rng(seed)
    p, a = len(paulis), float(rng.uniform(-0.2, 0.2))
    b, w = rng.uniform(-1, 1, (p, m)), rng.uniform(-scale, scale, (p, m))
    model = SqRBM(np.full(n, a), b, np.repeat(w[:, None], n, axis=1), paulis)
    ones = np.arange(n + 1)
    spin = n - 2.0 * ones
    count = gammaln(n + 1) - gammaln(ones + 1) - gammaln(n - ones + 1)
    lengths = np.linalg.norm(b[None] + spin[:, None, None] * w[None], axis=1)
    return model, float(logsumexp(count - a * spin + log_2cosh(lengths).sum(axis=1)))


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize(("n", "m", "scale"), [(150, 1, 0.2), (400, 1, 0.5), (150, 2, 0.03)])
def test_closed_form_of_equal_units(paulis: str, n: int, m: int, scale: float) -> None:
    model, log_z = equal_units(n, m, paulis, scale, seed=n + m)
    assert abs(quadrature.log_partition(model) - log_z) < 1e-12 * abs(log_z)
    moments = quadrature.moments(model)
    np.testing.assert_allclose(moments.z, moments.z[0], atol=1e-11)


@pytest.mark.parametrize("paulis", ["XZ", "XYZ"])
@pytest.mark.parametrize("m", [1, 2])
def test_many_visible_units(paulis: str, m: int) -> None:
    """n = 150: a much higher degree agrees, and moments are the derivatives of log Z."""
    model = SqRBM.uniform(150, m, paulis, scale=0.3, seed=7)
    found = quadrature.evaluate(model, moments=True)
    used = found.degree
    assert abs(quadrature.log_partition(model, used + 12) - found.log_partition) < 1e-10
    theta, flat = model.to_vector(), found.moments.to_vector()
    for k in np.random.default_rng(0).choice(theta.size, 12 // m**2, replace=False):
        values = []
        for step in (1e-4, -1e-4):
            moved = theta.copy()
            moved[k] += step
            at = SqRBM.from_vector(moved, 150, m, paulis)
            values.append(quadrature.log_partition(at, used))
        # Rounding of log Z of 1e-14 |log Z| over a step of 2e-4.
        assert flat[k] == pytest.approx(-(values[0] - values[1]) / 2e-4, abs=2e-8)


def test_rotating_the_paulis_changes_nothing() -> None:
    model = SqRBM.uniform(120, 1, "XYZ", scale=0.3, seed=4)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    rotated = SqRBM(model.a, rotation @ model.b, np.einsum("pq,qij->pij", rotation, model.w), "XYZ")
    first, second = (quadrature.evaluate(at, moments=True) for at in (model, rotated))
    assert first.log_partition == pytest.approx(second.log_partition, abs=1e-11)
    np.testing.assert_allclose(rotation @ first.moments.sigma, second.moments.sigma, atol=1e-11)


def test_low_degrees_are_wrong_and_say_so() -> None:
    """Negative control: the reported error is that of the degree before, and real."""
    model = SqRBM.uniform(10, 1, "XYZ", scale=1.0, seed=6)
    log_z = enumerate_model(model)[0]
    errors = []
    for degree in (7, 11, 19, 29):
        found = quadrature.evaluate(model, degree)
        errors.append(abs(found.log_partition - log_z))
        before = quadrature.LADDER[quadrature.LADDER.index(degree) - 1]
        if before >= 5:
            lower = quadrature.log_partition(model, before)
            assert found.error == pytest.approx(abs(found.log_partition - lower), abs=1e-14)
            assert found.error > errors[-1] - 1e-13
    assert errors[0] > 1e-3
    assert errors == sorted(errors, reverse=True)


def test_a_rule_without_the_linear_factor_would_be_wrong() -> None:
    """Negative control of the formula: the sphere's average of exp(d.Phi) is sinh(r)/r."""
    points, weights = sphere.nodes(35, 3)
    phi = np.array([1.0, -2.0, 0.5])
    r, x = np.linalg.norm(phi), points @ phi
    assert weights @ ((1 + x) * np.exp(x)) == pytest.approx(math.cosh(r), rel=1e-13)
    assert weights @ np.exp(x) == pytest.approx(math.sinh(r) / r, rel=1e-13)


@pytest.mark.parametrize(("paulis", "m"), [("XYZ", 1), ("XZ", 2), ("Z", 15)])
def test_same_bits_whatever_the_number_of_threads(paulis: str, m: int) -> None:
    model = SqRBM.uniform(30, m, paulis, scale=0.3, seed=m)
    threads = numba.get_num_threads()
    several = quadrature.evaluate(model, moments=True)
    try:
        numba.set_num_threads(1)
        one = quadrature.evaluate(model, moments=True)
    finally:
        numba.set_num_threads(threads)
    assert one.log_partition == several.log_partition
    np.testing.assert_array_equal(one.moments.to_vector(), several.moments.to_vector())


def test_forecasts() -> None:
    model = SqRBM.uniform(150, 2, "XYZ", scale=0.3, seed=7)
    forecast, used = quadrature.forecast(model), quadrature.evaluate(model).degree
    assert forecast.fits
    assert forecast.hidden == 2
    assert 0.75 * used <= forecast.degree <= 1.5 * used
    assert 1e-3 < forecast.seconds < quadrature.forecast(model, moments=True).seconds < 10.0
    assert forecast.nodes == sphere.nodes(forecast.degree, 3)[1].size
    assert forecast.operations > 150.0 * forecast.nodes**2
    fixed = quadrature.forecast(model, 53)
    assert (fixed.degree, fixed.nodes) == (53, sphere.nodes(53, 3)[1].size)
    for paulis, n, m, scale in [
        ("XYZ", 10, 5, 0.1), ("XZ", 30, 2000, 0.1), ("Z", 30, 2000, 0.1), ("XYZ", 40, 2, 1000.0),
    ]:  # fmt: skip
        assert not quadrature.forecast(SqRBM.uniform(n, m, paulis, scale=scale, seed=0)).fits


@pytest.mark.parametrize("degree", [131, 151, 175, 201])
@pytest.mark.parametrize("n_paulis", [2, 3])
def test_nodes_are_counted_without_making_them(degree: int, n_paulis: int) -> None:
    assert evaluation._n_nodes(degree, n_paulis) == sphere.nodes(degree, n_paulis)[1].size


@pytest.mark.parametrize("call", [quadrature.log_partition, quadrature.moments])
def test_refusals(call: Callable[..., object]) -> None:
    model = SqRBM.uniform(6, 1, "XZ", seed=0)
    for degree in (0, 4, 7.5, True):
        with pytest.raises(ValueError, match="degree must be a whole number"):
            call(model, degree)
    for tolerance in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="tolerance must lie"):
            call(model, tolerance=tolerance)
    for limit in (0.0, float("nan")):
        with pytest.raises(ValueError, match="max_operations must be positive"):
            call(model, max_operations=limit)
    with pytest.raises(ValueError, match=r"at most 4 hidden qubits with couplings, .* has 5"):
        call(SqRBM.uniform(6, 5, "XZ", seed=0))
    with pytest.raises(ValueError, match=r"sum over 2\*\*40 hidden states is out of reach"):
        call(SqRBM.uniform(60, 40, "Z", seed=0))
    with pytest.raises(ValueError, match=r"reached no degree and would need .* mc\.log_partition"):
        call(SqRBM.uniform(60, 3, "XYZ", seed=0), max_operations=1e4)
    with pytest.raises(ValueError, match=r"reached degree \d+ .*would need .* for degree \d+ "):
        call(SqRBM.uniform(60, 2, "XYZ", seed=0), max_operations=2.5e7)
