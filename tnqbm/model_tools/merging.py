"""Two hidden units into one: exactly where that is possible, else by the nearest single unit.

What is exact, for any parameters, is little: units coupled to at most one visible unit go into
``a``, and units on one and the same pair of visible units become one
(:func:`tnqbm.model_tools.simplify.simplify`). Two equal units are not one of twice the size: with
fields of length r they exceed it by log(1 + 1/cosh 2r), which vanishes only for large r. In
general a single unit is fitted,

    f_j(v) + f_k(v) ~ f(v) + c + sum_i d_i s_i,      f = log 2cosh||b + sum_i s_i w_i||,

by least squares under p over b, w, c and d, starting from what is right in two limits. For small
fields f ~ log 2 + r^2/2, so the Gram matrices add up, and the best A has the P largest principal
axes of [A_j A_k]. For large ones f ~ r, and parallel fields add up, A_j + A_k R with R the turn of
axes that makes them most parallel. The divergence is then measured as in
:mod:`tnqbm.model_tools.pruning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.limits import check_memory
from tnqbm.base.process import one_thread
from tnqbm.core.fields import averages
from tnqbm.core.model import SqRBM
from tnqbm.model_tools import gauge
from tnqbm.model_tools.reweighting import MAX_LISTED, Cost, Reference, log_weights, reference
from tnqbm.model_tools.simplify import factors, simplify

__all__ = ["Merged", "merge"]

Float = NDArray[np.float64]

_FITTED = 3
# Pairs fitted in every round of a search: those whose better start looks cheapest.
_EVALUATIONS = 100

Pair = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Merged:
    """A model with fewer hidden units, made by :func:`merge`.

    ``groups`` holds, for every hidden unit of ``model``, the units of the original that it stands
    for; ``removed`` those that went into ``a``. ``divergence`` = KL(p || p') in nats of the merged
    model p' from the original p, its ``standard_error`` and the ``effective`` number of samples it
    rests on. ``method`` is "exact rules" where p(v) is unchanged, "exact" where all states were
    listed, or "samples".
    """

    model: SqRBM
    groups: tuple[tuple[int, ...], ...]
    removed: tuple[int, ...]
    divergence: float
    standard_error: float
    effective: float
    method: Literal["exact rules", "exact", "samples"]

    def as_dict(self) -> dict[str, Any]:
        """All figures, without the model, in types that JSON knows."""
        return {
            "groups": [list(group) for group in self.groups],
            "removed": list(self.removed),
            "divergence": self.divergence,
            "standard_error": self.standard_error,
            "effective": self.effective,
            "method": self.method,
        }


def merge(
    model: SqRBM,
    pairs: Sequence[tuple[int, int]] | None = None,
    *,
    tolerance: float | None = None,
    samples: ArrayLike | None = None,
) -> Merged:
    """Merge hidden units: exactly by default, and by fits where pairs or a tolerance are given.

    Parameters
    ----------
    pairs : pairs of hidden units, each unit at most once; every pair becomes one unit, in the place
        of its first, whatever that costs. It is coupled to what either was coupled to.
    tolerance : after the exact rules, merge whichever pair costs least, again and again, until
        KL(p || p') would exceed this many nats. Every round fits the three pairs that look
        cheapest, so the result need not be the smallest there is.
    samples : visible states drawn from the model's p, (K, n) independent or (chains, K, n), for
        n > 16, where not all states are listed. Fits have P (n + 1) parameters and more: take many
        times as many samples.

    Raises ValueError, TypeError or MemoryError on impossible arguments.
    """
    if pairs is not None and tolerance is not None:
        raise ValueError("give pairs to be merged or a tolerance, not both")
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0 nats, got {tolerance!r}")
    if pairs is None:
        small = simplify(model)
        if tolerance is None or small.model.n_hidden < 2:
            inf = float("inf")
            return Merged(small.model, small.groups, small.removed, 0.0, 0.0, inf, "exact rules")
        start, groups, removed = small.model, list(small.groups), small.removed
    else:
        chosen = _checked(pairs, model.n_hidden)
        start, groups, removed = model, [(j,) for j in range(model.n_hidden)], ()
    with one_thread():
        states = reference(model, samples, limit=MAX_LISTED)
        entries = states.weights.size * (len(model.paulis) * (model.n_visible + 1) + 4)
        check_memory(24 * entries, "the Jacobian of a fit at all states", "give fewer samples")
        merging = _Merging(start, log_weights(model, states.spins), states, groups)
        if pairs is None:
            merging.search(tolerance or 0.0)
        else:
            merging.apply(chosen)
    cost = merging.cost
    return Merged(
        merging.model,
        tuple(merging.groups),
        removed,
        cost.kl,
        cost.standard_error,
        cost.effective,
        "exact" if states.exact else "samples",
    )


class _Merging:
    """A model whose units are merged step by step, and what that has cost so far."""

    def __init__(
        self, model: SqRBM, original: Float, states: Reference, groups: list[tuple[int, ...]]
    ) -> None:
        self.model, self.original, self.states, self.groups = model, original, states, groups
        self.cost = states.cost(original - log_weights(model, states.spins))
        self.fits: dict[Pair, Float] = {}

    def apply(self, pairs: list[tuple[int, int]]) -> None:
        """Merge these pairs of original units."""
        for j, k in pairs:
            places = [next(p for p, g in enumerate(self.groups) if one in g) for one in (j, k)]
            self._take(places[0], places[1], *self._merged(places[0], places[1], every=True))

    def search(self, tolerance: float) -> None:
        """Merge the cheapest pair while the divergence stays within the tolerance."""
        scores: dict[Pair, float] = {}
        while self.model.n_hidden > 1:
            units = gauge.unit_matrices(self.model)
            ranked = []
            for j, k in combinations(range(self.model.n_hidden), 2):
                key = (self.groups[j], self.groups[k])
                if key not in scores:
                    both = units[[j, k]]
                    scores[key] = min(self._missing(both, one) for one in _starts(*both))
                ranked.append((scores[key], j, k))
            tried = [
                (j, k, *self._merged(j, k, every=False)) for _, j, k in sorted(ranked)[:_FITTED]
            ]
            best = min(tried, key=lambda one: one[3].kl)
            if best[3].kl > tolerance:
                return
            self._take(*best)

    def _merged(self, j: int, k: int, *, every: bool) -> tuple[SqRBM, Cost]:
        """The model with one unit in the places of j and k, and its cost in all.

        ``every``: fitted from both starts, else from the better one.
        """
        model, key = self.model, (self.groups[j], self.groups[k])
        units = gauge.unit_matrices(model)
        if key not in self.fits:
            both = units[[j, k]]
            starts = _starts(*both)
            if not every:
                starts = [min(starts, key=lambda one: self._missing(both, one))]
            fits = [self._fitted(both, start) for start in starts]
            self.fits[key] = min(fits, key=lambda one: self._missing(both, one))
        units[j] = self.fits[key]
        mask = None
        if model.mask is not None:
            mask = model.mask.copy()
            mask[:, j] |= mask[:, k]
            mask = np.delete(mask, k, axis=1)
        new = gauge.with_unit_matrices(model, np.delete(units, k, axis=0), mask=mask)
        delta = self.original - log_weights(new, self.states.spins)
        d = self.states.project(delta)
        shifted = SqRBM(new.a - d, new.b, new.w, new.paulis, new.mask)
        return shifted, self.states.cost(delta - self.states.spins @ d)

    def _take(self, j: int, k: int, model: SqRBM, cost: Cost) -> None:
        self.model, self.cost = model, cost
        self.groups[j] = tuple(sorted((*self.groups[j], *self.groups[k])))
        del self.groups[k]

    def _missing(self, both: Float, unit: Float) -> float:
        """Half the variance under p of what a unit (n+1, P) misses of two (2, n+1, P)."""
        spins = self.states.spins
        rest = factors(both, spins).sum(axis=1) - factors(unit[None], spins)[:, 0]
        return 0.5 * float((self.states.without_linear(rest[:, None]) ** 2).sum())

    def _fitted(self, both: Float, start: Float) -> Float:
        """The unit (n+1, P) nearest to the sum of two, up to a linear function."""
        from scipy.optimize import least_squares

        spins, states, p = self.states.spins, self.states, start.shape[1]
        target = factors(both, spins).sum(axis=1)
        rows = np.flatnonzero(np.any(both != 0.0, axis=(0, 2)))
        inputs = np.column_stack([np.ones(spins.shape[0]), spins])[:, rows]

        def residual(theta: Float) -> Float:
            f = factors(_placed(theta), spins)
            return states.without_linear(f - target[:, None])[:, 0]

        def jacobian(theta: Float) -> Float:
            phi = inputs @ theta.reshape(-1, p)
            pull = -averages(phi, 1)
            return states.without_linear(
                (inputs[:, :, None] * pull[:, None, :]).reshape(spins.shape[0], -1)
            )

        def _placed(theta: Float) -> Float:
            unit = np.zeros((1, *start.shape))
            unit[0, rows] = theta.reshape(-1, p)
            return unit

        first = start[rows].ravel()
        if first.size == 0:
            return start
        # Turns of the axes leave the residual alone, which MINPACK's damping copes with.
        method = "lm" if spins.shape[0] >= first.size else "trf"
        found = least_squares(
            residual, first, jacobian, method=method, max_nfev=_EVALUATIONS, xtol=1e-10, ftol=1e-10
        )
        return np.asarray(_placed(found.x)[0])


def _starts(one: Float, two: Float) -> list[Float]:
    """Units (n+1, P) near to the sum of two for small fields, and for large ones."""
    scale = max(float(np.abs(one).max()), float(np.abs(two).max()), 1e-300)
    joined = np.concatenate([one, two], axis=1) / scale
    _, _, axes = np.linalg.svd(joined, full_matrices=False)
    p = one.shape[1]
    small = np.zeros_like(one)
    small[:, : min(p, axes.shape[0])] = scale * (joined @ axes[:p].T)
    return [small, one + gauge.aligned(two / scale, one / scale) * scale]


def _checked(pairs: Sequence[tuple[int, int]], m: int) -> list[tuple[int, int]]:
    found = [tuple(pair) for pair in pairs]
    for pair in found:
        if len(pair) != 2:
            raise ValueError(f"pairs must hold two hidden units each, got {pair!r}")
    gauge.checked_units([j for pair in found for j in pair], m)
    return [(int(j), int(k)) for j, k in found]
