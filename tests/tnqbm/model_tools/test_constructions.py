"""Models in closed form: against the distributions that they stand for, at any size."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray

from tnqbm import exact
from tnqbm.core.metrics import total_variation
from tnqbm.datasets import load
from tnqbm.model_tools.constructions import (
    bars_and_stripes,
    cardinality,
    from_ising,
    vertex_cover,
)
from tnqbm.model_tools.rank_bounds import least_hidden

Float = NDArray[np.float64]


def couplings(n: int, density: float, seed: int) -> Float:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.normal(size=(n, n)) * (rng.random((n, n)) < density), 1)
    return np.asarray(upper + upper.T)


def ising_weights(j: Float, h: Float, states: NDArray[np.uint8]) -> Float:
    s = 1.0 - 2.0 * states
    return np.asarray(0.5 * ((s @ j) * s).sum(axis=1) + s @ h)


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize("error", [0.5, 1e-3])
def test_ising_distributions(paulis: str, error: float) -> None:
    n, rng = 9, np.random.default_rng(1)
    for seed, density in ((1, 0.2), (2, 0.5), (3, 1.0)):
        j, h = couplings(n, density, seed), rng.normal(size=n)
        found = from_ising(j, h, paulis, error=error)
        states = np.array([[k >> i & 1 for i in range(n)] for k in range(1 << n)], np.uint8)
        off = found.model.log_weight(states) - found.constant - ising_weights(j, h, states)
        assert -1e-9 < off.min() <= off.max() <= error
        assert found.model.n_hidden == -(-len(vertex_cover(j)) // len(paulis))
        if len(paulis) > 1 and density == 1.0:
            assert off.max() > error / 1000  # the bound is not far from what happens


def test_a_hundred_units() -> None:
    n = 100
    j, rng = couplings(n, 0.3, 5), np.random.default_rng(2)
    found = from_ising(j, paulis="XYZ")
    states = rng.integers(0, 2, (500, n)).astype(np.uint8)
    off = found.model.log_weight(states) - found.constant - ising_weights(j, np.zeros(n), states)
    assert -1e-6 < off.min() <= off.max() <= found.error


def test_covers() -> None:
    star = np.zeros((6, 6))
    star[2] = star[:, 2] = 1.0
    assert vertex_cover(star) == [2]
    assert from_ising(star, paulis="Z").model.n_hidden == 1
    assert len(vertex_cover(np.ones((7, 7)))) == 6
    assert vertex_cover(np.zeros((3, 3))) == []
    assert from_ising(np.zeros((3, 3))).model.n_hidden == 0
    chain = np.diag(np.ones(5), 1) + np.diag(np.ones(5), -1)
    j = chain * 0.7
    own = from_ising(j, paulis="Z", cover=[1, 3, 5])
    states = np.random.default_rng(0).integers(0, 2, (64, 6)).astype(np.uint8)
    off = own.model.log_weight(states) - own.constant - ising_weights(j, np.zeros(6), states)
    assert np.abs(off).max() < own.error


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize("n", [2, 4, 6, 10])
def test_cardinality(n: int, paulis: str) -> None:
    for tvd in (0.2, 1e-3):
        model = cardinality(n, paulis, tvd=tvd)
        assert model.n_hidden == -(-(n - 1) // len(paulis))
        target = load("cardinality", n)
        assert total_variation(target.dense(), exact.probabilities(model)) < tvd


def test_cardinality_of_a_hundred_units() -> None:
    """Log weights depend on the number of ones alone, up to a hundredth; then classes add up."""
    n = 100
    model = cardinality(n, "XYZ", tvd=0.04)
    assert model.n_hidden == 33
    rng = np.random.default_rng(1)
    ones = np.repeat(np.arange(0, n + 1, 2), 20)
    states = (rng.random((len(ones), n)).argsort(axis=1) < ones[:, None]).astype(np.uint8)
    log_weight = model.log_weight(states).reshape(-1, 20)
    balanced = log_weight[25].max()
    assert np.ptp(log_weight, axis=1).max() < 0.011
    classes = np.array([float(comb(n, k)) for k in range(0, n + 1, 2)]) / comb(n, n // 2)
    outside = classes * np.exp(log_weight.max(axis=1) - balanced)
    assert outside.sum() - outside[25] < 0.02


@pytest.mark.parametrize("n", [6, 8, 10, 14])
def test_bars_and_stripes_in_three_qubits(n: int) -> None:
    for tvd in (0.2, 1e-3):
        model = bars_and_stripes(n, tvd=tvd)
        assert (model.n_hidden, model.paulis) == (3, "XZ")
        assert total_variation(load("bas", n).dense(), exact.probabilities(model)) < tvd


def test_bars_and_stripes_of_a_hundred_units() -> None:
    """All strings of the data are equally likely, and their neighbours nearly impossible."""
    n = 100
    model, target = bars_and_stripes(n), load("bas", n)
    log_weight = model.log_weight(target.states)
    assert np.ptp(log_weight) < 1e-6
    eye = np.eye(n, dtype=np.uint8)
    flips = target.states[:, None] ^ eye
    pairs = np.array([eye[i] | eye[k] for i in range(n) for k in range(i)])
    known = {row.tobytes() for row in target.states}
    others = [
        row
        for row in [*flips.reshape(-1, n), *pairs, np.zeros(n, np.uint8)]
        if row.tobytes() not in known
    ]
    assert (model.log_weight(np.array(others)) < log_weight.min() - 5.0).all()


def test_rbms_need_more() -> None:
    assert least_hidden(comb(12, 6), 0.2) == 9
    assert least_hidden(1 << 11, 0.0) == 11
    assert least_hidden(924, 1 / 3) == 0
    assert least_hidden(1, 0.0) == 0
    for n in (4, 8, 12, 100):
        assert least_hidden(comb(n, n // 2), 0.0) <= n - 1  # which the construction has
    assert least_hidden(2 + (1 << 20), 0.1) > 3  # bars and stripes in 3 qubits need more units here
    for n_states, tvd in ((0, 0.1), (5, -0.1), (5, 1.5)):
        with pytest.raises(ValueError, match="n_states"):
            least_hidden(n_states, tvd)


def test_products_of_one_parity_are_nearly_one_string() -> None:
    """The lemma: the largest probability of a product is at least sqrt(2 mu - 1), mu its weight on
    strings of one parity."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        p = rng.random(7) ** rng.integers(1, 9)
        bits = np.array([[k >> i & 1 for i in range(7)] for k in range(128)])
        mu = np.where(bits, p, 1 - p).prod(axis=1)
        for parity in (0, 1):
            weight = mu[bits.sum(axis=1) % 2 == parity].sum()
            assert mu.max() >= np.sqrt(max(0.0, 2 * weight - 1)) - 1e-12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_ising(np.ones((2, 3))), "square"),
        (lambda: from_ising([[0.0, 1.0], [2.0, 0.0]]), "symmetric"),
        (lambda: from_ising([[0.0, np.nan], [np.nan, 0.0]]), "finite"),
        (lambda: from_ising(np.ones((3, 3)), [1.0]), "fields must be 3"),
        (lambda: from_ising(np.ones((3, 3)), error=0.0), "error must be"),
        (lambda: from_ising(np.ones((3, 3)), cover=[0]), "units 1 and 2 are coupled"),
        (lambda: from_ising(np.ones((3, 3)), cover=[0, 0]), "each once"),
        (lambda: cardinality(5), "even"),
        (lambda: cardinality(6, tvd=0.0), "tvd"),
        (lambda: bars_and_stripes(4), "from 6 on"),
        (lambda: bars_and_stripes(8, tvd=1.0), "tvd"),
    ],
)
def test_impossible_arguments(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
