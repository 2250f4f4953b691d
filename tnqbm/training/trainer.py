"""One training loop for every kind of model and every estimator: a batch of runs of one shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of, shown
from tnqbm.base.limits import MAX_PARAMETER
from tnqbm.base.teams import Alone, Team
from tnqbm.kernels.tables import all_within
from tnqbm.training import gradients
from tnqbm.training.bias.meter import meter
from tnqbm.training.checkpoints import Identity, identity_of, read_checkpoint, write_checkpoint
from tnqbm.training.early_stopping import EarlyStopping, refuse_nothing_to_watch, watched
from tnqbm.training.estimators import (
    Averages,
    Context,
    between,
)
from tnqbm.training.family import check_parts
from tnqbm.training.inputs import checked_keys
from tnqbm.training.minibatches import Minibatches
from tnqbm.training.optimizers import OptimizerContext, Step
from tnqbm.training.problems import Problem
from tnqbm.training.recording import Likelihoods, Recorder, Runs, contains
from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trajectory import Trajectory

Float = NDArray[np.float64]
State = dict[str, NDArray[np.generic]]


def _problem(value: object) -> Exception | None:
    """Kind of problems: objects with the protocol."""
    if hasattr(value, "family"):
        return None
    return TypeError(
        "must be a problem such as tnqbm.training.SqRBMProblem(models, targets), got "
        f"{shown(value)}"
    )


class Trainer:
    """Trains the models of a problem together, each on its own target.

    A run's numbers do not depend on which other runs share its batch, nor on how many processes are
    in ``team``; all members of one must be given the same and do the same. ``keys`` (runs,) uint64
    names the random stream of each run; by default they follow from the run's place. Raises
    ValueError "field: what is wrong" for settings that do not go with the problem.
    """

    @checked(problem=_problem, settings=one_of(TrainingSettings))
    def __init__(
        self,
        problem: Problem,
        settings: TrainingSettings,
        *,
        keys: NDArray[np.uint64] | None = None,
        team: Team | None = None,
    ) -> None:
        check_parts(problem.family, settings)
        problem.check(settings)
        self.problem, self.settings = problem, settings
        self._team = team or Alone()
        n_runs = problem.theta.shape[0]
        gradient, self._keys = settings.gradient, checked_keys(keys, n_runs)
        context = Context(
            problem,
            self._keys,
            settings.precision,
            settings.batch_size,
            settings.optimizer.wants_states(settings),
            self._team,
        )
        self._batches: Minibatches | None = None
        if settings.batch_size:
            self._batches = Minibatches(
                problem.states, problem.probabilities, context.keys, settings.batch_size, self._team
            )
            self._batch_averages = problem.batch_averages(settings, self._team)
        self._estimator = gradient.make(context)
        self._evaluate = settings.evaluate.make(context) if settings.evaluates else None
        if not (gradient.knows_log_partition or gradient.unknown):
            refuse_nothing_to_watch(settings, problem.n_units, self._evaluate is not None)
        self._frozen = np.flatnonzero(problem.frozen)
        self._likelihoods = Likelihoods(problem, settings)
        self._bias = meter(context, settings, lambda *of: self._likelihoods.data.moments(*of))
        self._runs = Runs(problem.theta.copy(), settings.iterations)
        self._optimizer = settings.optimizer.make(
            OptimizerContext(
                problem, settings, n_runs, ~problem.frozen if self._frozen.size else None, self._ask
            )
        )
        self._learning_rate = gradients.schedule(
            settings.schedule,
            settings.learning_rate,
            decay=settings.decay,
            decay_steps=settings.decay_steps,
            iterations=settings.iterations,
        )
        self.iteration = 0
        """Updates done."""
        self._evaluated_steps = settings.evaluated_steps
        self._recorder = Recorder(settings, n_runs, problem.n_parameters)
        self._stopping = EarlyStopping(settings, watched(problem.held_out), self._runs.theta)
        self._complete = False
        self._reports = True

    @property
    def finished(self) -> bool:
        """Whether all updates are done and the last metrics recorded."""
        return self._complete

    @property
    def n_runs(self) -> int:
        return int(self._runs.final.shape[0])

    @property
    def failures(self) -> dict[int, str]:
        """Why runs failed, by their place in the batch."""
        return self._runs.failures

    @property
    def diverged(self) -> set[int]:
        """Failed runs whose parameters stopped being finite, as far as this trainer saw it."""
        return self._runs.diverged

    @property
    def parameters(self) -> Float:
        """Current parameters of the runs that go on, (runs, n_parameters); read-only, no copy."""
        view = self._runs.theta.view()
        view.flags.writeable = False
        return view

    def advance(self, updates: int) -> None:
        """Do at most ``updates`` further updates; the last call also records the final row."""
        for _ in range(updates):
            if self._complete:
                return
            self._step()
        if not self._complete and self.iteration == self.settings.iterations:
            self._step()

    def stop(self) -> None:
        """End all runs that go on, with the parameters that they have; they count as "asked".

        Metrics are recorded once more if a row belongs to this number of updates.
        """
        if self._complete:
            return
        self._recorder.keep_snapshot(self.iteration, self._runs.rows, self._runs.theta)
        if self._recorder.due(self.iteration):
            self._gradient(record=True)
        self._runs.stop(self.iteration)
        self._finish()

    def abandon(self, cause: str) -> None:
        """End all runs that go on as failed, with the parameters that they have.

        For whoever has seen :meth:`advance` raise. Estimators are not asked for their reports any
        more.
        """
        self._reports = False
        self._fail(dict.fromkeys(self._runs.rows.tolist(), cause))
        self._finish()

    def _step(self) -> None:
        runs = self._runs
        self._recorder.keep_snapshot(self.iteration, runs.rows, runs.theta)
        record = self._recorder.due(self.iteration)
        last = self.iteration == self.settings.iterations
        if last and not record:
            self._finish()
            return
        estimated = runs.rows
        averages, gradient = self._gradient(record)
        if averages.failures and not last:
            gradient = gradient[self._fail(averages.failures)]
        if record and self.settings.patience:
            gradient = gradient[self._stop_on_plateau()]
        if last or not runs.rows.size:
            self._finish()
            return
        rate = self._learning_rate(self.iteration)
        # A copy, so that the parameters are never anything but what the last whole update made.
        theta = runs.theta.copy()
        # Runs that have just stopped are among the averages still.
        if runs.rows is estimated:
            places = np.arange(estimated.size)
        else:
            places = np.searchsorted(estimated, runs.rows)
        self._optimizer.update(Step(theta, gradient, rate, runs.rows, averages, places))
        if self._frozen.size:
            # Adam with epsilon = 0 divides a gradient of zero by zero.
            theta[:, self._frozen] = runs.theta[:, self._frozen]
        theta = self._limited(theta)
        if all_within(theta.ravel(), MAX_PARAMETER):
            runs.theta = theta
        else:
            self._stop_diverged(theta, rate)
        if runs.rows.size:
            self.iteration += 1
        else:
            self._finish()

    def _limited(self, theta: Float) -> Float:
        """The proposed parameters, or part of the way to them where the estimator wants that."""
        allowed = getattr(self._estimator, "allowed", None)
        if allowed is None:
            return theta
        runs = self._runs
        if all_within(theta.ravel(), MAX_PARAMETER):
            return between(runs.theta, theta, allowed(runs.theta, theta, runs.rows))
        inside = np.flatnonzero((np.abs(theta) <= MAX_PARAMETER).all(axis=1))
        if inside.size:
            before, after = runs.theta[inside], theta[inside]
            theta[inside] = between(before, after, allowed(before, after, runs.rows[inside]))
        return theta

    def _gradient(self, record: bool) -> tuple[Averages, Float]:
        """What the estimator said, and the gradient that the optimizer is to follow."""
        settings, problem, theta = self.settings, self.problem, self._runs.theta
        averages, data, log_weights, log_z, error = self._phases(record)
        gradient = data - averages.model
        if self._frozen.size:
            gradient[:, self._frozen] = 0.0
        if self._bias is not None:
            compared = self._bias.columns(theta, self._runs.rows, self.iteration, gradient, record)
            averages = dataclasses.replace(averages, usage={**averages.usage, **compared})
        if record:
            self._record(averages, gradient, log_weights, log_z, error)
        if settings.centred:
            gradient = problem.centred(data, averages.model)
        if settings.weight_decay:
            gradient[:, problem.couplings] += settings.weight_decay * theta[:, problem.couplings]
            if self._frozen.size:
                gradient[:, self._frozen] = 0.0
        if settings.clip:
            gradients.clip(gradient, settings.clip)
        return averages, gradient

    def _phases(
        self, record: bool
    ) -> tuple[Averages, Float, Float | None, Float | None, Float | None]:
        """Averages of model and data and, for a record, log weights, log Z and its error."""
        theta, rows = self._runs.theta, self._runs.rows
        minibatch = self._batches.draw(rows, self.iteration) if self._batches else None
        averages = (
            self._estimator.estimate(theta, rows)
            if minibatch is None
            else self._estimator.estimate(theta, rows, minibatch)
        )
        log_z = averages.log_partition if record else None
        error = None if log_z is None else averages.log_partition_error
        doubted = getattr(self._estimator, "doubted", None)
        wanted = log_z is None or self.settings.evaluate.chosen
        evaluated = record and contains(self._evaluated_steps, self.iteration)
        if evaluated and wanted and self._evaluate is not None:
            log_z, error = self._evaluate(theta, rows, self.iteration)
        elif evaluated and doubted is not None and error is not None:
            error = doubted(theta, rows, log_z, error)
        data, log_weights, whole = averages.data, None, self._likelihoods
        if data is None and minibatch is not None:
            data = self._batch_averages(theta, minibatch)
        if data is None and log_z is not None:
            data, log_weights = whole.data.moments_and_log_weights(theta, rows)
        elif data is None:
            data = whole.data.moments(theta, rows)
        elif log_z is not None:
            log_weights = whole.data.log_weights(theta, rows)
        return averages, data, log_weights, log_z, error

    def _ask(self, theta: Float, run: int) -> tuple[float, Float, Float]:
        """log Z, the model's averages and the data's, of one run at other parameters."""
        row, rows = theta[None], np.array([run])
        averages = self._estimator.estimate(row, rows)
        assert averages.log_partition is not None  # exact estimators only are asked
        data = averages.data
        if data is None:
            data = self._likelihoods.data.moments(row, rows)
        return float(averages.log_partition[0]), averages.model[0], data[0]

    def _record(
        self,
        averages: Averages,
        gradient: Float,
        log_weights: Float | None,
        log_z: Float | None,
        error: Float | None,
    ) -> None:
        theta, rows = self._runs.theta, self._runs.rows
        values = {"gradient_norm": np.sqrt((gradient * gradient).sum(axis=1))}
        if log_z is not None and log_weights is not None:
            values |= self._likelihoods.values(theta, rows, log_weights, log_z, error)
        usage = dict(averages.usage)
        passes = getattr(self._optimizer, "passes", None)
        if passes is not None:
            # Passes over the states up to here: one gradient per update, and what updates took.
            usage["passes"] = self.iteration + passes[rows].astype(np.float64)
        self._recorder.keep(self.iteration, rows, values, usage)

    def _stop_diverged(self, theta: Float, rate: float) -> None:
        """Take ``theta`` over; runs whose row is not finite end with the parameters they had."""
        runs = self._runs
        inside = np.asarray((np.abs(theta) <= MAX_PARAMETER).all(axis=1))
        runs.theta = np.where(inside[:, np.newaxis], theta, runs.theta)
        lost = runs.rows[~inside].tolist()
        runs.diverged.update(lost)
        why = (
            f"the parameters stopped being finite (learning rate {rate:g}): lower the learning rate"
        )
        self._fail(dict.fromkeys(lost, why))

    def _stop_on_plateau(self) -> NDArray[np.bool_]:
        """End the runs whose likelihood does not fall any more; which go on, (B,)."""
        runs = self._runs
        values = self._recorder.metric(self._stopping.metric, self.iteration, runs.rows)
        going = self._stopping.goes_on(values, runs.theta, runs.rows, self.iteration)
        if not going.all():
            runs.end(going, self.iteration)
            self._optimizer.keep(going)
        return going

    def _fail(self, reasons: Mapping[int, str]) -> NDArray[np.bool_]:
        """End runs as failed; which of the runs before go on, (B,)."""
        going = self._runs.fail(reasons, self.iteration)
        self._optimizer.keep(going)
        return going

    def _finish(self) -> None:
        self._runs.finish()
        self._complete = True

    def trajectories(self) -> list[Trajectory]:
        """The runs' results, in the order of the models; RuntimeError before the end."""
        if not self._complete:
            raise RuntimeError(f"training is at update {self.iteration}, not finished yet")
        return [self._trajectory(run) for run in range(self.n_runs)]

    def _trajectory(self, run: int) -> Trajectory:
        stopped_at = int(self._runs.stopped_at[run])
        best = self._stopping.best(run) if self.settings.patience else None
        step, theta = best or (stopped_at, self._runs.final[run])
        report = getattr(self._estimator, "report", None) if self._reports else None
        reported: State = {} if report is None else report(np.array([run]))
        return Trajectory(
            **self._recorder.of(run, stopped_at),
            model=self.problem.model(theta),
            snapshots=[
                (at, self.problem.model(parameters))
                for at, parameters in self._recorder.snapshots_of(run, stopped_at)
            ],
            model_step=step if self.settings.patience else None,
            stopped=self._runs.outcome(run),
            cause=self.failures.get(run, ""),
            estimator={name: values[0].item() for name, values in reported.items()},
        )

    @checked(path=arguments.path)
    def save(self, path: str | Path) -> None:
        """Write the state of the training to a file that ends in .h5, from which it can go on.

        An earlier file of this method is replaced, in one step; FileExistsError for any other file.
        ValueError for another ending, OSError if it cannot be written.
        """
        write_checkpoint(path, self.state(), self._identity())

    @checked(path=arguments.path)
    def resume(self, path: str | Path) -> None:
        """Go on from what :meth:`save` wrote, to the same bits as without an interruption.

        The trainer must have been made from the same problem, settings and keys. Raises
        FileNotFoundError if there is no such file, ArchiveError if it is damaged or something else,
        and ValueError, naming what differs, if it is of another training; the trainer is then as it
        was.
        """
        self.restore(read_checkpoint(path, self._identity()))

    def _identity(self) -> Identity:
        return identity_of(self.problem, self.settings, self._keys)

    def state(self) -> State:
        """Everything a checkpoint must keep, as arrays."""
        own: State = {
            "iteration": np.array(self.iteration),
            "complete": np.array(int(self._complete)),
            **self._runs.state(),
        }
        own |= {f"optimizer/{k}": v for k, v in self._optimizer.state().items()}
        own |= {f"phase/{k}": v for k, v in self._estimator.state().items()}
        if self._bias is not None:
            own |= {f"bias/{k}": v for k, v in self._bias.state().items()}
        own |= {f"stopping/{k}": v for k, v in self._stopping.state().items()}
        return own | self._recorder.state()

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Continue from :meth:`state`; ValueError if it belongs to another kind of trainer."""
        missing = [name for name in ("iteration", "complete") if name not in state]
        if missing:
            raise ValueError(f"checkpoint lacks {', '.join(missing)}")
        self._runs.restore(state)
        self._recorder.restore(state)
        self.iteration = int(state["iteration"])
        self._complete = bool(state["complete"])
        self._optimizer.restore(_under("optimizer/", state))
        self._estimator.restore(_under("phase/", state))
        if self._bias is not None:
            self._bias.restore(_under("bias/", state))
        if self.settings.patience:
            self._stopping.restore(_under("stopping/", state))


def _under(prefix: str, state: Mapping[str, NDArray[np.generic]]) -> State:
    """What of a checkpoint begins with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
