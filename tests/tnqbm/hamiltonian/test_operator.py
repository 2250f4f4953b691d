"""PauliHamiltonian against dense matrix exponentials."""

import pickle
from functools import cache

import numpy as np
import pytest
import scipy.linalg

from tnqbm import PauliHamiltonian, SqRBM, exact
from tnqbm.core.paulis import pauli_string
from tnqbm.datasets import Target
from tnqbm.hamiltonian import forecast as hamiltonian_forecast
from tnqbm.hamiltonian import gibbs as hamiltonian_gibbs
from tnqbm.hamiltonian import qrbm, sqbm, tfim


def random_terms(n_qubits, count, seed, letters="IXYZ"):
    rng = np.random.default_rng(seed)
    return {"".join(rng.choice(list(letters), n_qubits)): float(rng.normal()) for _ in range(count)}


def random_target(n, seed=1):
    return Target.from_dense(np.random.default_rng(seed).dirichlet(np.ones(2**n)))


@cache
def string_matrix(string):
    return pauli_string(string)


def kronecker(h):
    matrix = np.zeros((2**h.n_qubits, 2**h.n_qubits), dtype=complex)
    for string, coefficient in h.terms.items():
        matrix += coefficient * string_matrix(string)
    return matrix


def dense(h):
    """log Z and the Gibbs state by expm of Kronecker products."""
    matrix = kronecker(h)
    lowest = np.linalg.eigvalsh(matrix)[0]
    rho = scipy.linalg.expm(lowest * np.eye(len(matrix)) - matrix)
    return np.log(np.trace(rho).real) - lowest, rho / np.trace(rho).real


FAMILIES = {
    "sqbm": sqbm(3, 3, scale=0.7, seed=0),
    "sqbm XZ": sqbm(4, 2, paulis="XZ", hidden_pairs="equal", visible_edges=[(0, 3)], seed=1),
    "sqbm real": sqbm(3, 3, paulis="ZX", scale=1.0, seed=2),
    "sqbm no hidden": sqbm(4, 0, seed=3),
    "rbm": PauliHamiltonian.from_sqrbm(SqRBM.uniform(4, 3, "Z", seed=4)),
    "sqrbm": PauliHamiltonian.from_sqrbm(SqRBM.uniform(3, 3, "XYZ", seed=5)),
    "qrbm": qrbm(3, 3, scale=0.5, seed=6),
    "qrbm YY": qrbm(2, 3, visible_paulis="YZ", interactions=["YY", "ZX"], seed=7),
    "tfim": tfim(3, 3, visible_edges="all", hidden_edges="all", seed=8),
    "tfim hidden": tfim(3, 3, visible_paulis="Z", hidden_edges="all", seed=9),
    "generic": PauliHamiltonian(random_terms(5, 20, 10), 2),
    "generic visible": PauliHamiltonian(random_terms(4, 20, 11), 4),
    "blocks, odd Y": PauliHamiltonian({"ZY": 0.7, "IX": 0.2, "ZI": -0.4, "IY": 0.1}, 1),
}
NINE = {
    "sqbm": sqbm(5, 4, scale=0.3, seed=0),
    "tfim": tfim(5, 4, scale=0.8, seed=1),
}


@pytest.mark.parametrize("h", FAMILIES.values(), ids=FAMILIES)
def test_the_gibbs_state_is_the_dense_one(h):
    log_z, rho = dense(h)
    assert np.allclose(h.matrix(), kronecker(h), atol=1e-13)
    assert h.log_partition() == pytest.approx(log_z, abs=1e-11)
    assert np.allclose(h.gibbs_state(), rho, atol=1e-11)
    p = np.diag(rho).real.reshape(2**h.n_visible, -1).sum(axis=1)
    assert np.allclose(h.probabilities(), p, atol=1e-11)
    assert np.allclose(np.exp(h.log_weights() - log_z), p, atol=1e-11)
    strings = [*h.terms, *random_terms(h.n_qubits, 20, 0), "I" * h.n_qubits]
    want = [np.trace(pauli_string(s) @ rho).real for s in strings]
    assert np.allclose(h.expectations(strings), want, atol=1e-11)
    assert h.expectation(strings[-2]) == pytest.approx(want[-2], abs=1e-11)


