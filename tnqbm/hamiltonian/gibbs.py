"""Gibbs states of sums of Pauli strings: in blocks of the visible states, or as one matrix.

Both kinds answer the same questions. Blocks are for Hamiltonians that are diagonal over the
visible units: the state is sum_v p_v |v><v| x rho_v, and everything is a sum over v of matrices of
2**m x 2**m. BLAS runs on one thread, so that no digit depends on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from tnqbm.base.process import one_thread
from tnqbm.hamiltonian.forecast import KEPT_BYTES, chunk_size
from tnqbm.hamiltonian.terms import Matrices, PauliTable

Float = NDArray[np.float64]

RESOLVED = 1e-28
"""Smallest p(v) that eigenvectors in double precision resolve."""


class BlockGibbs:
    """The Gibbs state of a Hamiltonian that flips no visible qubit."""

    def __init__(self, table: PauliTable, coefficients: Float, n_visible: int) -> None:
        self._table, self._coefficients = table, coefficients
        self._n, self._m = n_visible, table.n_qubits - n_visible
        self._dtype = np.dtype(np.float64 if table.is_real else np.complex128)
        self._chunk = chunk_size(n_visible, self._m, self._dtype.itemsize)
        self._kept: list[Matrices] | None = None

    @cached_property
    def log_weights(self) -> Float:
        """log Tr[Lambda_v exp(-H)], (2**n,)."""
        rows = [logsumexp(-energies, axis=1) for energies in self._energies()]
        return np.asarray(np.concatenate(rows))

    @cached_property
    def log_partition(self) -> float:
        return float(logsumexp(self.log_weights))

    @cached_property
    def probabilities(self) -> Float:
        p = np.exp(self.log_weights - self.log_partition)
        return np.asarray(p / p.sum())

    def expectations(self, table: PauliTable) -> Float:
        return self._traces(table, self.probabilities)

    def gradient(self, q: Float) -> Float:
        """Proposition 3: expectations with v drawn from q, less those of the Gibbs state."""
        return self._traces(self._table, q - self.probabilities)

    def entropy(self) -> float:
        """S = sum_v p_v (S(rho_v) - log p_v), all terms positive."""
        total, first = 0.0, 0
        for energies in self._energies():
            p = self.probabilities[first : first + len(energies)]
            log_w = self.log_weights[first : first + len(energies)]
            conditional = np.exp(-energies - log_w[:, None])
            inside = (conditional * (energies + log_w[:, None])).sum(axis=1)
            total += float(p @ (inside + self.log_partition - log_w))
            first += len(energies)
        return total

    def reduced(self, qubits: Sequence[int]) -> Matrices:
        """Blocks (2**visible kept, 2**hidden kept, ...) of a reduced state, not yet in order.

        Kept visible qubits, in the order given, label the blocks; kept hidden qubits, in the
        order given, are their axes.
        """
        visible = [k for k in qubits if k < self._n]
        hidden = [k - self._n for k in qubits if k >= self._n]
        size = 1 << len(hidden)
        found = np.zeros((1 << len(visible), size, size), self._dtype)
        for first, states in self._states():
            p = self.probabilities[first : first + len(states)]
            v = np.arange(first, first + len(states))
            label = np.zeros_like(v)
            for k in visible:
                label = 2 * label + ((v >> (self._n - 1 - k)) & 1)
            np.add.at(found, label, p[:, None, None] * partial_trace(states, self._m, hidden))
        return found

    def transposed_norm(self, qubits: Sequence[int]) -> float:
        """Trace norm of the Gibbs state, partially transposed on some qubits.

        Transposing a visible qubit changes nothing: the state is diagonal there.
        """
        hidden = [k - self._n for k in qubits if k >= self._n]
        if len(hidden) in (0, self._m):
            return 1.0
        total = 0.0
        for first, states in self._states():
            turned = partial_transpose(states, self._m, hidden)
            with one_thread():
                norms = np.abs(np.linalg.eigvalsh(turned)).sum(axis=1)
            total += float(self.probabilities[first : first + len(states)] @ norms)
        return total

    def state(self) -> NDArray[np.complex128]:
        size = 1 << self._m
        rho = np.zeros((1 << self._n, size, 1 << self._n, size), np.complex128)
        for first, states in self._states():
            v = np.arange(first, first + len(states))
            rho[v, :, v, :] = self.probabilities[v][:, None, None] * states
        return rho.reshape(size << self._n, -1)

    def _traces(self, table: PauliTable, weights: Float) -> Float:
        total = np.zeros(table.x.size)
        for first, states in self._states():
            total += table.traces(states, weights[first : first + len(states)], self._m, first)
        return total

    def _energies(self) -> Iterator[Float]:
        """Eigenvalues of the blocks, (chunk, 2**m) at a time."""
        for first in range(0, 1 << self._n, self._chunk):
            if not self._table.flips:
                yield self._table.diagonal(self._coefficients, self._m, first, self._chunk)
                continue
            with one_thread():
                yield np.linalg.eigvalsh(self._blocks(first))

    def _states(self) -> Iterator[tuple[int, Matrices]]:
        """Conditional states rho_v of the hidden qubits, (chunk, 2**m, 2**m) at a time."""
        keep = (self._dtype.itemsize << self._n) * 4**self._m <= KEPT_BYTES
        if keep and self._kept is None:
            self._kept = [self._conditional(k) for k in range(0, 1 << self._n, self._chunk)]
        for k, first in enumerate(range(0, 1 << self._n, self._chunk)):
            yield first, self._conditional(first) if self._kept is None else self._kept[k]

    def _conditional(self, first: int) -> Matrices:
        if not self._table.flips:
            energies = self._table.diagonal(self._coefficients, self._m, first, self._chunk)
            states = np.zeros((*energies.shape, energies.shape[1]), self._dtype)
            k = np.arange(energies.shape[1])
            states[:, k, k] = np.exp(-energies - logsumexp(-energies, axis=1, keepdims=True))
            return states
        with one_thread():
            energies, basis = np.linalg.eigh(self._blocks(first))
            p = np.exp(energies[:, :1] - energies)
            p /= p.sum(axis=1, keepdims=True)
            return np.asarray((basis * p[:, None, :]) @ basis.conj().transpose(0, 2, 1))

    def _blocks(self, first: int) -> Matrices:
        return self._table.blocks(self._coefficients, self._m, first, self._chunk)


class DenseGibbs:
    """The Gibbs state of any Hamiltonian, from the eigenvectors of the whole matrix."""

    def __init__(self, table: PauliTable, coefficients: Float, n_visible: int) -> None:
        self._table, self._coefficients = table, coefficients
        self._n, self._q = n_visible, table.n_qubits
        itemsize = 8 if table.is_real else 16
        self._keep = itemsize * 4**self._q <= KEPT_BYTES
        self._kept: tuple[Float, Matrices] | None = None

    def _spectrum(self) -> tuple[Float, Matrices]:
        if self._kept is not None:
            return self._kept
        matrix = self._table.blocks(self._coefficients, self._q, 0, 1)[0]
        with one_thread():
            energies, basis = np.linalg.eigh(matrix)
        if self._keep:
            self._kept = energies, basis
        return energies, basis

    @cached_property
    def _visible(self) -> tuple[float, Float, float]:
        """log Z, p(v) and the entropy, of one decomposition."""
        energies, basis = self._spectrum()
        log_z = float(logsumexp(-energies))
        weights = np.exp(-energies - log_z)
        p = ((basis.real**2 + basis.imag**2) @ weights).reshape(1 << self._n, -1).sum(axis=1)
        return log_z, p / p.sum(), float(weights @ (energies + log_z))

    @property
    def log_partition(self) -> float:
        return self._visible[0]

    @property
    def probabilities(self) -> Float:
        return self._visible[1]

    @property
    def log_weights(self) -> Float:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.probabilities) + self.log_partition)

    def entropy(self) -> float:
        return self._visible[2]

    def state(self) -> Matrices:
        energies, basis = self._spectrum()
        p = np.exp(energies[0] - energies)
        with one_thread():
            return np.asarray((basis * (p / p.sum())) @ basis.conj().T)

    def expectations(self, table: PauliTable) -> Float:
        return table.traces(self.state()[None], np.ones(1), self._q, 0)

    def gradient(self, q: Float) -> Float:
        """Proposition 4, by divided differences in the eigenbasis (Daleckii-Krein).

        dL = -Tr[O d exp(-H)] = Tr[R dH] for all directions dH at once, with O the derivative of the
        log-likelihood by exp(-H), and R = U (D * U^dagger O U) U^dagger.
        """
        p = self.probabilities
        unresolved = np.flatnonzero((q > 0) & ~(p > RESOLVED))
        if unresolved.size:
            raise FloatingPointError(
                f"p(v) of state {unresolved[0]} of the target is below {RESOLVED:g}, too small for "
                "its gradient in double precision: make the coefficients smaller"
            )
        share = np.divide(q, p, out=np.zeros_like(q), where=q > 0)
        return self.response(np.repeat(share, 1 << (self._q - self._n)))

    def response(self, observable: Matrices) -> Float:
        """-Tr[(O - 1) d exp(-H)/d(coefficient)] / Z of all terms; O a matrix, or its diagonal."""
        energies, basis = self._spectrum()
        energies = energies - energies[0]
        total = float(np.exp(-energies).sum())
        # (e^-x - e^-y)/(y - x) = e^-min(x,y) (1 - e^-|x-y|)/|x-y|, stable also when x = y.
        gap = np.abs(np.subtract.outer(energies, energies))
        divided = np.divide(-np.expm1(-gap), gap, out=np.ones_like(gap), where=gap > 0)
        del gap
        divided *= np.exp(-np.minimum.outer(energies, energies))
        with one_thread():
            if observable.ndim == 1:
                seen = ((observable - 1.0) / total)[:, None] * basis
            else:
                seen = (observable @ basis - basis) / total
            rotated = basis.conj().T @ seen
            del seen
            rotated *= divided
            del divided
            response = basis @ rotated @ basis.conj().T
        return self._table.traces(response[None], np.ones(1), self._q, 0)

    def reduced(self, qubits: Sequence[int]) -> Matrices:
        return partial_trace(self.state()[None], self._q, qubits)

    def transposed_norm(self, qubits: Sequence[int]) -> float:
        if len(qubits) in (0, self._q):
            return 1.0
        turned = partial_transpose(self.state()[None], self._q, qubits)
        with one_thread():
            return float(np.abs(np.linalg.eigvalsh(turned)).sum())


def partial_trace(states: Matrices, m: int, keep: Sequence[int]) -> Matrices:
    """States (K, 2**k, 2**k) of the qubits ``keep``, in this order, of states of m qubits."""
    if list(keep) == list(range(m)):
        return states
    rest = [k for k in range(m) if k not in keep]
    order = [*keep, *rest]
    axes = [0, *(1 + k for k in order), *(1 + m + k for k in order)]
    kept, lost = 1 << len(keep), 1 << len(rest)
    tensor = states.reshape(-1, *(2,) * (2 * m)).transpose(axes)
    return np.asarray(np.einsum("varbr->vab", tensor.reshape(-1, kept, lost, kept, lost)))


def partial_transpose(states: Matrices, m: int, qubits: Sequence[int]) -> Matrices:
    """States (K, 2**m, 2**m) of m qubits, transposed on some of them."""
    axes = list(range(1 + 2 * m))
    for k in qubits:
        axes[1 + k], axes[1 + m + k] = axes[1 + m + k], axes[1 + k]
    tensor: Any = states.reshape(-1, *(2,) * (2 * m)).transpose(axes)
    return np.asarray(tensor.reshape(states.shape))


def entropy_of(states: Matrices) -> float:
    """-Tr rho log rho in nats of a block-diagonal state (K, d, d)."""
    with one_thread():
        values = np.linalg.eigvalsh(states).ravel()
    values = values[values > 0]
    return -float(values @ np.log(values))
