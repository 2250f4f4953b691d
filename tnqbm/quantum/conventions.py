"""What circuits have in common: Qiskit itself, the order of qubits, directions on the Bloch sphere.

Here qubit 0 (the first letter of a Pauli string, the first visible unit) is the most significant
bit of an index; in Qiskit it is the least significant bit and the last letter. Qubit k is index k
in every circuit of this package. Labels, bit strings and arrays have to be reversed, and only this
module does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import MissingExtraError
from tnqbm.hamiltonian.operator import PauliHamiltonian

if TYPE_CHECKING:
    from qiskit.primitives import BitArray
    from qiskit.quantum_info import DensityMatrix, SparsePauliOp, Statevector


def need_qiskit(purpose: str) -> Any:
    """The package ``qiskit``; MissingExtraError, naming the extra, where it is not installed."""
    try:
        import qiskit
    except ImportError as error:
        raise MissingExtraError("qiskit", "quantum", purpose) from error
    return qiskit


Bits = NDArray[np.uint8]
Float = NDArray[np.float64]


def to_sparse_pauli_op(hamiltonian: PauliHamiltonian) -> SparsePauliOp:
    """The same Hamiltonian for Qiskit; MissingExtraError without Qiskit."""
    need_qiskit("SparsePauliOp")
    from qiskit.quantum_info import SparsePauliOp

    terms = [(term[::-1], value) for term, value in hamiltonian.terms.items()]
    return SparsePauliOp.from_list(terms, num_qubits=hamiltonian.n_qubits)


def from_sparse_pauli_op(operator: SparsePauliOp, n_visible: int) -> PauliHamiltonian:
    """The Hamiltonian of a Qiskit operator whose qubits 0 to n_visible - 1 are the visible units.

    Equal strings are added. Raises ValueError on coefficients that are not real or are unbound
    parameters.
    """
    terms: dict[str, float] = {}
    for label, value in operator.to_list():
        try:
            number = complex(value)
        except TypeError:
            raise ValueError(f"the coefficient of {label!r} has unbound parameters") from None
        if number.imag:
            raise ValueError(
                f"the coefficient of {label!r} is {number}; a Hamiltonian needs real coefficients"
            )
        term = label[::-1]
        terms[term] = terms.get(term, 0.0) + number.real
    return PauliHamiltonian(terms, n_visible, n_qubits=operator.num_qubits)


def commuting_groups(paulis: Sequence[str]) -> list[list[str]]:
    """Pauli strings in groups that one circuit measures: on each qubit all letters of a group are
    I or one and the same (Qiskit's grouping by a greedy colouring)."""
    need_qiskit("grouping Pauli strings")
    from qiskit.quantum_info import SparsePauliOp

    if not paulis:
        return []
    operator = SparsePauliOp([pauli[::-1] for pauli in paulis])
    groups = operator.group_commuting(qubit_wise=True)
    return [[label[::-1] for label in group.paulis.to_labels()] for group in groups]


def bits_from_bit_array(bits: BitArray) -> Bits:
    """Outcomes of a sampler, one row per shot: (K, n) uint8, column k the classical bit k.

    ``bits`` is one register of a result of any SamplerV2, as in ``result[0].data.visible``. Where
    the job had several sets of parameters, their shots follow one another (C order).
    """
    rows = np.asarray(bits.to_bool_array(order="little"))
    return rows.reshape(-1, rows.shape[-1]).astype(np.uint8)


def bits_from_counts(counts: Mapping[str, int], n: int) -> tuple[Bits, NDArray[np.int64]]:
    """The states (U, n) of a dictionary of counts over one register, and how often each came.

    Raises ValueError where a key is no string of n bits.
    """
    for key in counts:
        if len(key) != n or set(key) - {"0", "1"}:
            raise ValueError(f"counts have the key {key!r}; expected strings of {n} bits")
    states = np.array([[int(bit) for bit in reversed(key)] for key in counts], dtype=np.uint8)
    return states.reshape(len(counts), n), np.array(list(counts.values()), dtype=np.int64)


def probabilities(state: Statevector, qubits: Sequence[int]) -> Float:
    """Joint distribution of Z outcomes of some qubits, (2**len(qubits),), the first one the most
    significant. Not normalised where the state is not.
    """
    return np.asarray(state.probabilities(list(reversed(qubits))), dtype=np.float64)


def density_matrix(state: Statevector | DensityMatrix, qubits: Sequence[int]) -> NDArray[Any]:
    """Reduced density matrix of some qubits (2**q, 2**q), the first one the most significant."""
    need_qiskit("density matrices")
    from qiskit.quantum_info import DensityMatrix, partial_trace

    others = [k for k in range(state.num_qubits) if k not in set(qubits)]
    ascending = sorted(qubits)
    reduced = DensityMatrix(partial_trace(state, others)).data
    q = len(ascending)
    # Axis l of Qiskit's array is ascending[q - 1 - l].
    axes = [q - 1 - ascending.index(qubit) for qubit in qubits]
    tensor = reduced.reshape((2,) * (2 * q)).transpose(axes + [q + axis for axis in axes])
    return np.asarray(tensor.reshape(1 << q, 1 << q))


def matrix(unitary: NDArray[Any]) -> NDArray[Any]:
    """A matrix over all qubits (2**q, 2**q) from Qiskit's order to ours, or back."""
    q = unitary.shape[0].bit_length() - 1
    order = list(reversed(range(q)))
    tensor = unitary.reshape((2,) * (2 * q)).transpose(order + [q + axis for axis in order])
    return np.asarray(tensor.reshape(unitary.shape))


AXES = "XYZ"
"""The Pauli matrices in the order of the components of a Bloch vector."""


def polar_angles(direction: Float) -> tuple[Float, Float]:
    """Angles (theta, phi) with R_z(phi) R_y(theta) Z (R_z(phi) R_y(theta))^-1 = direction . sigma.

    ``direction`` (..., 3), any length but 0, for which both angles are 0.
    """
    x, y, z = np.moveaxis(np.asarray(direction, dtype=np.float64), -1, 0)
    return np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)


def seen_in(letter: str, direction: Float) -> Float:
    """The Bloch vector after the gates that make a measurement of ``letter`` one of Z.

    These gates are H for X, and S^-1 followed by H for Y. ``direction`` (..., 3).
    """
    x, y, z = np.moveaxis(np.asarray(direction, dtype=np.float64), -1, 0)
    turned = {"X": (z, -y, x), "Y": (z, x, y), "Z": (x, y, z)}[letter]
    return np.stack(turned, axis=-1)


def check_letters(name: str, letters: str, count: int, what: str) -> str:
    """One letter of X, Y, Z for each of ``count`` qubits; a single letter stands for all.

    Raises TypeError or ValueError naming the argument ``name``.
    """
    if not isinstance(letters, str):
        raise TypeError(f"{name} must be a string such as 'XZ', got {type(letters).__name__}")
    unknown = sorted(set(letters) - set(AXES))
    if unknown:
        raise ValueError(f"{name} = {letters!r} contains {unknown}; use the letters X, Y, Z")
    if len(letters) == 1:
        return letters * count
    if len(letters) != count:
        raise ValueError(
            f"{name} = {letters!r} has {len(letters)} letters; give one letter, or one for each "
            f"of the {count} {what}"
        )
    return letters
