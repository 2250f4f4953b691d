"""How large gradients are at random parameters: the spread of every component, exactly.

    python scripts/paper/spread.py parity -n 4 -m 4 --paulis XYZ --samples 2000 --scale 1

The paper's test for barren plateaus (Demidik et al. 2025, Supplementary Note 9): parameters are
drawn uniformly from [-10, 10], the gradient of the negative log-likelihood is computed exactly, and
the variance of each of its components over the draws is looked at against n and m. A variance that
falls exponentially would be a barren plateau.

Draws come in chunks, each from a stream of its own, so that a calculation can stop after any chunk
and go on later to the same bits.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.arguments import is_whole
from tnqbm.base.limits import MAX_PARAMETER, check_enumerable
from tnqbm.core.moments import Gradient
from tnqbm.core.paulis import check_paulis
from tnqbm.core.shape import Shape
from tnqbm.datasets import Target, load
from tnqbm.exact.averages import StateAverages
from tnqbm.exact.enumerator import Enumerator

Float = NDArray[np.float64]

CHUNK = 500
"""Draws that share a stream."""


@dataclass(frozen=True)
class KindSpread:
    """Variance of the gradient's components of one kind, averaged over them.

    ``kind`` is "a", "b" or "w", and ``pauli`` the letter of the last two ("" for "a").
    ``error`` is the standard error of ``variance``, from its scatter between chunks.
    """

    kind: str
    pauli: str
    variance: float
    error: float

    @property
    def std(self) -> float:
        """Root of the variance."""
        return math.sqrt(self.variance)


@dataclass(frozen=True)
class GradientSpread:
    """Mean and variance of every component of the gradient over random parameters.

    ``mean``, ``variance`` and ``variance_error``, the standard error of the variance, are
    :class:`tnqbm.exact.Gradient`, with arrays ``a`` (n,), ``b`` (P, m), ``w`` (P, n, m). ``kinds``
    are averages over components of one kind, in the order a, b of every Pauli, w of every Pauli.
    """

    paulis: str
    samples: int
    scale: float
    mean: Gradient
    variance: Gradient
    variance_error: Gradient
    kinds: tuple[KindSpread, ...]


def gradient_spread(
    target: Target,
    n_hidden: int,
    paulis: str,
    *,
    samples: int = 10_000,
    scale: float = 10.0,
    seed: int | np.random.SeedSequence = 0,
    chunk: int = CHUNK,
) -> GradientSpread:
    """The spread of the exact gradient on ``target`` over ``samples`` random models.

    All parameters of each are independent and uniform in [-scale, scale]. ``samples`` is a multiple
    of ``chunk``. The result depends on the arguments alone. Raises ValueError if they are
    impossible or the target has too many visible units to be enumerated.
    """
    sampler = SpreadSampler(
        target, n_hidden, paulis, samples=samples, scale=scale, seed=seed, chunk=chunk
    )
    while not sampler.finished:
        sampler.advance()
    return sampler.result()


class SpreadSampler:
    """The calculation of :func:`gradient_spread`, one chunk of draws after the other.

    ``state`` and ``restore`` carry it over a stop. Raises as :func:`gradient_spread` does.
    """

    def __init__(
        self,
        target: Target,
        n_hidden: int,
        paulis: str,
        *,
        samples: int = 10_000,
        scale: float = 10.0,
        seed: int | np.random.SeedSequence = 0,
        chunk: int = CHUNK,
    ) -> None:
        check_enumerable(target.n_visible)
        for name, value, low in (("n_hidden", n_hidden, 1), ("chunk", chunk, 4)):
            if not is_whole(value) or value < low:
                raise ValueError(f"{name} must be a whole number, at least {low}, got {value!r}")
        if not is_whole(samples) or samples < 2 * chunk:
            raise ValueError(f"samples must be at least {2 * chunk}, two chunks, got {samples!r}")
        if samples % chunk:
            raise ValueError(f"samples must be a multiple of the chunk, {chunk}, got {samples}")
        if not 0 < scale <= MAX_PARAMETER:
            raise ValueError(f"scale must be a finite number > 0, got {scale!r}")
        self.paulis = check_paulis(paulis)
        self.samples, self.scale, self.chunk = samples, float(scale), chunk
        self._shape = Shape(target.n_visible, n_hidden, len(self.paulis))
        self._root = seed if isinstance(seed, np.random.SeedSequence) else _root(seed)
        self._size = self._shape.size
        self._model = Enumerator(self._shape)
        self._data = StateAverages(target.states, target.probabilities, self._shape)
        self._sums = np.zeros((4, self._size))  # mean and sums of powers of deviations from it
        self._kinds = np.empty((0, 1 + 2 * len(self.paulis)))

    @property
    def done(self) -> int:
        """Draws that are done."""
        return self._kinds.shape[0] * self.chunk

    @property
    def finished(self) -> bool:
        """Whether all draws are done."""
        return self.done >= self.samples

    def advance(self) -> None:
        """Draw and evaluate one more chunk."""
        root, k = self._root, self._kinds.shape[0]
        stream = np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, k))
        draw = np.random.default_rng(stream).uniform
        theta = draw(-self.scale, self.scale, (self.chunk, self._size))
        gradients = self._data.moments(theta) - self._model.log_partition_and_moments(theta)[1]
        own = _power_sums(gradients)
        variance = own[1] / (self.chunk - 1)
        parts = self._shape.split(variance)
        kinds = [parts[0].mean(), *parts[1].mean(axis=1), *parts[2].mean(axis=(1, 2))]
        self._sums = _merged(self._sums, self.done, own, self.chunk) if k else own
        self._kinds = np.vstack([self._kinds, kinds])

    def state(self) -> dict[str, Float]:
        """What :meth:`restore` needs, as arrays: "sums" (4, n_parameters), "kinds" (chunks, K)."""
        return {"sums": self._sums.copy(), "kinds": self._kinds.copy()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from :meth:`state`; ValueError if it is that of another calculation's size."""
        sums, kinds = (np.array(state[name], dtype=np.float64) for name in ("sums", "kinds"))
        fits = sums.shape == self._sums.shape and kinds.shape[1:] == self._kinds.shape[1:]
        if not fits or kinds.shape[0] * self.chunk > self.samples:
            raise ValueError(
                f"a state with arrays {sums.shape} and {kinds.shape} is none of a model with "
                f"{self._size} parameters and {self.samples} samples in chunks of {self.chunk}"
            )
        self._sums, self._kinds = sums, kinds

    def result(self) -> GradientSpread:
        """The spread; RuntimeError before all draws are done."""
        if not self.finished:
            raise RuntimeError(f"{self.done} of {self.samples} draws are done, not all")
        n = self.samples
        mean, second, _, fourth = self._sums
        variance = second / (n - 1)
        # Var(s^2) = (mu_4 - sigma^4 (n - 3)/(n - 1)) / n for independent draws.
        noise = np.maximum(fourth / n - variance**2 * (n - 3) / (n - 1), 0.0) / n
        chunks = self._kinds.shape[0]
        names = [("a", ""), *((kind, pauli) for kind in "bw" for pauli in self.paulis)]
        averages = self._kinds.mean(axis=0)
        errors = self._kinds.std(axis=0, ddof=1) / math.sqrt(chunks)
        return GradientSpread(
            paulis=self.paulis,
            samples=n,
            scale=self.scale,
            mean=Gradient(*self._shape.split(mean)),
            variance=Gradient(*self._shape.split(variance)),
            variance_error=Gradient(*self._shape.split(np.sqrt(noise))),
            kinds=tuple(
                KindSpread(kind, pauli, float(value), float(error))
                for (kind, pauli), value, error in zip(names, averages, errors, strict=True)
            ),
        )


