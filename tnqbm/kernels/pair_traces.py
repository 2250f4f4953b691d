"""log Tr exp(-H) of two coupled qubits in closed form, one pair per SIMD lane.

H = a.sigma (x) 1 + 1 (x) b.sigma + sum_ij T_ij sigma_i (x) sigma_j has eigenvalues

    x1 + (x2 + x3), x1 - (x2 + x3), -x1 + (x2 - x3), -x1 - (x2 - x3),

with the squares of x1, x2, x3 the roots of z^3 - p z^2 + q z - t^2, and (from Tr H^2, H^3 and H^4)

    p = |a|^2 + |b|^2 + |T|^2,    q = |T b|^2 + |T' a|^2 + |a b' - cof T|^2,    t = a.T b - det T,

q and p sums of squares, t = x1 x2 x3. The largest root x1^2 is found by the cosine of a third of an
angle and one Newton step; (x2 +- x3)^2 follow from q and t. Close eigenvalues cost no digits, since
the trace is a smooth function of p, q and t, and these keep theirs.
"""

from __future__ import annotations

from tnqbm.kernels.parts import part
from tnqbm.kernels.simd import absolute, exp, largest, load, maximum, splat, sqrt
from tnqbm.kernels.simd_math import exp_minus_twice, log, minimum, where_less

LEAST = 1e-290
"""What is divided by is at least this."""

HUGE = 1e30
"""Matrices of a larger p are scaled, since t^2 is of the order of p^3."""


@part
def _shrink(p):
    """What lanes are multiplied by: 1, or 1 / sqrt(p) where p is huge."""
    one = p * 0.0 + 1.0
    return where_less(one * HUGE, p, one / sqrt(p), one)


@part
def pair_trace_real(fields, at, constant, first, W):
    """log Tr exp(-H) of W pairs with Pauli matrices X and Z; arguments as of
    :func:`tnqbm.kernels.group_traces.log_trace`."""
    # Entries of the matrix of couplings: zz, xz at (1, 0) and (2, 0), xx at (3, 0).
    zz, zx = splat(constant, first), splat(constant, first + 1)
    xz, xx = splat(constant, first + 3), splat(constant, first + 6)
    a, c = load(fields, at), load(fields, at + W)
    b, d = load(fields, at + 2 * W), load(fields, at + 3 * W)
    p = (a * a + c * c) + (b * b + d * d) + ((xx * xx + zz * zz) + (xz * xz + zx * zx))
    one = p * 0.0 + 1.0
    scale = one
    if largest(p) > HUGE:
        scale = _shrink(p)
        p = p * scale * scale
        a, b, c, d = a * scale, b * scale, c * scale, d * scale
        xx, xz, zx, zz = xx * scale, xz * scale, zx * scale, zz * scale
    det = xx * zz - xz * zx
    u, v = xx * b + xz * d, zx * b + zz * d
    f, g = xx * a + zx * c, xz * a + zz * c
    ab, ad, cb, cd = a * b, a * d, c * b, c * d
    q = (u * u + v * v) + (f * f + g * g) + ((ab * ab + ad * ad) + (cb * cb + cd * cd)) + det * det
    return _log_trace(p, q, a * u + c * v, one / scale)


