"""Optimizers by name, and the protocol that they answer.

Imports estimators' protocol, the registry and the schema of :mod:`tnqbm.training`. Start with
:mod:`~tnqbm.training.optimizers.protocol`; :mod:`~tnqbm.training.optimizers.first_order` is an
example.
"""

from tnqbm.training.optimizers.protocol import Optimizer, OptimizerContext, OptimizerSettings, Step
from tnqbm.training.registry import Registry

__all__ = ["OPTIMIZERS", "Optimizer", "OptimizerContext", "OptimizerSettings", "Step"]

_FIRST = "tnqbm.training.optimizers.first_order"
_SECOND = "tnqbm.training.optimizers.second_order"

OPTIMIZERS: Registry[OptimizerSettings] = Registry(
    "optimizer",
    "tnqbm.optimizers",
    OptimizerSettings,
    {
        "amsgrad": f"{_FIRST}:AMSGrad",
        "adam": f"{_FIRST}:Adam",
        "sgd": f"{_FIRST}:SGD",
        "natural": f"{_SECOND}:Natural",
        "em": f"{_SECOND}:Em",
    },
)
"""Optimizers. Other packages add theirs as entry points ``tnqbm.optimizers``."""
