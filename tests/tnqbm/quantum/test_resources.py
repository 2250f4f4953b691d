"""Estimates of resources against the circuits themselves, dense success, and sampled averages."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tnqbm import SqRBM, exact
from tnqbm.core import connectivity
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.quantum.bounds import log_partition_bound
from tnqbm.quantum.formulas import ProductFormula
from tnqbm.quantum.resources import RandomModel, Resources, estimate
from tnqbm.quantum.trotter import trotterise


def part(model: SqRBM, *, b: Any = 1.0, w: Any = 1.0) -> SqRBM:
    """A model with some of its parameters zero."""
    return SqRBM(model.a, model.b * b, model.w * w, model.paulis)


XYZ = SqRBM.uniform(3, 2, "XYZ", scale=0.5, seed=1)
SIGNS = np.array([1.0, 0.0, 0.0])[:, None]
MODELS = {
    "XYZ": XYZ,
    "XZ": SqRBM.uniform(2, 3, "XZ", scale=0.5, seed=2),
    "ZX": SqRBM.uniform(4, 1, "ZX", scale=0.5, seed=3),
    "XY": SqRBM.uniform(1, 4, "XY", scale=0.5, seed=4),
    "Z": SqRBM.uniform(3, 2, "Z", scale=0.5, seed=5),
    "X": SqRBM.uniform(2, 2, "X", scale=0.5, seed=6),
    "Y": SqRBM.uniform(2, 1, "Y", scale=0.5, seed=7),
    "no hidden": SqRBM.uniform(3, 0, "XZ", scale=0.5, seed=8),
    "one and one": SqRBM.uniform(1, 1, "XYZ", scale=0.5, seed=9),
    "no fields": part(XYZ, b=0.0),
    "no couplings": part(XYZ, w=0.0),
    "nothing": part(XYZ, b=0.0, w=0.0),
    "field along X": part(XYZ, b=SIGNS),
    "couplings along X": part(XYZ, w=SIGNS[..., None]),
    "all along X": part(XYZ, b=SIGNS, w=SIGNS[..., None]),
    "one unit along X": part(XYZ, b=np.array([[1, 1], [0, 1], [0, 1]]), w=np.eye(3)[:, :, None]),
    "one deep unit": part(  # the unit that commutes is carried out once, and is the deepest
        SqRBM.uniform(5, 2, "XZ", scale=0.5, seed=11),
        b=np.array([[1, 1], [0, 1]]),
        w=np.array([[[1, i == 0], [0, i == 0]] for i in range(5)]).transpose(1, 0, 2),
    ),
    "line": SqRBM.uniform(5, 4, "XYZ", scale=0.5, seed=10, mask=connectivity.line(5, 2)),
    "line Z": SqRBM.uniform(5, 4, "Z", scale=0.5, seed=10, mask=connectivity.line(5, 2)),
}
STEPS = [(1, 1), (2, 1), (5, 1), (1, 2), (2, 2), (3, 2), (7, 2)]


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("ancillas", ["reset", "fresh"])
@pytest.mark.parametrize("hidden_start", ["bell", "basis"])
def test_counts_are_those_of_the_circuits(name: str, ancillas: Any, hidden_start: Any) -> None:
    pytest.importorskip("qiskit")
    from tnqbm.quantum import gibbs_circuit

    model = MODELS[name]
    for steps, order in STEPS:
        found = estimate(
            model,
            trotter_steps=steps,
            order=order,
            ancillas=ancillas,
            hidden_start=hidden_start,
            log_partition=0.0,
        )
        made = gibbs_circuit(
            PauliHamiltonian.from_sqrbm(model),
            trotter_steps=steps,
            order=order,
            ancillas=ancillas,
            hidden_start=hidden_start,
            measure=found.measure,
        )
        circuit = made.circuit
        assert found.gates == dict(circuit.count_ops()), (steps, order)
        assert found.qubits == circuit.num_qubits
        assert found.depth == circuit.depth(), (steps, order)
        assert found.factors == made.n_factors
        cry = found.gates.get("cry", 0)
        assert circuit.num_nonlocal_gates() == found.gates.get("cx", 0) + cry
        assert found.swaps == 0


@pytest.mark.parametrize("name", list(MODELS))
def test_sequences_and_success_are_those_of_the_product_formula(name: str) -> None:
    model = MODELS[name]
    m = model.n_hidden
    log_z = exact.log_partition(model)
    for steps, order in STEPS:
        formula = ProductFormula(model, steps, order)
        t = trotterise(PauliHamiltonian.from_sqrbm(model), steps, order=order)
        expected = [
            factor.pivot - model.n_visible + m * (factor.letters[0][0] + 1 if factor.letters else 0)
            for factor, _ in t.sequence
        ]
        assert formula.first + (steps - 1) * formula.later == expected
        np.testing.assert_allclose(formula.start, t.start[model.n_visible :], atol=1e-15)
        assert formula.log_success(log_z) == pytest.approx(t.log_success(log_z), abs=1e-12)


def test_cx_gates_are_those_of_a_transpiled_circuit() -> None:
    pytest.importorskip("qiskit")
    from qiskit import transpile

    from tnqbm.quantum import gibbs_circuit

    for model in (XYZ, MODELS["Z"]):
        found = estimate(model, trotter_steps=2, log_partition="bound")
        circuit = gibbs_circuit(
            PauliHamiltonian.from_sqrbm(model), trotter_steps=2, measure=found.measure
        ).circuit
        plain = transpile(circuit, basis_gates=["cx", "rz", "sx", "x"], optimization_level=0)
        assert found.cx_gates == plain.count_ops()["cx"]
        assert found.two_qubit_gates == circuit.num_nonlocal_gates() < found.cx_gates


@pytest.mark.parametrize("paulis", ["XYZ", "Z"])
def test_thermal_counts_are_those_of_the_circuit(paulis: str) -> None:
    pytest.importorskip("qiskit")
    from tnqbm.quantum import hidden_thermal_circuit

    model = SqRBM.uniform(3, 4, paulis, seed=1)
    found = estimate(model, strategy="thermal", coupling_map="line")
    circuit = hidden_thermal_circuit(model, [0, 1, 1], measure="Y")
    assert found.gates == dict(circuit.count_ops())
    assert found.qubits == circuit.num_qubits
    assert found.depth == circuit.depth()
    assert (found.success_probability, found.swaps, found.trotter_steps) == (1.0, 0, 0)
    assert found.shots == pytest.approx(len(paulis) * 1e4)
    assert found.log_partition_kind == "not needed"
    assert estimate(RandomModel(2, 0), strategy="thermal").qubits == 0


@pytest.mark.parametrize("coupling_map", ["line", "grid"])
def test_swaps_bring_qubits_together(coupling_map: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every gate and every swap finds its qubits side by side."""
    from tnqbm.quantum import gate_counts

    seen = []
    swap, pair = gate_counts._GateCounter._swap, gate_counts._GateCounter.pair

    def distance(self: Any, one: int, other: int) -> int:
        places = [divmod(self.position[k], self.columns) for k in (one, other)]
        return sum(abs(x - y) for x, y in zip(*places, strict=True))

    def checked_swap(self: Any, one: int, other: int) -> None:
        assert distance(self, one, other) == 1
        swap(self, one, other)
        seen.append((one, other))
        assert all(self.occupant[place] == k for k, place in enumerate(self.position))

    def checked_pair(self: Any, gate: str, mover: int, target: int) -> None:
        pair(self, gate, mover, target)
        if self.columns:
            assert distance(self, mover, target) == 1

    monkeypatch.setattr(gate_counts._GateCounter, "_swap", checked_swap)
    monkeypatch.setattr(gate_counts._GateCounter, "pair", checked_pair)
    free = estimate(XYZ, trotter_steps=2, log_partition=0.0)
    assert not seen
    found = estimate(XYZ, trotter_steps=2, log_partition=0.0, coupling_map=coupling_map)
    assert found.swaps == len(seen)
    assert found.gates == free.gates
    assert found.swaps > 0
    assert found.two_qubit_gates == free.two_qubit_gates + found.swaps
    assert found.cx_gates == free.cx_gates + 3 * found.swaps
    assert found.depth > free.depth


