"""`PauliHamiltonian`: a sum of Pauli strings over visible and hidden qubits, its Gibbs state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, shown
from tnqbm.base.forecast import Forecast
from tnqbm.base.limits import MAX_PARAMETER
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.core.paulis import Complex
from tnqbm.core.states import as_states, index_of
from tnqbm.hamiltonian import density
from tnqbm.hamiltonian.forecast import forecast, refuse_unless_it_fits
from tnqbm.hamiltonian.gibbs import BlockGibbs, DenseGibbs, entropy_of
from tnqbm.hamiltonian.terms import PauliTable, check_string

if TYPE_CHECKING:
    from tnqbm.datasets import Target

Float = NDArray[np.float64]


class PauliHamiltonian:
    """H = sum of coefficient * Pauli string, with Gibbs state rho = exp(-H) / Tr exp(-H).

    Parameters
    ----------
    terms : {string: coefficient}, strings over I, X, Y, Z, one letter per qubit, visible units
        first: ``{"ZIX": 0.3}`` couples Z of qubit 0 to X of qubit 2. An empty mapping needs
        ``n_qubits``.
    n_visible : how many leading qubits are visible units.

    Qubit 0 is the most significant bit of a basis state. Energies are in units of the temperature.
    Immutable; ``terms`` is a read-only view.

    If no string has X or Y on a visible unit (``is_semi_quantum``), H is a block of 2**m x 2**m for
    each of the 2**n visible states (Demidik et al. 2025, Definition 2), and nothing larger is
    formed; otherwise H is one matrix of 2**(n+m) x 2**(n+m). Matrices are real if every string
    has an even number of Y. There is no limit on the number of terms or qubits as such: every
    evaluation first compares :meth:`forecast` with the memory that is free (MemoryError) and with
    one day of one core (ValueError).

    Raises ValueError on unequal or unknown strings and on coefficients that are not finite or
    exceed 1e100 in magnitude, TypeError on strings or coefficients of another type.
    """

    @checked(n_visible=arguments.whole, n_qubits=arguments.whole)
    def __init__(
        self, terms: Mapping[str, float], n_visible: int, *, n_qubits: int | None = None
    ) -> None:
        if not isinstance(terms, Mapping):
            raise TypeError(
                "terms must be a mapping of Pauli strings to coefficients, such as {'ZX': 0.5}, "
                f"got {shown(terms)}"
            )
        for term in terms:
            check_string(term)
        lengths = {len(term) for term in terms}
        if n_qubits is not None:
            lengths.add(int(n_qubits))
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
        self.n_visible = int(n_visible)
        self._terms = {term: _coefficient(term, value) for term, value in terms.items()}

    def __repr__(self) -> str:
        kind = "semi-quantum" if self.is_semi_quantum else "generic"
        return (
            f"PauliHamiltonian(n_visible={self.n_visible}, n_hidden={self.n_hidden}, "
            f"terms={len(self._terms)}, {kind})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PauliHamiltonian):
            return NotImplemented
        return (
            self._terms == other._terms
            and self.n_visible == other.n_visible
            and self.n_qubits == other.n_qubits
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._terms, self.n_visible, self.n_qubits)

    @classmethod
    @checked(model=MODEL)
    def from_sqrbm(cls, model: SqRBM) -> PauliHamiltonian:
        """An sqRBM as a sum of Pauli strings, visible qubits first (paper, Definition 1).

        Terms are in the order of :meth:`tnqbm.SqRBM.to_vector`; pairs outside the mask have none.
        """
        n, m, _ = model.shape

        def string(letters: dict[int, str]) -> str:
            return "".join(letters.get(k, "I") for k in range(n + m))

        strings = [string({i: "Z"}) for i in range(n)]
        strings += [string({n + j: pauli}) for pauli in model.paulis for j in range(m)]
        strings += [
            string({i: "Z", n + j: pauli})
            for pauli in model.paulis
            for i in range(n)
            for j in range(m)
        ]
        free = model.shape.free(model.mask)
        values = model.to_vector()
        terms = {strings[k]: float(values[k]) for k in np.flatnonzero(free)}
        return cls(terms, n, n_qubits=n + m)

    @property
    def terms(self) -> Mapping[str, float]:
        """{string: coefficient}, in the order in which they were given; read-only."""
        return MappingProxyType(self._terms)

    @property
    def n_hidden(self) -> int:
        return self.n_qubits - self.n_visible

    @cached_property
    def is_semi_quantum(self) -> bool:
        """Whether H is diagonal over the visible units: only I and Z there."""
        return not any({"X", "Y"} & set(term[: self.n_visible]) for term in self._terms)

    def to_vector(self) -> Float:
        """The coefficients (T,), in the order of ``terms``."""
        return np.fromiter(self._terms.values(), np.float64, len(self._terms))

    @property
    def n_parameters(self) -> int:
        """The number of terms."""
        return len(self._terms)

    def with_coefficients(self, vector: ArrayLike) -> PauliHamiltonian:
        """The same strings with other coefficients (T,), in the order of ``terms``."""
        values = np.asarray(vector, dtype=np.float64)
        if values.shape != (len(self._terms),):
            raise ValueError(
                f"need one coefficient for each of {len(self._terms)} terms, got an array of "
                f"shape {values.shape}"
            )
        terms = dict(zip(self._terms, values.tolist(), strict=True))
        changed = PauliHamiltonian(terms, self.n_visible, n_qubits=self.n_qubits)
        for shared in ("_table", "is_semi_quantum"):
            if shared in self.__dict__:
                changed.__dict__[shared] = self.__dict__[shared]
        return changed

    def forecast(self) -> Forecast:
        """Time on one core and memory of one gradient, with everything it needs.

        ``method`` is "diagonal" (only I and Z), "blocks" (semi-quantum) or "dense".
        """
        flips = {term.translate(_FLIPS) for term in self._terms}
        return forecast(
            self.n_visible,
            self.n_qubits,
            len(flips),
            semi_quantum=self.is_semi_quantum,
            diagonal=not any("1" in flip for flip in flips),
            real=all(term.count("Y") % 2 == 0 for term in self._terms),
        )

    def log_partition(self) -> float:
        """log Z = log Tr exp(-H)."""
        return self._gibbs.log_partition

    def log_weights(self) -> Float:
        """log Tr[Lambda_v exp(-H)] of the visible states, (2**n_visible,).

        Of a Hamiltonian that is not semi-quantum, weights below 1e-28 Z are rounding errors.
        """
        return self._gibbs.log_weights.copy()

    def log_weight(self, v: ArrayLike) -> Float:
        """log Tr[Lambda_v exp(-H)] of some visible states; (..., n_visible) -> (...)."""
        states = as_states(v, self.n_visible)
        return np.asarray(self._gibbs.log_weights[index_of(states)])

    def probabilities(self) -> Float:
        """p(v) = Tr[Lambda_v rho] of the visible states, (2**n_visible,)."""
        return self._gibbs.probabilities.copy()

    def expectation(self, pauli: str) -> float:
        """Tr[P rho] of a Pauli string over all qubits, whether it is a term of H or not."""
        return float(self.expectations([pauli])[0])

    def expectations(self, paulis: Iterable[str]) -> Float:
        """Tr[P rho] of several Pauli strings (K,), in one pass."""
        strings = [check_string(pauli, self.n_qubits) for pauli in paulis]
        return self._gibbs.expectations(PauliTable(strings, self.n_qubits))

    def gradient(self, target: Target) -> dict[str, float]:
        """d(-sum_v q_v log p_v)/d(coefficient) for every term, in the order of ``terms``.

        Semi-quantum Hamiltonians: the expectation of the term with v drawn from the target, less
        that in the Gibbs state (Proposition 3). All others: the derivative of exp(-H) by divided
        differences in the eigenbasis, all terms at once (Proposition 4). Exact for both. Raises
        FloatingPointError where the second kind gives a state of the target a probability below
        1e-28, which eigenvectors do not resolve.
        """
        self._check_target(target)
        return dict(zip(self._terms, self._gibbs.gradient(target.dense()).tolist(), strict=True))

    def positive_phase(self, target: Target) -> dict[str, float]:
        """What :meth:`gradient` is before the model's expectations are subtracted.

        -sum_v q_v d(log Tr[Lambda_v exp(-H)])/d(coefficient), so that ``gradient`` is this less
        ``expectations(terms)``, wherever those are from. Semi-quantum Hamiltonians: expectations
        with v drawn from the target. Raises as :meth:`gradient`.
        """
        model = self.expectations(self._terms)
        both = zip(self.gradient(target).items(), model.tolist(), strict=True)
        return {term: slope + value for (term, slope), value in both}

    def relative_entropy(self, rho: ArrayLike) -> float:
        """S(rho || sigma) = Tr rho (log rho - log sigma) in nats, sigma the visible qubits' state.

        ``rho`` (2**n_visible, 2**n_visible) is a density matrix: quantum data. Raises ValueError
        if it is none, FloatingPointError where it has weight that sigma lacks.
        """
        matrix = density.as_density(rho, self.n_visible)
        return density.relative_entropy(self, matrix, self._table)

    def relative_entropy_gradient(self, rho: ArrayLike) -> dict[str, float]:
        """dS(rho || sigma)/d(coefficient) for every term, exact, in the order of ``terms``.

        Without hidden qubits that is Tr rho P - <P>. Raises what :meth:`relative_entropy` does.
        """
        matrix = density.as_density(rho, self.n_visible)
        slopes = density.gradient(self, matrix, self._table, self._gibbs)
        return dict(zip(self._terms, slopes.tolist(), strict=True))

    def matrix(self) -> Complex:
        """H as a dense matrix (2**q, 2**q)."""
        self._check_dense()
        table, q = self._table, self.n_qubits
        return np.asarray(table.blocks(self.to_vector(), q, 0, 1)[0], dtype=np.complex128)

    def gibbs_state(self) -> Complex:
        """rho as a dense matrix (2**q, 2**q)."""
        self._check_dense()
        return np.asarray(self._gibbs.state(), dtype=np.complex128)

    def reduced(self, qubits: Sequence[int]) -> Complex:
        """The reduced density matrix (2**k, 2**k) of k qubits, all others traced out.

        The first qubit listed is the most significant bit. ValueError on repeated or unknown
        qubits, MemoryError if the matrix does not fit.
        """
        order = self._checked(qubits)
        visible = [k for k in order if k < self.n_visible]
        hidden = [k for k in order if k >= self.n_visible]
        size = 32.0 * 4.0 ** min(len(order), 250)
        note = f"the reduced state of {len(order)} qubits"
        refuse_unless_it_fits(Forecast("dense", 0.0, size, True, note))
        blocks = self._gibbs.reduced(order)
        if self.is_semi_quantum:
            labels, size = blocks.shape[:2]
            whole = np.zeros((labels, size, labels, size), np.complex128)
            k = np.arange(labels)
            whole[k, :, k, :] = blocks
            found = [*visible, *hidden]
        else:
            whole, found = blocks[0].astype(np.complex128), order
        axes = [found.index(k) for k in order]
        width = len(order)
        tensor = whole.reshape((2,) * (2 * width)).transpose(*axes, *(width + a for a in axes))
        return np.ascontiguousarray(tensor).reshape(1 << width, 1 << width)

    def entropy(self, qubits: Sequence[int] | None = None) -> float:
        """Von Neumann entropy -Tr rho log rho in nats, of the state of some qubits or of all.

        The Gibbs state is mixed: this is no measure of entanglement.
        """
        if qubits is None or len(self._checked(qubits)) == self.n_qubits:
            return self._gibbs.entropy()
        return entropy_of(self._gibbs.reduced(self._checked(qubits)))

    def mutual_information(
        self, first: Sequence[int] | None = None, second: Sequence[int] | None = None
    ) -> float:
        """I(A:B) = S(A) + S(B) - S(AB) in nats; by default between visible and hidden qubits.

        All correlations, classical ones too: it is positive for a classical RBM, and no measure
        of entanglement. ``second`` is by default all qubits but those of ``first``.
        """
        a = self._checked(range(self.n_visible) if first is None else first)
        b = [k for k in range(self.n_qubits) if k not in a] if second is None else second
        b = self._checked(b)
        if set(a) & set(b):
            raise ValueError(f"qubits {sorted(set(a) & set(b))} are on both sides")
        return self.entropy(a) + self.entropy(b) - self.entropy([*a, *b])

    def negativity(self, qubits: Sequence[int] | None = None) -> float:
        """N = (||rho^T_A||_1 - 1) / 2 between some qubits A and the rest; by default the visible.

        An entanglement measure for mixed states (Vidal & Werner 2002): 0 without entanglement,
        though 0 does not exclude it beyond 2 x 3 dimensions. Semi-quantum Hamiltonians have
        classical-quantum states, in which visible and hidden qubits are never entangled: 0.
        """
        part = self._checked(range(self.n_visible) if qubits is None else qubits)
        return max(0.0, 0.5 * (self._gibbs.transposed_norm(part) - 1.0))

    def log_negativity(self, qubits: Sequence[int] | None = None) -> float:
        """log ||rho^T_A||_1 in nats, the additive form of :meth:`negativity`."""
        return float(np.log1p(2.0 * self.negativity(qubits)))

    @cached_property
    def _table(self) -> PauliTable:
        return PauliTable(list(self._terms), self.n_qubits)

    @cached_property
    def _gibbs(self) -> BlockGibbs | DenseGibbs:
        refuse_unless_it_fits(self.forecast())
        kind = BlockGibbs if self.is_semi_quantum else DenseGibbs
        return kind(self._table, self.to_vector(), self.n_visible)

    def _check_dense(self) -> None:
        size = 16.0 * 4.0 ** min(self.n_qubits, 250)
        note = f"a matrix of dimension 2**{self.n_qubits}"
        refuse_unless_it_fits(Forecast("dense", 0.0, 2.0 * size, True, note))

    def _check_target(self, target: Target) -> None:
        if target.n_visible != self.n_visible:
            raise ValueError(
                f"the target has {target.n_visible} visible units, the Hamiltonian {self.n_visible}"
            )

    def _checked(self, qubits: Sequence[int]) -> list[int]:
        listed = [int(k) for k in qubits]
        if len(set(listed)) < len(listed) or not set(listed) <= set(range(self.n_qubits)):
            raise ValueError(
                f"qubits must be different numbers from 0 to {self.n_qubits - 1}, got {listed}"
            )
        return listed


_FLIPS = str.maketrans("IXYZ", "0110")


def _coefficient(term: str, value: float) -> float:
    if not isinstance(value, float | int | np.floating | np.integer):
        raise TypeError(f"the coefficient of {term!r} must be a real number, got {value!r}")
    number = float(value)
    if not abs(number) <= MAX_PARAMETER:
        raise ValueError(
            f"the coefficient of {term!r} is {number}; coefficients must be finite and at most "
            f"{MAX_PARAMETER:g} in magnitude"
        )
    return number


def _rebuild(terms: dict[str, float], n_visible: int, n_qubits: int) -> PauliHamiltonian:
    return PauliHamiltonian(terms, n_visible, n_qubits=n_qubits)
