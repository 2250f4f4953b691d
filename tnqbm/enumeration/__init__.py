"""Sums over all 2^n visible states."""

from tnqbm.enumeration.enumerator import Enumerator

__all__ = ["Enumerator"]
