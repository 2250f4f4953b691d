"""The path from a solvable model to the model of interest, shared by annealing and tempering.

theta_beta = (1 - beta) theta_0 + beta theta, with theta_0 = (a_0, b_0, 0): the visible bits of
theta_0 are independent and log Z_0 = sum_i log 2cosh a_0i + sum_j log 2cosh |b_0j|. With visible
fields a_0 that give the data's first moments the path starts nearer to a trained model
(Salakhutdinov & Murray, "On the quantitative analysis of deep belief networks", ICML 2008). With
the fields that units feel in one mode of the model, the path stays in that mode.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core.fields import log_2cosh
from tnqbm.core.shape import Shape
from tnqbm.core.states import as_states
from tnqbm.datasets import Target

Float = NDArray[np.float64]

REGULARISATION = 0.05
"""Share of a uniform distribution mixed into the data's first moments: keeps a_0 finite."""


class Path:
    """The paths of a batch of models of one shape.

    theta : (B, size) models in the order of :meth:`tnqbm.SqRBM.to_vector`.
    n, m, n_paulis : their shape.
    reference : (n,) or (B, n) visible fields a_0, or (n + P m,) or (B, n + P m) all fields, a_0 and
        b_0 in the order of theta; what is not given, each model has itself.
    """

    def __init__(
        self, theta: Float, n: int, m: int, n_paulis: int, reference: Float | None = None
    ) -> None:
        self.theta = np.ascontiguousarray(theta, dtype=np.float64)
        self.form = Shape(n, m, n_paulis)
        self.n = n
        self._n_fields = n + n_paulis * m
        own = self.theta[:, : self._n_fields]
        self.reference: Float = own if reference is None else all_fields(reference, own, n)

    def at(self, beta: Float, rows: NDArray[np.intp] | None = None) -> Float:
        """theta_beta of the models ``rows`` (None: all), beta (B,) -> (B, size)."""
        out = self.theta.copy() if rows is None else self.theta[rows]
        reference = self.reference if rows is None else self.reference[rows]
        fields = self._n_fields
        own, share = out[:, :fields].copy(), beta[:, None]
        # A weighted sum of equal numbers need not round to the same number: keep these exact.
        out[:, :fields] = np.where(reference == own, own, own * share + reference * (1.0 - share))
        out[:, fields:] *= share
        return out

    def ladder(self, betas: Float) -> Float:
        """theta_beta for every beta of each model, betas (B, R) -> (B * R, size), R fastest."""
        batch, count = betas.shape
        rows = np.repeat(np.arange(batch), count)
        return self.at(betas.ravel(), rows)

    def log_z0(self) -> Float:
        """log Z of the solvable end beta = 0, (B,)."""
        n, m, n_paulis = self.form
        square = np.zeros((self.theta.shape[0], m))
        for p in range(n_paulis):
            square += self.reference[:, n + p * m : n + (p + 1) * m] ** 2
        visible = log_2cosh(np.abs(self.reference[:, :n])).sum(axis=1)
        return np.asarray(visible + log_2cosh(np.sqrt(square)).sum(axis=1))


def matching_fields(
    states: ArrayLike, weights: ArrayLike | None = None, *, regularisation: float = REGULARISATION
) -> Float:
    """Visible fields of independent bits with the first moments of data, (..., K, n) -> (..., n).

    a_i = -artanh((1 - regularisation) <s_i>); ``weights`` (..., K) sum to one, None: uniform.
    """
    bits = np.asarray(states)
    if bits.ndim < 2 or bits.shape[-2] == 0:
        raise ValueError(f"reference data must have shape (K, n) with K >= 1, got {bits.shape}")
    if not 0.0 < regularisation <= 1.0:
        raise ValueError(f"regularisation must be in (0, 1], got {regularisation!r}")
    if weights is None:
        ones = bits.mean(axis=-2, dtype=np.float64)
    else:
        # einsum adds row by row: the same numbers however many lists of data there are.
        ones = np.einsum("...k,...ki->...i", np.asarray(weights, dtype=np.float64), bits)
    return np.asarray(-np.arctanh((1.0 - regularisation) * (1.0 - 2.0 * ones)))


def reference_fields(data: Target | ArrayLike, n: int) -> Float:
    """:func:`matching_fields` (n,) of a Target or of rows (K, n); ValueError on other widths."""
    if isinstance(data, Target):
        if data.n_visible != n:
            raise ValueError(
                f"reference data have {data.n_visible} visible units, the model has {n}"
            )
        return matching_fields(data.states, data.probabilities)
    return matching_fields(as_states(data, n))


def check_betas(betas: ArrayLike) -> Float:
    """Inverse temperatures as float64; ValueError unless they rise from 0 to 1."""
    array = np.asarray(betas, dtype=np.float64)
    if array.ndim != 1 or array.size < 2:
        raise ValueError(f"betas must be a list of at least 0 and 1, got shape {array.shape}")
    if not np.isfinite(array).all() or array[0] != 0.0 or array[-1] != 1.0:
        raise ValueError(f"betas must begin with 0 and end with 1, got {array[0]} to {array[-1]}")
    falls = np.flatnonzero(np.diff(array) <= 0)
    if falls.size:
        k = int(falls[0])
        raise ValueError(f"betas must increase; betas[{k + 1}] = {array[k + 1]} after {array[k]}")
    return array


def all_fields(reference: ArrayLike, own: Float, n: int) -> Float:
    """All fields (B, n + P m) of the solvable end, from those given and the models' own."""
    fields = np.asarray(reference, dtype=np.float64)
    batch, count = own.shape
    if fields.shape not in ((n,), (batch, n), (count,), (batch, count)):
        raise ValueError(
            f"reference fields must have shape ({n},) or ({batch}, {n}), got {fields.shape}"
        )
    if not np.isfinite(fields).all():
        raise ValueError("reference fields must be finite; regularise the data's moments")
    found = own.copy()
    found[:, : fields.shape[-1]] = fields
    return found
