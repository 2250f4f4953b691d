"""Which Pauli matrices circuits measure on the coupled hidden qubits of an sqBM.

A set of settings in which any two qubits of a group are measured in every pair of letters serves
all terms. Such sets are covering arrays of strength 2; those here are the smallest there are, and
the groups of a model share them.
"""

from __future__ import annotations

from itertools import product

from tnqbm.hamiltonian.grouped import SqBM

FIVE = ("0000", "0111", "1011", "1101", "1110")
"""Every pair of two letters on any two of four qubits (no four rows have them)."""


def hidden_settings(model: SqBM) -> list[str]:
    """Letters for the m hidden qubits, one string for each circuit; none without hidden qubits."""
    letters, size = model.paulis, max(map(len, model.groups), default=0)
    if not size:
        return []
    if size == 1 or len(letters) == 1 or model.layout.only_equal:
        return [letter * model.n_hidden for letter in letters]
    return [_spread(model, row) for row in _rows(len(letters), size)]


def _rows(letters: int, size: int) -> list[tuple[int, ...]]:
    """Numbers of letters for the qubits of a group, one row a setting."""
    if letters == 2 and size == 4:
        return [tuple(map(int, row)) for row in FIVE]
    pairs = product(range(letters), repeat=2)
    # Lines of the plane over the integers modulo 2 or 3: any two columns hold every pair once.
    return [(a, b, (a + b) % letters, (a + 2 * b) % letters)[:size] for a, b in pairs]


def _spread(model: SqBM, row: tuple[int, ...]) -> str:
    chosen = [""] * model.n_hidden
    for group in model.groups:
        for place, j in enumerate(group):
            chosen[j] = model.paulis[row[place]]
    return "".join(chosen)
