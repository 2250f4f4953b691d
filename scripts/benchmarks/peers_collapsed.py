"""Collapsed Gibbs sampling of sqRBMs with NumPy and JAX: one bit at a time, qubits summed out.

Both carry the hidden fields along, keep chains in the fastest index (so that every operation is a
long vector), take one logarithm per 64 hidden units, and draw the uniform numbers of a sweep at
once. A maker takes the parameters in the order of ``SqRBM.to_vector`` and the first states, and
returns an object with ``sweep(steps)`` and ``states()``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers_gibbs import Sampler

PRODUCT = 64
"""Factors 1 + exp(-2r) <= 2 multiplied before a logarithm is taken."""


def _split(theta: NDArray[np.float64], n: int, m: int, p: int, dtype: Any) -> tuple[Any, Any, Any]:
    """a (n,), b (p, m, 1), w (n, p, m, 1)."""
    theta = theta.astype(dtype)
    w = theta[n + p * m :].reshape(p, n, m).transpose(1, 0, 2)
    b = theta[n : n + p * m].reshape(p, m)
    return theta[:n], b[..., None], np.ascontiguousarray(w)[..., None]


class NumpyCollapsed:
    """Preallocated buffers, every operation in place."""

    def __init__(
        self,
        theta: NDArray[np.float64],
        n: int,
        m: int,
        p: int,
        states: NDArray[np.uint8],
        dtype: Any,
    ) -> None:
        self._a, self._b, self._w = _split(theta, n, m, p, dtype)
        self._s = np.ascontiguousarray(1 - 2 * states.T.astype(dtype))
        chains = states.shape[0]
        self._rng = np.random.Generator(np.random.SFC64(1))
        self._u = np.empty((n, chains), dtype)
        self._new = np.empty((p, m, chains), dtype)
        self._r, self._e = np.empty((m, chains), dtype), np.empty((m, chains), dtype)

    def _weight(self, phi: Any) -> Any:
        """sum_j log(2 cosh r_j), (chains,)."""
        r, e = self._r, self._e
        if phi.shape[0] == 1:
            np.abs(phi[0], out=r)
        else:
            np.multiply(phi[0], phi[0], out=r)
            for x in phi[1:]:
                np.multiply(x, x, out=e)
                r += e
            np.sqrt(r, out=r)
        np.multiply(r, -2, out=e)
        np.exp(e, out=e)
        e += 1
        logs = sum(np.log(e[k : k + PRODUCT].prod(axis=0)) for k in range(0, len(e), PRODUCT))
        return r.sum(axis=0) + logs

    def sweep(self, steps: int) -> None:
        s, w = self._s, self._w
        n = s.shape[0]
        phi = self._b + np.tensordot(w[..., 0], s, axes=(0, 0))
        for _ in range(steps):
            self._rng.random(dtype=self._u.dtype.type, out=self._u)
            weight = self._weight(phi)
            for i in range(n):
                step = -2 * s[i]
                new = np.multiply(w[i], step, out=self._new)
                new += phi
                found = self._weight(new)
                # u < 1/(1 + exp(-D)) for D = found - weight - a_i step.
                against = np.minimum(weight - found + self._a[i] * step, 80)
                flip = self._u[i] * (1 + np.exp(against)) < 1
                weight = np.where(flip, found, weight)
                np.copyto(phi, new, where=flip)
                s[i] += step * flip

    def states(self) -> NDArray[np.uint8]:
        return np.ascontiguousarray((self._s.T < 0).astype(np.uint8))


class JaxCollapsed:
    """Compiled, a scan over bits inside a scan over sweeps."""

    def __init__(
        self,
        theta: NDArray[np.float64],
        n: int,
        m: int,
        p: int,
        states: NDArray[np.uint8],
        dtype: Any,
    ) -> None:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        self._jax = jax
        a, b, w = (jnp.asarray(x) for x in _split(theta, n, m, p, dtype))
        chains = states.shape[0]

        def hidden_weight(phi: Any) -> Any:
            r = jnp.sqrt((phi * phi).sum(axis=0)) if p > 1 else jnp.abs(phi[0])
            e = 1 + jnp.exp(-2 * r)
            logs = [jnp.log(e[k : k + PRODUCT].prod(axis=0)) for k in range(0, m, PRODUCT)]
            return r.sum(axis=0) + sum(logs)

        def bit(carry: Any, item: Any) -> tuple[Any, Any]:
            phi, weight = carry
            spin, a_i, w_i, u = item
            new = phi - 2 * spin * w_i
            found = hidden_weight(new)
            against = jnp.minimum(weight - found - 2 * a_i * spin, 80)
            flip = u * (1 + jnp.exp(against)) < 1
            phi, weight = jnp.where(flip, new, phi), jnp.where(flip, found, weight)
            return (phi, weight), jnp.where(flip, -spin, spin)

        def one(carry: Any, _: Any) -> tuple[Any, None]:
            s, key = carry
            key, own = jax.random.split(key)
            u = jax.random.uniform(own, (n, chains), s.dtype)
            phi = b + jnp.tensordot(w[..., 0], s, axes=(0, 0))
            s = jax.lax.scan(bit, (phi, hidden_weight(phi)), (s, a, w, u))[1]
            return (s, key), None

        def sweeps(s: Any, key: Any, steps: int) -> Any:
            return jax.lax.scan(one, (s, key), None, length=steps)[0]

        self._sweeps = jax.jit(sweeps, static_argnums=2, donate_argnums=0)
        self._key = jax.random.key(1)
        self._s = jnp.asarray(1 - 2 * states.T.astype(dtype))

    def sweep(self, steps: int) -> None:
        self._s, self._key = self._sweeps(self._s, self._key, steps)
        self._jax.block_until_ready(self._s)

    def states(self) -> NDArray[np.uint8]:
        return np.ascontiguousarray((np.asarray(self._s).T < 0).astype(np.uint8))


MAKERS: dict[str, Callable[..., Sampler]] = {"numpy": NumpyCollapsed, "jax": JaxCollapsed}


def make(
    name: str,
    theta: NDArray[np.float64],
    n: int,
    m: int,
    p: int,
    states: NDArray[np.uint8],
    dtype: Any,
) -> Sampler | None:
    """The sampler ``name``, or None where its library is not installed."""
    if importlib.util.find_spec(name) is None:
        return None
    return MAKERS[name](theta, n, m, p, states, dtype)