def test_swaps_are_comparable_to_a_router() -> None:
    """Qiskit's looks ahead; ours must not be absurd."""
    pytest.importorskip("qiskit")
    from qiskit import transpile
    from qiskit.transpiler import CouplingMap

    from tnqbm.quantum import gibbs_circuit

    found = estimate(XYZ, trotter_steps=2, log_partition=0.0, coupling_map="line")
    circuit = gibbs_circuit(PauliHamiltonian.from_sqrbm(XYZ), trotter_steps=2, measure="Y").circuit
    routed = transpile(
        circuit,
        coupling_map=CouplingMap.from_line(circuit.num_qubits),
        basis_gates=["cx", "cry", "swap", "rz", "ry", "sdg", "h"],
        optimization_level=1,
        seed_transpiler=1,
    )
    swaps = routed.count_ops()["swap"]
    assert 0.5 * swaps < found.swaps < 3.0 * swaps


def test_success_and_shots() -> None:
    found = estimate(XYZ, trotter_steps=30, target_error=0.02)
    t = trotterise(PauliHamiltonian.from_sqrbm(XYZ), 30)
    assert found.success_probability == pytest.approx(t.success_probability(), rel=1e-3)
    assert found.log_partition_kind == "exact"
    assert found.shots == pytest.approx(3 * 2500 / found.success_probability)
    assert found.settings == 3
    closed = estimate(XYZ, trotter_steps=30, target_error=0.02, readout="closed form")
    assert closed.shots == pytest.approx(found.shots / 3)
    assert closed.measure == "Z"
    half = estimate(XYZ, trotter_steps=30, target_error=0.01)
    assert half.shots == pytest.approx(4 * found.shots)
    given = estimate(XYZ, trotter_steps=30, log_partition=found.log_partition - 1.0)
    assert given.log_success == pytest.approx(found.log_success - 1.0)
    assert given.log_partition_kind == "given"


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
@pytest.mark.parametrize("scale", [0.0, 0.05, 0.5, 2.0])
def test_bound_on_log_partition(paulis: str, scale: float) -> None:
    for seed in range(3):
        model = SqRBM.uniform(5, 3, paulis, scale=scale, seed=seed)
        bound, true = log_partition_bound(model), exact.log_partition(model)
        assert bound <= true + 1e-9
        assert bound >= true - 0.02 - 3.0 * scale
        if scale == 0.0:
            assert bound == pytest.approx(8 * math.log(2))
    free = SqRBM(model.a, model.b, 0.0 * model.w, model.paulis)
    assert log_partition_bound(free) == pytest.approx(exact.log_partition(free))


