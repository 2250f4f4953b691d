import numpy as np
import pytest
import scipy.linalg

from tnqbm import PauliHamiltonian, SqRBM, exact
from tnqbm.datasets import Target
from tnqbm.paulis import pauli_string


def random_terms(n_qubits, count, seed):
    rng = np.random.default_rng(seed)
    return {"".join(rng.choice(list("IXYZ"), n_qubits)): float(rng.normal()) for _ in range(count)}


def test_gibbs_state_of_a_generic_hamiltonian():
    h = PauliHamiltonian(random_terms(4, 12, 0), n_visible=2)
    rho = scipy.linalg.expm(-h.matrix())
    assert h.log_partition() == pytest.approx(np.log(np.trace(rho).real), rel=1e-12)
    np.testing.assert_allclose(h.gibbs_state(), rho / np.trace(rho), atol=1e-13)
    assert h.probabilities().sum() == pytest.approx(1.0)
    assert h.expectation("ZIXY") == pytest.approx(
        np.trace(pauli_string("ZIXY") @ rho).real / np.trace(rho).real, abs=1e-12
    )


@pytest.mark.parametrize("n_visible", [1, 2, 4])
def test_gradient_of_a_generic_hamiltonian(n_visible):
    """Visible terms that do not commute included: central differences as the reference."""
    terms = random_terms(4, 10, 3)
    target = Target.from_dense(np.random.default_rng(1).dirichlet(np.ones(2**n_visible)))

    def nll(changed):
        p = PauliHamiltonian(changed, n_visible).probabilities()
        return -target.dense() @ np.log(p)

    gradient = PauliHamiltonian(terms, n_visible).gradient(target)
    for term in terms:
        up, down = (terms | {term: terms[term] + d} for d in (1e-5, -1e-5))
        assert gradient[term] == pytest.approx((nll(up) - nll(down)) / 2e-5, abs=1e-8)


def test_degenerate_and_zero_hamiltonians():
    zero = PauliHamiltonian({}, 2, n_qubits=3)
    assert zero.log_partition() == pytest.approx(3 * np.log(2))
    flat = PauliHamiltonian({"ZII": 0.0, "IXI": 0.0, "ZIX": 0.0}, 2)
    target = Target.uniform(np.array([[0, 1], [0, 0]]))
    assert flat.gradient(target)["ZII"] == pytest.approx(1.0)


def test_large_energies_do_not_overflow():
    h = PauliHamiltonian({"ZI": 800.0, "ZX": 500.0}, 1)
    assert h.log_partition() == pytest.approx(1300.0, rel=1e-12)


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_an_sqrbm_and_its_hamiltonian_are_one(paulis):
    model = SqRBM.uniform(3, 3, paulis, seed=8)
    h = model.hamiltonian()
    target = Target.from_dense(np.random.default_rng(2).dirichlet(np.ones(8)))
    assert h.log_partition() == pytest.approx(exact.log_partition(model), rel=1e-12)
    np.testing.assert_allclose(h.probabilities(), exact.probabilities(model), atol=1e-12)
    ours = np.concatenate([g.ravel() for g in exact.gradient(model, target)])
    dense = h.gradient(target)
    n = 3
    assert ours[:n] == pytest.approx([dense["Z" + "IIIII"], dense["IZIIII"], dense["IIZIII"]])
    assert sorted(ours) == pytest.approx(sorted(dense.values()), abs=1e-10)


@pytest.mark.parametrize(
    ("terms", "n_visible", "message"),
    [
        ({"ZI": 1.0, "ZZZ": 1.0}, 1, "one length"),
        ({"ZQ": 1.0}, 1, "contains"),
        ({"ZZ": float("nan")}, 1, "coefficient"),
        ({"ZZ": 1.0}, 3, "n_visible"),
        ({}, 1, "n_qubits"),
        ({"Z" * 12: 1.0}, 2, "dense evaluation stops"),
    ],
)
def test_bad_input(terms, n_visible, message):
    with pytest.raises(ValueError, match=message):
        PauliHamiltonian(terms, n_visible)
