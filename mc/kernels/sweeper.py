"""The front door to the kernels: :class:`Sweeper`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import block, groups
from tnqbm.core.shape import Shape
from tnqbm.kernels.parallel import get_num_threads
from tnqbm.kernels.simd import aligned, lanes
from tnqbm.training.optimizers import all_within

KERNELS = ("block", "bloch", "thermal", "collapsed", "measured", "thermal-uncorrected")
"""Names of the kernels; the last is approximate for two and three Paulis."""

MAX_SINGLE = 1e15
"""Largest parameter in single precision: squares of hidden fields must stay finite."""

_TILE = 128
"""Most chains that share the tables of the block kernel."""


def is_exact(name: str, n_paulis: int) -> bool:
    """Whether a kernel leaves the model's distribution invariant."""
    check_kernel(name, n_paulis)
    return name != "thermal-uncorrected" or n_paulis == 1


def check_kernel(name: str, n_paulis: int) -> None:
    """ValueError if there is no such kernel, or none for this number of Paulis."""
    if name not in KERNELS:
        raise ValueError(f"kernel: {name!r} is not one of {', '.join(KERNELS)}")
    if name == "block" and n_paulis != 1:
        raise ValueError(
            "kernel: 'block' is the two-block sampler of models with one Pauli; with "
            f"{n_paulis} Paulis use 'collapsed', 'bloch', 'thermal' or 'measured'"
        )


