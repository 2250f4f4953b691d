"""Sums over all tuples of nodes for one model: what calls the kernels of the quadrature.

Hidden qubits without couplings are constant factors, visible units without couplings factors
2 cosh a_i: both are set apart here, and put back into log Z and the moments.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import fields
from tnqbm.core.model import SqRBM
from tnqbm.core.moments import Moments
from tnqbm.core.shape import Shape
from tnqbm.exact.enumerator import Enumerator
from tnqbm.kernels import sphere
from tnqbm.kernels.quadrature import derivatives, scratch_size, sums
from tnqbm.kernels.simd import aligned, lanes

Float = NDArray[np.float64]

LOG_2 = math.log(2.0)

_TUPLES_PER_SHARD = 256
_MAX_SHARDS = 64


class CoupledPart:
    """A model's coupled units, and the closed forms of the others.

    ``a`` (n',), ``b`` (P, m'), ``w`` (P, n', m') of the coupled units; ``log_constant`` the others'
    share of log Z.
    """

    def __init__(self, model: SqRBM) -> None:
        present = (model.w != 0.0).any(axis=0)
        self.visible = np.flatnonzero(present.any(axis=1))
        self.hidden = np.flatnonzero(present.any(axis=0))
        self.a = model.a[self.visible]
        self.b = model.b[:, self.hidden]
        self.w = model.w[:, self.visible][:, :, self.hidden]
        self.n_paulis = len(model.paulis)
        self._model = model
        lonely = np.delete(np.arange(model.n_visible), self.visible)
        free = np.delete(np.arange(model.n_hidden), self.hidden)
        self.log_constant = float(
            fields.log_2cosh(np.abs(model.a[lonely])).sum()
            + fields.log_factor(model.b, 0)[free].sum()
        )

    @property
    def n_visible(self) -> int:
        """Visible units with couplings."""
        return int(self.visible.size)

    @property
    def n_hidden(self) -> int:
        """Hidden units with couplings."""
        return int(self.hidden.size)

    @property
    def exact(self) -> bool:
        """Whether no quadrature on the sphere is needed: one Pauli, or no couplings at all."""
        return self.n_paulis == 1 or self.n_hidden == 0

    def field(self) -> float:
        """Estimate of the largest |Phi_j| that matters, rather too large than too small.

        Along a direction d of the Pauli axes, the visible units follow the hidden qubits' pull and
        add their |d.w_ij|, each as far as tanh of all fields upon it lets it.
        """
        if self.n_paulis == 2:
            angles = np.pi * np.arange(24) / 24
            axes = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        else:
            axes = sphere.nodes(11, self.n_paulis)[0]
        pull = np.tanh(np.abs(self.a) + fields.length(self.w, 0).sum(axis=1))
        along = np.abs(axes @ self.b)
        along += np.einsum("knj,n->kj", np.abs(np.einsum("kp,pnj->knj", axes, self.w)), pull)
        return float(along.max(initial=0.0))

    def moments(self, coupled: Moments) -> Moments:
        """The whole model's moments from those of the coupled units."""
        z = -np.tanh(self._model.a)
        z[self.visible] = coupled.z
        sigma = fields.averages(self._model.b, 0)
        sigma[:, self.hidden] = coupled.sigma
        zsigma = z[:, None] * sigma[:, None, :]
        zsigma[:, self.visible[:, None], self.hidden] = coupled.zsigma
        return Moments(z, sigma, zsigma)


