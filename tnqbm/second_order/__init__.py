"""Trainers that use the curvature: natural gradients and the em algorithm.

:class:`tnqbm.second_order.scores.Scores` is what both rest on, the score functions of a model over
weighted visible states and the metrics made of them; :mod:`~tnqbm.second_order.solvers` solves with
a metric; :class:`~tnqbm.second_order.natural.NaturalGradient` and
:class:`~tnqbm.second_order.em.EmAlgorithm` are the optimizers "natural" and "em" of training.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tnqbm.second_order.em import EmAlgorithm, project
    from tnqbm.second_order.natural import NaturalGradient
    from tnqbm.second_order.scores import Scores, enumerated
    from tnqbm.second_order.solvers import solve

__all__ = ["EmAlgorithm", "NaturalGradient", "Scores", "enumerated", "project", "solve"]

_PLACES = {
    "EmAlgorithm": "em",
    "NaturalGradient": "natural",
    "Scores": "scores",
    "enumerated": "scores",
    "project": "em",
    "solve": "solvers",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
