"""Nearest-neighbour adversarial accuracy and privacy loss.

Yale et al., "Generation and evaluation of privacy preserving synthetic health data",
Neurocomputing 416, 244 (2020). With T the data, S the samples, N rows each, and d the Hamming
distance to the nearest row (of the same set: the nearest *other* row),

    AA_truth = (1/N) sum_i 1[d_TS(i) > d_TT(i)],    AA_syn = (1/N) sum_i 1[d_ST(i) > d_SS(i)].

Both are 0.5 (exactly (N-1)/(2N-1) without ties) if T and S are drawn from one distribution, near 1
if they are told apart easily, near 0 if the samples are copies of the data.
Distances between bit strings are whole numbers and tie often; a tie counts one half, so that
neither answer is favoured. Rows that repeat within T or S lie at distance 0 of their set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core import streams
from tnqbm.quality.units import MAX_POINTS, Float, Measure, Rows, spread, thinned

Single = NDArray[np.float32]

_GROUPS = 20  # for standard errors
_BLOCK = 1 << 22  # distances held at a time


@dataclass(frozen=True)
class AdversarialAccuracy:
    """AA_truth, AA_syn and their mean, each with a standard error; 0.5 is ideal."""

    truth: Measure
    syn: Measure
    mean: Measure
    n_points: int
    """Rows of each set that were compared (N)."""


@dataclass(frozen=True)
class PrivacyLoss:
    """Adversarial accuracy against held-out rows less that against the data trained on.

    Near 0 if the samples are no closer to the data than to rows never seen; 0.5 for copies of
    the data (Yale et al. 2020). All three sets have ``n_points`` rows.
    """

    loss: Measure
    data: AdversarialAccuracy
    test: AdversarialAccuracy


def adversarial_accuracy(
    samples: ArrayLike | Rows,
    data: ArrayLike | Rows,
    *,
    max_points: int = MAX_POINTS,
    seed: int = 0,
) -> AdversarialAccuracy:
    """Nearest-neighbour adversarial accuracy of ``samples`` against ``data``.

    Both (N, n), or (chains, samples, n) for correlated samples. The larger set is thinned at
    random (``seed``) to the size of the smaller, both to at most ``max_points``. Memory stays
    below some 50 MB beyond the sets. Raises ValueError on bad shapes or values.

    Standard errors come from the accuracies of up to 20 disjoint parts of both sets, made of
    whole chains. Resampling or leaving out rows would not do: the accuracy is not a smooth
    function of the sample (compare Abadie and Imbens, Econometrica 76, 1537 (2008)), and repeated
    rows would be neighbours of themselves. nan if there are too few rows or units for two parts.
    """
    s, t = _sets({"samples": samples, "data": data}, max_points, seed)
    return _result(_scores(s, t), _in_parts(s, t), s.part.size)


def privacy_loss(
    samples: ArrayLike | Rows,
    data: ArrayLike | Rows,
    test: ArrayLike | Rows,
    *,
    max_points: int = MAX_POINTS,
    seed: int = 0,
) -> PrivacyLoss:
    """Privacy loss of ``samples`` of a model trained on ``data``, with held-out rows ``test``.

    Arguments and errors as for :func:`adversarial_accuracy`; the three sets are thinned to one
    size, as the accuracies would otherwise differ for that reason alone.
    """
    s, t, u = _sets({"samples": samples, "data": data, "test": test}, max_points, seed)
    seen, seen_parts = _scores(s, t), _in_parts(s, t)
    unseen, unseen_parts = _scores(s, u), _in_parts(s, u)
    loss = _measure(
        np.concatenate([unseen, seen]),
        np.concatenate([unseen_parts, seen_parts], axis=1),
        (0.5, 0.5, -0.5, -0.5),
    )
    count = s.part.size
    return PrivacyLoss(loss, _result(seen, seen_parts, count), _result(unseen, unseen_parts, count))


@dataclass(frozen=True)
class _Parted:
    """One set as spins (N, n) float32, and the part (N,) that each row belongs to."""

    spins: Single
    part: NDArray[np.intp]


def _sets(given: dict[str, ArrayLike | Rows], max_points: int, seed: int) -> list[_Parted]:
    """The sets, thinned to one size, dealt into the same number of parts."""
    rng = streams.generator(seed)
    thin = thinned(given, max_points, rng)
    # Parts of four rows at least, so that every row has some neighbours to choose from.
    parts = min(_GROUPS, thin[0].n_rows // 4, *(rows.n_units for rows in thin))
    return [
        _Parted(1.0 - 2.0 * rows.states.astype(np.float32), rows.groups(parts, rng))
        for rows in thin
    ]


def _scores(s: _Parted, t: _Parted) -> Float:
    """(AA_truth, AA_syn) of two sets."""
    n = s.spins.shape[1]
    if min(s.spins.shape[0], t.spins.shape[0]) < 2:
        return np.full(2, math.nan)
    ts, st = _nearest(t.spins, s.spins, n), _nearest(s.spins, t.spins, n)
    tt, ss = _nearest(t.spins, t.spins, n), _nearest(s.spins, s.spins, n)
    return np.array([_share(ts, tt), _share(st, ss)])


def _in_parts(s: _Parted, t: _Parted) -> Float:
    """(AA_truth, AA_syn) of every part of s against the same part of t; (parts, 2)."""
    rows = []
    for part in range(int(s.part.max()) + 1):
        mine, theirs = s.part == part, t.part == part
        rows.append(
            _scores(_Parted(s.spins[mine], s.part[mine]), _Parted(t.spins[theirs], t.part[theirs]))
        )
    return np.array(rows)


def _nearest(x: Single, y: Single, n: int) -> Single:
    """Hamming distance (N,) of every row of x to the nearest row of y, itself excluded if y is x.

    Distances are whole numbers below 2**24, exact in single precision.
    """
    step = max(1, _BLOCK // y.shape[0])
    nearest = np.empty(x.shape[0], dtype=np.float32)
    for first in range(0, x.shape[0], step):
        overlap = x[first : first + step] @ y.T
        if x is y:
            place = np.arange(overlap.shape[0])
            overlap[place, first + place] = -np.inf
        nearest[first : first + step] = 0.5 * (n - overlap.max(axis=1))
    return nearest


def _share(across: Single, within: Single) -> float:
    """Share of rows whose own set is nearer; ties count one half."""
    return float(0.5 + 0.5 * np.sign(across - within).mean(dtype=np.float64))


def _result(scores: Float, parts: Float, count: int) -> AdversarialAccuracy:
    truth, syn, mean = (_measure(scores, parts, pick) for pick in ((1, 0), (0, 1), (0.5, 0.5)))
    return AdversarialAccuracy(truth, syn, mean, count)


def _measure(scores: Float, parts: Float, pick: Sequence[float]) -> Measure:
    """The combination ``pick`` of the scores, its error from the spread over parts (parts, k).

    Small parts tell two sets apart less well than the whole does. The variance of a share x goes
    as x (1 - x), which carries the spread over where the whole is nearer to 0 or 1 than its parts.
    """
    chosen = np.asarray(pick, dtype=np.float64)
    value = float(scores @ chosen)
    parts = parts[np.isfinite(parts).all(axis=1)]
    if parts.shape[0] < 2:
        return Measure(value, math.nan)
    error = spread(parts @ chosen) / math.sqrt(parts.shape[0])
    used = chosen != 0.0
    mean = parts.mean(axis=0)[used]
    variance, of_parts = (
        float(np.sum(scores[used] * (1 - scores[used]))),
        float(np.sum(mean * (1 - mean))),
    )
    return Measure(
        value, error * math.sqrt(min(1.0, variance / of_parts)) if of_parts > 0.0 else error
    )
