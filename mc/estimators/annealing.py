"""The evaluator "ais" of training: log Z of recorded rows by annealed importance sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.group_path import GroupPath
from mc.sampling.log_z.annealing import anneal, anneal_along, choose_kernel
from mc.sampling.log_z.policies import Schedule
from mc.sampling.path import matching_fields
from tnqbm.base.teams import Team
from tnqbm.core import streams
from tnqbm.training.estimators import Context, LogPartition
from tnqbm.training.groups import SqBMProblem

if TYPE_CHECKING:
    from tnqbm.training.problems import SqRBMProblem


Float = NDArray[np.float64]


def annealed_log_partition(context: Context, chains: int, betas: int) -> LogPartition:
    """The evaluator for a batch of runs; annealing starts at the first moments of their data.

    Units of a second hidden layer, which the data do not know, start as fair bits.
    """
    given = context.problem
    reference = matching_fields(given.states, given.probabilities)
    unknown = given.n_units - given.n_visible
    reference = np.pad(reference, ((0, 0), (0, unknown)))
    runs = len(context.keys)
    if reference.shape[0] == 1:
        reference = reference[0]
    elif reference.shape[0] != runs:
        raise ValueError(f"{reference.shape[0]} lists of data for {runs} runs")
    if isinstance(given, SqBMProblem):
        return _of_groups(context, given, reference, chains, betas)
    problem: SqRBMProblem = given  # type: ignore[assignment]
    return log_partition_evaluator(
        *problem.shape,
        keys=streams.keys(context.keys, streams.Run.EVALUATION),
        chains=chains,
        betas=betas,
        precision=context.precision,
        reference=reference,
        team=context.team,
    )


def _of_groups(
    context: Context, problem: SqBMProblem, reference: Float, chains: int, betas: int
) -> LogPartition:
    """The evaluator of sqBMs; ``reference`` are fields (n,) or (runs, n) of the solvable end."""
    names = streams.keys(context.keys, streams.Run.EVALUATION)

    def evaluate(theta: Float, rows: NDArray[np.intp], step: int) -> tuple[Float, Float]:
        fields = reference if reference.ndim == 1 else reference[rows]
        found = anneal_along(
            GroupPath(problem.layout, theta, fields),
            keys=streams.keys(names[rows], step), chains=chains, betas=betas, team=context.team,
        )  # fmt: skip
        return found.log_z, found.standard_error

    return evaluate


def log_partition_evaluator(
    n: int,
    m: int,
    n_paulis: int,
    *,
    keys: NDArray[np.uint64],
    chains: int = 200,
    betas: int | ArrayLike = 500,
    schedule: Schedule = "adaptive",
    kernel: str = "auto",
    precision: str = "double",
    reference: Float | None = None,
    team: Team | None = None,
) -> LogPartition:
    """Annealed estimates of log Z while models are trained.

    Returns a callable (theta (B, size), rows (B,), step) -> (log_z (B,), standard_error (B,)):
    theta are the parameters of the runs ``rows`` after ``step`` updates. ``keys`` (runs,) name
    their random streams and ``reference`` is (n,) or (runs, n); numbers depend on (key, step,
    theta) alone. Other arguments as for :func:`mc.sampling.log_z.annealing.anneal`.
    """
    kernel = choose_kernel(kernel, n_paulis)
    names = np.asarray(keys, dtype=np.uint64)

    def evaluate(theta: Float, rows: NDArray[np.intp], step: int) -> tuple[Float, Float]:
        here = streams.keys(names[rows], step)
        own = reference is not None and reference.ndim == 2
        found = anneal(
            theta, n, m, n_paulis, keys=here, chains=chains, betas=betas, schedule=schedule,
            kernel=kernel, precision=precision, team=team,
            reference=reference[rows] if reference is not None and own else reference,
        )  # fmt: skip
        return found.log_z, found.standard_error

    return evaluate
