"""Directions on the Bloch sphere: the rotations that reach them, and bases to measure in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

AXES = "XYZ"
"""The Pauli matrices in the order of the components of a Bloch vector."""


def polar_angles(direction: Float) -> tuple[Float, Float]:
    """Angles (theta, phi) with R_z(phi) R_y(theta) Z (R_z(phi) R_y(theta))^-1 = direction . sigma.

    ``direction`` (..., 3), any length but 0, for which both angles are 0.
    """
    x, y, z = np.moveaxis(np.asarray(direction, dtype=np.float64), -1, 0)
    return np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)


def seen_in(letter: str, direction: Float) -> Float:
    """The Bloch vector after the gates that make a measurement of ``letter`` one of Z.

    These gates are H for X, and S^-1 followed by H for Y. ``direction`` (..., 3).
    """
    x, y, z = np.moveaxis(np.asarray(direction, dtype=np.float64), -1, 0)
    turned = {"X": (z, -y, x), "Y": (z, x, y), "Z": (x, y, z)}[letter]
    return np.stack(turned, axis=-1)


def check_letters(name: str, letters: str, count: int, what: str) -> str:
    """One letter of X, Y, Z for each of ``count`` qubits; a single letter stands for all.

    Raises TypeError or ValueError naming the argument ``name``.
    """
    if not isinstance(letters, str):
        raise TypeError(f"{name} must be a string such as 'XZ', got {type(letters).__name__}")
    unknown = sorted(set(letters) - set(AXES))
    if unknown:
        raise ValueError(f"{name} = {letters!r} contains {unknown}; use the letters X, Y, Z")
    if len(letters) == 1:
        return letters * count
    if len(letters) != count:
        raise ValueError(
            f"{name} = {letters!r} has {len(letters)} letters; give one letter, or one for each "
            f"of the {count} {what}"
        )
    return letters
