"""Equilibrium samples of the Ising model on a square lattice, by a cluster algorithm.

The energy of L x L spins s = +-1 with periodic boundaries is E(s) = -sum s_i s_j over each
site's right and lower neighbour, with J = k_B = 1. A visible bit is v = (1 - s)/2, and the sites
are visible units row by row.
"""

# Numba's decorators carry no types.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base.arguments import check_whole, is_number
from tnqbm.core import streams
from tnqbm.core.states import as_states, spins, states_of
from tnqbm.kernels.parts import parallel_over, part

CRITICAL_TEMPERATURE = 2.0 / math.log(1.0 + math.sqrt(2.0))
"""Temperature of the phase transition of the infinite lattice, 2.269... (Onsager 1944)."""

MAX_TRANSFER = 12
"""Largest side whose partition function is computed exactly."""

_CHAIN = 64
_TO_UNIT = 2.0**-53


def sample(
    size: int, temperature: float, n_samples: int, *, seed: int | np.random.SeedSequence = 0
) -> NDArray[np.uint8]:
    """Independent equilibrium samples (n_samples, size**2) of the Ising model, as bits v.

    ``size`` is the side L >= 2 of the lattice (at 2 both neighbours of a site in one direction
    are the same site, and the bond counts twice), ``temperature`` T > 0 in units of J/k_B. The
    seed, L and T decide the samples, whatever the number of threads, and a larger ``n_samples``
    only appends rows. Raises ValueError or TypeError for arguments that are none of this.

    Swendsen and Wang, Phys. Rev. Lett. 58, 86 (1987): bonds between equal neighbours are laid
    with probability 1 - exp(-2/T), and every cluster of bonds gets a new spin. Every 64 samples
    are a chain of their own from the ordered state; :func:`spacing` sweeps lie between samples.
    """
    size = check_whole("size", size, 2)
    n_samples = check_whole("n_samples", n_samples, 1)
    temperature = _temperature(temperature)
    keys = _keys(seed, size, temperature, -(-n_samples // _CHAIN))
    out = np.empty((n_samples, size * size), dtype=np.uint8)
    bond = -math.expm1(-2.0 / temperature)
    between = spacing(size)
    states, spins = np.empty((keys.size, 1), np.uint64), np.empty((keys.size, size**2), np.uint8)
    parents = np.empty((keys.size, size**2), np.int32)
    _sample_chains(keys, size, bond, 4 * between, between, states, spins, parents, out)
    return out


def spacing(size: int) -> int:
    """Sweeps between two samples of an L x L lattice: ten autocorrelation times or more.

    Measured at the critical temperature, where they are longest, the exponential autocorrelation
    times of the energy and of the squared magnetisation are at most 2.0, 2.8, 3.6, 4.5 and 4.8
    sweeps for L = 4, 8, 16, 32 and 64, so neighbouring samples correlate by less than 1e-4. The
    sign of the magnetisation forgets in one sweep.
    """
    return 8 + 8 * math.ceil(math.log2(size))


def energy(v: ArrayLike) -> NDArray[np.int64]:
    """Energies E (...) of visible states (..., L*L), each site with its right and lower bond.

    Raises ValueError if the number of visible units is no square or an entry is not 0 or 1.
    """
    raw = np.asarray(v)
    side = math.isqrt(raw.shape[-1]) if raw.ndim else 0
    if raw.ndim == 0 or side < 2 or side * side != raw.shape[-1]:
        raise ValueError(f"states must have shape (..., L*L) with L >= 2, got {raw.shape}")
    s = spins(as_states(raw, side * side)).reshape(*raw.shape[:-1], side, side)
    bonds = s * np.roll(s, -1, axis=-1) + s * np.roll(s, -1, axis=-2)
    return -np.asarray(bonds.sum(axis=(-2, -1))).astype(np.int64)


def log_partition(size: int, temperature: float) -> float:
    """Exact log Z = log sum_s exp(-E(s)/T) of the L x L lattice, 2 <= L <= 12.

    By powers of the transfer matrix of whole rows (Kramers & Wannier 1941). With it the exact
    negative log-likelihood of samples is E(v)/T + log Z, what the best model can reach.
    """
    size = check_whole("size", size, 2)
    temperature = _temperature(temperature)
    if size > MAX_TRANSFER:
        raise ValueError(f"size must be at most {MAX_TRANSFER}: a row has 2**size states")
    s = spins(states_of(np.arange(1 << size), size))
    row = (s * np.roll(s, -1, axis=1)).sum(axis=1) / temperature
    exponents = 0.5 * (row[:, None] + row[None, :]) + s @ s.T / temperature
    highest = float(exponents.max())
    power = np.linalg.matrix_power(np.exp(exponents - highest), size)
    return math.log(float(np.trace(power))) + size * highest


def _temperature(value: object) -> float:
    if not is_number(value):
        raise TypeError(f"temperature must be a number, got {type(value).__name__}")
    temperature = float(value)
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a finite number > 0, got {temperature}")
    return temperature


def _keys(
    seed: int | np.random.SeedSequence, size: int, temperature: float, chains: int
) -> NDArray[np.uint64]:
    """A 64-bit start for every chain; lattices and temperatures do not share random numbers."""
    bits = int(np.float64(temperature).view(np.uint64))
    return streams.words(streams.sequence(seed, size, bits & 0xFFFFFFFF, bits >> 32), chains)


@part
def _draw(state: Any) -> Any:
    """The next 64 random bits of a SplitMix64 generator (Steele, Lea, Flood, OOPSLA 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@part
def _root(parent: Any, site: int) -> int:
    while parent[site] != site:
        parent[site] = parent[parent[site]]
        site = parent[site]
    return site


@part
def _join(parent: Any, one: int, other: int) -> None:
    """The smaller index becomes the root, so that a root comes before its cluster's sites."""
    one, other = _root(parent, one), _root(parent, other)
    if one < other:
        parent[other] = one
    else:
        parent[one] = other


@part
def _sweep(v: Any, parent: Any, size: int, bond: float, state: Any) -> None:
    for site in range(size * size):
        parent[site] = site
    for row in range(size):
        start, below = row * size, ((row + 1) % size) * size
        for column in range(size):
            site = start + column
            right = start + (column + 1) % size
            if v[site] == v[right] and (_draw(state) >> np.uint64(11)) * _TO_UNIT < bond:
                _join(parent, site, right)
            lower = below + column
            if v[site] == v[lower] and (_draw(state) >> np.uint64(11)) * _TO_UNIT < bond:
                _join(parent, site, lower)
    for site in range(size * size):
        root = _root(parent, site)
        v[site] = v[root] if root != site else _draw(state) >> np.uint64(63)


@parallel_over(lambda keys: keys.shape[0])
def _sample_chains(
    chain: int, keys: Any, size: int, bond: float, burn_in: int, between: int,
    states: Any, spins: Any, parents: Any, out: Any,
) -> None:  # fmt: skip
    """Samples of all chains; ``states`` (chains, 1), ``spins`` and ``parents`` are scratch."""
    state, v, parent = states[chain], spins[chain], parents[chain]
    state[0] = keys[chain]
    for site in range(size * size):
        v[site] = 0
    first = chain * _CHAIN
    for k in range(first, min(first + _CHAIN, out.shape[0])):
        for _ in range(between + burn_in if k == first else between):
            _sweep(v, parent, size, bond, state)
        for site in range(size * size):
            out[k, site] = v[site]
