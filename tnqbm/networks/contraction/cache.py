"""Contraction of one model at a time; plans are cached for the next with the same couplings.

A plan depends on the mask, the number of Paulis and the limits, not on parameters; making one
takes up to seconds, running it often milliseconds.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.fields import largest_lengths
from tnqbm.core.model import SqRBM, coupling_mask
from tnqbm.core.moments import Moments
from tnqbm.networks.contraction.contraction import Complex, Contraction, Float

Key = tuple[object, ...]
Value = TypeVar("Value")

MOST_PLANS = 16
MOST_REFUSALS = 8

_PLANS: OrderedDict[Key, Contraction] = OrderedDict()
_REFUSALS: OrderedDict[Key, ValueError | MemoryError] = OrderedDict()


def contraction(model: SqRBM, **options: Any) -> Contraction:
    """The contraction for the couplings of ``model``; ``options`` are those of Contraction.

    Raises what :class:`Contraction` does. A refusal is remembered too, for hidden fields of about
    this size.
    """
    key = _key(coupling_mask(model), len(model.paulis), options)
    if key in _PLANS:
        return _remember(_PLANS, key, _PLANS[key], MOST_PLANS)
    longest = largest_lengths(model.b, model.w)
    level = math.ceil(math.log2(max(1.0, float(longest.max(initial=0.0)))))
    refusal = _REFUSALS.get((*key, level))
    if refusal is not None:
        raise type(refusal)(*refusal.args)
    try:
        return _remember(_PLANS, key, Contraction.of(model, **options), MOST_PLANS)
    except (ValueError, MemoryError) as error:
        refusal = type(error)(*error.args)  # without its traceback, which holds the frames
        _remember(_REFUSALS, (*key, level), refusal, MOST_REFUSALS)
        raise


def for_mask(mask: NDArray[np.bool_], n_paulis: int, **options: Any) -> Contraction:
    """The contraction for a mask (n, m), whatever the models will be."""
    key = _key(mask, n_paulis, options)
    known = _PLANS.get(key) or Contraction(mask, n_paulis, **options)
    return _remember(_PLANS, key, known, MOST_PLANS)


def planned(model: SqRBM, **options: Any) -> bool:
    """Whether :func:`contraction` would return at once."""
    return _key(coupling_mask(model), len(model.paulis), options) in _PLANS


def log_partition(model: SqRBM, *, clamp: Mapping[int, int] | None = None, **options: Any) -> float:
    """log Z by contraction; ``options`` are those of :class:`Contraction`, whose plan is kept."""
    return contraction(model, **options).log_partition(model, clamp=clamp)


def moments(
    model: SqRBM, *, pairs: Literal["coupled", "all"] = "coupled", **options: Any
) -> Moments:
    """Moments by contraction, as :meth:`Contraction.moments`."""
    return contraction(model, **options).moments(model, pairs=pairs)


def marginal(
    model: SqRBM,
    units: Sequence[int],
    *,
    clamp: Mapping[int, int] | None = None,
    **options: Any,
) -> Float:
    """Joint probabilities of visible units, as :meth:`Contraction.marginal`."""
    return contraction(model, **options).marginal(model, units, clamp=clamp)


def hidden_state(
    model: SqRBM,
    hidden: Sequence[int],
    *,
    clamp: Mapping[int, int] | None = None,
    **options: Any,
) -> Complex:
    """Reduced density matrix of hidden qubits, as :meth:`Contraction.hidden_state`."""
    return contraction(model, **options).hidden_state(model, hidden, clamp=clamp)


def _key(mask: NDArray[np.bool_], n_paulis: int, options: dict[str, Any]) -> Key:
    return mask.tobytes(), mask.shape, n_paulis, tuple(sorted(options.items()))


def _remember(known: OrderedDict[Key, Value], key: Key, value: Value, most: int) -> Value:
    """Make the value the latest of ``known`` and drop the oldest ones beyond ``most``."""
    known[key] = value
    known.move_to_end(key)
    while len(known) > most:
        known.popitem(last=False)
    return value
