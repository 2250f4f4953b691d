"""Numba kernels that execute a contraction program (:mod:`tnqbm.networks.compiled.program`).

Every operation is one pairwise contraction

    out[o] = sum_s x[X(o) + X'(s)] y[Y(o) + Y'(s)]

on buffers inside one array, the *arena*. The offsets X(o) = X1[o1] + X2[o2] + e stride come from
two short tables and an inner run, those of the sum likewise, so that no operand is ever transposed
and nothing is as large as the tensors but the tensors. Long inner runs are vectorised.

Numbers are kept in one of two forms. *Linear*: tensors are stored as they come, with their largest
magnitude; the next operation divides by it, and logarithms of the scales are carried beside.
Products that would underflow are noticed. *Logarithmic*: log magnitude and sign, whatever the
range; some ten times slower, and meant for what the linear form cannot hold.
"""

from __future__ import annotations

import math

import numpy as np

from tnqbm.kernels.parallel import OPTIONS, njit
from tnqbm.kernels.parts import part

# Columns of a program's table of operations.
OUT, X, Y = 0, 1, 2  # offsets in the arena
OUT_SLOT, X_SLOT, Y_SLOT = 3, 4, 5  # where their scales are kept
O1, O2, L = 6, 7, 8  # lengths of the loops over the output; L is its inner run
XL, YL = 9, 10  # strides of the operands along the inner run
S1, S2, K = 11, 12, 13  # lengths of the loops over the sum; K is its inner run
XK, YK = 14, 15
TO1, TO2, TS1, TS2 = 16, 17, 18, 19  # where their tables of (X, Y) offsets begin
MODE = 20
COLUMNS = 21

VECTOR, GATHER, REDUCE = 0, 1, 2
"""How an operation runs: along the output, gathering, or along the sum."""

TINY = 1e-290
"""Magnitudes below this lose relative precision soon."""

DEEP = 640.0
"""Entries of an input tensor this far below its largest, in natural logarithms, are near TINY."""

DONE, UNDERFLOW, NOTHING = 0, 1, 2

FASTMATH = {"nnan", "nsz", "reassoc", "contract"}


@part(fastmath=FASTMATH)
def _row_1(out, x, c):
    """out = c x; the largest and smallest magnitude."""
    high, low = 0.0, 1e300
    for k in range(out.shape[0]):
        value = c * x[k]
        out[k] = value
        high = max(high, abs(value))
        low = min(low, abs(value))
    return high, low


@part(fastmath=FASTMATH)
def _row_2(out, x, c, z, d):
    """out = c x + d z; the largest and smallest magnitude."""
    high, low = 0.0, 1e300
    for k in range(out.shape[0]):
        value = c * x[k] + d * z[k]
        out[k] = value
        high = max(high, abs(value))
        low = min(low, abs(value))
    return high, low


@part(fastmath=FASTMATH)
def _row_product_1(out, x, y, c):
    """out = c x y."""
    high, low = 0.0, 1e300
    for k in range(out.shape[0]):
        value = c * x[k] * y[k]
        out[k] = value
        high = max(high, abs(value))
        low = min(low, abs(value))
    return high, low


@part(fastmath=FASTMATH)
def _row_product_2(out, x, y, z, w, c):
    """out = c (x y + z w)."""
    high, low = 0.0, 1e300
    for k in range(out.shape[0]):
        value = c * (x[k] * y[k] + z[k] * w[k])
        out[k] = value
        high = max(high, abs(value))
        low = min(low, abs(value))
    return high, low


@part(fastmath=FASTMATH)
def _row_add(out, x, c):
    for k in range(out.shape[0]):
        out[k] += c * x[k]


@part(fastmath=FASTMATH)
def _row_add_product(out, x, y, c):
    for k in range(out.shape[0]):
        out[k] += c * x[k] * y[k]


@part(fastmath=FASTMATH)
def _extent(out):
    high, low = 0.0, 1e300
    for k in range(out.shape[0]):
        high = max(high, abs(out[k]))
        low = min(low, abs(out[k]))
    return high, low


