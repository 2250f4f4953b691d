"""Hidden units that p(v) does not need, for any number of visible units: exact rules and bounds.

The factor of hidden unit j in log p~(v) is f_j(v) = log 2cosh||Phi_j(v)||. As a function of the
spins it is exactly

- a constant, where the unit is coupled to nothing: it changes log Z alone;
- c + d s_i, where it is coupled to one visible unit i: it shifts a_i by -d;
- c + d s_i + e s_k + J s_i s_k, where it is coupled to two. Any number of such units on one pair
  make one J, and one classical unit log 2cosh(x (s_i +- s_k)), cosh 2x = exp(2|J|), makes any J.

:func:`simplify` applies these rules. They are all the exact ones that hold for any parameters.
Beyond them f_j is only near to a linear function; :func:`removal_bounds` says how near at worst.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.fields import length, log_factor
from tnqbm.core.model import SqRBM
from tnqbm.model_tools import gauge
from tnqbm.model_tools.hidden_units import remove_hidden

__all__ = ["Simplified", "absorbed", "factors", "removal_bounds", "simplify"]

Float = NDArray[np.float64]

_NOTHING = 4 * np.finfo(np.float64).eps
# A coupling J of two visible units below this part of the factors it comes from is rounding.


@dataclass(frozen=True, eq=False)
class Simplified:
    """A model with fewer hidden units and the same p(v), made by :func:`simplify`.

    ``groups`` holds, for every hidden unit of ``model``, the units of the original that it stands
    for; ``removed`` the units of the original that left nothing but shifts of ``a``;
    ``log_partition_change`` = log Z of ``model`` - log Z of the original.
    """

    model: SqRBM
    groups: tuple[tuple[int, ...], ...]
    removed: tuple[int, ...]
    log_partition_change: float


def simplify(model: SqRBM, *, pairs: str = "merge") -> Simplified:
    """Remove hidden units without effect of their own, and merge those on one pair of units.

    p(v) stays as it is to rounding. Units coupled to no or one visible unit go into ``a``. Of units
    coupled to exactly two, those on one pair become one classical unit in the first row (Pauli) of
    the model; ``pairs="all"`` gives single ones this form too, which makes equal ones look equal,
    and ``pairs="keep"`` leaves them all. Units that are coupled to more are not touched.
    """
    if pairs not in ("merge", "all", "keep"):
        raise ValueError(f'pairs must be "merge", "all" or "keep", got {pairs!r}')
    coupled = np.any(model.w != 0.0, axis=0)
    degree = coupled.sum(axis=0)
    lone = np.flatnonzero(degree <= 1)
    a, change = absorbed(model, lone.tolist())
    together: dict[tuple[int, ...], list[int]] = {}
    if pairs != "keep":
        for j in np.flatnonzero(degree == 2).tolist():
            together.setdefault(tuple(np.flatnonzero(coupled[:, j]).tolist()), []).append(j)
    b, w = model.b.copy(), model.w.copy()
    mask = None if model.mask is None else model.mask.copy()
    gone: set[int] = set(lone.tolist())
    groups: dict[int, tuple[int, ...]] = {j: (j,) for j in range(model.n_hidden)}
    for (i, k), units in together.items():
        if len(units) == 1 and pairs == "merge":
            continue
        first = units[0]
        constant, d, e, x, y = _pair(model, i, k, units)
        a[i] -= d
        a[k] -= e
        b[:, first], w[:, :, first] = 0.0, 0.0
        w[0, i, first], w[0, k, first] = x, y
        change -= constant
        gone |= set(units[1:]) if x else set(units)
        groups[first] = tuple(units)
        if mask is not None:
            mask[:, first] = mask[:, units].any(axis=1)
    whole = SqRBM(a, b, w, model.paulis, mask)
    kept = [j for j in range(model.n_hidden) if j not in gone]
    inside = {j for kept_unit in kept for j in groups[kept_unit]}
    return Simplified(
        remove_hidden(whole, sorted(gone)),
        tuple(groups[j] for j in kept),
        tuple(j for j in range(model.n_hidden) if j not in inside),
        change,
    )


def absorbed(model: SqRBM, units: list[int]) -> tuple[Float, float]:
    """The field ``a`` (n,) without units coupled to at most one visible unit, and their constant.

    The constant is the change of log Z when they go.
    """
    a, change = model.a.copy(), 0.0
    for j in units:
        coupled = np.flatnonzero(np.any(model.w[:, :, j] != 0.0, axis=0))
        if coupled.size > 1:
            raise ValueError(
                f"hidden unit {j} is coupled to {coupled.size} visible units; only units coupled "
                "to one or none can be absorbed exactly"
            )
        i = int(coupled[0]) if coupled.size else 0
        up, down = log_factor(model.b[:, j] + np.outer([1.0, -1.0], model.w[:, i, j]), -1)
        a[i] -= 0.5 * (up - down)
        change -= 0.5 * (up + down)
    return a, float(change)


def factors(units: Float, spins: Float) -> Float:
    """f_j(v) = log 2cosh||Phi_j(v)|| of units (k, n+1, P) at spins (N, n), (N, k)."""
    found = np.empty((spins.shape[0], units.shape[0]))
    for j, unit in enumerate(units):
        found[:, j] = log_factor(unit[0] + spins @ unit[1:], -1)
    return found


def removal_bounds(model: SqRBM) -> tuple[Float, Float]:
    """How much at most removing each unit changes log p~, after the best known linear part went.

    Returns D (m,) and the linear parts d (n, m): |f_j(v) - c_j - sum_i d_ij s_i| <= D_j for all v,
    with some c_j. So removing unit j and adding -d_j to ``a`` costs KL(p || p') <= D_j^2 / 2, by
    Hoeffding's lemma for a range of 2 D_j; several units' D add up. The least of

    - 0, for units coupled to one visible unit or none;
    - sum of ||w_ij|| over all but the longest, with that one's exact linear part; f_j changes by
      no more than Phi_j does;
    - exp(-2 r)/2 with r = |b_j| - sum_i |w_ij| > 0 for units of rank 1, whose field then never
      changes sign, so that f_j = |Phi_j| + log(1 + exp(-2|Phi_j|)) is linear but for the second
      term.
    """
    n, m = model.n_visible, model.n_hidden
    bounds, linear = np.zeros(m), np.zeros((n, m))
    if m == 0:
        return bounds, linear
    lengths = length(model.w, 0)
    longest = np.argmax(lengths, axis=0)
    each = np.arange(m)
    bounds = lengths.sum(axis=0) - lengths[longest, each]
    bounds[np.count_nonzero(lengths, axis=0) <= 1] = 0.0
    step = model.w[:, longest, each]
    linear[longest, each] = 0.5 * (log_factor(model.b + step, 0) - log_factor(model.b - step, 0))
    turned = gauge.unit_matrices(gauge.canonical(model, order=False))
    # Rank 1 to rounding; what the second and third axes hold is added to the bound.
    aside = np.abs(turned[:, :, 1:]).sum(axis=(1, 2))
    b, w = turned[:, 0, 0], turned[:, 1:, 0]
    margin = np.abs(b) - np.abs(w).sum(axis=1)
    better = np.where(margin > 0, 0.5 * np.exp(-2.0 * np.maximum(margin, 0.0)) + aside, np.inf)
    use = better < bounds
    bounds[use] = better[use]
    linear[:, use] = (np.sign(b)[:, None] * w).T[:, use]
    return bounds, linear


def _pair(
    model: SqRBM, i: int, k: int, units: list[int]
) -> tuple[float, float, float, float, float]:
    """Constant, shifts d and e, and the couplings x, y of the one unit that stands for ``units``.

    The constant is what log p~ loses when the new unit and shifts replace them.
    """
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=np.float64)
    total, size = np.zeros(4), 0.0
    for j in units:
        f = log_factor(model.b[:, j] + signs @ model.w[:, [i, k], j].T, -1)
        total += f
        size += float(np.abs(f).max())
    c, d = total.mean(), (signs[:, 0] @ total) / 4
    e, coupling = (signs[:, 1] @ total) / 4, (signs[:, 0] * signs[:, 1]) @ total / 4
    strength = abs(float(coupling))
    if strength <= _NOTHING * size:
        return float(c), float(d), float(e), 0.0, 0.0
    # arccosh(exp(y)) = y + log(1 + sqrt(1 - exp(-2y))), y = 2|J|, without overflow.
    x = 0.5 * (2 * strength + float(np.log1p(np.sqrt(-np.expm1(-4 * strength)))))
    y = x if coupling > 0 else -x
    return float(c) - strength - float(np.log(2.0)), float(d), float(e), x, y
