"""Hamiltonians of the hidden groups of an sqBM as dense matrices, one model at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.paulis import Complex, pauli_string
from tnqbm.hamiltonian.grouped import SqBM

Float = NDArray[np.float64]


def group_hamiltonians(model: SqBM, s: Float) -> list[Complex]:
    """H_g of each of ``model.groups``, (2**k, 2**k), the first qubit the most significant bit.

    ``s`` (n,) are the visible spins, or their means: H_g is linear in each of them. Without the
    terms of visible units alone.
    """
    letters, parameters = model.paulis, model.parameters
    fields = parameters["b"] + np.einsum("i,pij->pj", s, parameters["w"])
    kinds = [(p, r) for p in letters for r in letters if p == r or not model.layout.equal]
    couplings = parameters["hidden"].reshape(-1, len(kinds))
    found = []
    for group in model.groups:
        place = {j: k for k, j in enumerate(group)}
        total = np.zeros((1 << len(group), 1 << len(group)), dtype=np.complex128)
        for j, k in place.items():
            for p, letter in enumerate(letters):
                total += fields[p, j] * _string({k: letter}, len(group))
        for (j, k), values in zip(model.layout.hidden_edges.tolist(), couplings, strict=True):
            if j in place:
                for (one, two), value in zip(kinds, values, strict=True):
                    total += value * _string({place[j]: one, place[k]: two}, len(group))
        found.append(total)
    return found


def thermal_parts(matrix: Complex) -> tuple[float, Float, Complex]:
    """log Tr exp(-H), the populations of its eigenstates (2**k,), and these as columns."""
    energies, vectors = np.linalg.eigh(matrix)
    weights = np.exp(-(energies - energies[0]))
    total = float(weights.sum())
    return float(np.log(total) - energies[0]), weights / total, vectors


def _string(letters: dict[int, str], qubits: int) -> Complex:
    return pauli_string("".join(letters.get(k, "I") for k in range(qubits)))
