"""Amplitudes of an sqRBM as a matrix product state: one sweep of row-skeleton decompositions.

At every cut the functions psi(beginning, .) of an ending, for a few chosen beginnings (pivots),
span the space of all of them approximately. The sweep extends the pivots of the last cut by one
bit, evaluates psi on a sample of endings, chooses new pivots among the extended ones, and
expresses the others in these by least squares: an interpolative decomposition as in tensor cross
interpolation (Oseledets & Tyrtyshnikov, Linear Algebra Appl. 432, 70 (2010); Nunez Fernandez et
al., SciPost Phys. 18, 104 (2025)), in which endings are weighted so that sums over the sample
estimate sums over all endings (cf. Hur et al., Appl. Comput. Harmon. Anal. 67, 101575 (2023)).
Nothing of size 2^n is formed; beginnings are remembered by their hidden fields alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from tnqbm.core.model import SqRBM
from tnqbm.core.states import row_keys, spins, states_of
from tnqbm.kernels import tables as skeleton_kernels
from tnqbm.kernels.simd import aligned, lanes
from tnqbm.networks.amplitude.matrix_product import Float, Tensors

RANK = 1e-11
"""Pivots below this part of the largest are rounding errors."""


class Amplitude:
    """log psi(v) = log p~(v) / 2 of a model in a visiting order, in parts.

    ``beta`` multiplies all parameters. A part of a state is known by its share of the hidden
    fields (m P,) and of -a.s; the fields b belong to the beginning.
    """

    def __init__(self, model: SqRBM, order: NDArray[np.int64], beta: float = 1.0) -> None:
        self.n, self.m, self.n_paulis = model.shape
        w = beta * model.w[:, order]
        self.w = np.ascontiguousarray(w.transpose(1, 2, 0)).reshape(self.n, -1)
        self.b = np.ascontiguousarray((beta * model.b).T).reshape(-1)
        self.a = beta * model.a[order]

    def part(self, v: NDArray[np.uint8], first: int) -> tuple[Float, Float]:
        """Shares (K, m P) and (K,) of the sites first, first + 1, ... with bits v (K, sites)."""
        s = spins(v)
        sites = slice(first, first + v.shape[1])
        return s @ self.w[sites], -(s @ self.a[sites])

    def extend(self, fields: Float, sums: Float, site: int) -> tuple[Float, Float]:
        """Beginnings with either bit of the next site: row 2 i + bit comes from row i."""
        w, a = self.w[site], self.a[site]
        both = np.stack([fields + w, fields - w], axis=1)
        return both.reshape(2 * sums.size, w.size), np.stack([sums - a, sums + a], axis=1).reshape(
            -1
        )

    def table(self, rows: Float, row_sums: Float, columns: Float, column_sums: Float) -> Float:
        """log psi (R, C) of all pairs of R beginnings and C endings."""
        kernel = (
            skeleton_kernels.table_1,
            skeleton_kernels.table_2,
            skeleton_kernels.table_3,
        )[self.n_paulis - 1]
        width = lanes(np.float64)
        count = column_sums.size
        blocks = -(-count // width)
        packed = aligned((blocks, self.b.size, width), np.float64)
        sums = aligned((blocks * width,), np.float64)
        sums[:count] = column_sums
        padded = np.zeros((blocks * width, self.b.size))
        padded[:count] = columns
        packed[:] = padded.reshape(blocks, width, -1).transpose(0, 2, 1)
        out = aligned((row_sums.size, blocks * width), np.float64)
        kernel(
            np.ascontiguousarray(rows).reshape(-1),
            np.ascontiguousarray(row_sums),
            packed.reshape(-1),
            sums,
            self.m,
            width,
            out.reshape(-1),
        )
        return np.asarray(out[:, :count])


@dataclass(frozen=True)
class Endings:
    """A sample of the endings at one cut, in which sums stand for sums over all endings.

    bits (C, sites right of the cut); ``log_weights`` (C,): half the logarithm of what each one
    stands for, 1 / (C density) times how often it was drawn. Where ``relative``, the density is
    not known but is that of the model: the sweep, which estimates the model's density of an
    ending, divides by it.
    """

    bits: NDArray[np.uint8]
    log_weights: Float
    relative: bool = False


def all_endings(sites: int) -> Endings:
    """Every one of the 2^sites endings."""
    count = 1 << sites
    return Endings(states_of(np.arange(count, dtype=np.int64), sites), np.zeros(count))


def distinct(bits: NDArray[np.uint8], log_weights: Float | None = None) -> Endings:
    """Endings (C, sites) without repetitions; weights (C,) None: drawn from the model."""
    _, first, counts = np.unique(row_keys(bits), return_index=True, return_counts=True)
    inverse = np.argsort(first)
    first, counts = first[inverse], counts[inverse]
    log_counts = 0.5 * np.log(counts / bits.shape[0])
    if log_weights is None:
        return Endings(bits[first], log_counts, relative=True)
    return Endings(bits[first], log_counts + log_weights[first])


def count_distinct(bits: NDArray[np.uint8]) -> int:
    """Number of different rows."""
    return int(np.unique(row_keys(bits)).size)


def sweep(
    amplitude: Amplitude, endings: Sequence[Endings], max_bond: int, discard: float
) -> tuple[Tensors, float]:
    """The state by one sweep from the left: left-canonical tensors, normalised, and log norm.

    endings : n - 1 samples, entry k for the cut between sites k and k + 1.
    max_bond, discard : every cut keeps the least number of pivots, ``max_bond`` at most, whose
        least-squares residual is within the part ``discard`` of the squared norm.
    """
    n = amplitude.n
    fields, sums = amplitude.b[None], np.zeros(1)
    # psi(beginning, ending) ~ sum_r gauge[beginning's basis, r] psi(pivot r, ending), the basis
    # orthonormal over beginnings.
    gauge, log_norm = np.ones((1, 1)), 0.0
    tensors: Tensors = []
    for k in range(n - 1):
        fields, sums = amplitude.extend(fields, sums, k)
        e = _weighted_table(amplitude, fields, sums, gauge, endings[k], k + 1)
        pivots, x = _skeleton(e, gauge, max_bond, discard)
        left = gauge.shape[0]
        q, gauge = np.linalg.qr((gauge @ x.reshape(gauge.shape[1], -1)).reshape(2 * left, -1))
        # Gauges are rescaled, lest a long chain overflow.
        scale = float(np.linalg.norm(gauge))
        gauge = gauge / scale
        log_norm += float(np.log(scale))
        tensors.append(q.reshape(left, 2, -1))
        fields, sums = fields[pivots], sums[pivots]
    fields, sums = amplitude.extend(fields, sums, n - 1)
    nothing = np.zeros((1, amplitude.b.size))
    last = amplitude.table(fields, sums, nothing, np.zeros(1))[:, 0]
    top = float(last.max())
    tensor = (gauge @ np.exp(last - top).reshape(-1, 2)).reshape(-1, 2, 1)
    norm = float(np.linalg.norm(tensor))
    tensors.append(tensor / norm)
    return tensors, log_norm + top + float(np.log(norm))


def _weighted_table(
    amplitude: Amplitude, fields: Float, sums: Float, gauge: Float, endings: Endings, first: int
) -> Float:
    """psi of the extended beginnings (R) and the endings (C), times the endings' weights."""
    part, part_sums = amplitude.part(endings.bits, first)
    e = amplitude.table(fields, sums, part, part_sums)
    if not endings.relative:
        e += endings.log_weights
        e -= e.max()
        return np.exp(e, out=e)
    e -= e.max(axis=0)
    np.exp(e, out=e)
    seen = gauge @ e.reshape(gauge.shape[1], -1)
    density = np.square(seen).reshape(2 * gauge.shape[0], -1).sum(axis=0)
    known = density > 0.0
    e *= np.where(known, np.exp(endings.log_weights) / np.sqrt(np.where(known, density, 1.0)), 0.0)
    return e


