"""Training Hamiltonians of any kind with model averages from shots."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qiskit")

from tnqbm import (
    MissingExtraError,
    PauliHamiltonian,
    SqRBM,
    Target,
    Trainer,
    TrainingSettings,
    datasets,
    train,
)
from tnqbm.hamiltonian import qrbm, sqbm, tfim
from tnqbm.training import HamiltonianProblem

SETTINGS: dict[str, Any] = {
    "gradient": "quantum", "shots": 3000, "trotter_steps": 2, "iterations": 4,
    "learning_rate": 0.05,
}  # fmt: skip


def reachable(h: PauliHamiltonian, seed: int = 3) -> Target:
    other = np.random.default_rng(seed).uniform(-0.6, 0.6, len(h.terms))
    return Target.from_dense(h.with_coefficients(other).probabilities())


@pytest.mark.parametrize(
    "h",
    [
        sqbm(2, 2, paulis="XZ", scale=0.3, seed=0),
        qrbm(2, 1, visible_paulis="XZ", paulis="XZ", scale=0.3, seed=1),
        tfim(2, 1, visible_edges="all", scale=0.3, seed=3),
    ],
    ids=["sqbm", "qrbm", "tfim"],
)
def test_gradients_are_the_exact_ones_within_shot_noise(h: PauliHamiltonian) -> None:
    """One gradient, found from the first step of plain descent; five standard errors of each entry.

    At least a fifth of the kept shots measure any one string; with up to 14 entries the false alarm
    rate is below 1e-5. For the QRBM and the TFIM the positive phase is Proposition 4's.
    """
    target = reachable(h)
    step = {"optimizer": "sgd", "learning_rate": 1.0, "iterations": 1}
    found = train(h, target, gradient="quantum", shots=50_000, trotter_steps=6, **step)
    gradient = h.to_vector() - found.model.to_vector()
    exact = np.array([*h.gradient(target).values()])
    error = 1.0 / np.sqrt(found.estimator_records["kept_shots"][0] / 5)
    assert np.abs(gradient - exact).max() < 5 * error
    assert np.abs(exact).max() > 5 * error  # there is something to be found
    phase = h.positive_phase(target)
    np.testing.assert_allclose(
        [*phase.values()], exact + h.expectations(h.terms), rtol=0, atol=1e-14
    )


def test_proposition_3_would_be_noticed() -> None:
    """Negative control: clamped expectations in place of Proposition 4's positive phase."""
    h = qrbm(2, 1, visible_paulis="XZ", paulis="XZ", scale=0.8, seed=1)
    target = reachable(h)
    rho, n = h.gibbs_state(), h.n_visible
    share = np.repeat(target.dense() / h.probabilities(), 2)
    v = np.arange(8) >> 1
    from tnqbm.core.paulis import pauli_string

    clamped = np.where(v[:, None] == v, rho * share[:, None], 0.0)
    naive = {t: float(np.sum(pauli_string(t).T * clamped).real) for t in h.terms}
    right = h.positive_phase(target)
    assert n == 2
    assert max(abs(naive[t] - right[t]) for t in h.terms) > 0.1


@pytest.mark.parametrize("kind", ["tfim", "sqbm"])
def test_training_follows_the_exact_one(kind: str) -> None:
    """Divergences of both, from one seed (fixed); thousands of shots are kept in every update."""
    h = {
        "tfim": tfim(2, 1, visible_edges="all", scale=0.3, seed=3),
        "sqbm": sqbm(2, 1, paulis="XZ", scale=0.3, seed=2),
    }[kind]
    target = reachable(h, 5)
    common: dict[str, Any] = {"iterations": 15, "learning_rate": 0.05}
    exact = train(h, target, **common)
    found = train(h, target, gradient="quantum", shots=30_000, trotter_steps=4, **common)
    assert exact.kl is not None
    assert found.kl is not None
    assert exact.kl[-1] < 0.3 * exact.kl[0]
    assert np.abs(found.kl - exact.kl).max() < 0.1 * exact.kl[0]
    assert found.kl[0] == pytest.approx(exact.kl[0])  # metrics are exact
    assert found.estimator["shots"] >= 16 * 30_000
    assert exact.estimator == {}


def test_an_sqrbm_is_measured_alike_either_way() -> None:
    model = SqRBM.uniform(2, 1, "XZ", scale=0.3, seed=4)
    target = datasets.load("cardinality", 2)
    common: dict[str, Any] = {
        "gradient": "quantum", "shots": 50_000, "iterations": 8, "learning_rate": 0.05,
    }  # fmt: skip
    one = train(PauliHamiltonian.from_sqrbm(model), target, **common)
    two = train(model, target, **common)
    assert one.tvd is not None
    assert two.tvd is not None
    assert np.abs(one.tvd - two.tvd).max() < 0.03
    assert one.estimator.keys() == two.estimator.keys()


def test_training_is_resumed_and_batched_without_a_trace() -> None:
    start = [tfim(2, 1, seed=k, scale=0.3) for k in (0, 1)]
    targets = [reachable(start[0], k) for k in (3, 4)]
    settings = TrainingSettings(**SETTINGS)
    keys = np.array([5, 6], dtype=np.uint64)
    whole = Trainer(HamiltonianProblem(start, targets), settings, keys=keys)
    whole.advance(2)
    again = Trainer(HamiltonianProblem(start, targets), settings, keys=keys)
    again.restore(whole.state())
    whole.advance(10)
    again.advance(10)
    alone = Trainer(HamiltonianProblem(start[1:], targets[1:]), settings, keys=keys[1:])
    alone.advance(10)
    expected = whole.trajectories()
    for one, two in zip(
        [*again.trajectories(), *alone.trajectories()], [*expected, expected[1]], strict=True
    ):
        assert one.model == two.model
        assert one.estimator == two.estimator
        np.testing.assert_array_equal(one.kl, two.kl)
        for name, values in one.estimator_records.items():
            np.testing.assert_array_equal(values, two.estimator_records[name])


def test_running_out_of_shots_keeps_what_there_is() -> None:
    h = tfim(2, 1, visible_edges="all", scale=5.0, seed=3)
    with pytest.warns(RuntimeWarning, match="training stopped: update 1: only"):
        found = train(h, reachable(h), **{**SETTINGS, "shots": 20})
    assert found.stopped == "failed"
    assert found.model == h
    assert found.estimator["shot_retries"] > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strategy": "enhanced"}, "strategy: 'enhanced' is for sqRBMs"),
        ({"evaluate": "ais"}, "evaluate"),
        ({"backend": "ear"}, "did you mean 'aer'"),
        ({"batch_size": 2}, "batch_size"),
        ({"gradient": "quantun"}, "gradient"),
    ],
)
def test_settings_that_do_not_apply(wrong: dict[str, Any], message: str) -> None:
    h = tfim(2, 1, seed=0)
    with pytest.raises(ValueError, match=message):
        train(h, reachable(h), **{**SETTINGS, **wrong})


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    h = tfim(2, 1, seed=0)
    monkeypatch.setitem(sys.modules, "qiskit", None)
    with pytest.raises(MissingExtraError, match="the extra 'quantum' of tnqbm"):
        train(h, reachable(h), **SETTINGS)
    train(h, reachable(h), iterations=1)
