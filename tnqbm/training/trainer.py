"""One training loop for every negative phase: a batch of independent runs of one shape."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import nan
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of, several
from tnqbm.base.limits import MAX_PARAMETER
from tnqbm.base.teams import Alone, Team
from tnqbm.base.text import one_page
from tnqbm.core import metrics
from tnqbm.core.bounds import log_sum
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.core.shape import Shape
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.exact.averages import StateAverages
from tnqbm.training import gradients, optimizers, phases
from tnqbm.training.early_stopping import EarlyStopping, refuse_nothing_to_watch, watched
from tnqbm.training.inputs import (
    checked_frozen,
    checked_keys,
    common_mask,
    common_shape,
    evaluator,
    not_in,
    run_keys,
    stacked,
    stacked_apart,
)
from tnqbm.training.minibatches import Minibatches
from tnqbm.training.phases import NegativePhase, PhaseContext
from tnqbm.training.recording import Recorder, check_shape, contains
from tnqbm.training.second_order.attach import SecondOrder
from tnqbm.training.settings import SECOND_ORDER, TrainingSettings
from tnqbm.training.trajectory import Trajectory, ran_away

__all__ = ["Trainer", "TrainingSettings", "train"]

Float = NDArray[np.float64]


class DataAverages(Protocol):
    """What a trainer asks about data: :class:`StateAverages` for sqRBMs."""

    def moments(self, theta: Float, rows: NDArray[np.intp]) -> Float:
        """The data's averages, (B, n_parameters)."""

    def log_weights(self, theta: Float, rows: NDArray[np.intp]) -> Float:
        """log p~(v) of every state of the data, (B, K)."""

    def moments_and_log_weights(self, theta: Float, rows: NDArray[np.intp]) -> tuple[Float, Float]:
        """Both at once."""


def _phase(value: object) -> Exception | None:
    """Kind of negative phases: a name, or an object with the protocol."""
    if isinstance(value, str) or hasattr(value, "estimate"):
        return None
    return TypeError(
        "must be the name of an estimator or an object with the protocol "
        f"tnqbm.training.phases.NegativePhase, got {arguments.shown(value)}"
    )


