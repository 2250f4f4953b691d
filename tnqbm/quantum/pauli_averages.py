"""Expectations of Pauli strings in the Gibbs state of any Hamiltonian, from shots.

Strings that commute qubit by qubit are measured by one circuit, whose shots serve every string that
its letters cover. Works for all of :mod:`tnqbm.hamiltonian`: couplings inside the layers, terms
that flip visible qubits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.states import spins
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.hamiltonian.terms import check_string
from tnqbm.quantum.devices import Device
from tnqbm.quantum.endian import commuting_groups
from tnqbm.quantum.imaginary_time import gibbs_shots
from tnqbm.quantum.spent import Spent

Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PauliAverages(Spent):
    """Expectations from shots, and what they took.

    Attributes
    ----------
    values : {string: (expectation, standard error)}, the error that of shot noise alone; it is 0
        where the value is known without measuring.
    bases : the Pauli matrices measured, a letter for each qubit, one entry for each circuit.
    """

    values: Mapping[str, tuple[float, float]]
    bases: tuple[str, ...]


def measured_averages(
    device: Device,
    hamiltonian: PauliHamiltonian,
    paulis: Iterable[str],
    *,
    shots: int,
    trotter_steps: int,
    rng: np.random.Generator,
) -> PauliAverages:
    """Expectations of ``paulis``, strings over all qubits; ``shots`` of each circuit.

    Raises as :func:`tnqbm.quantum.imaginary_time.gibbs_shots`, and ValueError on wrong strings.
    """
    strings = [check_string(pauli, hamiltonian.n_qubits) for pauli in dict.fromkeys(paulis)]
    known = {pauli: value for pauli in strings if (value := _known(hamiltonian, pauli)) is not None}
    wanted = [pauli for pauli in strings if pauli not in known]
    bases = [_basis(group) for group in commuting_groups(wanted)]
    if not bases:
        return PauliAverages(values={pauli: (known[pauli], 0.0) for pauli in strings}, bases=())
    outcomes, spent = gibbs_shots(
        device, hamiltonian, bases, shots=shots, trotter_steps=trotter_steps, rng=rng
    )
    every = [spins(np.concatenate(pair, axis=1)) for pair in outcomes]
    values = {
        pauli: (known[pauli], 0.0) if pauli in known else _average(pauli, bases, every)
        for pauli in strings
    }
    return PauliAverages(values=values, bases=tuple(bases), **spent.spent)


def sign_error(mean: Float | float, count: Float | int) -> Float:
    """Standard error of the mean of +1 and -1, not 0 where all were alike: one more of each."""
    shrunk = mean * count / (count + 2.0)
    return np.asarray(np.sqrt((1.0 - shrunk**2) / count))


def _known(hamiltonian: PauliHamiltonian, pauli: str) -> float | None:
    """An expectation that needs no measurement, or None.

    A Gibbs state that is diagonal over the visible qubits has none of what flips them.
    """
    if set(pauli) == {"I"}:
        return 1.0
    if hamiltonian.is_semi_quantum and {"X", "Y"} & set(pauli[: hamiltonian.n_visible]):
        return 0.0
    return None


def _basis(group: Sequence[str]) -> str:
    """What a group measures on every qubit; Z where none of it asks for anything."""
    letters = (set(column) - {"I"} for column in zip(*group, strict=True))
    return "".join(own.pop() if own else "Z" for own in letters)


def _average(pauli: str, bases: Sequence[str], every: Sequence[Float]) -> tuple[float, float]:
    """Over the shots (K, qubits) of all circuits that measure a string."""
    support = [k for k, letter in enumerate(pauli) if letter != "I"]
    products = [
        one[:, support].prod(axis=1)
        for basis, one in zip(bases, every, strict=True)
        if all(basis[k] == pauli[k] for k in support)
    ]
    found = np.concatenate(products)
    mean = float(found.mean())
    return mean, float(sign_error(mean, found.size))
