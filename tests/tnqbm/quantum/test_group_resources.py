"""Resources of sqBMs: counts against circuits, settings against strings, bounds against log Z."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from tnqbm import SqBM, SqRBM
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.quantum import estimate
from tnqbm.quantum.bounds import log_partition_bound
from tnqbm.quantum.group_settings import hidden_settings
from tnqbm.quantum.imaginary_time import covers

MODELS = {
    "XYZ pairs": SqBM(3, 4, hidden_edges="groups-2", visible_edges="all", scale=0.4, seed=1),
    "XZ chain": SqBM(2, 3, hidden_edges=[(0, 2), (1, 2)], paulis="XZ", scale=0.4, seed=2),
    "equal": SqBM(3, 2, hidden_edges="all", hidden_pairs="equal", scale=0.4, seed=3),
    "Z": SqBM(3, 3, hidden_edges="all", visible_edges="all", paulis="Z", scale=0.4, seed=4),
    "masked": SqBM(
        4, 3, hidden_edges=[(0, 1)], mask=np.tri(4, 3, dtype=bool), scale=0.4, seed=5
    ),
    "uncoupled": SqBM(2, 2, scale=0.4, seed=6),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("ancillas", ["reset", "fresh"])
@pytest.mark.parametrize("hidden_start", ["bell", "basis"])
def test_counts_are_those_of_the_circuits(name: str, ancillas: Any, hidden_start: Any) -> None:
    pytest.importorskip("qiskit")
    from tnqbm.quantum import gibbs_circuit

    model = MODELS[name]
    for steps, order in [(1, 1), (3, 1), (1, 2), (2, 2), (4, 2)]:
        options: dict[str, Any] = {"ancillas": ancillas, "hidden_start": hidden_start}
        found = estimate(model, trotter_steps=steps, order=order, **options)
        made = gibbs_circuit(
            model.to_hamiltonian(),
            trotter_steps=steps,
            order=order,
            measure=found.measure,
            **options,
        )
        assert found.gates == dict(made.circuit.count_ops()), (steps, order)
        assert found.qubits == made.circuit.num_qubits
        assert found.depth == made.circuit.depth()
        assert found.factors == made.n_factors
        assert found.two_qubit_gates == made.circuit.num_nonlocal_gates()
        assert found.log_partition == pytest.approx(model.log_partition(), abs=1e-10)
        expected = made.trotterised.log_success(found.log_partition)
        assert found.log_success == pytest.approx(expected, abs=1e-12)


def test_an_sqbm_without_couplings_costs_what_the_sqrbm_does() -> None:
    rbm = SqRBM.uniform(3, 2, "XYZ", scale=0.4, seed=7)
    alone = SqBM.from_hamiltonian(PauliHamiltonian.from_sqrbm(rbm))
    for coupling_map in ("all-to-all", "line", "grid"):
        one, two = (
            estimate(model, trotter_steps=3, coupling_map=coupling_map) for model in (rbm, alone)
        )
        assert one.gates == two.gates
        assert one.swaps == two.swaps
        assert one.log_success == pytest.approx(two.log_success, abs=1e-12)
    thermal = [estimate(model, strategy="thermal") for model in (rbm, alone)]
    assert thermal[0].as_dict() == thermal[1].as_dict()


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_thermal_counts(paulis: str, size: int) -> None:
    pytest.importorskip("qiskit")
    from qiskit import transpile

    from tnqbm.quantum import hidden_thermal_circuit

    model = SqBM(
        2, 2 * size, hidden_edges=f"groups-{size}" if size > 1 else None, paulis=paulis, seed=1
    )
    found = estimate(model, strategy="thermal")
    circuit = hidden_thermal_circuit(model, [0, 1], measure=paulis[0])
    assert found.qubits == circuit.num_qubits == 4 * size
    if size > 1:
        assert found.gates == dict(circuit.count_ops())
        assert found.depth == circuit.depth()
    plain = transpile(circuit, basis_gates=["cx", "u"], optimization_level=1)
    # Twice the groups: the bound is theirs together, and not far above what Qiskit finds.
    assert 0.3 * found.cx_gates < plain.num_nonlocal_gates() <= found.cx_gates


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_settings_cover_all_terms_and_none_is_idle(paulis: str, size: int) -> None:
    edges = f"groups-{size}" if size > 1 else None
    model = SqBM(1, 2 * size, hidden_edges=edges, paulis=paulis, seed=1)
    settings = hidden_settings(model)
    hidden = [term[1:] for term in model.to_hamiltonian().terms]
    for string in hidden:
        assert any(covers(setting, string) for setting in settings)
    for k in range(len(settings)):
        others = settings[:k] + settings[k + 1 :]
        assert not all(any(covers(each, string) for each in others) for string in hidden)
    count = len(paulis) if size == 1 or paulis == "Z" else len(paulis) ** 2
    assert len(settings) == count + (size == 4 and paulis == "XZ")
    assert estimate(model, strategy="thermal").settings == len(settings)


def test_fewer_settings_cannot_cover_four_qubits_with_two_letters() -> None:
    rows = list(product("XZ", repeat=4))
    pairs = [(i, k, p, r) for i, k in combinations(range(4), 2) for p in "XZ" for r in "XZ"]
    for chosen in combinations(rows, 4):
        assert not all(any(row[i] == p and row[k] == r for row in chosen) for i, k, p, r in pairs)


def test_equal_pairs_need_a_setting_a_letter() -> None:
    model = SqBM(2, 4, hidden_edges="groups-4", hidden_pairs="equal", seed=1)
    assert hidden_settings(model) == ["XXXX", "YYYY", "ZZZZ"]
    assert hidden_settings(SqBM(2, 0, seed=1)) == []


@pytest.mark.parametrize("scale", [0.1, 0.5, 2.0])
def test_the_bound_is_one_and_close_where_couplings_are_small(scale: float) -> None:
    for seed in range(3):
        model = SqBM(
            5, 6, visible_edges="all", hidden_edges="groups-3", scale=scale, seed=seed
        )  # fmt: skip
        exact, bound = model.log_partition(), log_partition_bound(model)
        assert bound <= exact + 1e-12
        if scale == 0.1:
            assert exact - bound < 0.2
    rbm = SqRBM.uniform(4, 3, "XZ", scale=0.5, seed=1)
    alone = SqBM.from_hamiltonian(PauliHamiltonian.from_sqrbm(rbm))
    assert log_partition_bound(alone) == pytest.approx(log_partition_bound(rbm), abs=1e-10)


def test_a_large_model_is_counted_and_bounded() -> None:
    model = SqBM(
        40, 8, hidden_edges="groups-4", visible_edges="line", paulis="XZ", scale=0.05, seed=1
    )  # fmt: skip
    found = estimate(model, trotter_steps=1)
    assert found.log_partition_kind == "lower bound"
    assert found.factors > 300
    with pytest.raises(ValueError, match="take fewer trotter_steps"):
        estimate(model, trotter_steps=1000)


def test_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="an SqRBM, an SqBM or a RandomModel"):
        estimate(MODELS["Z"].to_hamiltonian())  # type: ignore[arg-type]
