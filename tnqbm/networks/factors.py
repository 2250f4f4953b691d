"""The tensors of an sqRBM's factor graph.

    p~(v) = prod_i exp(-a_i s_i) prod_j 2 cosh|Phi_j(v)|,      Phi_j = b_j + sum_i s_i w_ij

is a product of one vector per visible unit and one tensor per hidden qubit j over the k visible
units that it touches. A tensor is kept *dense*, with 2^k entries, or *split*:

- One Pauli: 2 cosh Phi = sum_h exp(-h Phi) over h = +1, -1, so one vector and k matrices that share
  the index h. Exact, and all entries positive.
- Two or three Paulis: quadrature over the sphere (:mod:`tnqbm.kernels.sphere`), whose nodes d
  are the values of a shared index. For each node exp(d.Phi) factorises, and 1 + d.Phi is carried
  along a chain of bond dimension 2 as a dual number: unit i has exp(x) [[1, x], [0, 1]],
  x = s_i d.w_ij. Entries are signed, but |terms| of the sum over nodes is at most (1 + r) exp(r),
  so that the result is accurate relative to every single 2 cosh r. The degree must suit the
  largest field.

All numbers are kept as logarithms of magnitudes and signs, so that any finite weights are fine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import fields
from tnqbm.core.model import SqRBM
from tnqbm.core.moments import Moments
from tnqbm.kernels.sphere import least_degree, nodes

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Mask = NDArray[np.bool_]
Signs = NDArray[np.int8]
Scope = tuple[int, ...]

TOLERANCE = 1e-13
"""Relative accuracy asked of the quadrature of a split hidden unit."""

LARGEST_FIELD = 200.0
"""Largest |Phi| for which a hidden unit of several Paulis is split by quadrature."""

SPINS = np.array([1.0, -1.0])


def neighbours(mask: Mask) -> list[Int]:
    """For each hidden unit the visible units that it touches, ascending."""
    return [np.flatnonzero(mask[:, j]) for j in range(mask.shape[1])]


@lru_cache(maxsize=64)
def quadrature_degree(max_field: float) -> int:
    """Degree for which the quadrature of cosh r is accurate to TOLERANCE for r <= max_field."""
    return max(3, least_degree(max_field, TOLERANCE))


@dataclass(frozen=True)
class Member:
    """One tensor: its axes (variables), and where its entries stand among those of all."""

    tag: str
    scope: tuple[int, ...]
    offset: int
    signed: bool = False


class FactorGraph(Protocol):
    """Tensors over variables 0, 1, ... of dimensions ``dims``, the first ``n`` the visible units.

    ``members`` are the tensors, ``size`` counts their entries, and ``m`` and ``n_paulis`` are those
    of the models. ``largest`` counts the numbers that are worked on at once when entries are made.
    """

    n: int
    m: int
    n_paulis: int
    dims: list[int]
    members: list[Member]
    size: int

    @property
    def largest(self) -> int:
        """Numbers of an entry's kind held while entries are made."""


@dataclass(frozen=True)
class _Group:
    """Dense hidden units with the same number of neighbours."""

    units: Int  # (g,)
    neighbours: Int  # (g, k)
    offset: int

    @property
    def width(self) -> int:
        return int(self.neighbours.shape[1])

    @property
    def entries(self) -> slice:
        return slice(self.offset, self.offset + self.units.size * 2**self.width)


@dataclass(frozen=True)
class _Chain:
    """A split hidden unit of several Paulis."""

    unit: int
    neighbours: Int
    offsets: list[int]  # of the first tensor (field b), then of one tensor per neighbour


