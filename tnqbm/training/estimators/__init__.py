"""Estimators of gradients and evaluators of log Z by name, and the protocol that they answer.

Imports what is below :mod:`tnqbm.training`, and of that the registry and the schema. Start with
:mod:`~tnqbm.training.estimators.protocol`; :mod:`~tnqbm.training.estimators.exact` is an example.
"""

from tnqbm.training.costs import Size
from tnqbm.training.estimators.protocol import (
    Averages,
    Context,
    Doubting,
    EvaluatorSettings,
    GradientEstimator,
    GradientSettings,
    Limiting,
    LogPartition,
    Reporting,
    Stateless,
    between,
)
from tnqbm.training.registry import Registry

__all__ = [
    "EVALUATORS",
    "GRADIENTS",
    "Averages",
    "Context",
    "Doubting",
    "EvaluatorSettings",
    "GradientEstimator",
    "GradientSettings",
    "Limiting",
    "LogPartition",
    "Reporting",
    "Size",
    "Stateless",
    "between",
]

GRADIENTS: Registry[GradientSettings] = Registry(
    "gradient",
    "tnqbm.gradients",
    GradientSettings,
    {
        "exact": "tnqbm.training.estimators.exact:ExactGradient",
        "contraction": "tnqbm.training.estimators.exact:ContractionGradient",
        "quantum": "tnqbm.quantum.settings:QuantumGradient",
    },
)
"""Estimators of gradients. Other packages add theirs as entry points ``tnqbm.gradients``."""

EVALUATORS: Registry[EvaluatorSettings] = Registry(
    "evaluate",
    "tnqbm.evaluators",
    EvaluatorSettings,
    {
        "auto": "tnqbm.training.estimators.exact:AutomaticEvaluation",
        "exact": "tnqbm.training.estimators.exact:ExactEvaluation",
        "contraction": "tnqbm.training.estimators.exact:ContractionEvaluation",
        "none": "tnqbm.training.estimators.exact:NoEvaluation",
    },
)
"""Evaluators of log Z. Other packages add theirs as entry points ``tnqbm.evaluators``."""
