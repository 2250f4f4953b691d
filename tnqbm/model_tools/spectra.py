"""Schmidt spectra of one hidden unit's factor f(v) = 2 cosh|b + sum_i s_i w_i| along its units.

Cut c separates the first c units from the others; the Schmidt values of f there are the singular
values of f as a matrix of 2^c rows. P classical hidden units give a product of P factors of rank 2
each, so rank 2^P at most. One qubit with P > 1 Paulis has full rank. Up to order d in the fields f
is a sum of (d + 1)(d + 2) / 2 products of a function of either side for P = 2, and of 2 d^2 + 2 for
P = 3 (d > 0): those are the harmonics of d.Phi that exp(d.Phi) and its derivative along d have up
to there. Weak fields therefore give Schmidt values in steps after 1, 3, 6, 10, 15 ... and 1, 4, 10,
20, 34 ...; in general there are some (log 1/precision)^2 of them down to a precision.

Up to DENSE units f is an array and every cut gets its singular value decomposition. More units are
summed up by quadrature over the sphere (:mod:`tnqbm.kernels.sphere`),

    cosh|Phi| = sum_k weights_k (1 + d_k.Phi) exp(d_k.Phi),

a matrix product state whose bonds hold the nodes k with a dual number each, which is exact to
rounding for any number of units. It is brought into canonical form through random projections of
its right-hand parts (Al Daas et al., SIAM J. Sci. Comput. 45, A74 (2023), "randomize, then
orthogonalize"), so that the work grows with the rank found rather than with the number of nodes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import streams
from tnqbm.core.fields import log_factor
from tnqbm.kernels.sphere import least_degree, nodes

Float = NDArray[np.float64]

DENSE = 14
"""Most units for which the factor is made an array of 2^k entries without looking further."""

RESOLUTION = 1e-13
"""Schmidt values below this part of the norm are rounding."""

MAX_BYTES = 2**31
"""Most memory for one factor's quadrature; up to FALLBACK units the array is made instead."""

FALLBACK = 22
"""Most units for which the factor is made an array if the fields are too large for quadrature."""

_QUADRATURE = 1e-16  # relative error of the sum over nodes at the largest field
_NEGLIGIBLE = 45.0  # nats below the heaviest node: such nodes are left out
_FIRST = 64  # bond dimension of the first projection; doubled until the values have fallen
_FALLEN = 0.1  # of the smallest value asked for
_SEED = 20250217  # of the projections, which decide rounding only


def factor_spectra(b: Float, w: Float, *, down_to: float = RESOLUTION) -> tuple[list[Float], float]:
    """Schmidt values of 2 cosh|b + sum_i s_i w_i| at the cuts 1 .. k-1, and log of its norm.

    ``b`` (P,), ``w`` (P, k). The values of each cut fall, and their squares sum to 1. Values below
    RESOLUTION are rounding, and those below ``down_to`` may be missing. The norm is the root of the
    sum of squares over all 2^k states. Raises MemoryError if the fields are too strong for
    quadrature and the units too many for an array.
    """
    k = w.shape[1]
    if k <= DENSE:
        return _dense(b, w)
    if b.shape[0] > 1:
        largest = _largest_field(b, w)
        # about degree^2 / 3 nodes (half of it for P = 2), with a dual number each
        count = _degree(largest) ** 2 / (3.0 if b.shape[0] == 3 else 6.0)
        needed = 16.0 * count * _FIRST * 4 * k
        if needed > MAX_BYTES:
            if k <= FALLBACK:
                return _dense(b, w)
            raise MemoryError(
                f"the Schmidt spectrum of a hidden unit with {k} neighbours and fields up to "
                f"{largest:.3g} would take a quadrature of some {count:.2g} nodes and "
                f"{needed / 1e9:.1f} GB (the limit is {MAX_BYTES / 1e9:.1f} GB); scale the "
                f"weights down, leave the unit out (hidden=...), or take at most {FALLBACK} "
                "neighbours, where fields may be of any size"
            )
    return _Nodes(b, w).spectra(down_to)


def schmidt_spectra(log_values: Float) -> tuple[list[Float], float]:
    """Schmidt values at the cuts 1 .. n-1 of a vector of 2^n positive entries, and log of its norm.

    ``log_values`` holds logarithms of the entries, the first unit the most significant bit of the
    index. Singular values of 2^c x 2^(n-c) matrices, one for each cut: some 30 times 2^(3n/2)
    operations. Normalised as in :func:`factor_spectra`.
    """
    n = log_values.size.bit_length() - 1
    if log_values.size != 1 << n:
        raise ValueError(f"need 2**n log values for some n, got {log_values.size}")
    top = float(log_values.max())
    values = np.exp(log_values - top)
    norm = float(np.linalg.norm(values))
    values /= norm
    spectra = []
    for cut in range(1, n):
        matrix = values.reshape(1 << cut, -1)
        spectra.append(np.linalg.svd(matrix, compute_uv=False))
    return spectra, top + math.log(norm)


def _dense(b: Float, w: Float) -> tuple[list[Float], float]:
    phi = b[:, None]
    for column in w.T[..., None]:
        phi = np.stack([phi + column, phi - column], axis=-1).reshape(b.size, -1)
    return schmidt_spectra(log_factor(phi, 0))


