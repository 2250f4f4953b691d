"""Hamiltonians of the hidden groups of an sqBM as dense matrices, and its mean-field theory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.paulis import Complex, pauli_string
from tnqbm.hamiltonian.group_states import GroupStates
from tnqbm.hamiltonian.grouped import SqBM

Float = NDArray[np.float64]


def hidden_fields(model: SqBM, s: Float) -> Float:
    """Phi (..., P, m) that act on the hidden qubits at spins s (..., n), or at means of them."""
    parameters = model.parameters
    return np.asarray(parameters["b"] + np.einsum("...i,pij->...pj", s, parameters["w"]))


def group_hamiltonians(model: SqBM, s: Float) -> list[Complex]:
    """H_g of each of ``model.groups``, (..., 2**k, 2**k), the first qubit the most significant bit.

    ``s`` (..., n) are visible spins, or their means: H_g is linear in each of them. Without the
    terms of visible units alone.
    """
    phi = hidden_fields(model, s)
    return [_matrix(model, phi, group) for group in model.groups]


def thermal_parts(matrix: Complex) -> tuple[Float, Float, Complex]:
    """log Tr exp(-H) (...), the populations of its eigenstates (..., 2**k), these as columns."""
    energies, vectors = np.linalg.eigh(matrix)
    weights = np.exp(energies[..., :1] - energies)
    total = weights.sum(axis=-1)
    return np.log(total) - energies[..., 0], weights / total[..., None], vectors


def visible_couplings(model: SqBM) -> Float:
    """J (n, n), symmetric: the couplings of visible units contribute s.J.s / 2 to H."""
    couplings = np.zeros((model.n_visible, model.n_visible))
    i, k = model.layout.visible_edges.T
    couplings[i, k] = couplings[k, i] = model.parameters["visible"]
    return couplings


def mean_field(model: SqBM, x: Float) -> tuple[Float, Float, Float]:
    """Hidden averages sigma (M, P, m) at means x (M, n), fields Phi (M, P, m), and f (M,).

    f(x) = -a.x - x.J.x / 2 + sum_g log Tr exp(-H_g(x)), whose gradient is -a - J x - sum w sigma.
    f(x) plus the entropy of independent bits with means x is a lower bound of log Z.
    """
    sigma, value = GroupStates(model.layout).at_means(model.vector, x)
    return sigma, hidden_fields(model, x), value


def _matrix(model: SqBM, phi: Float, group: tuple[int, ...]) -> Complex:
    """H_g (..., 2**k, 2**k) of one group at hidden fields Phi (..., P, m)."""
    letters, size = model.paulis, len(group)
    place = {j: k for k, j in enumerate(group)}
    total = np.zeros((*phi.shape[:-2], 1 << size, 1 << size), dtype=np.complex128)
    for j, k in place.items():
        for p, letter in enumerate(letters):
            total += phi[..., p, j, None, None] * _string({k: letter}, size)
    kinds = model.layout.letters
    couplings = model.parameters["hidden"].reshape(-1, len(kinds))
    for (j, k), values in zip(model.layout.hidden_edges.tolist(), couplings, strict=True):
        if j in place:
            for (one, two), value in zip(map(tuple, kinds), values, strict=True):
                total += value * _string({place[j]: one, place[k]: two}, size)
    return total if "Y" in letters else np.asarray(total.real)


def _string(letters: dict[int, str], qubits: int) -> Complex:
    return pauli_string("".join(letters.get(k, "I") for k in range(qubits)))
