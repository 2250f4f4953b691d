"""The semi-quantum restricted Boltzmann machine (sqRBM): parameters and closed forms.

Conventions are those of docs/internals.md ("The model"): visible bits ``v_i`` in {0, 1} with
spins ``s_i = (-1)**v_i``, hidden qubits ``j``, and

    H = sum_i a_i Z_i + sum_{P,j} b[P,j] sigma^P_j + sum_{P,i,j} w[P,i,j] Z_i sigma^P_j

(Demidik et al. 2025, Definition 1), with Gibbs state exp(-H) / Tr exp(-H).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of, plain_array
from tnqbm.base.limits import MAX_PARAMETER
from tnqbm.base.notebook import facts_table
from tnqbm.core import fields, streams
from tnqbm.core.connectivity import checked_mask
from tnqbm.core.paulis import PAULI_MATRICES, check_paulis
from tnqbm.core.shape import Shape
from tnqbm.core.states import as_states, spins
from tnqbm.files import gate
from tnqbm.files.storage import read_tree, write_tree

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]


class SqRBM:
    """An sqRBM_{n,m} with fixed parameters.

    Parameters
    ----------
    a : (n,) visible fields.
    b : (P, m) hidden fields, rows in the order of ``paulis``.
    w : (P, n, m) couplings, rows in the order of ``paulis``.
    paulis : the hidden Pauli set W_h, one to three different letters of X, Y, Z in any order.
        ``"Z"`` is the classical RBM.
    mask : (n, m) bool, True where visible unit i and hidden qubit j are coupled, for example from
        :mod:`tnqbm.core.connectivity`; None, or True everywhere, for a dense model, whose ``mask``
        is None. ``w`` must be 0 elsewhere.

    Energies are in units of the temperature (beta = 1). The arrays are copied, to float64 and bool,
    and made read-only. Raises ValueError or TypeError on wrong shapes, unknown or repeated Paulis,
    values that are not finite or exceed 1e100 in magnitude, and couplings outside the mask.
    """

    __slots__ = ("a", "b", "mask", "paulis", "w")

    a: Float
    b: Float
    w: Float
    paulis: str
    mask: Mask | None

    def __init__(
        self, a: ArrayLike, b: ArrayLike, w: ArrayLike, paulis: str, mask: ArrayLike | None = None
    ) -> None:
        paulis = check_paulis(paulis)
        arrays = {}
        for name, value, ndim in (("a", a, 1), ("b", b, 2), ("w", w, 3)):
            arrays[name] = _checked(name, value, ndim)
        n, p, m = arrays["a"].shape[0], len(paulis), arrays["b"].shape[1]
        if n < 1:
            raise ValueError("a is empty: an sqRBM needs at least one visible unit")
        if arrays["b"].shape != (p, m):
            raise ValueError(
                f"b must have shape (P, m) = ({p}, m) for paulis = {paulis!r}, "
                f"got {arrays['b'].shape}"
            )
        if arrays["w"].shape != (p, n, m):
            raise ValueError(
                f"w must have shape (P, n, m) = ({p}, {n}, {m}) for paulis = {paulis!r}, "
                f"{n} visible fields in a and {m} hidden units in b, got {arrays['w'].shape}"
            )
        checked = None if mask is None else checked_mask(mask, n, m)
        if checked is not None:
            _check_couplings(arrays["w"], checked)
        for name, array in arrays.items():
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, "paulis", paulis)
        object.__setattr__(self, "mask", checked)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"SqRBM is immutable; build a new one instead of setting {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return (SqRBM, (self.a, self.b, self.w, self.paulis, self.mask))

    def __repr__(self) -> str:
        local = "" if self.mask is None else f", coupled={self.mask.sum()} of {self.mask.size}"
        return (
            f"SqRBM(n_visible={self.n_visible}, n_hidden={self.n_hidden}, "
            f"paulis={self.paulis!r}, n_parameters={self.n_parameters}{local})"
        )

    def _repr_html_(self) -> str:
        coupled = None if self.mask is None else f"{self.mask.sum()} of {self.mask.size} pairs"
        strength = float(np.abs(self.w).max()) if self.w.size else None
        facts = {
            "visible units": self.n_visible,
            "hidden qubits": self.n_hidden,
            "Pauli matrices": self.paulis,
            "free parameters": self.n_parameters,
            "coupled": coupled,
            "largest coupling": strength,
        }
        return facts_table("SqRBM", facts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SqRBM):
            return NotImplemented
        return (
            self.paulis == other.paulis
            and np.array_equal(self.a, other.a)
            and np.array_equal(self.b, other.b)
            and np.array_equal(self.w, other.w)
            and same_mask(self.mask, other.mask)
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    @checked(n=arguments.whole, m=arguments.whole, scale=arguments.number, seed=arguments.generator)
    def uniform(
        cls,
        n: int,
        m: int,
        paulis: str,
        *,
        scale: float = 1.0,
        seed: int | np.random.SeedSequence | np.random.Generator,
        mask: ArrayLike | None = None,
    ) -> SqRBM:
        """Parameters drawn independently and uniformly from [-scale, scale].

        The paper initialises with ``scale=1``. The same seed gives the same model everywhere. With
        a ``mask`` all numbers of the dense model are drawn, and those outside it set to zero: what
        is coupled starts alike in both.
        """
        check_paulis(paulis)
        if n < 1 or m < 0:
            raise ValueError(f"need n >= 1 visible and m >= 0 hidden units, got n = {n}, m = {m}")
        if not 0 <= scale <= MAX_PARAMETER:
            raise ValueError(f"scale must be a finite number >= 0, got {scale!r}")
        rng = streams.generator(seed)
        shape = Shape(n, m, len(paulis))
        theta = rng.uniform(-scale, scale, shape.size)
        checked = None if mask is None else checked_mask(mask, n, m)
        theta[~shape.free(checked)] = 0.0
        return cls.from_vector(theta, n, m, paulis, checked)

    @classmethod
    @checked(n=arguments.whole, m=arguments.whole)
    def from_vector(
        cls, theta: ArrayLike, n: int, m: int, paulis: str, mask: ArrayLike | None = None
    ) -> SqRBM:
        """The model whose :meth:`to_vector` is ``theta``: a, then b, then w, each in C order.

        A ``mask`` changes nothing about the vector's length; entries outside it must be 0.
        """
        shape = Shape(n, m, len(check_paulis(paulis)))
        vector = plain_array(theta, "theta")
        if vector.shape != (shape.size,):
            raise ValueError(
                f"an sqRBM with n = {n}, m = {m}, paulis = {paulis!r} has "
                f"{shape.size} parameters, got an array of shape {vector.shape}"
            )
        return cls(*shape.split(vector), paulis, mask)

    def to_vector(self) -> Float:
        """All of a, then b, then w, each in C order, in one vector (n + P m (n + 1),).

        Couplings outside the mask are in it, as zeros.
        """
        return Shape.join(self.a, self.b, self.w)

    @property
    def n_visible(self) -> int:
        return int(self.a.shape[0])

    @property
    def n_hidden(self) -> int:
        return int(self.b.shape[1])

    @property
    def shape(self) -> Shape:
        """Numbers of units and Paulis, and the layout of :meth:`to_vector`."""
        return Shape(self.n_visible, self.n_hidden, len(self.paulis))

    @property
    def n_parameters(self) -> int:
        """Free parameters: n + P m (n + 1) (paper, Table 1), or n + P (m + coupled pairs)."""
        if self.mask is None:
            return self.shape.size
        return self.n_visible + len(self.paulis) * (self.n_hidden + int(self.mask.sum()))

    def fields(self, v: ArrayLike) -> Float:
        """Hidden fields Phi_j^P(v) = b[P,j] + sum_i s_i w[P,i,j]; (..., n) -> (..., P, m)."""
        s = spins(as_states(v, self.n_visible))
        return np.asarray(self.b + np.tensordot(s, self.w, axes=([-1], [1])))

    def log_weight(self, v: ArrayLike) -> Float:
        """Unnormalised log probability, normalised physically so that Z = Tr exp(-H).

        log p~(v) = -sum_i a_i s_i + sum_j log(2 cosh ||Phi_j(v)||); (..., n) -> (...).
        The paper's eq. (8) drops the factor 2**m of the trace; it is kept here.
        """
        s = spins(as_states(v, self.n_visible))
        return np.asarray(-s @ self.a + fields.log_factor(self.fields(v), -2).sum(axis=-1))

    def hidden_states(self, v: ArrayLike) -> NDArray[np.complex128]:
        """Thermal states of the hidden qubits given v; (..., n) -> (..., m, 2, 2).

        rho_j(v) = exp(-Phi_j . sigma) / (2 cosh r_j) = (I - tanh(r_j)/r_j Phi_j . sigma) / 2.
        """
        bloch = fields.averages(self.fields(v), -2)
        sigma = np.stack([PAULI_MATRICES[p] for p in self.paulis])
        return np.asarray(
            0.5 * (PAULI_MATRICES["I"] + np.einsum("...pj,pkl->...jkl", bloch, sigma))
        )

    @checked(path=arguments.path)
    def save(self, path: str | Path) -> None:
        """Write the model to a new HDF5 file, whose name ends in .h5.

        Raises FileExistsError if the file exists, ValueError for another ending, OSError if it
        cannot be written.
        """
        from tnqbm.files.outputs import MODEL, check_output

        check_output(path, MODEL)

        arrays: dict[str, NDArray[Any]] = {"a": self.a, "b": self.b, "w": self.w}
        if self.mask is not None:
            arrays["mask"] = self.mask.astype(np.uint8)
        dims: dict[str, tuple[str, ...]] = {
            "a": ("visible",),
            "b": ("pauli", "hidden"),
            "w": ("pauli", "visible", "hidden"),
            "mask": ("visible", "hidden"),
        }
        write_tree(path, arrays, {"paulis": self.paulis}, kind="model", dims=dims, overwrite=False)

    @classmethod
    @checked(path=arguments.path)
    def load(cls, path: str | Path) -> SqRBM:
        """Read a model written by :meth:`save`; ArchiveError if it is damaged or no model."""
        arrays, attributes = read_tree(path, kind="model")
        with gate.reading(str(path)):
            check_saved(attributes, "")
            paulis = attributes["paulis"]
            if not isinstance(paulis, str):
                raise ValueError(f"paulis is {paulis!r}, not letters")
            mask = arrays["mask"].astype(np.bool_) if "mask" in arrays else None
            return cls(arrays["a"], arrays["b"], arrays["w"], paulis, mask)


MODEL = one_of(SqRBM)
"""Kind of arguments that are models, see :mod:`tnqbm.base.arguments`."""


_SAVED = {"": "SqRBM", "sqbm": "SqBM", "deep": "DeepSqRBM"}


def check_saved(attributes: Mapping[str, Any], family: str) -> None:
    """ValueError if a file of a model holds one of another family; "" are sqRBMs."""
    found = str(attributes.get("family", ""))
    if found != family:
        loader = f"; load it with {_SAVED[found]}.load" if found in _SAVED else ""
        raise ValueError(f"it holds no {_SAVED[family]}{loader}")


def coupling_mask(model: SqRBM) -> Mask:
    """(n, m) bool: the couplings that a model may have; without a mask, those that are not 0."""
    return np.any(model.w != 0.0, axis=0) if model.mask is None else model.mask


def same_mask(one: Mask | None, two: Mask | None) -> bool:
    """Whether two models' masks allow the same couplings."""
    if one is None or two is None:
        return one is two
    return np.array_equal(one, two)


def _check_couplings(w: Float, mask: Mask) -> None:
    outside = (w != 0) & ~mask
    if outside.any():
        p, i, j = (int(k) for k in np.argwhere(outside)[0])
        raise ValueError(
            f"w[{p}, {i}, {j}] is {w[p, i, j]}, but mask[{i}, {j}] is False: couplings outside the "
            "mask must be 0"
        )


def _checked(name: str, value: ArrayLike, ndim: int) -> Float:
    raw = plain_array(value, name)
    if raw.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {raw.dtype}")
    array = np.array(raw, dtype=np.float64)
    if array.ndim != ndim:
        axes = {1: "(n,)", 2: "(P, m)", 3: "(P, n, m)"}[ndim]
        raise ValueError(f"{name} must have shape {axes}, got {array.shape}")
    bad = ~(np.abs(array) <= MAX_PARAMETER)
    if bad.any():
        where = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(
            f"{name}{list(where)} is {array[where]}; parameters must be finite and at most "
            f"{MAX_PARAMETER:g} in magnitude"
        )
    return array
