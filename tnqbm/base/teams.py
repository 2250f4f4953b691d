"""Several processes that compute one training run together, as far as training has to know.

A team's members hold the same parameters and share the chains and minibatches of the run between
them. What they add up are integers (fixed-point sums of :mod:`tnqbm.kernels.sample_moments`), so
that the result is the same however many members there are and in whatever order MPI combines them.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SHARD = 64
"""States whose average is summed in floating point; sums of shards are added as integers."""


class Team(Protocol):
    """The processes of one run. Every method must be called by all members, in the same order."""

    rank: int
    size: int

    def add(self, sums: NDArray[np.int64]) -> None:
        """Replace ``sums`` on every member by the sum over the members."""

    def gather(self, part: NDArray[Any]) -> NDArray[Any]:
        """The members' parts joined along axis 1 (chains), on every member."""


class Alone:
    """A team of one process."""

    rank, size = 0, 1

    def add(self, sums: NDArray[np.int64]) -> None:
        return None

    def gather(self, part: NDArray[Any]) -> NDArray[Any]:
        return part


def share(count: int, team: Team) -> tuple[int, int]:
    """First and last (excluded) of ``count`` chains or states that a member works on.

    Whole shards, as evenly as possible; a member may get none.
    """
    shards = -(-count // SHARD)
    first = shards * team.rank // team.size * SHARD
    last = shards * (team.rank + 1) // team.size * SHARD
    return min(first, count), min(last, count)
