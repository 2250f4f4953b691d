"""Quantum circuits of sqRBMs for Qiskit: hidden thermal states, Gibbs states, proposals, averages.

Needs the extra ``quantum`` (:class:`tnqbm.MissingExtraError` without it), but for resource
estimates, product formulas and surrogate models, which are calculations. Public names are loaded
when first used: Qiskit takes a second to import.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_WITHOUT_QISKIT = frozenset({
    "IsingSurrogate", "Patience", "Resources", "Shape", "Spent", "TooFewShotsError", "estimate",
    "expand_surrogate", "fit_surrogate", "trotterise",
})  # fmt: skip
"""Names of calculations, without a circuit."""


def __getattr__(name: str) -> Any:
    if name in __all__ and name not in _WITHOUT_QISKIT:
        from tnqbm.quantum.extra import need_qiskit

        need_qiskit(f"tnqbm.quantum.{name}")
    return _load(name)
