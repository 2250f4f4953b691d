"""Gibbs circuits: without shot noise against product formulas and dense exponentials, then shots.

Statistical tests use fixed seeds and five standard errors: false alarm rates below 1e-4 each.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("qiskit")

from qiskit.primitives import StatevectorSampler

from tnqbm import PauliHamiltonian, SqRBM
from tnqbm.core.paulis import PAULI_MATRICES
from tnqbm.core.states import index_of
from tnqbm.quantum import gibbs_circuit, postselect, trotterise

MODEL = SqRBM.uniform(2, 1, "XYZ", scale=0.7, seed=5)
GENERAL = PauliHamiltonian(
    {"XII": 0.3, "ZII": 0.2, "IYI": -0.4, "ZZI": 0.3, "XIY": 0.5, "YIZ": 0.2, "IXY": 0.3}, 2
)
LATERAL = PauliHamiltonian(
    {"ZZII": 0.4, "ZIXI": 0.3, "IZYY": -0.5, "IIXZ": 0.6, "IIZI": 0.2, "ZIII": -0.7}, 2
)
TURNS = {
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
    "Z": np.eye(2),
}


def outcomes(rho: np.ndarray, letters: str, n: int) -> np.ndarray:
    """Distribution of measuring these Pauli matrices, (2**n, 2**m)."""
    turn = np.eye(1)
    for letter in letters:
        turn = np.kron(turn, TURNS[letter])
    return np.diag(turn @ rho @ turn.conj().T).real.reshape(2**n, -1)


def test_turns_of_this_test_are_right() -> None:
    for letter, turn in TURNS.items():
        z = turn @ PAULI_MATRICES[letter] @ turn.conj().T
        np.testing.assert_allclose(z, PAULI_MATRICES["Z"], atol=1e-15)


@pytest.mark.parametrize("hidden_start", ["bell", "basis"])
@pytest.mark.parametrize("measure", ["X", "Y", "Z"])
def test_circuits_carry_out_the_product_formula(hidden_start: str, measure: str) -> None:
    made = gibbs_circuit(
        PauliHamiltonian.from_sqrbm(MODEL),
        trotter_steps=2,
        hidden_start=hidden_start,
        measure=measure,
    )
    found = postselect(made)
    t = trotterise(PauliHamiltonian.from_sqrbm(MODEL), 2)
    expected = outcomes(t.state(), "ZZ" + measure, 2)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-12)
    assert found.success_probability == pytest.approx(t.success_probability(), rel=1e-10)
    assert made.success_probability == pytest.approx(found.success_probability, rel=1e-10)


@pytest.mark.parametrize("hidden_start", ["bell", "basis"])
@pytest.mark.parametrize("ancillas", ["reset", "fresh"])
@pytest.mark.parametrize(
    ("h", "measure"), [(GENERAL, "Y"), (GENERAL, "XYZ"), (LATERAL, "XY"), (LATERAL, "ZY")]
)
def test_any_hamiltonian(
    h: PauliHamiltonian, measure: str, ancillas: str, hidden_start: str
) -> None:
    made = gibbs_circuit(
        h,
        trotter_steps=1,
        order=1,
        hidden_start=hidden_start,
        measure=measure,
        ancillas=ancillas,
        merge=ancillas == "reset",
    )
    expected = outcomes(made.trotterised.state(), made.measure, 2)
    np.testing.assert_allclose(postselect(made).probabilities, expected, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_moments_approach_those_of_the_model(order: int) -> None:
    h = PauliHamiltonian.from_sqrbm(MODEL)
    exact = outcomes(h.gibbs_state(), "ZZX", 2)
    errors = []
    for steps in (2, 4, 8):
        made = gibbs_circuit(h, trotter_steps=steps, order=order, measure="X")
        errors.append(np.abs(postselect(made).probabilities - exact).sum())
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(rates, order, atol=0.3)


def test_without_post_selection_the_state_is_another() -> None:
    h = PauliHamiltonian.from_sqrbm(SqRBM.uniform(2, 1, "XYZ", seed=5))
    made = gibbs_circuit(h, trotter_steps=4)
    maximally_mixed = gibbs_circuit(
        PauliHamiltonian(dict.fromkeys(h.terms, 0.0), 2), trotter_steps=4
    )
    exact = outcomes(h.gibbs_state(), "ZZZ", 2)
    kept = np.abs(postselect(made).probabilities - exact).sum()
    assert kept < 0.02 < 0.2 < np.abs(postselect(maximally_mixed).probabilities - exact).sum()


def chi_squared(counts: np.ndarray, probabilities: np.ndarray) -> float:
    expected = counts.sum() * probabilities
    return float(((counts - expected) ** 2 / expected).sum())


def test_shots_of_the_statevector_sampler() -> None:
    model = SqRBM.uniform(2, 1, "XZ", scale=0.5, seed=2)
    made = gibbs_circuit(
        PauliHamiltonian.from_sqrbm(model), trotter_steps=1, measure="X", ancillas="fresh"
    )
    shots = 20000
    result = StatevectorSampler(seed=11).run([made.circuit], shots=shots).result()
    visible, hidden = made.accepted(result[0].data)
    p = made.success_probability
    assert abs(len(visible) / shots - p) < 5 * np.sqrt(p * (1 - p) / shots)
    exact = outcomes(made.trotterised.state(), "ZZX", 2).ravel()
    states = index_of(np.concatenate([visible, hidden], axis=1))
    counts = np.bincount(states, minlength=8)
    # 7 degrees of freedom: chi-squared beyond 29.9 has probability 1e-4.
    assert chi_squared(counts, exact) < 29.9
    discarded = np.roll(exact.reshape(2, 2, 2), 1, axis=1).ravel()
    assert chi_squared(counts, discarded) > 29.9


def test_shots_from_random_basis_states() -> None:
    model = SqRBM.uniform(2, 1, "XZ", scale=0.5, seed=2)
    made = gibbs_circuit(
        PauliHamiltonian.from_sqrbm(model),
        trotter_steps=1,
        hidden_start="basis",
        measure="Z",
        ancillas="fresh",
    )
    angles = made.start_angles(20000, seed=3)
    assert angles.shape == (20000, 1)
    np.testing.assert_array_equal(angles, made.start_angles(20000, seed=3))
    rows, shots = np.unique(angles, axis=0, return_counts=True)
    assert len(rows) == 2
    jobs = [(made.circuit, row, int(count)) for row, count in zip(rows, shots, strict=True)]
    results = StatevectorSampler(seed=np.random.default_rng(12)).run(jobs).result()
    kept = [np.concatenate(made.accepted(result.data), axis=1) for result in results]
    counts = np.bincount(index_of(np.concatenate(kept)), minlength=8)
    exact = outcomes(made.trotterised.state(), "ZZZ", 2).ravel()
    assert chi_squared(counts, exact) < 29.9
    few = made.start_angles(20, seed=4)
    result = StatevectorSampler(seed=np.random.default_rng(12)).run([(made.circuit, few)], shots=1)
    visible, hidden = made.accepted(result.result()[0].data)
    assert len(visible) == len(hidden) <= 20


def test_shots_of_aer_with_one_ancilla_that_is_reset() -> None:
    aer = pytest.importorskip("qiskit_aer")
    from qiskit.transpiler import generate_preset_pass_manager
    from qiskit_aer.primitives import SamplerV2

    model = SqRBM.uniform(2, 1, "XZ", scale=0.5, seed=2)
    made = gibbs_circuit(PauliHamiltonian.from_sqrbm(model), trotter_steps=2, measure="X")
    assert made.circuit.num_qubits == 2 + 2 + 1
    manager = generate_preset_pass_manager(1, backend=aer.AerSimulator(), seed_transpiler=1)
    result = SamplerV2(seed=13).run([manager.run(made.circuit)], shots=4000).result()
    visible, hidden = made.accepted(result[0].data)
    p = made.success_probability
    assert abs(len(visible) / 4000 - p) < 5 * np.sqrt(p * (1 - p) / 4000)
    counts = np.bincount(index_of(np.concatenate([visible, hidden], axis=1)), minlength=8)
    exact = outcomes(made.trotterised.state(), "ZZX", 2).ravel()
    assert chi_squared(counts, exact) < 29.9


def test_no_hidden_qubits_and_nothing_to_post_select() -> None:
    made = gibbs_circuit(PauliHamiltonian({"ZI": 0.5, "IZ": -0.3}, 2), trotter_steps=1)
    assert made.n_factors == 0
    assert made.success_probability == pytest.approx(1.0)
    found = postselect(made)
    exact = PauliHamiltonian({"ZI": 0.5, "IZ": -0.3}, 2).probabilities()
    np.testing.assert_allclose(found.probabilities[:, 0], exact, atol=1e-14)
    result = StatevectorSampler(seed=1).run([made.circuit], shots=10).result()
    visible, hidden = made.accepted(result[0].data)
    assert visible.shape == (10, 2)
    assert hidden.shape == (10, 0)


@pytest.mark.parametrize("hidden_start", ["bell", "basis"])
def test_large_fields_neither_overflow_nor_lose_shots(hidden_start: str) -> None:
    h = PauliHamiltonian({"ZI": 400.0, "IX": -500.0}, 1)
    found = postselect(gibbs_circuit(h, trotter_steps=1, hidden_start=hidden_start, measure="X"))
    np.testing.assert_allclose(found.probabilities, [[0, 0], [1, 0]], atol=1e-12)
    assert found.success_probability == pytest.approx(1.0)


def test_success_of_large_models_comes_from_log_z_or_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    h = PauliHamiltonian.from_sqrbm(MODEL)
    exact = gibbs_circuit(h, trotter_steps=16).success_probability
    assert np.isfinite(exact)
    monkeypatch.setattr("tnqbm.quantum.gibbs.MAX_AMPLITUDES", 1)
    assert gibbs_circuit(h, trotter_steps=16).success_probability == pytest.approx(exact, rel=0.01)

    def refuse(self: PauliHamiltonian) -> float:
        raise MemoryError

    monkeypatch.setattr(PauliHamiltonian, "log_partition", refuse)
    assert np.isnan(gibbs_circuit(h, trotter_steps=1).success_probability)


def test_bad_input_is_refused() -> None:
    h = PauliHamiltonian.from_sqrbm(MODEL)
    with pytest.raises(ValueError, match="hidden_start"):
        gibbs_circuit(h, trotter_steps=1, hidden_start="ghz")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ancillas"):
        gibbs_circuit(h, trotter_steps=1, ancillas="many")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="visible qubit 1"):
        gibbs_circuit(h, trotter_steps=1, measure="ZXY")
    with pytest.raises(ValueError, match="2 letters"):
        gibbs_circuit(h, trotter_steps=1, measure="ZX")
    with pytest.raises(ValueError, match="no drawn basis state"):
        gibbs_circuit(h, trotter_steps=1).start_angles(5, seed=1)
    with pytest.raises(ValueError, match="at least one shot"):
        gibbs_circuit(h, trotter_steps=1, hidden_start="basis").start_angles(0, seed=1)
    # ZII wants Z = -1 and then XX YY ZZ = -1 forbids what the others want.
    lost = PauliHamiltonian({"ZXX": 400.0, "ZYY": 400.0, "ZZZ": 400.0, "ZII": 400.0}, 1)
    with pytest.raises(ValueError, match="no shot"):
        postselect(gibbs_circuit(lost, trotter_steps=1))
    with pytest.raises(MemoryError, match="more than the 20"):
        postselect(gibbs_circuit(h, trotter_steps=16, ancillas="fresh"))
