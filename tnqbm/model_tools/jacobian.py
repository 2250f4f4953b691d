"""How many directions a model's distribution can move in: the rank of the Jacobian of log p(v).

The rank at generic parameters is the dimension of the set of distributions of a model. A hidden
field's length r_j does not change when the Pauli axes of qubit j are rotated, so an sqRBM has
P(P-1)/2 redundant directions per hidden unit, and its dimension is at most

    min(n + P m (n + 1) - m P (P - 1) / 2, 2^n - 1).

For the RBM (P = 1) equality is a theorem (Montufar and Morton, "Dimension of marginals of Kronecker
product models", arXiv 1511.03570); for P > 1 it is measured here.

log p(v) and its derivatives are those over all visible states, in plain NumPy over arrays of 2^n
rows, for small models. With the fields Phi_j^P(v) = b[P,j] + sum_i s_i w[P,i,j] of length r_j,

    log p~(v) = -sum_i a_i s_i + sum_j log 2cosh r_j,
    d log 2cosh r / dPhi^P = t Phi^P,    t = tanh(r) / r,
    d2 log 2cosh r / dPhi^P dPhi^Q = t delta_PQ + u Phi^P Phi^Q,    u = (1 - tanh(r)^2 - t) / r^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.limits import check_memory
from tnqbm.base.process import one_thread
from tnqbm.base.text import short_repr
from tnqbm.core.fields import length, log_2cosh, tanh_ratio, tanh_ratio_slope
from tnqbm.core.model import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.core.states import spins, states_of

Float = NDArray[np.float64]

LARGEST = 14
"""Most visible units: arrays have 2^n rows and a column for every parameter."""


class DenseLogProbability:
    """log p(v) of all models of one shape, as a function of their vector of parameters.

    Vectors are those of :meth:`tnqbm.SqRBM.to_vector`; rows are visible states in order of their
    index. Raises ValueError if n exceeds LARGEST and MemoryError if the Jacobian does not fit.
    """

    def __init__(self, shape: Shape) -> None:
        n, m, n_paulis = shape
        if not 1 <= n <= LARGEST:
            raise ValueError(
                f"all 2**n visible states are held: n must be from 1 to {LARGEST}, got {n}"
            )
        if m < 0 or n_paulis not in (1, 2, 3):
            raise ValueError(
                f"need m >= 0 hidden units and 1 to 3 Paulis, got m = {m} and P = {n_paulis}"
            )
        self.shape = shape
        check_memory(
            4 * 8 * 2**n * shape.size,
            f"the Jacobian of log p for n = {n} and {shape.size} parameters",
            "take fewer visible or hidden units",
        )
        self.spins: Float = spins(states_of(np.arange(1 << n, dtype=np.int64), n))
        self._x = np.concatenate([np.ones((1 << n, 1)), self.spins], axis=1)

    def fields(self, theta: Float) -> tuple[Float, Float, Float]:
        """log p~ (2^n,), fields Phi (2^n, P, m) and their lengths r (2^n, m)."""
        a, b, w = self.shape.split(theta)
        flat = w.transpose(1, 0, 2).reshape(len(a), -1)
        phi = (self.spins @ flat).reshape(len(self.spins), *b.shape) + b
        r = length(phi, 1)
        return log_2cosh(r).sum(axis=1) - self.spins @ a, phi, r

    def log_probabilities(self, theta: Float) -> Float:
        """log p (2^n,), normalised."""
        return _normalised(self.fields(theta)[0])

    def derivatives(self, theta: Float) -> tuple[Float, Float]:
        """log p (2^n,) and its Jacobian (2^n, size), both normalised.

        Row v of the Jacobian is d log p~(v) minus its average over p, so that p @ Jacobian = 0.
        """
        log_weight, phi, r = self.fields(theta)
        log_p = _normalised(log_weight)
        raw = self._raw(phi, r)
        return log_p, raw - np.exp(log_p) @ raw

    def hessian(self, theta: Float, q: Float) -> Float:
        """Second derivatives (size, size) of -sum_v q_v log p(v), exact."""
        log_weight, phi, r = self.fields(theta)
        p = np.exp(_normalised(log_weight))
        raw = self._raw(phi, r)
        centred = raw - p @ raw
        found: Float = centred.T @ (p[:, None] * centred)
        _, m, n_paulis = self.shape
        t, u = tanh_ratio(r), tanh_ratio_slope(r)
        _, at_b, at_w = self.shape.split(np.arange(float(self.shape.size)))
        for j in range(m):
            index = np.concatenate([at_b[:, None, j], at_w[:, :, j]], axis=1).astype(np.int64)
            for one in range(n_paulis):
                for two in range(one, n_paulis):
                    second = u[:, j] * phi[:, one, j] * phi[:, two, j]
                    if one == two:
                        second = second + t[:, j]
                    block = self._x.T @ (((p - q) * second)[:, None] * self._x)
                    found[np.ix_(index[one], index[two])] += block
                    if one != two:
                        found[np.ix_(index[two], index[one])] += block
        return found

    def _raw(self, phi: Float, r: Float) -> Float:
        """Derivatives of log p~ (2^n, size)."""
        direction = tanh_ratio(r)[:, None, :] * phi
        coupled = self.spins[:, None, :, None] * direction[:, :, None, :]
        rows = len(self.spins)
        return np.concatenate(
            [-self.spins, direction.reshape(rows, -1), coupled.reshape(rows, -1)], axis=1
        )


def of_model(model: SqRBM) -> DenseLogProbability:
    """The function for a model's shape; ValueError if the model is locally connected."""
    if model.mask is not None:
        raise ValueError("this is for dense models only, and this one has a mask")
    return DenseLogProbability(model.shape)


