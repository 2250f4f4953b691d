"""The negative phase "quantum" for Hamiltonians of any kind: expectations of terms from shots.

The negative phase of any Hamiltonian is the gradient of log Z, minus the expectations of its terms
in the Gibbs state. It is measured; the positive phase, which for terms that flip visible qubits is
no expectation in any state of the model (Demidik et al. 2025, Proposition 4), is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.quantum.conventions import need_qiskit
from tnqbm.quantum.sampler import QiskitGibbs
from tnqbm.quantum.updates import MeasuredUpdates
from tnqbm.quantum.usage import Usage
from tnqbm.training.phases import Estimate
from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]


class HamiltonianPhase:
    """Expectations of the terms of Hamiltonians with the same strings, by imaginary time.

    ``kind`` is any of them, ``keys`` (runs,) uint64 name the random streams. It uses shots (for
    each group of terms that commute qubit by qubit), trotter_steps and backend of the settings.
    Raises ValueError on another strategy than "imaginary-time" and on unknown backends,
    MissingExtraError without Qiskit. A run of which too few shots survive fails alone.
    """

    def __init__(
        self,
        kind: PauliHamiltonian,
        keys: NDArray[np.uint64],
        settings: TrainingSettings,
        sampler: Any = None,
    ) -> None:
        need_qiskit("negative_phase 'quantum'")
        if settings.strategy != "imaginary-time":
            raise ValueError(
                f"strategy: {settings.strategy!r} is for sqRBMs; Hamiltonians are measured by "
                "'imaginary-time'"
            )
        self._kind = kind
        self._gibbs = QiskitGibbs(
            sampler,
            backend=None if sampler is not None else settings.backend,
            shots=settings.shots,
            trotter_steps=settings.trotter_steps,
        )
        names = {"strategy": settings.strategy, "backend": self._gibbs.device.name}
        self._updates = MeasuredUpdates(keys, names, chains=False)

    def estimate(
        self, theta: Float, rows: NDArray[np.intp], data: NDArray[np.uint8] | None = None
    ) -> Estimate:
        """Expectations (B, T) of the terms, in their order, under coefficients theta (B, T)."""
        return self._updates.estimate(theta, rows, self._measure)

    def _measure(self, theta: Float, run: int, key: np.random.SeedSequence) -> tuple[Float, Usage]:
        found = self._gibbs.measure_paulis(self._kind.with_coefficients(theta), seed=key)
        return np.array([value for value, _ in found.values.values()]), found

    def report(self, rows: NDArray[np.intp]) -> dict[str, NDArray[np.generic]]:
        """What each of the runs has taken so far, see docs/quantum.md."""
        return self._updates.report(rows)

    def state(self) -> dict[str, NDArray[np.generic]]:
        return self._updates.state()

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        self._updates.restore(state)
