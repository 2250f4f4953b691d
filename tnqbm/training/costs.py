"""What updates of training cost, in nanoseconds of one core of a current processor.

Fits to measured times (scripts/benchmarks/forecast.py says how good they are), right to a factor of
two or so. Only ratios matter: they order the tasks of a study and weigh its progress display, whose
clock measures the real rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.shape import Shape
from tnqbm.hamiltonian.deep_states import MAX_SUMMED

if TYPE_CHECKING:
    from tnqbm.base.forecast import Forecast
    from tnqbm.hamiltonian.forecast import GroupWork
    from tnqbm.hamiltonian.layout import GroupLayout
    from tnqbm.training.settings import TrainingSettings

ROWS = 1000
"""Rows of data assumed where an update uses all of them and their number is not known."""


ONE_PASS = 12
"""Visible units up to which sqBMs of small groups take one pass over all states an update."""


class Size(NamedTuple):
    """The size of a model to be trained, for forecasts and checks.

    ``mask`` (n_visible, n_hidden) says which couplings there are, None if all; ``rows`` is how many
    different states the data have, 0 if that is not known; ``paulis`` are the letters of the Pauli
    matrices, "" if they are not known. The last ``n_deep`` of the visible units are those of a
    second hidden layer, over which data are averaged. Models with other parameters than sqRBMs say
    how many ``terms`` they have. Sums of Pauli strings say what one exact gradient of theirs takes,
    ``forecast``, and sqBMs of small hidden groups what one visible state takes, ``work``, and their
    ``layout``.
    """

    n_visible: int
    n_hidden: int
    n_paulis: int
    mask: NDArray[np.bool_] | None = None
    rows: int = 0
    paulis: str = ""
    terms: int = 0
    forecast: Forecast | None = None
    work: GroupWork | None = None
    n_deep: int = 0
    layout: GroupLayout | None = None

    @property
    def n_parameters(self) -> int:
        return self.terms or Shape(self.n_visible, self.n_hidden, self.n_paulis).size


def enumeration_cost(size: Size) -> float:
    """One exact evaluation of log Z and all averages; 0 beyond any enumeration."""
    if size.forecast is not None:
        return 1e9 * size.forecast.seconds
    n, m, p = size.n_visible, size.n_hidden, size.n_paulis
    if size.work is not None:
        return float(2.0**n * (size.work.weight + size.work.averages)) if n <= 40 else 0.0
    return float(2.0**n * (m * (0.4 * p + 1.3) + 4.0)) if n <= 40 else 0.0


def enumerated_update_cost(size: Size) -> float:
    """One update with exact averages of data and model."""
    if size.forecast is not None:
        return 1e9 * size.forecast.seconds + 7500.0
    if size.work is not None:
        if size.n_visible <= ONE_PASS:
            return 2.0**size.n_visible * size.work.averages + 10.0 * size.terms + 3e4
        rows = size.rows or min(ROWS, 2.0 ** min(size.n_visible, 40))
        return enumeration_cost(size) + rows * size.work.averages + 5.0 * size.terms + 2e4
    n, m, p = size.n_visible, size.n_hidden, size.n_paulis
    sums = 2.0**n * (m * (0.4 * p + 1.3) + 4.0)
    rows = size.rows or min(ROWS, 2.0 ** (n - size.n_deep))
    return sums + rows * summed_cost(size) + 35.0 * p * m * (n + 1) + 7500.0


def averages_cost(size: Size, training: TrainingSettings) -> float:
    """Averages over one visible state."""
    if size.work is not None:
        return size.work.averages
    single = 0.6 if training.precision == "single" else 1.0
    return 50.0 + 0.1 * size.n_paulis * size.n_visible * size.n_hidden * single


def update_cost(size: Size, training: TrainingSettings) -> float:
    """One update without the model's averages: those of the data, and the step."""
    rows = training.batch_size or size.rows or min(ROWS, 2.0 ** min(size.n_visible, 40))
    step = 5.0 * size.n_paulis * size.n_hidden * (size.n_visible + 1) + 2e4
    return rows * (averages_cost(size, training) + summed_cost(size)) + step


def summed_cost(size: Size) -> float:
    """The sum over a second layer for one visible state, or what chains take where it is large."""
    if not size.n_deep:
        return 0.0
    summed = size.n_deep if size.n_deep <= MAX_SUMMED else 6
    return enumeration_cost(size._replace(n_visible=max(6, summed), n_deep=0))


def run_cost(size: Size, training: TrainingSettings) -> float:
    """A whole run: its updates, and log Z of the rows that are recorded."""
    evaluations = training.evaluated_steps.size if training.evaluates else 0
    update = training.gradient.cost(size, training) + training.optimizer.cost(size, training)
    compared = training.bias_reference.cost(size, training)
    found = training.iterations * update + evaluations * training.evaluate.cost(size, training)
    return found + compared


ARRAYS = 11
"""Arrays of parameters that a trainer and the data's averages hold for every run at the peak."""


def run_memory(size: Size, training: TrainingSettings, runs: int) -> float:
    """Bytes that ``runs`` runs trained together hold at most, beside the libraries.

    ``size.rows`` counts the rows of their data. Arrays that are small in every training, such as
    those of metrics, are left out.
    """
    from tnqbm.exact.averages import state_bytes

    kept = ARRAYS + 3 * training.snapshots  # snapshots, and the block that is written of them
    parts = (training.gradient, training.optimizer, training.evaluate)
    own = sum(part.memory(size, training, runs) for part in parts)
    data = state_bytes(size.n_visible, size.rows, 1, runs, size.n_parameters)
    return own + data + 8.0 * runs * size.n_parameters * kept
