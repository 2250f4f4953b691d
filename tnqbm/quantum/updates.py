"""Updates whose averages are measured run by run: random streams, failures, and what they took."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import streams
from tnqbm.quantum.usage import Ledger, TooFewShotsError, Usage
from tnqbm.training.estimators import Averages

Float = NDArray[np.float64]
State = dict[str, NDArray[np.generic]]


class MeasuredUpdates:
    """The updates of a batch of runs so far, and what runs have taken.

    Random numbers of an update follow from the run's key and the number of updates before it.
    ``keys`` (runs,) uint64, ``names`` and ``chains`` as for :class:`tnqbm.quantum.usage.Ledger`.
    """

    def __init__(self, keys: NDArray[np.uint64], names: dict[str, str], *, chains: bool) -> None:
        self._keys = keys
        self._ledger = Ledger(keys, names, chains=chains)
        self.count = 0
        """Updates so far."""

    def estimate(
        self,
        theta: Float,
        rows: NDArray[np.intp],
        measure: Callable[[Float, int, np.random.SeedSequence], tuple[Float, Usage]],
    ) -> Averages:
        """Averages like theta (B, K) of the runs ``rows`` (B,), each measured by itself.

        ``measure`` takes a run's parameters, its number and its stream, and returns its averages
        (K,) with what they took. A run of which too few shots survive is among the failures.
        Raises RuntimeError, naming run and update, where ``measure`` does.
        """
        moments = np.full_like(theta, np.nan)
        failures: dict[int, str] = {}
        used: list[Usage] = []
        for k, run in enumerate(map(int, rows)):
            key = streams.sequence(self._keys[run], streams.Run.MEASUREMENTS, self.count)
            try:
                moments[k], took = measure(theta[k], run, key)
            except TooFewShotsError as error:
                failures[run], took = str(error), error.usage
            except RuntimeError as error:
                raise RuntimeError(f"run {run}, update {self.count + 1}: {error}") from error
            used.append(took)
            self._ledger.add(run, took)
        self.count += 1
        return Averages(moments, failures=failures, usage=self._ledger.of_update(used))

    def report(self, rows: NDArray[np.intp]) -> State:
        """What each of the runs has taken so far, see docs/quantum.md."""
        return self._ledger.report(rows)

    def state(self) -> State:
        """What the next update depends on."""
        return {"updates": np.array(self.count), "spent": self._ledger.state()}

    def restore(self, state: State) -> None:
        """Take over what :meth:`state` returned."""
        self._ledger.restore(state.get("spent", np.empty(0)))
        self.count = int(state["updates"])
