"""One training loop for every negative phase: a batch of independent runs of one shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tnqbm import metrics, optimizers, phases
from tnqbm.averages import StateAverages
from tnqbm.datasets import Target
from tnqbm.model import MAX_PARAMETER, SqRBM
from tnqbm.phases import NegativePhase, PhaseContext
from tnqbm.settings import TrainingSettings
from tnqbm.trajectory import METRICS, Trajectory

__all__ = ["Trainer", "TrainingSettings", "train"]


def train(
    model: SqRBM,
    target: Target,
    *,
    negative_phase: str | NegativePhase = "exact",
    optimizer: str = "amsgrad",
    learning_rate: float = 0.1,
    iterations: int = 2000,
    records: int | None = None,
    snapshots: int = 0,
    callback: Callable[[int], None] | None = None,
    **settings: object,
) -> Trajectory:
    """Train a model on a target by minimising the negative log-likelihood.

    ``negative_phase`` is a registered name or an object with that protocol; the other settings
    are those of :class:`TrainingSettings`. ``callback`` is called with the number of updates
    done, after each. Exact training draws no random numbers: the start is ``model`` itself.
    Raises ValueError on impossible settings or if model and target differ in size.
    """
    named = negative_phase if isinstance(negative_phase, str) else "exact"
    checked = TrainingSettings(
        negative_phase=named,
        optimizer=optimizer,
        learning_rate=learning_rate,
        iterations=iterations,
        records=records,
        snapshots=snapshots,
        **settings,  # type: ignore[arg-type]
    )
    phase = None if isinstance(negative_phase, str) else negative_phase
    trainer = Trainer([model], [target], checked, phase=phase)
    while not trainer.finished:
        trainer.advance(1)
        if callback is not None:
            callback(trainer.iteration)
    return trainer.trajectories()[0]


class Trainer:
    """Trains several models of one shape together, each on its own target.

    All targets must have supports of one size. A run's numbers do not depend on which other
    runs share its batch. Raises ValueError if shapes differ. ``phase`` overrides the negative
    phase named in the settings.
    """

    def __init__(
        self,
        models: Sequence[SqRBM],
        targets: Sequence[Target],
        settings: TrainingSettings,
        *,
        phase: NegativePhase | None = None,
    ) -> None:
        self._shape = _common_shape(models, targets)
        self.settings = settings
        n, m, paulis = self._shape
        shared = all(target is targets[0] for target in targets)
        unique = targets[:1] if shared else targets
        states = np.stack([target.states for target in unique])
        q = np.stack([target.probabilities for target in unique])
        self._q = q
        self._data = StateAverages(states, q, m, len(paulis), settings.precision)
        self._phase = phase or phases.make(
            settings.negative_phase,
            PhaseContext(n, m, len(paulis), settings.precision, states, q),
        )
        self._theta = np.stack([model.to_vector() for model in models])
        self._optimizer = optimizers.make(
            settings.optimizer,
            self._theta.shape,  # type: ignore[arg-type]
            beta1=settings.beta1,
            beta2=settings.beta2,
            epsilon=settings.epsilon,
            momentum=settings.momentum,
        )
        self._learning_rate = optimizers.schedule(
            settings.schedule,
            settings.learning_rate,
            decay=settings.decay,
            decay_steps=settings.decay_steps,
            iterations=settings.iterations,
        )
        self.iteration = 0
        """Updates done."""
        self._steps = settings.recorded_steps
        self._snapshot_steps = settings.snapshot_steps
        batch, size = self._theta.shape
        self._rows = np.arange(batch)  # runs still training
        self._metrics = np.full((len(METRICS), batch, self._steps.size), np.nan)
        self._recorded = np.zeros(batch, dtype=np.int64)
        self._snapshots = np.full((batch, self._snapshot_steps.size, size), np.nan)
        self._final = self._theta.copy()
        self._best = np.full(batch, np.inf)
        self._best_at = np.zeros(batch, dtype=np.int64)
        self._stopped_at = np.full(batch, settings.iterations, dtype=np.int64)
        self._complete = False

    @property
    def finished(self) -> bool:
        """Whether all updates are done and the last metrics recorded."""
        return self._complete

    @property
    def n_runs(self) -> int:
        return int(self._final.shape[0])

    def advance(self, updates: int) -> None:
        """Do at most ``updates`` further updates; the last call also records the final row."""
        for _ in range(updates):
            if self._complete:
                return
            self._step()
        if not self._complete and self.iteration == self.settings.iterations:
            self._step()

    def _step(self) -> None:
        self._take_snapshot()
        record = self._is_recorded(self.iteration)
        last = self.iteration == self.settings.iterations
        if last and not record:
            self._finish()
            return
        gradient = self._gradient(record)
        if record and self.settings.patience:
            gradient = self._stop_on_plateau(gradient)
        if last or not self._rows.size:
            self._finish()
            return
        rate = self._learning_rate(self.iteration)
        self._optimizer.update(self._theta, gradient, rate)
        # A NaN fails both comparisons.
        if not (self._theta.max() <= MAX_PARAMETER and self._theta.min() >= -MAX_PARAMETER):
            inside = (np.abs(self._theta) <= MAX_PARAMETER).all(axis=1)
            raise FloatingPointError(
                f"the parameters of run {self._rows[~inside][0]} of the batch stopped being finite "
                f"at update {self.iteration + 1} (learning rate {rate:g}): lower the learning rate"
            )
        self.iteration += 1

    def _is_recorded(self, step: int) -> bool:
        at = np.searchsorted(self._steps, step)
        return bool(at < self._steps.size and self._steps[at] == step)

    def _gradient(self, record: bool) -> NDArray[np.float64]:
        estimate = self._phase.estimate(self._theta, self._rows)
        log_weights = None
        positive = estimate.clamped
        if positive is None and record:
            positive, log_weights = self._data.moments_and_log_weights(self._theta, self._rows)
        elif positive is None:
            positive = self._data.moments(self._theta, self._rows)
        elif record:
            log_weights = self._data.log_weights(self._theta, self._rows)
        gradient = positive - estimate.moments
        if log_weights is not None:
            self._record(gradient, log_weights, estimate.log_partition)
        return gradient

    def _record(
        self,
        gradient: NDArray[np.float64],
        log_weights: NDArray[np.float64],
        log_partition: NDArray[np.float64] | None,
    ) -> None:
        at = int(np.searchsorted(self._steps, self.iteration))
        q = self._q if self._q.shape[0] == 1 else self._q[self._rows]
        values = {"gradient_norm": np.sqrt((gradient * gradient).sum(axis=1))}
        if log_partition is not None:
            values |= metrics.on_support(log_weights - log_partition[:, None], q)
        for k, name in enumerate(METRICS):
            if name in values:
                self._metrics[k, self._rows, at] = values[name]
        self._recorded[self._rows] = at + 1

    def _stop_on_plateau(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        at = int(np.searchsorted(self._steps, self.iteration))
        kl = self._metrics[METRICS.index("kl"), self._rows, at]
        better = kl < self._best[self._rows] - self.settings.min_delta
        self._best[self._rows[better]] = kl[better]
        self._best_at[self._rows[better]] = self.iteration
        going = self.iteration - self._best_at[self._rows] < self.settings.patience
        if not going.all():
            stopped = self._rows[~going]
            self._final[stopped] = self._theta[~going]
            self._stopped_at[stopped] = self.iteration
            self._theta, self._rows = self._theta[going], self._rows[going]
            self._optimizer.keep(going)
            gradient = gradient[going]
        return gradient

    def _take_snapshot(self) -> None:
        at = np.searchsorted(self._snapshot_steps, self.iteration)
        if at < self._snapshot_steps.size and self._snapshot_steps[at] == self.iteration:
            self._snapshots[self._rows, at] = self._theta

    def _finish(self) -> None:
        self._final[self._rows] = self._theta
        self._complete = True

    def trajectories(self) -> list[Trajectory]:
        """The runs' results, in the order of the models; RuntimeError before the end."""
        if not self._complete:
            raise RuntimeError(f"training is at update {self.iteration}, not finished yet")
        n, m, paulis = self._shape
        results = []
        for run in range(self.n_runs):
            count = int(self._recorded[run])
            rows = {
                name: None if np.isnan(values[run, :count]).all() else values[run, :count].copy()
                for name, values in zip(METRICS, self._metrics, strict=True)
            }
            kept = self._snapshot_steps <= self._stopped_at[run]
            results.append(
                Trajectory(
                    step=self._steps[:count].copy(),
                    **rows,
                    model=SqRBM.from_vector(self._final[run], n, m, paulis),
                    snapshots=[
                        (int(step), SqRBM.from_vector(self._snapshots[run, k], n, m, paulis))
                        for k, step in enumerate(self._snapshot_steps)
                        if kept[k]
                    ],
                    stopped="iterations"
                    if self._stopped_at[run] == self.settings.iterations
                    else "plateau",
                )
            )
        return results

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything a checkpoint must keep, as arrays."""
        own: dict[str, NDArray[np.generic]] = {
            "iteration": np.array(self.iteration),
            "complete": np.array(int(self._complete)),
            **{name: getattr(self, "_" + name).copy() for name in _STATE},
        }
        own |= {f"optimizer/{k}": v for k, v in self._optimizer.state().items()}
        own |= {f"phase/{k}": v for k, v in self._phase.state().items()}
        return own

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue from :meth:`state`; ValueError if it belongs to another kind of trainer."""
        missing = [name for name in ("iteration", "complete", *_STATE) if name not in state]
        if missing:
            raise ValueError(f"checkpoint lacks {', '.join(missing)}")
        for name in ("metrics", "snapshots", "final"):
            have, want = np.shape(state[name]), getattr(self, "_" + name).shape
            if have != want:
                raise ValueError(f"checkpoint's {name} has shape {have}, this training's {want}")
        self.iteration = int(state["iteration"])
        self._complete = bool(state["complete"])
        for name in _STATE:
            current = getattr(self, "_" + name)
            setattr(self, "_" + name, np.array(state[name], dtype=current.dtype))
        for prefix, part in (("optimizer/", self._optimizer), ("phase/", self._phase)):
            part.restore({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})


_STATE = (
    "theta", "rows", "metrics", "recorded", "snapshots", "final", "best", "best_at", "stopped_at",
)  # fmt: skip


def _common_shape(models: Sequence[SqRBM], targets: Sequence[Target]) -> tuple[int, int, str]:
    if not models or len(models) != len(targets):
        raise ValueError(
            f"need as many targets as models and at least one, got {len(models)} models and "
            f"{len(targets)} targets"
        )
    shapes = {(model.n_visible, model.n_hidden, model.paulis) for model in models}
    if len(shapes) > 1:
        raise ValueError(f"models trained together must have one shape, got {sorted(shapes)}")
    shape = shapes.pop()
    for target in targets:
        if target.n_visible != shape[0]:
            raise ValueError(
                f"the target has {target.n_visible} visible units, the model {shape[0]}"
            )
    if len({target.n_states for target in targets}) > 1:
        raise ValueError("targets trained together must have supports of one size")
    return shape
