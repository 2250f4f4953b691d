"""What a change of a model costs: KL(p || p') from averages under p.

If log p~' = log p~ - delta + const, then p' = p exp(-delta) / <exp(-delta)>_p and

    KL(p || p') = <delta>_p + log <exp(-delta)>_p ,

where constants in delta drop out. The averages are over all visible states, weighted by p, or over
samples of p; then the divergence is an importance sampling estimate with a standard error.

Adding d_i s_i to log p~' (a shift of the field a by -d) is free, and KL is convex in d: its
minimum, where p' has the <s_i> of p (moment matching: p' is the projection of p onto the models
that differ in a alone), is found by Newton's method from the least-squares fit of delta under p.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.limits import MAX_DENSE, check_memory
from tnqbm.base.text import short_repr
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states, spins, states_of

__all__ = ["MAX_LISTED", "Cost", "Reference", "reference"]

Float = NDArray[np.float64]

MAX_LISTED = 16
"""Most visible units whose 2^n states are listed without being asked for."""

_STEPS = 60
_RANK = 1e-10


class Cost(NamedTuple):
    """KL(p || p') in nats, its standard error (0 if exact), and the effective number of states.

    The effective number (sum w)^2 / sum w^2 of the weights exp(-delta) (Kong, Liu & Wong 1994) is
    infinite if exact. ``log_mean`` is log <exp(-delta)>_p, which is log Z' - log Z
    for a delta with its constant.
    """

    kl: float
    standard_error: float
    effective: float
    log_mean: float


@short_repr
@dataclass(frozen=True, eq=False)
class Reference:
    """Visible states that stand for p: ``spins`` (N, n), and ``log_weights`` (N,).

    ``exact``: all 2^n states. Otherwise samples, in ``chains`` equal groups that are independent of
    each other (each sample its own group if they are N).
    """

    spins: Float
    log_weights: Float
    exact: bool
    chains: int

    @cached_property
    def weights(self) -> Float:
        """The weights (N,), which sum to 1."""
        return _normalised(self.log_weights)

    def cost(self, delta: Float) -> Cost:
        """KL(p || p') of a change delta (N,) of log p~."""
        mean = float(self.weights @ delta)
        centred = delta - mean
        log_mean = self._log_mean(centred)
        kl = max(0.0, log_mean)
        if self.exact:
            return Cost(kl, 0.0, float("inf"), log_mean - mean)
        ratio = np.exp(centred.min() - centred)
        ratio /= self.weights @ ratio
        # Influence of every state on the two averages, in first order.
        influence = (centred + ratio - 1.0).reshape(self.chains, -1).mean(axis=1)
        error = float(influence.std(ddof=1) / np.sqrt(self.chains)) if self.chains > 1 else np.nan
        effective = float(1.0 / (self.weights @ ratio**2) * self.weights.size)
        return Cost(kl, error, effective, log_mean - mean)

    def linear(self, values: Float) -> Float:
        """Coefficients d (n, ...) of the least-squares fit c + sum_i d_i s_i to values (N, ...)."""
        basis, back = self._fit
        centred = values - self.weights @ values
        root = np.sqrt(self.weights).reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(back @ (basis.T @ (root * centred)))

    def without_linear(self, values: Float) -> Float:
        """Values (N, k) less their linear fits, times the roots of the weights: least squares."""
        basis, _ = self._fit
        rest = np.sqrt(self.weights)[:, None] * (values - self.weights @ values)
        return np.asarray(rest - basis @ (basis.T @ rest))

    def project(self, delta: Float) -> Float:
        """The d (n,) that minimises the cost of delta - sum_i d_i s_i."""
        start = self.linear(delta)
        zero = np.zeros_like(start)
        d = min((zero, start), key=lambda one: self._objective(delta - self.spins @ one))
        value = self._objective(delta - self.spins @ d)
        for _ in range(_STEPS):
            rest = delta - self.spins @ d
            tilted = _normalised(self.log_weights - rest)
            mean = tilted @ self.spins
            slope = mean - self.weights @ self.spins
            centred = self.spins - mean
            curvature = (centred * tilted[:, None]).T @ centred
            values, axes = np.linalg.eigh(curvature)
            inverse = np.zeros_like(values)
            seen = values > _RANK * max(float(values[-1]), 1e-300)
            inverse[seen] = 1.0 / values[seen]
            step = -axes @ (inverse * (axes.T @ slope))
            gain = float(-slope @ step)
            if gain <= 1e-16 * max(1.0, value):
                break
            for halving in range(40):
                tried = d + step * 0.5**halving
                new = self._objective(delta - self.spins @ tried)
                if new <= value - 1e-4 * gain * 0.5**halving:
                    break
            else:
                break  # as low as rounding lets it get
            d, value = tried, new
        return d

    def _objective(self, delta: Float) -> float:
        return self._log_mean(delta - self.weights @ delta)

    def _log_mean(self, centred: Float) -> float:
        """log <exp(-delta)> of a delta whose average is 0."""
        if float(np.abs(centred).max()) < 0.5:
            # Small divergences without cancellation: every term is >= 0.
            return float(np.log1p(self.weights @ (np.expm1(-centred) + centred)))
        # From log p: where p itself is zero in floating point, exp(-delta) may make up for it.
        tilted = self.log_weights - centred
        highest = float(tilted.max())
        return highest + float(np.log(np.exp(tilted - highest).sum()))

    @cached_property
    def _fit(self) -> tuple[Float, Float]:
        """Orthonormal basis (N, r) of the weighted, centred spins, and what leads back to them."""
        centred = np.sqrt(self.weights)[:, None] * (self.spins - self.weights @ self.spins)
        basis, values, axes = np.linalg.svd(centred, full_matrices=False)
        seen = values > _RANK * max(float(values.max(initial=0.0)), 1e-300)
        return basis[:, seen], (axes[seen] / values[seen, None]).T


def reference(
    model: SqRBM, samples: ArrayLike | None = None, *, limit: int = MAX_LISTED
) -> Reference:
    """All states of a model with their probabilities, or samples of it.

    All 2^n states are taken if there are no samples, or n <= ``limit``. ``samples`` are visible
    states drawn from the model's p, (K, n) independent ones or (chains, K, n), of which only chains
    are taken for independent (one chain has no standard error: nan). Raises ValueError if there are
    neither samples nor n <= ``limit``, MemoryError if the list does not fit.
    """
    n = model.n_visible
    if n <= min(limit, MAX_DENSE):
        check_memory(2**n * (n + 4) * 8, f"a list of all 2**{n} states", "give samples instead")
        listed = states_of(np.arange(2**n), n)
        log_weight = _log_weights(model, listed)
        log_weight -= log_weight.max()
        return Reference(spins(listed), log_weight - np.log(np.exp(log_weight).sum()), True, 1)
    if samples is None:
        raise ValueError(
            f"2**{n} visible states are not listed (the limit is n = {limit}); give samples drawn "
            "from the model, for example those of mc.sample"
        )
    drawn = as_states(samples, n)
    if drawn.ndim not in (2, 3):
        raise ValueError(f"samples must have shape (K, n) or (chains, K, n), got {drawn.shape}")
    count = drawn.size // n
    if count < 2:
        raise ValueError(f"need at least two samples, got {count}")
    chains = count if drawn.ndim == 2 else drawn.shape[0]
    check_memory(count * (n + 4) * 8, f"{count} samples as spins", "give fewer samples")
    return Reference(spins(drawn.reshape(count, n)), np.full(count, -np.log(count)), False, chains)


def log_weights(model: SqRBM, listed: Float) -> Float:
    """log p~ of states given as spins (N, n), (N,)."""
    return _log_weights(model, ((1.0 - listed) / 2).astype(np.uint8))


def _normalised(log_values: Float) -> Float:
    values = np.exp(log_values - log_values.max())
    return np.asarray(values / values.sum())


def _log_weights(model: SqRBM, states: NDArray[np.uint8]) -> Float:
    """log p~ in pieces, so that fields of all units at all states are never held at once."""
    rows = max(1, 2**22 // max(1, model.n_hidden * len(model.paulis)))
    parts = [model.log_weight(states[k : k + rows]) for k in range(0, states.shape[0], rows)]
    return np.concatenate(parts)
