"""Real matrix product states as lists of arrays: canonical forms, truncation, sampling.

A state of n sites is a list of tensors (left bond, 2, right bond), the outer bonds of size 1. In a
left-canonical tensor the columns of the (left * 2, right) matrix are orthonormal, in a
right-canonical one the rows of the (left, 2 * right) matrix (Schollwoeck, Ann. Phys. 326, 96
(2011)). "Schmidt form" is right-canonical, with bonds that are the Schmidt bases of their cuts.
Cut k lies between sites k and k + 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import short_repr

Float = NDArray[np.float64]
Bits = NDArray[np.uint8]
Tensors = list[Float]

ROUNDING = 1e-15
"""Schmidt values below this part of the largest are rounding errors."""

CHUNK = 4096
"""States that are sampled or evaluated together."""


@short_repr
class SchmidtForm(NamedTuple):
    """A normalised state in Schmidt form, with its Schmidt values (n - 1 arrays, descending).

    ``log_scale`` is the logarithm of the norm that was divided out.
    """

    tensors: Tensors
    schmidt: list[Float]
    log_scale: float


def left_canonical(tensors: Tensors) -> Tensors:
    """The normalised left-canonical form, of the same bonds or smaller ones."""
    result = []
    rest = np.ones((1, 1))
    for k, tensor in enumerate(tensors):
        left, right = rest.shape[0], tensor.shape[2]
        matrix = (rest @ tensor.reshape(tensor.shape[0], -1)).reshape(2 * left, right)
        if k == len(tensors) - 1:
            matrix = matrix / np.linalg.norm(matrix)
        else:
            matrix, rest = np.linalg.qr(matrix)
            rest = rest / np.linalg.norm(rest)
        result.append(matrix.reshape(left, 2, -1))
    return result


def schmidt_form(tensors: Tensors, max_bond: int, discard: float) -> SchmidtForm:
    """Truncate a left-canonical state from the right, by its Schmidt values.

    Every cut keeps the least number of values, ``max_bond`` at most, that leaves out no more than
    the part ``discard`` of their squared sum; never those that are rounding errors. Schmidt
    values belong to the state before the cuts left of theirs were truncated: exact where nothing
    was.
    """
    n = len(tensors)
    result: Tensors = [np.empty(0)] * n
    schmidt: list[Float] = [np.empty(0)] * (n - 1)
    rest = np.ones((1, 1))
    for k in range(n - 1, 0, -1):
        tensor = tensors[k]
        matrix = (tensor.reshape(-1, tensor.shape[2]) @ rest).reshape(tensor.shape[0], -1)
        u, s, vh = np.linalg.svd(matrix, full_matrices=False)
        keep = _bond(s, max_bond, discard)
        result[k] = vh[:keep].reshape(keep, 2, -1)
        rest = u[:, :keep] * s[:keep]
        schmidt[k - 1] = s[:keep] / np.linalg.norm(s[:keep])
    first = (tensors[0].reshape(2, -1) @ rest).reshape(1, 2, -1)
    norm = float(np.linalg.norm(first))
    result[0] = first / norm
    return SchmidtForm(result, schmidt, float(np.log(norm)))


def _bond(s: Float, max_bond: int, discard: float) -> int:
    squares = np.square(s / s[0])
    tails = np.cumsum(squares[::-1])[::-1]
    enough = int(np.count_nonzero(tails > discard * tails[0]))
    real = int(np.count_nonzero(s > ROUNDING * s[0]))
    return max(1, min(enough, real, max_bond))


def right_canonical(tensors: Tensors) -> tuple[Tensors, float]:
    """Right-canonical form and logarithm of the norm; -inf for a state that is zero."""
    n = len(tensors)
    result: Tensors = [np.empty(0)] * n
    rest, log_norm = np.ones((1, 1)), 0.0
    for k in range(n - 1, -1, -1):
        tensor = tensors[k]
        matrix = (tensor.reshape(-1, tensor.shape[2]) @ rest).reshape(tensor.shape[0], -1)
        if k > 0:
            q, r = np.linalg.qr(matrix.T)
            result[k], rest = np.ascontiguousarray(q.T).reshape(-1, 2, _right(result, k)), r.T
        else:
            result[0], rest = matrix.reshape(1, 2, -1), matrix
        size = float(np.linalg.norm(rest))
        if size == 0.0:
            return result, -np.inf
        log_norm += np.log(size)
        rest = rest / size
    result[0] = rest.reshape(1, 2, -1)
    return result, log_norm


def _right(tensors: Tensors, k: int) -> int:
    """Size of the bond right of site k, from the tensors that are known right of it."""
    return 1 if k == len(tensors) - 1 else tensors[k + 1].shape[0]


def draw(tensors: Tensors, count: int, rng: np.random.Generator) -> tuple[Bits, Float]:
    """Independent samples (count, n) of |psi|^2, and their log-probabilities (count,).

    Perfect sampling (Ferris & Vidal, Phys. Rev. B 85, 165146 (2012)) of a normalised
    right-canonical state, site by site from the left.
    """
    v = np.empty((count, len(tensors)), dtype=np.uint8)
    log_q = np.zeros(count)
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        u = rng.random((part.stop - start, len(tensors)))
        v[part], log_q[part] = _draw(tensors, np.ones((part.stop - start, 1)), u)
    return v, log_q


def _draw(tensors: Tensors, beginning: Float, u: Float) -> tuple[Bits, Float]:
    """Bits of the sites of ``tensors`` given vectors (K, chi) on the bond left of them."""
    at = np.arange(u.shape[0])
    v = np.empty(u.shape, dtype=np.uint8)
    log_q = np.zeros(u.shape[0])
    vector = beginning
    for k, tensor in enumerate(tensors):
        both = (vector @ tensor.reshape(tensor.shape[0], -1)).reshape(at.size, 2, -1)
        weight = np.einsum("ksr,ksr->ks", both, both)
        one = (u[:, k] * weight.sum(axis=1) >= weight[:, 0]) & (weight[:, 1] > 0.0)
        bit = one.astype(np.intp)
        chosen = weight[at, bit]
        v[:, k] = bit
        log_q += np.log(chosen / weight.sum(axis=1))
        vector = both[at, bit] / np.sqrt(chosen)[:, None]
    return v, log_q


def log_amplitudes(tensors: Tensors, v: Bits) -> tuple[Float, Float]:
    """log |psi(v)| and the sign of psi(v) for states (K, n); -inf and 0 where psi is 0."""
    log_size, sign = np.empty(v.shape[0]), np.empty(v.shape[0])
    for start in range(0, v.shape[0], CHUNK):
        part = v[start : start + CHUNK]
        vector = np.ones((part.shape[0], 1))
        total = np.zeros(part.shape[0])
        for k, tensor in enumerate(tensors):
            following = np.empty((part.shape[0], tensor.shape[2]))
            for bit in (0, 1):
                rows = part[:, k] == bit
                following[rows] = vector[rows] @ tensor[:, bit]
            size = np.linalg.norm(following, axis=1)
            with np.errstate(divide="ignore"):
                total += np.log(size)
            vector = following / np.where(size > 0.0, size, 1.0)[:, None]
        log_size[start : start + CHUNK] = total
        sign[start : start + CHUNK] = np.sign(vector[:, 0])
    return log_size, sign


def ends(tensors: Tensors, v: Bits) -> list[Float]:
    """Right environments of endings v (K, n): entry k (K, chi) belongs to the sites k, ..., n - 1.

    The last entry, k = n, is a column of ones.
    """
    n = len(tensors)
    environments: list[Float] = [np.empty(0)] * n + [np.ones((v.shape[0], 1))]
    for k in range(n - 1, -1, -1):
        tensor = tensors[k]
        environments[k] = np.empty((v.shape[0], tensor.shape[0]))
        for bit in (0, 1):
            rows = v[:, k] == bit
            environments[k][rows] = environments[k + 1][rows] @ tensor[:, bit].T
    return environments


def draw_endings(form: SchmidtForm, first: int, count: int, rng: np.random.Generator) -> Bits:
    """Endings (count, n - first), from site ``first`` on, of a state.

    Half of them follow |psi|^2, half the mixed state in which all Schmidt vectors of the cut
    before ``first`` count alike (their leverage): endings that matter to small Schmidt values
    too. :func:`ending_densities` gives the densities.
    """
    tensors, mixture = form.tensors[first:], _mixture(form, first)
    beginning = np.zeros((count, mixture.size))
    beginning[np.arange(count), rng.choice(mixture.size, count, p=mixture)] = 1.0
    return _draw(tensors, beginning, rng.random((count, len(tensors))))[0]


def ending_densities(form: SchmidtForm, first: int, last: int, v: Bits) -> list[Float]:
    """log-densities of :func:`draw_endings`, of the parts of v from the sites first..last on.

    Returns last - first + 1 arrays (count,), exact for every one of the parts.
    """
    tensors = form.tensors[first:]
    vectors = ends(tensors, v)
    density = np.diag(_mixture(form, first))
    densities = []
    for k in range(last - first + 1):
        if k > 0:
            a = tensors[k - 1]
            left = (density @ a.reshape(a.shape[0], -1)).reshape(-1, a.shape[2])
            density = a.reshape(-1, a.shape[2]).T @ left
        weight = np.einsum("kr,kr->k", vectors[k] @ density, vectors[k])
        densities.append(np.log(np.maximum(weight, np.finfo(np.float64).tiny)))
    return densities


def _mixture(form: SchmidtForm, first: int) -> Float:
    """Probabilities of the Schmidt vectors of the cut before ``first``."""
    squares = np.square(form.schmidt[first - 1])
    mixture = squares / squares.sum() + 1.0 / squares.size
    return np.asarray(mixture / mixture.sum())
