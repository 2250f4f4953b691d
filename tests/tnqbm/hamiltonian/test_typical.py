"""Gibbs states from random vectors: exact from complete sets of them, honest errors otherwise."""

import numpy as np
import pytest

from tests.tnqbm.hamiltonian.test_operator import random_target, random_terms
from tnqbm import PauliHamiltonian
from tnqbm.datasets import Target
from tnqbm.hamiltonian import TypicalGibbs, chebyshev, jackknife, qrbm, sqbm, tfim
from tnqbm.hamiltonian import forecast as hamiltonian_forecast
from tnqbm.hamiltonian.chebyshev import Spectrum
from tnqbm.hamiltonian.random_vectors import orthogonal_codes
from tnqbm.hamiltonian.strings import StringSum
from tnqbm.hamiltonian.terms import PauliTable

MODELS = {
    "qrbm": qrbm(4, 3, scale=0.4, seed=1),
    "qrbm strong": qrbm(3, 3, scale=1.5, seed=2),
    "qrbm real": qrbm(3, 3, visible_paulis="XZ", paulis="XZ", seed=3),
    "qrbm visible": qrbm(5, 0, seed=4),
    "tfim": tfim(4, 3, visible_edges="all", seed=5),
    "sqbm": sqbm(3, 2, scale=0.6, seed=6),
    "generic": PauliHamiltonian(random_terms(7, 25, 7), 4),
    "one qubit": PauliHamiltonian({"X": 0.3, "Y": -0.4, "Z": 0.7}, 1),
    "zero": PauliHamiltonian({}, 2, n_qubits=3),
    "constant": PauliHamiltonian({"III": 40.0, "ZIX": 0.1}, 2),
}
ALL = 1 << 10
"""More vectors than these models have states."""


@pytest.mark.parametrize("h", MODELS.values(), ids=MODELS)
def test_complete_vectors_give_the_dense_results(h):
    gibbs = TypicalGibbs(h, subspace=ALL, hidden_vectors=ALL, seed=1)
    target = random_target(h.n_visible)
    paulis = [*h.terms, *random_terms(h.n_qubits, 10, 1)]
    states = np.random.default_rng(2).integers(0, 2, (2, 3, h.n_visible), dtype=np.uint8)
    pairs = [
        (gibbs.log_partition(), h.log_partition()),
        (gibbs.probabilities(), h.probabilities()),
        (gibbs.expectations(paulis), h.expectations(paulis)),
        (gibbs.log_weight(states), h.log_weight(states)),
        (gibbs.likelihood(target)[0], h.log_weight(target.states)),
        (gibbs.positive_phase(target), [*h.positive_phase(target).values()]),
        (gibbs.gradient(target), [*h.gradient(target).values()]),
    ]
    for (value, error), want in pairs:
        np.testing.assert_allclose(value, want, atol=1e-9, rtol=1e-9)
        assert np.shape(value) == np.shape(error) == np.shape(want)
        assert (np.asarray(error) == 0).all()


@pytest.mark.parametrize("subspace", [0, 8])
@pytest.mark.parametrize("name", ["qrbm", "qrbm strong", "tfim"])
def test_errors_are_honest(name, subspace):
    """Errors are as large as they claim; pulls have the spread of Student's t, 1.07."""
    h, seeds = MODELS[name], 24
    target = Target(random_target(h.n_visible).states[:6], np.full(6, 1 / 6))
    want = [
        [h.log_partition()], h.probabilities(), h.log_weight(target.states),
        [*h.gradient(target).values()],
    ]  # fmt: skip
    results = [[] for _ in want]
    for seed in range(seeds):
        gibbs = TypicalGibbs(h, subspace=subspace, hidden_vectors=4, seed=seed)
        likelihood = gibbs.likelihood(target)[0]
        found = [gibbs.log_partition(), gibbs.probabilities(), likelihood, gibbs.gradient(target)]
        for some, (value, error), exact in zip(results, found, want, strict=True):
            some.append((np.atleast_1d(value) - exact, np.atleast_1d(error)))
    # The error of a log weight rests on two sets: too rough for a pull, not for their mean.
    for some, vectors in zip(results, (16, 16, 2, 16), strict=True):
        off, error = np.moveaxis(some, 1, 0)
        assert 0.65 < np.sqrt(np.mean(off**2) / np.mean(error**2)) < 1.5
        assert abs(off.mean()) < 4 * off.std() / np.sqrt(seeds)
        if vectors > 2:
            assert 0.65 < np.sqrt(np.mean((off / error) ** 2)) < 1.6


