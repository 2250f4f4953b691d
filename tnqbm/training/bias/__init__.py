"""How far estimated gradients are from the exact ones: references, replicates, bias and variance.

Imports estimators' protocol, the registry and the schema of :mod:`tnqbm.training`. Start with
:mod:`~tnqbm.training.bias.measures`; :mod:`~tnqbm.training.bias.meter` measures while models are
trained, :mod:`~tnqbm.training.bias.offline` for models that there are.
"""

from tnqbm.training.bias.protocol import (
    ComparedReference,
    ModelAverages,
    Reference,
    ReferenceSettings,
)
from tnqbm.training.registry import Registry

__all__ = ["REFERENCES", "ComparedReference", "ModelAverages", "Reference", "ReferenceSettings"]

_BUILT_IN = "tnqbm.training.bias.references"

REFERENCES: Registry[ReferenceSettings] = Registry(
    "bias_reference",
    "tnqbm.references",
    ReferenceSettings,
    {
        "none": f"{_BUILT_IN}:NoReference",
        "exact": f"{_BUILT_IN}:ExactReference",
        "contraction": f"{_BUILT_IN}:ContractionReference",
    },
)
"""What estimated gradients are compared with. Other packages add theirs as entry points
``tnqbm.references``."""
