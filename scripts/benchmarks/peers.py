"""The exact gradient written for NumPy, JAX and PyTorch, as a competent user would write it.

Each maker returns a function theta -> (log Z, flat moments) for one model shape, or None where
the library is not installed. All of them work in chunks of states, so that none needs 2^n x m
numbers at once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

Gradient = Callable[[np.ndarray], Any]


def spins_chunk(start: int, stop: int, n: int, dtype: Any) -> np.ndarray:
    """Spins of the visible states start to stop, (stop - start, n)."""
    index = np.arange(start, stop)
    return (1 - 2 * ((index[:, None] >> np.arange(n)[::-1]) & 1)).astype(dtype)


def numpy_gradient(n: int, m: int, p: int, dtype: Any = np.float64, chunk: int = 4096) -> Gradient:
    """Chunked NumPy with a streaming log-sum-exp; matrix products by BLAS."""
    chunks = [spins_chunk(k, min(k + chunk, 1 << n), n, dtype) for k in range(0, 1 << n, chunk)]

    def gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        theta = theta.astype(dtype)
        a, b, w = theta[:n], theta[n : n + p * m], theta[n + p * m :].reshape(p, n, m)
        flat_w = np.ascontiguousarray(w.transpose(1, 0, 2)).reshape(n, p * m)
        reference, z = -np.inf, 0.0
        sums: list[Any] = [0.0, 0.0, 0.0]
        for s in chunks:
            phi = (s @ flat_w + b).reshape(-1, p, m)
            r = np.sqrt((phi * phi).sum(axis=1))
            e = np.exp(-2 * r)
            log_weight = (r + np.log1p(e)).sum(axis=1) - s @ a
            t = (1 - e) / ((1 + e) * np.maximum(r, 1e-30))
            highest = max(reference, float(log_weight.max()))
            scale = np.exp(reference - highest) if reference > -np.inf else 0.0
            weight = np.exp(log_weight - highest)
            x = (phi * (t * weight[:, None])[:, None, :]).reshape(-1, p * m)
            new = (weight @ s, x.sum(axis=0), s.T @ x)
            sums = [scale * old + term for old, term in zip(sums, new, strict=True)]
            z, reference = scale * z + weight.sum(), highest
        zsigma = -sums[2].reshape(n, p, m).transpose(1, 0, 2).ravel()
        return reference + np.log(z), np.concatenate([sums[0], -sums[1], zsigma]) / z

    return gradient


def jax_gradient(n: int, m: int, p: int, dtype: Any = np.float64) -> Gradient | None:
    """jit-compiled JAX: one pass for small n, a scan over chunks for large n."""
    if importlib.util.find_spec("jax") is None:
        return None
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    chunk = min(1 << n, 4096)
    low = jnp.asarray(spins_chunk(0, chunk, n, dtype))
    bits = int(np.log2(chunk))
    high = jnp.asarray(spins_chunk(0, (1 << n) // chunk, n - bits, dtype)) if n > bits else None

    def one_chunk(theta: Any, s: Any) -> tuple[Any, Any, Any, Any]:
        a, b, w = theta[:n], theta[n : n + p * m].reshape(p, m), theta[n + p * m :]
        phi = jnp.einsum("vi,pij->vpj", s, w.reshape(p, n, m)) + b
        r = jnp.sqrt((phi * phi).sum(axis=1) + 1e-30)
        e = jnp.exp(-2 * r)
        log_weight = (r + jnp.log1p(e)).sum(axis=1) - s @ a
        reference = log_weight.max()
        weight = jnp.exp(log_weight - reference)
        x = -phi * ((1 - e) / ((1 + e) * r) * weight[:, None])[:, None, :]
        moments = (weight @ s, x.sum(axis=0).ravel(), jnp.einsum("vi,vpj->pij", s, x).ravel())
        return reference, weight.sum(), jnp.concatenate(moments), None

    @jax.jit
    def gradient(theta: Any) -> Any:
        if high is None:
            reference, z, moments, _ = one_chunk(theta, low)
            return reference + jnp.log(z), moments / z

        def step(carry: Any, top: Any) -> tuple[Any, None]:
            s = low.at[:, : n - bits].set(top)
            reference, z, moments, _ = one_chunk(theta, s)
            highest = jnp.maximum(carry[0], reference)
            old, new = jnp.exp(carry[0] - highest), jnp.exp(reference - highest)
            return (highest, carry[1] * old + z * new, carry[2] * old + moments * new), None

        start = (jnp.asarray(-1e30, theta.dtype), jnp.zeros((), theta.dtype), jnp.zeros_like(theta))
        (reference, z, moments), _ = jax.lax.scan(step, start, high)
        return reference + jnp.log(z), moments / z

    def call(theta: np.ndarray) -> Any:
        return jax.block_until_ready(gradient(jnp.asarray(theta.astype(dtype))))

    return call


def torch_gradient(n: int, m: int, p: int, dtype: Any = np.float64) -> Gradient | None:
    """PyTorch, eager, without autograd, in chunks of states."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    kind = torch.float64 if dtype == np.float64 else torch.float32
    chunk = 4096
    chunks = [
        torch.as_tensor(spins_chunk(k, min(k + chunk, 1 << n), n, dtype))
        for k in range(0, 1 << n, chunk)
    ]

    def gradient(theta: np.ndarray) -> Any:
        with torch.no_grad():
            par = torch.as_tensor(theta).to(kind)
            a, b = par[:n], par[n : n + p * m]
            flat_w = par[n + p * m :].reshape(p, n, m).permute(1, 0, 2).reshape(n, p * m)
            reference, z = -1e30, torch.zeros((), dtype=kind)
            sums: list[Any] = [0.0, 0.0, 0.0]
            for s in chunks:
                phi = torch.addmm(b, s, flat_w).reshape(-1, p, m)
                r = torch.sqrt((phi * phi).sum(dim=1) + 1e-30)
                e = torch.exp(-2 * r)
                log_weight = (r + torch.log1p(e)).sum(dim=1) - s @ a
                highest = max(reference, float(log_weight.max()))
                scale = float(np.exp(reference - highest))
                weight = torch.exp(log_weight - highest)
                x = (phi * ((1 - e) / ((1 + e) * r) * weight[:, None])[:, None, :]).reshape(
                    -1, p * m
                )
                new = (weight @ s, x.sum(dim=0), s.T @ x)
                sums = [scale * old + term for old, term in zip(sums, new, strict=True)]
                z, reference = scale * z + weight.sum(), highest
            zsigma = -sums[2].reshape(n, p, m).permute(1, 0, 2).reshape(-1)
            return reference + torch.log(z), torch.cat([sums[0], -sums[1], zsigma]) / z

    return gradient