def test_outcomes_have_variance_one_at_most() -> None:
    """Means of outcomes +-1 over 1 / error**2 shots: 2000 repetitions, false alarms below 1e-6."""
    rng = np.random.default_rng(1)
    spread = np.std(np.mean(rng.choice([-1, 1], size=(2000, 400)), axis=1))
    assert spread == pytest.approx(0.05, rel=0.1)  # target error 0.05 asks for 400 kept shots
    found = estimate(XYZ, target_error=0.05, readout="closed form", log_partition="bound")
    assert found.kept_shots == pytest.approx(400)


def test_large_models_and_many_steps() -> None:
    big = estimate(RandomModel(60, 60), trotter_steps=20)
    assert big.log_partition_kind == "lower bound"
    assert big.qubits == 60 + 2 * 60 + 1
    # Of each hidden qubit: twice all couplings but one, and a field, at each step; then CX and CRY.
    assert big.factors == 20 * 60 * (2 * 60)
    assert big.gates["cx"] == 60 + 20 * 60 * (2 * 60 - 1) * 2
    assert big.success_probability == 0.0
    assert big.shots == math.inf
    assert 500 < big.log10_shots < 5000
    assert json.dumps(big.as_dict()["gates"])
    masked = estimate(RandomModel(30, 27, connectivity="line-4", scale=0.1))
    assert masked.log_partition_kind == "exact"


def test_same_parameters_of_an_rbm() -> None:
    quantum = estimate(RandomModel(6, 2, "XYZ", scale=0.2))
    classical = estimate(RandomModel(6, 6, "Z", scale=0.2))
    assert quantum.n_parameters == classical.n_parameters
    assert classical.settings == 1
    # All factors commute: any number of steps is one.
    assert classical.factors == 36
    assert estimate(RandomModel(6, 6, "Z", scale=0.2), trotter_steps=50).gates == classical.gates


def test_does_not_import_qiskit() -> None:
    code = (
        "import sys; sys.modules['qiskit'] = None\n"
        "from tnqbm.quantum.resources import RandomModel, estimate\n"
        "estimate(RandomModel(3, 1, scale=0.1), log_partition='bound')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "magic"}, "strategy"),
        ({"coupling_map": "star"}, "coupling_map"),
        ({"trotter_steps": 0}, "trotter_steps"),
        ({"trotter_steps": 1.5}, "trotter_steps"),
        ({"order": 4}, "order"),
        ({"target_error": 0.0}, "target_error"),
        ({"target_error": math.nan}, "target_error"),
        ({"ancillas": "none"}, "ancillas"),
        ({"hidden_start": "plus"}, "hidden_start"),
        ({"readout": "guess"}, "readout"),
        ({"log_partition": "tensor"}, "log_partition"),
        ({"log_partition": math.inf}, "log_partition"),
        ({"strategy": "thermal", "readout": "closed form"}, "thermal"),
    ],
)
def test_bad_input(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimate(XYZ, **arguments)


def test_bad_models() -> None:
    with pytest.raises(TypeError, match="an SqBM or a RandomModel"):
        estimate(PauliHamiltonian.from_sqrbm(XYZ))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n >= 1"):
        estimate(RandomModel(0, 2))
    with pytest.raises(ValueError, match="multiple"):
        estimate(RandomModel(5, 3, connectivity="line-2"))
    with pytest.raises(ValueError, match="all-to-all"):
        estimate(RandomModel(200, 200), coupling_map="line")


def test_fields_are_plain() -> None:
    assert isinstance(estimate(XYZ), Resources)
    text = json.dumps(estimate(XYZ).as_dict())
    assert '"two_qubit_gates"' in text