@part(fastmath=FASTMATH)
def _dot(x, y):
    total = 0.0
    for k in range(x.shape[0]):
        total += x[k] * y[k]
    return total


@part(fastmath=FASTMATH)
def _sum(x):
    total = 0.0
    for k in range(x.shape[0]):
        total += x[k]
    return total


@part
def _lost(op, tables, arena, o1, o2, e, scale):
    """Does any product of two numbers that are not zero fall below TINY?"""
    x0 = op[X] + tables[op[TO1] + 2 * o1] + tables[op[TO2] + 2 * o2] + e * op[XL]
    y0 = op[Y] + tables[op[TO1] + 2 * o1 + 1] + tables[op[TO2] + 2 * o2 + 1] + e * op[YL]
    for s1 in range(op[S1]):
        x1, y1 = x0 + tables[op[TS1] + 2 * s1], y0 + tables[op[TS1] + 2 * s1 + 1]
        for s2 in range(op[S2]):
            x2, y2 = x1 + tables[op[TS2] + 2 * s2], y1 + tables[op[TS2] + 2 * s2 + 1]
            for k in range(op[K]):
                x, y = arena[x2 + k * op[XK]], arena[y2 + k * op[YK]]
                if x != 0.0 and y != 0.0 and abs(x * scale * y) < TINY:
                    return True
    return False


@part
def _row_lost(op, tables, arena, o1, o2, scale):
    """The same for a row of outputs, where those are looked at that are small themselves."""
    at = op[OUT] + (o1 * op[O2] + o2) * op[L]
    for e in range(op[L]):
        if abs(arena[at + e]) < TINY and _lost(op, tables, arena, o1, o2, e, scale):
            return True
    return False


@part
def _vector_row(op, tables, arena, scale, o1, o2):
    """One row of the output along its inner run, x contiguous and y constant or contiguous."""
    x0 = op[X] + tables[op[TO1] + 2 * o1] + tables[op[TO2] + 2 * o2]
    y0 = op[Y] + tables[op[TO1] + 2 * o1 + 1] + tables[op[TO2] + 2 * o2 + 1]
    n, first = op[L], op[OUT] + (o1 * op[O2] + o2) * op[L]
    out = arena[first : first + n]
    ts = op[TS2]
    if op[S1] == 1 and op[S2] <= 2:
        xs, ys = x0 + tables[ts], y0 + tables[ts + 1]
        if op[S2] == 1:
            if op[YL] == 0:
                return _row_1(out, arena[xs : xs + n], scale * arena[ys])
            return _row_product_1(out, arena[xs : xs + n], arena[ys : ys + n], scale)
        xt, yt = x0 + tables[ts + 2], y0 + tables[ts + 3]
        if op[YL] == 0:
            return _row_2(
                out, arena[xs : xs + n], scale * arena[ys], arena[xt : xt + n], scale * arena[yt]
            )
        return _row_product_2(
            out,
            arena[xs : xs + n],
            arena[ys : ys + n],
            arena[xt : xt + n],
            arena[yt : yt + n],
            scale,
        )
    out[:] = 0.0
    for s1 in range(op[S1]):
        x1, y1 = x0 + tables[op[TS1] + 2 * s1], y0 + tables[op[TS1] + 2 * s1 + 1]
        for s2 in range(op[S2]):
            xs, ys = x1 + tables[ts + 2 * s2], y1 + tables[ts + 2 * s2 + 1]
            if op[YL] == 0:
                _row_add(out, arena[xs : xs + n], scale * arena[ys])
            else:
                _row_add_product(out, arena[xs : xs + n], arena[ys : ys + n], scale)
    return _extent(out)


@part
def _vector(op, tables, arena, scale):
    """Long runs of the output that are contiguous in x; the largest magnitude, -1 for underflow."""
    highest = 0.0
    for o1 in range(op[O1]):
        for o2 in range(op[O2]):
            high, low = _vector_row(op, tables, arena, scale, o1, o2)
            highest = max(highest, high)
            if low < TINY and _row_lost(op, tables, arena, o1, o2, scale):
                return -1.0
    return highest


