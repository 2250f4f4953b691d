"""Bias and variance of gradient estimators for models that there are: :func:`gradient_bias`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of, several
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.training.bias.measures import GradientBias
from tnqbm.training.bias.meter import meter
from tnqbm.training.bias.protocol import ReferenceSettings
from tnqbm.training.estimators import Context, GradientSettings
from tnqbm.training.inputs import run_keys
from tnqbm.training.problems import SqRBMProblem
from tnqbm.training.settings import TrainingSettings


@checked(
    model=MODEL,
    target=TARGET,
    gradient=one_of(str, GradientSettings),
    bias_reference=one_of(str, ReferenceSettings),
    updates=arguments.at_least(1),
    seed=arguments.seed,
)
def gradient_bias(
    model: SqRBM,
    target: Target,
    *,
    gradient: str | GradientSettings = "cd",
    bias_reference: str | ReferenceSettings = "exact",
    updates: int = 1,
    seed: int | np.random.SeedSequence = 0,
    **settings: Any,
) -> GradientBias:
    """How far an estimator's gradient at a model is from the exact one, bias apart from variance.

    ``gradient`` is the estimator and ``bias_reference`` what gives the exact gradient: "exact",
    "contraction" or "tensor". ``bias_replicates`` independent estimators (8) are each asked
    ``updates`` times at the model, of which the last answer counts: chains that persist need many
    to forget how they started, others one. Further ``settings`` are those of
    :class:`tnqbm.TrainingSettings` (``batch_size``, ``precision``) and of the two parts
    (``chains``, ``steps``). Measures of a single estimate are averages over the replicates.

    Raises ValueError for settings that do not exist or do not go with the model.
    """
    return gradient_biases(
        [model],
        target,
        gradient=gradient,
        bias_reference=bias_reference,
        updates=updates,
        seed=seed,
        **settings,
    )[0]


@checked(
    models=several(MODEL),
    target=TARGET,
    gradient=one_of(str, GradientSettings),
    bias_reference=one_of(str, ReferenceSettings),
    updates=arguments.at_least(1),
    seed=arguments.seed,
)
def gradient_biases(
    models: Sequence[SqRBM],
    target: Target,
    *,
    gradient: str | GradientSettings = "cd",
    bias_reference: str | ReferenceSettings = "exact",
    updates: int = 1,
    seed: int | np.random.SeedSequence = 0,
    **settings: Any,
) -> list[GradientBias]:
    """:func:`gradient_bias` at several models of one shape, one after another.

    Such as the snapshots of a training: persistent chains go on from model to model, with
    ``updates`` estimates at each. The models are given, so no estimate steers.
    """
    if not models:
        raise ValueError("models: there are none")
    training = TrainingSettings(
        gradient=gradient,
        bias_reference=bias_reference,
        iterations=len(models) * updates,
        **settings,
    )
    problem = SqRBMProblem(models, [target] * len(models))
    if not getattr(training.bias_reference, "replicates", 2):
        raise ValueError("bias_replicates: must be at least 2, as nothing else is measured here")
    problem.check(training)
    first = SqRBMProblem(models[:1], [target])
    context = Context(first, run_keys(seed, 1), training.precision, training.batch_size)
    averages = first.averages(first.states, first.probabilities, training)
    found = meter(context, training, averages.moments)
    if found is None:
        raise ValueError("bias_reference: there must be one to compare with, such as 'exact'")
    done, biases = 0, []
    for row in problem.theta:
        for last in range(updates - 1, -1, -1):
            bias = found.at(row[None], done, measured=not last)
            done += 1
        assert bias is not None
        biases.append(bias)
    return biases
