"""Where the parameters a, b and w stand in a model's vector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


class Shape(NamedTuple):
    """Numbers of visible units, hidden qubits and Paulis, and the layout of vectors they make.

    A vector holds a (n,), then b (P, m), then w (P, n, m), each in C order. Parameters, averages of
    the Hamiltonian's terms and gradients all have this layout; in a batch it is the last axis.
    """

    n_visible: int
    n_hidden: int
    n_paulis: int

    @property
    def size(self) -> int:
        """Length n + P m (n + 1) of a vector (paper, Table 1), whatever a mask leaves free."""
        return self.n_visible + self.n_paulis * self.n_hidden * (self.n_visible + 1)

    @property
    def a(self) -> slice:
        """Where a stands."""
        return slice(0, self.n_visible)

    @property
    def b(self) -> slice:
        """Where b stands."""
        return slice(self.n_visible, self.n_visible + self.n_paulis * self.n_hidden)

    @property
    def w(self) -> slice:
        """Where w stands."""
        return slice(self.b.stop, self.size)

    def names(self, paulis: str) -> list[str]:
        """A name for each entry of a vector, as its array is indexed: "a[0]", "b[X,0]", "w[X,0,1]".

        ``paulis`` are the letters of the Pauli matrices; units are counted from 0.
        """
        visible, hidden = range(self.n_visible), range(self.n_hidden)
        return [
            *(f"a[{i}]" for i in visible),
            *(f"b[{pauli},{j}]" for pauli in paulis for j in hidden),
            *(f"w[{pauli},{i},{j}]" for pauli in paulis for i in visible for j in hidden),
        ]

    def split(self, vectors: Float) -> tuple[Float, Float, Float]:
        """The views (..., n), (..., P, m) and (..., P, n, m) of vectors (..., size)."""
        n, m, P = self
        lead = vectors.shape[:-1]
        return (
            vectors[..., self.a],
            vectors[..., self.b].reshape(*lead, P, m),
            vectors[..., self.w].reshape(*lead, P, n, m),
        )

    @staticmethod
    def join(a: Float, b: Float, w: Float) -> Float:
        """The vectors (..., size) of arrays (..., n), (..., P, m) and (..., P, n, m)."""
        lead = a.shape[:-1]
        return np.concatenate([part.reshape(*lead, -1) for part in (a, b, w)], axis=-1)

    def free(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Which entries of a vector a mask (n, m) leaves free, (size,); None: all of them."""
        free = np.ones(self.size, dtype=np.bool_)
        if mask is not None:
            free[self.w] = np.tile(mask.ravel(), self.n_paulis)
        return free