@pytest.mark.parametrize("h", NINE.values(), ids=NINE)
def test_nine_qubits(h):
    log_z, rho = dense(h)
    assert h.log_partition() == pytest.approx(log_z, abs=1e-11)
    p = np.diag(rho).real.reshape(2**h.n_visible, -1).sum(axis=1)
    assert np.allclose(h.probabilities(), p, atol=1e-11)
    strings = [*h.terms][::7]
    want = [np.sum(pauli_string(s).T * rho).real for s in strings]
    assert np.allclose(h.expectations(strings), want, atol=1e-11)
    # The gradient along one direction, by differences of fourth order.
    direction = np.random.default_rng(2).normal(size=len(h.terms)) / np.sqrt(len(h.terms))
    target = random_target(h.n_visible)
    matrix, change = kronecker(h), kronecker(h.with_coefficients(direction))
    values = []
    for k in (-2, -1, 1, 2):
        energies, basis = np.linalg.eigh(matrix + 1e-3 * k * change)
        p = (np.abs(basis) ** 2 @ np.exp(energies[0] - energies)).reshape(32, 16).sum(axis=1)
        values.append(-target.dense() @ np.log(p / p.sum()))
    slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-3
    assert direction @ [*h.gradient(target).values()] == pytest.approx(slope, abs=1e-8)


def nll(terms, h, q):
    """By expm: independent of everything tested here. Weights are those of the shifted H."""
    _, rho = dense(PauliHamiltonian(terms, h.n_visible, n_qubits=h.n_qubits))
    return -q @ np.log(np.diag(rho).real.reshape(q.size, -1).sum(axis=1))


