"""The closed form of log Tr exp(-H) of two qubits against eigenvalues of dense matrices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tnqbm import SqBM
from tnqbm.core.paulis import pauli_string

ONE = np.zeros((1, 1), np.uint8)


def reference(letters: str, b: np.ndarray, pairs: np.ndarray) -> float:
    h = np.zeros((4, 4), complex)
    for p, letter in enumerate(letters):
        h += b[p, 0] * pauli_string(letter + "I") + b[p, 1] * pauli_string("I" + letter)
    for (p, x), (r, y) in itertools.product(enumerate(letters), repeat=2):
        h += pairs[p, r] * pauli_string(x + y)
    values = np.linalg.eigvalsh(h)
    return float(np.log(np.exp(values[0] - values).sum()) - values[0])


def closed(letters: str, b: np.ndarray, pairs: np.ndarray) -> float:
    given = {"b": b, "hidden": pairs[None]}
    return float(
        SqBM(1, 2, paulis=letters, hidden_edges="all", parameters=given).log_weight(ONE)[0]
    )


def cases(P: int, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    b, pairs = rng.normal(size=(P, 2)), rng.normal(size=(P, P))
    turn = np.linalg.qr(pairs)[0]
    one = np.array([[1.0, 0.0]])
    return {
        "random": (b, pairs),
        "weak couplings": (b, 1e-7 * pairs),
        "weak fields": (1e-7 * b, pairs),
        "three equal eigenvalues": (0 * b, turn),
        "nearly three": (1e-9 * b, turn),
        "two and two": (b * one, 0 * pairs),
        "nearly two and two": (b * one + 1e-9 * b, 1e-9 * pairs),
        "product": (b, np.outer(b[:, 0], b[:, 1])),
        "equal fields": (b[:, :1] * np.ones(2), np.eye(P)),
        "one qubit free": (b * one, np.outer(b[:, 0], 0 * b[:, 0])),
        "minus": (-b, -pairs),
    }


@pytest.mark.parametrize("letters", ["XZ", "XY", "XYZ", "ZYX"])
@pytest.mark.parametrize("scale", [1e-3, 0.1, 1.0, 10.0, 300.0])
def test_traces_are_those_of_eigenvalues(letters: str, scale: float) -> None:
    for seed in range(8):
        for name, (b, pairs) in cases(len(letters), seed).items():
            b, pairs = scale * b, scale * pairs
            expected = reference(letters, b, pairs)
            found = closed(letters, b, pairs)
            assert abs(found - expected) < 3e-14 * max(1.0, abs(expected)), (name, seed)


@pytest.mark.parametrize("letters", ["XZ", "XYZ"])
def test_nothing_is_log_4_and_the_largest_is_finite(letters: str) -> None:
    P = len(letters)
    assert closed(letters, np.zeros((P, 2)), np.zeros((P, P))) == pytest.approx(
        np.log(4), abs=1e-15
    )
    b, pairs = cases(P, 1)["random"]
    for scale in (1e14, 1e16, 1e40, 1e99):
        found, expected = closed(letters, scale * b, scale * pairs), reference(letters, b, pairs)
        ground = (reference(letters, 1e6 * b, 1e6 * pairs)) * 1e-6
        assert found / scale == pytest.approx(ground, rel=1e-12)
        assert found / scale < expected


@pytest.mark.parametrize("letters", ["XZ", "XYZ"])
def test_a_lane_does_not_depend_on_the_others(letters: str) -> None:
    """Huge matrices are scaled in their own lanes alone."""
    rng = np.random.default_rng(3)
    P = len(letters)
    w = np.zeros((P, 9, 2))
    w[:, :8] = rng.normal(size=(P, 8, 2))
    w[:, 8] = 1e20
    model = SqBM(
        9, 2, paulis=letters, hidden_edges="all",
        parameters={
            "w": w, "b": np.full((P, 2), -1e20), "hidden": rng.normal(size=(1, P, P)),
        },
    )  # fmt: skip
    states = rng.integers(0, 2, (16, 9)).astype(np.uint8)
    states[:, 8] = np.arange(16) % 2  # s = 1 takes the huge field away
    together = model.log_weight(states)
    alone = np.array([model.log_weight(state[None])[0] for state in states])
    np.testing.assert_array_equal(together, alone)
    assert (together[1::2] > 1e19).all()
    assert (together[::2] < 1e3).all()
