"""Block Gibbs sampling of a classical RBM with NumPy, JAX, PyTorch and scikit-learn.

Each is written as a competent user would write it who wants speed: single precision, bits in
{0, 1}, buffers used again, chains in groups that stay near the caches. A maker takes the
parameters of the spin model of :class:`tnqbm.SqRBM` with paulis "Z" and the first states, and
returns an object with ``sweep(steps)`` and ``states()``, or None where the library is missing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

GROUP = 1024
"""Chains that are swept together: fewer make products with large weights slow."""


class Sampler(Protocol):
    def sweep(self, steps: int) -> Any: ...

    def states(self) -> NDArray[np.uint8]: ...


class Bits(NamedTuple):
    """Log odds of a bit being 1: ``hidden + v @ weights`` and ``visible + h @ weights.T``."""

    visible: NDArray[np.float32]
    hidden: NDArray[np.float32]
    weights: NDArray[np.float32]


def to_bits(theta: NDArray[np.float64], n: int, m: int) -> Bits:
    """The model's parameters for bits (1 - s)/2 in the place of spins s."""
    a, b, w = theta[:n], theta[n : n + m], theta[n + m :].reshape(n, m)
    visible, hidden = 2 * (a + w.sum(axis=1)), 2 * (b + w.sum(axis=0))
    return Bits(*(np.ascontiguousarray(x, np.float32) for x in (visible, hidden, -4 * w)))