def check_gradient(h, strings):
    target = random_target(h.n_visible)
    q = target.dense()
    gradient = h.gradient(target)
    assert list(gradient) == list(h.terms)
    for term in strings:
        # Fourth order: errors of h^4 and eps/h cross near 1e-3, so two steps around it agree.
        for step in (2e-3, 5e-4):
            values = [
                nll(dict(h.terms) | {term: h.terms[term] + k * step}, h, q) for k in (-2, -1, 1, 2)
            ]
            slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
            assert gradient[term] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_gradient_is_that_of_central_differences(name):
    h = FAMILIES[name]
    check_gradient(h, [*h.terms][:: max(1, len(h.terms) // 6)])


@pytest.mark.parametrize("name", ["sqbm", "sqbm real", "rbm", "sqrbm", "tfim hidden"])
def test_blocks_and_the_whole_matrix_agree(name):
    """Proposition 4 holds for semi-quantum Hamiltonians too."""
    h = FAMILIES[name]
    whole = hamiltonian_gibbs.DenseGibbs(h._table, h.to_vector(), h.n_visible)
    target = random_target(h.n_visible)
    assert np.allclose(whole.gradient(target.dense()), [*h.gradient(target).values()], atol=1e-11)
    assert whole.log_partition == pytest.approx(h.log_partition(), abs=1e-12)
    assert np.allclose(whole.log_weights, h.log_weights(), atol=1e-10)
    assert whole.entropy() == pytest.approx(h.entropy(), abs=1e-12)


def test_proposition_3_fails_for_visible_terms_that_do_not_commute():
    """Negative control: clamped expectations are wrong by order one where H flips visible units."""
    h = FAMILIES["qrbm"]
    target = random_target(h.n_visible)
    q = np.repeat(target.dense(), 2**h.n_hidden)
    _, rho = dense(h)
    p = np.repeat(h.probabilities(), 2**h.n_hidden)
    right = h.gradient(target)
    v = np.arange(2**h.n_qubits) >> h.n_hidden
    clamped = np.where(v[:, None] == v, rho * (q / p)[:, None], 0.0)
    naive = {t: np.sum(pauli_string(t).T * (clamped - rho)).real for t in h.terms}
    assert max(abs(naive[t] - right[t]) for t in h.terms) > 0.3
    # The same lines are right for the blocks of a semi-quantum Hamiltonian.
    h = FAMILIES["sqbm"]
    _, rho = dense(h)
    p = np.repeat(h.probabilities(), 2**h.n_hidden)
    right = h.gradient(target)
    clamped = np.where(v[:, None] == v, rho * (q / p)[:, None], 0.0)
    naive = {t: np.sum(pauli_string(t).T * (clamped - rho)).real for t in h.terms}
    assert max(abs(naive[t] - right[t]) for t in h.terms) < 1e-11


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_an_sqrbm_and_its_hamiltonian_are_one(paulis):
    model = SqRBM.uniform(3, 3, paulis, seed=8)
    h = PauliHamiltonian.from_sqrbm(model)
    target = random_target(3, 2)
    assert np.array_equal(h.to_vector(), model.to_vector())
    assert h.log_partition() == pytest.approx(exact.log_partition(model), rel=1e-12)
    assert np.allclose(h.probabilities(), exact.probabilities(model), atol=1e-12)
    ours = np.concatenate([g.ravel() for g in exact.gradient(model, target)])
    assert np.allclose([*h.gradient(target).values()], ours, atol=1e-12)


@pytest.mark.parametrize("letters", ["IZ", "IXZ", "IXYZ"])
def test_the_zero_hamiltonian(letters):
    """Everything degenerate: all states alike, expectations 0, gradients those of the data."""
    zero = PauliHamiltonian(dict.fromkeys(random_terms(4, 12, 0, letters), 0.0), 2, n_qubits=4)
    assert zero.log_partition() == pytest.approx(4 * np.log(2))
    assert np.allclose(zero.probabilities(), 0.25)
    flat = PauliHamiltonian({"ZII": 0.0, "IXI": 0.0, "ZIX": 0.0}, 2)
    gradient = flat.gradient(Target.uniform(np.array([[0, 1], [0, 0]])))
    assert [*gradient.values()] == pytest.approx([1.0, 0.0, 0.0], abs=1e-14)
    assert PauliHamiltonian({}, 2, n_qubits=3).log_partition() == pytest.approx(3 * np.log(2))
    assert PauliHamiltonian({}, 2, n_qubits=3).gradient(random_target(2)) == {}


@pytest.mark.parametrize("terms", [{"XXI": 1.0, "ZZI": 1.0, "IIX": 0.5}, {"ZXX": 1.0, "ZZZ": 1.0}])
def test_degenerate_levels(terms):
    check_gradient(PauliHamiltonian(terms, 2), terms)


def test_large_energies_do_not_overflow():
    target = random_target(1)
    h = PauliHamiltonian({"ZI": 800.0, "ZX": 500.0}, 1)
    assert h.log_partition() == pytest.approx(1300.0, rel=1e-12)
    # log p(v = 0) is -1600: far below the smallest double.
    assert h.log_weights() == pytest.approx([-300.0, 1300.0])
    q = target.dense()
    assert h.gradient(target)["ZI"] == pytest.approx(q[0] - q[1] + 1.0)
    h = PauliHamiltonian({"XI": 800.0, "ZX": 500.0, "IZ": 1e5}, 1)
    assert h.log_partition() == pytest.approx(1e5 + 800.0, rel=2e-5)
    assert np.isfinite([*h.gradient(target).values()]).all()
    with pytest.raises(FloatingPointError, match="too small"):
        PauliHamiltonian({"ZI": 800.0, "XX": 1e-14}, 1).gradient(target)


def test_chunks_are_added_up(monkeypatch):
    """The same sums over visible states, a few at a time and nothing kept."""
    target = random_target(4)
    terms = sqbm(4, 2, seed=3).terms
    whole = PauliHamiltonian(terms, 4)
    whole.log_partition()
    monkeypatch.setattr(hamiltonian_forecast, "CHUNK_BYTES", 4 * 4**2 * 16)
    monkeypatch.setattr(hamiltonian_gibbs, "KEPT_BYTES", 0)
    pieces = PauliHamiltonian(terms, 4)
    assert np.allclose(pieces.log_weights(), whole.log_weights(), atol=1e-13)
    one, other = (np.array([*h.gradient(target).values()]) for h in (pieces, whole))
    assert np.allclose(one, other, atol=1e-13)
    assert pieces._gibbs._chunk == 4
    assert whole._gibbs._chunk == 16
    assert np.allclose(pieces.reduced([5, 1, 2]), whole.reduced([5, 1, 2]), atol=1e-13)
    assert pieces.entropy() == pytest.approx(whole.entropy(), abs=1e-13)
    rbm = PauliHamiltonian(PauliHamiltonian.from_sqrbm(SqRBM.uniform(4, 2, "Z", seed=1)).terms, 4)
    monkeypatch.undo()
    same = PauliHamiltonian(rbm.terms, 4)
    assert np.allclose(rbm.log_weights(), same.log_weights(), atol=1e-13)


def test_vectors_equality_and_pickles():
    h = FAMILIES["sqbm"]
    assert h.with_coefficients(h.to_vector()) == h
    other = h.with_coefficients(2 * h.to_vector())
    assert other != h
    assert list(other.terms) == list(h.terms)
    assert other.log_partition() == pytest.approx(dense(other)[0])
    h.log_partition()
    copy = pickle.loads(pickle.dumps(h))
    assert copy == h
    assert copy.n_visible == h.n_visible
    assert "semi-quantum" in repr(h)
    assert h != 3
    with pytest.raises(ValueError, match="one coefficient for each"):
        h.with_coefficients([1.0])
    with pytest.raises(TypeError):
        h.terms["ZZZZZZ"] = 1.0
    h.probabilities()[:] = 0.0
    assert h.probabilities().sum() == pytest.approx(1.0)


def test_size_refuses_evaluation_only():
    h = PauliHamiltonian.from_sqrbm(SqRBM.uniform(40, 40, "XYZ", seed=0))
    assert h.is_semi_quantum
    assert h.forecast().method == "blocks"
    assert not h.forecast().fits
    with pytest.raises(ValueError, match=r"would take about .* years"):
        h.log_partition()
    with pytest.raises(ValueError, match=r"tnqbm\.exact"):
        PauliHamiltonian({"X" * 2000: 1.0}, 1000).probabilities()
    with pytest.raises((MemoryError, ValueError), match="GB"):
        h.matrix()
    small = FAMILIES["qrbm"].forecast()
    assert small.method == "dense"
    assert small.fits
    assert FAMILIES["rbm"].forecast().method == "diagonal"


def test_memory_is_checked_before_any_work(monkeypatch):
    monkeypatch.setattr(hamiltonian_forecast, "available_bytes", lambda: 1000)
    h = sqbm(3, 3, seed=0)
    assert not h.forecast().fits
    for call in (h.log_partition, h.matrix, lambda: h.reduced([0, 1])):
        with pytest.raises(MemoryError, match="are free"):
            call()


@pytest.mark.parametrize(
    ("terms", "n_visible", "error", "message"),
    [
        ({"ZI": 1.0, "ZZZ": 1.0}, 1, ValueError, "one length"),
        ({"ZQ": 1.0}, 1, ValueError, "contains"),
        ({"ZZ": float("nan")}, 1, ValueError, "coefficient"),
        ({"ZZ": 1e200}, 1, ValueError, "at most"),
        ({"ZZ": 1j}, 1, TypeError, "real number"),
        ({3: 1.0}, 1, TypeError, "Pauli string"),
        ({"ZZ": 1.0}, 3, ValueError, "n_visible"),
        ({}, 1, ValueError, "n_qubits"),
    ],
)
def test_bad_terms(terms, n_visible, error, message):
    with pytest.raises(error, match=message):
        PauliHamiltonian(terms, n_visible)


def test_bad_questions():
    h = FAMILIES["sqbm"]
    with pytest.raises(ValueError, match="6 letters"):
        h.expectation("ZZ")
    with pytest.raises(ValueError, match="contains"):
        h.expectations(["IIIIIA"])
    with pytest.raises(ValueError, match="visible units"):
        h.gradient(random_target(2))
    with pytest.raises(ValueError, match="different numbers"):
        h.reduced([0, 0])
    with pytest.raises(ValueError, match="from 0 to 5"):
        h.negativity([6])
    with pytest.raises(ValueError, match="both sides"):
        h.mutual_information([0, 1], [1, 2])