@checked(
    model=one_of(SqRBM, hint="tnqbm.hamiltonian.train trains a PauliHamiltonian"),
    target=TARGET,
    negative_phase=_phase,
    seed=arguments.seed,
    test=TARGET,
    valid=TARGET,
    callback=arguments.function,
)
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
    seed: int | np.random.SeedSequence = 0,
    test: Target | None = None,
    valid: Target | None = None,
    frozen: ArrayLike | None = None,
    callback: Callable[[int], None] | None = None,
    **settings: object,
) -> Trajectory:
    """Train a model on a target by minimising the negative log-likelihood.

    ``negative_phase`` is a registered name or an object with that protocol; the other settings
    are those of :class:`TrainingSettings`. The start is ``model`` itself; ``seed`` names the
    random stream of chains and minibatches, and exact training on all data draws nothing from
    it. The negative log-likelihoods of ``test`` and ``valid`` data are recorded, too. ``frozen``
    (n_parameters,) bool says which parameters keep the values they start with, in the order of
    :meth:`SqRBM.to_vector`; :func:`tnqbm.training.inputs.uncoupled` makes one.
    ``callback`` is called with the number of updates done, after each. Raises ValueError on
    impossible settings or if model and target differ in size, FloatingPointError if the parameters
    stop being finite. A gradient that cannot be estimated any more ends the training with a
    RuntimeWarning, and the trajectory is marked "failed"; another one says that the model ended
    worse than fair coins. With ``patience`` the model is the best one seen, see
    :class:`TrainingSettings`.
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
    trainer = Trainer(
        [model],
        [target],
        checked,
        phase=phase,
        keys=run_keys(seed, 1),
        tests=None if test is None else [test],
        valids=None if valid is None else [valid],
        frozen=frozen,
    )
    while not trainer.finished:
        trainer.advance(1)
        if callback is not None:
            callback(trainer.iteration)
    warn_of_failures(trainer)
    path = trainer.trajectories()[0]
    warn_if_ran_away(path, model.n_visible)
    return path


def warn_if_ran_away(path: Trajectory, n_visible: int) -> None:
    """A RuntimeWarning if a training ended worse than fair coins are, and than it began."""
    what = ran_away(path.final, n_visible)
    start, end = ([nan if v is None else v[k] for v in (path.nll, path.test_nll)] for k in (0, -1))
    if what and any(b > a + 1.0 for a, b in zip(start, end, strict=True)):
        warnings.warn(
            f"training ran away: {what}; lower the learning rate, follow the centred gradient "
            "(centred=True), or take more steps, and stop early (patience)",
            RuntimeWarning,
            stacklevel=4,
        )


def warn_of_failures(trainer: Trainer) -> None:
    """A RuntimeWarning for each run that failed; FloatingPointError for one that diverged."""
    for run in trainer.diverged:
        raise FloatingPointError(trainer.failures[run])
    for reason in trainer.failures.values():
        warnings.warn(f"training stopped: {reason}", RuntimeWarning, stacklevel=4)


class Trainer:
    """Trains several models of one shape and mask together, each on its own target.

    All targets must have supports of one size. A run's numbers do not depend on which other
    runs share its batch, nor on how many processes are in ``team``; all members of one must be
    given the same and do the same. Couplings outside the models' mask stay zero. Raises ValueError
    if shapes or masks differ.

    ``phase`` overrides the negative phase named in the settings. ``keys`` (runs,) uint64 names
    the random stream of each run; by default they follow from the run's place. ``tests``
    and ``valids`` are data apart from the targets, one for each run and of one size, whose negative
    log-likelihoods are recorded. ``frozen`` (n_parameters,) bool names parameters that keep the
    values which each model starts with; ``gradient_norm`` is then that of the others. It goes with
    every setting but ``centred``, whose change of variables mixes all parameters (ValueError).
    """

    @checked(
        models=several(MODEL),
        targets=several(TARGET),
        settings=one_of(TrainingSettings),
        tests=several(TARGET),
        valids=several(TARGET),
    )
    def __init__(
        self,
        models: Sequence[SqRBM],
        targets: Sequence[Target],
        settings: TrainingSettings,
        *,
        phase: NegativePhase | None = None,
        keys: NDArray[np.uint64] | None = None,
        team: Team | None = None,
        tests: Sequence[Target] | None = None,
        valids: Sequence[Target] | None = None,
        frozen: ArrayLike | None = None,
    ) -> None:
        self._shape = common_shape(models, targets)
        self._mask = common_mask(models)
        self.settings = settings
        n, m, paulis = self._shape
        states, self._q = stacked(targets)
        self._states = states
        self._apart = stacked_apart({"test": tests, "valid": valids}, len(models), n)
        self._team = team or Alone()
        context = PhaseContext(
            n,
            m,
            len(paulis),
            settings.precision,
            states,
            self._q,
            keys=checked_keys(keys, len(models)),
            settings=settings,
            team=self._team,
            mask=self._mask,
        )
        self._batches: Minibatches | None = None
        if settings.batch_size:
            self._batches = Minibatches(
                states, self._q, context.keys, settings.batch_size, self._team
            )
            from tnqbm.training.sample_moments import SampleMoments

            self._moments = SampleMoments(Shape(n, m, len(paulis)), settings.precision)
        self._named = phase is None
        self._phase = phase or phases.make(settings.negative_phase, context)
        # Exact phases give log Z themselves; of others than the named one nothing is known.
        known = phase is None and settings.negative_phase in phases.KNOW_LOG_PARTITION
        self._evaluate = None if known else evaluator(context)
        self._evaluate_exactly = known
        theta = np.stack([model.to_vector() for model in models])
        fixed = checked_frozen(frozen, theta.shape[1], settings)
        if self._mask is not None:
            fixed |= ~Shape(n, m, len(paulis)).free(self._mask)
        self._held = np.flatnonzero(fixed) if fixed.any() else None
        self._start(theta)

    def _start(self, theta: Float) -> None:
        """Everything that does not depend on what kind of model the rows of theta belong to."""
        settings = self.settings
        self._theta = theta
        self._curved = self._second_order() if settings.optimizer in SECOND_ORDER else None
        self._optimizer = self._curved or optimizers.make(
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
        self._evaluated_steps = settings.evaluated_steps
        batch, size = self._theta.shape
        self._rows = np.arange(batch)  # runs still training
        self._recorder = Recorder(settings, batch, size)
        self._final = self._theta.copy()
        self._stopping = EarlyStopping(settings, watched(self._apart), theta)
        # Phases that settings do not name may find log Z themselves.
        if self._named and not self._evaluate_exactly:
            refuse_nothing_to_watch(settings, self._shape[0], self._evaluate is not None)
        self._stopped_at = np.full(batch, settings.iterations, dtype=np.int64)
        self._complete = False
        self._failed = np.zeros(batch, dtype=np.int64)
        self.failures: dict[int, str] = {}
        """Why runs failed, by their place in the batch."""
        self.diverged: set[int] = set()
        """Those among them whose parameters stopped being finite, as far as this trainer saw it."""
        self._reports = True

    def _second_order(self) -> SecondOrder:
        n, m, paulis = self._shape
        if not paulis:
            raise ValueError(
                f"optimizer: {self.settings.optimizer!r} is for sqRBMs, not for Hamiltonians"
            )

        def averages(theta: Float, run: int) -> tuple[float, Float, Float]:
            one, rows = theta[None], np.array([run])
            found = self._phase.estimate(one, rows)
            assert found.log_partition is not None  # of exact phases only
            clamped = found.clamped if found.clamped is not None else self._data.moments(one, rows)
            return float(found.log_partition[0]), found.moments[0], clamped[0]

        return SecondOrder(
            self.settings,
            (n, m, len(paulis)),
            self._theta.shape[0],
            (self._states, self._q),
            exact=self._evaluate_exactly,
            whole=self._batches is None,
            held=self._held,
            rows=lambda: self._rows,
            asked=lambda: (self._estimated, self._estimate),
            averages=averages,
        )

    @property
    def finished(self) -> bool:
        """Whether all updates are done and the last metrics recorded."""
        return self._complete

    @property
    def n_runs(self) -> int:
        return int(self._final.shape[0])

    @property
    def parameters(self) -> NDArray[np.float64]:
        """Current parameters of the runs that go on, (runs, n_parameters); read-only, no copy."""
        view = self._theta.view()
        view.flags.writeable = False
        return view

    @cached_property
    def _data(self) -> DataAverages:
        # Large data sets need it only where the whole of them is averaged over.
        return self._averages_over(self._states, self._q)

    @cached_property
    def _held_out(self) -> list[tuple[str, DataAverages, Float, NDArray[np.bool_]]]:
        """Data that are not trained on: name, averages, probabilities, which states are new."""
        found, seen = [], [self._states]
        for name, (states, q) in self._apart.items():
            found.append((name, self._averages_over(states, q), q, not_in(states, *seen)))
            seen.append(states)
        return found

    def _averages_over(self, states: NDArray[np.uint8], q: Float) -> DataAverages:
        n, m, paulis = self._shape
        return StateAverages(states, q, Shape(n, m, len(paulis)), self.settings.precision)

    def advance(self, updates: int) -> None:
        """Do at most ``updates`` further updates; the last call also records the final row."""
        for _ in range(updates):
            if self._complete:
                return
            self._step()
        if not self._complete and self.iteration == self.settings.iterations:
            self._step()

    def _step(self) -> None:
        self._recorder.keep_snapshot(self.iteration, self._rows, self._theta)
        record = self._recorder.due(self.iteration)
        last = self.iteration == self.settings.iterations
        if last and not record:
            self._finish()
            return
        gradient = self._gradient(record)
        if self._estimate.failures:
            gradient = self._stop_failed(gradient, last)
        if record and self.settings.patience:
            gradient = self._stop_on_plateau(gradient)
        if last or not self._rows.size:
            self._finish()
            return
        rate = self._learning_rate(self.iteration)
        # A copy, so that the parameters are never anything but what the last whole update made.
        theta = self._theta.copy()
        self._optimizer.update(theta, gradient, rate)
        if self._held is not None:
            # Adam with epsilon = 0 divides a gradient of zero by zero.
            theta[:, self._held] = self._theta[:, self._held]
        if optimizers.all_within(theta.ravel(), MAX_PARAMETER):
            self._theta = theta
        else:
            self._stop_diverged(theta, rate)
        if self._rows.size:
            self.iteration += 1
        else:
            self._finish()

    def _stop_diverged(self, theta: Float, rate: float) -> None:
        """Take ``theta`` over; runs whose row is not finite end with the parameters they had."""
        inside = np.asarray((np.abs(theta) <= MAX_PARAMETER).all(axis=1))
        self._theta = np.where(inside[:, np.newaxis], theta, self._theta)
        lost = self._rows[~inside].tolist()
        self.diverged.update(lost)
        why = (
            f"the parameters stopped being finite (learning rate {rate:g}): lower the learning rate"
        )
        self._fail(dict.fromkeys(lost, why), self._theta)

    def abandon(self, cause: str) -> None:
        """End all runs that go on as failed, with the parameters that they have.

        For whoever has seen :meth:`advance` raise. Estimators are not asked for their reports any
        more.
        """
        self._reports = False
        self._fail(dict.fromkeys(self._rows.tolist(), cause), self._theta)
        self._finish()

    def _fail(self, reasons: Mapping[int, str], gradient: Float) -> Float:
        """Mark runs as failed and end them; the gradient of those that go on."""
        update = min(self.iteration + 1, self.settings.iterations)
        self.failures |= {run: f"update {update}: {one_page(why)}" for run, why in reasons.items()}
        going = ~np.isin(self._rows, [*reasons])
        self._failed[self._rows[~going]] = 1
        return self._end(going, gradient)

    def _gradient(self, record: bool) -> NDArray[np.float64]:
        positive, negative, log_weights, log_z, error = self._averages(record)
        gradient = positive - negative
        if self._held is not None:
            gradient[:, self._held] = 0.0
        if record:
            self._record(gradient, log_weights, log_z, error)
        settings = self.settings
        if settings.centred:
            n, m, paulis = self._shape
            gradient = gradients.centred(positive, negative, n, m, len(paulis), self._mask)
        if settings.weight_decay:
            self._add_weight_decay(gradient)
            if self._held is not None:
                gradient[:, self._held] = 0.0
        if settings.clip:
            gradients.clip(gradient, settings.clip)
        return gradient

    def _add_weight_decay(self, gradient: Float) -> None:
        n, m, paulis = self._shape
        first = n + len(paulis) * m
        gradients.add_weight_decay(gradient, self._theta, self.settings.weight_decay, first)

    def _averages(
        self, record: bool
    ) -> tuple[Float, Float, Float | None, Float | None, Float | None]:
        """Averages of data and model and, for a record, log weights, log Z and its error."""
        theta, rows = self._theta, self._rows
        data = self._batches.draw(rows, self.iteration) if self._batches else None
        estimate = (
            self._phase.estimate(theta, rows)
            if data is None
            else self._phase.estimate(theta, rows, data)
        )
        self._estimate, self._estimated = estimate, rows
        log_z = estimate.log_partition if record else None
        error = None if log_z is None else estimate.log_partition_error
        evaluated = record and contains(self._evaluated_steps, self.iteration)
        if log_z is None and evaluated and self._evaluate is not None:
            log_z, error = self._evaluate(theta, rows, self.iteration)
        log_weights = None
        positive = estimate.clamped
        if positive is None and data is not None:
            positive = self._minibatch(data)
        if positive is None and log_z is not None:
            positive, log_weights = self._data.moments_and_log_weights(theta, rows)
        elif positive is None:
            positive = self._data.moments(theta, rows)
        elif log_z is not None:
            log_weights = self._data.log_weights(theta, rows)
        return positive, estimate.moments, log_weights, log_z, error

    def _minibatch(self, data: NDArray[np.uint8]) -> Float:
        """The data's averages over a minibatch, of which this process has a share."""
        sums = self._moments.sums(self._theta, data)
        self._team.add(sums)
        return self._moments.mean(sums, self.settings.batch_size)

    def _record(
        self,
        gradient: Float,
        log_weights: Float | None,
        log_z: Float | None,
        error: Float | None,
    ) -> None:
        values = {"gradient_norm": np.sqrt((gradient * gradient).sum(axis=1))}
        if log_z is not None and log_weights is not None:
            q = self._q if self._q.shape[0] == 1 else self._q[self._rows]
            values |= metrics.on_support(log_weights - log_z[:, None], q)
            values["log_partition"] = log_z
            if error is not None:
                values["log_partition_error"] = error
            distinct = [log_weights]
            for name, averages, q, new in self._held_out:
                q = q if q.shape[0] == 1 else q[self._rows]
                new = new if new.shape[0] == 1 else new[self._rows]
                found = averages.log_weights(self._theta, self._rows)
                values[f"{name}_nll"] = -(q * (found - log_z[:, None])).sum(axis=-1)
                distinct.append(np.where(new, found, -np.inf))
            if error is not None:
                values["log_partition_bound"] = log_sum(np.concatenate(distinct, axis=1))
        spent = dict(self._estimate.spent)
        if self._curved is not None:
            # Passes over the states up to here: one gradient per update, and what updates took.
            spent["passes"] = self.iteration + self._curved.passes[self._rows].astype(np.float64)
        self._recorder.keep(self.iteration, self._rows, values, spent)

    def _stop_failed(self, gradient: Float, last: bool) -> Float:
        """Runs whose averages could not be had end here, but for those that are done anyway."""
        if last:
            return gradient
        return self._fail(self._estimate.failures, gradient)

    def _stop_on_plateau(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self._recorder.metric(self._stopping.metric, self.iteration, self._rows)
        going = self._stopping.goes_on(values, self._theta, self._rows, self.iteration)
        return gradient if going.all() else self._end(going, gradient)

    def _end(self, going: NDArray[np.bool_], gradient: Float) -> Float:
        """The gradient of the runs that go on; the others keep the parameters they have."""
        stopped = self._rows[~going]
        self._final[stopped] = self._theta[~going]
        self._stopped_at[stopped] = self.iteration
        self._theta, self._rows = self._theta[going], self._rows[going]
        self._optimizer.keep(going)
        return np.asarray(gradient[going])

    def _finish(self) -> None:
        self._final[self._rows] = self._theta
        self._complete = True

    def trajectories(self) -> list[Trajectory]:
        """The runs' results, in the order of the models; RuntimeError before the end."""
        self._check_complete()
        return [
            Trajectory(
                **self._rows_of(run),
                model=self._model(self._result(run)[1]),
                snapshots=[(step, self._model(theta)) for step, theta in self._snapshots_of(run)],
            )
            for run in range(self.n_runs)
        ]

    def _check_complete(self) -> None:
        if not self._complete:
            raise RuntimeError(f"training is at update {self.iteration}, not finished yet")

    def _rows_of(self, run: int) -> dict[str, Any]:
        """What a trajectory says about one run, but for its parameters."""
        rows = self._recorder.of(run, int(self._stopped_at[run]))
        last = self._stopped_at[run] == self.settings.iterations
        rows["stopped"] = "failed" if self._failed[run] else "iterations" if last else "plateau"
        rows["cause"] = self.failures.get(run, "")
        report = getattr(self._phase, "report", None) if self._reports else None
        found = {} if report is None else report(np.array([run]))
        rows["model_step"] = self._result(run)[0] if self.settings.patience else None
        rows["estimator"] = {name: values[0].item() for name, values in found.items()}
        return rows

    def _result(self, run: int) -> tuple[int, Float]:
        """Updates done and parameters that a run is to give: the best, where it looked for them."""
        best = self._stopping.best(run) if self.settings.patience else None
        return best or (int(self._stopped_at[run]), self._final[run])

    def _snapshots_of(self, run: int) -> list[tuple[int, Float]]:
        """Updates done and parameters, of those snapshots that the run lived to see."""
        return self._recorder.snapshots_of(run, int(self._stopped_at[run]))

    def _model(self, theta: Float) -> SqRBM:
        return SqRBM.from_vector(theta, *self._shape, self._mask)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything a checkpoint must keep, as arrays."""
        own: dict[str, NDArray[np.generic]] = {
            "iteration": np.array(self.iteration),
            "complete": np.array(int(self._complete)),
            **{name: getattr(self, "_" + name).copy() for name in _STATE},
            "causes": np.array([self.failures.get(run, "") for run in range(self.n_runs)]),
        }
        own |= {f"optimizer/{k}": v for k, v in self._optimizer.state().items()}
        own |= {f"phase/{k}": v for k, v in self._phase.state().items()}
        own |= {f"stopping/{k}": v for k, v in self._stopping.state().items()}
        return own | self._recorder.state()

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue from :meth:`state`; ValueError if it belongs to another kind of trainer."""
        if "failed" not in state and "stopped_at" in state:  # of a version that had no such mark
            state = {**state, "failed": np.zeros_like(state["stopped_at"])}
        missing = [name for name in ("iteration", "complete", *_STATE) if name not in state]
        if missing:
            raise ValueError(f"checkpoint lacks {', '.join(missing)}")
        check_shape("final", state["final"], self._final)
        self._recorder.restore(state)
        self.iteration = int(state["iteration"])
        self._complete = bool(state["complete"])
        for name in _STATE:
            current = getattr(self, "_" + name)
            setattr(self, "_" + name, np.array(state[name], dtype=current.dtype))
        causes = enumerate(state.get("causes", ()))
        self.failures = {run: str(cause) for run, cause in causes if cause}
        parts: list[tuple[str, Any]] = [("optimizer/", self._optimizer), ("phase/", self._phase)]
        if self.settings.patience:
            parts.append(("stopping/", self._stopping))
        for prefix, part in parts:
            part.restore({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})


_STATE = (
    "theta", "rows", "final", "stopped_at", "failed",
)  # fmt: skip