def test_a_subspace_takes_the_error_of_few_states():
    h = MODELS["qrbm strong"]
    errors = [
        TypicalGibbs(h, subspace=k, seed=1).log_partition().standard_error for k in (0, 8, 16)
    ]
    assert errors[0] > 10 * errors[1] > 20 * errors[2] > 0


def test_results_depend_on_the_seed_alone():
    h = MODELS["qrbm"]
    first, again, other = (TypicalGibbs(h, subspace=8, seed=s) for s in (3, 3, 4))
    states = random_target(4).states
    order = np.random.default_rng(0).permutation(16)
    assert np.array_equal(first.expectations(h.terms).value, again.expectations(h.terms).value)
    assert first.log_partition() == again.log_partition() != other.log_partition()
    one, same = first.log_weight(states[order]), again.log_weight(states)
    np.testing.assert_allclose(one.value, same.value[order], rtol=1e-13)


def test_a_spectrum_that_is_widened_later_keeps_no_older_traces():
    h = MODELS["qrbm"]
    gibbs = TypicalGibbs(h, subspace=ALL, hidden_vectors=ALL, seed=1)
    log_z = gibbs.log_partition().value
    true = gibbs._ends
    gibbs.__dict__["_ends"] = Spectrum(true.lowest * 0.5, true.width * 0.5)  # rows find this out
    gibbs.likelihood(random_target(h.n_visible))
    assert gibbs._ends.width > true.width * 0.5
    assert gibbs.log_partition().value == pytest.approx(log_z, abs=1e-9)


def test_a_spectrum_that_is_too_narrow_is_widened(monkeypatch):
    h = MODELS["qrbm"]
    want = TypicalGibbs(h, subspace=ALL, seed=1).log_partition().value
    true = chebyshev.spectrum
    narrow = lambda *args: Spectrum(true(*args).lowest * 0.5, true(*args).width * 0.5)  # noqa: E731
    monkeypatch.setattr(chebyshev, "spectrum", narrow)
    gibbs = TypicalGibbs(h, subspace=ALL, seed=1)
    assert gibbs.log_partition().value == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("h", MODELS.values(), ids=MODELS)
def test_the_spectrum_holds_all_energies(h):
    sum_ = StringSum(PauliTable(list(h.terms), h.n_qubits), h.to_vector())
    ends = chebyshev.spectrum(sum_, np.random.default_rng(1))
    energies = np.linalg.eigvalsh(h.matrix())
    assert ends.lowest < energies[0]
    assert energies[-1] < ends.lowest + 2 * ends.width
    assert 2 * ends.width < 1.1 * (energies[-1] - energies[0]) + 0.01


def test_series():
    energies = np.linspace(0.0, 30.0, 7)
    x = energies / 15.0 - 1.0
    half = np.polynomial.chebyshev.chebval(x, chebyshev.exponential(15.0, 0.5)[0])
    np.testing.assert_allclose(half, np.exp(-energies / 2), atol=1e-12)
    weights, factors = chebyshev.duhamel(15.0)
    values = np.polynomial.chebyshev.chebval(x, factors.T)
    gap = np.subtract.outer(energies, energies)
    np.fill_diagonal(gap, 1.0)
    want = -np.subtract.outer(np.exp(-energies), np.exp(-energies)) / gap
    np.fill_diagonal(want, np.exp(-energies))
    np.testing.assert_allclose(values.T @ (weights[:, None] * values), want, atol=1e-11)


