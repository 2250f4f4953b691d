"""NumPy twins of the Markov chain kernels: one sweep written out, with the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.stats import chi2

from mc.kernels.elimination import eliminate
from mc.sampling.log_z.estimate import Estimate
from mc.sampling.log_z.policies import ESTIMATORS
from mc.sampling.partition import log_partition
from mc.sampling.policies import SAMPLERS, Policy, policy_of, settings, with_settings
from mc.sampling.sample import sample
from tnqbm import SqRBM
from tnqbm.core.fields import log_2cosh, tanh_ratio
from tnqbm.core.states import index_of, spins

LETTERS = {1: "Z", 2: "XZ", 3: "XYZ"}
WORDS = {"double": 2, "single": 4}
LANES = {"double": 8, "single": 16}

BITS, HIDDEN, TEST, BASIS = 0, 1, 2, 3
"""Purposes of random numbers within a sweep."""

# --- options by name ------------------------------------------------------------------------------


def _divided(policy: Policy, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The policy with those of the options that it has, and the others."""
    others = {name: value for name, value in options.items() if name not in settings(policy)}
    return with_settings(policy, options), others


def sample_by(model: SqRBM, samples: int, method: str = "chains", **options: Any) -> Any:
    """``mc.sample`` with settings of the method among its keywords."""
    policy, others = _divided(policy_of(method, SAMPLERS), options)
    return sample(model, samples, policy, **others)


def log_partition_by(model: SqRBM, method: str = "auto", **options: Any) -> Estimate:
    """``mc.log_partition`` with settings of the method among its keywords."""
    policy, others = _divided(policy_of(method, ESTIMATORS), options)
    return log_partition(model, policy, **others)


# --- random numbers ------------------------------------------------------------------------------


def philox(counter: np.ndarray, key: int) -> np.ndarray:
    """Philox4x32-10: counter (4, ...) of 32-bit words, 64-bit key -> (4, ...) words."""
    c = [np.asarray(word, dtype=np.uint64) for word in counter]
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    keys = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        first, second = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (second >> shift) ^ c[1] ^ np.uint64(keys[0]),
            second & low,
            (first >> shift) ^ c[3] ^ np.uint64(keys[1]),
            first & low,
        ]
        keys = [(k + w) & 0xFFFFFFFF for k, w in zip(keys, (0x9E3779B9, 0xBB67AE85), strict=True)]
    return np.stack(c)


