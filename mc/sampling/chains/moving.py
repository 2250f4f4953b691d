"""Chains of one model on their way: sweeps of a kernel, global moves, energies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mc.kernels import Sweeper
from mc.sampling.amplitude.moves import IndependenceMoves
from mc.sampling.chains.states import FREE, States
from tnqbm.core.model import SqRBM


class MovingChains:
    """Chains of one model, all with the same kernel and the same units held fixed.

    ``states`` (chains, n) is where they are now; :meth:`advance` changes it in place. With
    ``moves``, every sweep of the kernel is followed by one global move of every chain. The numbers
    depend on ``key``, the moves and the starting states alone, not on how the sweeps are divided.
    """

    def __init__(
        self,
        model: SqRBM,
        kernel: str,
        states: States,
        key: int,
        *,
        held: NDArray[np.int8] | None = None,
        precision: str = "double",
        inertia: float = 0.0,
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
        self._sweeper = Sweeper(
            model.shape,
            kernel,
            precision=precision,
            inertia=inertia,
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