class NodeSums:
    """Sums over the tuples of nodes of one degree, for two or three Paulis."""

    def __init__(self, part: CoupledPart, degree: int) -> None:
        self.degree = degree
        self._part = part
        self._points, weights = sphere.nodes(degree, part.n_paulis)
        self.nodes = int(weights.size)
        self._units = int(part.hidden.size)
        self._lanes = lanes(np.float64)
        n = int(part.visible.size)
        self._n, self._row = n, -(-n // self._lanes) * self._lanes
        self._log_weights = np.log(weights)
        tuples = self.nodes**self._units
        self._shards = max(1, min(_MAX_SHARDS, tuples // _TUPLES_PER_SHARD))
        self._log_z: float | None = None
        self._moments: Moments | None = None

    @property
    def log_partition(self) -> float:
        """log Z of the coupled units."""
        if self._log_z is None:
            out = np.empty((self._shards, 2))
            sums(*self._arguments(), *self._work(), out)
            highest = float(out[:, 0].max())
            value = 0.0
            for reference, part in out:  # a fixed order
                value += float(part) * math.exp(float(reference) - highest)
            self._log_z = self._checked(value) + highest + self._offset()
        return self._log_z

    @property
    def moments(self) -> Moments:
        """Moments of the coupled units."""
        if self._moments is None:
            n, units, p, row = self._n, self._units, self._part.n_paulis, self._row
            out = np.empty((self._shards, 1 + row + units * p * (1 + row)))
            log_z = self.log_partition - self._offset()
            derivatives(*self._arguments(), log_z, *self._work(), out)
            flat = out[0]
            for shard in out[1:]:
                flat += shard
            flat = flat[1:] / flat[0]
            z, fields, weights = np.split(flat, [row, row + units * p])
            sigma = -fields.reshape(units, p).T
            zsigma = -weights.reshape(units, p, row)[:, :, :n].transpose(1, 2, 0)
            self._moments = Moments(z[:n], np.ascontiguousarray(sigma), zsigma.copy())
        return self._moments

    def _arguments(self) -> tuple[object, ...]:
        part, n, units = self._part, self._n, self._units
        theta = np.zeros(self._row)
        theta[:n] = -part.a
        w = np.zeros((units, part.n_paulis, self._row))
        w[:, :, :n] = part.w.transpose(2, 0, 1)
        beta = part.b.T @ self._points.T
        return (
            self._points.ravel(), self._log_weights, beta.ravel(), theta, w.ravel(), self.nodes,
            units, part.n_paulis, self._row, self._lanes, self._shards, cumulants(units),
        )  # fmt: skip

    def _work(self) -> tuple[Float, NDArray[np.int64]]:
        size = scratch_size(self._units, self._part.n_paulis, self._row, self._lanes)
        return (
            aligned((self._shards, size), np.float64),
            np.zeros((self._shards, self._units), dtype=np.int64),
        )

    def _offset(self) -> float:
        """The factors 2 of 2 cosh|Phi|, less those of the units that fill up the vectors."""
        return (self._units - (self._row - self._n)) * LOG_2

    def _checked(self, value: float) -> float:
        """A sum that must be positive, as its logarithm; -inf where the degree is far too low."""
        return math.log(value) if value > 0.0 else -math.inf


def cumulants(units: int) -> Float:
    """Coefficients [8 (k - 3) + q] of t**q in kappa_k / kappa_2, k = 3, ..., units + 1.

    kappa_k is the k-th derivative of log cosh at theta, t = tanh(theta), kappa_2 = 1 - t**2.
    """
    table = np.zeros((max(1, units - 1), 8))
    ratio = np.polynomial.Polynomial([1.0])
    square = np.polynomial.Polynomial([1.0, 0.0, -1.0])
    for k in range(3, units + 2):
        ratio = ratio.deriv() * square - np.polynomial.Polynomial([0.0, 2.0]) * ratio
        table[k - 3, : ratio.coef.size] = ratio.coef
    return table.ravel()


def dual_sums(part: CoupledPart, *, moments: bool) -> tuple[float, Moments]:
    """log Z and moments (zero if not asked for) of coupled units with one Pauli, or of none.

    With one Pauli exp(-H) is diagonal and the layers may change places: hidden states are
    enumerated.
    """
    n, m, p = part.n_visible, part.n_hidden, part.n_paulis
    empty = Moments(np.zeros(n), np.zeros((p, m)), np.zeros((p, n, m)))
    if m == 0:
        return 0.0, empty
    enumerator = Enumerator(Shape(m, n, 1))
    theta = np.concatenate([part.b[0], part.a, part.w[0].T.ravel()])[None]
    if not moments:
        return float(enumerator.log_partition(theta)[0]), empty
    log_z, flat = enumerator.log_partition_and_moments(theta)
    sigma, z, zsigma = Shape(m, n, 1).split(flat[0])
    return float(log_z[0]), Moments(z[0], sigma[None], zsigma.transpose(0, 2, 1))
