"""Contraction of one model at a time, with plans kept for the next that has the same couplings.

A plan depends on the mask, the number of Paulis and the limits, not on parameters; making one
takes up to seconds, running it often milliseconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tnqbm.core.model import SqRBM, coupling_mask
from tnqbm.core.moments import Moments
from tnqbm.networks.contraction.contraction import Complex, Contraction, Float

Key = tuple[object, ...]

MOST_KEPT = 16

_KEPT: OrderedDict[Key, Contraction] = OrderedDict()


def contraction(model: SqRBM, **options: Any) -> Contraction:
    """The contraction for the couplings of ``model``; ``options`` are those of Contraction.

    Raises what :class:`Contraction` does.
    """
    key = _key(coupling_mask(model), len(model.paulis), options)
    return _KEPT[key] if _known(key) else _keep(key, Contraction.of(model, **options))


def for_mask(mask: NDArray[np.bool_], n_paulis: int, **options: Any) -> Contraction:
    """The contraction for a mask (n, m), whatever the models will be."""
    key = _key(mask, n_paulis, options)
    return _KEPT[key] if _known(key) else _keep(key, Contraction(mask, n_paulis, **options))


def planned(model: SqRBM, **options: Any) -> bool:
    """Whether :func:`contraction` would return at once."""
    return _key(coupling_mask(model), len(model.paulis), options) in _KEPT


def log_partition(model: SqRBM, *, clamp: Mapping[int, int] | None = None, **options: Any) -> float:
    """log Z by contraction; ``options`` are those of :class:`Contraction`, whose plan is kept."""
    return contraction(model, **options).log_partition(model, clamp=clamp)


def moments(
    model: SqRBM, *, pairs: Literal["coupled", "all"] = "coupled", **options: Any
) -> tuple[float, Moments]:
    """log Z and moments by contraction, as :meth:`Contraction.moments`."""
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


def _known(key: Key) -> bool:
    if key in _KEPT:
        _KEPT.move_to_end(key)
    return key in _KEPT


def _keep(key: Key, made: Contraction) -> Contraction:
    _KEPT[key] = made
    while len(_KEPT) > MOST_KEPT:
        _KEPT.popitem(last=False)
    return made