@dataclass
class Factors:
    """The tensors of every model with the same couplings.

    Variables are numbered: 0..n-1 are the visible units, then come the shared indices and bonds of
    split hidden units; ``dims`` holds their dimensions. ``members`` are the tensors.

    Parameters
    ----------
    mask : (n, m) bool
    n_paulis : P
    split : the hidden units that are split
    max_field : largest |Phi| of a split unit that the quadrature is made for (P > 1)
    output : visible units that get a tensor of ones together, whose shares of Z are their joint
        distribution
    """

    mask: Mask
    n_paulis: int
    split: frozenset[int] = frozenset()
    max_field: float = 1.0
    output: Scope = ()
    dims: list[int] = field(init=False)
    members: list[Member] = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        n, m = self.mask.shape
        self.n, self.m = n, m
        self.dims = [2] * n
        self.members = [Member(f"v{i}", (i,), 2 * i) for i in range(n)]
        self.size = 2 * n
        touched = neighbours(self.mask)
        widths = np.array([units.size for units in touched], dtype=np.int64)
        dense = np.array([j not in self.split for j in range(m)], dtype=bool)
        self.free = np.flatnonzero(widths == 0)
        self.output_offset = self._add("output", self.output) if self.output else self.size
        self.groups: list[_Group] = []
        for k in sorted(set(widths[dense].tolist()) - {0}):
            units = np.flatnonzero(dense & (widths == k))
            scopes = np.stack([touched[j] for j in units])
            self.groups.append(_Group(units, scopes, self.size))
            for j, scope in zip(units.tolist(), scopes.tolist(), strict=True):
                self._add(f"h{j}", tuple(scope))
        self.stars: list[_Chain] = []
        self.chains: list[_Chain] = []
        for j in sorted(self.split):
            if widths[j] == 0:
                continue
            if self.n_paulis == 1:
                self._add_star(j, touched[j])
            else:
                self._add_chain(j, touched[j])

    def _add(self, tag: str, scope: tuple[int, ...], signed: bool = False) -> int:
        offset = self.size
        self.members.append(Member(tag, scope, offset, signed))
        self.size += math.prod(self.dims[v] for v in scope)
        return offset

    def _new(self, dim: int) -> int:
        self.dims.append(dim)
        return len(self.dims) - 1

    def _add_star(self, j: int, units: Int) -> None:
        h = self._new(2)
        offsets = [self._add(f"h{j}", (h,))]
        offsets += [self._add(f"h{j}", (h, i)) for i in units.tolist()]
        self.stars.append(_Chain(j, units, offsets))

    def _add_chain(self, j: int, units: Int) -> None:
        h = self._new(self.directions[1].size)
        bonds = [self._new(2) for _ in units]
        offsets = [self._add(f"h{j}", (h, bonds[0]), True)]
        for i, left, right in zip(units.tolist(), bonds, [*bonds[1:], None], strict=True):
            scope = (h, left, i) if right is None else (h, left, right, i)
            offsets.append(self._add(f"h{j}", scope, True))
        self.chains.append(_Chain(j, units, offsets))

    @property
    def signed(self) -> bool:
        return bool(self.chains)

    @property
    def largest(self) -> int:
        """As :attr:`FactorGraph.largest`."""
        return max((g.units.size * 2**g.width for g in self.groups), default=0)

    @property
    def directions(self) -> tuple[Float, Float]:
        """Quadrature nodes (K, P) and weights (K,)."""
        return nodes(quadrature_degree(self.max_field), self.n_paulis)

    def shape(self, member: Member) -> tuple[int, ...]:
        return tuple(self.dims[v] for v in member.scope)

    # ------------------------------------------------------------------ numbers

    def evaluate(
        self, model: SqRBM, clamp: Mapping[int, int] | None = None
    ) -> tuple[Float, Signs, float]:
        """Entries of all members: log magnitudes and signs (size,), and a constant to be added.

        The constant holds what has no indices. ``clamp`` {unit: bit} gives all other values of
        these visible units the weight 0.
        """
        logs = np.empty(self.size)
        signs = np.ones(self.size, dtype=np.int8)
        logs[: 2 * self.n] = (model.a[:, None] * np.array([-1.0, 1.0])).ravel()
        for unit, bit in (clamp or {}).items():
            logs[2 * unit + 1 - bit] = -np.inf
        if self.output:
            logs[self.output_offset :][: 2 ** len(self.output)] = 0.0
        for group in self.groups:
            logs[group.entries] = fields.log_factor(_fields(model, group), 0).ravel()
        for star in self.stars:
            _put(logs, star.offsets[0], -SPINS * model.b[0, star.unit])
            w = model.w[0, star.neighbours, star.unit]
            _put(logs, star.offsets[1], -w[:, None, None] * np.outer(SPINS, SPINS))
        for chain in self.chains:
            self._evaluate_chain(model, chain, logs, signs)
        constant = float(fields.log_factor(model.b[:, self.free], 0).sum())
        return logs, signs, constant + len(self.chains) * math.log(2.0)

    def _evaluate_chain(self, model: SqRBM, chain: _Chain, logs: Float, signs: Signs) -> None:
        d, weights = self.directions
        x = _along(d, model.b[:, chain.unit])
        first = np.stack([np.ones_like(x), x], axis=-1)
        _put(logs, chain.offsets[0], (np.log(weights) + x)[:, None] + _log_abs(first))
        _put(signs, chain.offsets[0], _signs(first))
        for i, offset in zip(chain.neighbours, chain.offsets[1:], strict=True):
            x = _along(d, model.w[:, i, chain.unit])[:, None] * SPINS
            dual = self._dual(x, last=offset == chain.offsets[-1])
            lead = x.reshape(x.shape[:1] + (1,) * (dual.ndim - 2) + (2,))
            _put(logs, offset, lead + _log_abs(dual))
            _put(signs, offset, _signs(dual))

    @staticmethod
    def _dual(x: Float, last: bool) -> Float:
        """[[1, x], [0, 1]] for each node and spin, (K, 2, 2, 2); its row sums at the end."""
        one, zero = np.ones_like(x), np.zeros_like(x)
        if last:
            return np.stack([one + x, one], axis=1)
        return np.stack([np.stack([one, x], axis=1), np.stack([zero, one], axis=1)], axis=1)

    def weighted(
        self, model: SqRBM, entries: tuple[Float, Signs, float], unit: int, p: int, sign: int
    ) -> tuple[Float, Signs, float]:
        """Entries with hidden unit ``unit``'s tensor multiplied by (1 + sign <sigma^p>_v) / 2."""
        logs, signs, constant = entries[0].copy(), entries[1].copy(), entries[2]
        for group in self.groups:
            for row in np.flatnonzero(group.units == unit):
                alone = _Group(group.units[row : row + 1], group.neighbours[row : row + 1], 0)
                phi = _fields(model, alone)[:, 0]
                share = 0.5 + 0.5 * sign * fields.averages(phi, 0)[p]
                logs[group.offset + row * share.size :][: share.size] += _log_abs(share)
        for star in self.stars:
            if star.unit == unit:
                logs[star.offsets[0] + (1 if sign > 0 else 0)] = -np.inf
        for chain in self.chains:
            if chain.unit == unit:
                # sigma = -d/db: the first tensor is weight exp(x) (1, x), x = d.b
                d, weights = self.directions
                x = _along(d, model.b[:, unit])
                slope = np.stack([np.ones_like(x), 1.0 + x], axis=-1) * d[:, p : p + 1]
                first = 0.5 * (np.stack([np.ones_like(x), x], axis=-1) - sign * slope)
                _put(logs, chain.offsets[0], (np.log(weights) + x)[:, None] + _log_abs(first))
                _put(signs, chain.offsets[0], _signs(first))
        return logs, signs, constant

    def moments(self, model: SqRBM, marginals: Float) -> Moments:
        """Moments from what the sweep finds for each entry of each member (size,).

        For positive tensors ``marginals`` are probabilities of the values of their indices; for
        signed ones (split units of several Paulis) d log Z / d entry, entries as they are.
        Couplings that are not in the mask have <Z_i sigma_j^P> = nan.
        """
        z = marginals[0 : 2 * self.n : 2] - marginals[1 : 2 * self.n : 2]
        sigma = np.zeros((self.n_paulis, self.m))
        zsigma = np.full((self.n_paulis, self.n, self.m), np.nan)
        sigma[:, self.free] = fields.averages(model.b[:, self.free], 0)
        for group in self.groups:
            p = marginals[group.entries].reshape(group.units.size, -1)
            x = fields.averages(_fields(model, group), 0) * p
            sigma[:, group.units] = x.sum(axis=-1)
            for k in range(group.width):
                x = x.reshape(*x.shape[:2], 2, -1)
                up, down = x[:, :, 0], x[:, :, 1]
                zsigma[:, group.neighbours[:, k], group.units] = (up - down).sum(axis=-1)
                x = up + down
        for star in self.stars:
            h = marginals[star.offsets[0] : star.offsets[0] + 2]
            sigma[0, star.unit] = h[0] - h[1]
            pairs = marginals[star.offsets[1] :][: 4 * star.neighbours.size].reshape(-1, 2, 2)
            zsigma[0, star.neighbours, star.unit] = (
                pairs[:, 0, 0] - pairs[:, 0, 1] - pairs[:, 1, 0] + pairs[:, 1, 1]
            )
        for chain in self.chains:
            self._chain_moments(model, chain, marginals, sigma, zsigma)
        return Moments(z, sigma, zsigma)

    def _chain_moments(
        self, model: SqRBM, chain: _Chain, slopes: Float, sigma: Float, zsigma: Float
    ) -> None:
        """<sigma^P> = -d log Z / d b^P and <Z_i sigma^P> = -d log Z / d w_i^P."""
        d, weights = self.directions
        x = _along(d, model.b[:, chain.unit])
        g = slopes[chain.offsets[0] :][: 2 * x.size].reshape(-1, 2)
        inner = weights * np.exp(x) * (g[:, 0] + g[:, 1] * (1.0 + x))
        sigma[:, chain.unit] = -(inner[:, None] * d).sum(axis=0)
        for i, offset in zip(chain.neighbours, chain.offsets[1:], strict=True):
            x = _along(d, model.w[:, i, chain.unit])[:, None] * SPINS
            last = offset == chain.offsets[-1]
            # the dual numbers are linear in x: d/dx exp(x) dual(x) = exp(x) (dual(x) + dual')
            dual = self._dual(x, last)
            slope = dual + self._dual(np.ones_like(x), last) - self._dual(np.zeros_like(x), last)
            part = slopes[offset:][: dual.size].reshape(dual.shape)
            rows = (part * slope).reshape(x.shape[0], -1, 2).sum(axis=1)
            each = np.asarray((rows * np.exp(x) * SPINS).sum(axis=1))
            zsigma[:, i, chain.unit] = -(each[:, None] * d).sum(axis=0)


