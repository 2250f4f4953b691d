"""Makes the estimators of this package known where it is not installed.

An installed package offers them to :mod:`tnqbm.training` as entry points. From a checkout that is
not installed there are none, so studies ask for them here first.
"""

from __future__ import annotations

from mc.estimators.settings import AIS, CD, PCD, Tempered, Tensor
from tnqbm.training.estimators import EVALUATORS, GRADIENTS


def provide() -> None:
    """Make this package's estimators known to training, if they are not yet."""
    for gradient in (CD, PCD, Tempered, Tensor):
        if gradient.name not in GRADIENTS.names():
            GRADIENTS.register(gradient)
    if AIS.name not in EVALUATORS.names():
        EVALUATORS.register(AIS)
