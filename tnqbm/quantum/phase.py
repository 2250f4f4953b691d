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

from tnqbm.model import SqRBM
from tnqbm.moments import flatten
from tnqbm.phases import Estimate, PhaseContext
from tnqbm.quantum.extra import need_qiskit
from tnqbm.quantum.sampler import Measured, QiskitGibbs

Float = NDArray[np.float64]
State = dict[str, NDArray[np.generic]]

_STREAM = 21
"""Place of the random streams below a run's key."""

_LETTERS = {1: "Z", 2: "XZ", 3: "XYZ"}
"""Paulis for models of which only the number is known: no average depends on which they are."""

_COUNTS = ("shots", "kept", "depth", "two_qubit_gates")


class QuantumPhase:
    """Averages measured by :class:`tnqbm.quantum.QiskitGibbs` for runs of one shape.

    It uses shots, trotter_steps, strategy and backend of the settings, and chains and steps (moves
    of every chain in an update) for strategies with chains. Raises ValueError on a backend that is
    not known and for a team of several processes, which cannot share a device.
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
        self._updates = 0
        shape = (runs, settings.chains if self._chained else 0, context.n_visible)
        self._states = np.zeros(shape, dtype=np.uint8)
        self._counts = np.zeros((runs, len(_COUNTS)), dtype=np.int64)

    def estimate(
        self, theta: Float, rows: NDArray[np.intp], data: NDArray[np.uint8] | None = None
    ) -> Estimate:
        context = self._context
        n, m, letters = context.n_visible, context.n_hidden, _LETTERS[context.n_paulis]
        moments = np.empty_like(theta)
        for k, run in enumerate(rows):
            model = SqRBM.from_vector(theta[k], n, m, letters, context.mask)
            key = np.random.SeedSequence(int(context.keys[run]), spawn_key=(_STREAM, self._updates))
            start = self._states[run] if self._chained and self._updates else None
            try:
                found = self._gibbs.moments(model, states=start, seed=key)
            except RuntimeError as error:
                raise RuntimeError(f"run {run}, update {self._updates}: {error}") from error
            moments[k] = flatten(found.moments)
            self._count(int(run), found)
        self._updates += 1
        return Estimate(moments)

    def _count(self, run: int, found: Measured) -> None:
        if found.states is not None:
            self._states[run] = found.states
        own = self._counts[run]
        own[:2] += found.shots, found.kept
        own[2:] = np.maximum(own[2:], (found.depth, found.two_qubit_gates))

    def used(self) -> dict[str, NDArray[np.int64]]:
        """What each run has used so far, (runs,) each: ``shots``, those ``kept``, and the largest
        ``depth`` and number of ``two_qubit_gates`` of its circuits."""
        return {name: self._counts[:, k].copy() for k, name in enumerate(_COUNTS)}

    def state(self) -> State:
        return {
            "updates": np.array(self._updates),
            "states": self._states.copy(),
            "counts": self._counts.copy(),
        }

    def restore(self, state: State) -> None:
        for name in ("states", "counts"):
            have, want = np.shape(state.get(name, np.empty(0))), getattr(self, f"_{name}").shape
            if have != want:
                raise ValueError(
                    f"checkpoint's {name} of negative phase 'quantum' has shape {have}, this "
                    f"training's {want}"
                )
        self._updates = int(state["updates"])
        self._states = np.array(state["states"], dtype=np.uint8)
        self._counts = np.array(state["counts"], dtype=np.int64)
