"""`DeepSqRBM`: an sqRBM with a second hidden layer, of classical units."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of
from tnqbm.base.limits import check_enumerable
from tnqbm.base.notebook import facts_table
from tnqbm.core.model import MODEL as SQRBM
from tnqbm.core.model import SqRBM, check_saved
from tnqbm.core.states import as_states, weighted_states
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.exact.enumerator import Enumerator
from tnqbm.files import gate
from tnqbm.files.outputs import MODEL, check_output
from tnqbm.files.storage import read_tree, write_tree
from tnqbm.hamiltonian.deep_layout import DeepLayout
from tnqbm.hamiltonian.deep_states import DeepStates
from tnqbm.hamiltonian.models import Seed
from tnqbm.hamiltonian.operator import PauliHamiltonian

Float = NDArray[np.float64]


class DeepSqRBM:
    """An sqRBM whose hidden qubits couple to a second hidden layer of classical units.

    Visible bits v with spins s, hidden qubits with the averages of their Pauli matrices, and bits u
    of the second layer with spins t_k = (-1)**u_k, in

        H = sum_i a_i Z_i + sum_k c_k Z_k + sum_(P,j) b[P,j] sigma^P_j
            + sum_(P,i,j) w[P,i,j] Z_i sigma^P_j + sum_(P,k,j) L[P,k,j] Z_k sigma^P_j.

    H is diagonal in v and u, so that over both kinds of bits this is an sqRBM, ``joint``, and

        p~(v) = sum_u exp(-a.s - c.t) prod_j 2 cosh ||Phi_j(v) + sum_k L_kj t_k||.

    log Z and moments are those of ``joint``. What is new is the sum over u, which has 2**n_deep
    terms for every visible state: the bits u are not independent given v.

    Parameters
    ----------
    joint : the sqRBM over visible bits and then those of the second layer.
    n_deep : how many of its bits, the last ones, are the second layer; 0 for none.

    Methods that sum over u or over all visible states are exact and refuse sizes at which they
    would not end: more than 16 bits of the second layer for every visible state, and more than 30
    bits of both kinds. Raises ValueError unless a visible unit is left, and if ``joint`` has a mask
    in which a bit of the second layer lacks a qubit.
    """

    @checked(joint=SQRBM, n_deep=arguments.whole)
    def __init__(self, joint: SqRBM, n_deep: int) -> None:
        n = joint.n_visible - n_deep
        if n_deep < 0 or n < 1:
            raise ValueError(
                f"n_deep must be from 0 to {joint.n_visible - 1}, so that one of the "
                f"{joint.n_visible} bits of joint is visible, got {n_deep}"
            )
        mask = None if joint.mask is None else joint.mask[:n]
        if joint.mask is not None and not joint.mask[n:].all():
            raise ValueError("joint: its mask must couple units of the second layer to all qubits")
        self.joint = joint
        self.layout = DeepLayout(n, joint.n_hidden, n_deep, joint.paulis, mask)

    @classmethod
    @checked(n=arguments.whole, m=arguments.whole, n_deep=arguments.whole, scale=arguments.number)
    def uniform(
        cls,
        n: int,
        m: int,
        n_deep: int,
        paulis: str,
        *,
        scale: float = 1.0,
        seed: Seed,
        mask: ArrayLike | None = None,
    ) -> DeepSqRBM:
        """Parameters drawn uniformly from [-scale, scale], those of :meth:`SqRBM.uniform` for the
        bits of both kinds; ``mask`` (n, m) says which visible bits couple to which qubits."""
        layout = DeepLayout(n, m, n_deep, paulis, mask)
        size = (layout.joint.n_visible, m, paulis)
        joint = SqRBM.uniform(*size, scale=scale, seed=seed, mask=layout.joint_mask)
        return cls(joint, n_deep)

    @classmethod
    def of(cls, layout: DeepLayout, vector: ArrayLike) -> DeepSqRBM:
        """The model of a layout with parameters (size,)."""
        n, m, _ = layout.joint
        joint = SqRBM.from_vector(vector, n, m, layout.paulis, layout.joint_mask)
        return cls(joint, layout.n_deep)

    def __repr__(self) -> str:
        return (
            f"DeepSqRBM(n_visible={self.n_visible}, n_hidden={self.n_hidden}, "
            f"n_deep={self.n_deep}, paulis={self.paulis!r}, n_parameters={self.n_parameters})"
        )

    def _repr_html_(self) -> str:
        facts = {
            "visible units": self.n_visible,
            "hidden qubits": self.n_hidden,
            "units of the second layer": self.n_deep,
            "Pauli matrices": self.paulis,
            "free parameters": self.n_parameters,
        }
        return facts_table("DeepSqRBM", facts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DeepSqRBM):
            return NotImplemented
        return self.n_deep == other.n_deep and self.joint == other.joint

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return DeepSqRBM, (self.joint, self.n_deep)

    @property
    def n_visible(self) -> int:
        return self.layout.n

    @property
    def n_hidden(self) -> int:
        return self.layout.m

    @property
    def n_deep(self) -> int:
        """Units of the second hidden layer."""
        return self.layout.n_deep

    @property
    def paulis(self) -> str:
        """The letters of the hidden Pauli set."""
        return self.layout.paulis

    @property
    def n_parameters(self) -> int:
        """Free parameters: n + n_deep + P (m + coupled pairs of bits and qubits)."""
        return self.joint.n_parameters

    @property
    def names(self) -> list[str]:
        """A name for each parameter, "a[0]", "b[X,0]", "w[X,0,1]"; bits from ``n_visible`` on are
        those of the second layer."""
        return self.layout.names()

    def to_vector(self) -> Float:
        """The parameters (size,), in the order of ``names``: those of ``joint``."""
        return self.joint.to_vector()

    def given(self, v: ArrayLike) -> SqRBM:
        """The sqRBM over the second layer that there is where the visible bits are v (n,).

        Its log Z is log p~(v) + a.s, and its p(u) is p(u|v). ValueError without a second layer.
        """
        state = as_states(v, self.n_visible)
        if state.ndim != 1:
            raise ValueError(f"v must be one state ({self.n_visible},), got {state.shape}")
        if not self.n_deep:
            raise ValueError("the model has no second layer: n_deep is 0")
        n, joint = self.n_visible, self.joint
        fields = joint.b + np.tensordot(1.0 - 2.0 * state, joint.w[:, :n], axes=([0], [1]))
        return SqRBM(joint.a[n:], fields, joint.w[:, n:], self.paulis)

    def log_weight(self, v: ArrayLike) -> Float:
        """log p~(v), summed over the second layer; (..., n_visible) -> (...)."""
        states = as_states(v, self.n_visible)
        rows = states.reshape(1, -1, self.n_visible)
        found = self._states.log_weights(self.to_vector()[None], rows)
        return np.asarray(found[0].reshape(states.shape[:-1]))

    def expectations_given(self, v: ArrayLike, weights: ArrayLike | None = None) -> Float:
        """Expectations (size,) of all terms with v drawn from listed states (K, n_visible).

        ``weights`` (K,) are their probabilities; None: equal ones.
        """
        states, q = weighted_states(v, weights, self.n_visible)
        theta = self.to_vector()[None]
        return np.asarray(self._states.averages_and_log_weights(theta, states[None], q[None])[0][0])

    def log_partition(self) -> float:
        """log Z = log Tr exp(-H), by enumeration of at most 30 bits of both kinds."""
        return float(self._enumerator().log_partition(self.to_vector()[None])[0])

    def log_weights(self) -> Float:
        """log p~(v) of all visible states, (2**n_visible,), by enumeration of at most 26 bits of
        both kinds."""
        check_enumerable(self.joint.n_visible, dense=True)
        found = self._enumerator().log_weights(self.to_vector())
        return np.asarray(logsumexp(found.reshape(1 << self.n_visible, -1), axis=1))

    def probabilities(self) -> Float:
        """p(v) of all visible states, (2**n_visible,); limits of :meth:`log_weights`."""
        log_weights = self.log_weights()
        p = np.exp(log_weights - logsumexp(log_weights))
        return np.asarray(p / p.sum())

    def expectations(self) -> Float:
        """Expectations (size,) of all terms in the Gibbs state; limits of :meth:`log_partition`."""
        return np.asarray(
            self._enumerator().log_partition_and_moments(self.to_vector()[None])[1][0]
        )

    @checked(target=TARGET)
    def positive_phase(self, target: Target) -> Float:
        """Expectations (size,) of all terms with v drawn from a target, and u from p(u|v)."""
        if target.n_visible != self.n_visible:
            raise ValueError(
                f"the target has {target.n_visible} visible units, the DeepSqRBM {self.n_visible}"
            )
        return self.expectations_given(target.states, target.probabilities)

    @checked(target=TARGET)
    def gradient(self, target: Target) -> Float:
        """d(-sum_v q_v log p_v)/d(parameter), (size,), by enumeration."""
        return self.positive_phase(target) - self.expectations()

    def to_hamiltonian(self) -> PauliHamiltonian:
        """The same model as a sum of Pauli strings of visible qubits, first-layer qubits and then
        one qubit for each unit of the second layer; couplings outside the mask are left out."""
        n, m, joint = self.n_visible, self.n_hidden, self.joint
        bits = [*range(n), *range(n + m, n + m + self.n_deep)]
        coupled = np.ones((len(bits), m), np.bool_) if joint.mask is None else joint.mask

        def string(letters: dict[int, str]) -> str:
            return "".join(letters.get(q, "I") for q in range(len(bits) + m))

        terms = {string({q: "Z"}): float(a) for q, a in zip(bits, joint.a, strict=True)}
        for letter, own in zip(self.paulis, joint.b, strict=True):
            terms |= {string({n + j: letter}): float(own[j]) for j in range(m)}
        for letter, own in zip(self.paulis, joint.w, strict=True):
            for i, j in np.argwhere(coupled):
                terms[string({bits[i]: "Z", n + int(j): letter})] = float(own[i, j])
        return PauliHamiltonian(terms, n, n_qubits=len(bits) + m)

    @checked(path=arguments.path)
    def save(self, path: str | Path) -> None:
        """Write the model to a new HDF5 file, whose name ends in .h5.

        Raises FileExistsError if the file exists, ValueError for another ending, OSError if it
        cannot be written.
        """
        check_output(path, MODEL)
        layout = self.layout
        arrays: dict[str, NDArray[Any]] = {"vector": self.to_vector()}
        if layout.mask is not None:
            arrays["mask"] = layout.mask.astype(np.uint8)
        facts: dict[str, str | int | float] = {
            "family": "deep",
            "n_visible": layout.n,
            "n_hidden": layout.m,
            "n_deep": layout.n_deep,
            "paulis": layout.paulis,
        }
        write_tree(path, arrays, facts, kind="model", overwrite=False)

    @classmethod
    @checked(path=arguments.path)
    def load(cls, path: str | Path) -> DeepSqRBM:
        """Read a model written by :meth:`save`; ArchiveError if it is damaged or none of these."""
        arrays, facts = read_tree(path, kind="model")
        with gate.reading(str(path)):
            check_saved(facts, "deep")
            n, m, n_deep = (int(facts[name]) for name in ("n_visible", "n_hidden", "n_deep"))
            if n + n_deep > arrays["vector"].size:
                raise ValueError("it has fewer parameters than bits")
            mask = arrays["mask"].astype(np.bool_) if "mask" in arrays else None
            return cls.of(DeepLayout(n, m, n_deep, str(facts["paulis"]), mask), arrays["vector"])

    @cached_property
    def _states(self) -> DeepStates:
        return DeepStates(self.layout)

    def _enumerator(self) -> Enumerator:
        check_enumerable(self.joint.n_visible)
        return Enumerator(self.layout.joint)


DEEP = one_of(DeepSqRBM)
"""Kind of arguments that are deep sqRBMs, see :mod:`tnqbm.base.arguments`."""
