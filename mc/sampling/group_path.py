"""The path of annealing to sqBMs of small hidden groups: visible units are coupled step by step.

At its solvable end visible units couple neither to one another nor to qubits, so that the bits are
independent and every group of qubits has one Gibbs state, whose log Tr exp(-H_g) is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mc.kernels import Sweeper
from mc.kernels.groups import GroupSweeper
from mc.sampling.path import Path, all_fields
from tnqbm.core.fields import log_2cosh
from tnqbm.core.model import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.hamiltonian.group_states import GroupStates
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.layout import GroupLayout

Float = NDArray[np.float64]


class GroupPath:
    """The paths of a batch of sqBMs of one layout, theta (B, size).

    ``reference`` are fields of the solvable end as for :class:`mc.sampling.path.Path`: visible
    ones, or all.
    """

    def __init__(self, layout: GroupLayout, theta: Float, reference: Float | None = None) -> None:
        self.form, self.n = layout, layout.n
        self.theta = np.ascontiguousarray(theta, dtype=np.float64)
        self._fields = slice(0, layout.parts[1].stop)
        own = self.theta[:, self._fields]
        self.reference: Float = own if reference is None else all_fields(reference, own, self.n)

    def at(self, beta: Float, rows: NDArray[np.intp] | None = None) -> Float:
        """theta_beta of the models ``rows`` (None: all), beta (B,) -> (B, size)."""
        out = self.theta.copy() if rows is None else self.theta[rows]
        reference = self.reference if rows is None else self.reference[rows]
        fields, (_, _, products, pairs, _) = self._fields, self.form.parts
        own, share = out[:, fields].copy(), beta[:, None]
        # A weighted sum of equal numbers need not round to the same number: keep these exact.
        out[:, fields] = np.where(reference == own, own, own * share + reference * (1.0 - share))
        out[:, products] *= share
        out[:, pairs] *= share
        return out

    def ladder(self, betas: Float) -> Float:
        """theta_beta for every beta of each model, betas (B, R) -> (B * R, size), R fastest."""
        return self.at(betas.ravel(), np.repeat(np.arange(len(betas)), betas.shape[1]))

    def log_z0(self) -> Float:
        """log Z of the solvable end beta = 0, (B,)."""
        start = self.at(np.zeros(len(self.theta)))
        start[:, self.form.parts[0]] = 0.0
        # Without fields and couplings of visible units all states weigh the same: the groups' part.
        state = np.zeros((1, 1, self.n), np.uint8)
        groups = GroupStates(self.form).log_weights(start, state)[:, 0]
        return np.asarray(groups + log_2cosh(np.abs(self.reference[:, : self.n])).sum(axis=1))


Form = Shape | GroupLayout
"""Where parameters stand in a vector: that of sqRBMs, or of sqBMs of small hidden groups."""


def form_of(model: SqRBM | SqBM) -> Form:
    """Where the parameters of a model stand."""
    return model.layout if isinstance(model, SqBM) else model.shape


def path_of(form: Form, theta: Float, reference: Float | None = None) -> Path | GroupPath:
    """The paths of models theta (B, size) of a form."""
    if isinstance(form, GroupLayout):
        return GroupPath(form, theta, reference)
    return Path(theta, *form, reference)


def sweeper_of(
    form: Form,
    kernel: str,
    precision: str,
    *,
    inertia: float = 0.0,
    basis: int | None = None,
    free: NDArray[np.bool_] | None = None,
) -> Sweeper | GroupSweeper:
    """What moves and weighs chains of models of a form.

    Arguments as for :class:`mc.kernels.Sweeper`.
    """
    if isinstance(form, GroupLayout):
        return GroupSweeper(form, free=free)
    return Sweeper(form, kernel, precision=precision, inertia=inertia, basis=basis, free=free)


def check_sweeps(kernel: str, precision: str) -> str:
    """The kernel of sqBMs, "collapsed"; ValueError if another one, or single precision, is asked
    for."""
    if kernel not in ("auto", "collapsed") or precision != "double":
        raise ValueError(
            "kernel, precision: an SqBM is swept by kernel = 'collapsed' in double precision"
        )
    return "collapsed"
