"""log Z of all snapshots of a training at once, with error bars."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.chains.moving import as_target
from mc.sampling.log_z.estimate import Estimate, EstimateWarning, Run
from mc.sampling.log_z.multistate import weigh_snapshots
from mc.sampling.log_z.policies import Multistate
from mc.sampling.log_z.verdict import judge, no_survey, weigh_modes
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.core import streams
from tnqbm.core.bounds import distinct_rows, log_partition_bound
from tnqbm.core.model import SqRBM
from tnqbm.datasets import Target

States = NDArray[np.uint8]
Seed = int | np.random.SeedSequence

SURVEYED = 4
"""Models whose modes are surveyed; those between stand and fall with them."""
MODE_CHAINS, MODE_BETAS = 600, 320
"""Of a survey, as for annealing."""


@checked(data=arguments.rows(Target), seed=arguments.seed, progress=arguments.flag)
def log_partitions(
    models: Sequence[SqRBM],
    method: Multistate | None = None,
    *,
    data: Target | ArrayLike | None = None,
    seed: Seed,
    progress: bool = False,
) -> list[Estimate]:
    """log Z of every model of a training, in nats, from chains on one ladder through all of them.

    models : at least two, in the order of the training, such as
        ``[model for _, model in run.snapshots]``; the last one is the top of the ladder.
    method : a :class:`mc.Multistate`, whose ``snapshots.models`` are not used.
    data : what the models were trained on, a Target or rows (K, n). The solvable end gets its
        first moments, some chains start from it, and its weight bounds log Z.
    seed : the same seed gives the same numbers.

    Each estimate is held against what else is known of its model, as :func:`mc.log_partition` does.

    Warns (EstimateWarning) once, about the models whose estimate should not be trusted; each
    estimate's own ``warnings`` say why. ImportError without pymbar (the extra ``mbar``);
    ValueError on fewer than two models or models of different shapes, before any work.
    """
    given = list(models)
    if len(given) < 2:
        raise ValueError(
            f"models: {len(given)} given, but log_partitions is for two or more models of one "
            "training; for one alone see mc.log_partition"
        )
    if wrong := [k for k, model in enumerate(given) if not isinstance(model, SqRBM)]:
        raise TypeError(
            f"models[{wrong[0]}] must be an SqRBM, got {arguments.shown(given[wrong[0]])}"
        )
    policy = Multistate() if method is None else method
    if not isinstance(policy, Multistate):
        raise TypeError(f"method must be an object Multistate, got {arguments.shown(method)}")
    policy = replace(policy, snapshots=replace(policy.snapshots, models=given[:-1]))
    key = streams.key(seed, streams.LogZ.MULTISTATE)
    runs = weigh_snapshots(given[-1], policy, data=data, seed=key, progress=progress)
    runs += [runs[-1]] * (len(given) - len(runs))  # the last two models may be the same
    found = _judged(given, runs, None if data is None else as_target(data).states, seed)
    if doubtful := [k for k, one in enumerate(found) if not one.trusted]:
        warnings.warn(
            f"log Z of {len(doubtful)} of {len(given)} models should not be trusted, the first of "
            f"them models[{doubtful[0]}]: {'; '.join(found[doubtful[0]].warnings)}",
            EstimateWarning,
            stacklevel=3,
        )
    return found


def _judged(
    models: Sequence[SqRBM], runs: Sequence[Run], rows: States | None, seed: Seed
) -> list[Estimate]:
    """The runs' estimates, held against bounds, and against the modes of some of the models.

    Modes come up and stay. So a model between two that were surveyed lacks what they lack.
    """
    seen = runs[0].states if rows is None else np.concatenate([rows, runs[0].states])
    seen = seen[distinct_rows(seen)]
    last = len(models) - 1
    places = np.linspace(0, last, min(SURVEYED, len(models))).round().astype(int)
    found: dict[int, Estimate] = {}
    for k in np.unique(places).tolist():
        key = streams.key(seed, streams.LogZ.MODES, k)
        begun = time.perf_counter()
        known = weigh_modes(models[k], seen, chains=MODE_CHAINS, betas=MODE_BETAS, key=key)
        found[k] = _timed(judge(runs[k], known), begun)
    surveyed = sorted(found)
    for before, after in pairwise(surveyed):
        doubted = [at for at in (before, after) if not found[at].trusted]
        # How closely their modes confirm these two is as much as is known of those between.
        raised = [
            found[at].standard_error
            for at in (before, after)
            if found[at].standard_error > runs[at].estimate.standard_error
        ]
        for k in range(before + 1, after):
            begun = time.perf_counter()
            bounds = [-np.inf if (own := runs[k].estimate.lower_bound) is None else own]
            if rows is not None:
                bounds.append(log_partition_bound(models[k], rows))
            known = no_survey(models[k], max(bounds), len(seen))
            judged = judge(runs[k], known, doubts=bool(doubted))
            if judged.trusted and doubted:
                why = found[doubted[0]].warnings[0]
                text = f"mbar: models[{doubted[0]}] nearby is not to be trusted: {why}"
                judged = replace(judged, trusted=False, warnings=[text])
            error = max([judged.standard_error, *raised])
            found[k] = _timed(replace(judged, standard_error=error), begun)
    return [found[k] for k in range(len(models))]


def _timed(estimate: Estimate, begun: float) -> Estimate:
    """The estimate with the time since ``begun`` added to its own."""
    return replace(estimate, seconds=estimate.seconds + time.perf_counter() - begun)
