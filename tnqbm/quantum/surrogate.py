"""Ising models that stand in for -log p~(v) of an sqRBM, for circuits over the visible units only.

-log p~ has interactions of every order. A proposal of a Markov chain may follow any model, since
the acceptance step puts it right; the closer the model, the more proposals are accepted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.text import short_repr
from tnqbm.core.fields import log_2cosh, tanh_ratio, tanh_ratio_slope
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states, spins

Float = NDArray[np.float64]


@short_repr
@dataclass(frozen=True)
class IsingSurrogate:
    """E(s) = constant + sum_i fields[i] s_i + sum_{i<k} couplings[i, k] s_i s_k.

    ``fields`` (n,), ``couplings`` (n, n) symmetric with zero diagonal, energies in units of the
    temperature. Raises ValueError on arrays that do not fit.
    """

    fields: Float
    couplings: Float
    constant: float = 0.0

    def __post_init__(self) -> None:
        n = len(np.atleast_1d(self.fields))
        if n < 1 or np.shape(self.fields) != (n,) or np.shape(self.couplings) != (n, n):
            raise ValueError(
                f"fields must be (n,) and couplings (n, n), got {np.shape(self.fields)} and "
                f"{np.shape(self.couplings)}"
            )
        if not (np.isfinite(self.fields).all() and np.isfinite(self.couplings).all()):
            raise ValueError("fields and couplings must be finite")
        if not np.array_equal(self.couplings, np.transpose(self.couplings)):
            raise ValueError("couplings must be symmetric")
        if np.diagonal(self.couplings).any():
            raise ValueError("the diagonal of couplings must be 0")

    @property
    def n_visible(self) -> int:
        return len(self.fields)

    def energy(self, v: ArrayLike) -> Float:
        """E of visible states, (..., n) -> (...)."""
        s = spins(as_states(v, self.n_visible))
        pairs = 0.5 * np.einsum("...i,ik,...k->...", s, self.couplings, s)
        return np.asarray(self.constant + s @ self.fields + pairs)

    def norm(self) -> float:
        """sqrt(sum_i fields[i]^2 + sum_{i<k} couplings[i, k]^2), without the constant."""
        return float(np.sqrt(np.sum(self.fields**2) + 0.5 * np.sum(self.couplings**2)))


def expand_surrogate(model: SqRBM) -> IsingSurrogate:
    """The expansion of -log p~ to second order in the couplings, around the average field.

    r_j^2 is quadratic in the spins with the average x_j = |b_j|^2 + sum_i |w_ij|^2 over all states,
    and log 2cosh sqrt(x) is expanded there: its slope is t_j / 2, t_j = tanh(sqrt x_j) / sqrt x_j,
    its curvature c_j / 4, c_j = (sech^2(sqrt x_j) - t_j) / x_j, of which the part that is of second
    order in w is kept. So the fields are a_i - sum_j t_j b_j . w_ij and the couplings
    -sum_j [t_j w_ij . w_kj + c_j (b_j . w_ij) (b_j . w_kj)]. The error is of third order in w, for
    hidden qubits without field of fourth.
    """
    squares = np.sum(model.b**2, axis=0) + np.sum(model.w**2, axis=(0, 1))
    lengths = np.sqrt(squares)
    slope = tanh_ratio(lengths)
    bend = tanh_ratio_slope(lengths)
    along = np.einsum("pj,pij->ij", model.b, model.w)
    fields = model.a - along @ slope
    couplings = -np.einsum("j,pij,pkj->ik", slope, model.w, model.w)
    couplings -= np.einsum("j,ij,kj->ik", bend, along, along)
    couplings = 0.5 * (couplings + couplings.T)
    np.fill_diagonal(couplings, 0.0)
    constant = -log_2cosh(lengths).sum() - 0.5 * np.sum(bend * along**2)
    return IsingSurrogate(fields, couplings, float(constant))


def fit_surrogate(
    model: SqRBM, states: ArrayLike, *, weights: ArrayLike | None = None, ridge: float = 1e-6
) -> IsingSurrogate:
    """The Ising model closest to -log p~ on some visible states, by least squares.

    Parameters
    ----------
    states : (K, n), for example samples of the model, where it matters most, or uniform ones.
    weights : (K,) non-negative weights of the squared differences; all alike by default.
    ridge : weight of the squared parameters, which picks the smallest ones where the states leave
        some undetermined; relative to the total weight.

    Raises ValueError on states, weights or a ridge that do not fit.
    """
    v = as_states(states, model.n_visible)
    if v.ndim != 2 or len(v) == 0:
        raise ValueError(f"states must have shape (K, {model.n_visible}) with K >= 1: {v.shape}")
    share = np.ones(len(v)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (len(v),) or not (share >= 0).all() or not 0 < share.sum() < np.inf:
        raise ValueError(f"weights must be {len(v)} finite numbers >= 0, not all 0")
    if not ridge >= 0:
        raise ValueError(f"ridge must be >= 0, got {ridge!r}")
    share = share / share.sum()
    s = spins(v)
    n = model.n_visible
    rows, columns = np.triu_indices(n, k=1)
    features = np.concatenate([s, s[:, rows] * s[:, columns]], axis=1)
    target = -model.log_weight(v)
    centre, mean = share @ features, float(share @ target)
    root = np.sqrt(share)[:, None]
    design = np.concatenate([root * (features - centre), np.sqrt(ridge) * np.eye(len(centre))])
    right = np.concatenate([root[:, 0] * (target - mean), np.zeros(len(centre))])
    solution = np.linalg.lstsq(design, right, rcond=None)[0]
    couplings = np.zeros((n, n))
    couplings[rows, columns] = solution[n:]
    return IsingSurrogate(solution[:n], couplings + couplings.T, mean - float(centre @ solution))
