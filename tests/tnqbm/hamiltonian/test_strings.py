"""Sums of Pauli strings on batches of vectors, against dense matrices."""

from itertools import combinations

import numpy as np
import pytest

from tests.tnqbm.hamiltonian.test_operator import kronecker, random_terms
from tnqbm import PauliHamiltonian
from tnqbm.core.paulis import pauli_string
from tnqbm.hamiltonian import qrbm, sqbm, tfim
from tnqbm.hamiltonian import strings as hamiltonian_strings
from tnqbm.hamiltonian.strings import StringSum
from tnqbm.hamiltonian.terms import PauliTable
from tnqbm.kernels.parallel import get_num_threads, max_threads, set_num_threads

SETS = ["".join(s) for k in (1, 2, 3) for s in combinations("XYZ", k)]
MODELS = {
    **{f"qrbm {s}": qrbm(3, 2, visible_paulis=s, paulis=s, seed=k) for k, s in enumerate(SETS)},
    **{f"qrbm X {s}": qrbm(2, 2, visible_paulis="X", paulis=s, seed=1) for s in SETS},
    "qrbm 10": qrbm(6, 4, seed=1),
    "sqbm 10": sqbm(5, 5, scale=0.5, seed=2),
    "tfim 10": tfim(7, 3, visible_edges="all", seed=3),
    "generic 10": PauliHamiltonian(random_terms(10, 40, 4), 4),
    "generic 8": PauliHamiltonian(random_terms(8, 40, 5), 4),
    "generic 3": PauliHamiltonian(random_terms(3, 20, 6), 2),
    "one qubit": PauliHamiltonian({"X": 0.3, "Y": -0.4, "Z": 0.7}, 1),
    "diagonal": PauliHamiltonian({"ZZI": 0.5, "IZI": 1.0}, 2),
    "zero": PauliHamiltonian({}, 2, n_qubits=3),
}


def string_sum(h):
    return StringSum(PauliTable(list(h.terms), h.n_qubits), h.to_vector())


def random_vectors(sum_, rng):
    shape = (sum_.dimension, sum_.lanes)
    return rng.normal(size=shape) + (1j * rng.normal(size=shape) if sum_.parts == 2 else 0)


@pytest.mark.parametrize("h", MODELS.values(), ids=MODELS)
def test_action_and_averages(h):
    sum_, rng = string_sum(h), np.random.default_rng(0)
    x, z = random_vectors(sum_, rng), random_vectors(sum_, rng)
    b = rng.normal(size=sum_.lanes)
    states = np.stack([sum_.batch(x), sum_.batch(z)])
    y = sum_.empty()
    sum_.step(states[0], states[1], y, 2.0, b, -0.5)
    want = 2.0 * kronecker(h) @ x + b * x - 0.5 * z
    assert np.abs(sum_.vectors(y) - want).max() < 1e-12 * np.abs(want).max()

    paulis = [*h.terms, *random_terms(h.n_qubits, 20, 1), "I" * h.n_qubits][-80:]
    weights = np.array([0.5, -1.5])
    found = sum_.averages(PauliTable(paulis, h.n_qubits), states, weights)
    for row, pauli in zip(found, paulis, strict=True):
        each = [np.sum(v.conj() * (pauli_string(pauli) @ v), axis=0).real for v in (x, z)]
        assert np.allclose(row, weights @ each, atol=1e-12 * sum_.dimension)


def test_batches_hold_their_vectors():
    sum_ = string_sum(MODELS["generic 3"])
    x = random_vectors(sum_, np.random.default_rng(1))
    assert np.array_equal(sum_.vectors(sum_.batch(x)), x)
    assert np.array_equal(sum_.vectors(sum_.batch(x[:, :3]))[:, 3:], np.zeros((8, 5)))
    dots = sum_.dots(sum_.batch(x), sum_.batch(2 * x))
    assert np.allclose(dots, 2 * (np.abs(x) ** 2).sum(axis=0))


def test_gather():
    sum_, rng = string_sum(MODELS["qrbm 10"]), np.random.default_rng(2)
    parts, total, factors = sum_.empty(3), sum_.empty(2), rng.normal(size=(2, 3))
    parts[:], total[:] = rng.normal(size=parts.shape), rng.normal(size=total.shape)
    want = total + factors @ parts
    sum_.gather(factors, parts, total)
    assert np.allclose(total, want, atol=1e-13)


def test_smaller_blocks_give_the_same(monkeypatch):
    h = MODELS["generic 10"]
    x = random_vectors(string_sum(h), np.random.default_rng(3))
    results = []
    for size in (1 << 24, 1 << 12, 1):
        monkeypatch.setattr(hamiltonian_strings, "TABLE_BYTES", size)
        sum_ = string_sum(h)
        y = sum_.empty()
        sum_.step(sum_.batch(x), y, y, 1.0, 0.0, 0.0)
        averages = sum_.averages(sum_.table, y[None], np.ones(1))
        results.append((sum_.low, sum_.vectors(y), averages))
    assert [low for low, *_ in results] == [7, 2, 0]
    for _, y, averages in results[1:]:
        assert np.allclose(y, results[0][1], atol=1e-11)
        assert np.allclose(averages, results[0][2], rtol=1e-11, atol=1e-8)


@pytest.mark.skipif(max_threads() < 2, reason="needs two threads")
def test_threads_change_no_bit():
    h, results, threads = MODELS["qrbm 10"], [], get_num_threads()
    try:
        for count in (1, 2):
            set_num_threads(count)
            sum_ = string_sum(h)
            x, y = sum_.batch(random_vectors(sum_, np.random.default_rng(4))), sum_.empty()
            sum_.step(x, x, y, 1.0, 0.0, 0.0)
            results.append((y, sum_.averages(sum_.table, y[None], np.ones(1))))
    finally:
        set_num_threads(threads)
    for first, second in zip(*results, strict=True):
        assert np.array_equal(first, second)
