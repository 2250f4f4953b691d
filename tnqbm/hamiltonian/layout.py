"""Where the parameters of an sqBM with small hidden groups stand, in vectors and in kernels.

Kernels number Pauli matrices by axis: 0, 1, 2 are X, Y, Z of three; 0, 1 are X, Z of two, whichever
the two are, since a turn of the axes of all qubits changes no trace; one is Z. Fields come group by
group, those of one qubit side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from tnqbm.core.paulis import pauli_string
from tnqbm.hamiltonian.models import coupled_letters
from tnqbm.kernels.group_traces import MAX_GROUP

Float = NDArray[np.float64]
Index = NDArray[np.int64]
Edge = tuple[int, int]

AXES = {1: "Z", 2: "XZ", 3: "XYZ"}
"""What the axes of one, two and three Pauli matrices are in kernels."""


class Network(NamedTuple):
    """What kernels are told of the couplings of a model with n visible units, apart from values.

    ``groups`` (G, 3) are the first qubit in the order of groups, the number of qubits, and the
    first number of the couplings among the packed ones. Visible unit i couples to the groups
    ``links[link_starts[i]:link_starts[i + 1]]`` and to the visible units ``neighbours[...]`` by the
    couplings numbered ``edges[...]``, both with ``edge_starts``.
    """

    groups: Index
    link_starts: Index
    links: Index
    edge_starts: Index
    neighbours: Index
    edges: Index


class GroupLayout:
    """The parameters of sqBMs of one shape: vectors, and packed arrays for kernels.

    A vector holds a (n,), b (P, m), w (P, coupled pairs of ``mask``), one number for each of
    ``visible_edges``, and those of ``hidden_edges`` (edges, pairs of letters), as
    :func:`tnqbm.hamiltonian.sqbm` orders them. A packed array holds a (n,), b (Q,), w (n, Q), the
    couplings of visible units, and the coupling matrices of the groups, where Q = P m counts the
    fields in the order of kernels. Raises ValueError for groups of more than four hidden qubits.
    """

    def __init__(
        self,
        n: int,
        m: int,
        paulis: str,
        mask: NDArray[np.bool_] | None,
        visible_edges: Sequence[Edge],
        hidden_edges: Sequence[Edge],
        hidden_pairs: str,
    ) -> None:
        self.n, self.m, self.paulis, self.mask = n, m, paulis, mask
        self.visible_edges = np.array(visible_edges, np.int64).reshape(-1, 2)
        self.hidden_edges = np.array(hidden_edges, np.int64).reshape(-1, 2)
        self.groups = hidden_groups(m, self.hidden_edges)
        _check_groups(self.groups)
        self.hidden_pairs = hidden_pairs
        self.letters = coupled_letters(hidden_pairs, paulis)
        self.n_paulis = len(paulis)
        self.axis = [AXES[3].index(p) for p in paulis]
        if self.n_paulis < 3:
            self.axis = list(range(self.n_paulis))
        self.coupled = np.ones((n, m), np.bool_) if mask is None else mask
        self._pairs = [(paulis.index(p), paulis.index(r)) for p, r in map(tuple, self.letters)]
        self.fields = self.n_paulis * m
        pairs = int(self.coupled.sum())
        visible, hidden = len(visible_edges), len(hidden_edges) * len(self._pairs)
        sizes = [n, self.fields, self.n_paulis * pairs, visible, hidden]
        ends = np.cumsum([0, *sizes]).tolist()
        self.parts = tuple(slice(*ends) for ends in pairwise(ends))
        """Where a, b, w and the couplings of visible and hidden units stand in a vector."""
        self.size = int(ends[-1])
        self.network, self._matrices = self._compile()
        self._place = self._places()
        self.first_matrix = self._place.size + visible
        """Where the coupling matrices begin in a packed array."""
        self.matrix_numbers = int(self._matrices.shape[0])
        self.packed_size = self.first_matrix + self.matrix_numbers

    @property
    def n_visible(self) -> int:
        return self.n

    def names(self) -> list[str]:
        """A name for each entry of a vector, as "a[0]", "b[X,0]", "w[X,0,1]", "visible[0,1]",
        "hidden[0,1,X,Z]"; units are counted from 0."""
        coupled = np.argwhere(self.coupled).tolist()
        letters = self.paulis
        return [
            *(f"a[{i}]" for i in range(self.n)),
            *(f"b[{p},{j}]" for p in letters for j in range(self.m)),
            *(f"w[{p},{i},{j}]" for p in letters for i, j in coupled),
            *(f"visible[{i},{k}]" for i, k in self.visible_edges.tolist()),
            *(
                f"hidden[{j},{k},{p},{r}]"
                for j, k in self.hidden_edges.tolist()
                for p, r in map(tuple, self.letters)
            ),
        ]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GroupLayout):
            return NotImplemented
        return (self.n, self.m, self.paulis, self.letters) == (
            other.n,
            other.m,
            other.paulis,
            other.letters,
        ) and all(
            np.array_equal(one, two)
            for one, two in (
                (self.coupled, other.coupled),
                (self.visible_edges, other.visible_edges),
                (self.hidden_edges, other.hidden_edges),
            )
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def only_equal(self) -> bool:
        """Whether hidden qubits couple by equal Pauli matrices only."""
        return all(p == r for p, r in map(tuple, self.letters))

    def arrays(self, vector: Float) -> dict[str, Float]:
        """Copies of what a vector (size,) holds, by group of terms; w is 0 outside the mask."""
        a, b, w, visible, hidden = (vector[part].copy() for part in self.parts)
        P = self.n_paulis
        whole = np.zeros((P, self.n, self.m))
        whole[:, self.coupled] = w.reshape(P, -1)
        kinds = (P, P) if self.hidden_pairs == "all" else (len(self.letters),)
        return {
            "a": a,
            "b": b.reshape(P, self.m),
            "w": whole,
            "visible": visible,
            "hidden": hidden.reshape(-1, *kinds),
        }

    def fields_only(self, couple: str | None) -> NDArray[np.bool_]:
        """Which entries of a vector couple visible units to Pauli matrices that are not in
        ``couple``, (size,); none if that is None."""
        out = np.zeros(self.size, np.bool_)
        if couple is not None:
            w = out[self.parts[2]].reshape(self.n_paulis, -1)
            w[[p not in couple for p in self.paulis]] = True
        return out

    def pack(self, theta: Float) -> Float:
        """Packed arrays (B, packed_size) of vectors (B, size)."""
        out = np.zeros((theta.shape[0], self.packed_size))
        held = self._place >= 0
        out[:, np.flatnonzero(held)] = theta[:, self._place[held]]
        first, visible = self._place.size, self.parts[3]
        out[:, first : first + visible.stop - visible.start] = theta[:, visible]
        out[:, self.first_matrix :] = (self._matrices @ theta[:, self.parts[4]].T).T
        return out

    def expectations(self, rho: Float) -> Float:
        """Expectations (b, couplings) of the couplings of hidden units from the groups' states
        (b, numbers), stored as the coupling matrices are."""
        return np.asarray((self._matrices.T @ rho.T).T)

    def vectors_of(
        self, a: Float, fields: Float, products: Float, pairs: Float, hidden: Float
    ) -> Float:
        """What belongs to the entries of vectors, (b, size), from what belongs to the units.

        ``fields`` (b, Q) and ``products`` (b, n, Q) are in the order of kernels, ``a`` is
        (1 or b, n), ``pairs`` (1 or b, n, n), which nothing is read of without visible edges, and
        ``hidden`` in the order of vectors.
        """
        count = fields.shape[0]
        packed = np.concatenate(
            [np.broadcast_to(a, (count, self.n)), fields, products.reshape(count, -1)], axis=1
        )
        out = np.empty((count, self.size))
        held = np.flatnonzero(self._place >= 0)
        out[:, self._place[held]] = packed[:, held]
        if len(self.visible_edges):
            i, k = self.visible_edges.T
            out[:, self.parts[3]] = pairs[:, i, k]
        out[:, self.parts[4]] = hidden
        return out

    def slots(self) -> Index:
        """The number (P, m) of each field in kernels."""
        order = np.empty(self.m, np.int64)
        order[[j for group in self.groups for j in group]] = np.arange(self.m)
        return np.asarray(order * self.n_paulis + np.array(self.axis)[:, None])

    def _places(self) -> Index:
        """The entry of a vector that each number of a, b and w of a packed array is; -1: none."""
        n, Q, slots = self.n, self.fields, self.slots()
        place = np.full(n + (n + 1) * Q, -1, np.int64)
        place[:n] = np.arange(n)
        place[n + slots] = np.arange(n, n + Q).reshape(slots.shape)
        i, j = np.nonzero(self.coupled)
        at = n + Q * (1 + i) + slots[:, j]
        place[at] = np.arange(self.parts[2].start, self.parts[2].stop).reshape(at.shape)
        return place

    def _compile(self) -> tuple[Network, csr_array]:
        """Couplings for kernels, and the groups' matrices as a linear function of the couplings."""
        group_of = np.empty(self.m, np.int64)
        place = np.empty(self.m, np.int64)
        for g, group in enumerate(self.groups):
            group_of[list(group)], place[list(group)] = g, np.arange(len(group))
        terms: list[list[tuple[int, str]]] = [[] for _ in self.groups]
        axes = AXES[self.n_paulis]
        for e, (j, k) in enumerate(self.hidden_edges.tolist()):
            g = int(group_of[j])
            for c, (p, r) in enumerate(self._pairs):
                string = ["I"] * len(self.groups[g])
                string[place[j]] = axes[self.axis[p]]
                string[place[k]] = axes[self.axis[r]]
                terms[g].append((e * len(self._pairs) + c, "".join(string)))
        entries: list[tuple[int, int, float]] = []
        table, first_qubit, first = [], 0, 0
        for g, group in enumerate(self.groups):
            table.append((first_qubit, len(group), first))
            for number, letters in terms[g]:
                values = packed_matrix(letters, self.n_paulis)
                entries += [(first + int(at), number, values[at]) for at in np.flatnonzero(values)]
            first += packed_matrix("I" * len(group), self.n_paulis).size
            first_qubit += len(group)
        rows, columns, numbers = np.array(entries, np.float64).reshape(-1, 3).T
        hidden = self.parts[4].stop - self.parts[4].start
        matrices = csr_array((numbers, (rows.astype(int), columns.astype(int))), (first, hidden))
        linked = np.zeros((self.n, len(self.groups)), np.bool_)
        for g, group in enumerate(self.groups):
            linked[:, g] = self.coupled[:, list(group)].any(axis=1)
        unit, link = np.nonzero(linked)
        ends = self.visible_edges
        edge = np.tile(np.arange(len(ends)), 2)
        here, there = np.r_[ends[:, 0], ends[:, 1]], np.r_[ends[:, 1], ends[:, 0]]
        order = np.lexsort((there, here))
        network = Network(
            np.array(table, np.int64).reshape(-1, 3),
            _starts(unit, self.n),
            link.astype(np.int64),
            _starts(here, self.n),
            there[order],
            edge[order],
        )
        return network, matrices


