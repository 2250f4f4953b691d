"""Averages of sqBMs whose hidden groups are measured in thermal circuits, given visible states."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.states import spins, states_of
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.terms import check_string
from tnqbm.quantum.conventions import bits_from_bit_array
from tnqbm.quantum.devices import Device
from tnqbm.quantum.group_settings import hidden_settings
from tnqbm.quantum.group_thermal import group_thermal_circuit, thermal_groups
from tnqbm.quantum.imaginary_time import PauliAverages, covering, covers, sign_error

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

Float = NDArray[np.float64]
States = NDArray[np.uint8]


def thermal_averages(
    device: Device,
    model: SqBM,
    paulis: Iterable[str],
    samples: States,
    *,
    rng: np.random.Generator,
) -> PauliAverages:
    """Expectations of ``paulis``, strings over all qubits, at visible states (K, n).

    What concerns visible units alone is averaged over the samples, which are taken to be
    independent. The hidden qubits of each are measured once for each setting of
    :func:`tnqbm.quantum.group_settings.hidden_settings` that a string needs, and for each set of
    other strings that commute qubit by qubit. Every different state needs a circuit of its own. On
    an ideal device outcomes are drawn from their distribution, group by group. ValueError on wrong
    strings.
    """
    n, m = model.n_visible, model.n_hidden
    strings = [check_string(pauli, n + m) for pauli in dict.fromkeys(paulis)]
    # The Gibbs state is diagonal over the visible units.
    flipping = [pauli for pauli in strings if {"X", "Y"} & set(pauli[:n])]
    wanted = {pauli[n:] for pauli in strings if pauli not in flipping} - {"I" * m}
    bases = covering(sorted(wanted), hidden_settings(model))
    measure = _drawn if device.ideal else _measured
    outcomes = [spins(measure(device, model, samples, basis, rng)) for basis in bases]
    s = spins(samples)
    known = dict.fromkeys(flipping, (0.0, 0.0)) | {"I" * (n + m): (1.0, 0.0)}
    values = {
        pauli: known[pauli]
        if pauli in known
        else _average(s[:, [i for i in range(n) if pauli[i] == "Z"]], pauli[n:], bases, outcomes)
        for pauli in strings
    }
    plain = [_plain(group_thermal_circuit(model, samples[0], basis)) for basis in bases]
    shots = len(bases) * len(samples)
    return PauliAverages(
        values=values,
        bases=tuple("Z" * n + basis for basis in bases),
        shots=shots,
        kept_shots=shots,
        depth=max((circuit.depth() for circuit in plain), default=0),
        two_qubit_gates=max((circuit.num_nonlocal_gates() for circuit in plain), default=0),
    )


def _drawn(
    device: Device, model: SqBM, samples: States, basis: str, rng: np.random.Generator
) -> States:
    """Outcomes (K, m) of the hidden qubits, from their exact distribution."""
    bits = np.empty((len(samples), model.n_hidden), dtype=np.uint8)
    distinct, place = np.unique(samples, axis=0, return_inverse=True)
    for u, state in enumerate(distinct):
        rows = np.flatnonzero(place.ravel() == u)
        for group, populations, vectors in thermal_groups(model, state, basis):
            p = np.abs(vectors) ** 2 @ populations
            drawn = rng.choice(p.size, size=rows.size, p=p / p.sum())
            bits[rows[:, None], np.array(group)] = states_of(drawn, len(group))
    return bits


def _measured(
    device: Device, model: SqBM, samples: States, basis: str, rng: np.random.Generator
) -> States:
    """Outcomes (K, m) of the hidden qubits, from a device."""
    distinct, place, counts = np.unique(samples, axis=0, return_inverse=True, return_counts=True)
    pubs = [
        (device.transpiled(group_thermal_circuit(model, state, basis)), None, int(count))
        for state, count in zip(distinct, counts, strict=True)
    ]
    data = device.run(pubs, seed=int(rng.integers(1 << 63)))
    bits = np.empty((len(samples), model.n_hidden), dtype=np.uint8)
    bits[np.argsort(place.ravel(), kind="stable")] = np.concatenate(
        [bits_from_bit_array(result["hidden"]) for result in data]
    )
    return bits


def _average(
    visible: Float, hidden: str, bases: list[str], outcomes: list[Float]
) -> tuple[float, float]:
    """Mean and standard error over samples, of each the mean over all bases that cover a string."""
    support = [j for j, letter in enumerate(hidden) if letter != "I"]
    covering = [
        found[:, support].prod(axis=1)
        for basis, found in zip(bases, outcomes, strict=True)
        if covers(basis, hidden)
    ]
    each = visible.prod(axis=1) * (np.mean(covering, axis=0) if support else 1.0)
    count = len(each)
    spread = float(each.std(ddof=1)) / np.sqrt(count)
    return float(each.mean()), max(spread, float(sign_error(1.0, count)))


def _plain(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit in gates of one and two qubits."""
    from qiskit import transpile

    return transpile(circuit, basis_gates=["cx", "u"], optimization_level=1, seed_transpiler=0)
