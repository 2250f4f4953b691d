"""Distances between probability distributions over visible states."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import plain_array

Float = NDArray[np.float64]

_LARGEST_LOG = 300.0


def kl_divergence(q: ArrayLike, p: ArrayLike) -> float:
    """KL(q || p) = sum q log(q / p) in nats; inf where p vanishes on the support of q.

    Rounding may leave it a little below 0 where q and p are equal.
    """
    q, p = _pair(q, p)
    on = q > 0
    with np.errstate(divide="ignore"):
        return float(np.sum(q[on] * (np.log(q[on]) - np.log(p[on]))))


def total_variation(q: ArrayLike, p: ArrayLike) -> float:
    """Total variation distance 0.5 ||q - p||_1, in [0, 1]."""
    q, p = _pair(q, p)
    return 0.5 * float(np.abs(q - p).sum())


def negative_log_likelihood(q: ArrayLike, p: ArrayLike) -> float:
    """-sum q log p in nats per sample; inf where p vanishes on the support of q."""
    q, p = _pair(q, p)
    on = q > 0
    with np.errstate(divide="ignore"):
        return -float(np.sum(q[on] * np.log(p[on])))


def on_support(log_p: Float, q: Float) -> dict[str, Float]:
    """KL, TVD and NLL from normalised log p and q on the support of q alone; (..., K) -> (...).

    TVD = 0.5 [sum_S |q - p| + 1 - p(S)], so no sum over all states is needed. With an estimate of
    log Z that is too small, p(S) may exceed one. Nothing is cut off then: a KL below 0 (an NLL
    below the entropy of q) says that log Z is wrong. The TVD by this formula stays in [0, 1]
    whatever p(S) is, and says nothing where p(S) exceeds one; :func:`tnqbm.core.bounds.log_sum` of
    the log weights, which log Z may not be below, shows that.
    """
    # A log Z that is far too small must not overflow; true probabilities are untouched.
    p = np.exp(np.minimum(log_p, _LARGEST_LOG))
    nll = -(q * log_p).sum(axis=-1)
    log_q = np.log(q, out=np.zeros_like(q), where=q > 0)
    kl = nll + (q * log_q).sum(axis=-1)
    outside = 1.0 - p.sum(axis=-1)
    tvd = 0.5 * (np.abs(q - p).sum(axis=-1) + outside)
    return {"kl": kl, "tvd": tvd, "nll": nll}


def _pair(q: ArrayLike, p: ArrayLike) -> tuple[Float, Float]:
    pair = []
    for name, value in (("q", q), ("p", p)):
        array = plain_array(value, name)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
        array = array.astype(np.float64)
        if not (np.isfinite(array).all() and (array >= 0).all()):
            raise ValueError(f"{name} must hold finite probabilities >= 0")
        if abs(array.sum() - 1.0) > 1e-6:
            raise ValueError(f"{name} must sum to 1, got {array.sum():.6g}")
        pair.append(array)
    if pair[0].shape != pair[1].shape:
        raise ValueError(f"q and p differ in shape: {pair[0].shape} and {pair[1].shape}")
    return pair[0], pair[1]
