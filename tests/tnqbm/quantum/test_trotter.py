"""Product formulas: rates, success probabilities, and what is merged. No Qiskit needed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tnqbm import PauliHamiltonian, SqRBM
from tnqbm.quantum.trotter import Trotterised, trotterise

SEMI = PauliHamiltonian.from_sqrbm(SqRBM.uniform(2, 2, "XYZ", seed=1))
# Visible terms that do not commute, lateral couplings in both layers, a constant.
GENERAL = PauliHamiltonian(
    {
        "XII": 0.3, "ZII": 0.2, "IYI": -0.4, "ZZI": 0.3, "XIY": 0.5,
        "YIZ": 0.2, "IIX": -0.3, "III": 0.2, "IIZ": 0.4, "IXY": 0.3,
    },
    2,
)  # fmt: skip
# Semi-quantum with lateral couplings between hidden qubits, not an sqRBM.
LATERAL = PauliHamiltonian(
    {"ZZII": 0.4, "ZIXI": 0.3, "IZYY": -0.5, "IIXZ": 0.6, "IIZI": 0.2, "ZIII": -0.7}, 2
)


def distance(one: np.ndarray, two: np.ndarray) -> float:
    return float(0.5 * np.abs(np.linalg.eigvalsh(one - two)).sum())


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("h", [SEMI, GENERAL, LATERAL], ids=["sqRBM", "QRBM", "sqBM"])
def test_errors_fall_at_the_rate_of_the_order(h: PauliHamiltonian, order: int, merge: bool) -> None:
    exact = h.gibbs_state()
    errors = [
        distance(trotterise(h, steps, order=order, merge=merge).state(), exact)
        for steps in (8, 16, 32)
    ]
    rates = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(rates, order, atol=0.12)


def test_first_order_is_second_order_for_visible_probabilities() -> None:
    def error(steps: int) -> float:
        found = np.diag(trotterise(SEMI, steps, order=1).state()).real.reshape(4, -1).sum(axis=1)
        return float(np.abs(found - SEMI.probabilities()).sum())

    assert math.log2(error(8) / error(16)) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("h", [SEMI, GENERAL, LATERAL], ids=["sqRBM", "QRBM", "sqBM"])
def test_success_tends_to_what_log_z_says(h: PauliHamiltonian) -> None:
    t = trotterise(h, 64)
    assert math.log(t.success_probability()) == pytest.approx(
        t.log_success(h.log_partition()), abs=1e-3
    )


def test_merging_paulis_keeps_more_shots_with_fewer_factors() -> None:
    merged, single = trotterise(SEMI, 4), trotterise(SEMI, 4, merge=False)
    assert merged.success_probability() > 3 * single.success_probability()
    assert 2 * len(merged.sequence) < len(single.sequence)


@pytest.mark.parametrize("order", [1, 2])
def test_what_commutes_is_exact_and_carried_out_once(order: int) -> None:
    model = SqRBM.uniform(3, 2, "X", seed=4)
    h = PauliHamiltonian.from_sqrbm(model)
    t = trotterise(h, 5, order=order)
    assert len(t.sequence) == 3 * 2  # a and b are in the preparation
    assert distance(t.state(), h.gibbs_state()) < 1e-14
    exact = math.exp(t.log_success(h.log_partition()))
    assert t.success_probability() == pytest.approx(exact, rel=1e-12)


def test_fields_alone_lose_no_shot() -> None:
    h = PauliHamiltonian({"ZII": 0.7, "IIX": 0.4, "IIY": -0.3, "IXI": 0.5, "IZI": 2.0}, 2)
    t = trotterise(h, 3)
    assert t.sequence == ()
    assert t.mixed == (0, 1, 2)  # X on a visible qubit
    assert t.success_probability() == pytest.approx(1.0)
    assert t.log_success(h.log_partition()) == pytest.approx(0.0, abs=1e-12)
    assert distance(t.state(), h.gibbs_state()) < 1e-14


def test_zero_and_constant_hamiltonians() -> None:
    for terms in ({}, {"III": 0.9}, {"XII": 0.0, "IIZ": 0.0}):
        t = trotterise(PauliHamiltonian(terms, 2, n_qubits=3), 2)
        assert t.sequence == ()
        assert t.mixed == (2,)
        np.testing.assert_allclose(t.state(), np.eye(8) / 8, atol=1e-15)
    t = trotterise(PauliHamiltonian({"III": 0.9}, 2), 2)
    assert t.log_success(3 * math.log(2) - 0.9) == pytest.approx(0.0, abs=1e-12)


def test_large_weights_neither_overflow_nor_lose_precision() -> None:
    h = PauliHamiltonian({"ZI": 400.0, "IX": 300.0, "ZX": 200.0}, 1)
    t = trotterise(h, 1)
    assert np.isfinite(t.success_probability())
    np.testing.assert_allclose(np.diag(t.state()).real, [0, 0, 0.5, 0.5], atol=1e-12)


def test_states_that_nothing_is_left_of_are_refused() -> None:
    # ZII wants Z = -1, and then XX YY ZZ = -1 forbids what the other three want together.
    h = PauliHamiltonian({"ZXX": 900.0, "ZYY": 900.0, "ZZZ": 900.0, "ZII": 900.0}, 1)
    with pytest.raises(ValueError, match="no shot would be kept"):
        trotterise(h, 1).state()


def test_bad_input_is_refused() -> None:
    for steps in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="trotter_steps"):
            trotterise(SEMI, steps)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="order must be 1 or 2"):
        trotterise(SEMI, 1, order=4)
    wide = Trotterised(2, 22, tuple(range(2, 22)), np.zeros((22, 3)), (), 0.0)
    with pytest.raises(MemoryError, match="log_success"):
        wide.amplitudes()