class Sweeper:
    """Moves the chains of a batch of models of one shape by one kernel.

    Parameters
    ----------
    shape : of the models.
    kernel : one of ``KERNELS``.
    precision : "double" or "single" arithmetic.
    inertia : kappa >= 0 of the thermal kernels; others ignore it.
    free : (n,) bool, the visible units that move; None for all.

    Raises ValueError on an unknown kernel or impossible values. Not safe for use by several Python
    threads at once.
    """

    def __init__(
        self,
        shape: Shape,
        kernel: str,
        *,
        precision: str = "double",
        inertia: float = 0.0,
        free: ArrayLike | None = None,
    ) -> None:
        n = shape.n_visible
        check_kernel(kernel, shape.n_paulis)
        if precision not in ("double", "single"):
            raise ValueError(f"precision: {precision!r} is not 'double' or 'single'")
        if not (np.isfinite(inertia) and inertia >= 0):
            raise ValueError(f"inertia: must be a finite number >= 0, got {inertia!r}")
        chosen = np.ones(n, dtype=bool) if free is None else np.asarray(free)
        if chosen.shape != (n,) or chosen.dtype != np.bool_:
            raise ValueError(f"free must be {n} truth values, one per visible unit")
        if not chosen.any():
            raise ValueError("free: every visible unit is fixed, nothing is left to sample")
        self.shape = shape
        self.kernel = kernel
        self.inertia = float(inertia)
        self.free = np.flatnonzero(chosen)
        self._dtype = np.dtype(np.float32 if precision == "single" else np.float64)
        self._lanes = lanes(self._dtype)
        self._work: NDArray[Any] = np.empty((0, 0), self._dtype)
        self._pars: NDArray[Any] = np.empty((0, 0), self._dtype)
        self._tables: tuple[NDArray[Any], ...] | None = None
        self._tile = 0
        self._fixed = block.fixed_codes(self.free, n, self._lanes)

    def sweep(
        self,
        theta: NDArray[np.float64],
        states: NDArray[np.uint8],
        keys: NDArray[np.uint64],
        clock: int,
        steps: int,
        first_chain: int = 0,
    ) -> NDArray[np.float64]:
        """Move ``states`` (B, C, n) in place by ``steps`` sweeps of the models theta (B, size).

        Random numbers are functions of (keys[b], first_chain + c, clock + step, unit): the caller
        adds ``steps`` to its clock. Returns (B, C), per sweep: the fraction of accepted moves of a
        Metropolis-Hastings kernel, for others the fraction of free bits that changed.
        """
        self._check(theta, states)
        if np.shape(keys) != (theta.shape[0],):
            raise ValueError(f"keys must have shape ({theta.shape[0]},), got {np.shape(keys)}")
        rates = np.zeros(states.shape[:2])
        if steps < 1 or not states.size:
            return rates
        keys = np.ascontiguousarray(keys, np.uint64)
        if self.kernel == "block":
            self._block(theta, states, keys, clock, steps, first_chain, rates)
            return np.asarray(rates / (steps * self.free.size))
        pars = self._pack(theta)
        common = (
            pars, *self.shape, self._lanes, keys, clock, steps, first_chain,
            self.free,
        )  # fmt: skip
        work = self._scratch()
        moves = self.free.size
        if self.kernel == "thermal":
            groups.thermal_chains(*common, self.inertia, states, work, rates)
            moves = 1
        elif self.kernel in ("bloch", "thermal-uncorrected"):
            # With one Pauli the two are the same, and there is nothing to correct.
            bloch = self.kernel == "bloch" and self.shape.n_paulis > 1
            groups.vector_chains(*common, bloch, states, work, rates)
            moves = 1 if bloch else moves
        elif self.kernel == "measured":
            groups.measured_chains(*common, states, work, rates)
        else:
            groups.collapsed_chains(*common, states, work, rates)
        return np.asarray(rates / (steps * moves))

    def log_weights(
        self, theta: NDArray[np.float64], states: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """log p~(v) of states (B, C, n) under theta (B, size), (B, C)."""
        self._check(theta, states)
        found = np.zeros(states.shape[:2])
        if states.size:
            pars = self._pack(theta)
            groups.chain_log_weights(pars, *self.shape, self._lanes, states, self._scratch(), found)
        return found

    def _block(
        self,
        theta: NDArray[np.float64],
        states: NDArray[np.uint8],
        keys: NDArray[np.uint64],
        clock: int,
        steps: int,
        first_chain: int,
        rates: NDArray[np.float64],
    ) -> None:
        batch, chains, n = states.shape
        threads = get_num_threads()
        tile = min(_TILE, max(1, -(-batch * chains // threads)))
        if self._tables is None or self._tables[0].shape[0] < threads or self._tile < tile:
            wide = block.padded(n, self._lanes), block.padded(self.shape.n_hidden, self._lanes)
            self._tile = tile
            self._tables = (
                aligned((threads, n + 1, wide[1]), self._dtype),
                aligned((threads, self.shape.n_hidden + 1, wide[0]), self._dtype),
                aligned((threads, block.work_size(tile, self._lanes)), self._dtype),
                np.empty((threads, 4, tile, max(wide) // block.BITS), np.uint8),
            )
        block.block_chains(
            np.ascontiguousarray(theta), self.shape.n_hidden, self._lanes, tile, keys, clock, steps,
            first_chain, self._fixed, states, np.full(threads, -1), *self._tables, rates,
        )  # fmt: skip

    def _check(self, theta: NDArray[np.float64], states: NDArray[np.uint8]) -> None:
        batch = theta.shape[0]
        if theta.shape != (batch, self.shape.size):
            raise ValueError(f"theta must have shape (B, {self.shape.size}), got {theta.shape}")
        if (
            states.ndim != 3
            or states.shape[0] != batch
            or states.shape[2] != self.shape.n_visible
            or states.dtype != np.uint8
            or not states.flags.c_contiguous
        ):
            raise ValueError(
                "states must be a contiguous uint8 array of shape "
                f"({batch}, chains, {self.shape.n_visible}), got {states.dtype} {states.shape}"
            )
        if self._dtype == np.float32 and not all_within(theta.ravel(), MAX_SINGLE):
            raise ValueError(
                f"parameters exceed {MAX_SINGLE:g} in magnitude (or are not finite): "
                "use precision = 'double'"
            )

    def _pack(self, theta: NDArray[np.float64]) -> NDArray[Any]:
        if self._pars.shape != theta.shape:
            self._pars = np.empty(theta.shape, self._dtype)
        groups.pack_all(np.ascontiguousarray(theta), *self.shape, self._pars)
        return self._pars

    def _scratch(self) -> NDArray[Any]:
        threads = get_num_threads()
        if self._work.shape[0] < threads:
            size = groups.work_size(*self.shape, self._lanes)
            # Whole cache lines per thread.
            self._work = aligned((threads, -(-size // 16) * 16), self._dtype)
        return self._work
