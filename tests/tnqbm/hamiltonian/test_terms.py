"""Bit masks of Pauli strings against Kronecker products."""

import numpy as np
import pytest

from tnqbm.core.paulis import pauli_string
from tnqbm.hamiltonian.terms import PauliTable, check_string, walsh


def strings_of(q, count, seed, letters="IXYZ", label=0):
    rng = np.random.default_rng(seed)
    return [
        "".join([*rng.choice(list("IZ"), label), *rng.choice(list(letters), q - label)])
        for _ in range(count)
    ]


@pytest.mark.parametrize("length", [1, 2, 8])
def test_walsh(length):
    values = np.random.default_rng(0).normal(size=length)
    z = np.arange(length)
    signs = 1 - 2.0 * (np.bitwise_count(z[:, None] & z) & 1)
    found = values.copy()
    walsh(found)
    assert np.allclose(found, signs @ values)


@pytest.mark.parametrize("letters", ["IZ", "IXZ", "IXYZ"])
def test_matrices_and_traces(letters):
    q = 4
    strings = strings_of(q, 30, 1, letters)
    c = np.random.default_rng(2).normal(size=len(strings))
    table = PauliTable(strings, q)
    want = sum(x * pauli_string(s) for x, s in zip(c, strings, strict=True))
    found = table.blocks(c, q, 0, 1)[0]
    assert np.allclose(found, want, atol=1e-13)
    if letters != "IXYZ":
        assert found.dtype == np.float64
    random = np.random.default_rng(3).normal(size=(2, 16, 16))
    matrix = random[0] + 1j * random[1]
    matrix += matrix.conj().T
    traces = [np.trace(pauli_string(s) @ matrix).real for s in strings]
    assert np.allclose(table.traces(matrix[None], np.ones(1), q, 0), traces, atol=1e-12)


def test_blocks_by_label():
    q, m = 5, 2
    strings = strings_of(q, 30, 4, label=3)
    c = np.random.default_rng(5).normal(size=len(strings))
    table = PauliTable(strings, q)
    whole = sum(x * pauli_string(s) for x, s in zip(c, strings, strict=True)).reshape(8, 4, 8, 4)
    for first, count in ((0, 8), (4, 4), (6, 2), (7, 1)):
        k = np.arange(first, first + count)
        blocks = table.blocks(c, m, first, count)
        assert np.allclose(blocks, whole[k, :, k, :], atol=1e-13)
        diagonal = np.einsum("vkk->vk", whole[k, :, k, :]).real
        assert np.allclose(table.diagonal(c, m, first, count), diagonal, atol=1e-13)
        weights = np.random.default_rng(first).normal(size=count)
        state = np.zeros((8, 4, 8, 4), complex)
        state[k, :, k, :] = weights[:, None, None] * blocks
        found = table.traces(blocks, weights, m, first)
        want = [np.trace(pauli_string(s) @ state.reshape(32, 32)).real for s in strings]
        assert np.allclose(found, want, atol=1e-12)
    flipping = PauliTable(["XIIII", "ZIIII"], q)
    assert flipping.traces(table.blocks(c, m, 0, 8), np.ones(8), m, 0)[0] == 0.0


def test_no_strings_and_bad_ones():
    empty = PauliTable([], 3)
    assert empty.flips == 0
    assert np.array_equal(empty.blocks(np.zeros(0), 3, 0, 1), np.zeros((1, 8, 8)))
    assert np.array_equal(empty.diagonal(np.zeros(0), 3, 0, 1), np.zeros((1, 8)))
    assert check_string("XYZ", 3) == "XYZ"
    with pytest.raises(ValueError, match="2 letters"):
        check_string("XYZ", 2)
    with pytest.raises(ValueError, match="contains"):
        check_string("xz")
    with pytest.raises(TypeError, match="str"):
        check_string(b"XZ")
    with pytest.raises(ValueError, match="62 bits"):
        PauliTable(["Z" * 63], 63)
