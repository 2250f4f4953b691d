"""Which sqBM a sum of Pauli strings is."""

from __future__ import annotations

from typing import Any

import numpy as np

from tnqbm.core.paulis import PAPER_SETS
from tnqbm.hamiltonian.operator import PauliHamiltonian


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
    equal = all(p == r for (_, p), (_, r) in found["hidden"])
    mask = np.zeros((n, m), np.bool_)
    size = len(paulis)
    a, b, w = np.zeros(n), np.zeros((size, m)), np.zeros((size, n, m))
    pairs = np.zeros((len(hidden_edges), size, size))
    for (i,), value in found["a"].items():
        a[i] = value
    for ((j, p),), value in found["b"].items():
        b[paulis.index(p), j] = value
    for (i, (j, p)), value in found["w"].items():
        mask[i, j], w[paulis.index(p), i, j] = True, value
    for ((j, p), (k, r)), value in found["hidden"].items():
        pairs[hidden_edges.index((j, k)), paulis.index(p), paulis.index(r)] = value
    if equal:
        pairs = np.diagonal(pairs, axis1=1, axis2=2)
    return {
        "n": n,
        "m": m,
        "visible_edges": visible_edges,
        "hidden_edges": hidden_edges,
        "paulis": paulis,
        "hidden_pairs": "equal" if equal else "all",
        "mask": mask,
        "parameters": {
            "a": a,
            "b": b,
            "w": w,
            "visible": np.array([found["visible"][edge] for edge in visible_edges]),
            "hidden": pairs,
        },
    }
