"""Shares of a team's members."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from tnqbm.base.teams import SHARD, Alone, Team, share


@dataclass
class Place:
    """Where a member stands, all that sharing asks for."""

    rank: int
    size: int

    def add(self, sums: np.ndarray) -> None:
        raise NotImplementedError

    def gather(self, part: np.ndarray) -> np.ndarray:
        raise NotImplementedError


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 1000, 6400, 12345])
def test_shares_are_whole_shards_side_by_side(count: int, size: int) -> None:
    shares = [share(count, Place(rank, size)) for rank in range(size)]
    assert shares[0][0] == 0
    assert shares[-1][1] == count
    for one, other in pairwise(shares):
        assert one[1] == other[0]
    assert all(first <= last for first, last in shares)
    # Every border but the end lies between shards.
    assert all(first % SHARD == 0 or first == count for first, _ in shares)
    shards = [-(-(last - first) // SHARD) for first, last in shares]
    assert max(shards) - min(shards) <= 1


def test_members_beyond_the_shards_get_nothing() -> None:
    sizes = [last - first for first, last in (share(65, Place(rank, 4)) for rank in range(4))]
    assert sorted(sizes) == [0, 0, 1, 64]


def test_one_process_is_a_team() -> None:
    team: Team = Alone()
    assert (team.rank, team.size) == (0, 1)
    assert share(777, team) == (0, 777)
    sums = np.arange(6).reshape(2, 3)
    team.add(sums)
    np.testing.assert_array_equal(sums, np.arange(6).reshape(2, 3))
    part = np.arange(4)
    assert team.gather(part) is part
