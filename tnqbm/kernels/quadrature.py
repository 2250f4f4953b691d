"""Numba kernels of the quadrature over hidden units: sums over all tuples of nodes.

A tuple has one node d_j of the sphere per hidden unit. Given a tuple the spins are independent,

    sum_v exp(-a.s) prod_j (1 + x_j) exp(x_j),    x_j = d_j.b_j + sum_i s_i c_ij,   c_ij = d_j.w_ij,
    = exp(sum_j d_j.b_j) prod_i 2 cosh(theta_i) < prod_j (1 + x_j) >,  theta_i = -a_i + sum_j c_ij,

where <.> has <s_i> = tanh(theta_i). The mean of the product of the linear factors follows exactly
from their joint cumulants: for independent spins the cumulant of the factors in a set R is
sum_i prod_{j in R} c_ij kappa_|R|(theta_i), with kappa_k the derivatives of log cosh. Sets are bit
masks. Derivatives with respect to theta_i and c_ij are means with s_i put in, which follow from
such cumulants too.

Lanes are visible units. Tuples are cut into shards, whose number does not depend on threads; the
last hidden unit's node varies fastest, and what depends on the other units alone is kept.
"""

from __future__ import annotations

import math

from tnqbm.kernels.fields import LOG_2
from tnqbm.kernels.parallel import OPTIONS, njit
from tnqbm.kernels.parts import parallel_over, part
from tnqbm.kernels.simd import absolute, exp, exponent, load, mantissa, splat, store, total
from tnqbm.kernels.simd_math import where_less

_BLOCK = 512
"""Factors 1 + exp(-2|theta|) <= 2 that are multiplied before their exponent is put away."""


