"""Target distributions: the paper's data sets, handwritten digits, the Ising model, own data."""

from __future__ import annotations

import difflib
import functools
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of, plain_array, shown
from tnqbm.base.limits import check_enumerable
from tnqbm.base.notebook import facts_table
from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.states import as_states, index_of, states_of
from tnqbm.datasets import gaussian, readers
from tnqbm.datasets.data import Data, read_rows
from tnqbm.datasets.preparation import Preparation, preparation_of
from tnqbm.datasets.samples_io import packaged_file
from tnqbm.files.content import read_group
from tnqbm.files.storage import open_hdf5

MAX_STATES = 1 << 22
"""Largest support built for ``cardinality``, ``parity`` and ``gaussian``."""

ISING_SAMPLES = 10_000
"""Samples in an Ising data set."""

DIGITS_VISIBLE = 64
"""Pixels of a handwritten digit."""

_ISING = re.compile(r"ising-T((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)


@short_repr
@dataclass(frozen=True)
class Target:
    """A distribution over visible states, kept as its support and probabilities.

    ``states`` (K, n) uint8, distinct rows; ``probabilities`` (K,), positive, summing to one.
    ``n_samples`` says that they are shares of so many samples of a distribution that is not known
    itself, so that averages over them have a sampling error; None means that they are exact.
    """

    states: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    n_samples: int | None = None

    def __post_init__(self) -> None:
        raw = plain_array(self.states, "states")
        if raw.ndim != 2 or raw.size == 0:
            raise ValueError(f"states must have shape (K, n) with K, n >= 1, got {raw.shape}")
        states = as_states(raw, raw.shape[1])
        q = _real(self.probabilities, "probabilities")
        if q.shape != (states.shape[0],):
            raise ValueError(f"probabilities must have shape ({states.shape[0]},), got {q.shape}")
        if not (np.isfinite(q).all() and (q > 0).all() and abs(q.sum() - 1) < 1e-6):
            raise ValueError("probabilities must be finite, positive and sum to 1")
        if np.unique(states, axis=0).shape[0] != states.shape[0]:
            raise ValueError("states must be distinct; Target.from_samples merges repeated rows")
        q /= q.sum()
        if self.n_samples is not None:
            counts = q * self.n_samples
            if self.n_samples < 1 or np.abs(counts - np.rint(counts)).max() > 1e-6 * q.size:
                raise ValueError(
                    f"n_samples = {self.n_samples}: the probabilities are no shares of so many "
                    "samples"
                )
        for name, array in (("states", states), ("probabilities", q)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def _repr_html_(self) -> str:
        facts = {
            "visible units": self.n_visible,
            "states": self.n_states,
            "samples": "exact" if self.n_samples is None else self.n_samples,
            "entropy": f"{self.entropy():.6g} nats",
        }
        return facts_table("Target", facts)

    @property
    def n_visible(self) -> int:
        return int(self.states.shape[1])

    @property
    def n_states(self) -> int:
        """Size of the support."""
        return int(self.states.shape[0])

    @property
    def counts(self) -> NDArray[np.int64] | None:
        """How many samples each state stands for, (K,); None for an exact distribution."""
        if self.n_samples is None:
            return None
        return np.rint(self.probabilities * self.n_samples).astype(np.int64)

    def dense(self) -> NDArray[np.float64]:
        """Probabilities of all 2**n states, visible unit 1 the most significant bit."""
        check_enumerable(self.n_visible, dense=True)
        q = np.zeros(1 << self.n_visible)
        q[index_of(self.states)] = self.probabilities
        return q

    def entropy(self) -> float:
        """-sum q log q in nats, the smallest possible negative log-likelihood."""
        return -float(np.sum(self.probabilities * np.log(self.probabilities)))

    @classmethod
    def uniform(cls, states: ArrayLike) -> Target:
        """Equal probabilities over distinct states (K, n)."""
        rows = plain_array(states, "states")
        if rows.ndim != 2:
            raise ValueError(f"states must have shape (K, n) with K, n >= 1, got {rows.shape}")
        return cls(rows, np.full(rows.shape[0], 1.0 / max(1, rows.shape[0])))

    @classmethod
    def from_samples(cls, v: ArrayLike, *, weights: ArrayLike | None = None) -> Target:
        """Empirical distribution of samples (N, n); repeated rows are merged.

        ``weights`` (N,) say how often each row counts. Whole numbers are counts of samples, so that
        ``n_samples`` is their sum; others are taken for the distribution itself (``n_samples`` is
        None). Rows of weight 0 are left out. ValueError for weights that are negative, not finite
        or all 0.
        """
        rows = plain_array(v, "samples")
        if rows.ndim != 2 or rows.size == 0:
            raise ValueError(f"samples must have shape (N, n) with N, n >= 1, got {rows.shape}")
        states = as_states(rows, rows.shape[1])
        if weights is not None:
            return cls(*_weighted(states, _real(weights, "weights")))
        states, counts = np.unique(states, axis=0, return_counts=True)
        return cls(states, counts / rows.shape[0], int(rows.shape[0]))

    @classmethod
    def from_dense(cls, q: ArrayLike) -> Target:
        """From probabilities of all 2**n states, visible unit 1 the most significant bit."""
        dense = _real(q, "q")
        n = dense.size.bit_length() - 1
        if dense.ndim != 1 or n < 1 or dense.size != 1 << n:
            raise ValueError(f"q must have shape (2**n,) with n >= 1, got {dense.shape}")
        if not (np.isfinite(dense).all() and (dense >= 0).all()):
            raise ValueError("q must hold finite probabilities >= 0")
        support = np.flatnonzero(dense)
        return cls(states_of(support, n), dense[support])


def _name(value: object) -> Exception | None:
    if isinstance(value, str | os.PathLike):
        return None
    return TypeError(f"must be the name of a data set or a path, got {shown(value)}")


TARGET = one_of(
    Target,
    hint="Target.from_samples(rows) makes one of samples (N, n), Target.from_dense(q) one of all "
    "2**n probabilities",
)
"""Kind of arguments that are targets, see :mod:`tnqbm.base.arguments`."""


def _real(value: ArrayLike, name: str) -> NDArray[np.float64]:
    """A copy of an array of real numbers; TypeError if it is none."""
    array = plain_array(value, name)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array.astype(np.float64)


def _weighted(
    states: NDArray[np.uint8], weights: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.float64], int | None]:
    """Distinct states, their shares of the weights, and their number if weights are counts."""
    if weights.shape != (len(states),):
        raise ValueError(f"weights must have shape ({len(states)},), got {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.max() > 0):
        raise ValueError("weights must be finite, at least 0, and not all 0")
    states, weights = states[weights > 0], weights[weights > 0]
    distinct, where = np.unique(states, axis=0, return_inverse=True)
    shares = np.bincount(where.ravel(), weights / weights.max())  # sums of 1e308 would overflow
    total = float(weights.sum()) if weights.max() < 2**53 / weights.size else math.inf
    counts = math.isfinite(total) and bool((weights == np.rint(weights)).all())
    return distinct, shares / shares.sum(), int(total) if counts else None


@checked(seed=arguments.seed)
def load(
    name: str | Path,
    n: int,
    *,
    seed: int | np.random.SeedSequence = 0,
    preparation: Preparation | None = None,
    **options: Any,
) -> Target:
    """A target distribution on n visible units, by data set name or from a file.

    The paper's data sets ("Data sets"), uniform and known exactly: ``"bas"`` simplified bars and
    stripes, ``"on2"`` n**2 random distinct strings (the only one that uses ``seed``),
    ``"cardinality"`` n/2 ones, ``"parity"`` an even number of ones. ``"gaussian"``, known exactly:
    the normal density on a grid of 2**n bins, and ``"gaussian-2d"``, its square on two of n/2 bits,
    with mean 0.5 and width 0.125 of the range or, as in ``"gaussian-m0.3-w0.2"``, others
    (:mod:`tnqbm.datasets.gaussian`). Empirical distributions of :func:`samples`: ``"digits"``,
    ``"ising-T<temperature>"`` and the path of a data file, for which the options of
    :func:`tnqbm.datasets.read_data` hold; these are the same for every seed. Raises
    ValueError if the combination is impossible or the data are not what they should be,
    FileNotFoundError if there is no such file.
    """
    check(name, n)
    wanted = preparation_of(preparation, options)
    if not is_name(name):
        return file_data(name, n, wanted).target()
    refuse_preparation(name, wanted)
    if name in _BUILDERS:
        return Target.uniform(_BUILDERS[str(name)](n, seed))
    normal = gaussian.parse(name)
    if normal is not None:
        return Target(*gaussian.distribution(normal, n))
    return _named_samples(str(name), n)


def file_data(path: str | Path, n: int, preparation: Preparation) -> Data:
    """The rows of a file for n visible units; ValueError if they are for another number."""
    data = read_rows(path, preparation)
    if data.n_visible != n:
        raise ValueError(
            f"{path}: rows have {data.n_visible} entries, but {n} visible units were asked for"
        )
    return data


def refuse_preparation(name: str | Path, preparation: Preparation) -> None:
    """Raise ValueError if options of files are given for a data set that is none."""
    for option in preparation.given():
        if option != "data_seed":
            raise ValueError(f"{option} is about files, and {str(name)!r} is bits already")


@functools.lru_cache(maxsize=8)
def _named_samples(name: str, n: int) -> Target:
    """Kept, since a study asks for the same target in every task. Files may change: not here."""
    return Target.from_samples(samples(name, n))


@checked(seed=arguments.seed)
def samples(
    name: str | Path,
    n: int,
    *,
    seed: int | np.random.SeedSequence = 0,
    preparation: Preparation | None = None,
    **options: Any,
) -> NDArray[np.uint8]:
    """The rows (N, n) of a data set in their order, repeats kept.

    ``"digits"``: 1797 handwritten digits of 8 x 8 pixels (n = 64), 1 where there is ink (more
    than 8 of 16); Alpaydin and Kaynak 1998, doi 10.24432/C50P49, CC BY 4.0. ``"ising-T2.5"``:
    10,000 independent equilibrium samples of the L x L Ising model (n = L*L) at temperature 2.5,
    or any other, see :mod:`tnqbm.datasets.ising`; ``seed`` draws others. A path: the rows of that
    file, with the options of :func:`tnqbm.datasets.read_data`; weights are left aside. Raises as
    :func:`load` does, ValueError for a data set that is known exactly and has no
    samples, and ArchiveError if the installed digits are damaged.
    """
    check(name, n)
    wanted = preparation_of(preparation, options)
    if not is_name(name):
        return file_data(name, n, wanted).states
    refuse_preparation(name, wanted)
    if is_exact(name):
        raise ValueError(
            f"data set {str(name)!r} is known exactly and has no samples; "
            f"datasets.load({str(name)!r}, {n}) gives its states and probabilities"
        )
    temperature = _ising_temperature(name)
    if temperature is not None:
        from tnqbm.datasets import ising

        return ising.sample(math.isqrt(n), temperature, ISING_SAMPLES, seed=seed)
    return _digits()


def is_name(name: str | Path) -> bool:
    """Whether this is the name of a data set, one of ``NAMES``, ``"ising-T<temperature>"`` or a
    ``"gaussian"`` with its mean and width."""
    return name in NAMES or is_drawn(name) or is_exact(name)


def is_exact(name: str | Path) -> bool:
    """Whether a data set's distribution is known exactly; all others are samples of an unknown
    one."""
    return name in _BUILDERS or gaussian.parse(name) is not None


def is_drawn(name: str | Path) -> bool:
    """Whether the rows of a data set are independent draws by their making."""
    return _ising_temperature(name) is not None


def is_random(name: str | Path) -> bool:
    """Whether other seeds give other states."""
    return name in ("on2",) or is_drawn(name)


@checked(name=_name, n=arguments.whole)
def check(name: str | Path, n: int) -> None:
    """Raise ValueError if :func:`load` cannot make this data set on n units, at no cost."""
    if n < 1:
        raise ValueError(f"need at least one visible unit, got n = {n}")
    if not is_name(name):
        if readers.is_file(name):
            return
        if str(name).startswith("ising"):
            raise ValueError(
                f"unknown data set {str(name)!r}; an Ising data set is named by its temperature, "
                "a number above 0: 'ising-T2.269'"
            )
        if str(name).startswith("gaussian"):
            raise ValueError(
                f"unknown data set {str(name)!r}; Gaussians are named 'gaussian' or 'gaussian-2d', "
                "with a mean from 0 to 1 and a width above 0 as in 'gaussian-m0.5-w0.125'"
            )
        near = difflib.get_close_matches(str(name).lower(), NAMES, 1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"unknown data set {shown(str(name))}; {meant}Known names: {', '.join(NAMES)}, "
            f"ising-T2.269 (or any temperature); or give a path ending in {readers.listed()}"
        )
    normal = gaussian.parse(name)
    if (name in ("bas", "cardinality") or (normal and normal.dimensions == 2)) and n % 2:
        raise ValueError(f"data set {name!r} needs an even number of visible units, got n = {n}")
    if name == "on2" and n < 64 and n * n > 2**n:
        raise ValueError(
            f"data set 'on2' needs n**2 <= 2**n distinct strings; n = {n} has {2**n} "
            f"and would need {n * n}"
        )
    if name == "digits" and n != DIGITS_VISIBLE:
        raise ValueError(
            f"data set 'digits' has {DIGITS_VISIBLE} visible units (8 x 8 pixels), got n = {n}"
        )
    if is_drawn(name) and (n < 4 or math.isqrt(n) ** 2 != n):
        side = max(2, math.isqrt(n))
        raise ValueError(
            f"data set {str(name)!r} needs a square number of visible units, L*L with L >= 2, "
            f"got n = {n}; near it are {side**2} and {(side + 1) ** 2}"
        )
    half = min(n, 64)  # far above the limit already
    size = {"cardinality": math.comb(half, half // 2), "parity": 2 ** (half - 1)}.get(str(name), 0)
    size = 2**half if normal else size
    if size > MAX_STATES:
        count = str(size) if n == half else "far too many"
        raise ValueError(f"data set {name!r} with n = {n} has {count} states, more than 2**22")


@checked(target=TARGET, floor=arguments.number)
def visible_fields(target: Target, *, floor: float = 1e-3) -> NDArray[np.float64]:
    """Fields a (n,) with which a model without weights (w = 0) has the data's means <s_i>_q.

    a_i = -atanh(m_i), so that p(s_i = +1) = 1/(1 + exp(2 a_i)) = (1 + m_i)/2, where
    m_i = (1 - 2 floor) <s_i>_q: a pseudo-count, as if a share 2 floor of the data were random
    bits. So no bit value has a probability below ``floor``, and |a_i| <= atanh(1 - 2 floor), 3.45
    by default. With ``floor = 0`` the means are exact, and a
    bit that never changes raises ValueError; so does a floor outside [0, 0.5).
    """
    if not 0 <= floor < 0.5:
        raise ValueError(f"floor must be at least 0 and less than 0.5, got {floor}")
    constant = (target.states == target.states[0]).all(axis=0)
    if floor == 0 and constant.any():
        raise ValueError(
            f"visible unit {int(np.argmax(constant)) + 1} has the same value in all of the data, "
            "so its field is infinite; use a floor above 0"
        )
    # Unlike a matrix product, einsum adds in an order that no thread count changes.
    ones = np.einsum("k,ki->i", target.probabilities, target.states)
    mean = np.where(constant, 1.0 - 2.0 * target.states[0], 1.0 - 2.0 * ones)
    return np.asarray(-np.arctanh((1.0 - 2.0 * floor) * mean))


def _ising_temperature(name: str | Path) -> float | None:
    """The temperature in an Ising data set's name, or None for any other name."""
    match = _ISING.fullmatch(name) if isinstance(name, str) else None
    temperature = float(match[1]) if match else 0.0
    return temperature if 0 < temperature < math.inf else None


def _digits() -> NDArray[np.uint8]:
    path = packaged_file("digits.h5")
    with open_hdf5(path) as file:
        arrays, _ = read_group(file, str(path))
    return np.asarray(arrays["states"], dtype=np.uint8)


def _bas(n: int, seed: object) -> NDArray[np.uint8]:
    images = []
    for row in range(2):
        image = np.zeros((2, n // 2), dtype=np.uint8)
        image[row] = 1
        images.append(image.ravel())
    for column in range(n // 2):
        image = np.zeros((2, n // 2), dtype=np.uint8)
        image[:, column] = 1
        images.append(image.ravel())
    return np.stack(images)


def _on2(n: int, seed: int | np.random.SeedSequence) -> NDArray[np.uint8]:
    rng = streams.generator(seed)
    seen: dict[bytes, NDArray[np.uint8]] = {}
    while len(seen) < n * n:
        row = rng.integers(0, 2, n, dtype=np.uint8)
        seen.setdefault(row.tobytes(), row)
    return np.stack(list(seen.values()))


def _cardinality(n: int, seed: object) -> NDArray[np.uint8]:
    index = np.arange(1 << n, dtype=np.int64)
    return states_of(index[np.bitwise_count(index) == n // 2], n)


def _parity(n: int, seed: object) -> NDArray[np.uint8]:
    half = states_of(np.arange(1 << (n - 1), dtype=np.int64), n - 1) if n > 1 else np.zeros((1, 0))
    last = half.sum(axis=1, keepdims=True) % 2
    return np.hstack([half, last]).astype(np.uint8)


_BUILDERS: dict[str, Callable[[int, int | np.random.SeedSequence], NDArray[np.uint8]]] = {
    "bas": _bas,
    "on2": _on2,
    "cardinality": _cardinality,
    "parity": _parity,
}

NAMES = (*_BUILDERS, "digits", "gaussian")
"""Names of the built-in data sets, besides ``"ising-T<temperature>"`` and other Gaussians."""
