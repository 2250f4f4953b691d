"""Any Hamiltonian of visible and hidden qubits as a sum of Pauli strings, evaluated densely.

This is the reference that the closed forms are tested against: nothing in it uses that an sqRBM
is diagonal over its visible units. Memory and time grow as 4**q and 8**q with q qubits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from tnqbm.datasets import Target
from tnqbm.paulis import PAULI_MATRICES, Complex, pauli_string

Float = NDArray[np.float64]

MAX_QUBITS = 11
"""Most qubits treated densely (a 2048 x 2048 complex matrix is 64 MB)."""


class PauliHamiltonian:
    """H = sum of coefficient * Pauli string, with Gibbs state exp(-H) / Tr exp(-H).

    Parameters
    ----------
    terms : {string: coefficient}, strings over I, X, Y, Z, one letter per qubit, visible units
        first: ``{"ZIX": 0.3}`` couples Z of qubit 1 to X of qubit 3. An empty mapping needs
        ``n_qubits``.
    n_visible : how many leading qubits are visible units.

    Raises ValueError on unequal or unknown strings, coefficients that are not finite, or more
    than 11 qubits.
    """

    def __init__(
        self, terms: Mapping[str, float], n_visible: int, *, n_qubits: int | None = None
    ) -> None:
        lengths = {len(term) for term in terms}
        if n_qubits is not None:
            lengths.add(n_qubits)
        if len(lengths) != 1:
            raise ValueError(
                f"all Pauli strings need one length, got lengths {sorted(lengths)}"
                if lengths
                else "no terms: give n_qubits for the zero Hamiltonian"
            )
        self.n_qubits = lengths.pop()
        if not 1 <= n_visible <= self.n_qubits:
            raise ValueError(
                f"n_visible must be between 1 and the {self.n_qubits} qubits, got {n_visible}"
            )
        if self.n_qubits > MAX_QUBITS:
            raise ValueError(
                f"{self.n_qubits} qubits need matrices of {16 * 4.0**self.n_qubits / 1e9:.1f} GB; "
                f"dense evaluation stops at {MAX_QUBITS}. For an sqRBM use tnqbm.exact, whose "
                "cost does not grow with 2**m"
            )
        self.n_visible = n_visible
        for term, value in terms.items():
            unknown = set(term) - set(PAULI_MATRICES)
            if unknown:
                raise ValueError(f"term {term!r} contains {sorted(unknown)}; use I, X, Y, Z")
            if not np.isfinite(value):
                raise ValueError(f"the coefficient of {term!r} is {value}")
        self.terms = {term: float(value) for term, value in terms.items()}

    def matrix(self) -> Complex:
        """H as a dense (2**q, 2**q) matrix; qubit 1 is the most significant bit."""
        h = np.zeros((1 << self.n_qubits,) * 2, dtype=np.complex128)
        for term, value in self.terms.items():
            h += value * pauli_string(term)
        return h

    def gibbs_state(self) -> Complex:
        """exp(-H) / Tr exp(-H), by ``scipy.linalg.expm``."""
        return self._gibbs()[0]

    def log_partition(self) -> float:
        """log Tr exp(-H)."""
        return self._gibbs()[1]

    def probabilities(self) -> Float:
        """p(v) = Tr[Lambda_v rho] of the visible states, (2**n_visible,)."""
        diagonal = np.real(np.diag(self.gibbs_state()))
        return np.asarray(diagonal.reshape(1 << self.n_visible, -1).sum(axis=1))

    def expectation(self, pauli: str) -> float:
        """Tr[P rho] of a Pauli string P over all qubits."""
        if len(pauli) != self.n_qubits or set(pauli) - set(PAULI_MATRICES):
            raise ValueError(f"expected {self.n_qubits} letters of I, X, Y, Z, got {pauli!r}")
        return float(np.real(np.sum(pauli_string(pauli).T * self.gibbs_state())))

    def gradient(self, target: Target) -> dict[str, float]:
        """d(-sum_v q_v log p_v)/d(coefficient) for every term.

        Exact for any Hamiltonian: the derivative of exp(-H) is taken by divided differences in
        the eigenbasis (Daleckii-Krein), all terms at once (the paper's Proposition 4).
        """
        if target.n_visible != self.n_visible:
            raise ValueError(
                f"the target has {target.n_visible} visible units, the Hamiltonian {self.n_visible}"
            )
        energies, basis = np.linalg.eigh(self.matrix())
        energies -= energies[0]
        weights = np.exp(-energies)
        difference = np.subtract.outer(energies, energies)
        # (e^-x - e^-y)/(y - x) = e^-min(x,y) (1 - e^-|x-y|)/|x-y|, stable also when x = y.
        gap = np.abs(difference)
        low = np.minimum.outer(energies, energies)
        ratio = np.divide(-np.expm1(-gap), gap, out=np.ones_like(gap), where=gap > 0)
        divided = np.exp(-low) * ratio
        p = (np.abs(basis) ** 2 @ weights).reshape(1 << self.n_visible, -1).sum(axis=1)
        q = target.dense()
        share = np.divide(q, p, out=np.zeros_like(q), where=q > 0)
        observable = np.repeat(share, 1 << (self.n_qubits - self.n_visible)) - 1.0 / weights.sum()
        rotated = basis.conj().T @ (observable[:, None] * basis)
        response = basis @ (divided * rotated) @ basis.conj().T
        return {
            term: float(np.real(np.sum(pauli_string(term).T * response))) for term in self.terms
        }

    def _gibbs(self) -> tuple[Complex, float]:
        h = self.matrix()
        lowest = float(np.linalg.eigvalsh(h)[0])
        unnormalised = scipy.linalg.expm(lowest * np.eye(h.shape[0]) - h)
        trace = float(np.real(np.trace(unnormalised)))
        return unnormalised / trace, float(np.log(trace) - lowest)
