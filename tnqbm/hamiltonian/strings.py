"""Sums of Pauli strings that act on batches of state vectors, without a matrix.

A :class:`StringSum` is H with coefficients, as the kernels of :mod:`tnqbm.kernels.strings` take it;
a batch is an array of one vector for each of its ``lanes``, side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.hamiltonian.terms import PauliTable, signs_of
from tnqbm.kernels.parallel import get_num_threads
from tnqbm.kernels.simd import aligned, lanes
from tnqbm.kernels.strings import gather, step, string_averages

Float = NDArray[np.float64]
Complex = NDArray[np.complex128]

BLOCK_QUBITS = 7
"""Qubits of a block of amplitudes, which with those it is made from fits into a first cache."""

TABLE_BYTES = 1 << 24
"""Blocks are smaller where tables of factors would take more than this."""

SHARDS = 16
"""Sums over states are added up in so many parts, whatever the number of threads."""

GROUPS = 4
"""The kernel takes so many groups of strings at a time."""


class StringSum:
    """H = sum_t coefficients[t] P_t of a table, for batches of ``lanes`` vectors.

    Floates are flat float64 arrays (2**q * parts * lanes,), with parts 2 for real and imaginary
    amplitudes and 1 where all strings are real. Every call adds in the same order, whatever the
    number of threads. Not safe for use by several Python threads at once.
    """

    def __init__(self, table: PauliTable, coefficients: Float) -> None:
        self.table = table
        self.lanes = lanes(np.float64)
        self.parts = 1 if table.is_real else 2
        self.dimension = 1 << table.n_qubits
        self.low = min(table.n_qubits, BLOCK_QUBITS)
        while self.low > 0 and self._table_bytes() > TABLE_BYTES:
            self.low -= 1
        self._row = -(-self.parts * (1 << self.low) // self.lanes) * self.lanes
        self._flips, self._starts, self._masks, self._tables = self._classes(coefficients)
        most = int(np.diff(self._starts).max(initial=0))
        block = self.parts * self.lanes << self.low
        self._space = max(block + GROUPS * self._row + most, 2 * self.lanes << self.low)
        self._work = np.empty((0, 0))

    def _table_bytes(self) -> int:
        return (self.table.x.size * self.parts * 8) << self.low

    def empty(self, *shape: int) -> Float:
        """Floates of zeros, (..., 2**q * parts * lanes)."""
        batch: Float = aligned((*shape, self.dimension * self.parts * self.lanes), np.float64)
        return batch

    def batch(self, vectors: NDArray[Any]) -> Float:
        """A batch of vectors (2**q, up to lanes), real if the strings are; others are 0."""
        found = self.empty()
        view = self.split(found)
        count = vectors.shape[1]
        view[:, 0, :count] = vectors.real
        if self.parts == 2:
            view[:, 1, :count] = vectors.imag
        return found

    def split(self, batch: Float) -> Float:
        """A view (2**q, parts, lanes) of a batch."""
        return batch.reshape(self.dimension, self.parts, self.lanes)

    def vectors(self, batch: Float) -> NDArray[Any]:
        """The vectors (2**q, lanes) of a batch, real if the strings are."""
        view = self.split(batch)
        return view[:, 0] if self.parts == 1 else view[:, 0] + 1j * view[:, 1]

    def dots(self, first: Float, second: Float) -> Float:
        """Re <first|second> of every vector, (lanes,)."""
        a, b = self.split(first), self.split(second)
        total = np.zeros(self.lanes)
        for k in range(0, self.dimension, 1 << 12):
            total += np.einsum("kpw,kpw->w", a[k : k + (1 << 12)], b[k : k + (1 << 12)])
        return total

    def step(self, x: Float, z: Float, y: Float, a: Any, b: Any, c: Any) -> None:
        """y = a (H x) + b x + c z, with numbers or one number for every vector (lanes,).

        y may be z, and not x.
        """
        scales = np.empty((3, self.lanes), np.float64)
        for row, value in zip(scales, (a, b, c), strict=True):
            row[:] = value
        step(
            x, self.low, self.parts, self._row, self.lanes, self._flips, self._starts, self._masks,
            self._tables, scales.ravel(), self._workspace(), z, y,
        )  # fmt: skip

    def gather(self, factors: Float, parts: Float, total: Float) -> None:
        """total (R, N) += factors (R, C) parts (C, N), batches all of them."""
        chunk = min(parts.shape[1], 1 << 10)
        gather(np.ascontiguousarray(factors), parts, chunk, self.lanes, total)

    def averages(self, table: PauliTable, states: Float, weights: Float) -> Float:
        """sum_r weights[r] <states[r]| P_t |states[r]> for strings and vectors, (T, lanes)."""
        size, low = (1 << self.low) - 1, self.low
        flips = np.array([x for x, _ in table.groups], np.int64)
        order = np.concatenate([who for _, who in table.groups] or [np.empty(0, np.int64)])
        starts = np.cumsum([0, *(len(who) for _, who in table.groups)])
        used = np.array(
            [np.bitwise_or.reduce(table.z[who]) & size for _, who in table.groups], np.int64
        )
        z = table.z[order]
        places = _packed(z & size, np.repeat(used, np.diff(starts)))
        # i^Y (-1)^... of the imaginary part: Re(i x) = -Im x.
        phase = table.phase[order]
        odd = phase.imag != 0
        places = places + np.where(odd, 1 << low, 0)
        factors = np.where(odd, -phase.imag, phase.real)
        out = np.zeros((SHARDS, order.size, self.lanes))
        string_averages(
            SHARDS, states, np.ascontiguousarray(weights), low, self.parts, self.lanes, flips, used,
            starts, z >> low, places, factors, self._workspace(), out,
        )  # fmt: skip
        found = np.zeros((order.size, self.lanes))
        found[order] = out.sum(axis=0)
        if self.parts == 1:  # strings with an odd number of Y are 0 in real states
            found[table.phase.imag != 0] = 0.0
        return found

    def _classes(self, coefficients: Float) -> tuple[Any, Any, Any, Any]:
        """Flips of groups, first class of each, signs of classes, tables of factors.

        Factors are for the state that is written: (-1)^popcount(z & (k ^ x)) has the sign of
        conj(i^Y) / i^Y besides that of k.
        """
        table, size = self.table, 1 << self.low
        numbers = coefficients * table.phase.conj()
        flips, starts, masks, rows = [], [0], [], []
        for x, members in table.groups:
            outside = table.z[members] >> self.low
            for mask in np.unique(outside):
                who = members[outside == mask]
                signs = signs_of(table.z[who][:, None] & (size - 1), np.arange(size))
                factors = numbers[who] @ signs
                masks.append(int(mask))
                rows.append(np.concatenate([factors.real, factors.imag][: self.parts]))
            flips.append(x)
            starts.append(len(masks))
        while len(flips) % GROUPS:
            flips.append(0)
            starts.append(len(masks))
        tables = aligned((max(len(rows), 1), self._row), np.float64)
        for into, row in zip(tables, rows, strict=False):
            into[: row.size] = row
        as_int = [np.array(values, np.int64) for values in (flips, starts, masks or [0])]
        return as_int[0], as_int[1], as_int[2], tables.ravel()

    def _workspace(self) -> Float:
        threads = get_num_threads()
        if self._work.shape[0] < threads:
            self._work = aligned((threads, -(-self._space // 16) * 16), np.float64)
        return self._work


def _packed(words: NDArray[np.int64], used: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bits of words that are in masks ``used``, side by side."""
    found = np.zeros_like(words)
    place = np.zeros_like(words)
    for bit in range(BLOCK_QUBITS):
        there = used >> bit & 1
        found |= (words >> bit & there) << place
        place += there
    return found