@cache
def packed_matrix(string: str, n_paulis: int) -> Float:
    """The matrix of a Pauli string on a group as kernels store it: the diagonal if there is one
    Pauli matrix, else the lower triangle, real parts and, of three, imaginary parts."""
    matrix = pauli_string(string)
    lower = matrix[np.tril_indices(matrix.shape[0])]
    if n_paulis == 1:
        packed = np.diag(matrix).real.copy()
    else:
        packed = lower.real.copy() if n_paulis == 2 else np.r_[lower.real, lower.imag]
    packed.flags.writeable = False
    return np.asarray(packed)


def hidden_groups(m: int, edges: ArrayLike) -> tuple[tuple[int, ...], ...]:
    """Hidden qubits that are coupled with one another, each in rising order, by the first.

    ``edges`` (E, 2) are the pairs that are coupled directly.
    """
    pairs = np.asarray(edges, np.int64).reshape(-1, 2)
    graph = csr_array((np.ones(len(pairs)), tuple(pairs.T)), (m, m))
    labels = connected_components(graph, directed=False)[1]
    found: dict[int, list[int]] = {}
    for j, label in enumerate(labels.tolist()):
        found.setdefault(label, []).append(j)
    return tuple(tuple(group) for group in found.values())


def _check_groups(groups: tuple[tuple[int, ...], ...]) -> None:
    longest = max(groups, key=len, default=())
    if len(longest) > MAX_GROUP:
        raise ValueError(
            f"hidden_edges couple {len(longest)} hidden qubits with one another, directly or "
            f"through others: {', '.join(map(str, longest))}; groups have at most {MAX_GROUP} "
            "(take hidden_edges='groups-4', or tnqbm.hamiltonian.sqbm for few units)"
        )


def _starts(sorted_by: Index, count: int) -> Index:
    """Where the entries of each number begin in a list that is sorted by it, (count + 1,)."""
    counts = np.bincount(sorted_by, minlength=count)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
