"""Proposals of a quantum-enhanced chain: symmetric for any number of steps, and near the model."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

pytest.importorskip("qiskit")

from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import Operator

from tests.twins import all_states
from tnqbm import SqRBM
from tnqbm.core.paulis import pauli_string
from tnqbm.core.states import index_of
from tnqbm.quantum import (
    IsingSurrogate,
    conventions,
    expand_surrogate,
    fit_surrogate,
    proposal_circuit,
    proposal_matrix,
)

MODEL = SqRBM.uniform(4, 3, "XYZ", scale=0.4, seed=8)
SURROGATE = expand_surrogate(MODEL)


def generator(surrogate: IsingSurrogate, gamma: float) -> np.ndarray:
    """The Hamiltonian of the evolution, dense."""
    n = surrogate.n_visible
    energy = surrogate.energy(all_states(n)) - surrogate.constant
    mixing = sum(pauli_string("I" * i + "X" + "I" * (n - 1 - i)) for i in range(n))
    scale = np.sqrt(n) / surrogate.norm()
    return (1 - gamma) * scale * np.diag(energy) + gamma * mixing


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_proposals_are_symmetric(steps: int) -> None:
    q = proposal_matrix(SURROGATE, time=3.0, gamma=0.4, trotter_steps=steps)
    np.testing.assert_allclose(q, q.T, atol=1e-12)
    np.testing.assert_allclose(q.sum(axis=0), 1.0, atol=1e-12)
    assert np.abs(q - 1 / 16).max() > 0.05  # not the uniform proposal, which is symmetric anyway


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_probabilities_are_those_of_the_circuit(n: int, steps: int) -> None:
    surrogate = expand_surrogate(SqRBM.uniform(n, 3, "XYZ", seed=n))
    given = {"time": 3.0, "gamma": 0.4, "trotter_steps": steps}
    start = np.zeros(n, dtype=np.uint8)
    circuit = proposal_circuit(start, surrogate, **given, measure=False)
    expected = np.abs(conventions.matrix(Operator(circuit).data)) ** 2
    np.testing.assert_allclose(proposal_matrix(surrogate, **given), expected, atol=1e-14)


def test_a_circuit_that_is_no_palindrome_is_not_symmetric() -> None:
    start = np.zeros(4, dtype=np.uint8)
    halves = [
        proposal_circuit(start, SURROGATE, time=time, gamma=gamma, trotter_steps=1, measure=False)
        for time, gamma in ((1.0, 0.3), (2.0, 0.6))
    ]
    q = np.abs(Operator(halves[0].compose(halves[1])).data) ** 2
    assert np.abs(q - q.T).max() > 0.01


def test_the_evolution_is_the_exponential_and_the_error_second_order() -> None:
    h = generator(SURROGATE, 0.4)
    exact = np.abs(scipy.linalg.expm(-1j * 2.0 * h)) ** 2
    errors = [
        np.abs(proposal_matrix(SURROGATE, time=2.0, gamma=0.4, trotter_steps=steps) - exact).max()
        for steps in (16, 32)
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)
    assert errors[1] < 0.01


def test_columns_are_what_circuits_give() -> None:
    q = proposal_matrix(SURROGATE, time=2.0, gamma=0.4, trotter_steps=2)
    v = np.array([0, 0, 1, 0])
    made = proposal_circuit(v, SURROGATE, time=2.0, gamma=0.4, trotter_steps=2)
    opened = proposal_circuit(None, SURROGATE, time=2.0, gamma=0.4, trotter_steps=2)
    jobs = StatevectorSampler(seed=4).run([made, (opened, np.pi * v)], shots=5000).result()
    for job in jobs:
        bits = conventions.bits_from_bit_array(job.data.visible)
        counts = np.bincount(index_of(bits), minlength=16)
        expected = 5000 * q[:, 2]
        # 15 degrees of freedom: chi-squared beyond 44.3 has probability 1e-4.
        assert ((counts - expected) ** 2 / expected).sum() < 44.3


def test_a_metropolis_step_with_these_proposals_leaves_the_model_as_it_is() -> None:
    log_p = MODEL.log_weight(all_states(4))
    p = np.exp(log_p - np.logaddexp.reduce(log_p))
    q = proposal_matrix(SURROGATE, time=3.0, gamma=0.4, trotter_steps=2)
    move = q * np.minimum(1.0, p[:, None] / p[None, :])
    move += np.diag(1.0 - move.sum(axis=0))
    np.testing.assert_allclose(move @ p, p, atol=1e-14)


@pytest.mark.parametrize(("field", "order"), [(0.0, 4), (0.7, 3)])
def test_the_expansion_is_exact_at_weak_coupling(field: float, order: int) -> None:
    states = all_states(4)
    errors = []
    for scale in (0.02, 0.01):
        rng = np.random.default_rng(1)
        w = scale * rng.uniform(-1, 1, (2, 4, 3))
        model = SqRBM(rng.uniform(-1, 1, 4), np.full((2, 3), field), w, "XZ")
        errors.append(np.abs(expand_surrogate(model).energy(states) + model.log_weight(states)))
    assert errors[0].max() / errors[1].max() == pytest.approx(2.0**order, rel=0.1)
    assert errors[1].max() < 1e-4


def test_the_fit_is_the_least_squares_solution() -> None:
    states = all_states(4)
    target = -MODEL.log_weight(states)
    fitted = fit_surrogate(MODEL, states, ridge=0.0)
    residual = fitted.energy(states) - target
    s = 1.0 - 2.0 * states
    # Normal equations: nothing of what an Ising model can express is left.
    np.testing.assert_allclose(s.T @ residual, 0.0, atol=1e-10)
    np.testing.assert_allclose(np.einsum("vi,vk,v->ik", s, s, residual), 0.0, atol=1e-10)
    assert np.std(residual) < np.std(SURROGATE.energy(states) - target)
    assert np.std(residual) < 0.2 * np.std(target)


def test_an_ising_model_is_found_again_and_weights_count() -> None:
    # One classical hidden unit on two visible ones is a pair coupling, exactly.
    model = SqRBM([0.3, -0.2], [[0.0]], [[[0.5], [0.7]]], "Z")
    fitted = fit_surrogate(model, all_states(2), ridge=0.0)
    np.testing.assert_allclose(
        fitted.energy(all_states(2)), -model.log_weight(all_states(2)), atol=1e-12
    )
    weights = np.array([1.0, 1.0, 0.0, 0.0] * 4)
    half = fit_surrogate(MODEL, all_states(4), weights=weights)
    only = fit_surrogate(MODEL, all_states(4)[weights > 0])
    np.testing.assert_allclose(half.fields, only.fields, atol=1e-10)


def test_bad_input_is_refused() -> None:
    good = {"time": 1.0, "gamma": 0.5, "trotter_steps": 1}
    for wrong in (
        {"time": -1.0},
        {"time": np.inf},
        {"gamma": 1.5},
        {"trotter_steps": 0},
        {"trotter_steps": 1.5},
    ):
        with pytest.raises(
            ValueError, match=next(iter(wrong)) if "trotter_steps" not in wrong else "step"
        ):
            proposal_circuit([0, 0, 0, 0], SURROGATE, **{**good, **wrong})
    with pytest.raises(ValueError, match="one state"):
        proposal_circuit(all_states(4), SURROGATE, **good)
    with pytest.raises(MemoryError, match="at most 10"):
        proposal_matrix(IsingSurrogate(np.ones(11), np.zeros((11, 11))), **good)
    with pytest.raises(ValueError, match="symmetric"):
        IsingSurrogate(np.zeros(2), np.array([[0.0, 1.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="diagonal"):
        IsingSurrogate(np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match="finite"):
        IsingSurrogate(np.array([np.nan, 0.0]), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"\(n, n\)"):
        IsingSurrogate(np.zeros(2), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="K >= 1"):
        fit_surrogate(MODEL, np.zeros((0, 4)))
    with pytest.raises(ValueError, match="weights"):
        fit_surrogate(MODEL, all_states(4), weights=-np.ones(16))
    with pytest.raises(ValueError, match="ridge"):
        fit_surrogate(MODEL, all_states(4), ridge=-1.0)


def test_a_flat_model_only_mixes() -> None:
    flat = IsingSurrogate(np.zeros(2), np.zeros((2, 2)))
    q = proposal_matrix(flat, time=np.pi / 2, gamma=1.0, trotter_steps=1)
    np.testing.assert_allclose(q, np.eye(4)[::-1], atol=1e-14)
