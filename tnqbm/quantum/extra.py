"""Importing Qiskit, or saying which extra brings it."""

from __future__ import annotations

from typing import Any

from tnqbm.base.errors import MissingExtraError


def need_qiskit(purpose: str) -> Any:
    """The package ``qiskit``; MissingExtraError, naming the extra, where it is not installed."""
    try:
        import qiskit
    except ImportError as error:
        raise MissingExtraError("qiskit", "quantum", purpose) from error
    return qiskit
