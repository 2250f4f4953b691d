"""The estimator "quantum" of training: averages from shots of circuits.

Every update's random numbers follow from the run's key and the number of updates before it, so that
on simulators a training is a function of its settings, however it is batched and wherever it was
interrupted. Strategies with chains keep them from update to update, as persistent contrastive
divergence does. The negative phase of a Hamiltonian of any kind is the expectations of its terms in
the Gibbs state. It is measured; the positive phase, which for terms that flip visible qubits is no
expectation in any state of the model (Demidik et al. 2025, Proposition 4), is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.quantum.conventions import need_qiskit
from tnqbm.quantum.sampler import QiskitGibbs
from tnqbm.quantum.updates import MeasuredUpdates
from tnqbm.quantum.usage import Usage
from tnqbm.training.estimators import Averages, Context, GradientEstimator
from tnqbm.training.hamiltonians import HamiltonianProblem

if TYPE_CHECKING:
    from tnqbm.quantum.settings import QuantumGradient
    from tnqbm.training.problems import SqRBMProblem

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
State = dict[str, NDArray[np.generic]]


def measured(settings: QuantumGradient, context: Context, sampler: Any = None) -> GradientEstimator:
    """The estimator for a batch of runs, sqRBMs or other Hamiltonians.

    ``sampler`` is a Qiskit sampler in place of the backend that the settings name. Raises
    MissingExtraError without Qiskit, ValueError on a backend that is not known and for a team of
    several processes, which cannot share a device.
    """
    need_qiskit("gradient 'quantum'")
    if context.team.size > 1:
        raise ValueError(
            "the gradient 'quantum' cannot be shared by several ranks; leave ranks_per_run at 1"
        )
    if isinstance(context.problem, HamiltonianProblem):
        return MeasuredExpectations(settings, context, sampler)
    return MeasuredMoments(settings, context, sampler)


def _sampler(settings: QuantumGradient, sampler: Any, **more: Any) -> QiskitGibbs:
    return QiskitGibbs(
        sampler,
        backend=None if sampler is not None else settings.backend,
        shots=settings.shots,
        trotter_steps=settings.trotter_steps,
        **more,
    )


class MeasuredMoments:
    """Averages of sqRBMs measured by :class:`tnqbm.quantum.QiskitGibbs`.

    A run of which too few shots survive fails alone.
    """

    def __init__(self, settings: QuantumGradient, context: Context, sampler: Any) -> None:
        self._problem: SqRBMProblem = context.problem  # type: ignore[assignment]
        self._gibbs = _sampler(
            settings,
            sampler,
            strategy=settings.strategy,
            chains=settings.chains,
            moves=settings.steps,
        )
        self._chained = settings.has_chains
        chains = settings.chains if self._chained else 0
        shape = (context.keys.size, chains, self._problem.n_visible)
        self._states = np.zeros(shape, dtype=np.uint8)
        names = {"strategy": settings.strategy, "backend": self._gibbs.device.name}
        self._updates = MeasuredUpdates(context.keys, names, chains=self._chained)

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        return self._updates.estimate(theta, rows, self._measure)

    def _measure(self, theta: Float, run: int, key: np.random.SeedSequence) -> tuple[Float, Usage]:
        start = self._states[run] if self._chained and self._updates.count else None
        result = self._gibbs.measure_moments(
            self._problem.paper_model(theta), states=start, seed=key
        )
        if result.states is not None:
            self._states[run] = result.states
        return result.moments.to_vector(), result

    def report(self, rows: Rows) -> State:
        """What each of the runs has taken so far, see docs/quantum.md."""
        return self._updates.report(rows)

    def state(self) -> State:
        return {"states": self._states.copy(), **self._updates.state()}

    def restore(self, state: State) -> None:
        have, want = np.shape(state.get("states", np.empty(0))), self._states.shape
        if have != want:
            raise ValueError(
                f"checkpoint's states of gradient 'quantum' have shape {have}, this training's "
                f"{want}"
            )
        self._updates.restore(state)
        self._states = np.array(state["states"], dtype=np.uint8)


class MeasuredExpectations:
    """Expectations of the terms of Hamiltonians with the same strings, by imaginary time.

    Shots are for each group of terms that commute qubit by qubit. Raises ValueError on another
    strategy than "imaginary-time". A run of which too few shots survive fails alone.
    """

    def __init__(self, settings: QuantumGradient, context: Context, sampler: Any) -> None:
        if settings.strategy != "imaginary-time":
            raise ValueError(
                f"strategy: {settings.strategy!r} is for sqRBMs; Hamiltonians are measured by "
                "'imaginary-time'"
            )
        self._problem = context.problem
        self._gibbs = _sampler(settings, sampler)
        names = {"strategy": settings.strategy, "backend": self._gibbs.device.name}
        self._updates = MeasuredUpdates(context.keys, names, chains=False)

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        """Expectations (B, T) of the terms, in their order, under coefficients theta (B, T)."""
        return self._updates.estimate(theta, rows, self._measure)

    def _measure(self, theta: Float, run: int, key: np.random.SeedSequence) -> tuple[Float, Usage]:
        result = self._gibbs.measure_paulis(self._problem.model(theta), seed=key)
        return np.array([value for value, _ in result.values.values()]), result

    def report(self, rows: Rows) -> State:
        """What each of the runs has taken so far, see docs/quantum.md."""
        return self._updates.report(rows)

    def state(self) -> State:
        return self._updates.state()

    def restore(self, state: State) -> None:
        self._updates.restore(state)
