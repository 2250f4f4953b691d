"""Averages from shots against exact ones.

Statistical tests use fixed seeds and compare all averages at once with five standard errors each:
with up to 50 averages false alarm rates are below 1e-4 each.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qiskit")

from qiskit.primitives import StatevectorSampler

from tnqbm import MissingExtraError, SqRBM
from tnqbm.exact import moments as exact_moments
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.quantum import Device, MeasuredMoments, QiskitGibbs, open_device
from tnqbm.quantum.devices import check_backend

MODEL = SqRBM.uniform(3, 2, "XYZ", scale=0.4, seed=3)
SMALL = SqRBM.uniform(2, 1, "XZ", scale=0.5, seed=5)


def truth(model: SqRBM) -> np.ndarray:
    return exact_moments(model).to_vector()


def deviations(model: SqRBM, found: MeasuredMoments) -> np.ndarray:
    """Differences from exact averages in standard errors."""
    errors = found.standard_errors.to_vector()
    assert (errors > 0).all()
    return (found.moments.to_vector() - truth(model)) / errors


@pytest.mark.parametrize("strategy", ["imaginary-time", "enhanced", "thermal"])
def test_averages_are_right_and_errors_honest(strategy: str) -> None:
    gibbs = QiskitGibbs(strategy=strategy, shots=20_000, trotter_steps=6, moves=20, seed=1)
    found = gibbs.measure_moments(MODEL)
    away = deviations(MODEL, found)
    assert np.abs(away).max() < 5.0
    assert 0.4 < np.sqrt((away**2).mean()) < 1.8
    assert np.abs(found.moments.to_vector() - truth(MODEL)).max() < 0.2
    assert found.depth > 0
    assert found.two_qubit_gates > 0
    assert 0 < found.kept_shots <= found.shots
    assert found.moments.zsigma.shape == (3, 3, 2)


def test_moments_at_twenty_thousand_kept_shots() -> None:
    """All 27 averages of n = 3, m = 2, XYZ within four standard errors of the exact ones.

    21,200 shots (and their root, 140, more or less) are kept in each of the three circuits, and 16
    Trotter steps leave an error of 3e-5. False alarm rate (Bonferroni) 27 * 6.3e-5 = 1.7e-3, and
    the seed is fixed.
    """
    found = QiskitGibbs(shots=190_000, trotter_steps=16, seed=1).measure_moments(MODEL)
    assert found.kept_shots > 3 * 20_000
    away = deviations(MODEL, found)
    assert away.size == 27
    assert np.abs(away).max() < 4.0


def test_the_wrong_model_is_noticed() -> None:
    """A negative control of the test above."""
    found = QiskitGibbs(shots=20_000, trotter_steps=6, seed=1).measure_moments(MODEL)
    other = SqRBM.uniform(3, 2, "XYZ", scale=0.4, seed=4)
    assert np.abs(deviations(other, found)).max() > 8.0


def test_success_is_what_the_circuit_predicts() -> None:
    from tnqbm.quantum import gibbs_circuit

    found = QiskitGibbs(shots=5000, seed=2).measure_moments(MODEL)
    expected = gibbs_circuit(
        PauliHamiltonian.from_sqrbm(MODEL), trotter_steps=2
    ).success_probability
    error = np.sqrt(expected * (1 - expected) / found.shots)
    assert abs(found.success_rate - expected) < 5 * error
    assert found.shots == 3 * 5000


def test_a_statevector_sampler_measures_the_same() -> None:
    sampler = StatevectorSampler(seed=np.random.default_rng(3))
    found = QiskitGibbs(sampler, shots=3000, trotter_steps=1).measure_moments(SMALL)
    ideal = QiskitGibbs(shots=3000, trotter_steps=1, seed=4).measure_moments(SMALL)
    errors = np.hypot(found.standard_errors.to_vector(), ideal.standard_errors.to_vector())
    assert (np.abs(found.moments.to_vector() - ideal.moments.to_vector()) < 5 * errors).all()
    assert abs(found.success_rate - ideal.success_rate) < 0.08


@pytest.mark.parametrize(
    ("backend", "strategy"),
    [("aer", "imaginary-time"), ("aer", "thermal"), ("aer:noisy", "enhanced")],
)
def test_aer_measures_the_same(backend: str, strategy: str) -> None:
    pytest.importorskip("qiskit_aer")
    gibbs = QiskitGibbs(
        backend=backend, strategy=strategy, shots=1000, chains=40, moves=3, burn_in=3, seed=6
    )
    found = gibbs.measure_moments(SMALL)
    # The errors of the device and of the product formula stay below shot noise here.
    assert np.abs(deviations(SMALL, found)).max() < 5.0


def test_aer_repeats_a_seed_and_nothing_else() -> None:
    pytest.importorskip("qiskit_aer")
    gibbs = QiskitGibbs(backend="aer", shots=400, trotter_steps=1, seed=7)
    key = np.random.SeedSequence(9)
    one, two = (gibbs.measure_moments(SMALL, seed=key).moments.to_vector() for _ in range(2))
    np.testing.assert_array_equal(one, two)
    three, four = (gibbs.measure_moments(SMALL).moments.to_vector() for _ in range(2))
    assert (three != four).any()


def test_thermal_takes_samples_from_elsewhere() -> None:
    rng = np.random.default_rng(8)
    from tnqbm.core.states import states_of

    states = states_of(np.arange(8, dtype=np.int64), 3)
    log_p = MODEL.log_weight(states)
    p = np.exp(log_p - log_p.max())
    drawn = states[rng.choice(8, size=4000, p=p / p.sum())]
    found = QiskitGibbs(strategy="thermal", seed=9).measure_moments(MODEL, samples=drawn)
    away = deviations(MODEL, found)
    assert np.abs(away).max() < 5.0
    assert found.shots == 3 * 4000
    assert found.states is None


@pytest.mark.parametrize(("strategy", "measured"), [("enhanced", 0), ("thermal", 3)])
def test_chains_go_on_where_they_stopped(strategy: str, measured: int) -> None:
    gibbs = QiskitGibbs(strategy=strategy, chains=20, moves=2, burn_in=1, seed=10)
    first = gibbs.measure_moments(MODEL)
    assert first.states is not None
    assert first.states.shape == (20, 3)
    second = gibbs.measure_moments(MODEL, states=first.states)
    assert second.states is not None
    assert (second.states != first.states).any()
    hidden = measured * 40
    assert (first.shots, second.shots) == (60 + hidden, 40 + hidden)


def test_too_few_kept_shots_are_told() -> None:
    model = SqRBM.uniform(3, 2, "XZ", scale=4.0, seed=1)
    with pytest.raises(RuntimeError, match=r"survived post-selection.*'enhanced'"):
        QiskitGibbs(shots=100).measure_moments(model)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strategy": "annealing"}, "strategy"),
        ({"shots": 3}, "shots"),
        ({"trotter_steps": 0}, "trotter_steps"),
        ({"chains": 1}, "chains"),
        ({"backend": "ear"}, "did you mean 'aer'"),
        ({"backend": "ibm:"}, "not known"),
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QiskitGibbs(**wrong)


def test_wrong_states_and_samplers_are_refused() -> None:
    with pytest.raises(TypeError, match="BaseSamplerV2"):
        QiskitGibbs("aer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no chains here"):
        QiskitGibbs().measure_moments(SMALL, states=[[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="takes no samples"):
        QiskitGibbs().measure_moments(SMALL, samples=[[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="K >= 2"):
        QiskitGibbs(strategy="enhanced").measure_moments(SMALL, states=[[0, 1]])


def test_names_of_backends() -> None:
    assert check_backend("fake:FakeSherbrooke") == "fake:FakeSherbrooke"
    assert not open_device("statevector").mid_circuit
    assert not Device.of(StatevectorSampler()).mid_circuit


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    for name in ("fake:FakeManilaV2", "ibm:ibm_torino"):
        with pytest.raises(MissingExtraError, match="the extra 'ibm' of tnqbm"):
            open_device(name)
    monkeypatch.setitem(sys.modules, "qiskit_aer", None)
    with pytest.raises(MissingExtraError, match="the extra 'quantum' of tnqbm"):
        open_device("aer")