def _largest_field(b: Float, w: Float) -> float:
    """Upper bound of |Phi(v)|: the largest of |d.b| + sum_i |d.w_i| over directions d."""
    if b.shape[0] == 2:
        angles = np.linspace(0.0, math.pi, 64)
        d = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    else:
        d, _ = nodes(65, b.shape[0])
    # no direction is further than 0.1 from one of these, so 1 % covers what lies between them
    return 1.01 * float((np.abs(d @ b) + np.abs(d @ w).sum(axis=1)).max())


def _degree(largest: float) -> int:
    """Degree of the rule for fields up to ``largest``, one more than needed."""
    return least_degree(largest, _QUADRATURE) + 1


class _Nodes:
    """The factor as a sum over nodes of the sphere: products over units, with dual numbers."""

    def __init__(self, b: Float, w: Float) -> None:
        self.k = w.shape[1]
        self.dual = b.shape[0] > 1
        degree = _degree(_largest_field(b, w)) if self.dual else 1
        d, weights = nodes(degree, b.shape[0])
        x, t = d @ b, d @ w
        # Unit i contributes exp(s t_i - |t_i|) <= 1; the node's weight holds the rest.
        size = np.abs(t).sum(axis=1)
        log_weight = np.log(weights) + x + (size - size.max())
        kept = log_weight > log_weight.max() - _NEGLIGIBLE
        self.x, self.t, log_weight = x[kept], t[kept], log_weight[kept]
        self.log_scale = float(log_weight.max() + size.max()) + math.log(2.0)
        self.weight = np.exp(log_weight - log_weight.max())

    def spectra(self, down_to: float = RESOLUTION) -> tuple[list[Float], float]:
        size, most = _FIRST, self.x.size * (2 if self.dual else 1)
        while True:
            spectra, log_norm = self._spectra(min(size, most))
            if size >= most or all(s[-1] < _FALLEN * down_to or s.size < size for s in spectra):
                return spectra, log_norm
            size *= 2

    def _sites(self, i: int) -> tuple[Float, Float]:
        """exp(s t_i - |t_i|) and s t_i for s = +1, -1; both (2, K)."""
        step = np.stack([self.t[:, i], -self.t[:, i]])
        return np.exp(step - np.abs(self.t[:, i])), step

    def _right(self, size: int) -> list[tuple[Float, Float]]:
        """Random projections (K, size) of the parts right of each cut, in both dual components.

        The value of a state is sum_k weight_k (p u + q u'), where p = (1 + x) exp(x) and
        q = exp(x) belong to the units left of the cut, u = exp(x) and u' = x exp(x) to those right
        of it, x being each side's part of d_k.Phi.
        """
        rng = streams.generator(_SEED)
        u, v = self.weight[:, None], np.zeros((self.x.size, 1))
        found = []
        for i in range(self.k - 1, 0, -1):
            e, step = self._sites(i)
            mix = rng.standard_normal((2, u.shape[1], min(size, 2 * u.shape[1])))
            mix /= math.sqrt(mix.shape[1])
            v = sum(e[s, :, None] * ((v + step[s, :, None] * u) @ mix[s]) for s in (0, 1))
            u = sum(e[s, :, None] * (u @ mix[s]) for s in (0, 1))
            top = max(float(np.abs(u).max()), float(np.abs(v).max()))
            u, v = u / top, v / top
            found.append((u, v))
        return found[::-1]

    def _spectra(self, size: int) -> tuple[list[Float], float]:
        """Schmidt values from canonical matrices of bond dimension ``size`` at most."""
        right = self._right(size)
        p, q = (1.0 + self.x)[None, :], np.ones((1, self.x.size))
        if not self.dual:
            p = q
        tensors = []
        for i in range(self.k - 1):
            p, q = self._extended(p, q, i)
            u, v = right[i]
            projected = p @ u + q @ v if self.dual else p @ u
            basis, _ = np.linalg.qr(projected)
            tensors.append(basis)
            p, q = basis.T @ p, basis.T @ q
        p, _ = self._extended(p, q, self.k - 1)
        centre = (p @ self.weight).reshape(2, -1).T  # (left, 2)
        norm = float(np.linalg.norm(centre))
        centre /= norm
        spectra = []
        for basis in tensors[::-1]:
            left, values, _ = np.linalg.svd(centre, full_matrices=False)
            spectra.append(values)
            # rows of a basis: the new unit's value, then the bond to its left
            moved = basis @ (left * values)
            bond = basis.shape[0] // 2
            centre = moved.reshape(2, bond, -1).transpose(1, 0, 2).reshape(bond, -1)
        return spectra[::-1], self.log_scale + math.log(norm)

    def _extended(self, p: Float, q: Float, i: int) -> tuple[Float, Float]:
        """Parts left of unit i with the unit's two values put in front, rows (2 r)."""
        e, step = self._sites(i)
        if not self.dual:
            p = q = np.concatenate([e[s] * p for s in (0, 1)])
            return p, q
        return (
            np.concatenate([e[s] * (p + step[s] * q) for s in (0, 1)]),
            np.concatenate([e[s] * q for s in (0, 1)]),
        )
