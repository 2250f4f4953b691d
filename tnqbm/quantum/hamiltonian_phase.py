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
from tnqbm.phases import Estimate
from tnqbm.quantum.extra import need_qiskit
from tnqbm.quantum.phase import STREAM
from tnqbm.quantum.sampler import QiskitGibbs
from tnqbm.quantum.spent import Ledger, Spent, TooFewShotsError
from tnqbm.settings import TrainingSettings

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
        self._kind, self._keys = kind, keys
        self._gibbs = QiskitGibbs(
            sampler,
            backend=None if sampler is not None else settings.backend,
            shots=settings.shots,
            trotter_steps=settings.trotter_steps,
        )
        names = {"strategy": settings.strategy, "backend": self._gibbs.device.name}
        self._ledger = Ledger(keys, names, chains=False)
        self._updates = 0

    def estimate(
        self, theta: Float, rows: NDArray[np.intp], data: NDArray[np.uint8] | None = None
    ) -> Estimate:
        """Expectations (B, T) of the terms, in their order, under coefficients theta (B, T)."""
        moments = np.full_like(theta, np.nan)
        failures: dict[int, str] = {}
        spent: list[Spent] = []
        for k, run in enumerate(rows):
            key = np.random.SeedSequence(int(self._keys[run]), spawn_key=(STREAM, self._updates))
            hamiltonian = self._kind.with_coefficients(theta[k])
            try:
                found = self._gibbs.measure(hamiltonian, seed=key)
            except TooFewShotsError as error:
                failures[int(run)] = str(error)
                spent.append(error.spent)
            except RuntimeError as error:
                raise RuntimeError(f"run {run}, update {self._updates + 1}: {error}") from error
            else:
                moments[k] = [value for value, _ in found.values.values()]
                spent.append(found)
            self._ledger.add(int(run), spent[-1])
        self._updates += 1
        return Estimate(moments, failures=failures, spent=self._ledger.of_update(spent))

    def report(self, rows: NDArray[np.intp]) -> dict[str, NDArray[np.generic]]:
        """What each of the runs has taken so far, see docs/quantum.md."""
        return self._ledger.report(rows)

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {"updates": np.array(self._updates), "spent": self._ledger.state()}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        self._ledger.restore(state.get("spent", np.empty(0)))
        self._updates = int(state["updates"])
