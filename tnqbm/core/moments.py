"""The averages that training rests on, and the gradient made of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import short_repr
from tnqbm.core.shape import Shape

Float = NDArray[np.float64]


@short_repr
class Moments(NamedTuple):
    """Thermal averages of the terms of the Hamiltonian.

    ``z`` (n,) = <Z_i>, ``sigma`` (P, m) = <sigma_j^P>, ``zsigma`` (P, n, m) = <Z_i sigma_j^P>.
    """

    z: Float
    sigma: Float
    zsigma: Float

    def to_vector(self) -> Float:
        """All in one vector (size,), in the order of :meth:`tnqbm.SqRBM.to_vector`."""
        return Shape.join(*self)


@short_repr
class Gradient(NamedTuple):
    """Derivatives of the negative log-likelihood: ``a`` (n,), ``b`` (P, m), ``w`` (P, n, m)."""

    a: Float
    b: Float
    w: Float

    def to_vector(self) -> Float:
        """All in one vector (size,), in the order of :meth:`tnqbm.SqRBM.to_vector`."""
        return Shape.join(*self)
