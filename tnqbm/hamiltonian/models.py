"""Families of Hamiltonians by name: with couplings inside the layers, and with visible X and Y.

Every builder takes its parameters either as numbers (``parameters``) or at random (``seed``).
``parameters`` is one vector in the order of the terms, or a mapping from groups of terms to arrays,
in which groups that are not named are 0. At random, all coefficients are drawn independently and
uniformly from [-scale, scale], in the order of the terms. Edges are None, pairs of numbers (from 0)
of units of one layer, or a name as :func:`tnqbm.core.connectivity.edges` takes it, such as "all".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core import connectivity, streams
from tnqbm.core.connectivity import checked_mask
from tnqbm.core.paulis import check_paulis
from tnqbm.hamiltonian.operator import PauliHamiltonian

Edges = str | Sequence[tuple[int, int]] | None
Seed = int | np.random.SeedSequence | np.random.Generator
Parameters = ArrayLike | Mapping[str, ArrayLike]
Letters = Mapping[int, str]
"""A term by its letters that are not I, {qubit: letter}."""


class Terms:
    """Groups of strings in order, each with the shape of its array of coefficients."""

    def __init__(self, n: int, m: int) -> None:
        check_sizes(n, m)
        self.n, self.m = n, m
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._letters: dict[str, Sequence[Letters | None]] = {}

    def add(self, group: str, shape: tuple[int, ...], letters: Sequence[Letters | None]) -> None:
        """A group of terms; None for entries of its array that have no term."""
        self._shapes[group] = shape
        self._letters[group] = letters

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of the array of every group."""
        return self._shapes

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which entries of the arrays, one after another, have a term."""
        return np.array([one is not None for g in self._letters.values() for one in g], np.bool_)

    def _string(self, letters: Letters) -> str:
        string = ["I"] * (self.n + self.m)
        for k, letter in letters.items():
            string[k] = letter
        return "".join(string)

    def hamiltonian(
        self, parameters: Parameters | None, scale: float, seed: Seed | None
    ) -> PauliHamiltonian:
        values = self.values(parameters, scale, seed).tolist()
        entries = (one for group in self._letters.values() for one in group)
        strings = [self._string(one) for one in entries if one is not None]
        terms = dict(zip(strings, values, strict=True))
        return PauliHamiltonian(terms, self.n, n_qubits=self.n + self.m)

    def values(
        self, parameters: Parameters | None, scale: float, seed: Seed | None
    ) -> NDArray[np.float64]:
        """The coefficients of all terms."""
        if (parameters is None) == (seed is None):
            raise ValueError("give either parameters or, for random ones, a seed")
        present = self.present
        if parameters is None:
            check_scale(scale)
            assert seed is not None
            return streams.generator(seed).uniform(-scale, scale, present.size)[present]
        if isinstance(parameters, Mapping):
            return self._from_groups(parameters)[present]
        vector = np.asarray(parameters, dtype=np.float64)
        if vector.shape != (present.sum(),):
            raise ValueError(
                f"this Hamiltonian has {present.sum()} terms, got parameters of shape "
                f"{vector.shape}"
            )
        return vector

    def _from_groups(self, parameters: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        unknown = sorted(set(parameters) - set(self._shapes))
        if unknown:
            raise ValueError(
                f"parameters has no group {', '.join(map(repr, unknown))}; "
                f"groups: {', '.join(self._shapes)}"
            )
        parts = []
        for group, shape in self._shapes.items():
            array = np.asarray(parameters.get(group, np.zeros(shape)), dtype=np.float64)
            if array.shape != shape:
                raise ValueError(
                    f"parameters[{group!r}] must have shape {shape}, got {array.shape}"
                )
            absent = np.array([one is None for one in self._letters[group]], dtype=np.bool_)
            if (array.ravel()[absent] != 0).any():
                raise ValueError(f"parameters[{group!r}] is not 0 outside the mask")
            parts.append(array.ravel())
        return np.concatenate(parts)


def sqbm(
    n: int,
    m: int,
    *,
    visible_edges: Edges = "all",
    hidden_edges: Edges = "all",
    paulis: str = "XYZ",
    hidden_pairs: str = "all",
    mask: ArrayLike | None = None,
    parameters: Parameters | None = None,
    scale: float = 1.0,
    seed: Seed | None = None,
) -> PauliHamiltonian:
    """A semi-quantum Boltzmann machine: couplings in both layers (Demidik et al. 2025, Def. 2).

    H = sum_i a_i Z_i + sum_{P,j} b_{P,j} P_j + sum_{P,i,j} w_{P,i,j} Z_i P_j
        + sum_{(i,i')} Z_i Z_i' + sum_{(j,j')} sum_{P,P'} P_j P'_j',
    the last two along ``visible_edges`` and ``hidden_edges`` and with coefficients of their own;
    P, P' run over ``paulis``.

    Terms are in this order, and these are the groups of ``parameters``: "a" (n,), "b" (P, m),
    "w" (P, n, m), "visible" (edges,), "hidden" (edges, P, P), each in C order. With
    ``hidden_pairs="equal"`` only P = P', and "hidden" is (edges, P); with pairs of letters such as
    "ZZ" or "XX,ZZ" these alone, the letter of the first unit first, and "hidden" is (edges, pairs).
    ``mask`` (n, m) bool says which visible and hidden units are coupled, None all of them. Without
    edges the model is ``SqRBM.uniform(n, m, paulis, scale=scale, seed=seed, mask=mask)``.
    """
    terms = sqbm_terms(n, m, visible_edges, hidden_edges, paulis, hidden_pairs, mask)
    return terms.hamiltonian(parameters, scale, seed)


def sqbm_terms(
    n: int,
    m: int,
    visible_edges: Edges,
    hidden_edges: Edges,
    paulis: str,
    hidden_pairs: str,
    mask: ArrayLike | None,
) -> Terms:
    """The terms of :func:`sqbm`, with its arguments and errors."""
    letters = check_paulis(paulis)
    terms = Terms(n, m)
    coupled = _mask(mask, n, m)
    terms.add("a", (n,), [{i: "Z"} for i in range(n)])
    terms.add("b", (len(letters), m), [{n + j: p} for p in letters for j in range(m)])
    terms.add(
        "w",
        (len(letters), n, m),
        [
            {i: "Z", n + j: p} if coupled[i, j] else None
            for p in letters
            for i in range(n)
            for j in range(m)
        ],
    )
    pairs = edge_list("visible_edges", visible_edges, n)
    terms.add("visible", (len(pairs),), [{i: "Z", k: "Z"} for i, k in pairs])
    kinds = coupled_letters(hidden_pairs, letters)
    pairs = edge_list("hidden_edges", hidden_edges, m)
    shape = (len(letters), len(letters)) if hidden_pairs == "all" else (len(kinds),)
    terms.add(
        "hidden",
        (len(pairs), *shape),
        [{n + j: p, n + k: r} for j, k in pairs for p, r in map(tuple, kinds)],
    )
    return terms


def qrbm(
    n: int,
    m: int,
    *,
    visible_paulis: str = "XYZ",
    paulis: str = "XYZ",
    interactions: str | Sequence[str] = "all",
    mask: ArrayLike | None = None,
    parameters: Parameters | None = None,
    scale: float = 1.0,
    seed: Seed | None = None,
) -> PauliHamiltonian:
    """A quantum restricted Boltzmann machine (Demidik et al. 2025, Definition 4).

    H = sum_{P,i} a_{P,i} P_i + sum_{P,j} b_{P,j} P_j + sum_{PP',i,j} w_{PP',i,j} P_i P'_j,

    with P of visible units in ``visible_paulis`` (W_v), P of hidden ones in ``paulis``
    (W_h), and PP' in ``interactions`` (W_int), pairs of letters such as ``("ZZ", "XX")`` or
    "ZZ,XX", the visible letter first; "all" is every pair of W_v x W_h.

    Terms are in this order, and these are the groups of ``parameters``: "a" (|W_v|, n),
    "b" (|W_h|, m), "w" (|W_int|, n, m), each in C order.
    """
    fields, hidden = check_paulis(visible_paulis), check_paulis(paulis)
    if isinstance(interactions, str) and interactions != "all":
        interactions = interactions.split(",")
    kinds = [p + r for p in fields for r in hidden] if interactions == "all" else [*interactions]
    for kind in kinds:
        if not (isinstance(kind, str) and len(kind) == 2 and set(kind) <= set("XYZ")):
            raise ValueError(
                f"interactions must be 'all' or pairs of letters X, Y, Z such as ('ZZ', 'XX'), "
                f"got {kind!r}"
            )
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"interactions repeats a pair: {', '.join(kinds)}")
    terms = Terms(n, m)
    coupled = _mask(mask, n, m)
    terms.add("a", (len(fields), n), [{i: p} for p in fields for i in range(n)])
    terms.add("b", (len(hidden), m), [{n + j: p} for p in hidden for j in range(m)])
    terms.add(
        "w",
        (len(kinds), n, m),
        [
            {i: p, n + j: r} if coupled[i, j] else None
            for p, r in map(tuple, kinds)
            for i in range(n)
            for j in range(m)
        ],
    )
    return terms.hamiltonian(parameters, scale, seed)


def tfim(
    n: int,
    m: int,
    *,
    visible_paulis: str = "XZ",
    visible_edges: Edges = None,
    hidden_edges: Edges = None,
    mask: ArrayLike | None = None,
    parameters: Parameters | None = None,
    scale: float = 1.0,
    seed: Seed | None = None,
) -> PauliHamiltonian:
    """The transverse-field Ising model (Amin et al. 2018), the common choice of a QRBM.

    H = sum_k z_k Z_k + sum_k x_k X_k + sum_{i,j} w_ij Z_i Z_j, between the layers and, along
    ``visible_edges`` and ``hidden_edges``, inside them. ``visible_paulis="Z"`` leaves out X on the
    visible units; the model is then semi-quantum.

    Terms are in this order, and these are the groups of ``parameters``: "z" (n + m,), "x" (n + m,)
    or, without visible fields, (m,), "w" (n, m), "visible" (edges,), "hidden" (edges,).
    """
    terms = Terms(n, m)
    coupled = _mask(mask, n, m)
    if not {"Z"} <= set(check_paulis(visible_paulis)) <= {"X", "Z"}:
        raise ValueError(f"visible_paulis must be 'XZ' or 'Z', got {visible_paulis!r}")
    first = 0 if "X" in visible_paulis else n
    terms.add("z", (n + m,), [{k: "Z"} for k in range(n + m)])
    terms.add("x", (n + m - first,), [{k: "X"} for k in range(first, n + m)])
    terms.add(
        "w",
        (n, m),
        [{i: "Z", n + j: "Z"} if coupled[i, j] else None for i in range(n) for j in range(m)],
    )
    pairs = edge_list("visible_edges", visible_edges, n)
    terms.add("visible", (len(pairs),), [{i: "Z", k: "Z"} for i, k in pairs])
    pairs = edge_list("hidden_edges", hidden_edges, m)
    terms.add("hidden", (len(pairs),), [{n + j: "Z", n + k: "Z"} for j, k in pairs])
    return terms.hamiltonian(parameters, scale, seed)


def _mask(mask: ArrayLike | None, n: int, m: int) -> NDArray[np.bool_]:
    checked = None if mask is None else checked_mask(mask, n, m)
    return np.ones((n, m), dtype=np.bool_) if checked is None else checked


def coupled_letters(hidden_pairs: str, paulis: str) -> list[str]:
    """Pairs of letters of ``paulis`` that couple hidden units, in the order of terms.

    ``hidden_pairs`` is "all", "equal", or pairs such as "ZZ" or "XX,ZZ"; ValueError for others.
    """
    every = [p + r for p in paulis for r in paulis]
    if hidden_pairs == "all":
        return every
    if hidden_pairs == "equal":
        return [p + p for p in paulis]
    found = hidden_pairs.split(",")
    for kind in found:
        if kind not in every:
            raise ValueError(
                f"hidden_pairs must be 'all', 'equal' or pairs of the letters of {paulis!r} such "
                f"as {','.join(p + p for p in paulis)!r}, got {hidden_pairs!r}"
            )
    if len(set(found)) < len(found):
        raise ValueError(f"hidden_pairs repeats a pair: {hidden_pairs!r}")
    return found


def check_sizes(n: int, m: int) -> None:
    """ValueError unless there is a visible unit."""
    if n < 1 or m < 0:
        raise ValueError(f"need n >= 1 visible and m >= 0 hidden units, got n = {n}, m = {m}")


def check_scale(scale: float) -> None:
    """ValueError unless ``scale`` is a finite number >= 0."""
    if not (np.isfinite(scale) and scale >= 0):
        raise ValueError(f"scale must be a finite number >= 0, got {scale!r}")


def edge_list(key: str, edges: Edges, units: int) -> list[tuple[int, int]]:
    """Pairs (i, j) with i < j; ValueError unless they are different pairs of different units."""
    if edges is None:
        return []
    if isinstance(edges, str):
        try:
            return connectivity.edges(edges, units)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    found = []
    for edge in edges:
        pair = tuple(sorted(int(k) for k in edge))
        if len(pair) != 2 or pair[0] == pair[1] or not 0 <= pair[0] <= pair[1] < units:
            raise ValueError(
                f"{key} are pairs of different units from 0 to {units - 1}, got {edge!r}"
            )
        found.append((pair[0], pair[1]))
    if len(set(found)) < len(found):
        raise ValueError(f"{key} repeat a pair: {found}")
    return found