@part
def pair_trace(fields, at, constant, first, W):
    """:func:`pair_trace_real` with all three Pauli matrices."""
    imag = first + 10
    zz, zx, zy = splat(constant, first), splat(constant, first + 1), splat(constant, imag + 1)
    xz, yz = splat(constant, first + 3), splat(constant, imag + 3)
    # (3, 0) is xx - yy + i (xy + yx), and (2, 1) is xx + yy + i (yx - xy).
    low, high = splat(constant, first + 6), splat(constant, first + 4)
    xx, yy = (high + low) * 0.5, (high - low) * 0.5
    low, high = splat(constant, imag + 6), splat(constant, imag + 4)
    xy, yx = (low - high) * 0.5, (low + high) * 0.5
    ax, ay, az = load(fields, at), load(fields, at + W), load(fields, at + 2 * W)
    bx, by, bz = load(fields, at + 3 * W), load(fields, at + 4 * W), load(fields, at + 5 * W)
    p = (xx * xx + xy * xy + xz * xz) + (yx * yx + yy * yy + yz * yz)
    p = p + (zx * zx + zy * zy + zz * zz)
    p = (ax * ax + ay * ay + az * az) + (bx * bx + by * by + bz * bz) + p
    one = p * 0.0 + 1.0
    scale = one
    if largest(p) > HUGE:
        scale = _shrink(p)
        p = p * scale * scale
        ax, ay, az, bx, by, bz = (
            ax * scale, ay * scale, az * scale, bx * scale, by * scale, bz * scale,
        )  # fmt: skip
        xx, xy, xz, yx, yy = xx * scale, xy * scale, xz * scale, yx * scale, yy * scale
        yz, zx, zy, zz = yz * scale, zx * scale, zy * scale, zz * scale
    cxx, cxy, cxz = yy * zz - yz * zy, yz * zx - yx * zz, yx * zy - yy * zx
    cyx, cyy, cyz = xz * zy - xy * zz, xx * zz - xz * zx, xy * zx - xx * zy
    czx, czy, czz = xy * yz - xz * yy, xz * yx - xx * yz, xx * yy - xy * yx
    det = xx * cxx + xy * cxy + xz * cxz
    ux, uy = xx * bx + xy * by + xz * bz, yx * bx + yy * by + yz * bz
    uz = zx * bx + zy * by + zz * bz
    vx, vy = xx * ax + yx * ay + zx * az, xy * ax + yy * ay + zy * az
    vz = xz * ax + yz * ay + zz * az
    q = (ux * ux + uy * uy + uz * uz) + (vx * vx + vy * vy + vz * vz)
    r, s, w = ax * bx - cxx, ax * by - cxy, ax * bz - cxz
    q = q + (r * r + s * s + w * w)
    r, s, w = ay * bx - cyx, ay * by - cyy, ay * bz - cyz
    q = q + (r * r + s * s + w * w)
    r, s, w = az * bx - czx, az * by - czy, az * bz - czz
    q = q + (r * r + s * s + w * w)
    return _log_trace(p, q, ax * ux + ay * uy + az * uz - det, one / scale)


@part
def _third(s):
    """cos(2/3 arccos s) for 0 <= s <= 1, to 5e-10 (a Chebyshev fit)."""
    x = s * 0.000364684285818 - 0.00228039365399
    x = x * s + 0.00678471013998
    x = x * s - 0.0134367058877
    x = x * s + 0.021509111473
    x = x * s - 0.0325959315909
    x = x * s + 0.0534120574722
    x = x * s - 0.11110770292
    x = x * s + 0.577350170559
    return x * s + 0.500000000475


@part
def _log_trace(p, q, t, scale):
    """log Tr exp(-scale H) from the invariants p, q and t of H."""
    zero = p * 0.0
    one = zero + 1.0
    third = p * (1.0 / 3.0)
    width = maximum(third * third - q * (1.0 / 3.0), zero)
    root = sqrt(width)
    # The roots are third + 2 root y, with 4 y^3 - 3 y = cosine.
    height = third * (width - q * (1.0 / 6.0)) + t * t * 0.5
    cosine = height / maximum(width * root, zero + LEAST)
    cosine = minimum(maximum(cosine, zero - 1.0), one)
    y = _third(sqrt(cosine * 0.5 + 0.5))
    slope = maximum(y * y * 12.0 - 3.0, zero + 1e-12)
    y = y - (y * (y * y * 4.0 - 3.0) - cosine) / slope
    z = third + root * y * 2.0
    # A root is positive, but for what rounding leaves of H = 0.
    x = sqrt(maximum(z, zero))
    # z rest = q - (x2 x3)^2, of which at most half cancels; p - z would lose a small rest.
    half = t / maximum(x, zero + LEAST)
    rest = maximum(q - half * half, zero) / maximum(z, zero + LEAST)
    twice = half * 2.0
    u = sqrt(maximum(rest + twice, zero)) * scale
    v = sqrt(maximum(rest - twice, zero)) * scale
    x = x * scale
    first, second = u - x, v + x
    top = maximum(first, second)
    near, far = exp_minus_twice(u) + 1.0, exp_minus_twice(v) + 1.0
    less = exp(zero - absolute(second - first))
    total = where_less(first, second, far + less * near, near + less * far)
    return top + log(total)
