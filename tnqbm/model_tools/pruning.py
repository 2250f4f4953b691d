"""Removing the hidden units that p(v) misses least.

Removing unit j takes its factor f_j(v) = log 2cosh||Phi_j(v)|| out of log p~. What of f_j is linear
in the spins can stay, as a shift of ``a``: under p, f_j ~ c_j + sum_i d_i s_i by least squares,
refined to the shift with the least KL(p || p'), which is where p' keeps the <s_i> of p. The cost of
what is then missing is exact where all 2^n states are listed, an importance sampling estimate from
samples of p beyond, and otherwise bounded by :func:`tnqbm.model_tools.simplify.removal_bounds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.limits import check_memory
from tnqbm.base.process import one_thread
from tnqbm.core.fields import length
from tnqbm.core.model import SqRBM
from tnqbm.model_tools import gauge
from tnqbm.model_tools.hidden_units import remove_hidden
from tnqbm.model_tools.reweighting import MAX_LISTED, Cost, Reference, reference
from tnqbm.model_tools.simplify import absorbed, factors, removal_bounds

__all__ = ["Pruned", "prune"]

Float = NDArray[np.float64]
Method = Literal["exact", "samples", "bound"]

METHODS = ("auto", "exact", "samples", "bound")

MAX_EXACT = 20
"""Most visible units for ``method="exact"``, which lists all states."""

_TRIED = 8
_ENTRIES = 2**22
# Candidates whose cost is computed in full: as many as this many exponentials allow, at least eight
# of those that look cheapest in second order.


@dataclass(frozen=True, eq=False)
class Pruned:
    """A model with fewer hidden units, made by :func:`prune`.

    ``removed`` (units of the original, in the order in which they went); ``divergence`` is
    KL(p || p') in nats of the pruned model p' from the original p, with its ``standard_error`` and
    the ``effective`` number of samples it rests on (0 and infinite if exact); ``costs`` holds the
    divergence after each removal. For ``method`` "bound" they are upper bounds, without errors
    (nan).
    ``log_partition_change`` = log Z' - log Z, None if only bounds are known.
    """

    model: SqRBM
    removed: tuple[int, ...]
    divergence: float
    standard_error: float
    effective: float
    costs: tuple[float, ...]
    log_partition_change: float | None
    method: Method

    def as_dict(self) -> dict[str, Any]:
        """All figures, without the model, in types that JSON knows."""
        return {
            "removed": list(self.removed),
            "divergence": self.divergence,
            "standard_error": self.standard_error,
            "effective": self.effective,
            "costs": list(self.costs),
            "log_partition_change": self.log_partition_change,
            "method": self.method,
        }


def prune(
    model: SqRBM,
    *,
    keep: int | None = None,
    tolerance: float | None = None,
    samples: ArrayLike | None = None,
    absorb: bool = True,
    method: str = "auto",
) -> Pruned:
    """Remove hidden units one by one, each time the one that changes p(v) least.

    Parameters
    ----------
    keep : stop at this many hidden units.
    tolerance : stop before KL(p || p') exceeds this many nats. At least one of the two is given;
        with both, whichever stops first.
    samples : visible states drawn from the model's p, (K, n) independent or (chains, K, n), where
        n is too large to list all states.
    absorb : shift ``a`` by what of the removed factors is linear in the spins; False only removes.
    method : "exact" (n <= 20), "samples", "bound" (rigorous for any n, and coarse), or "auto":
        exact up to n = 16, else samples if there are any, else bounds.

    Units coupled to at most one visible unit have no cost with ``absorb`` and go first, by exact
    rules. The order is greedy: the best set of k units may be another. Costs from samples are
    reliable while ``effective`` is a good part of their number; shifts are fitted to the same
    samples, so take many more of them than visible units. Raises ValueError or MemoryError on
    impossible arguments and models that are too large for the method.
    """
    _check(model, keep, tolerance)
    chosen = _method(model, samples, method)
    stop = 0 if keep is None else keep
    limit = np.inf if tolerance is None else tolerance
    if chosen == "bound":
        return _by_bounds(model, stop, limit, absorb)
    with one_thread():
        states = reference(
            model, None if chosen == "exact" else samples, limit=_limit(chosen, model.n_visible)
        )
        return _Pruning(model, states, absorb).run(stop, limit)


class _Pruning:
    """Greedy removal with costs over listed states."""

    def __init__(self, model: SqRBM, states: Reference, absorb: bool) -> None:
        size = states.weights.size * model.n_hidden
        check_memory(
            24 * size, f"factors of {model.n_hidden} units at all states", "give fewer samples"
        )
        self.model, self.states, self.absorb = model, states, absorb
        self.factors = factors(gauge.unit_matrices(model), states.spins)
        self.linear = np.zeros((model.n_visible, model.n_hidden))
        if absorb:
            self.linear = states.linear(self.factors)
        # Least squares is linear: what is missing of several units is the sum of what is of each.
        self.missing = self.factors - states.spins @ self.linear
        self.missing -= states.weights @ self.missing
        root = np.sqrt(states.weights)[:, None] * self.missing
        self.covariance = root.T @ root

    def run(self, stop: int, limit: float) -> Pruned:
        left, removed, costs = list(range(self.model.n_hidden)), [], list[float]()
        shift = np.zeros(self.model.n_visible)
        delta = np.zeros(self.states.weights.size)
        last = Cost(0.0, 0.0, float("inf"), 0.0)
        for j in self._free() if self.absorb else []:
            if len(left) <= stop:
                break
            field, change = absorb_one(self.model, j)
            # log p~ loses f_j and gains d s, d = a - a': a constant in all.
            delta = delta + self.factors[:, j] - self.states.spins @ field
            shift = shift + field
            last = Cost(last.kl, 0.0, last.effective, last.log_mean + change)
            left.remove(j)
            removed.append(j)
            costs.append(0.0)
        while len(left) > stop:
            j = self._cheapest(left, removed, delta)
            delta_new = delta + self.factors[:, j]
            shift_new = shift
            if self.absorb:
                d = self.states.project(delta_new)
                shift_new = shift + d
                delta_new = delta_new - self.states.spins @ d
            cost = self.states.cost(delta_new)
            if cost.kl > limit:
                break
            delta, shift, last = delta_new, shift_new, cost
            left.remove(j)
            removed.append(j)
            costs.append(cost.kl)
        smaller = remove_hidden(self.model, removed)
        return Pruned(
            SqRBM(self.model.a - shift, smaller.b, smaller.w, smaller.paulis, smaller.mask),
            tuple(removed),
            last.kl,
            last.standard_error,
            last.effective,
            tuple(costs),
            last.log_mean,
            "exact" if self.states.exact else "samples",
        )

    def _free(self) -> list[int]:
        """Units that the exact rules remove."""
        coupled = np.any(self.model.w != 0.0, axis=0).sum(axis=0)
        return [int(j) for j in np.flatnonzero(coupled <= 1)]

    def _cheapest(self, left: list[int], removed: list[int], delta: Float) -> int:
        """The unit whose removal costs least, by least squares; ties go to the first."""
        base = self.missing[:, removed].sum(axis=1) if self.absorb else delta
        var = np.diag(self.covariance)[left]
        second = 0.5 * (var + 2.0 * self.covariance[np.ix_(left, removed)].sum(axis=1))
        count = max(_TRIED, _ENTRIES // delta.size)
        tried = [left[k] for k in np.sort(np.argsort(second, kind="stable")[:count])]
        found = [self.states.cost(base + self.missing[:, j]).kl for j in tried]
        return int(tried[int(np.argmin(found))])


def absorb_one(model: SqRBM, j: int) -> tuple[Float, float]:
    """By how much ``a`` falls (n,), and log Z changes, when unit j is absorbed exactly."""
    a, change = absorbed(model, [j])
    return model.a - a, change


def _by_bounds(model: SqRBM, stop: int, limit: float, absorb: bool) -> Pruned:
    """Units in the order of the bounds on what they do; KL(p || p') <= (sum of bounds)^2 / 2."""
    if absorb:
        bounds, linear = removal_bounds(model)
    else:
        # f_j differs from its value without couplings by no more than they do together.
        bounds = length(model.w, 0).sum(axis=0)
        linear = np.zeros((model.n_visible, model.n_hidden))
    costs = 0.5 * np.cumsum(np.sort(bounds)) ** 2
    count = min(model.n_hidden - stop, int(np.count_nonzero(costs <= limit)))
    removed = np.argsort(bounds, kind="stable")[: max(count, 0)].tolist()
    smaller = remove_hidden(model, removed)
    a = model.a - linear[:, removed].sum(axis=1)
    return Pruned(
        SqRBM(a, smaller.b, smaller.w, smaller.paulis, smaller.mask),
        tuple(removed),
        float(costs[len(removed) - 1]) if removed else 0.0,
        float("nan"),
        float("nan"),
        tuple(float(c) for c in costs[: len(removed)]),
        None,
        "bound",
    )


def _check(model: SqRBM, keep: int | None, tolerance: float | None) -> None:
    if keep is None and tolerance is None:
        raise ValueError("say how far to prune: keep (hidden units) or tolerance (nats of KL)")
    if keep is not None and not 0 <= keep <= model.n_hidden:
        raise ValueError(
            f"keep must be between 0 and the model's {model.n_hidden} hidden units, got {keep}"
        )
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0 nats, got {tolerance!r}")


def _method(model: SqRBM, samples: ArrayLike | None, method: str) -> Method:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if method == "auto":
        if model.n_visible <= MAX_LISTED:
            return "exact"
        return "bound" if samples is None else "samples"
    if method == "exact":
        if model.n_visible > MAX_EXACT:
            raise ValueError(
                f'method="exact" lists all 2**n states, up to n = {MAX_EXACT}; the model has n = '
                f'{model.n_visible}: give samples (mc.sample), or method="bound"'
            )
        return "exact"
    if method == "samples":
        if samples is None:
            raise ValueError('method="samples" needs samples of the model, such as mc.sample\'s')
        return "samples"
    return "bound"


def _limit(method: str, n: int) -> int:
    """What :func:`tnqbm.model_tools.reweighting.reference` may list."""
    return n if method == "exact" else 0