def _skeleton(
    e: Float, gauge: Float, max_bond: int, discard: float
) -> tuple[NDArray[np.intp], Float]:
    """Rows of e (R, C) to keep, and coefficients x (R, kept) with e ~ x e[kept].

    Rows count by the norm of what the gauge makes of them. The coefficients are those of least
    squares, from the same pivoted QR decomposition.
    """
    size = np.repeat(np.linalg.norm(gauge, axis=0), 2)
    size = np.where(size > 0.0, size, np.finfo(np.float64).tiny)
    r = scipy.linalg.qr((size[:, None] * e).T, mode="r", check_finite=False)[0]
    r = r[: min(r.shape)]
    r, pivots = scipy.linalg.qr(r, mode="r", pivoting=True, overwrite_a=True, check_finite=False)
    diagonal = np.abs(np.diag(r))
    tails = np.cumsum(np.sum(np.square(r), axis=1)[::-1])[::-1]
    keep = min(
        max_bond,
        int(np.count_nonzero(diagonal > RANK * diagonal[0])),
        int(np.count_nonzero(tails > discard * tails[0])),
    )
    keep = max(1, keep)
    x = np.zeros((size.size, keep))
    x[pivots[:keep], np.arange(keep)] = 1.0
    if keep < size.size:
        rest = scipy.linalg.solve_triangular(r[:keep, :keep], r[:keep, keep:], check_finite=False)
        x[pivots[keep:]] = rest.T
    return pivots[:keep], x * (size[pivots[:keep]] / size[:, None])
