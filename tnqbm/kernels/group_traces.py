"""log Tr exp(-H) of small Hermitian matrices, one matrix per SIMD lane.

The matrices are those of groups of k qubits, D = 2**k rows: couplings inside the group, the same in
every lane, plus the field of every qubit. Which Pauli matrices there are decides the arithmetic: of
one all are diagonal; of two the matrices are real in axes where the two are X and Z; of three they
are Hermitian. A global turn of the axes changes no trace.

One qubit and two have closed forms (:mod:`tnqbm.kernels.pair_traces`). Of more, a lower triangle is
stored row by row, entry (r, c) at ``r (r + 1) / 2 + c``; real parts come first, imaginary parts
after all of them. Householder reflections make the matrices tridiagonal, of which only the diagonal
and the squares beside it are needed, and the QL method without square roots of Pal, Walker and
Kahan (Reinsch, "Algorithm 464: Eigenvalues of a real, symmetric, tridiagonal matrix", CACM 16,
1973) finds the eigenvalues. A lane whose eigenvalue has converged rests until all others have, so
that what is in one lane never depends on the others.
"""

from __future__ import annotations

from tnqbm.kernels.fields import length
from tnqbm.kernels.pair_traces import pair_trace, pair_trace_real
from tnqbm.kernels.parts import part
from tnqbm.kernels.simd import absolute, exp, largest, load, maximum, splat, sqrt, store
from tnqbm.kernels.simd_math import exp_minus_twice, log, minimum, where_less

MAX_GROUP = 4
"""Most qubits of a group."""

ITERATIONS = 60
"""QL steps for one eigenvalue at most; three are usual."""

TOLERANCE = 1e-32
"""An off-diagonal square below this, in units of the largest entry's square, counts as zero."""

LEAST = 1e-140
"""Pivots of QL steps are at least so large, so that nothing is divided by zero."""


def work_numbers(k: int, width: int) -> int:
    """Work space, in numbers, of groups of k qubits with ``width`` lanes."""
    size = 1 << k
    return width * (size * (size + 1) + 9 * size)


