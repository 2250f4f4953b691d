"""Chains between measured hidden qubits and visible units: circuits against closed forms.

Statistical tests have fixed seeds; what is compared at five standard errors would be wrong for
another seed with a probability below 1e-4 a test.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qiskit")

from mc.kernels import Sweeper, basis_number
from tests.mc_twins import chi_squared, log_outcomes
from tests.twins import all_states
from tnqbm import SqRBM, datasets, train
from tnqbm.core.states import index_of
from tnqbm.exact import moments as exact_moments
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.quantum import (
    PauliChain,
    QiskitGibbs,
    TooFewShotsError,
    clamped_circuit,
    gibbs_circuit,
    open_device,
    postselect,
)

MODEL = SqRBM.uniform(3, 2, "XYZ", scale=0.4, seed=3)
SMALL = SqRBM.uniform(2, 1, "XZ", scale=0.4, seed=5)


def conditional(model: SqRBM, hidden: np.ndarray, letters: str) -> np.ndarray:
    """p(v | h) of all v in closed form."""
    states = all_states(model.n_visible)
    basis = np.tile([model.paulis.index(letter) for letter in letters], (len(states), 1))
    logs = log_outcomes(model, states, basis, np.tile(1 - 2.0 * hidden, (len(states), 1)))
    p = np.exp(logs - logs.max())
    return np.asarray(p / p.sum())


def seed(number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(number)


# --- half steps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("letters", ["XX", "YZ", "ZZ"])
def test_visible_outcomes_follow_the_conditional_distribution(letters: str) -> None:
    for bits in product((0, 1), repeat=2):
        hidden = np.array(bits, dtype=np.uint8)
        wanted = conditional(MODEL, hidden, letters)
        errors = []
        for steps in (4, 8):
            made = clamped_circuit(MODEL, hidden, letters, trotter_steps=steps)
            assert made.circuit.num_qubits == 3 + 2 + 1  # nothing purifies the hidden qubits
            found = postselect(made)
            assert found.success_probability == pytest.approx(made.success_probability)
            errors.append(np.abs(found.probabilities.sum(axis=1) - wanted).max())
        assert errors[1] < 1e-3
        assert errors[1] < 0.35 * errors[0] + 1e-12  # second order


def test_one_pauli_needs_no_trotter_steps() -> None:
    model = SqRBM.uniform(3, 2, "Z", scale=0.8, seed=1)
    hidden = np.array([1, 0], dtype=np.uint8)
    found = postselect(clamped_circuit(model, hidden, "ZZ", trotter_steps=1))
    np.testing.assert_allclose(
        found.probabilities.sum(axis=1), conditional(model, hidden, "ZZ"), atol=1e-12
    )


def test_outcomes_of_hidden_qubits_follow_theirs() -> None:
    """One state, 20,000 chains, qubits in bases of their own: averages of outcomes."""
    chain = PauliChain(open_device("statevector"), shots=16, trotter_steps=1, basis="each")
    states = np.tile(np.array([0, 1, 1], np.uint8), (20_000, 1))
    rng = np.random.default_rng(1)
    letters = np.tile(np.array(["Y", "X"]), (20_000, 1))
    hidden, usage = chain._measure_hidden(MODEL, states, letters, rng)
    phi = MODEL.fields(states[0])
    r = np.linalg.norm(phi, axis=0)
    wanted = -np.tanh(r) / r * phi[[1, 0], [0, 1]]
    z = ((1 - 2.0 * hidden).mean(axis=0) - wanted) / np.sqrt((1 - wanted**2) / 20_000)
    assert np.abs(z).max() < 5
    assert usage.shots == usage.kept_shots == 20_000


@pytest.mark.parametrize("basis", ["random", "each", "Y"])
def test_a_move_has_the_transition_of_the_kernel(basis: str) -> None:
    """From one state, 4000 chains: the circuits against the classical kernel `pauli-exact`."""
    start = np.tile(np.array([1, 0, 1], np.uint8), (4000, 1))
    chain = PauliChain(open_device("statevector"), shots=100_000, trotter_steps=6, basis=basis)
    moved = chain.move(MODEL, start, seed=seed(2))
    assert moved.shots > 8000
    assert moved.kept_shots >= 8000
    assert moved.proposals == 0
    many = np.tile(start[:1], (400_000, 1))[None].copy()
    sweeper = Sweeper(
        MODEL.shape, "pauli-exact", basis=basis_number("pauli-exact", basis, MODEL.paulis)
    )
    sweeper.sweep(MODEL.to_vector()[None], many, np.array([1], np.uint64), 0, 1)
    p = np.bincount(index_of(many[0]), minlength=8) / 400_000
    assert chi_squared(moved.states, p) > 1e-4
    wrong = np.roll(p, 1)
    assert chi_squared(moved.states, wrong) < 1e-6


def test_circuits_run_on_aer_too() -> None:
    pytest.importorskip("qiskit_aer")
    chain = PauliChain(open_device("aer"), shots=4000, trotter_steps=3)
    start = np.tile(np.array([1, 0], np.uint8), (600, 1))
    moved = chain.move(SMALL, start, seed=seed(4))
    again = chain.move(SMALL, start, seed=seed(4))
    np.testing.assert_array_equal(moved.states, again.states)
    ideal = PauliChain(open_device("statevector"), shots=4000, trotter_steps=3)
    other = ideal.move(SMALL, start, seed=seed(4)).states
    one, two = (np.bincount(index_of(x), minlength=4) for x in (moved.states, other))
    assert np.abs((one - two) / np.sqrt(one + two + 1.0)).max() < 5
    assert moved.depth > 0
    assert moved.two_qubit_gates > 0


# --- averages and training -----------------------------------------------------------------------


def test_long_chains_give_exact_averages() -> None:
    gibbs = QiskitGibbs(
        strategy="pauli-pcd", shots=2000, trotter_steps=4, chains=400, moves=6, burn_in=3, seed=1
    )
    found = gibbs.measure_moments(MODEL)
    z = found.moments.to_vector() - exact_moments(MODEL).to_vector()
    z /= found.standard_errors.to_vector()
    assert np.abs(z).max() < 5
    assert found.states is not None
    assert found.states.shape == (400, 3)
    assert np.isnan(found.acceptance_rate)
    assert found.success_rate < 1


def test_chains_of_contrastive_divergence_start_where_they_are_told() -> None:
    """One move from a single state: averages differ from those from the opposite state."""
    model = SqRBM.uniform(3, 1, "Z", scale=0.2, seed=1)
    model = SqRBM(model.a, model.b, model.w * 6.0, "Z")
    gibbs = QiskitGibbs(strategy="pauli-cd", shots=2000, chains=300, moves=1, seed=1)
    ends = [
        gibbs.measure_moments(model, states=np.full((300, 3), bit, np.uint8)).moments.sigma
        for bit in (0, 1)
    ]
    assert np.abs(ends[0] - ends[1]).max() > 0.1


@pytest.mark.parametrize("strategy", ["pauli-cd", "pauli-pcd"])
def test_training_by_measured_chains_descends(strategy: str) -> None:
    target = datasets.load("cardinality", 2)
    start = SqRBM.uniform(2, 1, "XZ", scale=0.1, seed=1)
    settings: dict[str, Any] = {
        "gradient": "quantum", "strategy": strategy, "basis": "each", "shots": 500, "chains": 60,
        "iterations": 12, "learning_rate": 0.1, "seed": 3,
    }  # fmt: skip
    run = train(start, target, **settings)
    assert run.kl[-1] < 0.8 * run.kl[0]
    assert run.estimator["shots"] > 13 * 60 * 2
    assert run.estimator["kept_shots"] < run.estimator["shots"]
    assert "acceptance_rate" not in run.estimator
    assert train(start, target, **settings).model == run.model


# --- refusals ------------------------------------------------------------------------------------


def test_too_few_shots_are_an_error_that_says_what_was_spent() -> None:
    sharp = SqRBM.uniform(3, 2, "XYZ", scale=3.0, seed=1)
    chain = PauliChain(open_device("statevector"), shots=16, trotter_steps=2)
    with pytest.raises(TooFewShotsError, match="survived post-selection") as caught:
        chain.move(sharp, np.zeros((50, 3), np.uint8), seed=seed(1))
    assert caught.value.usage.shots >= 16 * 16


@pytest.mark.parametrize(
    ("strategy", "basis", "message"),
    [
        ("pauli-cd", "W", "'W' is not one of random, each"),
        ("enhanced", "random", "basis is for the strategies 'pauli-cd' and 'pauli-pcd'"),
    ],
)
def test_bases_that_are_refused(strategy: str, basis: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QiskitGibbs(strategy=strategy, basis=basis)


def test_a_basis_that_the_model_lacks_is_refused() -> None:
    gibbs = QiskitGibbs(strategy="pauli-pcd", basis="Y", chains=2, moves=1)
    with pytest.raises(ValueError, match="not among the model's Pauli matrices 'XZ'"):
        gibbs.measure_moments(SMALL)


def test_outcomes_must_be_asked_for() -> None:
    hamiltonian = PauliHamiltonian.from_sqrbm(SMALL)
    with pytest.raises(ValueError, match="1 were given; hidden_start = 'bell' needs none"):
        gibbs_circuit(hamiltonian, trotter_steps=1, outcomes=[("X", 1)])
    with pytest.raises(ValueError, match="0 were given; hidden_start = 'outcomes' needs 1"):
        gibbs_circuit(hamiltonian, trotter_steps=1, hidden_start="outcomes")
