"""`SqBM`: a semi-quantum Boltzmann machine whose hidden qubits are coupled in small groups."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from tnqbm.base import arguments
from tnqbm.base.arguments import checked, one_of, plain_array
from tnqbm.base.limits import MAX_PARAMETER
from tnqbm.core.model import check_saved
from tnqbm.core.states import as_states, weighted_states
from tnqbm.datasets import Target
from tnqbm.datasets.targets import TARGET
from tnqbm.files import gate
from tnqbm.files.outputs import MODEL, check_output
from tnqbm.files.storage import read_tree, write_tree
from tnqbm.hamiltonian.group_states import GroupStates, all_log_weights, enumerated
from tnqbm.hamiltonian.grouping import layout_of, model_arguments, uniform
from tnqbm.hamiltonian.layout import GroupLayout
from tnqbm.hamiltonian.models import Edges, Parameters, Seed, sqbm_terms
from tnqbm.hamiltonian.operator import PauliHamiltonian

Float = NDArray[np.float64]


class SqBM:
    """An sqBM of any size whose hidden qubits are coupled in groups of at most four.

    H is that of :func:`tnqbm.hamiltonian.sqbm` (Demidik et al. 2025, Definition 2), and so are the
    arguments and the order of parameters; what differs is how it is evaluated. Given v every group
    g of qubits that ``hidden_edges`` connect has a Hamiltonian H_g(v) of its own, of at most
    16 x 16, and

        log p~(v) = -sum_i a_i s_i - sum_(i,i') J_ii' s_i s_i' + sum_g log Tr exp(-H_g(v)),

    so that a log weight takes time that grows with the number of groups and not with 2**m.
    ``visible_edges`` may couple any visible units.

    Parameters
    ----------
    n, m : numbers of visible units and hidden qubits.
    visible_edges, hidden_edges : None, pairs of units of one layer counted from 0, or names such as
        "groups-4" or "lattice-8x8", see :func:`tnqbm.core.connectivity.edges`.
    paulis : the hidden Pauli set, one to three different letters of X, Y, Z.
    hidden_pairs : "all" pairs of Pauli matrices in couplings of hidden qubits, "equal" ones, or
        those named, such as "ZZ" or "XX,ZZ".
    mask : (n, m) bool, which visible and hidden units are coupled; None: all.
    parameters : a vector, or arrays by group of terms: "a" (n,), "b" (P, m), "w" (P, n, m),
        "visible" (edges,), "hidden" (edges, P, P), or (edges, pairs) of fewer.
    scale, seed : instead of ``parameters``, numbers drawn uniformly from [-scale, scale].

    ``layout`` says where the parameters stand, and ``vector`` (n_parameters,) holds them,
    read-only; no method changes a model. Raises ValueError on groups of more than four qubits,
    unknown names, wrong shapes, and parameters that are not finite or exceed 1e100 in magnitude.
    """

    @checked(n=arguments.whole, m=arguments.whole, scale=arguments.number)
    def __init__(
        self,
        n: int,
        m: int,
        *,
        visible_edges: Edges = None,
        hidden_edges: Edges = None,
        paulis: str = "XYZ",
        hidden_pairs: str = "all",
        mask: ArrayLike | None = None,
        parameters: Parameters | None = None,
        scale: float = 1.0,
        seed: Seed | None = None,
    ) -> None:
        given = (n, m, visible_edges, hidden_edges, paulis, hidden_pairs, mask)
        self.layout = layout_of(*given)
        if parameters is None and seed is not None:
            values = uniform(self.layout, scale, seed)
        else:
            values = sqbm_terms(*given).values(parameters, scale, seed)
        self.vector = _checked(self.layout, values)

    @classmethod
    def of(cls, layout: GroupLayout, vector: ArrayLike) -> SqBM:
        """The model of a layout with parameters (size,)."""
        model = cls.__new__(cls)
        model.layout, model.vector = layout, _checked(layout, vector)
        return model

    @classmethod
    @checked(hamiltonian=one_of(PauliHamiltonian))
    def from_hamiltonian(cls, hamiltonian: PauliHamiltonian) -> SqBM:
        """The sqBM with the terms of a Hamiltonian; couplings that are in none of them are left
        out, other parameters that are not are 0.

        ValueError for terms that an sqBM does not have, and for groups that are too large.
        """
        return cls(**model_arguments(hamiltonian))

    def to_hamiltonian(self) -> PauliHamiltonian:
        """The same model as a sum of Pauli strings, whose coefficients are the parameters."""
        layout = self.layout
        terms = sqbm_terms(
            layout.n,
            layout.m,
            [(int(i), int(k)) for i, k in layout.visible_edges],
            [(int(j), int(k)) for j, k in layout.hidden_edges],
            layout.paulis,
            layout.hidden_pairs,
            layout.mask,
        )
        return terms.hamiltonian(self.vector, 1.0, None)

    def save(self, path: str | Path) -> None:
        """Write the model to a new HDF5 file, whose name ends in .h5.

        Raises FileExistsError if the file exists, ValueError for another ending, OSError if it
        cannot be written.
        """
        check_output(path, MODEL)
        layout = self.layout
        arrays: dict[str, NDArray[Any]] = {"vector": self.vector}
        edges = {"visible_edges": layout.visible_edges, "hidden_edges": layout.hidden_edges}
        arrays |= {name: pairs for name, pairs in edges.items() if len(pairs)}
        if layout.mask is not None:
            arrays["mask"] = layout.mask.astype(np.uint8)
        facts: dict[str, str | int | float] = {
            "family": "sqbm",
            "n_visible": layout.n,
            "n_hidden": layout.m,
            "paulis": layout.paulis,
            "hidden_pairs": layout.hidden_pairs,
        }
        write_tree(path, arrays, facts, kind="model", overwrite=False)

    @classmethod
    @checked(path=arguments.path)
    def load(cls, path: str | Path) -> SqBM:
        """Read a model written by :meth:`save`; ArchiveError if it is damaged or no SqBM."""
        arrays, facts = read_tree(path, kind="model")
        with gate.reading(str(path)):
            check_saved(facts, "sqbm")
            n, m = int(facts["n_visible"]), int(facts["n_hidden"])
            if n + m > arrays["vector"].size:
                raise ValueError("it has fewer parameters than units")
            visible, hidden = (
                [(int(i), int(k)) for i, k in arrays[name]] if name in arrays else None
                for name in ("visible_edges", "hidden_edges")
            )
            mask = arrays["mask"].astype(np.bool_) if "mask" in arrays else None
            paulis, pairs = str(facts["paulis"]), str(facts["hidden_pairs"])
            layout = layout_of(n, m, visible, hidden, paulis, pairs, mask)
            return cls.of(layout, arrays["vector"])

    def __repr__(self) -> str:
        sizes = sorted({len(group) for group in self.groups})
        return (
            f"SqBM(n_visible={self.n_visible}, n_hidden={self.n_hidden}, paulis={self.paulis!r}, "
            f"groups={len(self.groups)} of {' or '.join(map(str, sizes)) or 0})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SqBM):
            return NotImplemented
        return self.layout == other.layout and np.array_equal(self.vector, other.vector)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return SqBM.of, (self.layout, self.vector)

    @property
    def n_visible(self) -> int:
        return self.layout.n

    @property
    def n_hidden(self) -> int:
        return self.layout.m

    @property
    def paulis(self) -> str:
        """The letters of the hidden Pauli set."""
        return self.layout.paulis

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The hidden qubits of each group."""
        return self.layout.groups

    @property
    def n_parameters(self) -> int:
        return self.layout.size

    @property
    def names(self) -> list[str]:
        """A name for each parameter: "a[0]", "b[X,0]", "w[X,0,1]", "visible[0,1]",
        "hidden[0,1,X,Z]"."""
        return self.layout.names()

    @property
    def parameters(self) -> Mapping[str, Float]:
        """Copies of the parameters by group of terms, as the constructor takes them."""
        return self.layout.arrays(self.vector)

    @property
    def a(self) -> Float:
        """Visible fields (n,)."""
        return self.vector[self.layout.parts[0]]

    @property
    def w(self) -> Float:
        """Couplings of visible and hidden units (P, n, m), 0 outside the mask."""
        return self.layout.arrays(self.vector)["w"]

    def to_vector(self) -> Float:
        """The parameters (n_parameters,), in the order of ``names``."""
        return self.vector.copy()

    def with_coefficients(self, vector: ArrayLike) -> SqBM:
        """The same terms with other parameters (n_parameters,)."""
        return SqBM.of(self.layout, vector)

    def log_weight(self, v: ArrayLike) -> Float:
        """log p~(v) of visible states; (..., n_visible) -> (...)."""
        states = as_states(v, self.n_visible)
        rows = states.reshape(1, -1, self.n_visible)
        found = self._states.log_weights(self.vector[None], rows)
        return np.asarray(found[0].reshape(states.shape[:-1]))

    def expectations_given(self, v: ArrayLike, weights: ArrayLike | None = None) -> Float:
        """Expectations (n_parameters,) of all terms with v drawn from listed states (K, n_visible).

        ``weights`` (K,) are their probabilities; None: equal ones.
        """
        states, q = weighted_states(v, weights, self.n_visible)
        return np.asarray(self._states.averages(self.vector[None], states[None], q[None])[0])

    def log_partition(self) -> float:
        """log Z = log Tr exp(-H), by enumeration of the visible states, at most 26 units."""
        return float(logsumexp(self.log_weights()))

    def log_weights(self) -> Float:
        """log p~(v) of all visible states, (2**n_visible,), at most 26 units."""
        return all_log_weights(self._states, self.vector)

    def probabilities(self) -> Float:
        """p(v) of all visible states, (2**n_visible,), at most 26 units."""
        log_weights = self.log_weights()
        p = np.exp(log_weights - logsumexp(log_weights))
        return np.asarray(p / p.sum())

    def expectations(self) -> Float:
        """Expectations (n_parameters,) of all terms in the Gibbs state, by enumeration."""
        return np.asarray(enumerated(self._states, self.vector[None])[1][0])

    @checked(target=TARGET)
    def positive_phase(self, target: Target) -> Float:
        """Expectations (n_parameters,) of all terms with v drawn from a target, at any size."""
        if target.n_visible != self.n_visible:
            raise ValueError(
                f"the target has {target.n_visible} visible units, the SqBM {self.n_visible}"
            )
        return self.expectations_given(target.states, target.probabilities)

    @checked(target=TARGET)
    def gradient(self, target: Target) -> Float:
        """d(-sum_v q_v log p_v)/d(parameter), (n_parameters,) (Proposition 3), by enumeration."""
        return self.positive_phase(target) - self.expectations()

    @cached_property
    def _states(self) -> GroupStates:
        return GroupStates(self.layout)


def _checked(layout: GroupLayout, vector: ArrayLike) -> Float:
    """Parameters (size,) as a read-only copy; ValueError unless they fit and are in range."""
    values = plain_array(vector, "parameters").astype(np.float64)
    if values.shape != (layout.size,):
        raise ValueError(
            f"this SqBM has {layout.size} parameters, got an array of shape {values.shape}"
        )
    bad = np.flatnonzero(~(np.abs(values) <= MAX_PARAMETER))
    if bad.size:
        raise ValueError(
            f"parameter {layout.names()[bad[0]]} is {values[bad[0]]}; parameters must be finite "
            f"and at most {MAX_PARAMETER:g} in magnitude"
        )
    values.flags.writeable = False
    return values
