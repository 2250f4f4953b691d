"""Without Qiskit everything else works, and the error names the extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tnqbm import MissingExtraError, PauliHamiltonian, SqRBM
from tnqbm.quantum.extra import need_qiskit


def test_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit", None)
    with pytest.raises(MissingExtraError, match=r"needs qiskit.*tnqbm\[quantum\]"):
        need_qiskit("this")
    import tnqbm.quantum

    for name in tnqbm.quantum.__all__:
        with pytest.raises(MissingExtraError, match=r"tnqbm\[quantum\]"):
            getattr(tnqbm.quantum, name)


def test_modules_imported_directly_say_so_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from tnqbm.quantum import endian, gibbs, proposal, surrogate, thermal

    monkeypatch.setitem(sys.modules, "qiskit", None)
    model = SqRBM.uniform(2, 1, "XZ", seed=1)
    ising = surrogate.expand_surrogate(model)
    for use in (
        lambda: endian.to_sparse_pauli_op(PauliHamiltonian({"ZX": 0.5}, 1)),
        lambda: thermal.hidden_thermal_circuit(model, [0, 1]),
        lambda: thermal.thermal_template(1),
        lambda: gibbs.gibbs_circuit(model.hamiltonian(), trotter_steps=1),
        lambda: proposal.proposal_circuit([0, 1], ising, time=1.0, gamma=0.5, steps=1),
    ):
        with pytest.raises(MissingExtraError, match=r"tnqbm\[quantum\]"):
            use()


def test_unknown_names_are_attribute_errors() -> None:
    import tnqbm.quantum

    assert "gibbs_circuit" in dir(tnqbm.quantum)
    with pytest.raises(AttributeError, match="no attribute 'gibs'"):
        _ = tnqbm.quantum.gibs


def test_nothing_imports_qiskit_before_it_is_used() -> None:
    code = (
        "import sys, tnqbm, tnqbm.quantum, mc, mc.cli; "
        "assert not any(name.split('.')[0].startswith('qiskit') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
