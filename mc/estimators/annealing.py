"""The evaluator "ais" of training: log Z of recorded rows by annealed importance sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mc.sampling.likelihood import log_partition_evaluator
from mc.sampling.path import matching_fields
from tnqbm.core import streams
from tnqbm.training.estimators import Context, LogPartition

if TYPE_CHECKING:
    from tnqbm.training.problems import SqRBMProblem


def annealed_log_partition(context: Context, chains: int, betas: int) -> LogPartition:
    """The evaluator for a batch of runs; annealing starts at the first moments of their data."""
    problem: SqRBMProblem = context.problem  # type: ignore[assignment]
    reference = matching_fields(problem.states, problem.probabilities)
    runs = len(context.keys)
    if reference.shape[0] == 1:
        reference = reference[0]
    elif reference.shape[0] != runs:
        raise ValueError(f"{reference.shape[0]} lists of data for {runs} runs")
    return log_partition_evaluator(
        *problem.shape,
        keys=streams.keys(context.keys, streams.Run.EVALUATION),
        chains=chains,
        betas=betas,
        precision=context.precision,
        reference=reference,
        team=context.team,
    )
