"""Functions of a sum of Pauli strings on batches of vectors, by Chebyshev series.

With E from ``lowest`` to ``highest`` and x = (E - middle) / width in [-1, 1],

    exp(-t (E - lowest)) = sum_n c_n(t) T_n(x),  c_n(t) = (2 - [n = 0]) (-1)^n I_n(tw) exp(-tw)

(Tal-Ezer & Kosloff, J. Chem. Phys. 81, 3967 (1984)); the error is below the sum of the coefficients
that are left out, on every vector of norm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive, roots_legendre

from tnqbm.hamiltonian.random_vectors import phases
from tnqbm.hamiltonian.strings import StringSum

Float = NDArray[np.float64]

LANCZOS_STEPS = 24
MARGIN = 0.01
"""Part of the spectrum's width that its ends are moved outwards by."""
GROWTH = 1.01
"""Chebyshev polynomials of H lengthen no vector: beyond this its spectrum is wider than assumed."""
PARTS = 4
"""Terms of a series that are added at a time."""
NODES = 256
TOLERANCE = 1e-13
"""What series may leave out, of functions that are at most 1."""


@dataclass(frozen=True)
class Spectrum:
    """All energies are from ``lowest`` to ``lowest`` + 2 ``width``."""

    lowest: float
    width: float

    @property
    def middle(self) -> float:
        return self.lowest + self.width

    def wider(self) -> Spectrum:
        """A fifth wider."""
        return Spectrum(self.lowest - 0.2 * self.width, 1.2 * self.width)


class OutsideError(ArithmeticError):
    """Some energies are outside the spectrum that was assumed."""


def spectrum(sum_: StringSum, rng: np.random.Generator) -> Spectrum:
    """The ends of the spectrum by a few Lanczos steps from random vectors, residuals added."""
    x, y, z = (
        sum_.batch(phases((sum_.dimension, sum_.lanes), sum_.parts == 1, rng)),
        sum_.empty(),
        sum_.empty(),
    )
    steps = min(LANCZOS_STEPS, sum_.dimension)
    diagonal, beside = np.zeros((steps, sum_.lanes)), np.zeros((steps, sum_.lanes))
    view = sum_.split(x)
    view /= np.sqrt(sum_.dots(x, x))
    norm = np.zeros(sum_.lanes)
    for k in range(steps):
        sum_.step(x, z, y, 1.0, 0.0, -norm)
        diagonal[k] = sum_.dots(x, y)
        sum_.split(y)[:] -= diagonal[k] * sum_.split(x)
        norm = np.sqrt(sum_.dots(y, y))
        beside[k] = norm
        sum_.split(y)[:] /= np.where(norm > 0, norm, 1.0)
        x, y, z = y, z, x
    low, high = np.inf, -np.inf
    for lane in range(sum_.lanes):
        a, b = diagonal[:, lane], beside[:, lane]
        small = np.flatnonzero(b < 1e-6 * (np.abs(a).max() + b.max()))
        size = int(small[0]) + 1 if small.size else steps
        off = b[: size - 1]
        values, basis = np.linalg.eigh(np.diag(a[:size]) + np.diag(off, 1) + np.diag(off, -1))
        errors = b[size - 1] * np.abs(basis[-1])
        low, high = min(low, values[0] - errors[0]), max(high, values[-1] + errors[-1])
    width = max(0.5 * (high - low), 1e-3)
    return Spectrum(float(low - MARGIN * width), float((1.0 + MARGIN) * width))


def exponential(width: float, time: float) -> Float:
    """Coefficients of exp(-time (H - lowest)), (1, terms)."""
    found = _coefficients(np.array([time]), width, _terms(width, time))
    return found[:, : _needed(np.abs(found[0]))]


def duhamel(width: float) -> tuple[Float, Float]:
    """Weights (R,) and coefficients (R, terms) of functions f_r with

        integral_0^1 exp(-(1-s) G) x exp(-s G) ds = sum_r weights[r] f_r(H) x f_r(H)

    for all operators x, in the symmetric part, with G = H - lowest. The left side is a quadratic
    form in Chebyshev polynomials of H, and these are its eigenvectors: few of them matter.
    """
    nodes, weights = roots_legendre(NODES)
    s = 0.5 * (nodes + 1.0)
    terms = _terms(width, 1.0)
    first, second = _coefficients(s, width, terms), _coefficients(1.0 - s, width, terms)
    form = (0.5 * weights[:, None] * first).T @ second
    form = 0.5 * (form + form.T)
    count = _needed(np.abs(form).max(axis=1))
    values, basis = np.linalg.eigh(form[:count, :count])
    chosen = np.flatnonzero(np.abs(values) > TOLERANCE)
    chosen = chosen[np.argsort(-np.abs(values[chosen]), kind="stable")]
    return values[chosen], np.ascontiguousarray(basis[:, chosen].T)


def apply_series(sum_: StringSum, x: Float, factors: Float, ends: Spectrum) -> Float:
    """sum_n factors[r, n] T_n(H) x for every r, batches (R, ...).

    Raises OutsideError if an energy of H is outside ``ends``.
    """
    total = sum_.empty(factors.shape[0])
    parts = sum_.empty(PARTS)
    parts[0] = x
    terms = factors.shape[1]
    before, scale = sum_.dots(x, x), 1.0 / ends.width
    for n in range(terms):
        if n:
            new, old = parts[n % PARTS], parts[(n - 1) % PARTS]
            twice, last = (1.0, 0.0) if n == 1 else (2.0, -1.0)
            sum_.step(
                old, parts[(n - 2) % PARTS], new,
                twice * scale, -twice * scale * ends.middle, last,
            )  # fmt: skip
        if n % PARTS == PARTS - 1 or n == terms - 1:
            used = n % PARTS + 1
            sum_.gather(factors[:, n + 1 - used : n + 1], parts[:used], total)
    after = sum_.dots(parts[(terms - 1) % PARTS], parts[(terms - 1) % PARTS])
    if not (after <= GROWTH**2 * before + 1e-300).all():
        raise OutsideError
    return total


def _coefficients(times: Float, width: float, terms: int) -> Float:
    n = np.arange(terms)
    values = (-1.0) ** n * ive(n, times[:, None] * width)
    return np.asarray(np.where(n == 0, 1.0, 2.0) * values)


def _terms(width: float, time: float) -> int:
    """More terms than are ever needed."""
    return int(40 + 10.0 * np.sqrt(time * width) + 2.0 * time * width)


def _needed(sizes: Float) -> int:
    """How many leading numbers to keep for the rest to add up to less than the tolerance."""
    rest = np.cumsum(sizes[::-1])[::-1]
    return max(1, int(np.count_nonzero(rest > TOLERANCE)))
