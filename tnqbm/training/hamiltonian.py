"""Training Hamiltonians of any kind by the loop that trains sqRBMs.

Gradients are exact, or their negative phase is measured on circuits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of
from tnqbm.base.teams import Alone
from tnqbm.core.states import index_of
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.hamiltonian.forecast import refuse_unless_it_fits
from tnqbm.hamiltonian.operator import PauliHamiltonian
from tnqbm.training.inputs import checked_keys, run_keys, stacked, stacked_apart
from tnqbm.training.phases import Estimate, NegativePhase
from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trainer import DataAverages, Trainer, warn_of_failures
from tnqbm.training.trajectory import Trajectory

Float = NDArray[np.float64]
T = TypeVar("T")

_UNUSED = ("batch_size", "centred")
"""Settings that rest on separate averages of data and model, which other models do not have."""

_QUANTUM = "tnqbm.quantum.hamiltonian_phase:HamiltonianPhase"
"""Loaded when asked for: Qiskit takes a second to import."""


@dataclass(frozen=True, repr=False)
class HamiltonianTrajectory(Trajectory):
    """A :class:`tnqbm.Trajectory` whose parameters are those of a :class:`PauliHamiltonian`.

    ``hamiltonian`` is the final one, ``hamiltonians`` the snapshots (updates done, Hamiltonian);
    ``model`` and ``snapshots`` are for sqRBMs and stay empty.
    """

    hamiltonian: PauliHamiltonian = field(kw_only=True)
    hamiltonians: list[tuple[int, PauliHamiltonian]] = field(default_factory=list, kw_only=True)


@checked(
    hamiltonian=one_of(PauliHamiltonian, hint="SqRBM.hamiltonian() makes one of a model"),
    target=TARGET,
    negative_phase=arguments.text,
    seed=arguments.seed,
    test=TARGET,
    callback=arguments.function,
)
def train(
    hamiltonian: PauliHamiltonian,
    target: Target,
    *,
    negative_phase: str = "exact",
    optimizer: str = "amsgrad",
    learning_rate: float = 0.1,
    iterations: int = 2000,
    records: int | None = None,
    snapshots: int = 0,
    seed: int | np.random.SeedSequence = 0,
    test: Target | None = None,
    callback: Callable[[int], None] | None = None,
    **settings: object,
) -> HamiltonianTrajectory:
    """Train all coefficients of a Hamiltonian on a target, from those that it has.

    As :func:`tnqbm.train`, with the exact gradient of :meth:`PauliHamiltonian.gradient`; the other
    settings are those of :class:`TrainingSettings`. ``negative_phase="quantum"`` measures the
    expectations of the terms in the model's Gibbs state instead (extra ``quantum``; its settings
    are shots, trotter_steps and backend, its random numbers follow from ``seed``). The positive
    phase and all metrics stay exact. ``weight_decay`` acts on strings with more than one letter,
    the couplings. Raises ValueError on impossible settings, on those of other sampled gradients and
    minibatches, and if Hamiltonian and target differ in size; MemoryError or ValueError if one
    gradient does not fit. Too few shots end the training with a RuntimeWarning.
    """
    checked = TrainingSettings(
        negative_phase=negative_phase,
        optimizer=optimizer,
        learning_rate=learning_rate,
        iterations=iterations,
        records=records,
        snapshots=snapshots,
        **settings,  # type: ignore[arg-type]
    )
    tests = None if test is None else [test]
    keys = run_keys(seed, 1)
    trainer = HamiltonianTrainer([hamiltonian], [target], checked, keys=keys, tests=tests)
    while not trainer.finished:
        trainer.advance(1)
        if callback is not None:
            callback(trainer.iteration)
    warn_of_failures(trainer)
    return trainer.trajectories()[0]


class HamiltonianTrainer(Trainer):
    """Trains several Hamiltonians with the same strings together, each on its own target.

    The loop is :class:`tnqbm.Trainer`'s, with its checkpoints (``state``, ``restore``); results
    are in :meth:`trajectories`. ``keys`` (runs,) uint64 names the random stream of each run, by
    default they follow from its place. Raises as :func:`train` does, and if the strings differ.
    """

    def __init__(
        self,
        hamiltonians: Sequence[PauliHamiltonian],
        targets: Sequence[Target],
        settings: TrainingSettings,
        *,
        keys: NDArray[np.uint64] | None = None,
        tests: Sequence[Target] | None = None,
    ) -> None:
        _check(hamiltonians, targets, settings)
        first = hamiltonians[0]
        self.settings = settings
        self._kind = first
        self._shape = (first.n_visible, first.n_hidden, "")  # no Paulis: letters differ by term
        self._mask = self._held = self._batches = self._evaluate = None
        self._team = Alone()
        self._states, self._q = stacked(targets)
        self._apart = stacked_apart({"test": tests}, len(hamiltonians), first.n_visible)
        self._exact = ExactBatch(first)
        self._phase: NegativePhase = self._exact
        self._evaluate_exactly, self._named = settings.negative_phase == "exact", True
        self._measured = settings.negative_phase == "quantum"
        if self._measured:
            named = checked_keys(keys, len(hamiltonians))
            self._phase = resolve_name(_QUANTUM)(first, named, settings)
            if settings.evaluate != "none":
                self._evaluate = self._exact.evaluate
        self._couplings = np.array([len(t) - t.count("I") > 1 for t in first.terms], np.bool_)
        self._start(np.stack([h.to_vector() for h in hamiltonians]))

    def trajectories(self) -> list[HamiltonianTrajectory]:  # type: ignore[override]
        """The runs' results, in the order of the Hamiltonians; RuntimeError before the end."""
        self._check_complete()
        return [
            HamiltonianTrajectory(
                **self._rows_of(run),
                hamiltonian=self._kind.with_coefficients(self._result(run)[1]),
                hamiltonians=[
                    (step, self._kind.with_coefficients(theta))
                    for step, theta in self._snapshots_of(run)
                ],
            )
            for run in range(self.n_runs)
        ]

    def _averages_over(self, states: NDArray[np.uint8], q: Float) -> DataAverages:
        return StateLikelihoods(self._exact, states, q, whole=not self._measured)

    def _add_weight_decay(self, gradient: Float) -> None:
        decayed = self.settings.weight_decay * self._theta[:, self._couplings]
        gradient[:, self._couplings] += decayed