@part
def _gather(op, tables, arena, scale):
    """Many outputs from anywhere, few terms each."""
    n, t2 = op[O2], op[TO2]
    highest = 0.0
    for o1 in range(op[O1]):
        x0, y0 = op[X] + tables[op[TO1] + 2 * o1], op[Y] + tables[op[TO1] + 2 * o1 + 1]
        first = op[OUT] + o1 * n
        fresh = True
        for s1 in range(op[S1]):
            x1, y1 = x0 + tables[op[TS1] + 2 * s1], y0 + tables[op[TS1] + 2 * s1 + 1]
            for s2 in range(op[S2]):
                xs, ys = x1 + tables[op[TS2] + 2 * s2], y1 + tables[op[TS2] + 2 * s2 + 1]
                if fresh:
                    for k in range(n):
                        x, y = arena[xs + tables[t2 + 2 * k]], arena[ys + tables[t2 + 2 * k + 1]]
                        arena[first + k] = scale * x * y
                    fresh = False
                else:
                    for k in range(n):
                        x, y = arena[xs + tables[t2 + 2 * k]], arena[ys + tables[t2 + 2 * k + 1]]
                        arena[first + k] += scale * x * y
        high, low = _extent(arena[first : first + n])
        highest = max(highest, high)
        if low < TINY:
            for o2 in range(n):
                if _row_lost(op, tables, arena, o1, o2, scale):
                    return -1.0
    return highest


@part
def _reduce(op, tables, arena, scale):
    """Few outputs of many terms, along runs that are contiguous in x or from anywhere."""
    n, t2 = op[K], op[TS2]
    highest = 0.0
    for o1 in range(op[O1]):
        for o2 in range(op[O2]):
            x0 = op[X] + tables[op[TO1] + 2 * o1] + tables[op[TO2] + 2 * o2]
            y0 = op[Y] + tables[op[TO1] + 2 * o1 + 1] + tables[op[TO2] + 2 * o2 + 1]
            total = 0.0
            for s1 in range(op[S1]):
                x1, y1 = x0 + tables[op[TS1] + 2 * s1], y0 + tables[op[TS1] + 2 * s1 + 1]
                if n == 1:
                    for s2 in range(op[S2]):
                        x, y = arena[x1 + tables[t2 + 2 * s2]], arena[y1 + tables[t2 + 2 * s2 + 1]]
                        total += x * y
                    continue
                for s2 in range(op[S2]):
                    xs, ys = x1 + tables[t2 + 2 * s2], y1 + tables[t2 + 2 * s2 + 1]
                    if op[YK] == 1:
                        total += _dot(arena[xs : xs + n], arena[ys : ys + n])
                    else:
                        total += _sum(arena[xs : xs + n]) * arena[ys]
            at = op[OUT] + o1 * op[O2] + o2
            arena[at] = scale * total
            highest = max(highest, abs(arena[at]))
            if abs(arena[at]) < TINY and _lost(op, tables, arena, o1, o2, 0, scale):
                return -1.0
    return highest


@njit(**OPTIONS)
def run_linear(ops, tables, arena, peak, log_scale):
    """Execute all operations; DONE, or UNDERFLOW where numbers have left the range of doubles.

    ``peak`` and ``log_scale`` (slots,) hold for each buffer its largest magnitude and the logarithm
    of what it must be multiplied by; those of the inputs are set by the caller.
    """
    for q in range(ops.shape[0]):
        op = ops[q]
        x, y, out = op[X_SLOT], op[Y_SLOT], op[OUT_SLOT]
        product = peak[x] * peak[y]
        if product < TINY:
            return UNDERFLOW
        if op[MODE] == VECTOR:
            highest = _vector(op, tables, arena, 1.0 / product)
        elif op[MODE] == GATHER:
            highest = _gather(op, tables, arena, 1.0 / product)
        else:
            highest = _reduce(op, tables, arena, 1.0 / product)
        if highest <= 0.0:
            return UNDERFLOW
        peak[out] = highest
        log_scale[out] = log_scale[x] + log_scale[y] + math.log(product)
    return DONE


