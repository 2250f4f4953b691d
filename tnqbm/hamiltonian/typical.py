"""`TypicalGibbs`: Gibbs states of up to some twenty qubits from a few random vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of
from tnqbm.base.forecast import Forecast
from tnqbm.base.process import one_thread
from tnqbm.core import streams
from tnqbm.core.states import as_states, index_of
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.hamiltonian import chebyshev, jackknife
from tnqbm.hamiltonian.chebyshev import OutsideError, Spectrum
from tnqbm.hamiltonian.forecast import TYPICAL_ADVICE, refuse_unless_it_fits, typical_forecast
from tnqbm.hamiltonian.jackknife import Estimated
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.hamiltonian.random_vectors import coded_vectors, phases
from tnqbm.hamiltonian.strings import StringSum
from tnqbm.hamiltonian.terms import PauliTable, check_string

Float = NDArray[np.float64]

RESOLVED = 1e-10
"""Smallest Tr[Lambda_v exp(-H)] / 2**m, with the lowest energy 0, that the series resolve."""


class TypicalGibbs:
    """The Gibbs state of a Hamiltonian of up to some twenty qubits, without any matrix.

    Traces over all states are averages over random vectors (thermal pure quantum states, Sugiura &
    Shimizu, Phys. Rev. Lett. 111, 010401 (2013); Jin et al., J. Phys. Soc. Jpn. 90, 012001
    (2021)). exp(-H/2) acts on them by a Chebyshev series, and H string by string. Every number
    comes with a standard error. Answers are those of :class:`PauliHamiltonian`, as
    :class:`Estimated` pairs.

    Parameters
    ----------
    hamiltonian : the :class:`PauliHamiltonian`, semi-quantum or not.
    vectors : random vectors that traces over all states are estimated with, at least 2.
    subspace : so many vectors exp(-H/2)|random> span a space, and what exp(-H) has in it is traced
        exactly; random vectors estimate the rest alone (as Hutch++, Meyer, Musco, Musco & Woodruff
        2021). It costs twice as much as as many ``vectors``. At low temperature few states
        matter, errors vanish with them; at high temperature it is a waste, and 0 leaves it out.
    hidden_vectors : vectors of the hidden qubits for each row of data, a power of 2, in two
        independent sets: errors of single log weights are rough, those of averages over rows good.
        From 2**m on sums over hidden states are exact.
    seed : of the random vectors. Results depend on it and the arguments alone.

    Raises ValueError or MemoryError, with a forecast, if a gradient for 32 rows takes more than a
    day or the memory that is free.
    """

    @checked(
        hamiltonian=one_of(PauliHamiltonian),
        vectors=arguments.whole,
        subspace=arguments.whole,
        hidden_vectors=arguments.whole,
    )
    def __init__(
        self,
        hamiltonian: PauliHamiltonian,
        *,
        vectors: int = 16,
        subspace: int = 16,
        hidden_vectors: int = 4,
        seed: streams.Seed,
    ) -> None:
        check_vectors(vectors, subspace, hidden_vectors)
        streams.sequence(seed)
        self.hamiltonian = hamiltonian
        self._vectors, self._seed = int(vectors), seed
        self._terms = list(hamiltonian.terms)
        self._n, self._m = hamiltonian.n_visible, hamiltonian.n_hidden
        self._subspace = min(int(subspace), 1 << min(hamiltonian.n_qubits, 30))
        self._hidden = min(int(hidden_vectors), 1 << min(self._m, 30))
        self._sets = 1 if self._hidden == 1 << min(self._m, 30) else 2
        refuse_unless_it_fits(self.forecast(), "estimation by random vectors", TYPICAL_ADVICE)
        self._table = PauliTable(self._terms, hamiltonian.n_qubits)
        self._sum = StringSum(self._table, hamiltonian.to_vector())

    def __repr__(self) -> str:
        return (
            f"TypicalGibbs({self.hamiltonian!r}, vectors={self._vectors}, "
            f"subspace={self._subspace}, hidden_vectors={self._hidden})"
        )

    def forecast(self, rows: int = 32) -> Forecast:
        """Time and memory of one gradient with ``rows`` different rows of data."""
        return typical_forecast(
            self.hamiltonian.to_vector(),
            self._terms,
            self.hamiltonian.n_qubits,
            self._vectors + 2 * self._subspace,
            rows * self._hidden,
        )

    def log_partition(self) -> Estimated:
        """log Z."""
        found = jackknife.log_mean(self._weights[1], self._weights[0])
        return Estimated(found.value - self._ends.lowest, found.standard_error)

    def probabilities(self) -> Estimated:
        """p(v) of all visible states, (2**n_visible,)."""
        fixed, rest = np.zeros(1 << self._n), np.empty((0, 1 << self._n))
        for batch, count in self._thermal[0]:
            fixed += self._populations(batch)[:, :count].sum(axis=1)
        parts = [self._populations(b)[:, :count].T for b, count in self._thermal[1]]
        rest = np.concatenate([rest, *parts])
        return jackknife.ratio(rest, self._weights[1], fixed, self._weights[0])

    def expectations(self, paulis: Iterable[str]) -> Estimated:
        """Tr[P rho] of Pauli strings (K,), terms of H or not."""
        strings = [check_string(pauli, self.hamiltonian.n_qubits) for pauli in paulis]
        return self._expectations(PauliTable(strings, self.hamiltonian.n_qubits))

    def log_weight(self, v: ArrayLike) -> Estimated:
        """log Tr[Lambda_v exp(-H)] of some visible states; (..., n_visible) -> (...)."""
        states = as_states(v, self._n)
        index = np.atleast_1d(index_of(states)).ravel()
        found = [estimate for _, estimate, _ in self._rows(index, np.empty(0), gradients=False)]
        value = np.array([one.value for one in found]).reshape(states.shape[:-1])
        error = np.array([one.standard_error for one in found]).reshape(states.shape[:-1])
        return Estimated(value, error)

    @checked(target=TARGET)
    def positive_phase(self, target: Target) -> Estimated:
        """-sum_v q_v d(log Tr[Lambda_v exp(-H)])/d(coefficient), (T,) in the order of terms.

        exp(-H) is differentiated as integral_0^1 exp(-(1-s) H) P exp(-s H) ds, which a few
        functions of H per vector give for all terms at once
        (:func:`tnqbm.hamiltonian.chebyshev.duhamel`). Raises FloatingPointError where a state of
        the target has too small a weight.
        """
        return self.likelihood(target)[1]

    @checked(target=TARGET)
    def gradient(self, target: Target) -> Estimated:
        """d(-sum_v q_v log p_v)/d(coefficient), (T,): positive phase less expectations."""
        data, model = self.likelihood(target)[1], self._expectations(self._table)
        error = np.hypot(data.standard_error, model.standard_error)
        return Estimated(data.value - model.value, error)

    @checked(target=TARGET)
    def likelihood(self, target: Target) -> tuple[Estimated, Estimated]:
        """log weights (K,) of the target's states, and :meth:`positive_phase`, in one pass."""
        if target.n_visible != self._n:
            raise ValueError(
                f"the target has {target.n_visible} visible units, the Hamiltonian {self._n}"
            )
        index = index_of(target.states)
        logs = Estimated(np.zeros(index.size), np.zeros(index.size))
        total, variance = np.zeros(len(self._terms)), np.zeros(len(self._terms))
        for k, log_weight, slope in self._rows(index, target.probabilities, gradients=True):
            logs.value[k], logs.standard_error[k] = log_weight
            q = target.probabilities[k]
            total += q * slope.value
            variance += (q * slope.standard_error) ** 2
        return logs, Estimated(total, np.sqrt(variance))

    @cached_property
    def _ends(self) -> Spectrum:
        rng = streams.generator(self._seed, streams.Typical.SPECTRUM)
        return chebyshev.spectrum(self._sum, rng)

    def _series(self, x: Float, kind: str) -> tuple[Float, Float]:
        """Weights and functions of H on a batch; a wider spectrum where one was too narrow."""
        while True:
            width = self._ends.width
            if kind == "duhamel":
                weights, factors = chebyshev.duhamel(width)
            else:
                weights, factors = np.ones(1), chebyshev.exponential(width, 0.5)
            try:
                return weights, chebyshev.apply_series(self._sum, x, factors, self._ends)
            except OutsideError:
                self.__dict__["_ends"] = self._ends.wider()
                for name in ("_thermal", "_weights"):  # of the narrower spectrum
                    self.__dict__.pop(name, None)

    @cached_property
    def _thermal(self) -> tuple[list[tuple[Float, int]], list[tuple[Float, int]]]:
        """Batches of vectors, with how many there are: of the subspace, and of the rest.

        exp(-H) = C C^dagger + the average of psi psi^dagger, with C = exp(-H/2) Q and psi =
        exp(-H/2) (1 - Q Q^dagger) |random>, Q an orthonormal basis of the subspace.
        """
        while True:
            ends = self._ends
            basis = self._basis()
            low = [self._evolved(part) for part in self._split(basis)]
            rest = []
            if basis.shape[1] < self._sum.dimension:
                for part in self._random(self._vectors, streams.Typical.VECTORS):
                    with one_thread():
                        part = part - basis @ (basis.conj().T @ part)
                    rest.append(self._evolved(part))
            if self._ends is ends:
                return low, rest

    def _basis(self) -> NDArray[Any]:
        """An orthonormal basis (2**q, subspace) of vectors exp(-H/2)|random>."""
        if not self._subspace:
            return np.zeros((self._sum.dimension, 0))
        spans = []
        for part in self._random(self._subspace, streams.Typical.SUBSPACE):
            batch, count = self._evolved(part)
            spans.append(self._sum.vectors(batch)[:, :count])
        with one_thread():
            return np.asarray(np.linalg.qr(np.concatenate(spans, axis=1))[0])

    def _evolved(self, vectors: NDArray[Any]) -> tuple[Float, int]:
        """exp(-(H - lowest)/2) on vectors (2**q, up to lanes)."""
        return self._series(self._sum.batch(vectors), "half")[1][0], vectors.shape[1]

    def _random(self, count: int, purpose: streams.Typical) -> Iterator[NDArray[Any]]:
        """Random vectors (2**q, up to lanes) until there are ``count``."""
        for first in range(0, count, self._sum.lanes):
            rng = streams.generator(self._seed, purpose, first)
            shape = (self._sum.dimension, min(self._sum.lanes, count - first))
            yield phases(shape, self._sum.parts == 1, rng)

    def _split(self, vectors: NDArray[Any]) -> Iterator[NDArray[Any]]:
        for first in range(0, vectors.shape[1], self._sum.lanes):
            yield vectors[:, first : first + self._sum.lanes]

    @cached_property
    def _weights(self) -> tuple[float, Float]:
        """Tr exp(-(H - lowest)): what the subspace has of it, and what each vector says of it."""
        norms = [
            [self._sum.dots(batch, batch)[:count] for batch, count in batches]
            for batches in self._thermal
        ]
        low, rest = (np.concatenate([np.empty(0), *some]) for some in norms)
        return float(low.sum()), rest

    def _expectations(self, table: PauliTable) -> Estimated:
        fixed, rest = np.zeros(table.x.size), np.empty((0, table.x.size))
        one = np.ones(1)
        for batch, count in self._thermal[0]:
            fixed += self._sum.averages(table, batch[None], one)[:, :count].sum(axis=1)
        parts = [self._sum.averages(table, b[None], one)[:, :c].T for b, c in self._thermal[1]]
        rest = np.concatenate([rest, *parts])
        return jackknife.ratio(rest, self._weights[1], fixed, self._weights[0])

    def _populations(self, batch: Float) -> Float:
        """|amplitudes|**2 summed over hidden states, (2**n, lanes)."""
        view = batch.reshape(1 << self._n, -1, self._sum.lanes)
        return np.asarray(np.einsum("vaw,vaw->vw", view, view))

    def _rows(
        self, index: NDArray[np.intp], q: Float, *, gradients: bool
    ) -> Iterator[tuple[int, Estimated, Estimated]]:
        """(place, log weight, gradient of -log weight) of visible states, one after another.

        The hidden vectors of a state are two independent sets, or one complete one. Those of a
        set are signs times common phases, orthogonal, and what the Hamiltonian couples most
        strongly, hidden states that differ in a few qubits, does not add to their error.
        """
        count, lanes, sets = self._hidden, self._sum.lanes, self._sets
        share = 1.0 if sets == 1 else 0.0
        at_a_time = max(1, lanes // count)
        for first in range(0, index.size, at_a_time):
            some = index[first : first + at_a_time]
            starts = np.concatenate([self._hidden_vectors(int(v)) for v in some], axis=1)
            owners = np.repeat(some, count)
            weights, slopes = self._responses(starts, owners, gradients)
            for k in range(some.size):
                mine = slice(k * count, (k + 1) * count)
                if not weights[mine].mean() > RESOLVED * (1 << self._m):
                    raise FloatingPointError(
                        f"Tr[Lambda_v exp(-H)] of state {some[k]} is too small beside Z to be "
                        "found in double precision: make the coefficients smaller"
                    )
                weight = weights[mine].reshape(sets, -1).mean(axis=1)
                found = jackknife.log_mean(weight, 0.0, share)
                value = found.value - self._ends.lowest
                some_slopes = slopes[mine].reshape(sets, count // sets, -1).mean(axis=1)
                slope = jackknife.ratio(some_slopes, weight, share=share)
                yield first + k, Estimated(value, found.standard_error), slope

    def _responses(
        self, starts: NDArray[Any], owners: NDArray[np.intp], gradients: bool
    ) -> tuple[Float, Float]:
        """Weights (K,) and their slopes (K, T) for hidden vectors (2**m, K) of visible states."""
        weights, slopes = [], []
        for first in range(0, owners.size, self._sum.lanes):
            some = owners[first : first + self._sum.lanes]
            x = self._sum.empty()
            view = self._sum.split(x).reshape(1 << self._n, 1 << self._m, -1, self._sum.lanes)
            for lane, v in enumerate(some):
                view[v, :, 0, lane] = starts[:, first + lane].real
                if self._sum.parts == 2:
                    view[v, :, 1, lane] = starts[:, first + lane].imag
            factors, states = self._series(x, "duhamel" if gradients else "half")
            norms = factors @ [self._sum.dots(state, state) for state in states]
            weights.append(norms[: some.size])
            if gradients:
                found = self._sum.averages(self._table, states, factors)
                slopes.append(found[:, : some.size].T)
        empty = np.empty((owners.size, 0))
        return np.concatenate(weights), np.concatenate(slopes) if gradients else empty

    def _hidden_vectors(self, v: int) -> NDArray[Any]:
        """Vectors (2**m, hidden_vectors) of the hidden qubits, for a visible state: the sets."""
        rng = streams.generator(self._seed, streams.Typical.HIDDEN, v)
        real = self._sum.parts == 1
        return coded_vectors(self._m, self._sets, self._hidden // self._sets, real, rng)


def check_vectors(vectors: int, subspace: int, hidden_vectors: int) -> None:
    """ValueError "name must be ..." for numbers of vectors that have no error bar, or none."""
    if vectors < 2:
        raise ValueError(f"vectors must be at least 2, for an error bar, got {vectors}")
    if subspace < 0:
        raise ValueError(f"subspace must not be negative, got {subspace}")
    if hidden_vectors < 2 or hidden_vectors & (hidden_vectors - 1):
        raise ValueError(
            f"hidden_vectors must be 2, 4, 8 or another power of 2, got {hidden_vectors}"
        )
