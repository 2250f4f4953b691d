"""What an sqBM of small hidden groups is made from: couplings by name, or a Pauli sum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tnqbm.core import streams
from tnqbm.core.connectivity import checked_mask
from tnqbm.core.paulis import PAPER_SETS, check_paulis
from tnqbm.hamiltonian.layout import GroupLayout
from tnqbm.hamiltonian.models import (
    Edges,
    Seed,
    check_scale,
    check_sizes,
    coupled_letters,
    edge_list,
)
from tnqbm.hamiltonian.operator import PauliHamiltonian


def layout_of(
    n: int,
    m: int,
    visible_edges: Edges,
    hidden_edges: Edges,
    paulis: str,
    hidden_pairs: str,
    mask: ArrayLike | None,
) -> GroupLayout:
    """Where the parameters of :class:`tnqbm.SqBM` with these arguments stand; its errors."""
    check_sizes(n, m)
    return GroupLayout(
        n,
        m,
        check_paulis(paulis),
        None if mask is None else checked_mask(mask, n, m),
        edge_list("visible_edges", visible_edges, n),
        edge_list("hidden_edges", hidden_edges, m),
        hidden_pairs,
    )


def uniform(layout: GroupLayout, scale: float, seed: Seed) -> NDArray[np.float64]:
    """Parameters (size,) that are uniform in [-scale, scale], as :func:`tnqbm.hamiltonian.sqbm`
    draws them: also those of couplings outside the mask, which are left out then.

    ValueError unless ``scale`` is finite and at least 0.
    """
    check_scale(scale)
    rng = streams.generator(seed)
    first, last = layout.parts[2].start, layout.parts[3].start
    fields = rng.uniform(-scale, scale, first)
    products = rng.uniform(-scale, scale, (layout.n_paulis, layout.n, layout.m))
    pairs = rng.uniform(-scale, scale, layout.size - last)
    return np.concatenate([fields, products[:, layout.coupled].ravel(), pairs])


def model_arguments(hamiltonian: PauliHamiltonian) -> dict[str, Any]:
    """The arguments of :class:`tnqbm.hamiltonian.SqBM`; ValueError for terms that none has."""
    n, m = hamiltonian.n_visible, hamiltonian.n_hidden
    found = {kind: dict[Any, float]() for kind in ("a", "b", "w", "visible", "hidden")}
    for term, value in hamiltonian.terms.items():
        visible = [i for i in range(n) if term[i] != "I"]
        hidden = [(j, term[n + j]) for j in range(m) if term[n + j] != "I"]
        kind = {(1, 0): "a", (0, 1): "b", (1, 1): "w", (2, 0): "visible", (0, 2): "hidden"}.get(
            (len(visible), len(hidden))
        )
        if kind is None or any(term[i] != "Z" for i in visible):
            raise ValueError(
                f"the term {term!r} is in no sqBM: these have fields and pairs of units, and only "
                "Z on visible ones"
            )
        found[kind][*visible, *hidden] = value
    letters = {letter for key in [*found["b"], *found["w"], *found["hidden"]]
               for _, letter in (part for part in key if isinstance(part, tuple))}  # fmt: skip
    paulis = "".join(p for p in "XYZ" if p in letters) or PAPER_SETS[1]
    visible_edges = sorted(found["visible"])
    hidden_edges = sorted({(j, k) for (j, _), (k, _) in found["hidden"]})
    hidden_pairs = _named_pairs(paulis, {p + r for (_, p), (_, r) in found["hidden"]})
    mask = np.zeros((n, m), np.bool_)
    size = len(paulis)
    a, b, w = np.zeros(n), np.zeros((size, m)), np.zeros((size, n, m))
    kinds = coupled_letters(hidden_pairs, paulis)
    pairs = np.zeros((len(hidden_edges), len(kinds)))
    for (i,), value in found["a"].items():
        a[i] = value
    for ((j, p),), value in found["b"].items():
        b[paulis.index(p), j] = value
    for (i, (j, p)), value in found["w"].items():
        mask[i, j], w[paulis.index(p), i, j] = True, value
    for ((j, p), (k, r)), value in found["hidden"].items():
        pairs[hidden_edges.index((j, k)), kinds.index(p + r)] = value
    return {
        "n": n,
        "m": m,
        "visible_edges": visible_edges,
        "hidden_edges": hidden_edges,
        "paulis": paulis,
        "hidden_pairs": hidden_pairs,
        "mask": mask,
        "parameters": {
            "a": a,
            "b": b,
            "w": w,
            "visible": np.array([found["visible"][edge] for edge in visible_edges]),
            "hidden": pairs.reshape(-1, size, size) if hidden_pairs == "all" else pairs,
        },
    }


def _named_pairs(paulis: str, used: set[str]) -> str:
    """The name of the pairs of letters that couple hidden units, "equal" if none do."""
    for name in ("equal", "all"):
        if used == set(coupled_letters(name, paulis)):
            return name
    return ",".join(kind for kind in coupled_letters("all", paulis) if kind in used) or "equal"
