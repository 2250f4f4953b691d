"""The factor graph of an sqRBM as a quimb tensor network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.model import SqRBM, coupling_mask
from tnqbm.networks.factors import LARGEST_FIELD, Factors, largest_field, neighbours

if TYPE_CHECKING:
    from quimb.tensor import Tensor, TensorNetwork

__all__ = ["graph", "neighbours", "network"]

MAX_NEIGHBOURS = 24
"""Most neighbours of a hidden unit that becomes one tensor (128 MB at 24)."""

SPLIT_FROM = 12


def graph(model: SqRBM) -> list[NDArray[np.int64]]:
    """For each hidden unit the visible units that it touches, ascending.

    They are those of the model's mask; without a mask, those whose coupling is not zero.
    """
    return neighbours(coupling_mask(model))


def network(model: SqRBM, *, split: Literal["wide", "never", "always"] = "wide") -> TensorNetwork:
    """p~(v) as a tensor network with one index ``v0``, ``v1``, ... per visible unit.

    One vector (exp(-a_i), exp(a_i)) per visible unit, tagged ``VISIBLE`` and ``v{i}``, and one
    tensor 2 cosh|Phi_j| per hidden qubit, tagged ``HIDDEN`` and ``h{j}``, over the visible units
    that it touches. The indices are hyper-indices: each belongs to its visible unit and to any
    number of hidden ones, so contractions must name their output, ``tn.contract(output_inds=())``
    for Z or ``output_inds=("v0", "v3")`` for an unnormalised marginal.

    Hidden units with many neighbours (more than 12; all with ``split="always"``) become several
    tensors with the same tags, joined by indices ``s0``, ``s1``, ...: see
    :mod:`tnqbm.networks.factors`. With ``split="never"`` each is one tensor.

    Every tensor is scaled to largest magnitude 1; the scales are in ``tn.exponent`` (base 10), as
    quimb keeps it, so nothing overflows. (Large weights that contradict each other can make quimb's
    contraction underflow; :class:`tnqbm.networks.Contraction` goes over to logarithms then.)

    Raises ValueError if a tensor would be too large, or fields are too large for splitting.
    """
    import quimb.tensor as qtn

    if split not in ("wide", "never", "always"):
        raise ValueError(f'split must be "wide", "never" or "always", got {split!r}')
    mask = coupling_mask(model)
    widths = mask.sum(axis=0)
    least = {"wide": SPLIT_FROM + 1, "never": mask.shape[0] + 1, "always": 2}[split]
    wide = frozenset(np.flatnonzero(widths >= least).tolist())
    dense = [int(widths[j]) for j in range(model.n_hidden) if j not in wide]
    if max(dense, default=0) > MAX_NEIGHBOURS:
        raise ValueError(
            f"a hidden unit with {max(dense)} neighbours would be one tensor of 2^{max(dense)} "
            f'entries; use split="wide"'
        )
    field = largest_field(model, mask, wide)
    if len(model.paulis) > 1 and field > LARGEST_FIELD:
        raise ValueError(
            f"a hidden unit with many neighbours has fields up to {field:.3g}, and quadrature is "
            f'made for {LARGEST_FIELD:g} at most; use split="never" (at most {MAX_NEIGHBOURS} '
            "neighbours) or smaller couplings"
        )
    factors = Factors(mask, len(model.paulis), wide, max(field, 1.0))
    logs, signs, constant = factors.evaluate(model)
    exponent, tensors = constant, []
    for member in factors.members:
        shape = factors.shape(member)
        part = slice(member.offset, member.offset + math.prod(shape))
        tensor, scale = scaled_tensor(
            logs[part].reshape(shape),
            signs[part].reshape(shape),
            [index(v, factors.n) for v in member.scope],
            ["VISIBLE" if member.tag.startswith("v") else "HIDDEN", member.tag],
        )
        exponent += scale
        tensors.append(tensor)
    for j in factors.free.tolist():  # their value is in the constant
        tensors.append(qtn.Tensor(data=np.ones(()), inds=(), tags=["HIDDEN", f"h{j}"]))
    tn = qtn.TensorNetwork(tensors)
    tn.exponent = exponent / math.log(10.0)
    return tn


def index(variable: int, n: int) -> str:
    """quimb's name of a variable: ``v0``, ... of the visible units, ``s0``, ... of those shared."""
    return f"v{variable}" if variable < n else f"s{variable - n}"


def scaled_tensor(
    logs: NDArray[np.float64],
    signs: NDArray[np.int8],
    indices: Sequence[str],
    tags: Sequence[str] = (),
) -> tuple[Tensor, float]:
    """A tensor from logarithms and signs, with largest magnitude 1, and the log of its scale."""
    from quimb.tensor import Tensor

    highest = float(logs.max())
    return Tensor(data=signs * np.exp(logs - highest), inds=indices, tags=tags), highest