def uniforms(
    key: int, chain: np.ndarray, sweep: int, site: np.ndarray, precision: str = "double"
) -> np.ndarray:
    """Numbers in (0, 1) of one call of the generator: chain, site (...) -> (words, ...)."""
    chain, site = np.broadcast_arrays(chain, site)
    low, high = np.full(chain.shape, sweep & 0xFFFFFFFF), np.full(chain.shape, sweep >> 32)
    words = philox(np.stack([chain, low, high, site]), key)
    if precision == "single":
        return ((words >> np.uint64(9)).astype(np.float64) + 0.5) * 2.0**-23
    joined = (words[::2] << np.uint64(32)) | words[1::2]
    return ((joined >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def chain_draws(
    key: int, chains: np.ndarray, sweep: int, purpose: int, count: int, precision: str = "double"
) -> np.ndarray:
    """Numbers of decisions 0..count - 1 of each chain, (C, count): kernels with chains as lanes."""
    words = WORDS[precision]
    site = (purpose << 24) + np.arange(-(-count // words))
    found = uniforms(key, chains[:, None], sweep, site, precision)
    return np.moveaxis(found, 0, 2).reshape(len(chains), -1)[:, :count]


def unit_draws(
    key: int, chains: np.ndarray, sweep: int, purpose: int, units: int, precision: str = "double"
) -> np.ndarray:
    """Numbers of units 0..units - 1 of each chain, (C, units): kernels with units as lanes."""
    words, lanes = WORDS[precision], LANES[precision]
    vector, lane = np.divmod(np.arange(units), lanes)
    site = (purpose << 24) + (vector - vector % words) * lanes + lane
    found = uniforms(key, chains[:, None], sweep, site, precision)
    return np.asarray(found[vector % words, :, np.arange(units)].T)


# --- sweeps --------------------------------------------------------------------------------------

Draw = Callable[[int, int], np.ndarray]
"""(purpose, count) -> (C, count) numbers of this sweep."""


def _flips(log_odds: np.ndarray, u: np.ndarray) -> np.ndarray:
    return u * (1.0 + np.exp(np.minimum(-log_odds, 700.0))) < 1.0


def _flipped(v: np.ndarray, i: int) -> np.ndarray:
    other = v.copy()
    other[:, i] ^= 1
    return other


def _lengths(model: SqRBM, v: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(model.fields(v), axis=1))


def _collapsed(model: SqRBM, v: np.ndarray, free: np.ndarray, draw: Draw) -> np.ndarray:
    u = draw(BITS, free.size)
    for k, i in enumerate(free):
        other = _flipped(v, i)
        flip = _flips(model.log_weight(other) - model.log_weight(v), u[:, k])
        v = np.where(flip[:, None], other, v)
    return v


def _measured(model: SqRBM, v: np.ndarray, free: np.ndarray, draw: Draw) -> np.ndarray:
    r = _lengths(model, v)
    h = np.where(draw(HIDDEN, model.n_hidden) < 1.0 / (1.0 + np.exp(2.0 * r)), 1.0, -1.0)

    def log_joint(states: np.ndarray) -> np.ndarray:
        return np.asarray(-spins(states) @ model.a - (h * _lengths(model, states)).sum(axis=1))

    u = draw(BITS, free.size)
    for k, i in enumerate(free):
        other = _flipped(v, i)
        v = np.where(_flips(log_joint(other) - log_joint(v), u[:, k])[:, None], other, v)
    return v


def log_outcomes(model: SqRBM, v: np.ndarray, basis: np.ndarray, h: np.ndarray) -> np.ndarray:
    """log <v,h| exp(-H) |v,h> up to a constant, (C,), qubits measured in ``basis`` (C, m)."""
    phi = model.fields(v)
    x = np.take_along_axis(phi, np.broadcast_to(basis[:, None], (len(phi), 1, basis.shape[1])), 1)
    y, r = h * x[:, 0], np.linalg.norm(phi, axis=1)
    # (r - y)(r + y) is the square of the other components.
    rest = (phi**2).sum(axis=1) - x[:, 0] ** 2 if len(model.paulis) > 1 else np.zeros_like(r)
    with np.errstate(divide="ignore", invalid="ignore"):
        minus = np.where(y > 0, rest / (r + np.abs(y)), r - y)
        plus = np.where(y > 0, r + y, rest / (r + np.abs(y)))
        logs = np.logaddexp(r + np.log(minus / (2 * r)), -r + np.log(plus / (2 * r)))
    logs = np.where(r == 0, 0.0, logs)
    return np.asarray(-spins(v) @ model.a + logs.sum(axis=1))


def _pauli_outcomes(
    model: SqRBM, v: np.ndarray, draw: Draw, basis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bases (C, m) and outcomes h (C, m) of the hidden qubits given v."""
    m, p = model.n_hidden, len(model.paulis)
    if basis >= 0:
        which = np.full((len(v), m), basis)
    else:
        u = draw(BASIS, m if basis == -2 else 1)
        which = np.broadcast_to(np.floor(u * p).astype(int), (len(v), m))
    phi = model.fields(v)
    x = np.take_along_axis(phi, which[:, None], 1)[:, 0]
    r = np.linalg.norm(phi, axis=1)
    up = (1.0 - tanh_ratio(r) * x) / 2.0
    return which, np.where(draw(HIDDEN, m) < up, 1.0, -1.0)


def _pauli(model: SqRBM, v: np.ndarray, free: np.ndarray, draw: Draw, basis: int) -> np.ndarray:
    which, h = _pauli_outcomes(model, v, draw, basis)
    u = draw(BITS, free.size)
    for k, i in enumerate(free):
        other = _flipped(v, i)
        change = log_outcomes(model, other, which, h) - log_outcomes(model, v, which, h)
        v = np.where(_flips(change, u[:, k])[:, None], other, v)
    return v


def _pauli_exact(
    model: SqRBM, v: np.ndarray, free: np.ndarray, draw: Draw, basis: int
) -> np.ndarray:
    """All free bits from p(v | h) by enumeration, last ones first of the kernel's order."""
    which, h = _pauli_outcomes(model, v, draw, basis)
    order = eliminate((model.w != 0).any(axis=0), free).summed
    u = np.empty(v.shape)
    u[:, free] = draw(BITS, free.size)
    new = v.copy()
    patterns = (np.arange(2**free.size)[:, None] >> np.arange(free.size)[::-1]) & 1
    for c in range(len(v)):
        states = np.repeat(v[c : c + 1], len(patterns), axis=0)
        states[:, free] = patterns
        rows = np.repeat(which[c : c + 1], len(states), axis=0)
        logs = log_outcomes(model, states, rows, np.repeat(h[c : c + 1], len(states), axis=0))
        weights = np.exp(logs - logs.max())
        for unit in order[::-1]:
            new[c, unit] = u[c, unit] * weights.sum() < weights[states[:, unit] == 1].sum()
            weights = np.where(states[:, unit] == new[c, unit], weights, 0.0)
    return new


def _visible_fields(model: SqRBM, t: np.ndarray) -> np.ndarray:
    """Half the log odds of s_i = +1 in the field of vectors t (C, P, m) of the hidden units."""
    return np.asarray(-model.a + np.einsum("pij,cpj->ci", model.w, t))


def _draw_bits(h: np.ndarray, v: np.ndarray, free: np.ndarray, u: np.ndarray) -> np.ndarray:
    found = v.copy()
    found[:, free] = ~_flips(2.0 * h[:, free], u)
    return found


def _sphere_points(phi: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Points of the sphere (C, P, m), density ~ exp(n.Phi), from two numbers each, (C, 2 m)."""
    count, p, m = phi.shape
    r = np.linalg.norm(phi, axis=1)
    axis = np.zeros((count, 3, m))
    axis[:, :p] = phi / r[:, None]
    x, y, z = axis[:, 0], axis[:, 1], axis[:, 2]
    low = np.exp(-2.0 * r)
    along = 1.0 + np.log(low + u[:, ::2] * (1.0 - low)) / r
    across = np.sqrt(np.maximum(1.0 - along**2, 0.0))
    angle = 2.0 * np.pi * u[:, 1::2] - np.pi
    # Duff et al., "Building an orthonormal basis, revisited", JCGT 6(1), 2017.
    sign = np.where(z < 0, -1.0, 1.0)
    a = -1.0 / (sign + z)
    b = x * y * a
    one = np.stack([1.0 + sign * x * x * a, sign * b, -sign * x], axis=1)
    two = np.stack([b, sign + y * y * a, -y], axis=1)
    around = np.cos(angle)[:, None] * one + np.sin(angle)[:, None] * two
    return np.asarray(along[:, None] * axis + across[:, None] * around)[:, :p]


def _bloch(
    model: SqRBM, v: np.ndarray, free: np.ndarray, draw: Draw
) -> tuple[np.ndarray, np.ndarray]:
    points = _sphere_points(model.fields(v), draw(HIDDEN, 2 * model.n_hidden))
    new = _draw_bits(_visible_fields(model, points), v, free, draw(BITS, free.size))

    def correction(states: np.ndarray) -> np.ndarray:
        r = _lengths(model, states)
        return np.asarray(np.log(r / np.tanh(r)).sum(axis=1))

    accept = np.log(draw(TEST, 1)[:, 0]) < correction(new) - correction(v)
    return np.where(accept[:, None], new, v), accept


def _outcomes(model: SqRBM, v: np.ndarray, free: np.ndarray, draw: Draw) -> np.ndarray:
    phi, r = model.fields(v), _lengths(model, v)
    h = np.where(draw(HIDDEN, model.n_hidden) < 1.0 / (1.0 + np.exp(2.0 * r)), 1.0, -1.0)
    t = -(h / r)[:, None] * phi
    return _draw_bits(_visible_fields(model, t), v, free, draw(BITS, free.size))


def _thermal(
    model: SqRBM, v: np.ndarray, free: np.ndarray, draw: Draw, inertia: float
) -> tuple[np.ndarray, np.ndarray]:
    def fields(states: np.ndarray) -> np.ndarray:
        t = tanh_ratio(_lengths(model, states))[:, None] * model.fields(states)
        return _visible_fields(model, t) + inertia * spins(states)

    def log_q(to: np.ndarray, h: np.ndarray) -> np.ndarray:
        s = spins(to)[:, free]
        return np.asarray((s * h[:, free] - log_2cosh(np.abs(h[:, free]))).sum(axis=1))

    h = fields(v)
    new = _draw_bits(h, v, free, draw(BITS, free.size))
    log_ratio = model.log_weight(new) - model.log_weight(v)
    log_ratio += log_q(v, fields(new)) - log_q(new, h)
    accept = np.log(draw(TEST, 1)[:, 0]) < log_ratio
    return np.where(accept[:, None], new, v), accept


def _block(model: SqRBM, v: np.ndarray, free: np.ndarray, draw: Draw) -> np.ndarray:
    h = np.where(_flips(2.0 * model.fields(v)[:, 0], draw(HIDDEN, model.n_hidden)), -1.0, 1.0)
    new = v.copy()
    bits = _flips(2.0 * (model.a + h @ model.w[0].T), draw(BITS, model.n_visible))
    new[:, free] = bits[:, free]
    return new


def sweep(
    kernel: str,
    model: SqRBM,
    v: np.ndarray,
    key: int,
    clock: int,
    *,
    first_chain: int = 0,
    free: np.ndarray | None = None,
    inertia: float = 0.0,
    basis: int = -1,
    precision: str = "double",
) -> tuple[np.ndarray, np.ndarray]:
    """One sweep of chains v (C, n): the new states, and accepted moves or fraction of changes.

    ``precision`` is that of the random numbers; arithmetic is always double.
    """
    n = model.n_visible
    units = np.arange(n) if free is None else np.flatnonzero(free)
    chains = first_chain + np.arange(len(v))

    def draw(purpose: int, count: int) -> np.ndarray:
        if kernel == "block":
            return unit_draws(key, chains, clock, purpose, count, precision)
        return chain_draws(key, chains, clock, purpose, count, precision)

    if kernel == "thermal":
        return _thermal(model, v, units, draw, inertia)
    if kernel == "bloch" and len(model.paulis) > 1:
        return _bloch(model, v, units, draw)
    if kernel == "collapsed":
        new = _collapsed(model, v, units, draw)
    elif kernel == "measured":
        new = _measured(model, v, units, draw)
    elif kernel == "pauli":
        new = _pauli(model, v, units, draw, basis)
    elif kernel == "pauli-exact":
        new = _pauli_exact(model, v, units, draw, basis)
    elif kernel == "block":
        new = _block(model, v, units, draw)
    else:
        new = _outcomes(model, v, units, draw)
    return new, (new != v).sum(axis=1) / units.size


# --- distributions -------------------------------------------------------------------------------


def gibbs_matrix(log_weight: np.ndarray, n: int) -> np.ndarray:
    """Transition matrix (2**n, 2**n) of one pass of single-bit Gibbs sampling, unit 1 first."""
    index = np.arange(2**n)
    found = np.eye(2**n)
    for i in range(n):
        other = index ^ (1 << (n - 1 - i))
        flip = 1.0 / (1.0 + np.exp(log_weight - log_weight[other]))
        step = np.zeros((2**n, 2**n))
        step[index, index] = 1.0 - flip
        step[index, other] = flip
        found = found @ step
    return found


def chi_squared(states: np.ndarray, p: np.ndarray) -> float:
    """p-value of independent states (K, n) under p (2**n,); states expected < 5 times are pooled.

    A state that p excludes gives 0.
    """
    counts, expected = np.bincount(index_of(states), minlength=p.size), p * len(states)
    if counts[p == 0].any():
        return 0.0
    rare = expected < 5
    pooled = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    keep = wanted > 0
    statistic = ((pooled - wanted)[keep] ** 2 / wanted[keep]).sum()
    return float(chi2.sf(statistic, keep.sum() - 1))


def draw_states(p: np.ndarray, count: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` independent states (count, n) from p (2**n,)."""
    index = rng.choice(p.size, size=count, p=p / p.sum())
    return ((index[:, None] >> np.arange(n)[::-1]) & 1).astype(np.uint8)