class ExactBatch:
    """The negative phase of :class:`HamiltonianTrainer`: log Z, and averages of zero.

    A Hamiltonian that flips visible units has no average whose difference between data and model is
    the gradient, so all of that is the data's part, :meth:`StateLikelihoods.moments`. Between the
    questions about one update the Hamiltonians are kept, and with them their decompositions.
    """

    def __init__(self, kind: PauliHamiltonian) -> None:
        self._kind = kind
        self._theta = np.full((0, 0), np.nan)
        self._members: list[PauliHamiltonian] = []

    def members(self, theta: Float) -> list[PauliHamiltonian]:
        """The Hamiltonians with these coefficients (B, T)."""
        if not np.array_equal(theta, self._theta):
            self._theta = theta.copy()
            self._members = [self._kind.with_coefficients(row) for row in theta]
        return self._members

    def estimate(
        self, theta: Float, rows: NDArray[np.intp], data: NDArray[np.uint8] | None = None
    ) -> Estimate:
        log_z = np.array([h.log_partition() for h in self.members(theta)])
        return Estimate(np.zeros_like(theta), log_z)

    def evaluate(self, theta: Float, rows: NDArray[np.intp], step: int) -> tuple[Float, Float]:
        """log Z and its error, 0: a :data:`tnqbm.training.phases.LogPartition`."""
        log_z = np.array([h.log_partition() for h in self.members(theta)])
        return log_z, np.zeros_like(log_z)

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        if state:
            raise ValueError("the exact negative phase keeps no state, got some to restore")


class StateLikelihoods:
    """Likelihoods of weighted states, (1 or B, K, n) with probabilities (1 or B, K).

    ``whole`` says that the model's part of the gradient is to be found here, too.
    """

    def __init__(
        self, batch: ExactBatch, states: NDArray[np.uint8], q: Float, *, whole: bool = True
    ) -> None:
        self._batch, self._whole = batch, whole
        self._index = [index_of(one) for one in states]
        self._targets = [Target(*one) for one in zip(states, q, strict=True)]

    def moments(self, theta: Float, rows: NDArray[np.intp]) -> Float:
        """The gradient of the negative log-likelihood, or the data's part of it, (B, T)."""
        members = self._batch.members(theta)
        gradient = np.empty_like(theta)
        for k, (h, run) in enumerate(zip(members, rows, strict=True)):
            target = self._of(self._targets, run)
            found = h.gradient(target) if self._whole else h.positive_phase(target)
            gradient[k] = [*found.values()]
        return gradient

    def log_weights(self, theta: Float, rows: NDArray[np.intp]) -> Float:
        """log Tr[Lambda_v exp(-H)] of the states, (B, K)."""
        members = self._batch.members(theta)
        return np.stack(
            [h.log_weights()[self._of(self._index, k)] for h, k in zip(members, rows, strict=True)]
        )

    def moments_and_log_weights(self, theta: Float, rows: NDArray[np.intp]) -> tuple[Float, Float]:
        return self.moments(theta, rows), self.log_weights(theta, rows)

    def _of(self, lists: list[T], run: int) -> T:
        return lists[0] if len(lists) == 1 else lists[run]


def _check(
    hamiltonians: Sequence[PauliHamiltonian], targets: Sequence[Target], settings: TrainingSettings
) -> None:
    if not hamiltonians or len(hamiltonians) != len(targets):
        raise ValueError(
            f"need as many targets as Hamiltonians and at least one, got {len(hamiltonians)} "
            f"Hamiltonians and {len(targets)} targets"
        )
    first = hamiltonians[0]
    for h in hamiltonians:
        if (h.n_visible, list(h.terms)) != (first.n_visible, list(first.terms)):
            raise ValueError(
                "Hamiltonians trained together must have the same terms in the same order"
            )
    for target in targets:
        if target.n_visible != first.n_visible:
            raise ValueError(
                f"the target has {target.n_visible} visible units, the Hamiltonian "
                f"{first.n_visible}"
            )
    if len({target.n_states for target in targets}) > 1:
        raise ValueError("targets trained together must have supports of one size")
    if settings.negative_phase not in ("exact", "quantum"):
        raise ValueError(
            "negative_phase: Hamiltonians are trained with exact gradients or those of 'quantum', "
            f"got {settings.negative_phase!r}"
        )
    if settings.negative_phase == "quantum" and settings.evaluate not in ("auto", "exact", "none"):
        raise ValueError(
            f"evaluate: log Z of Hamiltonians is exact, 'auto' or 'none', got {settings.evaluate!r}"
        )
    for name in _UNUSED:
        if getattr(settings, name):
            raise ValueError(
                f"{name}: not for Hamiltonians, whose gradient is no difference of averages of "
                "data and model"
            )
    if settings.precision != "double":
        raise ValueError("precision: Hamiltonians are evaluated in double precision")
    refuse_unless_it_fits(first.forecast())
