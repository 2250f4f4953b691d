"""The averages that training rests on, and the gradient made of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.short_repr import short_repr

Float = NDArray[np.float64]


@short_repr
class Moments(NamedTuple):
    """Thermal averages of the terms of the Hamiltonian.

    ``z`` (n,) = <Z_i>, ``sigma`` (P, m) = <sigma_j^P>, ``zsigma`` (P, n, m) = <Z_i sigma_j^P>.
    """

    z: Float
    sigma: Float
    zsigma: Float


@short_repr
class Gradient(NamedTuple):
    """Derivatives of the negative log-likelihood: ``a`` (n,), ``b`` (P, m), ``w`` (P, n, m)."""

    a: Float
    b: Float
    w: Float


def flatten(moments: Moments | Gradient) -> Float:
    """All in one vector (n_parameters,), in the order of :meth:`tnqbm.SqRBM.to_vector`."""
    return np.concatenate([part.ravel() for part in moments])


def unflatten(flat: Float, n: int, m: int, n_paulis: int) -> tuple[Float, Float, Float]:
    """The three arrays (n,), (P, m) and (P, n, m) of a vector (n_parameters,)."""
    z, sigma, zsigma = np.split(flat, [n, n + n_paulis * m])
    return z, sigma.reshape(n_paulis, m), zsigma.reshape(n_paulis, n, m)
