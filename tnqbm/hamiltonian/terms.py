"""Sums of Pauli strings as bit masks: matrices from them and traces with them, without products.

With qubit 0 the most significant bit of a basis state k, a string is

    P |k> = i^(number of Y) (-1)^popcount(z & k) |k xor x>

where x has a bit for each X and Y, and z one for each Y and Z. Strings of one x differ by signs
only, and the sums over signs are Walsh-Hadamard transforms: a matrix, or the traces with all
strings, take q 2^q operations for each different x, with q qubits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Integer = NDArray[np.int64]
Matrices = NDArray[Any]

MAX_QUBITS = 62
"""Most qubits whose basis states have an index in 64 bits."""

_X_BITS = str.maketrans("IXYZ", "0110")
_Z_BITS = str.maketrans("IXYZ", "0011")


def check_string(string: str, n_qubits: int | None = None) -> str:
    """Return a Pauli string as it is; ValueError unless it is one (over ``n_qubits`` qubits)."""
    if not isinstance(string, str):
        raise TypeError(f"a Pauli string is a str such as 'ZIX', got {type(string).__name__}")
    if n_qubits is not None and len(string) != n_qubits:
        raise ValueError(
            f"expected {n_qubits} letters of I, X, Y, Z, one for each qubit, got {string!r}"
        )
    unknown = set(string) - set("IXYZ")
    if unknown:
        raise ValueError(f"term {string!r} contains {sorted(unknown)}; use I, X, Y, Z")
    return string


def walsh(values: Matrices) -> None:
    """Replace f(z) by sum_z (-1)^popcount(z & k) f(z), in place; length 2**q, contiguous."""
    width = 1
    while width < values.size:
        pairs = values.reshape(-1, 2, width)
        total = pairs[:, 0] + pairs[:, 1]
        np.subtract(pairs[:, 0], pairs[:, 1], out=pairs[:, 1])
        pairs[:, 0] = total
        width *= 2


class PauliTable:
    """Pauli strings over one number of qubits as bit masks, grouped by what they flip.

    ``x``, ``z`` (T,) int64 masks, ``phase`` (T,) complex i^(number of Y), all in the order of the
    strings. Basis states are cut into a label, the leading qubits, and the ``m`` qubits after it:
    operators that flip no qubit of the label are blocks of 2**m x 2**m, one for each label.
    """

    def __init__(self, strings: Sequence[str], n_qubits: int) -> None:
        if n_qubits > MAX_QUBITS:
            raise ValueError(f"states of {n_qubits} qubits have no index of {MAX_QUBITS} bits")
        self.n_qubits = n_qubits
        masks = [(int(s.translate(_X_BITS), 2), int(s.translate(_Z_BITS), 2)) for s in strings]
        table = np.array(masks, dtype=np.int64).reshape(-1, 2)
        self.x, self.z = table[:, 0].copy(), table[:, 1].copy()
        count = np.bitwise_count(self.x & self.z).astype(np.int64)
        self.phase = np.array([1, 1j, -1, -1j])[count % 4]
        self.is_real = not bool((count % 2).any())
        """Whether all strings are real matrices: an even number of Y in each."""
        flips, group = np.unique(self.x, return_inverse=True)
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(flips.size))
        members = np.split(order, starts[1:]) if flips.size else []
        self.groups = [(int(x), who) for x, who in zip(flips, members, strict=True)]
        """(x, indices of the strings that have it), ascending in x."""

    @property
    def flips(self) -> int:
        """Mask of the qubits on which some string has X or Y."""
        return int(np.bitwise_or.reduce(self.x)) if self.x.size else 0

    def blocks(self, coefficients: Float, m: int, first: int, count: int) -> Matrices:
        """Blocks (count, 2**m, 2**m) of sum_t coefficients[t] P_t at labels from ``first`` on.

        ``count`` is a power of two and divides ``first``. No string may flip a qubit of the label.
        float64 if all strings are real, else complex128.
        """
        size = 1 << m
        matrices = np.zeros((count, size, size), np.float64 if self.is_real else np.complex128)
        column = np.arange(size)
        for x, members in self.groups:
            values = self._signed_sums(coefficients, members, first * size, count * size)
            matrices[:, column ^ x, column] = values.reshape(count, size)
        return matrices

    def diagonal(self, coefficients: Float, m: int, first: int, count: int) -> Float:
        """Diagonals (count, 2**m) of :meth:`blocks`."""
        size = 1 << m
        for x, members in self.groups:
            if x == 0:
                values = self._signed_sums(coefficients, members, first * size, count * size)
                return np.ascontiguousarray(values.real).reshape(count, size)
        return np.zeros((count, size))

    def traces(self, blocks: Matrices, weights: Float, m: int, first: int) -> Float:
        """sum_v weights[v] Tr[P_t B_v] for all strings (T,), B (count, 2**m, 2**m) Hermitian.

        The labels are those from ``first`` on, ``count`` a power of two that divides it. Strings
        that flip a qubit of the label give 0.
        """
        count, size = blocks.shape[:2]
        found = np.zeros(self.x.size)
        row = np.arange(size)
        for x, members in self.groups:
            if x >> m:
                continue
            values = (weights[:, None] * blocks[:, row, row ^ x]).ravel()
            walsh(values)
            low = self.z[members] & (count * size - 1)
            signs = signs_of(self.z[members], first * size)
            found[members] = np.real(self.phase[members] * signs * values[low])
        return found

    def _signed_sums(self, coefficients: Float, who: Integer, first: int, count: int) -> Matrices:
        """sum_t c_t phase_t (-1)^popcount(z_t & k) for the basis states k from ``first`` on."""
        phase = self.phase[who].real if self.is_real else self.phase[who]
        values = np.zeros(count, phase.dtype)
        signed = coefficients[who] * phase * signs_of(self.z[who], first)
        np.add.at(values, self.z[who] & (count - 1), signed)
        walsh(values)
        return values


def signs_of(z: Integer, state: int | Integer) -> Float:
    """(-1)^popcount(z & state), by broadcasting."""
    return np.asarray(1.0 - 2.0 * (np.bitwise_count(z & state) & 1))
