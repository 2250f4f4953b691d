"""Minibatches: which rows of the data an update averages over.

The rows of an update are a function of the run's key and the update's number alone: nothing has
to be kept in a checkpoint, and nothing depends on threads, batches of runs or the number of
processes that share a run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.teams import Team, share
from tnqbm.core import streams

MAX_ROWS = 1 << 26
"""Most rows, repeats counted, of data that are gone through in epochs."""

_WORD = 2.0**-53


def epoch_rows(probabilities: NDArray[np.float64]) -> NDArray[np.int32] | None:
    """The data as a list of rows, indices of states (N,), or None if they are no such list.

    They are one if every probability is a whole multiple of the smallest: each state once if
    all are equally probable, repeats as often as they occur in samples of which one is unique.
    """
    counts = probabilities / probabilities.min()
    whole = np.round(counts)
    if (np.abs(counts - whole) > 1e-7 * whole).any() or whole.sum() > MAX_ROWS:
        return None
    # Whether a ratio this large is whole cannot be told from rounded probabilities.
    if whole.max() > 1e6:
        return None
    states = np.arange(probabilities.size, dtype=np.int32)
    return np.repeat(states, whole.astype(np.int64))


class Minibatches:
    """Draws minibatches for a batch of runs.

    ``states`` (1 or B, K, n) and ``probabilities`` (1 or B, K) are the data of all runs or of
    each, ``keys`` (B,) uint64 names the runs' random streams. Data that are a list of rows (see
    :func:`epoch_rows`) are gone through without replacement, in an order shuffled anew in every
    epoch; what is left of an epoch begins the minibatch that the next one fills. From other
    distributions rows are drawn independently. Raises ValueError if ``batch_size`` exceeds the
    number of rows.
    """

    def __init__(
        self,
        states: NDArray[np.uint8],
        probabilities: NDArray[np.float64],
        keys: NDArray[np.uint64],
        batch_size: int,
        team: Team,
    ) -> None:
        self._states = states
        self._size = batch_size
        self._share = share(batch_size, team)
        self._lists = [epoch_rows(q) for q in probabilities]
        self._cumulative = [
            np.cumsum(q) if rows is None else None
            for q, rows in zip(probabilities, self._lists, strict=True)
        ]
        for rows in self._lists:
            if rows is not None and rows.size < batch_size:
                raise ValueError(
                    f"batch_size: {batch_size} is more than the {rows.size} rows of the data; "
                    "batch_size = 0 uses all of them in every update"
                )
        self._keys = [
            {what: streams.minibatch_key(key, what) for what in streams.Minibatch} for key in keys
        ]
        self._orders: list[dict[int, NDArray[np.intp]]] = [{} for _ in keys]

    def rows(self, run: int, update: int) -> NDArray[np.intp]:
        """Indices of the states that this process averages over in an update of one run."""
        which = 0 if len(self._lists) == 1 else run
        first, last = self._share
        start = update * self._size
        listed, cumulative = self._lists[which], self._cumulative[which]
        if cumulative is not None:
            words = streams.philox_words(
                self._keys[run][streams.Minibatch.DRAW], update, self._size
            )[first:last]
            uniform = (words >> np.uint64(11)).astype(np.float64) * _WORD
            found = np.searchsorted(cumulative, uniform * cumulative[-1], side="right")
            return np.asarray(np.minimum(found, cumulative.size - 1), dtype=np.intp)
        assert listed is not None
        # The epochs of the whole minibatch, whatever this process's share of it.
        epochs = range(start // listed.size, (start + self._size - 1) // listed.size + 1)
        orders = {number: self._order(run, number, listed) for number in epochs}
        self._orders[run] = orders
        pieces = []
        for number, order in orders.items():
            begin = number * listed.size
            pieces.append(order[max(0, start + first - begin) : max(0, start + last - begin)])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def draw(self, runs: NDArray[np.intp], update: int) -> NDArray[np.uint8]:
        """This process's share of an update's data, (runs, share, n), in C order."""
        first, last = self._share
        out = np.empty((runs.size, last - first, self._states.shape[2]), dtype=np.uint8)
        for k, run in enumerate(runs.tolist()):
            states = self._states[0 if self._states.shape[0] == 1 else run]
            np.take(states, self.rows(run, update), axis=0, out=out[k])
        return out

    def _order(self, run: int, epoch: int, listed: NDArray[np.int32]) -> NDArray[np.intp]:
        """The rows of an epoch in shuffled order: ranks of random words, ties by position."""
        known = self._orders[run].get(epoch)
        if known is not None:
            return known
        words = streams.philox_words(self._keys[run][streams.Minibatch.EPOCH], epoch, listed.size)
        return listed[np.argsort(words, kind="stable")].astype(np.intp)