def largest_field(model: SqRBM, mask: Mask, units: Sequence[int] | frozenset[int]) -> float:
    """Upper bound of |Phi_j(v)| over the visible states and the hidden units named."""
    chosen = sorted(units)
    if not chosen:
        return 0.0
    w = model.w[:, :, chosen] * mask[:, chosen]
    return float(fields.largest_lengths(model.b[:, chosen], w).max())


def _fields(model: SqRBM, group: _Group) -> Float:
    """Phi (P, g, 2^k) for all values of the neighbours, the first the most significant bit."""
    phi = model.b[:, group.units][..., None]
    for k in range(group.width):
        w = model.w[:, group.neighbours[:, k], group.units][..., None, None]
        phi = (phi[..., None] + w * SPINS).reshape(*phi.shape[:2], -1)
    return phi


def _along(d: Float, vector: Float) -> Float:
    """d.vector for all nodes, without BLAS, whose rounding may depend on its threads."""
    return np.asarray((d * vector).sum(axis=1))


def _put(target: NDArray[Any], offset: int, values: NDArray[Any]) -> None:
    target[offset : offset + values.size] = values.ravel()


def _log_abs(values: Float) -> Float:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.abs(values)))


def _signs(values: Float) -> Signs:
    return np.where(values < 0, -1, 1).astype(np.int8)