def probabilities(model: SqRBM) -> Float:
    """p(v) (2**n,) of a small dense model, in order of the states' index."""
    return np.exp(of_model(model).log_probabilities(model.to_vector()))


def _normalised(log_weight: Float) -> Float:
    top = log_weight.max()
    shifted: Float = log_weight - top
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


THRESHOLD = 1e-10
"""Singular values, of columns scaled to unit length, below this part of the largest are zero."""

CLEAR = 1e3
"""Least ratio of the last singular value counted to the first not counted of a clear rank."""


@short_repr
@dataclass(frozen=True, eq=False)
class Rank:
    """A numerical rank and how sure it is.

    ``rank`` counts the ``singular_values`` (in falling order) above the threshold; ``gap`` is the
    ratio of the last counted to the first not counted, which is no less than what rounding leaves,
    some 1e-16 of the largest; ``clear`` says whether it reaches CLEAR.
    """

    rank: int
    gap: float
    clear: bool
    singular_values: Float


def redundancy(n_paulis: int) -> int:
    """Redundant directions of one hidden unit, P(P-1)/2: the rotations of its Pauli axes."""
    return n_paulis * (n_paulis - 1) // 2


def unit_parameters(n: int, n_paulis: int) -> int:
    """Effective parameters of one hidden unit: P(n+1) - P(P-1)/2."""
    return n_paulis * (n + 1) - redundancy(n_paulis)


def effective_ratio(n: int, n_paulis: int) -> float:
    """Classical units with as many effective parameters as one qubit: P - P(P-1)/(2n+2)."""
    return unit_parameters(n, n_paulis) / (n + 1)


def expected_rank(n: int, m: int, n_paulis: int) -> int:
    """Dimension that counting gives: all parameters but redundant ones, at most 2^n - 1."""
    return min(Shape(n, m, n_paulis).size - m * redundancy(n_paulis), (1 << n) - 1)


def log_probability_jacobian(model: SqRBM) -> Float:
    """Jacobian (2**n, size) of log p(v), p normalised.

    Rows are visible states in order of their index, columns parameters in the order of
    :meth:`tnqbm.SqRBM.to_vector`. Raises ValueError for n > 14 and locally connected models,
    MemoryError if it does not fit.
    """
    with one_thread():
        return of_model(model).derivatives(model.to_vector())[1]


def gauge_directions(model: SqRBM) -> Float:
    """Directions (m P(P-1)/2, size) in which log p does not change, to all orders.

    The generators of rotations of each hidden qubit's Pauli axes: for a pair (P, Q) of hidden unit
    j, b[P,j] and w[P,:,j] change by -b[Q,j] and -w[Q,:,j], and b[Q,j] and w[Q,:,j] by the P's.
    """
    n_paulis, m = model.b.shape
    found = []
    for j in range(m):
        for one in range(n_paulis):
            for two in range(one + 1, n_paulis):
                b, w = np.zeros_like(model.b), np.zeros_like(model.w)
                b[one, j], b[two, j] = -model.b[two, j], model.b[one, j]
                w[one, :, j], w[two, :, j] = -model.w[two, :, j], model.w[one, :, j]
                found.append(np.concatenate([np.zeros_like(model.a), b.ravel(), w.ravel()]))
    return np.array(found, dtype=np.float64).reshape(-1, model.to_vector().size)


