"""Averages over samples: chains of a Monte Carlo run, minibatches of data.

For every model of a batch and every visible state, the hidden qubits are summed exactly:
<sigma_j^P>_v = -tanh(r_j)/r_j Phi_j^P (Rao-Blackwell: no noise from sampling them), rounded to
fixed point. What is added up are integers: no bit of the sums depends on threads, ranks, or the
order of states.

Lanes are hidden units, those of one vector a tile. Visible units are read four at a time as a
code. A table of fields for its 16 patterns turns four multiplications and additions into one
addition; averages are added to a table of the same shape, whose rows are combined at the end, one
addition again instead of four. The steps in between are loops of their own over a few states: so
many operations that do not wait for each other keep the processor busy.
"""

from __future__ import annotations

import numpy as np

from tnqbm.kernels.fields import TINY, tanh_ratio
from tnqbm.kernels.parallel import OPTIONS, get_thread_id, njit
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.simd import absolute, load, sqrt, store
from tnqbm.kernels.simd_math import (
    add_integers,
    exp_minus_twice,
    four_bits,
    load_as,
    nearest,
    where_less,
)

BITS = 4
PATTERNS = 1 << BITS
"""Units read at a time as a code, and what they can be."""

BLOCK = 16
"""States that take a step together: their fields stay in the nearest cache."""

GROUP = 256
"""States between two folds: so many numbers of single precision stay below 2^31."""

FRACTION = {np.float64: 36, np.float32: 22}
"""Binary digits of the averages of a state after the point."""

SUM_FRACTION = 36
"""Those of sums: fewer than 2^27 states cannot overflow."""


@part
def _chunks_of(n):
    """Codes of a state of n units."""
    return (n + BITS - 1) // BITS


@part
def _take_offsets(states, first, count, size, offsets):
    """offsets[k chunks + c]: where row 16 c + code begins in tables of rows of ``size`` numbers."""
    n = states.shape[1]
    chunks, whole = _chunks_of(n), n // BITS
    for k in range(count):
        state = states[first + k]
        for c in range(whole):
            offsets[k * chunks + c] = (c * PATTERNS + four_bits(state, c * BITS)) * size
        if whole < chunks:
            code = 0
            for bit in range(n - whole * BITS):
                code |= np.int64(state[whole * BITS + bit]) << bit
            offsets[k * chunks + whole] = (whole * PATTERNS + code) * size


@part
def _read(theta, at, width, W, line):
    """W parameters, zeros beyond ``width``."""
    if width == W:
        return load_as(theta, at, load(line, 0))
    for lane in range(W):
        line[lane] = theta[at + lane] if lane < width else 0.0
    return load(line, 0)


@part
def _fill_tables(theta, n, m, P, W, first, line, tables):
    """tables[((16 c + code) P + p) W + l]: fields of hidden unit first + l from units 4c, ....

    The first table has the fields b, too.
    """
    width = min(W, m - first)
    size = P * W
    for c in range(_chunks_of(n)):
        bits = min(BITS, n - c * BITS)
        for p in range(P):
            base = c * PATTERNS * size + p * W
            at = n + P * m + (p * n + c * BITS) * m + first
            x = load(line, 0) * 0.0
            if c == 0:
                x = _read(theta, n + p * m + first, width, W, line)
            for bit in range(bits):
                x = x + _read(theta, at + bit * m, width, W, line)
            store(tables, base, x)
            for bit in range(bits):
                # With this unit down the patterns so far repeat, their fields less by 2 w.
                step = _read(theta, at + bit * m, width, W, line) * 2.0
                for code in range(1 << bit):
                    row = base + code * size
                    store(tables, row + (size << bit), load(tables, row) - step)


@part
def _exponentials(count, W, r, e):
    """e = exp(-2r)."""
    for at in range(0, count * W, W):
        store(e, at, exp_minus_twice(load(r, at)))