def scratch_size(units: int, n_paulis: int, row: int, width: int) -> int:
    """Numbers of work space that a shard needs, in whole vectors."""
    size = int(_layout.py_func(units, n_paulis, row, width)[-1])
    return -(-size // width) * width


@njit(**OPTIONS)
def _layout(L, P, row, W):
    """Where things stand in a shard's work space: see the names in :func:`derivatives`.

    Rows before ``rows``: theta with the first 0, ..., L - 1 units, c_ij of the L units, tanh(theta)
    and its derivative.
    """
    sets = 1 << L
    rows = (2 * L + 2) * row
    spins = rows + L * row
    weights = spins + row
    vectors = weights + L * P * row
    cumulants = vectors + (2 * sets + L + 2) * W
    means = cumulants + sets
    scaled = means + sets
    betas = scaled + sets
    fields = betas + L
    return rows, spins, weights, vectors, cumulants, means, scaled, betas, fields, fields + L * P


@part
def _couple(s, target, points, k, w, unit, P, row, W):
    """s[target + i] = c_ij of one hidden unit at node k."""
    for i in range(0, row, W):
        c = splat(points, k * P) * load(w, unit * P * row + i)
        for p in range(1, P):
            c = c + splat(points, k * P + p) * load(w, (unit * P + p) * row + i)
        store(s, target + i, c)


@part
def _level(s, unit, points, k, w, L, P, row, W):
    """Couplings of hidden unit ``unit`` at node k, and theta with the units up to it."""
    _couple(s, (L + unit) * row, points, k, w, unit, P, row, W)
    for i in range(0, row, W):
        store(s, (unit + 1) * row + i, load(s, unit * row + i) + load(s, (L + unit) * row + i))


@part
def _kappas(s, at, t, k2, L, W, higher):
    """kappa_1, ..., kappa_(L+1) as vectors; ``higher`` as made by sums.cumulants."""
    store(s, at + W, t)
    store(s, at + 2 * W, k2)
    for k in range(3, L + 2):
        value = splat(higher, (k - 3) * 8 + k - 2)
        for q in range(k - 3, -1, -1):
            value = value * t + splat(higher, (k - 3) * 8 + q)
        store(s, at + k * W, value * k2)


@part
def _set_products(s, at, i, L, row, W):
    """prod_{j in R} c_ij for all sets R that are not empty, as vectors."""
    for R in range(1, 1 << L):
        j = 0
        while not (R >> j) & 1:
            j += 1
        rest = R & (R - 1)
        c = load(s, (L + j) * row + i)
        if rest:
            c = c * load(s, at + rest * W)
        store(s, at + R * W, c)


@part
def _size(R):
    count = 0
    while R:
        R &= R - 1
        count += 1
    return count


@part
def _means(s, cumulants, means, L, betas):
    """Means of prod_{j in S} (1 + x_j) for all sets S from the cumulants of the x_j."""
    for j in range(L):
        s[cumulants + (1 << j)] += 1.0 + s[betas + j]
    s[means] = 1.0
    for S in range(1, 1 << L):
        lowest = S & -S
        rest = S ^ lowest
        value = 0.0
        # All subsets of the rest, to each of which the lowest member is added.
        sub = rest
        while True:
            value += s[cumulants + (sub | lowest)] * s[means + (rest ^ sub)]
            if sub == 0:
                break
            sub = (sub - 1) & rest
        s[means + S] = value


@part
def _evaluate(s, points, k, w, L, P, row, W, higher, vectors, cumulants, means, betas, keep):
    """log prod_i 2 cosh(theta_i) of the tuple with node k last; means of the linear factors in s.

    With ``keep``, tanh(theta) and its derivative stay in rows 2 L and 2 L + 1.
    """
    _couple(s, (2 * L - 1) * row, points, k, w, L - 1, P, row, W)
    theta_at, last, first = (L - 1) * row, (2 * L - 1) * row, L * row
    sets = 1 << L
    products = vectors + sets * W
    kappa = products + sets * W
    zero = load(s, theta_at) * 0.0
    rs, pr, whole = zero, zero + 1.0, zero
    sum_0, sum_1, sum_01 = zero, zero, zero
    sum_2, sum_02, sum_12, sum_012 = zero, zero, zero, zero
    if L > 3:
        for R in range(1, sets):
            store(s, vectors + R * W, zero)
    for block in range(0, row, _BLOCK * W):
        for i in range(block, min(row, block + _BLOCK * W), W):
            c = load(s, last + i)
            theta = load(s, theta_at + i) + c
            x = absolute(theta)
            e = exp(x * -2.0)
            d = e + 1.0
            q = 1.0 / d
            rs = rs + x
            pr = pr * d
            t = (1.0 - e) * q
            t = where_less(theta, zero, zero - t, t)
            k2 = e * q * q * 4.0
            if L == 1:
                sum_0 = sum_0 + c * t
            elif L == 2:
                c0 = load(s, first + i)
                sum_0 = sum_0 + c0 * t
                sum_1 = sum_1 + c * t
                sum_01 = sum_01 + c0 * c * k2
            elif L == 3:
                c0, c1 = load(s, first + i), load(s, first + row + i)
                sum_0 = sum_0 + c0 * t
                sum_1 = sum_1 + c1 * t
                sum_2 = sum_2 + c * t
                c01, ck = c0 * c1, c * k2
                sum_01 = sum_01 + c01 * k2
                sum_02 = sum_02 + c0 * ck
                sum_12 = sum_12 + c1 * ck
                sum_012 = sum_012 - c01 * ck * (t * 2.0)
            else:
                _kappas(s, kappa, t, k2, L, W, higher)
                _set_products(s, products, i, L, row, W)
                for R in range(1, sets):
                    term = load(s, products + R * W) * load(s, kappa + _size(R) * W)
                    store(s, vectors + R * W, load(s, vectors + R * W) + term)
            if keep:
                store(s, 2 * L * row + i, t)
                store(s, (2 * L + 1) * row + i, k2)
        whole = whole + exponent(pr)
        pr = mantissa(pr)
    if L == 1:
        s[cumulants + 1] = total(sum_0)
    elif L == 2:
        s[cumulants + 1] = total(sum_0)
        s[cumulants + 2] = total(sum_1)
        s[cumulants + 3] = total(sum_01)
    elif L == 3:
        s[cumulants + 1] = total(sum_0)
        s[cumulants + 2] = total(sum_1)
        s[cumulants + 3] = total(sum_01)
        s[cumulants + 4] = total(sum_2)
        s[cumulants + 5] = total(sum_02)
        s[cumulants + 6] = total(sum_12)
        s[cumulants + 7] = total(sum_012)
    else:
        for R in range(1, sets):
            s[cumulants + R] = total(load(s, vectors + R * W))
    _means(s, cumulants, means, L, betas)
    store(s, vectors, pr)
    product = 1.0
    for lane in range(W):
        product *= s[vectors + lane]
    return total(rs) + total(whole) * LOG_2 + math.log(product)


@part
def _begin(s, digits, first, points, beta, w, theta, K, L, P, row, W, betas):
    """Set the digits and prefix sums of tuple ``first``."""
    rest = first
    for j in range(L - 1, -1, -1):
        digits[j] = rest % K
        rest //= K
    for i in range(row):
        s[i] = theta[i]
    for j in range(L - 1):
        _level(s, j, points, digits[j], w, L, P, row, W)
    for j in range(L):
        s[betas + j] = beta[j * K + digits[j]]


@part
def _advance(digits, K, L):
    """The next tuple; the first unit whose node changed."""
    j = L - 1
    digits[j] += 1
    while digits[j] == K and j > 0:
        digits[j] = 0
        j -= 1
        digits[j] += 1
    return j


@part
def _log_factor(digits, beta, log_weights, K, L):
    value = 0.0
    for j in range(L):
        value += log_weights[digits[j]] + beta[j * K + digits[j]]
    return value


@parallel_over(lambda shards: shards)
def sums(
    shard,
    points,
    log_weights,
    beta,
    theta,
    w,
    K,
    L,
    P,
    row,
    W,
    shards,
    higher,
    work,
    all_digits,
    out,
):
    """out[shard] = (log scale, signed sum / scale) over the shard's tuples.

    points (K P,), log_weights (K,), beta (L K,) = d.b, theta (row,) = -a, w (L P row,), all flat;
    ``row`` is the number of visible units filled up with zeros to whole vectors.
    """
    s = work[shard]
    digits = all_digits[shard]
    tuples = K**L
    first = tuples * shard // shards
    last = tuples * (shard + 1) // shards
    full = (1 << L) - 1
    _, _, _, vectors, cumulants, means, _, betas, _, _ = _layout(L, P, row, W)
    _begin(s, digits, first, points, beta, w, theta, K, L, P, row, W, betas)
    reference, value = -math.inf, 0.0
    for _ in range(first, last):
        k = digits[L - 1]
        log_term = _evaluate(
            s, points, k, w, L, P, row, W, higher, vectors, cumulants, means, betas, False
        ) + _log_factor(digits, beta, log_weights, K, L)
        if log_term > reference:
            value *= math.exp(reference - log_term)
            reference = log_term
        value += s[means + full] * math.exp(log_term - reference)
        changed = _advance(digits, K, L)
        if digits[0] < K:
            for j in range(changed, L - 1):
                _level(s, j, points, digits[j], w, L, P, row, W)
            for j in range(changed, L):
                s[betas + j] = beta[j * K + digits[j]]
    out[shard, 0] = reference
    out[shard, 1] = value


@part
def _flush(s, unit, source, target, points, k, P, row, W):
    """Add a row of derivatives with respect to c_ij, times d_j, to those for w_ij; clear it."""
    for i in range(0, row, W):
        value = load(s, source + i)
        for p in range(P):
            at = target + (unit * P + p) * row + i
            store(s, at, load(s, at) + splat(points, k * P + p) * value)
        store(s, source + i, value * 0.0)


@part
def _collect(s, points, k, L, P, row, W, higher, vectors, scaled, spins, rows, weights):
    """Add one tuple's derivatives: with respect to theta_i to ``spins``, to c_ij to its row.

    ``scaled``: means of the linear factors times the weight of the tuple, by set. The last unit's
    derivatives go to those for w_ij at once.
    """
    first, last = L * row, (2 * L - 1) * row
    sets = 1 << L
    full = sets - 1
    products = vectors + sets * W
    kappa = products + sets * W
    for i in range(0, row, W):
        t = load(s, 2 * L * row + i)
        k2 = load(s, (2 * L + 1) * row + i)
        c = load(s, last + i)
        if L == 1:
            whole = t * splat(s, scaled + 1) + c * k2 * splat(s, scaled)
            of_last = whole + t * splat(s, scaled)
        elif L == 2:
            c0 = load(s, first + i)
            k3 = t * k2 * -2.0
            none, zero, one = splat(s, scaled), splat(s, scaled + 1), splat(s, scaled + 2)
            whole = t * splat(s, scaled + 3) + k2 * (c0 * one + c * zero) + c0 * c * k3 * none
            of_last = whole + t * zero + c0 * k2 * none
            at = rows + i
            store(s, at, load(s, at) + (whole + t * one + c * k2 * none))
        elif L == 3:
            c0, c1 = load(s, first + i), load(s, first + row + i)
            d0, d1, d2 = c0 * k2, c1 * k2, c * k2
            k3 = t * -2.0
            d01, d02, d12 = c0 * d1 * k3, c0 * d2 * k3, c1 * d2 * k3
            d012 = c0 * c1 * d2 * (t * t * 6.0 - 2.0)
            m0, m1, m2 = splat(s, scaled + 1), splat(s, scaled + 2), splat(s, scaled + 4)
            m01, m02, m12 = splat(s, scaled + 3), splat(s, scaled + 5), splat(s, scaled + 6)
            none = splat(s, scaled)
            whole = (
                t * splat(s, scaled + 7)
                + (d0 * m12 + d1 * m02 + d2 * m01)
                + (d01 * m2 + d02 * m1 + d12 * m0 + d012 * none)
            )
            of_last = whole + (t * m01 + d0 * m1 + d1 * m0 + d01 * none)
            at = rows + i
            store(s, at, load(s, at) + whole + (t * m12 + d1 * m2 + d2 * m1 + d12 * none))
            at = rows + row + i
            store(s, at, load(s, at) + whole + (t * m02 + d0 * m2 + d2 * m0 + d02 * none))
        else:
            _kappas(s, kappa, t, k2, L, W, higher)
            _set_products(s, products, i, L, row, W)
            # Cumulants of s_i with the linear factors of a set take the products' place.
            store(s, products, t)
            for R in range(1, sets):
                joint = load(s, products + R * W) * load(s, kappa + (_size(R) + 1) * W)
                store(s, products + R * W, joint)
            whole = t * splat(s, scaled + full)
            for R in range(1, sets):
                whole = whole + load(s, products + R * W) * splat(s, scaled + (full ^ R))
            of_last = whole
            for j in range(L):
                others = full ^ (1 << j)
                value = whole + t * splat(s, scaled + others)
                sub = others
                while sub:
                    joint = load(s, products + sub * W)
                    value = value + joint * splat(s, scaled + (others ^ sub))
                    sub = (sub - 1) & others
                if j < L - 1:
                    at = rows + j * row + i
                    store(s, at, load(s, at) + value)
                else:
                    of_last = value
        store(s, spins + i, load(s, spins + i) + whole)
        for p in range(P):
            at = weights + ((L - 1) * P + p) * row + i
            store(s, at, load(s, at) + splat(points, k * P + p) * of_last)


@parallel_over(lambda shards: shards)
def derivatives(
    shard, points, log_weights, beta, theta, w, K, L, P, row, W, shards, higher, log_z, work,
    all_digits, out,
):  # fmt: skip
    """out[shard] = [sum of terms / exp(log_z); by theta (row,); by d.b (L P,); by w (L P row,)].

    The arguments are those of :func:`sums`; ``log_z`` its result, which keeps terms in range.
    """
    s = work[shard]
    digits = all_digits[shard]
    tuples = K**L
    first = tuples * shard // shards
    last = tuples * (shard + 1) // shards
    sets = 1 << L
    full = sets - 1
    rows, spins, weights, vectors, cumulants, means, scaled, betas, fields, _ = _layout(
        L, P, row, W
    )
    s[rows:vectors] = 0.0
    s[fields : fields + L * P] = 0.0
    _begin(s, digits, first, points, beta, w, theta, K, L, P, row, W, betas)
    norm = 0.0
    for tup in range(first, last):
        k = digits[L - 1]
        log_term = _evaluate(
            s, points, k, w, L, P, row, W, higher, vectors, cumulants, means, betas, True
        ) + _log_factor(digits, beta, log_weights, K, L)
        factor = math.exp(log_term - log_z)
        for R in range(sets):
            s[scaled + R] = factor * s[means + R]
        norm += s[scaled + full]
        for j in range(L):
            by_field = s[scaled + full] + s[scaled + (full ^ (1 << j))]
            for p in range(P):
                s[fields + j * P + p] += points[digits[j] * P + p] * by_field
        _collect(s, points, k, L, P, row, W, higher, vectors, scaled, spins, rows, weights)
        # Nodes of the units before the last stay what they were until the digits turn over.
        if k == K - 1 or tup == last - 1:
            for j in range(L - 1):
                _flush(s, j, rows + j * row, weights, points, digits[j], P, row, W)
        changed = _advance(digits, K, L)
        if digits[0] < K:
            for j in range(changed, L - 1):
                _level(s, j, points, digits[j], w, L, P, row, W)
            for j in range(changed, L):
                s[betas + j] = beta[j * K + digits[j]]
    out[shard, 0] = norm
    for i in range(row):
        out[shard, 1 + i] = s[spins + i]
    for i in range(L * P):
        out[shard, 1 + row + i] = s[fields + i]
    for i in range(L * P * row):
        out[shard, 1 + row + L * P + i] = s[weights + i]
