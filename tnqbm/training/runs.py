"""Which runs of a batch still train, and how the others ended."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import one_page
from tnqbm.training.recording import check_shape

Float = NDArray[np.float64]
State = dict[str, NDArray[np.generic]]


class Runs:
    """The runs of a batch: ``theta`` (B, n_parameters) are the parameters of ``rows`` (B,).

    ``failures`` {run: why}, and ``diverged``, those among them whose parameters stopped being
    finite.
    """

    def __init__(self, theta: Float, iterations: int) -> None:
        self.theta = theta
        self.rows = np.arange(theta.shape[0])
        self.final = theta.copy()
        self.stopped_at = np.full(theta.shape[0], iterations, dtype=np.int64)
        self.failed = np.zeros(theta.shape[0], dtype=np.int64)
        self.failures: dict[int, str] = {}
        self.diverged: set[int] = set()
        self._iterations = iterations

    def fail(self, reasons: Mapping[int, str], iteration: int) -> NDArray[np.bool_]:
        """Mark runs as failed and end them; which of the rows before go on, (B,)."""
        update = min(iteration + 1, self._iterations)
        self.failures |= {run: f"update {update}: {one_page(why)}" for run, why in reasons.items()}
        going = ~np.isin(self.rows, [*reasons])
        self.failed[self.rows[~going]] = 1
        self.end(going, iteration)
        return going

    def end(self, going: NDArray[np.bool_], iteration: int) -> None:
        """End the runs whose row is False, with the parameters that they have."""
        stopped = self.rows[~going]
        self.final[stopped] = self.theta[~going]
        self.stopped_at[stopped] = iteration
        self.theta, self.rows = self.theta[going], self.rows[going]

    def finish(self) -> None:
        """Take over the parameters of all that still train as the final ones."""
        self.final[self.rows] = self.theta

    def outcome(self, run: int) -> str:
        """How a run ended: "failed", "iterations", or "plateau" after early stopping."""
        last = self.stopped_at[run] == self._iterations
        return "failed" if self.failed[run] else "iterations" if last else "plateau"

    def state(self) -> State:
        """Copies of everything, as arrays."""
        causes = [self.failures.get(run, "") for run in range(self.final.shape[0])]
        return {name: getattr(self, name).copy() for name in _ARRAYS} | {"causes": np.array(causes)}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what :meth:`state` returned; ValueError if it is of another training."""
        if "failed" not in state and "stopped_at" in state:  # of a version that had no such mark
            state = {**state, "failed": np.zeros_like(state["stopped_at"])}
        missing = [name for name in _ARRAYS if name not in state]
        if missing:
            raise ValueError(f"checkpoint lacks {', '.join(missing)}")
        check_shape("final", state["final"], self.final)
        for name in _ARRAYS:
            setattr(self, name, np.array(state[name], dtype=getattr(self, name).dtype))
        causes = enumerate(state.get("causes", ()))
        self.failures = {run: str(cause) for run, cause in causes if cause}


_ARRAYS = ("theta", "final", "rows", "stopped_at", "failed")