class Decay(NamedTuple):
    """Straight lines through log variance: against x, and against log x, with standard errors.

    variance ~ exp(-rate x) if it decays exponentially, ~ x^-power if as a power. ``scatter`` and
    ``power_scatter`` are the standard deviations of log variance about the two lines.
    """

    rate: float
    rate_error: float
    scatter: float
    power: float
    power_error: float
    power_scatter: float


def decay(x: Sequence[float], variance: Sequence[float]) -> Decay:
    """How a variance falls with x > 0, by least squares; ValueError for fewer than 3 points."""
    from scipy.stats import linregress

    at, y = np.asarray(x, dtype=np.float64), np.log(np.asarray(variance, dtype=np.float64))
    if at.size < 3 or at.size != y.size or not (at > 0).all() or not np.isfinite(y).all():
        raise ValueError("a fit of the decay needs at least 3 points with x > 0 and variance > 0")
    found = []
    for axis in (at, np.log(at)):
        line = linregress(axis, y)
        rest = y - line.intercept - line.slope * axis
        found += [-line.slope, line.stderr, math.sqrt((rest @ rest) / (at.size - 2))]
    return Decay(*(float(value) for value in found))


def _root(seed: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed)


def _power_sums(values: Float) -> Float:
    """Mean of the rows and sums of the second, third and fourth power of deviations, (4, size)."""
    mean = values.mean(axis=0)
    apart = values - mean
    square = apart * apart
    return np.stack([mean, square.sum(axis=0), (square * apart).sum(axis=0), (square**2).sum(0)])


def _merged(one: Float, n_one: int, two: Float, n_two: int) -> Float:
    """:func:`_power_sums` of both samples together (Pébay 2008, eqs. 2.1 to 2.4)."""
    n = n_one + n_two
    d = two[0] - one[0]
    mean = one[0] + d * n_two / n
    second = one[1] + two[1] + d**2 * n_one * n_two / n
    third = (
        one[2] + two[2]
        + d**3 * n_one * n_two * (n_one - n_two) / n**2
        + 3.0 * d * (n_one * two[1] - n_two * one[1]) / n
    )  # fmt: skip
    fourth = (
        one[3] + two[3]
        + d**4 * n_one * n_two * (n_one**2 - n_one * n_two + n_two**2) / n**3
        + 6.0 * d**2 * (n_one**2 * two[1] + n_two**2 * one[1]) / n**2
        + 4.0 * d * (n_one * two[2] - n_two * one[2]) / n
    )  # fmt: skip
    return np.stack([mean, second, third, fourth])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the standard deviations for one data set, model and scale of the parameters."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", help="name of a built-in data set")
    parser.add_argument("-n", "--visible", type=int, required=True)
    parser.add_argument("-m", "--hidden", type=int, required=True)
    parser.add_argument("--paulis", default="XYZ")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--scale", type=float, default=10.0, help="parameters in [-scale, scale]")
    options = parser.parse_args(arguments)
    result = gradient_spread(
        load(options.data, options.visible),
        options.hidden,
        options.paulis,
        samples=options.samples,
        scale=options.scale,
    )
    print("  ".join(f"{kind.kind}{kind.pauli}: {kind.std:.2f}" for kind in result.kinds))


if __name__ == "__main__":
    main()
