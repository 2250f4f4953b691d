"""Values of a table as bits, by what was said of them; values that need saying are refused."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.core import streams
from tnqbm.datasets import refusals
from tnqbm.datasets.preparation import Preparation
from tnqbm.datasets.readers.table import Table

_BLOCK = 1 << 22


class Bits(NamedTuple):
    """Rows (N, n) of 0 and 1, the labels and weights of these rows, and what was done, in words."""

    states: NDArray[np.uint8]
    labels: NDArray[Any] | None
    weights: NDArray[np.float64] | None
    steps: tuple[str, ...]


def bits_of(table: Table, preparation: Preparation) -> Bits:
    """The bits that a table means; DataError names the first value that means none, and the
    options that say what it means."""
    steps = [*table.notes]
    if len(table.numbers) < table.count:
        steps.append(f"{len(table.numbers)} of {table.count} columns are bits")
    if preparation.spins is not None:
        states = _from_spins(table, preparation.spins)
        steps.append(f"spins: {preparation.spins}")
    elif preparation.binarise is not None:
        states = _from_grey(table, preparation)
        steps.append(_said(preparation))
    else:
        refusals.check_bits(table)
        states = np.ascontiguousarray(table.values).astype(np.uint8, copy=False)
    labels, weights = table.labels, table.weights
    if weights is not None:
        refusals.check_weights(table, weights)
        kept = weights > 0
        if not kept.all():
            states, weights = states[kept], weights[kept]
            labels = None if labels is None else labels[kept]
            count = int((~kept).sum())
            steps.append(f"{count} row{'s' * (count > 1)} of weight 0 left out")
    return Bits(states, labels, weights, tuple(steps))


def _from_spins(table: Table, spins: str) -> NDArray[np.uint8]:
    refusals.check_spins(table)
    zero = 1 if spins == "+1 is 0" else -1
    return np.asarray(table.values != zero).view(np.uint8)


def _from_grey(table: Table, preparation: Preparation) -> NDArray[np.uint8]:
    """1 above a threshold, or by chance; block by block, for grey values take eight bytes each."""
    refusals.check_grey(table, preparation)
    values, threshold = table.values, preparation.threshold
    maximum = preparation.maximum or 1.0
    rng = streams.generator((preparation.data_seed, streams.Second.BITS))
    states = np.empty(values.shape, np.uint8)
    step = max(1, _BLOCK // max(1, values.shape[1]) // 8)
    for start in range(0, len(values), step):
        grey = values[start : start + step] / maximum
        cut = rng.random(grey.shape) if threshold is None else threshold
        np.greater(grey, cut, out=states[start : start + step].view(np.bool_))
    return states


def _said(preparation: Preparation) -> str:
    divided = f"values divided by {preparation.maximum:g}, " if preparation.maximum else ""
    if preparation.threshold is None:
        return f"{divided}drawn as probabilities of 1, data_seed = {preparation.data_seed}"
    return f"{divided}1 above {preparation.threshold:g}"
