"""Shots that survive post-selection: taken again where too few do, and what that costs."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qiskit")

from tnqbm import PauliHamiltonian, SqRBM
from tnqbm.quantum import Device, QiskitGibbs, TooFewShotsError, open_device
from tnqbm.quantum.imaginary_time import DOUBLINGS, MIN_KEPT, gibbs_shots
from tnqbm.quantum.usage import Ledger, Usage

MODEL = SqRBM.uniform(3, 2, "XZ", scale=0.5, seed=1)


def shots(count: int, seed: int, device: Device | None = None) -> tuple[list[Any], Usage]:
    return gibbs_shots(
        device or open_device("statevector"), PauliHamiltonian.from_sqrbm(MODEL), "XZ", shots=count,
        trotter_steps=2, rng=np.random.default_rng(seed),
    )  # fmt: skip


def test_enough_shots_are_not_taken_again() -> None:
    outcomes, usage = shots(5000, 1)
    assert (usage.shots, usage.shot_retries) == (10_000, 0)
    assert usage.kept_shots == sum(len(visible) for visible, _ in outcomes)


def test_shots_are_doubled_until_enough_are_kept() -> None:
    """One in seven is kept: 16 shots keep two or three, eight or sixteen times as many enough."""
    rate = shots(50_000, 1)[1].success_rate
    assert 0.1 < rate < 0.2
    outcomes, usage = shots(16, 2)
    assert all(len(visible) >= MIN_KEPT for visible, _ in outcomes)
    assert usage.shot_retries > 2
    per_circuit = [16 * 2**k for k in range(DOUBLINGS + 1)]
    assert usage.shots in {a + b for a in per_circuit for b in per_circuit}
    assert abs(usage.success_rate - rate) < 5 * np.sqrt(rate / usage.shots)
    # A function of the seed.
    again = shots(16, 2)
    assert again[1] == usage
    for one, two in zip(outcomes, again[0], strict=True):
        np.testing.assert_array_equal(np.concatenate(one, 1), np.concatenate(two, 1))


def test_retries_do_not_bias() -> None:
    """Means of 100 estimates of several rounds each, against those of many shots.

    Each estimate has at least 16 kept shots, so the mean of its averages an error of 1/40 at most;
    five of these for each of the 6 averages of single spins: a false alarm rate of 4e-6.
    """
    small = PauliHamiltonian.from_sqrbm(SqRBM.uniform(2, 1, "XZ", scale=1.0, seed=6))

    def means(count: int, seed: int) -> tuple[np.ndarray, int]:
        found, usage = gibbs_shots(
            open_device("statevector"), small, "XZ", shots=count, trotter_steps=1,
            rng=np.random.default_rng(seed),
        )  # fmt: skip
        each = [1.0 - 2.0 * np.concatenate(pair, axis=1).mean(axis=0) for pair in found]
        return np.array(each), usage.shot_retries

    exact, _ = means(400_000, 3)
    estimates = [means(20, 100 + seed) for seed in range(100)]
    assert np.mean([retries > 0 for _, retries in estimates]) > 0.9
    away = np.mean([found for found, _ in estimates], axis=0) - exact
    assert (np.abs(away) < 5.0 / 40.0).all()
    assert np.abs(exact).max() > 0.2  # there is something to be biased


def test_a_device_takes_more_shots_too() -> None:
    pytest.importorskip("qiskit_aer")
    device = open_device("aer")
    outcomes, usage = shots(32, 4, device)
    assert all(len(visible) >= MIN_KEPT for visible, _ in outcomes)
    assert 2 <= device.jobs <= 1 + DOUBLINGS  # each is about all circuits that lack shots
    assert device.jobs - 1 <= usage.shot_retries <= 2 * (device.jobs - 1)
    assert usage.depth > 0


@pytest.mark.parametrize("scale", [4.0, 40.0])
def test_too_few_shots_are_told_with_what_they_cost(scale: float) -> None:
    """At the larger scale not even the probability of success can be told from rounding."""
    model = SqRBM.uniform(3, 2, "XZ", scale=scale, seed=1)
    with pytest.raises(TooFewShotsError, match=r"of 1600 shots survived.*'enhanced'") as caught:
        QiskitGibbs(shots=100).measure_moments(model)
    usage = caught.value.usage
    assert usage.shots == 2 * 16 * 100
    assert usage.shot_retries == 2 * DOUBLINGS
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.usage) == (str(caught.value), usage)


def test_circuits_beyond_the_ideal_device_are_refused() -> None:
    wide = PauliHamiltonian({"Z" * 6 + "X" * 8: 0.1}, 6)
    with pytest.raises(MemoryError, match="more than the 20"):
        QiskitGibbs(shots=100).measure_paulis(wide)


def test_what_is_spent_adds_up() -> None:
    one = Usage(shots=10, kept_shots=4, depth=7, two_qubit_gates=3, jobs=1, proposals=8, accepted=2)
    two = Usage(shots=20, kept_shots=2, depth=5, two_qubit_gates=9, job_retries=1, shot_retries=2)
    both = one + two
    assert both == Usage(
        shots=30, kept_shots=6, depth=7, two_qubit_gates=9, jobs=1, job_retries=1, shot_retries=2,
        proposals=8, accepted=2,
    )  # fmt: skip
    assert (both.success_rate, both.acceptance_rate) == (0.2, 0.25)
    assert np.isnan(Usage().success_rate)
    assert np.isnan(Usage().acceptance_rate)


def test_ledgers_come_back_from_checkpoints() -> None:
    keys = np.array([3, 2**63 + 1], dtype=np.uint64)
    ledger = Ledger(keys, {"backend": "here"}, chains=False)
    ledger.add(1, Usage(shots=10, kept_shots=4))
    ledger.add(1, Usage(shots=10, kept_shots=5, depth=3))
    again = Ledger(keys, {"backend": "here"}, chains=False)
    again.restore(ledger.state())
    rows = np.array([1, 0])
    for name, values in ledger.report(rows).items():
        np.testing.assert_array_equal(values, again.report(rows)[name])
    assert ledger.report(rows)["kept_shots"].tolist() == [9, 0]
    assert ledger.report(rows)["key"].tolist() == [2**63 + 1, 3]
    assert ledger.report(rows)["estimates"].tolist() == [2, 0]
