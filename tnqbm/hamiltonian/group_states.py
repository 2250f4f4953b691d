"""Log weights and averages of visible states of sqBMs with small hidden groups, for batches.

The derivative of -log Tr exp(-H_g(v)) by a coefficient is the expectation of its term in the Gibbs
state of the group given v (Demidik et al. 2025, Proposition 3). All averages over states rest on
those of single qubits, state by state, and on the mean of the groups' Gibbs states.
"""

from __future__ import annotations

from collections.abc import Iterator

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
        for b, chunk, values, sigma, rho in self._parts(theta, states):
            q = weights[b if weights.shape[0] > 1 else 0, chunk]
            total[b] += self._summed(q, values, sigma, rho)
        return total

    def at_means(self, vector: Float, x: Float) -> tuple[Float, Float]:
        """Averages (M, P, m) of single hidden qubits, and f (M,), at means x (M, n) of the spins.

        f is log p~ continued to what lies between states, of one model with parameters (size,).
        """
        layout = self.layout
        # The kernels take spins to be 1 - 2 b, of bits b or of what is between them.
        between = np.ascontiguousarray(0.5 - 0.5 * x)[None]
        sigma = np.empty((1, len(x), layout.fields))
        rho = np.empty((1, len(x), layout.matrix_numbers))
        state_averages(
            layout.pack(vector[None]), layout.n, layout.n_paulis, layout.fields, self._lanes,
            layout.first_matrix, layout.network.groups, between, self.work(), sigma, rho,
        )  # fmt: skip
        return sigma[0][:, layout.slots()], self.log_weights(vector[None], between)[0]

    def sums(self, theta: Float, states: States) -> NDArray[np.int64]:
        """Fixed-point sums over states, (B, size), in units of 1 / SCALE.

        Sums of parts of a list of states add up to the sum of the whole, bit by bit.
        """
        total = np.zeros(theta.shape, np.int64)
        for b, _, values, sigma, rho in self._parts(theta, states):
            for numbers in (sigma, rho):
                np.rint(numbers * SCALE, out=numbers)
            summed = self._summed(np.ones(len(values)), values, sigma, rho, SCALE)
            total[b] += summed.astype(np.int64)
        return total

    def sums_of_both(self, theta: Float, data: States, chains: States) -> NDArray[np.int64]:
        """:meth:`sums` over two lists of states at once, (2, B, size)."""
        return np.stack([self.sums(theta, data), self.sums(theta, chains)])

    def mean(self, sums: NDArray[np.int64], total: int) -> Float:
        """Averages from the sums over ``total`` states."""
        return np.asarray(sums / (SCALE * total))

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

    def _parts(
        self, theta: Float, states: States
    ) -> Iterator[tuple[int, slice, Float, Float, Float]]:
        """Spins, averages of single qubits and Gibbs states, by model and chunk of states."""
        layout, pars = self.layout, self.layout.pack(theta)
        for first in range(0, states.shape[1], self._chunk):
            chunk = slice(first, min(first + self._chunk, states.shape[1]))
            for b in range(theta.shape[0]):
                own = states[b if states.shape[0] > 1 else 0, chunk]
                sigma = np.empty((1, len(own), layout.fields))
                rho = np.empty((1, len(own), layout.matrix_numbers))
                state_averages(
                    pars[b : b + 1], layout.n, layout.n_paulis, layout.fields, self._lanes,
                    layout.first_matrix, layout.network.groups, np.ascontiguousarray(own[None]),
                    self.work(), sigma, rho,
                )  # fmt: skip
                yield b, chunk, spins(own), sigma[0], rho[0]

    def _summed(
        self, q: Float, values: Float, sigma: Float, rho: Float, unit: float = 1.0
    ) -> Float:
        """Sums with weights q over the states of a chunk; averages come in this unit."""
        with one_thread():
            weighted = q[:, None] * values
            products = weighted.T @ sigma
            pairs = weighted.T @ values * unit
            return self.layout.vector_of(
                q @ values * unit, q @ sigma, products, pairs, self.layout.expectations(q @ rho)
            )


def all_log_weights(found: GroupStates, vector: Float) -> Float:
    """log p~(v) of all visible states, (2**n,), of one model; ValueError for more than 26 units."""
    n = found.layout.n
    check_enumerable(n, dense=True)
    out = np.empty(1 << n)
    for first in range(0, out.size, CHUNK_STATES):
        states = states_of(np.arange(first, min(first + CHUNK_STATES, out.size)), n)
        found_here = found.log_weights(vector[None], states[None])[0]
        out[first : first + len(states)] = found_here
    return out


def enumerated(found: GroupStates, vector: Float, *, averages: bool = True) -> tuple[float, Float]:
    """log Z and the expectations (size,) of all terms, of one model with parameters (size,).

    Without ``averages`` these are zero. ValueError for more than 26 visible units.
    """
    log_weights = all_log_weights(found, vector)
    log_z = float(logsumexp(log_weights))
    total = np.zeros((1, found.layout.size))
    if averages:
        p = np.exp(log_weights - log_z)
        likely = np.flatnonzero(p > NEGLIGIBLE / p.size)
        for first in range(0, likely.size, CHUNK_STATES):
            index = likely[first : first + CHUNK_STATES]
            states = states_of(index, found.layout.n)
            total += found.averages(vector[None], states[None], p[index][None])
    return log_z, np.asarray(total[0])
