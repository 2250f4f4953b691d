"""The estimator "quantum" of training: averages from shots of circuits.

Every update's random numbers follow from the run's key and the number of updates before it, so that
on simulators a training is a function of its settings, however it is batched and wherever it was
interrupted. Strategies with chains keep them from update to update, as persistent contrastive
divergence does. The negative phase of a Hamiltonian of any kind is the expectations of its terms in
the Gibbs state. It is measured; the positive phase, which for terms that flip visible qubits is no
expectation in any state of the model (Demidik et al. 2025, Proposition 4), is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import streams
from tnqbm.quantum.conventions import need_qiskit
from tnqbm.quantum.sampler import QiskitGibbs
from tnqbm.quantum.usage import Ledger, TooFewShotsError, Usage
from tnqbm.training.estimators import Averages, Context, GradientEstimator
from tnqbm.training.groups import SqBMProblem
from tnqbm.training.hamiltonians import HamiltonianProblem

if TYPE_CHECKING:
    from tnqbm.quantum.settings import QuantumGradient
    from tnqbm.training.problems import SqRBMProblem


Float = NDArray[np.float64]
State = dict[str, NDArray[np.generic]]


class MeasuredUpdates:
    """The updates of a batch of runs so far, and what runs have taken.

    Random numbers of an update follow from the run's key and the number of updates before it.
    ``keys`` (runs,) uint64, ``names`` and ``chains`` as for :class:`tnqbm.quantum.usage.Ledger`.
    """

    def __init__(self, keys: NDArray[np.uint64], names: dict[str, str], *, chains: bool) -> None:
        self._keys = keys
        self._ledger = Ledger(keys, names, chains=chains)
        self.count = 0
        """Updates so far."""

    def estimate(
        self,
        theta: Float,
        rows: NDArray[np.intp],
        measure: Callable[[Float, int, np.random.SeedSequence], tuple[Float, Usage]],
    ) -> Averages:
        """Averages like theta (B, K) of the runs ``rows`` (B,), each measured by itself.

        ``measure`` takes a run's parameters, its number and its stream, and returns its averages
        (K,) with what they took. A run of which too few shots survive is among the failures.
        Raises RuntimeError, naming run and update, where ``measure`` does.
        """
        moments = np.full_like(theta, np.nan)
        failures: dict[int, str] = {}
        used: list[Usage] = []
        for k, run in enumerate(map(int, rows)):
            key = streams.sequence(self._keys[run], streams.Run.MEASUREMENTS, self.count)
            try:
                moments[k], took = measure(theta[k], run, key)
            except TooFewShotsError as error:
                failures[run], took = str(error), error.usage
            except RuntimeError as error:
                raise RuntimeError(f"run {run}, update {self.count + 1}: {error}") from error
            used.append(took)
            self._ledger.add(run, took)
        self.count += 1
        return Averages(moments, failures=failures, usage=self._ledger.of_update(used))

    def report(self, rows: NDArray[np.intp]) -> State:
        """What each of the runs has taken so far, see docs/quantum.md."""
        return self._ledger.report(rows)

    def state(self) -> State:
        """What the next update depends on."""
        return {"updates": np.array(self.count), "spent": self._ledger.state()}

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned."""
        self._ledger.restore(state.get("spent", np.empty(0)))
        self.count = int(state["updates"])


Rows = NDArray[np.intp]


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
    if isinstance(context.problem, HamiltonianProblem | SqBMProblem):
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
            basis=settings.basis,
            chains=settings.chains,
            moves=settings.steps,
        )
        self._chained = settings.has_chains
        chains = settings.chains if self._chained else 0
        shape = (context.keys.size, chains, self._problem.n_visible)
        self._states = np.zeros(shape, dtype=np.uint8)
        names = {"strategy": settings.strategy, "backend": self._gibbs.device.name}
        self._updates = MeasuredUpdates(context.keys, names, chains=settings.accepts)
        self._at_data = settings.starts_at_data

    def estimate(self, theta: Float, rows: Rows, data: NDArray[np.uint8] | None = None) -> Averages:
        return self._updates.estimate(theta, rows, self._measure)

    def _measure(self, theta: Float, run: int, key: np.random.SeedSequence) -> tuple[Float, Usage]:
        start = self._states[run] if self._chained and self._updates.count else None
        if self._at_data:
            start_key, key = key.spawn(2)
            start = self._drawn(run, streams.generator(start_key))
        result = self._gibbs.measure_moments(
            self._problem.paper_model(theta), states=start, seed=key
        )
        if result.states is not None:
            self._states[run] = result.states
        return result.moments.to_vector(), result

    def _drawn(self, run: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """States of the data, (chains, n), drawn by their probabilities."""
        which = run if len(self._problem.probabilities) > 1 else 0
        p = self._problem.probabilities[which]
        drawn = rng.choice(p.size, self._states.shape[1], p=p / p.sum())
        return np.asarray(self._problem.states[which][drawn])

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
