"""Log weights and averages of visible states of deep sqRBMs, for batches.

Given the visible bits v, the bits u of the second layer and the qubits are an sqRBM of their own,
whose hidden fields are Phi(v): log p~(v) is -a.s plus its log Z, and what is averaged over p(u|v)
are its moments. Both are exact, by enumeration of the 2**n_deep states u.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.process import one_thread
from tnqbm.core.shape import Shape
from tnqbm.core.states import spins, states_of
from tnqbm.exact.averages import SampleMoments, StateAverages
from tnqbm.exact.enumerator import Enumerator
from tnqbm.hamiltonian.deep_layout import DeepLayout
from tnqbm.kernels.products import SCALE

Float = NDArray[np.float64]
States = NDArray[np.uint8]

MAX_SUMMED = 16
"""Most units of the second layer that are summed over exactly for every visible state."""

CHUNK_BYTES = 32 << 20
"""Memory that the sqRBMs given the visible states treated at a time take."""

CHUNK_STATES = 1 << 14
"""Visible states treated at a time at most: sums of so many numbers in fixed point are exact."""


def check_summed(n_deep: int) -> None:
    """ValueError if a second layer is too large for exact sums over its states."""
    if n_deep > MAX_SUMMED:
        raise ValueError(
            f"exact sums over the 2**{n_deep} states of the second hidden layer, for every visible "
            f"state, are out of reach (the limit is n_deep = {MAX_SUMMED}); the weight of single "
            "visible states v is that of an sqRBM, whose log Z mc.log_partition(model.given(v)) "
            "estimates, and gradients 'cd' and 'pcd' train with chains of the second layer"
        )


class DeepStates:
    """What visible states weigh, and averages over them, under deep sqRBMs of one layout.

    ``theta`` (B, size) are vectors of parameters, and states (1 or B, K, n), one list for all if 1.
    ``precision`` is "double" or "single" arithmetic. Not safe for use by several Python threads at
    once. Methods that sum over the second layer raise ValueError if it has more than 16 units.
    """

    def __init__(self, layout: DeepLayout, precision: str = "double") -> None:
        self.layout = layout
        self._given = Enumerator(layout.given, precision)
        self._moments = SampleMoments(layout.joint, precision)
        # The enumerator fills up to some eight bits, and has as much again for its results.
        each = 32 * layout.given._replace(n_visible=max(8, layout.n_deep)).size
        self._chunk = int(np.clip(CHUNK_BYTES // each, 16, CHUNK_STATES))

    def log_weights(self, theta: Float, states: States) -> Float:
        """log p~(v), (B, K)."""
        out = np.empty((theta.shape[0], states.shape[1]))
        for b, chunk, values, given in self._parts(theta, states):
            out[b, chunk] = self._given.log_partition(given) + self._visible(theta[b], values)
        return out

    def averages_and_log_weights(
        self, theta: Float, states: States, weights: Float
    ) -> tuple[Float, Float]:
        """sum_k weights_k <term>_k of all terms, (B, size), and log p~(v), (B, K).

        <>_k are averages given the visible state k, and ``weights`` (1 or B, K).
        """
        total = np.zeros(theta.shape)
        out = np.empty((theta.shape[0], states.shape[1]))
        for b, chunk, values, given in self._parts(theta, states):
            log_z, moments = self._given.log_partition_and_moments(given)
            out[b, chunk] = log_z + self._visible(theta[b], values)
            total[b] += self._summed(weights[b if len(weights) > 1 else 0, chunk], values, moments)
        return total, out

    def sums(self, theta: Float, chains: States) -> NDArray[np.int64]:
        """Fixed-point sums over states (B, K, n + n_deep) of chains, (B, size), in 1 / SCALE.

        Sums of parts of a list of states add up to the sum of the whole, bit by bit.
        """
        return self._moments.sums(theta, chains)

    def sums_of_data(self, theta: Float, data: States) -> NDArray[np.int64]:
        """Such sums over visible states (B, K, n) of averages given these."""
        total = np.zeros(theta.shape, np.int64)
        for b, _, values, given in self._parts(theta, data):
            moments = self._given.log_partition_and_moments(given)[1]
            np.rint(moments * SCALE, out=moments)
            total[b] += self._summed(np.ones(len(values)), values, moments, SCALE).astype(np.int64)
        return total

    def sums_of_both(self, theta: Float, data: States, chains: States) -> NDArray[np.int64]:
        """:meth:`sums_of_data` and :meth:`sums` at once, (2, B, size)."""
        return np.stack([self.sums_of_data(theta, data), self.sums(theta, chains)])

    def mean(self, sums: NDArray[np.int64], total: int) -> Float:
        """Averages from the sums over ``total`` states."""
        return self._moments.mean(sums, total)

    def completed(self, theta: Float, states: States, uniform: Float) -> States:
        """Visible states (B, K, n) with a state of the second layer drawn from p(u|v), for each.

        ``uniform`` (B, K) are the random numbers in [0, 1) that decide it; (B, K, n + n_deep).
        """
        layout = self.layout
        out = np.zeros((*states.shape[:2], layout.joint.n_visible), np.uint8)
        out[..., : layout.n] = states
        if not layout.n_deep:
            return out
        every = states_of(np.arange(1 << layout.n_deep), layout.n_deep)
        equal = np.full(len(every), 1.0 / len(every))
        listed = StateAverages(every, equal, layout.given)
        block = max(1, CHUNK_BYTES // (8 * len(every)))
        for b, chunk, _, given in self._parts(theta, states):
            for first in range(0, len(given), block):
                log_p = listed.log_weights(given[first : first + block])
                rising = np.cumsum(np.exp(log_p - log_p.max(axis=1, keepdims=True)), axis=1)
                start = chunk.start + first
                level = uniform[b, start : start + len(log_p)] * rising[:, -1]
                # The product may round to the last of the sums, which is no state's.
                found = np.minimum((rising <= level[:, None]).sum(axis=1), len(every) - 1)
                out[b, start : start + len(log_p), layout.n :] = every[found]
        return out

    def _visible(self, theta: Float, values: Float) -> Float:
        """-a.s of spins (K, n): one unit after another, whatever other states there are."""
        total = np.zeros(len(values))
        for i in range(self.layout.n):
            total -= theta[i] * values[:, i]
        return total

    def _parts(self, theta: Float, states: States) -> Iterator[tuple[int, slice, Float, Float]]:
        """Model, chunk of states, their spins, and the sqRBMs given these (K, size), in turn."""
        check_summed(self.layout.n_deep)
        n, joint = self.layout.n, self.layout.joint
        for b in range(theta.shape[0]):
            a, fields, w = joint.split(theta[b])
            for first in range(0, states.shape[1], self._chunk):
                chunk = slice(first, min(first + self._chunk, states.shape[1]))
                values = spins(states[b if states.shape[0] > 1 else 0, chunk])
                count = len(values)
                phi = np.tile(fields, (count, 1, 1))
                for i in range(n):
                    phi += values[:, i, None, None] * w[:, i]
                given = Shape.join(
                    np.tile(a[n:], (count, 1)), phi, np.tile(w[:, n:], (count, 1, 1, 1))
                )
                yield b, chunk, values, given

    def _summed(self, q: Float, values: Float, moments: Float, unit: float = 1.0) -> Float:
        """Sums with weights q over the states of a chunk; their moments come in this unit."""
        _, m, p = self.layout.given
        u, sigma, u_sigma = self.layout.given.split(moments)
        with one_thread():
            own = (q[:, None] * values).T @ sigma.reshape(len(q), p * m)
            pairs = (q @ u_sigma.reshape(len(q), -1)).reshape(p, self.layout.n_deep, m)
            return Shape.join(
                np.concatenate([q @ values * unit, q @ u]),
                (q @ sigma.reshape(len(q), -1)).reshape(p, m),
                np.concatenate(
                    [own.reshape(self.layout.n, p, m).transpose(1, 0, 2), pairs], axis=1
                ),
            )
