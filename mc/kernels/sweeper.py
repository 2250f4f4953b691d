"""The front door to the kernels: :class:`Sweeper`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import drivers
from mc.kernels.bloch import bloch_chains
from mc.kernels.block import BlockChains
from mc.kernels.collapsed import collapsed_chains
from mc.kernels.elimination import check_width
from mc.kernels.measured import measured_chains
from mc.kernels.pauli import EACH, RANDOM, pauli_chains
from mc.kernels.pauli_exact import ExactChains
from mc.kernels.thermal import thermal_chains, uncorrected_chains
from tnqbm.core.paulis import check_basis
from tnqbm.core.shape import Shape
from tnqbm.kernels.parallel import get_num_threads
from tnqbm.kernels.simd import aligned, lanes
from tnqbm.kernels.tables import all_within


class _Sweep(NamedTuple):
    """A way to move: its driver, and what its rates count."""

    chains: Any
    accepts: bool = False
    """Whether a sweep is one move, accepted or not; else bits change one by one."""
    measures: bool = False
    """Whether qubits are measured in Pauli matrices, so that there is a ``basis``."""
    sums: bool = False
    """Whether it sums over states, of which there may be too many."""


_SWEEPS = {
    "block": _Sweep(None),  # BlockChains: lanes are units there
    "bloch": _Sweep(bloch_chains, accepts=True),
    "thermal": _Sweep(thermal_chains, accepts=True),
    "collapsed": _Sweep(collapsed_chains),
    "measured": _Sweep(measured_chains),
    "pauli": _Sweep(pauli_chains, measures=True),
    "pauli-exact": _Sweep(None, measures=True, sums=True),  # ExactChains
    "thermal-uncorrected": _Sweep(uncorrected_chains),
}

KERNELS = tuple(_SWEEPS)
"""Names of the kernels; the last is approximate for two and three Paulis."""

MAX_SINGLE = 1e15
"""Largest parameter in single precision: squares of hidden fields must stay finite."""


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


def check_states(name: str, shape: Shape, mask: NDArray[np.bool_] | None = None) -> None:
    """MemoryError if a kernel would sum over too many states of models with these couplings.

    ``mask`` (n, m) as of :class:`tnqbm.SqRBM`, None if all units are coupled with all qubits.
    """
    if _SWEEPS[name].sums:
        every = np.ones((shape.n_visible, shape.n_hidden), dtype=bool)
        check_width(every if mask is None else mask)


def check_kernel_basis(kernel: str, basis: str | None, paulis: str = "") -> None:
    """ValueError for a basis that a kernel, or a model with these Pauli matrices, does not have.

    ``basis`` None stands for none, ``paulis`` is "" where they are not known.
    """
    if basis is None:
        return
    check_basis(basis, paulis)
    if not (kernel in _SWEEPS and _SWEEPS[kernel].measures):
        having = " and ".join(repr(name) for name, sweep in _SWEEPS.items() if sweep.measures)
        raise ValueError(f"basis: is for the kernels {having}, not for {kernel!r}")


def basis_number(kernel: str, basis: str | None, paulis: str) -> int | None:
    """``basis`` as :class:`Sweeper` takes it, which knows the model's Pauli matrices by number.

    "random" is one of them for each chain and sweep, "each" for each qubit as well. None stays
    None. Raises as :func:`check_kernel_basis` does.
    """
    check_kernel_basis(kernel, basis, paulis)
    return {None: None, "random": RANDOM, "each": EACH}.get(basis, paulis.find(basis or ""))


class Sweeper:
    """Moves the chains of a batch of models of one shape by one kernel.

    Parameters
    ----------
    shape : of the models.
    kernel : one of ``KERNELS``.
    precision : "double" or "single" arithmetic.
    inertia : kappa >= 0 of the thermal kernels; others ignore it.
    basis : of the kernels "pauli" and "pauli-exact", a number from :func:`basis_number`; None for
        "random".
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
        basis: int | None = None,
        free: ArrayLike | None = None,
    ) -> None:
        n = shape.n_visible
        check_kernel(kernel, shape.n_paulis)
        if precision not in ("double", "single"):
            raise ValueError(f"precision: {precision!r} is not 'double' or 'single'")
        if not (np.isfinite(inertia) and inertia >= 0):
            raise ValueError(f"inertia: must be a finite number >= 0, got {inertia!r}")
        if basis is not None and not EACH <= basis < shape.n_paulis:
            raise ValueError(f"basis: {basis!r} is not the number of one of the Pauli matrices")
        chosen = np.ones(n, dtype=bool) if free is None else np.asarray(free)
        if chosen.shape != (n,) or chosen.dtype != np.bool_:
            raise ValueError(f"free must be {n} truth values, one per visible unit")
        if not chosen.any():
            raise ValueError("free: every visible unit is fixed, nothing is left to sample")
        self.shape = shape
        self.kernel = kernel
        own = float(RANDOM if basis is None else basis)
        self._setting = own if _SWEEPS[kernel].measures else float(inertia)
        self.free = np.flatnonzero(chosen)
        self._dtype = np.dtype(np.float32 if precision == "single" else np.float64)
        self._lanes = lanes(self._dtype)
        self._work: NDArray[Any] = np.empty((0, 0), self._dtype)
        self._pars: NDArray[Any] = np.empty((0, 0), self._dtype)
        self._other: BlockChains | ExactChains | None = None
        if kernel == "block":
            self._other = BlockChains(shape, self._dtype, self.free)
        elif kernel == "pauli-exact":
            self._other = ExactChains(shape, self._dtype, self.free, self._setting)
        # With one Pauli the two are the same, and there is nothing to correct.
        alike = kernel == "bloch" and shape.n_paulis == 1
        self._sweep = _SWEEPS["thermal-uncorrected" if alike else kernel]

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
        moves = 1 if self._sweep.accepts else self.free.size
        if self._other is not None:
            self._other.sweep(theta, states, keys, clock, steps, first_chain, rates)
        else:
            self._sweep.chains(
                self._pack(theta), *self.shape, self._lanes, keys, clock, steps, first_chain,
                self.free, self._setting, states, self._scratch(), rates,
            )  # fmt: skip
        return np.asarray(rates / (steps * moves))

    def log_weights(
        self, theta: NDArray[np.float64], states: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """log p~(v) of states (B, C, n) under theta (B, size), (B, C)."""
        self._check(theta, states)
        out = np.zeros(states.shape[:2])
        if states.size:
            drivers.chain_log_weights(
                self._pack(theta), *self.shape, self._lanes, states, self._scratch(), out
            )
        return out

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
        drivers.pack_all(np.ascontiguousarray(theta), *self.shape, self._pars)
        return self._pars

    def _scratch(self) -> NDArray[Any]:
        threads = get_num_threads()
        if self._work.shape[0] < threads:
            size = drivers.work_size(*self.shape, self._lanes)
            # Whole cache lines per thread.
            self._work = aligned((threads, -(-size // 16) * 16), self._dtype)
        return self._work