@part
def log_trace(fields, at, constant, first, k, P, W, work):
    """log Tr exp(-H) of W matrices.

    ``fields[at + (j P + p) W + lane]`` is the field of Pauli matrix p at qubit j of the group, and
    ``constant[first:]`` the couplings: the lower triangle, real parts and, of three Pauli matrices,
    imaginary parts; of one Pauli matrix the diagonal only.
    """
    if k == 1:
        r = length(fields, at, W, P)
        return r + log(exp_minus_twice(r) + 1.0)
    size = 1 << k
    if P == 1:
        d = work[: size * W]
        diagonal(fields, at, constant, first, k, W, d)
        return _log_sum(d, size, W)
    if k == 2:
        if P == 2:
            return pair_trace_real(fields, at, constant, first, W)
        return pair_trace(fields, at, constant, first, W)
    half = size * (size + 1) // 2 * W
    real, rest = work[:half], work[half:]
    if P == 2:
        fill_real(fields, at, constant, first, k, P, W, real)
        v, rest = rest[: size * W], rest[size * W :]
        p, rest = rest[: size * W], rest[size * W :]
        d, e = rest[: size * W], rest[size * W : 2 * size * W]
        tridiagonal_real(real, size, W, v, p, d, e)
    else:
        imag, rest = rest[:half], rest[half:]
        fill_real(fields, at, constant, first, k, P, W, real)
        fill_imaginary(fields, at, constant, first + half // W, k, W, imag)
        vr, rest = rest[: size * W], rest[size * W :]
        vi, rest = rest[: size * W], rest[size * W :]
        pr, rest = rest[: size * W], rest[size * W :]
        pi, rest = rest[: size * W], rest[size * W :]
        d, rest = rest[: size * W], rest[size * W :]
        e, kept = rest[: size * W], rest[size * W :]
        tridiagonal(real, imag, size, W, vr, vi, pr, pi, d, e, kept)
    _eigenvalues(d, e, size, W)
    return _log_sum(d, size, W)


@part
def diagonal(fields, at, constant, first, k, W, d):
    """Diagonal entries of groups whose only Pauli matrix is Z."""
    size = 1 << k
    for r in range(size):
        x = splat(constant, first + r)
        for j in range(k):
            z = load(fields, at + j * W)
            x = x - z if (r >> (k - 1 - j)) & 1 else x + z
        store(d, r * W, x)


@part
def fill_real(fields, at, constant, first, k, P, W, real):
    """Real parts: couplings, X fields beside and Z fields on the diagonal.

    The Pauli matrices are X, Z of two and X, Y, Z of three.
    """
    size = 1 << k
    for entry in range(size * (size + 1) // 2):
        store(real, entry * W, splat(constant, first + entry))
    for r in range(size):
        entry = (r * (r + 1) // 2 + r) * W
        x = load(real, entry)
        for j in range(k):
            z = load(fields, at + (j * P + P - 1) * W)
            x = x - z if (r >> (k - 1 - j)) & 1 else x + z
        store(real, entry, x)
    for j in range(k):
        bit = 1 << (k - 1 - j)
        x = load(fields, at + j * P * W)
        for r in range(size):
            if r & bit:
                entry = (r * (r + 1) // 2 + r - bit) * W
                store(real, entry, load(real, entry) + x)


@part
def fill_imaginary(fields, at, constant, first, k, W, imag):
    """Imaginary parts of three Pauli matrices: couplings and Y fields."""
    size = 1 << k
    for entry in range(size * (size + 1) // 2):
        store(imag, entry * W, splat(constant, first + entry))
    for j in range(k):
        bit = 1 << (k - 1 - j)
        y = load(fields, at + (j * 3 + 1) * W)
        for r in range(size):
            if r & bit:
                entry = (r * (r + 1) // 2 + r - bit) * W
                store(imag, entry, load(imag, entry) + y)


@part
def tridiagonal_real(a, size, W, v, p, d, e):
    """The diagonal d and the squares e beside it of similar tridiagonal matrices; destroys a."""
    for c in range(size - 1):
        store(d, c * W, load(a, (c * (c + 1) // 2 + c) * W))
        zero = load(d, 0) * 0.0
        square = zero
        for r in range(c + 1, size):
            x = load(a, (r * (r + 1) // 2 + c) * W)
            store(v, r * W, x)
            square = square + x * x
        store(e, c * W, square)
        if c == size - 2:
            break
        norm = sqrt(square)
        alpha = load(v, (c + 1) * W)
        sign = where_less(alpha, zero, zero - 1.0, zero + 1.0)
        store(v, (c + 1) * W, alpha + sign * norm)
        scale = norm * (norm + absolute(alpha))
        beta = where_less(zero, scale, 1.0 / maximum(scale, zero + 1e-300), zero)
        for r in range(c + 1, size):
            store(p, r * W, zero)
        for r in range(c + 1, size):
            row = r * (r + 1) // 2
            x = load(v, r * W)
            total = load(a, (row + r) * W) * x
            for s in range(c + 1, r):
                y = load(a, (row + s) * W)
                total = total + y * load(v, s * W)
                store(p, s * W, load(p, s * W) + y * x)
            store(p, r * W, load(p, r * W) + total)
        dot = zero
        for r in range(c + 1, size):
            q = load(p, r * W) * beta
            store(p, r * W, q)
            dot = dot + q * load(v, r * W)
        dot = dot * beta * 0.5
        for r in range(c + 1, size):
            store(p, r * W, load(p, r * W) - dot * load(v, r * W))
        for r in range(c + 1, size):
            row = r * (r + 1) // 2
            x, q = load(v, r * W), load(p, r * W)
            for s in range(c + 1, r + 1):
                entry = (row + s) * W
                store(a, entry, load(a, entry) - x * load(p, s * W) - q * load(v, s * W))
    store(d, (size - 1) * W, load(a, (size * (size + 1) // 2 - 1) * W))
    store(e, (size - 1) * W, load(d, 0) * 0.0)


@part
def _keep(kept, c, size, W, beta, cosine, sine):
    store(kept, c * W, beta)
    store(kept, (size + c) * W, cosine)
    store(kept, (2 * size + c) * W, sine)


@part
def tridiagonal(a, b, size, W, vr, vi, pr, pi, d, e, kept):
    """As :func:`tridiagonal_real`, of Hermitian matrices a + i b, with what was done kept.

    Reflection c is 1 - beta v v^H, v in column c below the diagonal. ``kept`` holds beta of all,
    then real and imaginary parts of the phases of the entries beside the diagonal.
    """
    for c in range(size - 1):
        store(d, c * W, load(a, (c * (c + 1) // 2 + c) * W))
        zero = load(d, 0) * 0.0
        square = zero
        for r in range(c + 1, size):
            entry = (r * (r + 1) // 2 + c) * W
            x, y = load(a, entry), load(b, entry)
            store(vr, r * W, x)
            store(vi, r * W, y)
            square = square + x * x + y * y
        store(e, c * W, square)
        norm = sqrt(square)
        x, y = load(vr, (c + 1) * W), load(vi, (c + 1) * W)
        modulus = sqrt(x * x + y * y)
        # The phase of the first entry, 1 of an entry that is zero.
        inverse = 1.0 / maximum(modulus, zero + 1e-150)
        cosine = where_less(zero, modulus, x * inverse, zero + 1.0)
        sine = y * inverse
        if c == size - 2:
            _keep(kept, c, size, W, zero, cosine, sine)
            break
        scale = norm * (norm + modulus)
        beta = where_less(zero, scale, 1.0 / maximum(scale, zero + 1e-300), zero)
        _keep(kept, c, size, W, beta, zero - cosine, zero - sine)
        store(vr, (c + 1) * W, x + cosine * norm)
        store(vi, (c + 1) * W, y + sine * norm)
        for r in range(c + 1, size):
            entry = (r * (r + 1) // 2 + c) * W
            store(a, entry, load(vr, r * W))
            store(b, entry, load(vi, r * W))
        for r in range(c + 1, size):
            store(pr, r * W, zero)
            store(pi, r * W, zero)
        for r in range(c + 1, size):
            row = r * (r + 1) // 2
            x, y = load(vr, r * W), load(vi, r * W)
            diagonal = load(a, (row + r) * W)
            total, other = diagonal * x, diagonal * y
            for s in range(c + 1, r):
                entry = (row + s) * W
                re, im = load(a, entry), load(b, entry)
                u, w = load(vr, s * W), load(vi, s * W)
                total = total + re * u - im * w
                other = other + re * w + im * u
                store(pr, s * W, load(pr, s * W) + re * x + im * y)
                store(pi, s * W, load(pi, s * W) + re * y - im * x)
            store(pr, r * W, load(pr, r * W) + total)
            store(pi, r * W, load(pi, r * W) + other)
        dot = zero
        for r in range(c + 1, size):
            q, t = load(pr, r * W) * beta, load(pi, r * W) * beta
            store(pr, r * W, q)
            store(pi, r * W, t)
            dot = dot + q * load(vr, r * W) + t * load(vi, r * W)
        dot = dot * beta * 0.5
        for r in range(c + 1, size):
            store(pr, r * W, load(pr, r * W) - dot * load(vr, r * W))
            store(pi, r * W, load(pi, r * W) - dot * load(vi, r * W))
        for r in range(c + 1, size):
            row = r * (r + 1) // 2
            x, y, q, t = load(vr, r * W), load(vi, r * W), load(pr, r * W), load(pi, r * W)
            for s in range(c + 1, r + 1):
                entry = (row + s) * W
                u, w = load(vr, s * W), load(vi, s * W)
                g, h = load(pr, s * W), load(pi, s * W)
                store(a, entry, load(a, entry) - x * g - y * h - q * u - t * w)
                store(b, entry, load(b, entry) - y * g + x * h - t * u + q * w)
    store(d, (size - 1) * W, load(a, (size * (size + 1) // 2 - 1) * W))
    store(e, (size - 1) * W, load(d, 0) * 0.0)


@part
def _eigenvalues(d, e, size, W):
    """d becomes the eigenvalues of tridiagonal matrices; destroys e, the squares beside it."""
    zero = load(d, 0) * 0.0
    one = zero + 1.0
    least = zero + LEAST
    scale = zero
    for r in range(size):
        x = load(d, r * W)
        scale = maximum(scale, maximum(x * x, load(e, r * W)))
    tolerance = maximum(scale * TOLERANCE, zero + 1e-290)
    for low in range(size - 1):
        for _ in range(ITERATIONS):
            square = load(e, low * W)
            if largest(square - tolerance) <= 0.0:
                break
            going = where_less(tolerance, square, one, zero)
            root = sqrt(square) + least
            start = load(d, low * W)
            shift = (load(d, (low + 1) * W) - start) / (root * 2.0)
            sign = where_less(shift, zero, zero - 1.0, one)
            shift = start - root / (shift + sign * sqrt(shift * shift + 1.0))
            g = load(d, (size - 1) * W) - shift
            g = where_less(absolute(g), least, least, g)
            p = g * g
            s = zero
            for r in range(size - 2, low - 1, -1):
                beside = load(e, r * W)
                total = p + beside
                inverse = 1.0 / total
                above = (r + 1) * W
                old = load(e, above)
                store(e, above, where_less(zero, going, s * total, old))
                c = p * inverse
                s = beside * inverse
                alpha = load(d, r * W)
                last = g
                g = c * (alpha - shift) - s * last
                g = where_less(absolute(g), least, least, g)
                store(d, above, where_less(zero, going, last + (alpha - g), load(d, above)))
                p = g * g / c
            store(e, low * W, where_less(zero, going, s * p, square))
            store(d, low * W, where_less(zero, going, shift + g, start))


@part
def _log_sum(d, size, W):
    """log sum exp(-d)."""
    lowest = load(d, 0)
    for r in range(1, size):
        lowest = minimum(lowest, load(d, r * W))
    total = lowest * 0.0
    for r in range(size):
        total = total + exp(lowest - load(d, r * W))
    return log(total) - lowest
