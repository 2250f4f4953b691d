"""Pauli matrices, strings of them, and the sets of them that a hidden unit may carry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]

PAULI_MATRICES: dict[str, Complex] = {
    "I": np.eye(2, dtype=np.complex128),
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    "Z": np.array([[1, 0], [0, -1]], dtype=np.complex128),
}

PAPER_SETS = {1: "Z", 2: "XZ", 3: "XYZ"}
"""The paper's set of each size."""


def check_paulis(paulis: str) -> str:
    """Return ``paulis`` if it names one to three different Pauli matrices, else raise ValueError.

    Any order of letters is allowed; it is the order of the rows of ``b`` and ``w``.
    """
    if not isinstance(paulis, str):
        raise TypeError(f"paulis must be a string such as 'XYZ', got {type(paulis).__name__}")
    if not paulis:
        raise ValueError("paulis is empty: name one to three of X, Y, Z, for example 'XYZ'")
    unknown = sorted(set(paulis) - set("XYZ"))
    if unknown:
        raise ValueError(
            f"paulis = {paulis!r} contains {', '.join(map(repr, unknown))}; "
            "only the letters X, Y and Z are allowed (upper case), for example 'XZ'"
        )
    if len(set(paulis)) != len(paulis):
        doubled = sorted({p for p in paulis if paulis.count(p) > 1})
        raise ValueError(
            f"paulis = {paulis!r} repeats {', '.join(map(repr, doubled))}; "
            "name each Pauli matrix at most once"
        )
    return paulis


def pauli_string(term: str) -> Complex:
    """Dense matrix of a Pauli string, first letter the most significant qubit."""
    result: Complex = np.eye(1, dtype=np.complex128)
    for letter in term:
        result = np.asarray(np.kron(result, PAULI_MATRICES[letter]))
    return result


BASES = ("random", "each", "X", "Y", "Z")
"""In what chains measure hidden qubits: one of the model's Pauli matrices drawn for each chain and
step, one for each qubit as well, or always the same."""


def check_basis(basis: str, paulis: str = "") -> None:
    """ValueError if a basis is not one of ``BASES``, or none of a model's ``paulis``.

    Of a matrix that the model does not have, outcomes would be fair coins, and p(v | h) would be
    p(v) itself: nothing would be left of the two half steps. ``paulis`` is "" where they are not
    known.
    """
    if basis not in BASES:
        raise ValueError(f"basis: {basis!r} is not one of {', '.join(BASES)}")
    if paulis and basis not in (*paulis, "random", "each"):
        raise ValueError(
            f"basis: {basis!r} is not among the model's Pauli matrices {paulis!r}, so outcomes "
            "would say nothing about the visible units; take one of these, 'random' or 'each'"
        )
