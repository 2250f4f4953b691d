"""The modes of a model by mean-field theory: where probability may be that no chain has seen.

log p~(v) = -a.s + sum_j log 2cosh |Phi_j(s)| is a convex function f of the spins. A product of
independent bits with means x therefore bounds log Z from below, f(x) + entropy(x) <= log Z, by
Jensen's inequality, and the iteration x <- tanh(grad f(x)) never lowers the bound. For an sqBM f
has log Tr exp(-H_g(s)) of its hidden groups, which is convex, too, and the couplings of visible
units, which are not: the bound holds, and climbs may fail to settle. Fixed points are the modes:
one for a model whose units hardly feel each other, many for a model that remembers patterns. Climbs
start where a mode is likely: from given states and their opposites, both ends of every hidden unit,
no preference at all, random states, and the modes found with one hidden unit turned around.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from tnqbm.base.process import one_thread
from tnqbm.core import streams
from tnqbm.core.fields import averages, log_2cosh, log_factor
from tnqbm.core.model import SqRBM
from tnqbm.core.states import spins
from tnqbm.hamiltonian.group_matrices import mean_field, visible_couplings
from tnqbm.hamiltonian.grouped import SqBM

Float = NDArray[np.float64]
States = NDArray[np.uint8]

MOST = 16
"""Modes that are kept."""
ROUNDS = 100
"""Steps of a climb at most."""
WORK = 1.5e8
"""Limit of climbs x units x hidden units x Paulis."""
EIGEN = 5.0
"""Such products that the Gibbs state of a group takes, divided by 8^k."""
MOST_STARTS, LEAST_STARTS = 512, 32
RANDOM_STARTS = 64

_ROWS = 32
"""Climbs at a time: their hidden fields take no more memory than a few models."""
_SETTLED = 1e-4
_SAME = 0.02
"""Modes whose means differ by less than this, mean square, are one."""
_NEGLIGIBLE = 15.0
"""Modes so far (nats) below the best one are left out."""


class Modes(NamedTuple):
    """Fixed points of mean-field theory, the best first.

    ``means`` (M, n) of the spins; ``bounds`` (M,) lower bounds of log Z, each by its mode alone;
    ``fields`` (M, n + P m) that visible and hidden units feel there, with the signs of a and b.
    """

    means: Float
    bounds: Float
    fields: Float

    @property
    def states(self) -> States:
        """The most probable state of every mode, (M, n)."""
        return (self.means < 0).astype(np.uint8)

    def nearest(self, states: States) -> NDArray[np.intp]:
        """The mode (K,) to which each of ``states`` (K, n) belongs: the nearest one."""
        distance = (self.means**2).sum(axis=1) - 2.0 * spins(states) @ self.means.T
        return np.asarray(distance.argmin(axis=1))


def find_modes(model: SqRBM | SqBM, states: States, *, seed: int, most: int = MOST) -> Modes:
    """Up to ``most`` modes of a model; climbs start from ``states`` (K, n), K >= 0, among others.

    The same arguments give the same modes. A mode may be missed; what is found is one. Costs
    some seconds for the largest models, milliseconds for those that can be enumerated.
    """
    n, size = model.n_visible, max(1, model.n_visible * model.n_hidden * len(model.paulis))
    if isinstance(model, SqBM):
        size += int(EIGEN * sum(8 ** len(group) for group in model.groups if len(group) > 1))
    limit = int(np.clip(WORK / size, LEAST_STARTS, MOST_STARTS))
    rng = streams.generator(seed)
    given = spins(states[np.linspace(0, len(states) - 1, min(len(states), limit // 4)).astype(int)])
    ends = _ends(model)
    ends = ends[np.linspace(0, len(ends) - 1, min(len(ends), limit // 4)).astype(int)]
    chance = rng.choice([-1.0, 1.0], (min(RANDOM_STARTS, limit // 8), n))
    start = np.concatenate([np.zeros((1, n)), given, -given, ends, -ends, chance, 0.1 * chance])
    with one_thread():
        found = _distinct(model, _climb(model, start), most)
        turned = _turned(model, found)
        turned = turned[np.linspace(0, len(turned) - 1, min(len(turned), limit // 2)).astype(int)]
        more = np.concatenate([found, _climb(model, np.concatenate([-found, turned]))])
        found = _distinct(model, more, most)
        bounds, fields = _judge(model, found)
    keep = bounds > bounds.max() - _NEGLIGIBLE
    return Modes(found[keep], bounds[keep], fields[keep])


def _ends(model: SqRBM | SqBM) -> Float:
    """Spins (K, n) along every hidden unit's couplings, strongest first, one row per direction.

    Directions are the Pauli axes and the axis that most of the unit's couplings share.
    """
    rows = [model.w]
    if len(model.paulis) > 1 and model.n_hidden:
        left, _, _ = np.linalg.svd(np.moveaxis(model.w, 2, 0), full_matrices=False)
        rows.append(np.einsum("jp,pij->ij", left[:, :, 0], model.w)[None])
    along = np.concatenate(rows[::-1]).transpose(0, 2, 1).reshape(-1, model.n_visible)
    order = np.argsort(-np.abs(along).sum(axis=1), kind="stable")
    return np.where(along[order] < 0, -1.0, 1.0)


def _felt(model: SqRBM | SqBM, x: Float) -> tuple[Float, Float, Float, Float]:
    """Gradient of f (M, n), hidden fields and averages (M, P, m) and f (M,) at means x (M, n)."""
    if isinstance(model, SqBM):
        sigma, phi, value = mean_field(model, x)
        pull = sum(sigma[:, p] @ w.T for p, w in enumerate(model.w))
        return -model.a - x @ visible_couplings(model) - pull, phi, sigma, value
    phi = np.stack([b + x @ w for b, w in zip(model.b, model.w, strict=True)], axis=1)
    sigma = averages(phi, 1)
    gradient = -model.a - sum(sigma[:, p] @ w.T for p, w in enumerate(model.w))
    return gradient, phi, sigma, -x @ model.a + log_factor(phi, 1).sum(axis=1)


def _climb(model: SqRBM | SqBM, start: Float) -> Float:
    """Fixed points (K, n) of x <- tanh(grad f(x)), or where climbs ended for want of time."""
    found = start.copy()
    for first in range(0, len(start), _ROWS):
        active = np.arange(first, min(first + _ROWS, len(start)))
        for _ in range(ROUNDS):
            x = np.tanh(_felt(model, found[active])[0])
            moved = np.abs(x - found[active]).max(axis=1) > _SETTLED
            found[active] = x
            active = active[moved]
            if not active.size:
                break
    return found


def _judge(model: SqRBM | SqBM, x: Float) -> tuple[Float, Float]:
    """Lower bounds of log Z (M,) and fields (M, n + P m) of means x (M, n).

    The tangent of f at x is below f, and the sum of its exponential over all states is known. Where
    visible units are coupled f is not convex, and f(x) plus the entropy takes its place.
    """
    count = model.n_visible + len(model.paulis) * model.n_hidden
    bounds, fields = np.empty(len(x)), np.empty((len(x), count))
    convex = not isinstance(model, SqBM) or not len(model.layout.visible_edges)
    for k in range(0, len(x), _ROWS):
        rows = slice(k, k + _ROWS)
        gradient, phi, _, value = _felt(model, x[rows])
        if convex:
            bounds[rows] = value + (log_2cosh(np.abs(gradient)) - gradient * x[rows]).sum(axis=1)
        else:
            bounds[rows] = value + (entr(0.5 + 0.5 * x[rows]) + entr(0.5 - 0.5 * x[rows])).sum(1)
        fields[rows] = np.hstack([-gradient, phi.reshape(len(phi), -1)])
    return bounds, fields


def _distinct(model: SqRBM | SqBM, x: Float, most: int) -> Float:
    """The best ``most`` of means x (K, n), no two of them close to each other."""
    order = np.argsort(-_judge(model, x)[0], kind="stable")
    kept: list[Float] = []
    for row in x[order]:
        if all(((row - other) ** 2).mean() > _SAME for other in kept):
            kept.append(row)
            if len(kept) == most:
                break
    return np.array(kept)


def _turned(model: SqRBM | SqBM, x: Float) -> Float:
    """Means (M m, n) of the units in the fields at x (M, n), one hidden unit turned around."""
    rows = []
    for one in x:
        gradient, _, sigma, _ = _felt(model, one[None])
        rows.append(np.tanh(gradient + 2.0 * np.einsum("pij,pj->ji", model.w, sigma[0])))
    return np.concatenate(rows)
