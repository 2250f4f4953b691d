"""What tests of pruning, merging and equivalence share: sparse models, and the true divergence."""

from __future__ import annotations

import numpy as np

from tests.twins import enumerate_model
from tnqbm import SqRBM

SUPPORTS = [(0, 1), (), (2,), (0, 1, 2), (1, 0), (3, 4), (2,), (1, 3), (4, 3), (0, 1)]
"""Visible units of hidden units: none, one, the same two several times, three."""


def sparse(n: int, paulis: str, supports: list[tuple[int, ...]], *, scale: float = 1.0) -> SqRBM:
    """A model whose hidden units are coupled to these visible units."""
    mask = np.zeros((n, len(supports)), bool)
    for j, units in enumerate(supports):
        mask[list(units), j] = True
    return SqRBM.uniform(n, len(supports), paulis, scale=scale, seed=7, mask=mask)


def divergence(model: SqRBM, other: SqRBM) -> float:
    """KL(p || p') by enumeration."""
    log_z, _, log_weight = enumerate_model(model)
    other_log_z, _, other_log_weight = enumerate_model(other)
    difference = (log_weight - log_z) - (other_log_weight - other_log_z)
    return float(np.exp(log_weight - log_z) @ difference)