@part
def _log_element(op, tables, logs, signs, o1, o2, e, highest):
    """The largest log of a term, or (given that) the signed sum of the terms relative to it."""
    x0 = op[X] + tables[op[TO1] + 2 * o1] + tables[op[TO2] + 2 * o2] + e * op[XL]
    y0 = op[Y] + tables[op[TO1] + 2 * o1 + 1] + tables[op[TO2] + 2 * o2 + 1] + e * op[YL]
    find = highest == -np.inf
    total = -np.inf if find else 0.0
    for s1 in range(op[S1]):
        x1, y1 = x0 + tables[op[TS1] + 2 * s1], y0 + tables[op[TS1] + 2 * s1 + 1]
        for s2 in range(op[S2]):
            xs, ys = x1 + tables[op[TS2] + 2 * s2], y1 + tables[op[TS2] + 2 * s2 + 1]
            for _ in range(op[K]):
                value = logs[xs] + logs[ys]
                if find:
                    total = max(total, value)
                elif value >= highest - 60.0:
                    total += signs[xs] * signs[ys] * math.exp(value - highest)
                xs += op[XK]
                ys += op[YK]
    return total


@njit(**OPTIONS)
def run_logarithmic(ops, tables, logs, signs):
    """The same operations on logarithms of magnitudes (-inf for 0) and signs (+1 or -1)."""
    for q in range(ops.shape[0]):
        op = ops[q]
        for o1 in range(op[O1]):
            for o2 in range(op[O2]):
                for e in range(op[L]):
                    at = op[OUT] + (o1 * op[O2] + o2) * op[L] + e
                    highest = _log_element(op, tables, logs, signs, o1, o2, e, -np.inf)
                    total = 0.0
                    if highest > -np.inf:
                        total = _log_element(op, tables, logs, signs, o1, o2, e, highest)
                    logs[at] = highest + math.log(abs(total)) if total != 0.0 else -np.inf
                    signs[at] = 1 if total >= 0.0 else -1


@njit(**OPTIONS)
def load_linear(logs, signs, starts, offsets, arena, peak, log_scale):
    """Input tensors into the arena, each with largest magnitude 1.

    UNDERFLOW if one spans too many orders of magnitude, NOTHING if one is zero.

    Tensor t has the entries ``starts[t]:starts[t + 1]`` of ``logs`` and ``signs``, its buffer
    begins at ``offsets[t]`` and its slot is t + 1. Slot 0 is the number 1.
    """
    arena[0] = 1.0
    peak[0] = 1.0
    log_scale[0] = 0.0
    for t in range(offsets.shape[0]):
        highest = -np.inf
        for k in range(starts[t], starts[t + 1]):
            highest = max(highest, logs[k])
        if highest == -np.inf:
            return NOTHING
        peak[t + 1] = 1.0
        log_scale[t + 1] = highest
        for k in range(starts[t], starts[t + 1]):
            at = offsets[t] + k - starts[t]
            if logs[k] == -np.inf:
                arena[at] = 0.0
            elif logs[k] < highest - DEEP:
                return UNDERFLOW
            else:
                arena[at] = signs[k] * math.exp(logs[k] - highest)
    return DONE


@njit(**OPTIONS)
def load_logarithmic(logs, signs, starts, offsets, arena, arena_signs):
    """Input tensors into an arena of logarithms."""
    arena[0] = 0.0
    arena_signs[0] = 1
    for t in range(offsets.shape[0]):
        for k in range(starts[t], starts[t + 1]):
            at = offsets[t] + k - starts[t]
            arena[at] = logs[k]
            arena_signs[at] = signs[k]


@njit(**OPTIONS)
def spread(moves, tables, source, target):
    """target += source, broadcast: one row (target, source, n1, n2, t1, t2) of ``moves`` a pair.

    The entry (i1, i2) of the target, in C order, is given source[s + T1[i1] + T2[i2]].
    """
    for q in range(moves.shape[0]):
        at, s, n1, n2, t1, t2 = moves[q]
        for i1 in range(n1):
            for i2 in range(n2):
                target[at] += source[s + tables[t1 + i1] + tables[t2 + i2]]
                at += 1


