"""Gibbs states of small Hermitian matrices from their eigenvectors, one matrix per SIMD lane.

What :mod:`tnqbm.kernels.group_traces` is for traces: the same matrices, reflected to tridiagonal
form with the reflections kept, eigenvectors by the implicit QL method (Bowdler, Martin, Reinsch &
Wilkinson, "The QR and QL algorithms for symmetric matrices", Numerische Mathematik 11, 1968), and
exp(-H) / Tr exp(-H) from these. Averages are needed once an update, traces at every bit of a sweep:
here real matrices are treated as Hermitian ones.
"""

from __future__ import annotations

from tnqbm.kernels.fields import length, tanh_ratio
from tnqbm.kernels.group_traces import (
    ITERATIONS,
    MAX_GROUP,
    TOLERANCE,
    diagonal,
    fill_imaginary,
    fill_real,
    tridiagonal,
)
from tnqbm.kernels.parts import part
from tnqbm.kernels.simd import absolute, exp, largest, load, maximum, sqrt, store
from tnqbm.kernels.simd_math import exp_minus_twice, log, minimum, where_less

LEAST = 1e-20
"""Entries beside the diagonal are at least so large, in units of the largest of all."""


def gibbs_work_numbers(width: int) -> int:
    """Work space, in numbers, of a group of any size with ``width`` lanes."""
    size = 1 << MAX_GROUP
    return width * (size * (size + 1) // 2 + 2 * size * size + 9 * size)


@part
def gibbs_state(fields, at, constant, first, k, P, W, state, work):
    """The Gibbs states of W matrices, and log Tr exp(-H); arguments as of
    :func:`group_traces.log_trace`.

    The states are stored as couplings are: of one Pauli matrix the diagonal, else the lower
    triangle, real parts and, of three Pauli matrices, imaginary parts. Numbers beside the diagonal
    are doubled, so that the expectation of a term is the sum of products with its matrix.
    """
    size = 1 << k
    if P == 1:
        diagonal(fields, at, constant, first, k, W, state)
        return _weigh(state, size, W)
    half = size * (size + 1) // 2 * W
    a, rest = state[:half], work
    if P == 3:
        b = state[half : 2 * half]
    else:
        b, rest = rest[:half], rest[half:]
    if k == 1:
        return _single_state(fields, at, P, W, a, b)
    fill_real(fields, at, constant, first, k, P, W, a)
    if P == 3:
        fill_imaginary(fields, at, constant, first + half // W, k, W, b)
    else:
        b[:] = 0.0
    square = size * size * W
    x, rest = rest[:square], rest[square:]
    y, rest = rest[:square], rest[square:]
    d, rest = rest[: size * W], rest[size * W :]
    e, rest = rest[: size * W], rest[size * W :]
    vr, rest = rest[: size * W], rest[size * W :]
    vi, rest = rest[: size * W], rest[size * W :]
    pr, rest = rest[: size * W], rest[size * W :]
    pi, kept = rest[: size * W], rest[size * W :]
    tridiagonal(a, b, size, W, vr, vi, pr, pi, d, e, kept)
    _eigenvectors(d, e, x, size, W)
    _turn(kept, x, y, size, W)
    _reflect(a, b, kept, x, y, size, W)
    found = _weigh(d, size, W)
    _mix(d, x, y, size, W, a, b)
    return found


@part
def _single_state(fields, at, P, W, a, b):
    """The state of one qubit in a field, of two or three Pauli matrices; log Tr exp(-H)."""
    r = length(fields, at, W, P)
    falling = exp_minus_twice(r)
    ratio = tanh_ratio(falling, r) * -0.5
    z = ratio * load(fields, at + (P - 1) * W)
    store(a, 0, z + 0.5)
    store(a, W, ratio * 2.0 * load(fields, at))
    store(a, 2 * W, z * -1.0 + 0.5)
    zero = z * 0.0
    store(b, 0, zero)
    store(b, W, ratio * 2.0 * load(fields, at + W) if P == 3 else zero)
    store(b, 2 * W, zero)
    return r + log(falling + 1.0)


@part
def _weigh(d, size, W):
    """exp(-d) / sum exp(-d) in place of d; log sum exp(-d)."""
    lowest = load(d, 0)
    for r in range(1, size):
        lowest = minimum(lowest, load(d, r * W))
    total = lowest * 0.0
    for r in range(size):
        weight = exp(lowest - load(d, r * W))
        store(d, r * W, weight)
        total = total + weight
    inverse = 1.0 / total
    for r in range(size):
        store(d, r * W, load(d, r * W) * inverse)
    return log(total) - lowest


@part
def _eigenvectors(d, e, z, size, W):
    """Eigenvalues d and, row i of z, eigenvector i of tridiagonal matrices.

    d is the diagonal before; e, the squares beside it, is destroyed.
    """
    zero = load(d, 0) * 0.0
    one = zero + 1.0
    scale = zero
    for r in range(size):
        x = load(d, r * W)
        scale = maximum(scale, maximum(x * x, load(e, r * W)))
    # Steps pass through entries beside the diagonal, so that none of these may vanish.
    least = sqrt(scale) * LEAST
    for r in range(size):
        store(e, r * W, maximum(sqrt(load(e, r * W)), least))
    tolerance = sqrt(maximum(scale * TOLERANCE, zero + 1e-290))
    z[:] = 0.0
    for r in range(size):
        store(z, r * (size + 1) * W, one)
    for low in range(size - 1):
        for _ in range(ITERATIONS):
            beside, start = load(e, low * W), load(d, low * W)
            if largest(absolute(beside) - tolerance) <= 0.0:
                break
            going = where_less(tolerance, absolute(beside), one, zero)
            shift = (load(d, (low + 1) * W) - start) / where_less(zero, going, beside * 2.0, one)
            sign = where_less(shift, zero, zero - 1.0, one)
            g = load(d, (size - 1) * W) - start
            g = g + beside / (shift + sign * sqrt(shift * shift + 1.0))
            s, c, p = one, one, zero
            for r in range(size - 2, low - 1, -1):
                above = (r + 1) * W
                f, b = s * load(e, r * W), c * load(e, r * W)
                square = f * f + g * g
                modulus = sqrt(square)
                inverse = 1.0 / maximum(modulus, zero + 1e-150)
                s = where_less(zero, square, f * inverse, zero)
                c = where_less(zero, square, g * inverse, one)
                old = load(d, above)
                modulus = maximum(modulus, least)
                store(e, above, where_less(zero, going, modulus, load(e, above)))
                g = old - p
                x = (load(d, r * W) - g) * s + c * b * 2.0
                p = s * x
                store(d, above, where_less(zero, going, g + p, old))
                g = c * x - b
                _rotate(z, r, size, W, where_less(zero, going, c, one), s * going)
            store(e, low * W, where_less(zero, going, g, beside))
            store(d, low * W, where_less(zero, going, start - p, start))


@part
def _rotate(z, r, size, W, c, s):
    """Turn eigenvectors r and r + 1 into one another."""
    first = r * size * W
    for at in range(first, first + size * W, W):
        x, y = load(z, at), load(z, at + size * W)
        store(z, at + size * W, s * x + c * y)
        store(z, at, c * x - s * y)


@part
def _turn(kept, x, y, size, W):
    """Eigenvectors x + i y of the Hermitian tridiagonal matrices from x, those of real ones."""
    cosine = load(x, 0) * 0.0 + 1.0
    sine = cosine * 0.0
    for c in range(size):
        for i in range(size):
            at = (i * size + c) * W
            value = load(x, at)
            store(x, at, value * cosine)
            store(y, at, value * sine)
        if c < size - 1:
            u, v = load(kept, (size + c) * W), load(kept, (2 * size + c) * W)
            cosine, sine = cosine * u - sine * v, cosine * v + sine * u


@part
def _reflect(a, b, kept, x, y, size, W):
    """Undo the reflections, which are in a + i b: x + i y become the matrices' eigenvectors."""
    for c in range(size - 3, -1, -1):
        beta = load(kept, c * W)
        for i in range(size):
            row = i * size * W
            total = beta * 0.0
            other = total
            for r in range(c + 1, size):
                entry = (r * (r + 1) // 2 + c) * W
                u, w = load(a, entry), load(b, entry)
                f, g = load(x, row + r * W), load(y, row + r * W)
                total = total + u * f + w * g
                other = other + u * g - w * f
            total, other = total * beta, other * beta
            for r in range(c + 1, size):
                entry = (r * (r + 1) // 2 + c) * W
                u, w = load(a, entry), load(b, entry)
                at = row + r * W
                store(x, at, load(x, at) - (u * total - w * other))
                store(y, at, load(y, at) - (u * other + w * total))


@part
def _mix(d, x, y, size, W, a, b):
    """The states a + i b of eigenvectors x + i y with weights d, off-diagonal numbers doubled."""
    for r in range(size):
        for c in range(r + 1):
            total = load(d, 0) * 0.0
            other = total
            for i in range(size):
                row = i * size * W
                u, w = load(x, row + r * W), load(y, row + r * W)
                f, g = load(x, row + c * W), load(y, row + c * W)
                weight = load(d, i * W)
                total = total + weight * (u * f + w * g)
                other = other + weight * (w * f - u * g)
            factor = 1.0 if r == c else 2.0
            entry = (r * (r + 1) // 2 + c) * W
            store(a, entry, total * factor)
            store(b, entry, other * factor)
