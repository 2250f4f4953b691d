"""Without Qiskit everything else works, and the error names the extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tnqbm import MissingExtraError, PauliHamiltonian, SqRBM
from tnqbm.quantum.conventions import need_qiskit


def test_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit", None)
    with pytest.raises(MissingExtraError, match=r"needs qiskit.*pip install 'qiskit"):
        need_qiskit("this")
    import tnqbm.quantum

    for name in tnqbm.quantum.__all__:
        getattr(tnqbm.quantum, name)
    for use in (
        lambda: tnqbm.quantum.QiskitGibbs(),
        lambda: tnqbm.quantum.open_device("aer"),
        lambda: tnqbm.quantum.Device.of(None),
    ):
        with pytest.raises(MissingExtraError, match=r"pip install 'qiskit"):
            use()


def test_what_only_calculates_needs_no_qiskit() -> None:
    """In a process of its own, in which nothing of Qiskit can be imported."""
    code = (
        "import sys; sys.modules['qiskit'] = None\n"
        "import tnqbm\n"
        "from tnqbm.quantum import RandomModel, estimate, expand_surrogate, trotterise\n"
        "assert estimate(RandomModel(4, 2, scale=0.1)).shots > 1e4\n"
        "model = tnqbm.SqRBM.uniform(3, 1, 'XZ', scale=0.1, seed=1)\n"
        "h = tnqbm.hamiltonian.PauliHamiltonian.from_sqrbm(model)\n"
        "assert 0 < trotterise(h, 2).success_probability() < 1\n"
        "assert expand_surrogate(model).n_visible == 3\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_modules_imported_directly_say_so_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from tnqbm.quantum import conventions, enhanced, gibbs, surrogate, thermal

    monkeypatch.setitem(sys.modules, "qiskit", None)
    model = SqRBM.uniform(2, 1, "XZ", seed=1)
    ising = surrogate.expand_surrogate(model)
    for use in (
        lambda: conventions.to_sparse_pauli_op(PauliHamiltonian({"ZX": 0.5}, 1)),
        lambda: thermal.hidden_thermal_circuit(model, [0, 1]),
        lambda: thermal.thermal_template(1),
        lambda: gibbs.gibbs_circuit(PauliHamiltonian.from_sqrbm(model), trotter_steps=1),
        lambda: enhanced.proposal_circuit([0, 1], ising, time=1.0, gamma=0.5, trotter_steps=1),
    ):
        with pytest.raises(MissingExtraError, match=r"pip install 'qiskit"):
            use()


def test_unknown_names_are_attribute_errors() -> None:
    import tnqbm.quantum

    assert "gibbs_circuit" in dir(tnqbm.quantum)
    with pytest.raises(AttributeError, match="gibs"):
        _ = tnqbm.quantum.gibs


def test_nothing_imports_qiskit_before_it_is_used() -> None:
    code = (
        "import sys, tnqbm, tnqbm.quantum, mc, mc.cli; "
        "assert not any(name.split('.')[0].startswith('qiskit') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