@njit(**OPTIONS)
def collect(moves, tables, target, source):
    """source += target, summed over what :func:`spread` broadcasts: its transpose."""
    for q in range(moves.shape[0]):
        at, s, n1, n2, t1, t2 = moves[q]
        for i1 in range(n1):
            for i2 in range(n2):
                source[s + tables[t1 + i1] + tables[t2 + i2]] += target[at]
                at += 1


@njit(**OPTIONS)
def shares_linear(starts, inputs, places, slots, signed, arena, peak, log_scale, sign, shares):
    """For each entry of each input tensor T dZ/dT / |Z|; for signed ones dZ/dT / |Z|."""
    for t in range(inputs.shape[0]):
        size = starts[t + 1] - starts[t]
        total = 0.0
        for k in range(size):
            share = arena[inputs[t] + k] * (arena[places[t] + k] / peak[slots[t]])
            shares[starts[t] + k] = share
            total += share
        factor = sign / total
        if signed[t]:
            factor *= math.exp(-log_scale[t + 1]) / peak[slots[t]]
            for k in range(size):
                shares[starts[t] + k] = factor * arena[places[t] + k]
        else:
            for k in range(size):
                shares[starts[t] + k] *= factor


@njit(**OPTIONS)
def shares_logarithmic(starts, inputs, places, signed, logs, signs, log_z, sign, shares):
    """The same from logarithms."""
    for t in range(inputs.shape[0]):
        size = starts[t + 1] - starts[t]
        if signed[t]:
            for k in range(size):
                at = places[t] + k
                shares[starts[t] + k] = signs[at] * math.exp(logs[at] - log_z)
            continue
        # relative to their own largest: log_z of large weights is not exact to 1
        highest = -np.inf
        for k in range(size):
            highest = max(highest, logs[places[t] + k] + logs[inputs[t] + k])
        total = 0.0
        for k in range(size):
            value = logs[places[t] + k] + logs[inputs[t] + k]
            turn = signs[places[t] + k] * signs[inputs[t] + k]
            shares[starts[t] + k] = turn * math.exp(value - highest)
            total += shares[starts[t] + k]
        for k in range(size):
            shares[starts[t] + k] *= sign / total


@njit(**OPTIONS)
def descend(
    places, fixed, fixed_starts, drawn, drawn_starts, table, table_starts,
    arena, logarithmic, uniforms, known, weights, out,
):  # fmt: skip
    """One draw for each row of ``uniforms`` (draws, steps), into ``out`` (draws, n).

    The other arguments are explained in :mod:`tnqbm.networks.compiled.engine`.
    """
    for draw in range(uniforms.shape[0]):
        known[:] = 0
        for q in range(places.shape[0]):
            x, y = places[q]
            for f in range(fixed_starts[q], fixed_starts[q + 1]):
                x += known[fixed[f, 0]] * fixed[f, 1]
                y += known[fixed[f, 0]] * fixed[f, 2]
            first, count = table_starts[q], table_starts[q + 1] - table_starts[q]
            highest = -np.inf
            for t in range(count):
                weight = arena[x + table[first + t, 0]]
                if places[q, 1] >= 0:
                    other = arena[y + table[first + t, 1]]
                    weight = weight + other if logarithmic else weight * other
                weights[t] = weight
                highest = max(highest, weight)
            total = 0.0
            for t in range(count):
                if logarithmic:
                    weights[t] = math.exp(weights[t] - highest)
                total += weights[t]
            left = uniforms[draw, q] * total
            chosen = 0
            for t in range(count):
                if weights[t] > 0.0:
                    chosen = t
                    if left < weights[t]:
                        break
                    left -= weights[t]
            for d in range(drawn_starts[q + 1] - 1, drawn_starts[q] - 1, -1):
                known[drawn[d, 0]] = chosen % drawn[d, 1]
                chosen //= drawn[d, 1]
        for i in range(out.shape[1]):
            out[draw, i] = known[i]
