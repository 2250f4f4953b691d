"""The negative phase "quantum": averages for training from shots of circuits.

Every update's random numbers follow from the run's key and the number of updates before it, so that
on simulators a training is a function of its settings, however it is batched and wherever it was
interrupted. Strategies with chains keep them from update to update, as persistent contrastive
divergence does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.quantum.conventions import need_qiskit
from tnqbm.quantum.sampler import QiskitGibbs
from tnqbm.quantum.updates import MeasuredUpdates
from tnqbm.quantum.usage import Usage
from tnqbm.training.phases import Estimate, PhaseContext

Float = NDArray[np.float64]
State = dict[str, NDArray[np.generic]]


class QuantumPhase:
    """Averages measured by :class:`tnqbm.quantum.QiskitGibbs` for runs of one shape.

    It uses shots, trotter_steps, strategy and backend of the settings, and chains and steps (moves
    of every chain in an update) for strategies with chains. Raises ValueError on a backend that is
    not known and for a team of several processes, which cannot share a device. A run of which too
    few shots survive fails alone.
    """

    def __init__(self, context: PhaseContext, sampler: Any = None) -> None:
        need_qiskit("negative_phase 'quantum'")
        settings = context.settings
        if context.team.size > 1:
            raise ValueError(
                "the negative phase 'quantum' cannot be shared by several ranks; leave "
                "ranks_per_run at 1"
            )
        self._context = context
        self._gibbs = QiskitGibbs(
            sampler,
            backend=None if sampler is not None else settings.backend,
            strategy=settings.strategy,
            shots=settings.shots,
            trotter_steps=settings.trotter_steps,
            chains=settings.chains,
            moves=settings.steps,
        )
        self._chained = settings.strategy != "imaginary-time"
        runs = context.keys.size
        shape = (runs, settings.chains if self._chained else 0, context.n_visible)
        self._states = np.zeros(shape, dtype=np.uint8)
        names = {"strategy": settings.strategy, "backend": self._gibbs.device.name}
        self._updates = MeasuredUpdates(context.keys, names, chains=self._chained)

    def estimate(
        self, theta: Float, rows: NDArray[np.intp], data: NDArray[np.uint8] | None = None
    ) -> Estimate:
        return self._updates.estimate(theta, rows, self._measure)

    def _measure(self, theta: Float, run: int, key: np.random.SeedSequence) -> tuple[Float, Usage]:
        start = self._states[run] if self._chained and self._updates.count else None
        found = self._gibbs.measure_moments(self._context.model(theta), states=start, seed=key)
        if found.states is not None:
            self._states[run] = found.states
        return found.moments.to_vector(), found

    def report(self, rows: NDArray[np.intp]) -> dict[str, NDArray[np.generic]]:
        """What each of the runs has taken so far, see docs/quantum.md."""
        return self._updates.report(rows)

    def state(self) -> State:
        return {"states": self._states.copy(), **self._updates.state()}

    def restore(self, state: State) -> None:
        have, want = np.shape(state.get("states", np.empty(0))), self._states.shape
        if have != want:
            raise ValueError(
                f"checkpoint's states of negative phase 'quantum' have shape {have}, this "
                f"training's {want}"
            )
        self._updates.restore(state)
        self._states = np.array(state["states"], dtype=np.uint8)
