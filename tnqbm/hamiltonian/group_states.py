"""Log weights and averages of visible states of sqBMs with small hidden groups, for batches.

The derivative of -log Tr exp(-H_g(v)) by a coefficient is the expectation of its term in the Gibbs
state of the group given v (Demidik et al. 2025, Proposition 3). All averages over states rest on
those of single qubits, state by state, and on the mean of the groups' Gibbs states.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from tnqbm.base.limits import check_enumerable
from tnqbm.base.process import one_thread
from tnqbm.core.states import spins, states_of
from tnqbm.hamiltonian.layout import GroupLayout
from tnqbm.kernels.groups import state_averages, state_log_weights, work_size
from tnqbm.kernels.parallel import get_num_threads
from tnqbm.kernels.products import SCALE
from tnqbm.kernels.simd import aligned, lanes

Float = NDArray[np.float64]
States = NDArray[np.uint8]

CHUNK_BYTES = 32 << 20
"""Memory that the averages of the states treated at a time take."""

CHUNK_STATES = 1 << 16
"""States treated at a time at most: sums of so many numbers in fixed point are exact."""


NEGLIGIBLE = 1e-17
"""States whose probabilities add up to less than this have no part in exact averages."""


class Part(NamedTuple):
    """What is known of states of some models: spins (1 or b, K, n), averages of single qubits
    (b, K, Q), Gibbs states of the groups (b, K, numbers), and log p~ (b, K)."""

    spins: Float
    sigma: Float
    rho: Float
    log_weights: Float


class GroupStates:
    """What visible states weigh, and averages over them, under sqBMs of one layout.

    ``theta`` (B, size) are vectors of parameters, and states (1 or B, K, n), one list for all if 1.
    Not safe for use by several Python threads at once.
    """

    def __init__(self, layout: GroupLayout) -> None:
        self.layout = layout
        self._lanes = lanes(np.float64)
        self._work: Float = np.empty((0, 0))
        each = 8 * (layout.fields + layout.matrix_numbers + 2 * layout.n + 1)
        self._chunk = int(np.clip(CHUNK_BYTES // each, 64, CHUNK_STATES))

    def log_weights(self, theta: Float, states: States | Float) -> Float:
        """log p~(v), (B, K)."""
        layout = self.layout
        out = np.empty((theta.shape[0], states.shape[1]))
        network = layout.network
        state_log_weights(
            layout.pack(theta), layout.n, layout.n_paulis, layout.fields, self._lanes,
            layout.first_matrix, network.groups, network.edge_starts, network.neighbours,
            network.edges, np.ascontiguousarray(states), self.work(), out,
        )  # fmt: skip
        return out

    def averages(self, theta: Float, states: States, weights: Float) -> Float:
        """sum_k weights_k <term>_k of all terms, (B, size); weights (1 or B, K)."""
        total = np.zeros(theta.shape)
        for models, chunk, part in self._parts(theta, states):
            total[models] += self._summed(of_models(weights, models)[:, chunk], part)
        return total

    def at_means(self, vector: Float, x: Float) -> tuple[Float, Float]:
        """Averages (M, P, m) of single hidden qubits, and f (M,), at means x (M, n) of the spins.

        f is log p~ continued to what lies between states, of one model with parameters (size,).
        """
        # The kernels take spins to be 1 - 2 b, of bits b or of what is between them.
        between = (0.5 - 0.5 * x)[None]
        sigma, _, log_weights = self._given(self.layout.pack(vector[None]), between)
        return sigma[0][:, self.layout.slots()], log_weights[0]

    def sums(self, theta: Float, states: States) -> NDArray[np.int64]:
        """Fixed-point sums over states, (B, size), in units of 1 / SCALE.

        Sums of parts of a list of states add up to the sum of the whole, bit by bit.
        """
        total = np.zeros(theta.shape, np.int64)
        for models, _, part in self._parts(theta, states):
            for numbers in (part.sigma, part.rho):
                np.rint(numbers * SCALE, out=numbers)
            summed = self._summed(np.ones(part.spins.shape[:2]), part, SCALE)
            total[models] += summed.astype(np.int64)
        return total

    def sums_of_both(self, theta: Float, data: States, chains: States) -> NDArray[np.int64]:
        """:meth:`sums` over two lists of states at once, (2, B, size)."""
        return np.stack([self.sums(theta, data), self.sums(theta, chains)])

    def mean(self, sums: NDArray[np.int64], total: int) -> Float:
        """Averages from the sums over ``total`` states."""
        return np.asarray(sums / (SCALE * total))

    @property
    def holds_all(self) -> bool:
        """Whether all visible states are treated at a time, as :meth:`over_all` needs it."""
        return self.layout.n < 30 and 1 << self.layout.n <= self._chunk

    def over_all(self, theta: Float, q: Float | None = None) -> tuple[Float, Float, Float | None]:
        """One pass over all visible states: log Z (B,) and the averages of all terms (B, size).

        The third part are averages under other probabilities q (1 or B, 2**n) of the states, None
        without. For layouts that ``holds_all``.
        """
        n = self.layout.n
        log_z, model = np.empty(theta.shape[0]), np.empty(theta.shape)
        data = None if q is None else np.empty(theta.shape)
        states = states_of(np.arange(1 << n), n)[None]
        for models, _, part in self._parts(theta, states):
            log_z[models] = logsumexp(part.log_weights, axis=1)
            p = np.exp(part.log_weights - log_z[models, None])
            model[models] = self._summed(p, part)
            if data is not None and q is not None:
                data[models] = self._summed(of_models(q, models), part)
        return log_z, model, data

    def work(self) -> Float:
        """Work space of the kernels, a row for every thread."""
        threads = get_num_threads()
        if self._work.shape[0] < threads:
            layout = self.layout
            size = work_size(
                layout.n, layout.fields, len(layout.groups), layout.matrix_numbers, self._lanes
            )
            self._work = aligned((threads, -(-size // 16) * 16), np.float64)
        return self._work

    def _parts(self, theta: Float, states: States) -> Iterator[tuple[slice, slice, Part]]:
        """What is known of states given v, by models and chunk of states."""
        pars, count = self.layout.pack(theta), states.shape[1]
        together = max(1, self._chunk // max(1, count))
        for first in range(0, count, self._chunk):
            chunk = slice(first, min(first + self._chunk, count))
            for one in range(0, theta.shape[0], together):
                models = slice(one, min(one + together, theta.shape[0]))
                own = of_models(states, models)[:, chunk]
                yield models, chunk, Part(spins(own), *self._given(pars[models], own))

    def _given(self, pars: Float, states: States | Float) -> tuple[Float, Float, Float]:
        """What a :class:`Part` says of states (1 or b, K, n) beside their spins, of models with
        packed parameters (b, numbers)."""
        layout, network = self.layout, self.layout.network
        shape = (pars.shape[0], states.shape[1])
        sigma = np.empty((*shape, layout.fields))
        rho = np.empty((*shape, layout.matrix_numbers))
        log_weights = np.empty(shape)
        state_averages(
            pars, layout.n, layout.n_paulis, layout.fields, self._lanes, layout.first_matrix,
            network.groups, network.edge_starts, network.neighbours, network.edges,
            np.ascontiguousarray(states), self.work(), sigma, rho, log_weights,
        )  # fmt: skip
        return sigma, rho, log_weights

    def _summed(self, q: Float, part: Part, unit: float = 1.0) -> Float:
        """Sums (b, size) with weights q (1 or b, K) over states; averages come in this unit."""
        layout = self.layout
        with one_thread():
            weighted = np.swapaxes(q[:, :, None] * part.spins, 1, 2)
            row = q[:, None]
            pairs = np.empty(0)
            if len(layout.visible_edges):
                pairs = weighted @ part.spins * unit
            return layout.vectors_of(
                (row @ part.spins)[:, 0] * unit,
                (row @ part.sigma)[:, 0],
                weighted @ part.sigma,
                pairs,
                layout.expectations((row @ part.rho)[:, 0]),
            )


def of_models(lists: NDArray[Any], models: slice | NDArray[np.intp]) -> NDArray[Any]:
    """What belongs to these models of lists (1 or B, ...), one list for all if 1."""
    return lists if lists.shape[0] == 1 else lists[models]


def all_log_weights(found: GroupStates, vector: Float) -> Float:
    """log p~(v) of all visible states, (2**n,), of one model; ValueError for more than 26 units."""
    check_enumerable(found.layout.n, dense=True)
    return listed_log_weights(found, vector)


def listed_log_weights(found: GroupStates, vector: Float) -> Float:
    """:func:`all_log_weights` without a limit, for callers that have one of their own."""
    n = found.layout.n
    out = np.empty(1 << n)
    for first in range(0, out.size, CHUNK_STATES):
        states = states_of(np.arange(first, min(first + CHUNK_STATES, out.size)), n)
        found_here = found.log_weights(vector[None], states[None])[0]
        out[first : first + len(states)] = found_here
    return out


def log_partitions(found: GroupStates, theta: Float) -> Float:
    """log Z (B,) of models with parameters (B, size); ValueError for more than 26 units."""
    return np.array([logsumexp(all_log_weights(found, row)) for row in theta])


def enumerated(found: GroupStates, theta: Float) -> tuple[Float, Float]:
    """log Z (B,) and the expectations (B, size) of all terms, of models (B, size).

    ValueError for more than 26 visible units.
    """
    if found.holds_all:
        return found.over_all(theta)[:2]
    log_z, total = np.empty(theta.shape[0]), np.zeros(theta.shape)
    for b, vector in enumerate(theta):
        log_weights = all_log_weights(found, vector)
        log_z[b] = logsumexp(log_weights)
        total[b] = listed_averages(found, vector, np.exp(log_weights - log_z[b]))
    return log_z, total


def listed_averages(found: GroupStates, vector: Float, p: Float) -> Float:
    """Averages (size,) of all terms of one model, with visible states drawn by p (2**n,)."""
    total = np.zeros(found.layout.size)
    likely = np.flatnonzero(p > NEGLIGIBLE / p.size)
    for first in range(0, likely.size, CHUNK_STATES):
        index = likely[first : first + CHUNK_STATES]
        states = states_of(index, found.layout.n)
        total += found.averages(vector[None], states[None], p[index][None])[0]
    return total