@part
def _fields_1(tables, offsets, chunks, first, count, W, phi, r):
    """Fields of ``count`` states and their lengths, one Pauli."""
    for k in range(count):
        at = (first + k) * chunks
        x = load(tables, offsets[at])
        for c in range(at + 1, at + chunks):
            x = x + load(tables, offsets[c])
        store(phi, k * W, x)
        store(r, k * W, absolute(x))


@part
def _fields_2(tables, offsets, chunks, first, count, W, phi, r):
    for k in range(count):
        at = (first + k) * chunks
        row = offsets[at]
        x, y = load(tables, row), load(tables, row + W)
        for c in range(at + 1, at + chunks):
            row = offsets[c]
            x = x + load(tables, row)
            y = y + load(tables, row + W)
        store(phi, k * 2 * W, x)
        store(phi, k * 2 * W + W, y)
        store(r, k * W, sqrt(x * x + (y * y + TINY * TINY)))


@part
def _fields_3(tables, offsets, chunks, first, count, W, phi, r):
    for k in range(count):
        at = (first + k) * chunks
        row = offsets[at]
        x, y, z = load(tables, row), load(tables, row + W), load(tables, row + 2 * W)
        for c in range(at + 1, at + chunks):
            row = offsets[c]
            x = x + load(tables, row)
            y = y + load(tables, row + W)
            z = z + load(tables, row + 2 * W)
        store(phi, k * 3 * W, x)
        store(phi, k * 3 * W + W, y)
        store(phi, k * 3 * W + 2 * W, z)
        store(r, k * W, sqrt(z * z + (x * x + (y * y + TINY * TINY))))


@part
def _add_1(offsets, chunks, first, count, W, scale, phi, r, e, sums):
    """Add the averages of ``count`` states, times ``scale``, to the rows of their codes."""
    for k in range(count):
        d = load(e, k * W)
        size = (1.0 - d) / (1.0 + d)
        x = load(phi, k * W)
        x = nearest(where_less(x, x * 0.0, size, size * -1.0), scale)
        at = (first + k) * chunks
        for c in range(at, at + chunks):
            row = offsets[c]
            store(sums, row, load(sums, row) + x)


@part
def _add_2(offsets, chunks, first, count, W, scale, phi, r, e, sums):
    for k in range(count):
        ratio = tanh_ratio(load(e, k * W), load(r, k * W)) * -1.0
        x = nearest(load(phi, k * 2 * W) * ratio, scale)
        y = nearest(load(phi, k * 2 * W + W) * ratio, scale)
        at = (first + k) * chunks
        for c in range(at, at + chunks):
            row = offsets[c]
            store(sums, row, load(sums, row) + x)
            store(sums, row + W, load(sums, row + W) + y)


@part
def _add_3(offsets, chunks, first, count, W, scale, phi, r, e, sums):
    for k in range(count):
        ratio = tanh_ratio(load(e, k * W), load(r, k * W)) * -1.0
        x = nearest(load(phi, k * 3 * W) * ratio, scale)
        y = nearest(load(phi, k * 3 * W + W) * ratio, scale)
        z = nearest(load(phi, k * 3 * W + 2 * W) * ratio, scale)
        at = (first + k) * chunks
        for c in range(at, at + chunks):
            row = offsets[c]
            store(sums, row, load(sums, row) + x)
            store(sums, row + W, load(sums, row + W) + y)
            store(sums, row + 2 * W, load(sums, row + 2 * W) + z)


@part
def _add_states(P, tables, offsets, chunks, count, W, scale, phi, r, e, sums):
    """Add the averages of all states of a group to the rows of their codes."""
    for first in range(0, count, BLOCK):
        here = min(BLOCK, count - first)
        if P == 1:
            _fields_1(tables, offsets, chunks, first, here, W, phi, r)
        elif P == 2:
            _fields_2(tables, offsets, chunks, first, here, W, phi, r)
        else:
            _fields_3(tables, offsets, chunks, first, here, W, phi, r)
        _exponentials(here, W, r, e)
        if P == 1:
            _add_1(offsets, chunks, first, here, W, scale, phi, r, e, sums)
        elif P == 2:
            _add_2(offsets, chunks, first, here, W, scale, phi, r, e, sums)
        else:
            _add_3(offsets, chunks, first, here, W, scale, phi, r, e, sums)


