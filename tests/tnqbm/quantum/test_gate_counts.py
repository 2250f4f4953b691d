"""One name, one number: what is estimated of a circuit is what a run of it counts."""

from __future__ import annotations

import pytest

from tnqbm.core.model import SqRBM
from tnqbm.quantum import estimate

pytest.importorskip("qiskit")


@pytest.mark.parametrize("paulis", ["XYZ", "Z"])
def test_an_estimate_counts_what_a_run_counts(paulis: str) -> None:
    from tnqbm.quantum import QiskitGibbs

    model = SqRBM.uniform(3, 2, paulis, scale=0.3, seed=1)
    run = QiskitGibbs(
        strategy="imaginary-time", shots=2000, trotter_steps=2, seed=1
    ).measure_moments(model)
    found = estimate(model, strategy="imaginary-time", trotter_steps=2)
    assert run.two_qubit_gates == found.two_qubit_gates < found.cx_gates
