"""Target distributions: the paper's four data sets, and a user's own binary data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.limits import check_enumerable
from tnqbm.states import as_states, index_of, states_of

MAX_STATES = 1 << 22
"""Largest support built for ``cardinality`` and ``parity``."""

SUFFIXES = (".h5", ".hdf5", ".npy", ".csv")


@dataclass(frozen=True)
class Target:
    """A distribution over visible states, kept as its support and probabilities.

    ``states`` (K, n) uint8, distinct rows; ``probabilities`` (K,), positive, summing to one.
    """

    states: NDArray[np.uint8]
    probabilities: NDArray[np.float64]

    def __post_init__(self) -> None:
        raw = np.asarray(self.states)
        if raw.ndim != 2 or raw.size == 0:
            raise ValueError(f"states must have shape (K, n) with K, n >= 1, got {raw.shape}")
        states = as_states(raw, raw.shape[1])
        q = np.array(self.probabilities, dtype=np.float64)
        if q.shape != (states.shape[0],):
            raise ValueError(f"probabilities must have shape ({states.shape[0]},), got {q.shape}")
        if not (np.isfinite(q).all() and (q > 0).all() and abs(q.sum() - 1) < 1e-6):
            raise ValueError("probabilities must be finite, positive and sum to 1")
        if np.unique(states, axis=0).shape[0] != states.shape[0]:
            raise ValueError("states must be distinct; Target.from_samples merges repeated rows")
        q /= q.sum()
        for name, array in (("states", states), ("probabilities", q)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def n_visible(self) -> int:
        return int(self.states.shape[1])

    @property
    def n_states(self) -> int:
        """Size of the support."""
        return int(self.states.shape[0])

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
        rows = np.asarray(states)
        return cls(rows, np.full(rows.shape[0], 1.0 / max(1, rows.shape[0])))

    @classmethod
    def from_samples(cls, v: ArrayLike) -> Target:
        """Empirical distribution of samples (N, n); repeated rows are merged."""
        rows = np.asarray(v)
        if rows.ndim != 2 or rows.size == 0:
            raise ValueError(f"samples must have shape (N, n) with N, n >= 1, got {rows.shape}")
        states, counts = np.unique(as_states(rows, rows.shape[1]), axis=0, return_counts=True)
        return cls(states, counts / rows.shape[0])

    @classmethod
    def from_dense(cls, q: ArrayLike) -> Target:
        """From probabilities of all 2**n states, visible unit 1 the most significant bit."""
        dense = np.asarray(q, dtype=np.float64)
        n = dense.size.bit_length() - 1
        if dense.ndim != 1 or n < 1 or dense.size != 1 << n:
            raise ValueError(f"q must have shape (2**n,) with n >= 1, got {dense.shape}")
        if not (np.isfinite(dense).all() and (dense >= 0).all()):
            raise ValueError("q must hold finite probabilities >= 0")
        support = np.flatnonzero(dense)
        return cls(states_of(support, n), dense[support])


def load(name: str | Path, n: int, *, seed: int | np.random.SeedSequence = 0) -> Target:
    """A target distribution on n visible units, by data set name or from a file.

    Names (paper, "Data sets"): ``"bas"`` simplified bars and stripes, ``"on2"`` n**2 random
    distinct strings (the only one that uses ``seed``), ``"cardinality"`` n/2 ones, ``"parity"``
    an even number of ones; all uniform. A path to a .h5, .npy or .csv file of 0/1 rows gives
    their empirical distribution. Raises ValueError if the combination is impossible or the data
    are not what they should be, FileNotFoundError if there is no such file.
    """
    check(name, n)
    if name in _BUILDERS:
        return Target.uniform(_BUILDERS[str(name)](n, seed))
    samples = read_samples(name)
    if samples.shape[1] != n:
        raise ValueError(
            f"{name}: rows have {samples.shape[1]} entries, but {n} visible units were asked for"
        )
    return Target.from_samples(samples)


def check(name: str | Path, n: int) -> None:
    """Raise ValueError if :func:`load` cannot make this data set on n units, at no cost."""
    if n < 1:
        raise ValueError(f"need at least one visible unit, got n = {n}")
    if name not in _BUILDERS:
        if Path(name).suffix.lower() in SUFFIXES:
            return
        raise ValueError(
            f"unknown data set {str(name)!r}; known names: {', '.join(NAMES)}; "
            f"or give a path ending in {', '.join(SUFFIXES)}"
        )
    if name in ("bas", "cardinality") and n % 2:
        raise ValueError(f"data set {name!r} needs an even number of visible units, got n = {n}")
    if name == "on2" and n * n > 2**n:
        raise ValueError(
            f"data set 'on2' needs n**2 <= 2**n distinct strings; n = {n} has {2**n} "
            f"and would need {n * n}"
        )
    size = {"cardinality": math.comb(n, n // 2), "parity": 2 ** (n - 1)}.get(str(name), 0)
    if size > MAX_STATES:
        raise ValueError(f"data set {name!r} with n = {n} has {size} states, more than 2**22")


def read_samples(path: str | Path) -> NDArray[np.uint8]:
    """Binary samples (N, n) from a .h5, .npy or .csv file of 0/1 rows.

    An HDF5 file must hold a dataset ``states``, or exactly one two-dimensional dataset. Raises
    FileNotFoundError, or ValueError naming the file and the first row that is not right.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no data file {path}")
    reader = {".npy": _read_npy, ".csv": _read_csv}.get(path.suffix.lower(), _read_hdf5)
    try:
        rows = reader(path)
        if rows.ndim != 2 or rows.size == 0:
            raise ValueError(f"expected rows of 0 and 1, got an array of shape {rows.shape}")
        if rows.dtype.kind not in "biuf":
            raise ValueError(f"expected numbers 0 and 1, got dtype {rows.dtype}")
        bad = np.argwhere(~((rows == 0) | (rows == 1)))
        if bad.size:
            i, k = (int(x) for x in bad[0])
            raise ValueError(f"row {i + 1}, column {k + 1} is {rows[i, k]}; only 0 and 1 may occur")
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error
    return rows.astype(np.uint8)


def _read_npy(path: Path) -> NDArray[np.generic]:
    return np.asarray(np.load(path, allow_pickle=False))


def _read_csv(path: Path) -> NDArray[np.generic]:
    rows: list[list[float]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        try:
            row = [float(field) for field in text.replace(";", ",").split(",")]
        except ValueError:
            raise ValueError(f"line {number} is not a row of numbers: {line[:60]!r}") from None
        if rows and len(row) != len(rows[0]):
            raise ValueError(
                f"line {number} has {len(row)} entries, the first row has {len(rows[0])}"
            )
        rows.append(row)
    return np.array(rows, dtype=np.float64)


def _read_hdf5(path: Path) -> NDArray[np.generic]:
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        found = [
            key for key, item in file.items() if isinstance(item, h5py.Dataset) and item.ndim == 2
        ]
        if "states" in found:
            found = ["states"]
        if len(found) != 1:
            raise ValueError(
                "expected a dataset 'states' or exactly one two-dimensional dataset, found "
                + (", ".join(sorted(file)) or "nothing")
            )
        return np.asarray(file[found[0]])


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
    rng = np.random.default_rng(seed)
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

NAMES = tuple(_BUILDERS)
"""Names of the built-in data sets."""
