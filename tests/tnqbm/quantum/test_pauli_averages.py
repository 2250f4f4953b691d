"""Expectations of Pauli strings of any Hamiltonian from shots, against exact ones.

Statistical tests use fixed seeds, all strings at once and five standard errors: with at most 64
strings false alarm rates are below 4e-5 each.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

pytest.importorskip("qiskit")

from tnqbm import PauliHamiltonian, SqRBM
from tnqbm.hamiltonian import qrbm, sqbm, tfim
from tnqbm.quantum import PauliAverages, QiskitGibbs
from tnqbm.quantum.conventions import commuting_groups

FAMILIES = {
    "sqbm": sqbm(2, 2, paulis="XZ", scale=0.4, seed=2),
    "qrbm": qrbm(2, 1, scale=0.4, seed=1),
    "tfim": tfim(2, 2, visible_edges="all", scale=0.4, seed=3),
    "sqrbm": PauliHamiltonian.from_sqrbm(SqRBM.uniform(2, 1, "XYZ", scale=0.5, seed=4)),
    "visible only": PauliHamiltonian({"XY": 0.4, "ZZ": -0.5, "YI": 0.3, "IX": 0.2}, 2),
    "one qubit": PauliHamiltonian({"X": 0.6, "Z": -0.4}, 1),
}


def deviations(h: PauliHamiltonian, found: PauliAverages) -> np.ndarray:
    """In standard errors, of the strings that were measured."""
    strings = [pauli for pauli, (_, error) in found.values.items() if error]
    value, error = np.array([found.values[pauli] for pauli in strings]).T
    return np.asarray((value - h.expectations(strings)) / error)


@pytest.mark.parametrize("h", FAMILIES.values(), ids=FAMILIES)
def test_averages_are_right_and_errors_honest(h: PauliHamiltonian) -> None:
    strings = ["".join(letters) for letters in product("IXYZ", repeat=h.n_qubits)]
    strings = list(dict.fromkeys([*h.terms, *strings[:: max(1, len(strings) // 40)]]))
    # Six steps: the error of the product formula is a tenth of a standard error.
    found = QiskitGibbs(shots=20_000, trotter_steps=6, seed=1).measure_paulis(h, strings)
    assert list(found.values) == strings
    away = deviations(h, found)
    assert np.abs(away).max() < 5.0
    assert np.sqrt((away**2).mean()) < 2.0
    for pauli, (value, error) in found.values.items():
        if not error:  # known without measuring
            assert value == pytest.approx(h.expectation(pauli), abs=1e-12)
    assert found.shots == 20_000 * len(found.bases)
    assert 0 < found.success_rate <= 1


def test_the_wrong_hamiltonian_is_noticed() -> None:
    """A negative control of the test above."""
    h = FAMILIES["qrbm"]
    found = QiskitGibbs(shots=20_000, trotter_steps=6, seed=1).measure_paulis(h)
    other = h.with_coefficients(0.5 * h.to_vector())
    assert np.abs(deviations(other, found)).max() > 8.0


def test_terms_are_the_default_and_a_dictionary_comes_back() -> None:
    h = FAMILIES["tfim"]
    gibbs, key = QiskitGibbs(shots=500, seed=1), np.random.SeedSequence(3)
    found = gibbs.expectations(h, seed=key)
    assert list(found) == list(h.terms)
    assert found == dict(gibbs.measure_paulis(h, seed=key).values)
    assert found != gibbs.expectations(h)  # other random numbers
    assert all(0 < error <= 1 for _, error in found.values())


def test_few_circuits_measure_many_strings() -> None:
    found = QiskitGibbs(shots=100, trotter_steps=1).measure_paulis(FAMILIES["tfim"])
    assert sorted(found.bases) == ["XXXX", "ZZZZ"]  # 14 terms
    assert sorted(
        QiskitGibbs(shots=100, trotter_steps=1).measure_paulis(FAMILIES["qrbm"]).bases
    ) == [a + a + b for a in "XYZ" for b in "XYZ"]


def test_groups_commute_qubit_by_qubit_and_cover_all() -> None:
    strings = ["".join(letters) for letters in product("IXYZ", repeat=3)][1:]
    groups = commuting_groups(strings)
    assert sorted(pauli for group in groups for pauli in group) == sorted(strings)
    assert len(groups) == 27
    for group in groups:
        assert all(len(set(column) - {"I"}) <= 1 for column in zip(*group, strict=True))
    assert commuting_groups([]) == []
    # These two commute, but not qubit by qubit.
    assert len(commuting_groups(["XX", "ZZ"])) == 2


def test_shots_of_every_circuit_that_measures_a_string_count() -> None:
    """ZI is measured by ZX and by ZY: its error is that of all of them."""
    h = PauliHamiltonian({"ZX": 0.1, "ZY": 0.1, "ZI": 0.2}, 1)
    found = QiskitGibbs(shots=4000, trotter_steps=1, seed=1).measure_paulis(h)
    assert len(found.bases) == 2
    assert found.values["ZI"][1] < 0.8 * min(found.values["ZX"][1], found.values["ZY"][1])


def test_what_is_known_is_not_measured() -> None:
    h = FAMILIES["sqrbm"]
    gibbs = QiskitGibbs(shots=100, trotter_steps=1)
    found = gibbs.measure_paulis(h, ["III", "XII", "IYZ"])
    assert dict(found.values) == {"III": (1.0, 0.0), "XII": (0.0, 0.0), "IYZ": (0.0, 0.0)}
    assert (found.bases, found.shots) == ((), 0)
    assert gibbs.measure_paulis(PauliHamiltonian({}, 1, n_qubits=2)).values == {}


def test_aer_and_qiskits_own_sampler_measure_the_same() -> None:
    pytest.importorskip("qiskit_aer")
    from qiskit.primitives import StatevectorSampler

    h = PauliHamiltonian({"XI": 0.3, "ZX": 0.4, "IY": -0.3}, 1)
    sampler = StatevectorSampler(seed=np.random.default_rng(3))
    for gibbs in (
        QiskitGibbs(backend="aer", shots=2000, trotter_steps=2, seed=1),
        QiskitGibbs(sampler, shots=2000, trotter_steps=1),
    ):
        found = gibbs.measure_paulis(h)
        assert np.abs(deviations(h, found)).max() < 5.0
        assert found.jobs == 1


def test_bad_input_is_refused() -> None:
    h = FAMILIES["qrbm"]
    with pytest.raises(ValueError, match="expected 3 letters"):
        QiskitGibbs().measure_paulis(h, ["ZZ"])
    with pytest.raises(ValueError, match="use I, X, Y, Z"):
        QiskitGibbs().measure_paulis(h, ["ZQZ"])
    with pytest.raises(ValueError, match="need 'imaginary-time'"):
        QiskitGibbs(strategy="enhanced").measure_paulis(h)
    with pytest.raises(TypeError, match="measure_moments, or PauliHamiltonian"):
        QiskitGibbs().measure_paulis(SqRBM.uniform(2, 1, "XZ", seed=1))  # type: ignore[arg-type]
