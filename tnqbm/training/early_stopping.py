"""Early stopping: watching a likelihood, and keeping the parameters at which it was best."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from tnqbm.training.settings import TrainingSettings

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
State = dict[str, NDArray[np.generic]]


def watched(apart: Collection[str]) -> str:
    """The metric to watch, given the names of data apart from those trained on.

    The likelihood of validation data, else that of test data, else of what is trained on.
    """
    return next((f"{name}_nll" for name in ("valid", "test") if name in apart), "nll")


def refuse_nothing_to_watch(settings: TrainingSettings, n_visible: int, evaluated: bool) -> None:
    """ValueError if ``patience`` is set and no likelihood is recorded that it could watch.

    For gradients that do not find log Z themselves; ``evaluated`` says whether something else does.
    """
    if not settings.patience:
        return
    rows = settings.evaluated_steps.size
    if not evaluated:
        raise ValueError(
            f"patience: nothing to watch: with evaluate = {settings.evaluate.name!r} and "
            f"{n_visible} visible units no likelihood is recorded; give evaluate = 'ais' "
            "(annealing), or patience = 0"
        )
    if settings.iterations and rows < 2:
        raise ValueError(
            "patience: nothing to compare: the likelihood is recorded once, at the end; give "
            "more records and evaluations, or patience = 0"
        )


class EarlyStopping:
    """What ``patience`` needs to know of each of ``runs`` runs.

    A run ends when its metric has not fallen by more than ``min_delta`` during ``patience``
    updates. The parameters at the lowest value are kept, whatever ``min_delta``. Rows without a
    value do not count.
    """

    def __init__(self, settings: TrainingSettings, metric: str, theta: Float) -> None:
        self.metric = metric
        self._patience, self._min_delta = settings.patience, settings.min_delta
        runs = theta.shape[0]
        self._best = np.full(runs, np.inf)
        self._best_at = np.zeros(runs, dtype=np.int64)
        self._lowest = np.full(runs, np.inf)
        self._lowest_at = np.zeros(runs, dtype=np.int64)
        self._kept = theta.copy()

    def goes_on(self, values: Float, theta: Float, rows: Rows, step: int) -> NDArray[np.bool_]:
        """Take in a row of the metric (B,) of runs ``rows``; which of them are not to end, (B,)."""
        known = ~np.isnan(values)
        lower = known & (values < self._lowest[rows])
        self._lowest[rows[lower]] = values[lower]
        self._lowest_at[rows[lower]] = step
        self._kept[rows[lower]] = theta[lower]
        better = known & (values < self._best[rows] - self._min_delta)
        self._best[rows[better]] = values[better]
        self._best_at[rows[better]] = step
        return ~known | (step - self._best_at[rows] < self._patience)

    def best(self, run: int) -> tuple[int, Float] | None:
        """Updates done and parameters where the metric was lowest, None if it was never known."""
        if not np.isfinite(self._lowest[run]):
            return None
        return int(self._lowest_at[run]), self._kept[run]

    def state(self) -> State:
        """Copies of everything, as arrays."""
        return {name: getattr(self, "_" + name).copy() for name in _STATE}

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over what :meth:`state` returned; ValueError if something is missing."""
        missing = [name for name in _STATE if name not in state]
        if missing:
            raise ValueError(f"checkpoint lacks {', '.join(missing)}")
        for name in _STATE:
            current = getattr(self, "_" + name)
            setattr(self, "_" + name, np.array(state[name], dtype=current.dtype))


_STATE = ("best", "best_at", "lowest", "lowest_at", "kept")
