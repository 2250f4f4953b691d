"""Figures of archives, models, samples and resources; every function returns ``(figure, axes)``.

Here are those of one or more archives: learning curves, final distances, least hidden units.
Others are in its modules ``samples``, ``structure``, ``resources``, ``models``, ``spread`` and
``audit``. Figures are made without pyplot, so nothing global changes and no window opens;
:func:`save_figure` writes PNG, PDF or SVG. matplotlib is imported on the first call (extra
``plot``; tnqbm.MissingExtraError without it).
"""

from __future__ import annotations

import importlib
from typing import Any

from tnqbm.figures.by_gradient import gradients
from tnqbm.figures.curves import learning_curves, tvd_vs_hidden
from tnqbm.figures.likelihoods import likelihood
from tnqbm.figures.minimum import minimum_hidden
from tnqbm.figures.saving import SUFFIXES, check_figure_path, save_figure

_MODULES = ("audit", "models", "resources", "samples", "spread", "structure")
"""Loaded when first used: they need more than archives do."""

__all__ = [
    "SUFFIXES",
    "check_figure_path",
    "gradients",
    "learning_curves",
    "likelihood",
    "minimum_hidden",
    "save_figure",
    "tvd_vs_hidden",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"tnqbm.figures.{name}")
    raise AttributeError(f"module 'tnqbm.figures' has no attribute {name!r}")