@part
def _write(x, width, W, shift, line, out, at):
    """Add the first ``width`` numbers of x, times 2^shift."""
    if width == W:
        add_integers(out, at, x, shift)
    else:
        store(line, 0, x)
        for lane in range(width):
            out[at + lane] += np.int64(line[lane]) << shift


@part
def _fold(n, m, P, W, first, shift, sums, line, out):
    """Add what a tile's rows add up to, with the signs of the units, to ``out``; clear them."""
    width = min(W, m - first)
    size = P * W
    zero = load(sums, 0) - load(sums, 0)
    for c in range(_chunks_of(n)):
        for p in range(P):
            base = c * PATTERNS * size + p * W
            for bit in range(min(BITS, n - c * BITS) - 1, -1, -1):
                x = zero
                for code in range(1 << bit):
                    row = base + code * size
                    up = load(sums, row)
                    down = load(sums, row + (size << bit))
                    x = x + (up - down)
                    store(sums, row, up + down)
                    store(sums, row + (size << bit), zero)
                at = n + P * m + (p * n + c * BITS + bit) * m + first
                _write(x, width, W, shift, line, out, at)
            if c == 0:
                _write(load(sums, base), width, W, shift, line, out, n + p * m + first)
            store(sums, base, zero)


@part
def _add_spins(states, first, count, out):
    """Add the spins 1 - 2v."""
    n = states.shape[1]
    one = np.int64(1) << SUM_FRACTION
    for k in range(first, first + count):
        for i in range(n):
            out[i] += one - (np.int64(states[k, i]) << (SUM_FRACTION + 1))


@parallel_over(lambda theta, segments: theta.shape[0] * segments)
def all_sums(
    task, theta, n, m, P, W, segments, fraction, data, chains, work, sums, codes, out
):  # fmt: skip
    """Every (model, segment of its states), for two lists of states (B, K, n).

    Adds to ``out`` (segments, 2, B, size). work, sums and codes (threads, ...) belong to a thread
    each; ``sums``, integers as wide as the numbers of ``work``, must be zero, and are again.
    ``fraction`` is that of their type in :data:`FRACTION`.
    """
    chunks = _chunks_of(n)
    size = P * W
    rows = chunks * PATTERNS * size
    b = task // segments
    segment = task % segments
    thread = get_thread_id()
    tables, space = work[thread, :rows], work[thread, rows:]
    phi, space = space[: BLOCK * size], space[BLOCK * size :]
    r, space = space[: BLOCK * W], space[BLOCK * W :]
    e, line = space[: BLOCK * W], space[BLOCK * W :]
    own, own_line = sums[thread, :rows], sums[thread, rows:]
    scale = 2.0**fraction
    for which in range(2):
        states = data[b] if which == 0 else chains[b]
        begin = states.shape[0] * segment // segments
        end = states.shape[0] * (segment + 1) // segments
        to = out[segment, which, b]
        for group in range(begin, end, GROUP):
            count = min(GROUP, end - group)
            _add_spins(states, group, count, to)
            _take_offsets(states, group, count, size, codes[thread])
            for first in range(0, m, W):
                _fill_tables(theta[b], n, m, P, W, first, line, tables)
                _add_states(P, tables, codes[thread], chunks, count, W, scale, phi, r, e, own)
                _fold(n, m, P, W, first, SUM_FRACTION - fraction, own, own_line, to)


@njit(**OPTIONS)
def scaled(sums, factor, out):
    """out = sums (as numbers) times a factor."""
    for k in range(sums.size):
        out[k] = sums[k] * factor