class NumpyGibbs:
    """BLAS products in place; uniform numbers from raw SFC64 words, the fastest NumPy has."""

    def __init__(self, bits: Bits, states: NDArray[np.uint8]) -> None:
        self._rng = np.random.SFC64(1)
        # Negative log odds, so that a bit is 1 where u (1 + exp(x)) < 1.
        self._down = np.ascontiguousarray(-bits.weights), -bits.hidden
        self._up = np.ascontiguousarray(-bits.weights.T), -bits.visible
        self._v = states.astype(np.float32)
        m = bits.hidden.size
        self._h = np.empty((GROUP, m), np.float32)
        self._fields = [np.empty((GROUP, units), np.float32) for units in (m, states.shape[1])]

    def _layer(self, x: Any, weights: Any, field: Any, out: Any) -> None:
        matrix, bias = weights
        words = self._rng.random_raw((field.size + 1) // 2).view(np.uint32)[: field.size]
        words >>= 9
        words |= 0x3F800000
        u = words.view(np.float32).reshape(field.shape)
        u -= np.float32(1.0 - 2.0**-24)
        np.matmul(x, matrix, out=field)
        field += bias
        np.exp(field, out=field)
        field += 1
        field *= u
        np.less(field, 1, out=out)

    def sweep(self, steps: int) -> None:
        with np.errstate(over="ignore"):
            for first in range(0, self._v.shape[0], GROUP):
                v = self._v[first : first + GROUP]
                h = self._h[: v.shape[0]]
                to_h, to_v = (field[: v.shape[0]] for field in self._fields)
                for _ in range(steps):
                    self._layer(v, self._down, to_h, h)
                    self._layer(h, self._up, to_v, v)

    def states(self) -> NDArray[np.uint8]:
        return self._v.astype(np.uint8)


class TorchGibbs:
    """Eager, in place, without autograd; u < p beats torch.bernoulli on CPUs by a factor of two."""

    def __init__(self, bits: Bits, states: NDArray[np.uint8]) -> None:
        import torch

        torch.set_num_threads(1)
        self._torch = torch
        visible, hidden, weights = (torch.from_numpy(x) for x in bits)
        self._down = weights, hidden
        self._up = weights.T.contiguous(), visible
        self._v = torch.from_numpy(states.astype(np.float32))
        self._h = torch.empty((GROUP, hidden.numel()))
        self._p = [torch.empty((GROUP, x.numel())) for x in (hidden, visible)]
        self._u = [torch.empty_like(p) for p in self._p]

    def sweep(self, steps: int) -> None:
        torch = self._torch
        with torch.inference_mode():
            for first in range(0, self._v.shape[0], GROUP):
                v = self._v[first : first + GROUP]
                count = v.shape[0]
                h = self._h[:count]
                layers = (
                    (v, *self._down, self._p[0][:count], self._u[0][:count], h),
                    (h, *self._up, self._p[1][:count], self._u[1][:count], v),
                )
                for _ in range(steps):
                    for x, matrix, bias, p, u, out in layers:
                        torch.addmm(bias, x, matrix, out=p)
                        torch.lt(u.uniform_(), p.sigmoid_(), out=out)

    def states(self) -> NDArray[np.uint8]:
        return np.asarray(self._v.numpy().astype(np.uint8))


class JaxGibbs:
    """Compiled, a scan over sweeps, group by group.

    ``hashed`` replaces the numbers of JAX's Threefry by an integer hash of a counter and a 64-bit
    key, which Threefry draws anew for every layer: four multiplications a number that XLA fuses
    with the comparison. Weaker than the generators of these libraries; it shows what is left when
    random numbers cost little.
    """

    def __init__(self, bits: Bits, states: NDArray[np.uint8], hashed: bool = False) -> None:
        import jax
        import jax.numpy as jnp

        self._jax = jax
        weights, visible, hidden = bits.weights, bits.visible, bits.hidden
        # Groups of one size: the whole if it has no divisor near the size wanted.
        chains = states.shape[0]
        fitting = [k for k in range(GROUP // 2, GROUP + 1) if chains % k == 0]
        self._groups = chains // max(fitting) if fitting and chains > GROUP else 1

        def uniform(key: Any, shape: tuple[int, int]) -> Any:
            if not hashed:
                return jax.random.uniform(key, shape)
            row = jax.lax.broadcasted_iota(jnp.uint32, shape, 0)
            x = row * jnp.uint32(shape[1]) + jax.lax.broadcasted_iota(jnp.uint32, shape, 1)
            for word in jax.random.bits(key, (2,), jnp.uint32):
                x = x ^ word
                for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
                    x = (x ^ (x >> shift)) * jnp.uint32(factor)
                x = x ^ (x >> 16)
            x = (x >> 9) | jnp.uint32(0x3F800000)
            return jax.lax.bitcast_convert_type(x, jnp.float32) - 1

        def draw(key: Any, odds: Any) -> Any:
            # u < 1/(1 + exp(-odds)) without the division.
            u = uniform(key, odds.shape)
            return (u * (1 + jnp.exp(-odds)) < 1).astype(jnp.float32)

        def one(carry: Any, _: Any) -> tuple[Any, None]:
            v, key = carry
            key, first, second = jax.random.split(key, 3)
            h = draw(first, hidden + v @ weights)
            return (draw(second, visible + h @ weights.T), key), None

        def sweeps(v: Any, key: Any, steps: int) -> Any:
            def group(pair: Any) -> Any:
                return jax.lax.scan(one, pair, None, length=steps)[0][0]

            key, *own = jax.random.split(key, 1 + v.shape[0])
            return jax.lax.map(group, (v, jnp.stack(own))), key

        self._sweeps = jax.jit(sweeps, static_argnums=2, donate_argnums=0)
        self._key = jax.random.key(1)
        grouped = states.reshape(self._groups, -1, states.shape[1])
        self._v = jnp.asarray(grouped.astype(np.float32))

    def sweep(self, steps: int) -> None:
        self._v, self._key = self._sweeps(self._v, self._key, steps)
        self._jax.block_until_ready(self._v)

    def states(self) -> NDArray[np.uint8]:
        return np.asarray(self._v).astype(np.uint8).reshape(-1, self._v.shape[-1])


class SklearnGibbs:
    """BernoulliRBM.gibbs, one call a sweep."""

    def __init__(self, bits: Bits, states: NDArray[np.uint8]) -> None:
        from sklearn.neural_network import BernoulliRBM

        self._rbm = BernoulliRBM(n_components=bits.hidden.size, random_state=1)
        self._rbm.components_ = np.ascontiguousarray(bits.weights.T)
        self._rbm.intercept_hidden_ = bits.hidden
        self._rbm.intercept_visible_ = bits.visible
        self._v = states.astype(np.float32)

    def sweep(self, steps: int) -> None:
        for _ in range(steps):
            # It returns truth values; products with those would not reach BLAS.
            self._v = self._rbm.gibbs(self._v).astype(np.float32)

    def states(self) -> NDArray[np.uint8]:
        return self._v.astype(np.uint8)


def _jax_hashed(bits: Bits, states: NDArray[np.uint8]) -> Sampler:
    return JaxGibbs(bits, states, hashed=True)


MAKERS: dict[str, tuple[str, Callable[[Bits, NDArray[np.uint8]], Sampler]]] = {
    "numpy": ("numpy", NumpyGibbs),
    "jax": ("jax", JaxGibbs),
    "jax-hashed": ("jax", _jax_hashed),
    "torch": ("torch", TorchGibbs),
    "sklearn": ("sklearn", SklearnGibbs),
}
"""Name -> (module it needs, maker)."""


def make(
    name: str, theta: NDArray[np.float64], n: int, m: int, states: NDArray[np.uint8]
) -> Sampler | None:
    """The sampler ``name``, or None where its library is not installed."""
    module, maker = MAKERS[name]
    if importlib.util.find_spec(module) is None:
        return None
    return maker(to_bits(theta, n, m), states)
