"""Changing and comparing models: gauge, more and fewer Paulis and hidden units, equivalence.

Modules are loaded when first used. :func:`tnqbm.equivalent` is the short way to compare two models.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = (
    "equivalence", "gauge", "hidden_units", "merging", "pruning", "reweighting", "simplify",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"tnqbm.model_tools.{name}")
    raise AttributeError(f"module 'tnqbm.model_tools' has no attribute {name!r}")
