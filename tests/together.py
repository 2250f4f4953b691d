"""Teams of threads, in the place of processes that share the runs of a training."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np


class Together:
    """Threads that act as the members of a team: each calls its own, and all wait for all.

    Only one works at a time, since not all of Numba's threading layers take calls from several.
    """

    def __init__(self, size: int) -> None:
        self.turn = threading.Lock()
        self._barrier = threading.Barrier(size, timeout=1800)
        self._parts: list[Any] = [None] * size
        self.members = [_Member(self, rank, size) for rank in range(size)]

    def exchange(self, rank: int, part: Any) -> list[Any]:
        self._parts[rank] = part
        self.turn.release()
        try:
            self._barrier.wait()
            parts = list(self._parts)
            self._barrier.wait()
        finally:
            self.turn.acquire()
        return parts


class _Member:
    def __init__(self, team: Together, rank: int, size: int) -> None:
        self._team, self.rank, self.size = team, rank, size

    def add(self, sums: np.ndarray) -> None:
        sums[...] = np.sum(self._team.exchange(self.rank, sums.copy()), axis=0)

    def gather(self, part: np.ndarray) -> np.ndarray:
        return np.concatenate(self._team.exchange(self.rank, part.copy()), axis=1)
