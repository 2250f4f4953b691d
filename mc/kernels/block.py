"""Two-block Gibbs sampling of models with one Pauli, the classical RBM.

Given v the hidden spins are independent with log odds of -1 equal to 2 Phi_j, and given h the
visible ones with 2 (a_i + sum_j w_ij h_j). Here lanes are units, not chains: the units of a layer
are read four at a time as a 4-bit code, and a table per code holds the partial field of its 16
patterns, so that four multiplications and additions become one addition. Tables are built for a
block of output units and a few input codes at a time, which fits the first-level cache, and are
used by all chains of a tile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mc.kernels.lanes import odds
from tnqbm.core.shape import Shape
from tnqbm.kernels.parallel import get_num_threads, get_thread_id
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.philox import uniforms
from tnqbm.kernels.simd import aligned, lanes, load, store
from tnqbm.kernels.simd_math import bits_to_bytes, bits_to_nibbles, bytes_to_bits, less_bits

BITS = 4
PATTERNS = 1 << BITS
_ONES = 0x4332322132212110
"""Numbers of ones in 0 to 15, four bits each."""
VECTORS = 4
"""Vectors of output units whose sums stay in registers."""

CODES = 4
"""Input codes whose tables are held at a time: 4 x 16 patterns x 4 vectors are 16 KB."""

_TILE = 128
"""Most chains that share the tables of a layer."""


@part
def _copy(source, target):
    """The numbers of ``source``, and zeros after them."""
    for k in range(source.shape[0]):
        target[k] = source[k]
    for k in range(source.shape[0], target.shape[0]):
        target[k] = 0.0


@part
def _spread(source, target, step):
    for k in range(source.shape[0]):
        target[k * step] = source[k]


@part
def pad_weights(theta, n, m, down, up):
    """Weights from visible to hidden units (``down``) and back (``up``).

    Row 0 holds the biases, row 1 + k the weights of input k; zero beyond the last unit.
    """
    for i in range(n + 1):
        at = n + i * m
        _copy(theta[at : at + m], down[i])
    _copy(theta[:n], up[0])
    flat = up.reshape(up.size)
    width = up.shape[1]
    for i in range(n):
        _spread(down[1 + i, :m], flat[width + i :], width)
    for j in range(m):
        up[1 + j, n:] = 0.0


@part
def _fill_tables(rows, first, last, at, W, tables):
    """tables[(((code - first) 16 + pattern) 4 + vector) W + lane] for output units from ``at``."""
    inputs, units = rows.shape[0] - 1, rows.shape[1]
    flat = rows.reshape(rows.size)
    row = VECTORS * W
    zero = load(flat, at) * 0.0
    for code in range(first, last):
        base = (code - first) * PATTERNS * row
        known = min(BITS, inputs - code * BITS)
        for vector in range(VECTORS):
            to = base + vector * W
            here = (1 + code * BITS) * units + at + vector * W
            total = zero
            for bit in range(known):
                total = total + load(flat, here + bit * units)
            store(tables, to, total)
            for bit in range(BITS):
                # Patterns of units beyond the last differ in nothing.
                twice = zero
                if bit < known:
                    twice = load(flat, here + bit * units) * 2.0
                for pattern in range(1 << bit):
                    value = load(tables, to + pattern * row) - twice
                    store(tables, to + (pattern + (1 << bit)) * row, value)


@part
def _add_tables(codes, chains, first, last, W, tables, sums):
    """sums[chain] += the table rows of its codes first..last - 1."""
    row = VECTORS * W
    for chain in range(chains):
        to = chain * row
        x0 = load(sums, to)
        x1 = load(sums, to + W)
        x2 = load(sums, to + 2 * W)
        x3 = load(sums, to + 3 * W)
        for code in range(first, last):
            at = ((code - first) * PATTERNS + codes[chain, code]) * row
            x0 = x0 + load(tables, at)
            x1 = x1 + load(tables, at + W)
            x2 = x2 + load(tables, at + 2 * W)
            x3 = x3 + load(tables, at + 3 * W)
        store(sums, to, x0)
        store(sums, to + W, x1)
        store(sums, to + 2 * W, x2)
        store(sums, to + 3 * W, x3)


@part
def _draw(field, u):
    """Bits that are 1 (spin -1) with probability 1/(1 + exp(-2 field))."""
    return less_bits(u + u * odds(field * -2.0), field * 0.0 + 1.0)


@part
def _half_step(rows, codes, chains, key, chain0, sweep, purpose, W, tables, sums, out):
    """Draw a layer given the other: codes (chains, input codes) -> out (chains, output codes)."""
    inputs, units = rows.shape[0] - 1, rows.shape[1]
    n_codes = (inputs + BITS - 1) // BITS
    flat = rows.reshape(rows.size)
    row = VECTORS * W
    for at in range(0, units, row):
        for chain in range(chains):
            for k in range(0, row, W):
                store(sums, chain * row + k, load(flat, at + k))
        for first in range(0, n_codes, CODES):
            last = min(n_codes, first + CODES)
            _fill_tables(rows, first, last, at, W, tables)
            _add_tables(codes, chains, first, last, W, tables, sums)
        like = load(flat, 0)
        for chain in range(chains):
            k = 0
            while k < VECTORS:
                site = (purpose << 24) + (at // W + k) * W
                found = uniforms(key, chain0 + chain, 0, sweep, site, 1, like)
                for word in range(len(found)):
                    field = load(sums, chain * row + (k + word) * W)
                    bits = _draw(field, found[word])
                    bits_to_nibbles(out[chain], (at + (k + word) * W) // BITS, bits, like)
                k += len(found)


@part
def _take_codes(state, W, like, codes):
    """Codes of one chain's bits."""
    n = state.shape[0]
    codes[:] = 0
    whole = n - n % W
    for i in range(0, whole, W):
        bits_to_nibbles(codes, i // BITS, bytes_to_bits(state, i, like), like)
    for i in range(whole, n):
        codes[i // BITS] |= state[i] << (i % BITS)


@part
def _put_state(codes, W, like, state):
    """Write one chain's bits."""
    n = state.shape[0]
    whole = n - n % W
    for i in range(0, whole, W):
        bits = 0
        for k in range(W // BITS):
            bits |= codes[i // BITS + k] << (BITS * k)
        bits_to_bytes(state, i, bits, like)
    for i in range(whole, n):
        state[i] = (codes[i // BITS] >> (i % BITS)) & 1


@part
def _restore_fixed(start, fixed, codes):
    """Put the bits of fixed units back."""
    for chain in range(start.shape[0]):
        for k in range(start.shape[1]):
            codes[chain, k] = (codes[chain, k] & ~fixed[k]) | (start[chain, k] & fixed[k])


@part
def _count_changes(before, after, n):
    """Bits among the first n that differ between two rows of codes."""
    changed = 0
    whole = n // BITS
    for k in range(whole):
        changed += (_ONES >> (BITS * (before[k] ^ after[k]))) & (PATTERNS - 1)
    for i in range(whole * BITS, n):
        changed += ((before[whole] ^ after[whole]) >> (i % BITS)) & 1
    return changed


@parallel_over(lambda states, tile: states.shape[0] * ((states.shape[1] + tile - 1) // tile))
def block_chains(
    task, theta, m, W, tile, keys, clock, steps, first_chain, fixed, states, owner, down, up, work,
    codes, rates,
):  # fmt: skip
    """Every model of a batch, its chains in tiles.

    ``fixed`` (codes,) bits of units that keep their value. Scratch of every thread: ``owner``
    (threads,), -1 at the start, the model whose weights ``down`` (threads, n + 1, .) and ``up``
    (threads, m + 1, .) hold; ``work`` (threads, .); ``codes`` (threads, 4, tile, .). The changed
    bits of the last sweep stand for all sweeps in ``rates`` (B, C).
    """
    n = states.shape[2]
    chains = states.shape[1]
    tiles = (chains + tile - 1) // tile
    held = False
    for k in range(fixed.shape[0]):
        held = held or fixed[k] != 0
    b = task // tiles
    first = task % tiles * tile
    count = min(tile, chains - first)
    thread = get_thread_id()
    if owner[thread] != b:
        pad_weights(theta[b], n, m, down[thread], up[thread])
        owner[thread] = b
    tables = work[thread, : CODES * PATTERNS * VECTORS * W]
    sums = work[thread, CODES * PATTERNS * VECTORS * W :]
    visible, hidden, start, before = (
        codes[thread, 0, :count], codes[thread, 1, :count], codes[thread, 2, :count],
        codes[thread, 3, :count],
    )  # fmt: skip
    like = load(tables, 0) * 0.0
    for chain in range(count):
        _take_codes(states[b, first + chain], W, like, visible[chain])
        if held:
            _copy(visible[chain], start[chain])
    for step in range(steps):
        if step == steps - 1:
            for chain in range(count):
                _copy(visible[chain], before[chain])
        chain0, sweep = first_chain + first, clock + step
        _half_step(down[thread], visible, count, keys[b], chain0, sweep, 1, W, tables, sums, hidden)
        _half_step(up[thread], hidden, count, keys[b], chain0, sweep, 0, W, tables, sums, visible)
        if held:
            _restore_fixed(start, fixed, visible)
    for chain in range(count):
        _put_state(visible[chain], W, like, states[b, first + chain])
        rates[b, first + chain] = steps * _count_changes(before[chain], visible[chain], n)


class BlockChains:
    """Calls :func:`block_chains` for models of one shape; owns the work space of the threads."""

    def __init__(self, shape: Shape, dtype: np.dtype[Any], free: NDArray[np.intp]) -> None:
        self._shape, self._dtype, self._lanes = shape, dtype, lanes(dtype)
        self._wide = [_padded(units, self._lanes) for units in shape[:2]]
        fixed = np.zeros(self._wide[0], dtype=np.uint8)
        fixed[: shape.n_visible] = 1
        fixed[free] = 0
        self._fixed = np.asarray(fixed.reshape(-1, BITS) @ (1 << np.arange(BITS)), dtype=np.uint8)
        self._work: tuple[NDArray[Any], ...] | None = None
        self._tile = 0

    def sweep(
        self,
        theta: NDArray[np.float64],
        states: NDArray[np.uint8],
        keys: NDArray[np.uint64],
        clock: int,
        steps: int,
        first_chain: int,
        rates: NDArray[np.float64],
    ) -> None:
        """As :meth:`mc.kernels.Sweeper.sweep`; changed bits, added up, go to ``rates``."""
        batch, chains, _ = states.shape
        threads = get_num_threads()
        tile = min(_TILE, max(1, -(-batch * chains // threads)))
        if self._work is None or self._work[0].shape[0] < threads or self._tile < tile:
            n, m, _ = self._shape
            self._tile = tile
            work = (CODES * PATTERNS + tile) * VECTORS * self._lanes
            self._work = (
                aligned((threads, n + 1, self._wide[1]), self._dtype),
                aligned((threads, m + 1, self._wide[0]), self._dtype),
                aligned((threads, work), self._dtype),
                np.empty((threads, 4, tile, max(self._wide) // BITS), np.uint8),
            )
        block_chains(
            np.ascontiguousarray(theta), self._shape.n_hidden, self._lanes, tile, keys, clock,
            steps, first_chain, self._fixed, states, np.full(threads, -1), *self._work, rates,
        )  # fmt: skip


def _padded(units: int, width: int) -> int:
    """Units rounded up to whole register blocks."""
    block = VECTORS * width
    return -(-max(units, 1) // block) * block