def numerical_rank(matrix: Float, *, threshold: float = THRESHOLD) -> Rank:
    """Rank of a matrix from the singular values of its columns scaled to unit length.

    Scaling keeps the rank, and takes out differences in size that say nothing about it. Raises
    ValueError for a threshold outside (0, 1) and entries that are not finite.
    """
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold must be between 0 and 1, got {threshold!r}")
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise ValueError("need a matrix with finite entries")
    length = np.linalg.norm(matrix, axis=0)
    # columns of rounding only would look like directions once they are scaled
    length = np.where(length > 1e-14 * length.max(initial=0.0), length, np.inf)
    with one_thread():
        values: Float = np.asarray(
            np.linalg.svd(matrix / length, compute_uv=False), dtype=np.float64
        )
    if values.size == 0 or values[0] == 0.0:
        return Rank(0, math.inf, True, values)
    rank = int(np.count_nonzero(values > threshold * values[0]))
    rounding = np.finfo(np.float64).eps * values[0]
    following = max(float(values[rank]), rounding) if rank < values.size else rounding
    gap = float(values[rank - 1]) / following
    return Rank(rank, gap, gap >= CLEAR, values)


def jacobian_rank(model: SqRBM, *, threshold: float = THRESHOLD) -> Rank:
    """Rank of :func:`log_probability_jacobian`, whose errors it has, by :func:`numerical_rank`."""
    return numerical_rank(log_probability_jacobian(model), threshold=threshold)


def confirmed_rank(model: SqRBM, *, digits: int = 50, zero: float = 1e-25) -> tuple[int, float]:
    """Rank of the Jacobian in decimal arithmetic, and the gap between what counts and what not.

    Gram-Schmidt with the longest remaining column first, on numbers of ``digits`` digits: with 50
    of them rounding stays below 1e-40, so that a column shorter than ``zero`` (of 1 at first) is no
    direction. For ranks that double precision leaves in doubt; seconds for n = 6. Raises
    ValueError where fewer than 20 digits are asked for, or n > 10.
    """
    if digits < 20:
        raise ValueError(f"digits must be at least 20, got {digits}")
    if model.n_visible > 10:
        raise ValueError(f"decimal arithmetic takes too long for n = {model.n_visible} (above 10)")
    of_model(model)  # refuses masks
    with localcontext() as context:
        context.prec = digits
        columns = _scaled(_decimal_jacobian(model))
        lengths: list[float] = []
        while columns.shape[1]:
            squares = (columns * columns).sum(axis=0)
            at = int(np.argmax(squares))
            length = squares[at].sqrt()
            lengths.append(float(length))
            if length <= Decimal(repr(zero)):
                break
            unit = columns[:, at] / length
            columns = np.delete(columns, at, axis=1)
            for _ in range(2):  # twice is enough for orthogonality to rounding
                columns = columns - unit[:, None] * (unit[:, None] * columns).sum(axis=0)[None, :]
    rank = sum(length > zero for length in lengths)
    if rank == 0 or rank == len(lengths):
        return rank, math.inf
    return rank, lengths[rank - 1] / max(lengths[rank], 10.0**-digits)


def _decimal_jacobian(model: SqRBM) -> NDArray[np.object_]:
    """The Jacobian (2^n, size) in the current decimal context, unnormalised but centred.

    Subtracting a plain average over states instead of the average over p keeps the rank: both take
    out the constant.
    """
    exactly = np.vectorize(Decimal, otypes=[object])
    n = model.n_visible
    signs = spins(states_of(np.arange(1 << n, dtype=np.int64), n)).astype(np.int64)
    s = np.vectorize(lambda one: Decimal(int(one)), otypes=[object])(signs)
    columns = [-s]
    b, w = exactly(model.b), exactly(model.w)
    couplings = []
    for p in range(b.shape[0]):
        phi = np.stack([(s * w[p, :, j]).sum(axis=1) + b[p, j] for j in range(b.shape[1])], axis=1)
        couplings.append(phi)
    phi = np.stack(couplings, axis=1)  # (V, P, m)
    direction = np.vectorize(_ratio, otypes=[object])((phi * phi).sum(axis=1))[:, None, :] * phi
    columns.append(direction.reshape(len(s), -1))
    columns.append((s[:, None, :, None] * direction[:, :, None, :]).reshape(len(s), -1))
    raw = np.concatenate(columns, axis=1)
    return np.asarray(raw - raw.sum(axis=0)[None, :] / Decimal(len(s)))


def _ratio(square: Decimal) -> Decimal:
    """tanh(r)/r from r^2."""
    if square == 0:
        return Decimal(1)
    r = square.sqrt()
    small = (-2 * r).exp()
    return (1 - small) / ((1 + small) * r)


def _scaled(columns: NDArray[np.object_]) -> NDArray[np.object_]:
    squares = (columns * columns).sum(axis=0)
    keep = np.array([square > 0 for square in squares], dtype=np.bool_)
    lengths = np.array([square.sqrt() for square in squares[keep]], dtype=np.object_)
    return np.asarray(columns[:, keep] / lengths[None, :])
