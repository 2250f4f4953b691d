"""Solving (M + damping) d = g with the metric M of a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tnqbm.training.optimizers.scores import Scores

Float = NDArray[np.float64]

DENSE = 600
"""Most parameters at which "auto" forms the matrix: beyond, conjugate gradients take less time."""

DENSE_STATES = 1 << 13
"""Most states at which it does."""

KERNEL = 4096
"""Most states at which "auto" takes the matrix over pairs of samples."""


def chosen(solver: str, scores: Scores, metric: str, sampled: bool) -> str:
    """The solver that "auto" stands for; it depends on sizes alone, so that runs repeat.

    A matrix over pairs of samples where they are fewer than the parameters, a matrix over pairs of
    parameters where these are few, conjugate gradients otherwise.
    """
    if solver != "auto":
        return solver
    states = scores.p.size
    size = scores.size if scores.free is None else int(scores.free.sum())
    if sampled and metric == "fisher" and states <= min(size, KERNEL):
        return "kernel"
    return "dense" if size <= DENSE and states <= DENSE_STATES else "cg"


def solve(
    scores: Scores,
    gradient: Float,
    damping: float,
    *,
    metric: str = "fisher",
    solver: str = "cg",
    iterations: int = 100,
    tolerance: float = 1e-6,
    diagonal: Float | None = None,
) -> Float:
    """d (n_parameters,) with (M + damping I + diag) d = gradient; 0 where nothing is free.

    ``solver``: "cg", at most so many conjugate-gradient iterations or down to that relative
    residual, whichever comes first (scipy's; cut off early they still descend); "dense", the matrix
    and its Cholesky decomposition; "kernel", for the Fisher metric alone, a matrix over pairs of
    states instead of pairs of parameters, (g - A^T (damping + A A^T)^-1 A g) / damping, which
    loses digits where the damping is many orders below the metric. ``diagonal`` (n_parameters,) is
    added to the metric's. Raises ValueError for an impossible choice; the damping must be positive.
    """
    if not damping > 0:
        raise ValueError(f"the damping must be positive, got {damping!r}")
    free = scores.free
    if solver == "kernel":
        if metric != "fisher" or diagonal is not None:
            raise ValueError("solver: 'kernel' is for the Fisher metric alone; take 'cg'")
        return _by_kernel(scores, gradient, damping)
    if solver == "dense":
        extra = None if diagonal is None or free is None else diagonal[free]
        return _dense(scores, gradient, damping, metric, diagonal if free is None else extra)
    if solver != "cg":
        raise ValueError(f"solver: {solver!r} is not one of cg, dense, kernel")
    from scipy.sparse.linalg import LinearOperator, cg

    shift = damping if diagonal is None else damping + diagonal

    def product(x: Float) -> Float:
        x = x.ravel()
        return scores.product(x, metric) + shift * x

    size = gradient.size
    b = gradient if free is None else np.where(free, gradient, 0.0)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    found, _ = cg(operator, b, rtol=tolerance, atol=0.0, maxiter=iterations)
    return np.asarray(found)


def _dense(
    scores: Scores, gradient: Float, damping: float, metric: str, diagonal: Float | None
) -> Float:
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    free = scores.free
    matrix = scores.matrix(metric)
    at = np.arange(matrix.shape[0])
    more = 0.0 if diagonal is None else diagonal
    b = gradient if free is None else gradient[free]
    while True:
        damped = matrix.copy()
        damped[at, at] += damping + more
        try:
            found = cho_solve(cho_factor(damped, lower=True, overwrite_a=True), b)
            break
        except LinAlgError:  # rounding made it indefinite
            damping *= 10.0
    if free is None:
        return np.asarray(found)
    out = np.zeros_like(gradient)
    out[free] = found
    return out


def _by_kernel(scores: Scores, gradient: Float, damping: float) -> Float:
    from scipy.linalg import cho_factor, cho_solve

    gram = scores.kernel()
    at = np.arange(gram.shape[0])
    gram[at, at] += damping
    factor = cho_factor(gram, lower=True, overwrite_a=True)
    inside = cho_solve(factor, scores.half_product(gradient))
    kept = gradient if scores.free is None else np.where(scores.free, gradient, 0.0)
    return np.asarray((kept - scores.half_transposed(inside)) / damping)
