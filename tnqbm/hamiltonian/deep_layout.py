"""Where the parameters of a deep sqRBM stand: those of the sqRBM over both kinds of bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core.connectivity import checked_mask
from tnqbm.core.paulis import check_paulis
from tnqbm.core.shape import Shape

Mask = NDArray[np.bool_]


class DeepLayout:
    """Sizes, Pauli matrices and couplings of deep sqRBMs, and the order of their parameters.

    ``n`` visible bits, ``m`` hidden qubits, ``n_deep`` bits of the second hidden layer, ``paulis``
    of the qubits, and ``mask`` (n, m), which visible bits couple to which qubits, None for all.
    Bits of the second layer couple to all qubits. Raises ValueError for sizes that there are none
    of, unknown Pauli matrices and masks of another shape.
    """

    __slots__ = ("m", "mask", "n", "n_deep", "paulis")

    def __init__(
        self, n: int, m: int, n_deep: int, paulis: str, mask: ArrayLike | None = None
    ) -> None:
        if n < 1 or m < 0 or n_deep < 0:
            raise ValueError(
                "need n >= 1 visible units, m >= 0 hidden qubits and n_deep >= 0 units of the "
                f"second hidden layer, got n = {n}, m = {m}, n_deep = {n_deep}"
            )
        self.n, self.m, self.n_deep, self.paulis = n, m, n_deep, check_paulis(paulis)
        self.mask: Mask | None = None if mask is None else checked_mask(mask, n, m)

    @property
    def joint(self) -> Shape:
        """The shape of the sqRBM over visible bits and then those of the second layer."""
        return Shape(self.n + self.n_deep, self.m, len(self.paulis))

    @property
    def given(self) -> Shape:
        """The shape of the sqRBM over the second layer that there is given the visible bits."""
        return Shape(self.n_deep, self.m, len(self.paulis))

    @property
    def joint_mask(self) -> Mask | None:
        """The mask (n + n_deep, m) of the sqRBM over all bits."""
        if self.mask is None:
            return None
        return np.concatenate([self.mask, np.ones((self.n_deep, self.m), np.bool_)])

    @property
    def size(self) -> int:
        """Length of vectors of parameters."""
        return self.joint.size

    def names(self) -> list[str]:
        """A name for each parameter: those of :meth:`tnqbm.core.shape.Shape.names`, where bits from
        ``n`` on are those of the second layer."""
        return self.joint.names(self.paulis)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DeepLayout):
            return NotImplemented
        return (self.joint, self.n, self.paulis) == (other.joint, other.n, other.paulis) and (
            self.mask is other.mask
            if self.mask is None or other.mask is None
            else np.array_equal(self.mask, other.mask)
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return DeepLayout, (self.n, self.m, self.n_deep, self.paulis, self.mask)
