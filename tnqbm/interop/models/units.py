"""The one conversion between RBMs of bits or of spins and sqRBMs with the Pauli set "Z".

Other programs write the weight of a configuration of visible units x and hidden units y as
exp(a.x + b.y + x.W.y), where a unit is a bit, 0 or 1, or a spin, -1 or +1. Here it is
exp(-a.s - b.z - s.w.z), with s = (-1)^v and z the eigenvalue of the hidden qubit's Z. A unit is
c - d s in terms of s: a bit has c = d = 1/2, a spin, +1 where the bit is 1, c = 0 and d = 1.
Substituting both layers gives the other parameters and a constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.model import SqRBM

Float = NDArray[np.float64]

UNITS = {"bits": (0.5, 0.5), "spins": (0.0, 1.0)}
"""What units are, and c and d of c - d s."""


@dataclass(frozen=True)
class Parameters:
    """An RBM with the log weights a.x + b.y + x.W.y + constant.

    ``w`` is (n, m), ``a`` (n,), ``b`` (m,); ``visible`` and ``hidden`` are keys of ``UNITS``.
    """

    w: Float
    a: Float
    b: Float
    visible: str = "bits"
    hidden: str = "bits"
    constant: float = 0.0


def to_sqrbm(rbm: Parameters) -> tuple[SqRBM, float]:
    """The sqRBM of the same distribution, and the constant that its log weights lack.

    log weight of the RBM, hidden units summed over = ``log_weight`` of the sqRBM + constant, for
    every v. Hidden bit 1, or spin +1, is the eigenvalue -1 of Z.
    """
    (c, d), (c_hidden, d_hidden) = UNITS[rbm.visible], UNITS[rbm.hidden]
    a = d * (rbm.a + c_hidden * rbm.w.sum(axis=1))
    b = d_hidden * (rbm.b + c * rbm.w.sum(axis=0))
    w = -d * d_hidden * rbm.w
    shift = c * rbm.a.sum() + c_hidden * rbm.b.sum() + c * c_hidden * rbm.w.sum()
    return SqRBM(a, b[None], w[None], "Z"), float(rbm.constant + shift)


def from_sqrbm(model: SqRBM, units: str) -> Parameters:
    """The RBM of bits or of spins with the distribution of an sqRBM of one Pauli matrix.

    Its ``constant`` is 0, so its log weights differ from those of the sqRBM by a constant, the
    second result of :func:`to_sqrbm` of it.
    """
    c, d = UNITS[units]
    w = -model.w[0] / (d * d)
    return Parameters(
        w,
        a=model.a / d - c * w.sum(axis=1),
        b=model.b[0] / d - c * w.sum(axis=0),
        visible=units,
        hidden=units,
    )
