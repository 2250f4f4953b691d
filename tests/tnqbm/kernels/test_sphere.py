"""Quadrature nodes: cosh of a length as a sum of exponentials of linear forms."""

import numpy as np
import pytest

from tnqbm.kernels.sphere import nodes


def approximated(phi: np.ndarray, degree: int) -> float:
    directions, weights = nodes(degree, phi.size)
    x = directions @ phi
    linear = 1.0 if phi.size == 1 else 1.0 + x
    return float((weights * linear * np.exp(x)).sum())


@pytest.mark.parametrize("n_paulis", [1, 2, 3])
@pytest.mark.parametrize("degree", [3, 13, 20, 31, 131, 150])
def test_weights_are_positive_and_normalised(n_paulis, degree):
    directions, weights = nodes(degree, n_paulis)
    assert directions.shape == (weights.size, n_paulis)
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(1.0, abs=1e-14)
    assert (np.linalg.norm(directions, axis=1) <= 1 + 1e-12).all()


@pytest.mark.parametrize("n_paulis", [1, 2, 3])
@pytest.mark.parametrize("length", [0.0, 0.3, 2.0, 8.0, 30.0])
def test_cosh_of_a_length(n_paulis, length):
    rng = np.random.default_rng(n_paulis)
    phi = rng.normal(size=n_paulis)
    phi *= length / np.linalg.norm(phi)
    for degree in (113, 160):  # a Lebedev rule and a product rule
        assert approximated(phi, degree) == pytest.approx(np.cosh(length), rel=1e-12)


@pytest.mark.parametrize("n_paulis", [2, 3])
def test_the_error_falls_faster_than_exponentially(n_paulis):
    phi = np.array([5.0, -4.0, 3.0])[:n_paulis]
    exact = np.cosh(np.linalg.norm(phi))
    few, some, many = (abs(approximated(phi, degree) / exact - 1) for degree in (5, 11, 19))
    assert many < 1e-9
    assert some / few < 1e-2
    assert many / some < some / few


def test_the_linear_factor_matters():
    # The circle or sphere average of the exponential alone is not cosh.
    directions, weights = nodes(35, 3)
    phi = np.array([1.0, 1.0, 1.0])
    alone = (weights * np.exp(directions @ phi)).sum()
    assert alone == pytest.approx(np.sinh(np.sqrt(3)) / np.sqrt(3), rel=1e-12)


def test_nodes_are_shared_and_read_only():
    directions, weights = nodes(11, 3)
    assert nodes(11, 3)[0] is directions
    with pytest.raises(ValueError, match="read-only"):
        weights[0] = 0.0


@pytest.mark.parametrize(("degree", "n_paulis", "what"), [(0, 3, "degree"), (5, 4, "n_paulis")])
def test_impossible_arguments(degree, n_paulis, what):
    with pytest.raises(ValueError, match=what):
        nodes(degree, n_paulis)
