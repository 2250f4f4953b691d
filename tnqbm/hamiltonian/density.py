"""Quantum data: relative entropies of density matrices and models, and their gradients.

The model of a density matrix rho of the visible qubits is sigma = Tr_hidden exp(-H) / Z. The
relative entropy S(rho || sigma) = Tr rho (log rho - log sigma) is the loss of quantum
Boltzmann machines (Kieferova & Wiebe, Phys. Rev. A 96, 062327 (2017)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import plain_array
from tnqbm.base.process import one_thread
from tnqbm.datasets import Target
from tnqbm.hamiltonian.gibbs import BlockGibbs, DenseGibbs, entropy_of
from tnqbm.hamiltonian.terms import PauliTable

if TYPE_CHECKING:
    from tnqbm.hamiltonian.operator import PauliHamiltonian

Float = NDArray[np.float64]

ROUNDING = 1e-8
"""By how much a density matrix may miss being one."""
RESOLVED = 1e-13
"""Smallest eigenvalue of sigma whose logarithm is known."""


def as_density(rho: ArrayLike, n: int) -> NDArray[Any]:
    """A density matrix (2**n, 2**n); ValueError unless it is Hermitian, positive, of trace 1."""
    matrix = plain_array(rho, "rho")
    if matrix.shape != (1 << n, 1 << n):
        raise ValueError(
            f"rho must be a density matrix of the {n} visible qubits, {1 << n} x {1 << n}, got "
            f"shape {matrix.shape}"
        )
    if not np.isfinite(matrix).all():
        raise ValueError("rho has entries that are not finite")
    if np.abs(matrix - matrix.conj().T).max() > ROUNDING:
        raise ValueError("rho is not Hermitian")
    if abs(np.trace(matrix).real - 1.0) > ROUNDING:
        raise ValueError(f"rho has trace {np.trace(matrix).real:g}, not 1")
    with one_thread():
        lowest = float(np.linalg.eigvalsh(matrix)[0])
    if lowest < -ROUNDING:
        raise ValueError(f"rho has the negative eigenvalue {lowest:g}")
    return matrix


def relative_entropy(h: PauliHamiltonian, rho: NDArray[Any], table: PauliTable) -> float:
    """S(rho || sigma) in nats."""
    loss = -entropy_of(rho[None])
    if h.n_hidden == 0:
        return loss + float(h.to_vector() @ _traces(table, rho)) + h.log_partition()
    if h.is_semi_quantum:
        p, q = h.probabilities(), np.diag(rho).real
        return loss - float(q[q > 0] @ np.log(p[q > 0]))
    values, basis = _model_spectrum(h, rho)
    return loss - float(_inside(rho, basis).diagonal().real @ np.log(values))


def gradient(
    h: PauliHamiltonian, rho: NDArray[Any], table: PauliTable, gibbs: BlockGibbs | DenseGibbs
) -> Float:
    """dS(rho || sigma)/d(coefficient), (T,): Tr rho P - <P> without hidden qubits.

    With them, log sigma is differentiated in its eigenbasis and exp(-H) in that of H.
    """
    if h.n_hidden == 0:
        return _traces(table, rho) - h.expectations(h.terms)
    if not isinstance(gibbs, DenseGibbs):
        target = Target.from_dense(np.diag(rho).real.clip(0.0) / np.trace(rho).real)
        return np.array([*h.gradient(target).values()])
    values, basis = _model_spectrum(h, rho)
    gap = np.subtract.outer(values, values)
    logs = np.subtract.outer(np.log(values), np.log(values))
    # Beside the diagonal eigenvalues may be equal to rounding: there the slope is that of log.
    near = np.abs(gap) < 1e-6 * np.add.outer(values, values)
    slopes = np.where(near, 2.0 / np.add.outer(values, values), 0.0)
    np.divide(logs, gap, out=slopes, where=~near)
    with one_thread():
        observable = basis @ (slopes * _inside(rho, basis)) @ basis.conj().T
    return gibbs.response(np.kron(observable, np.eye(1 << h.n_hidden)))


def _traces(table: PauliTable, rho: NDArray[Any]) -> Float:
    """Tr rho P of all strings over the qubits of rho."""
    return table.traces(rho[None], np.ones(1), table.n_qubits, 0)


def _model_spectrum(h: PauliHamiltonian, rho: NDArray[Any]) -> tuple[Float, NDArray[Any]]:
    """Eigenvalues and eigenvectors of sigma; FloatingPointError where rho has what sigma lacks."""
    with one_thread():
        values, basis = np.linalg.eigh(h.reduced(range(h.n_visible)))
    weights = _inside(rho, basis).diagonal().real
    if (weights[values < RESOLVED] > ROUNDING).any():
        raise FloatingPointError(
            f"rho has weight where the model's eigenvalues are below {RESOLVED:g}, whose logarithm "
            "double precision does not resolve: make the coefficients smaller"
        )
    return np.maximum(values, RESOLVED), basis


def _inside(rho: NDArray[Any], basis: NDArray[Any]) -> NDArray[Any]:
    with one_thread():
        return np.asarray(basis.conj().T @ rho @ basis)