@pytest.mark.parametrize("bits", [0, 1, 3, 6, 9])
@pytest.mark.parametrize("power", range(9))
def test_codes_of_sets(bits, power):
    count = min(1 << power, 1 << bits)
    codes = orthogonal_codes(bits, count)
    assert len(set(codes.tolist())) == count
    entries = np.arange(1 << bits)
    sums = (1.0 - 2.0 * (np.bitwise_count(entries[:, None] & codes) & 1)).sum(axis=1)
    dual = np.bitwise_count(entries[sums != 0])[1:]
    least = 4 if bits <= count // 2 else 3 if bits < count else 2 if count > 1 else 1
    assert set(np.abs(sums)) <= {0.0, float(count)}
    assert (dual >= least).all()


def test_jackknife_of_a_part_of_a_finite_set():
    """Over all subsets, the variance is the mean of the jackknife's, and nothing is left of bias
    of order 1/R."""
    rng = np.random.default_rng(1)
    numbers, below = rng.normal(2.0, 0.1, (8, 1)), rng.normal(1.0, 0.02, 8)
    exact = jackknife.ratio(numbers, below, share=1.0)
    assert exact.standard_error == 0
    assert exact.value == numbers.mean() / below.mean()
    found = []
    for _ in range(2000):
        some = rng.choice(8, 4, replace=False)
        found.append(jackknife.ratio(numbers[some], below[some], share=0.5))
    value, error = np.array(found)[..., 0].T
    assert np.sqrt(np.mean(error**2)) == pytest.approx(value.std(), rel=0.1)
    assert value.mean() == pytest.approx(exact.value[0], abs=4 * value.std() / np.sqrt(2000))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"vectors": 1}, ValueError, "vectors must be at least 2"),
        ({"subspace": -1}, ValueError, "subspace must not be negative"),
        ({"hidden_vectors": 6}, ValueError, "hidden_vectors must be 2, 4, 8"),
        ({"hidden_vectors": 1}, ValueError, "hidden_vectors must be 2, 4, 8"),
        ({"vectors": 2.5}, TypeError, "vectors must be"),
        ({"seed": -1}, ValueError, "seed"),
        ({"hamiltonian": "ZZ"}, TypeError, "hamiltonian must be"),
    ],
)
def test_wrong_arguments(changes, error, words):
    arguments = {"hamiltonian": MODELS["qrbm"], "seed": 1} | changes
    with pytest.raises(error, match=words):
        TypicalGibbs(arguments.pop("hamiltonian"), **arguments)


def test_what_does_not_fit_is_refused(monkeypatch):
    h = qrbm(12, 6, scale=0.1, seed=1)
    cost = TypicalGibbs(h, seed=1).forecast()
    assert cost.fits
    assert 1e8 < cost.bytes < 2e9
    assert 1 < cost.seconds < 1000
    assert TypicalGibbs(h, seed=1).forecast(rows=64).seconds > 1.3 * cost.seconds
    monkeypatch.setattr(hamiltonian_forecast, "available_bytes", lambda: 10**8)
    with pytest.raises(MemoryError, match=r"random vectors .* fewer vectors"):
        TypicalGibbs(h, seed=1)
    monkeypatch.setattr(hamiltonian_forecast, "available_bytes", lambda: None)
    with pytest.raises(ValueError, match="the limit is 24 h"):
        TypicalGibbs(qrbm(30, 10, seed=1), seed=1)


def test_states_that_are_not_resolved_are_refused():
    h = PauliHamiltonian({"ZI": 20.0, "IX": 1.0, "XI": 1e-6}, 1)
    with pytest.raises(FloatingPointError, match="state 0"):
        TypicalGibbs(h, seed=1).gradient(Target(np.array([[0]], np.uint8), np.ones(1)))
    with pytest.raises(ValueError, match="3 visible units"):
        TypicalGibbs(MODELS["qrbm"], seed=1).gradient(random_target(3))
