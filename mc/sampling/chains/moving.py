"""Chains of one model: where they start, which units are held fixed, how they move."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import basis_number
from mc.sampling.amplitude.moves import IndependenceMoves
from mc.sampling.group_path import form_of, sweeper_of
from mc.sampling.policies import Init
from tnqbm.base.arguments import is_whole
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states
from tnqbm.datasets import Target
from tnqbm.hamiltonian.grouped import SqBM

States = NDArray[np.uint8]
Seed = int | np.random.SeedSequence
Clamp = Mapping[int, int] | ArrayLike

FREE = -1
"""Mark of a free unit in an array of clamped values."""


def clamped_values(clamp: Clamp | None, n: int) -> NDArray[np.int8]:
    """What every visible unit is held at: (n,) of 0, 1 or -1 for a free unit.

    ``clamp`` is a mapping {unit: 0 or 1} with units counted from 0, an array (n,) of 0, 1 and -1,
    or None. Raises ValueError naming the unit that is wrong, and if no unit is left free.
    """
    values = np.full(n, FREE, dtype=np.int8)
    if clamp is None:
        return values
    if isinstance(clamp, Mapping):
        for unit, value in clamp.items():
            if not is_whole(unit):
                raise ValueError(f"clamp: {unit!r} is no visible unit; units are 0 to {n - 1}")
            if not 0 <= unit < n:
                raise ValueError(f"clamp: there is no visible unit {unit}; units are 0 to {n - 1}")
            if value not in (0, 1):
                raise ValueError(f"clamp: unit {unit} cannot be held at {value!r}, only at 0 or 1")
            values[unit] = int(value)
    else:
        array = np.asarray(clamp)
        if array.shape != (n,) or array.dtype.kind not in "biuf":
            raise ValueError(
                f"clamp must be a mapping {{unit: 0 or 1}} or an array ({n},) of 0, 1 and -1 for "
                f"free units, got an array of shape {array.shape} and dtype {array.dtype}"
            )
        bad = np.flatnonzero(~np.isin(array, (FREE, 0, 1)))
        if bad.size:
            raise ValueError(
                f"clamp: unit {bad[0]} is {array[bad[0]]}; only 0, 1 and -1 (free) may occur"
            )
        values[:] = array.astype(np.int8)
    if not (values == FREE).any():
        raise ValueError(
            f"clamp: all {n} visible units are held fixed, so there is nothing to sample; leave "
            "at least one free"
        )
    return values


def starting_states(
    init: Init, chains: int, n: int, *, data: Target | ArrayLike | None, seed: Seed
) -> States:
    """States (chains, n) in which the chains start, C-contiguous.

    "random": independent fair bits. "data": rows of ``data`` drawn with replacement (a Target:
    with its probabilities; an array (N, n): uniformly). An array (chains, n): itself, repeated or
    cut to ``chains`` rows. Raises ValueError for anything else.
    """
    if isinstance(init, str):
        rng = streams.generator(seed)
        if init == "random":
            return rng.integers(0, 2, (chains, n), dtype=np.uint8)
        if init != "data":
            raise ValueError(f"init must be 'random', 'data' or an array (chains, n), not {init!r}")
        rows, weights = _rows(data, n)
        return np.ascontiguousarray(rows[rng.choice(rows.shape[0], chains, p=weights)])
    states = np.asarray(init)
    if states.ndim != 2 or states.shape[0] == 0:
        raise ValueError(
            f"init must be 'random', 'data' or an array (chains, {n}) of 0 and 1, "
            f"got an array of shape {states.shape}"
        )
    return np.resize(as_states(states, n), (chains, n))


def _rows(data: Target | ArrayLike | None, n: int) -> tuple[States, NDArray[np.float64] | None]:
    if data is None:
        raise ValueError("init = 'data' needs data: a Target or an array (N, n) of 0 and 1")
    if isinstance(data, Target):
        rows, weights = data.states, data.probabilities
    else:
        rows, weights = np.asarray(data), None
        if rows.ndim != 2 or rows.shape[0] == 0:
            raise ValueError(f"data must be a Target or an array (N, {n}), got shape {rows.shape}")
    if rows.shape[1] != n:
        raise ValueError(
            f"the data have {rows.shape[1]} entries per row, but the model has {n} visible units"
        )
    return as_states(rows, n), weights


def as_target(data: Target | ArrayLike) -> Target:
    """Data, a Target or rows (K, n), as a Target."""
    return data if isinstance(data, Target) else Target.from_samples(data)


def scout_states(model: SqRBM | SqBM, count: int, data: Target | None, seed: int) -> States:
    """The states of :func:`spread_states` that are not random bits, (count, n)."""
    return spread_states(model, 2 * count, data, seed)[1::2]


def spread_states(model: SqRBM | SqBM, count: int, data: Target | None, seed: int) -> States:
    """States (count, n) far from each other, for chains that should not agree before they mix.

    Every other one is random bits. The others are where hidden units of random signs would send
    the visible ones, in pairs of opposite signs, and with ``data`` every second pair are rows of
    it: these are where modes may be that random states fall into rarely.
    """
    rng = streams.generator((seed, streams.Second.STARTS))
    n = model.n_visible
    found = rng.integers(0, 2, (count, n), dtype=np.uint8)
    axes = np.linalg.svd(model.w.transpose(2, 1, 0), full_matrices=False)
    strongest = axes[0][:, :, 0] * axes[1][:, :1] if model.n_hidden else np.zeros((0, n))
    for pair, first in enumerate(range(1, count, 4)):
        places = [place for place in (first, first + 2) if place < count]
        signs = rng.choice([-1.0, 1.0], model.n_hidden)
        if data is not None and pair % 2:
            rows = rng.choice(data.n_states, len(places), p=data.probabilities)
            found[places] = data.states[rows]
            continue
        for place, sign in zip(places, (1.0, -1.0), strict=False):
            field = sign * (signs @ strongest) - model.a
            found[place] = np.where(field == 0, found[place], field < 0)
    return found


class MovingChains:
    """Chains of one model, all with the same kernel and the same units held fixed.

    ``states`` (chains, n) is where they are now; :meth:`advance` changes it in place. With
    ``moves``, every sweep of the kernel is followed by one global move of every chain. The numbers
    depend on ``key``, the moves and the starting states alone, not on how the sweeps are divided.
    """

    def __init__(
        self,
        model: SqRBM | SqBM,
        kernel: str,
        states: States,
        key: int,
        *,
        held: NDArray[np.int8] | None = None,
        precision: str = "double",
        inertia: float = 0.0,
        basis: str | None = None,
        moves: IndependenceMoves | None = None,
    ) -> None:
        n = model.n_visible
        held = np.full(n, FREE, dtype=np.int8) if held is None else held
        free = held == FREE
        self.states = np.where(free, states, held).astype(np.uint8)
        self.sweeps = 0
        self._moves = moves
        self._theta = model.to_vector()[None]
        self._keys = np.array([key], dtype=np.uint64)
        self._sweeper = sweeper_of(
            form_of(model),
            kernel,
            precision,
            inertia=inertia,
            basis=basis_number(kernel, basis, model.paulis),
            free=None if free.all() else free,
        )

    def advance(self, sweeps: int) -> NDArray[np.float64]:
        """So many sweeps of every chain; acceptance (chains,), see :class:`mc.kernels.Sweeper`.

        With global moves, the share of them that was accepted.
        """
        batch = self.states[None]
        if self._moves is None:
            acceptance = self._sweeper.sweep(self._theta, batch, self._keys, self.sweeps, sweeps)
            self.sweeps += sweeps
            return np.asarray(acceptance[0])
        accepted = np.zeros(len(self.states))
        for _ in range(sweeps):
            self._sweeper.sweep(self._theta, batch, self._keys, self.sweeps, 1)
            accepted += self._moves.propose(self.states, self.sweeps)
            self.sweeps += 1
        return accepted / max(1, sweeps)

    def energies(self) -> NDArray[np.float64]:
        """-log p~(v) of every chain, (chains,)."""
        return -np.asarray(self._sweeper.log_weights(self._theta, self.states[None])[0])
