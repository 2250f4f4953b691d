"""Tensor networks of sqRBMs: exact contraction, and the amplitude matrix product state.

Public names are loaded when first used: quimb and cotengra take a second to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "AmplitudeMPS": "tnqbm.networks.amplitude",
    "Contraction": "tnqbm.networks.contraction",
    "Forecast": "tnqbm.networks.plan",
    "hidden_state": "tnqbm.networks.kept",
    "log_partition": "tnqbm.networks.kept",
    "marginal": "tnqbm.networks.kept",
    "moments": "tnqbm.networks.kept",
    "network": "tnqbm.networks.graph",
    "structure": "tnqbm.networks.structure",
}

__all__ = list(_EXPORTS)

if TYPE_CHECKING:
    from tnqbm.networks.amplitude import AmplitudeMPS as AmplitudeMPS
    from tnqbm.networks.contraction import Contraction as Contraction
    from tnqbm.networks.graph import network as network
    from tnqbm.networks.kept import hidden_state as hidden_state
    from tnqbm.networks.kept import log_partition as log_partition
    from tnqbm.networks.kept import marginal as marginal
    from tnqbm.networks.kept import moments as moments
    from tnqbm.networks.plan import Forecast as Forecast


def __getattr__(name: str) -> Any:
    if name == "structure":
        return importlib.import_module(_EXPORTS[name])
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'tnqbm.networks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
