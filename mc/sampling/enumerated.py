"""Independent samples of a model of any family from the probabilities of all its states."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from mc.sampling.chains.moving import FREE, Seed
from mc.sampling.info import EnumerationInfo
from tnqbm import exact
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.states import states_of
from tnqbm.hamiltonian.kinds import Model


def probabilities(model: Model) -> NDArray[np.float64]:
    """p(v) of all visible states, (2**n,); ValueError or MemoryError where they are too many."""
    if isinstance(model, SqRBM):
        return exact.probabilities(model)
    return model.probabilities()


def sample_enumerated(
    model: Model, samples: int, *, held: NDArray[np.int8], seed: Seed
) -> tuple[NDArray[np.uint8], EnumerationInfo, list[Warning]]:
    """Samples (K, n) of p(v), given the units that are not ``FREE`` in ``held`` (n,).

    ValueError or MemoryError where 2**n states are too many, ValueError where the model gives what
    is clamped no probability.
    """
    begun = time.perf_counter()
    p = probabilities(model)
    if (held != FREE).any():
        free = p.reshape((2,) * model.n_visible)
        own = np.zeros_like(free)
        place = tuple(slice(None) if bit == FREE else int(bit) for bit in held)
        own[place] = free[place]
        p = own.ravel()
        if not p.sum() > 0:
            raise ValueError(
                "clamp: the model gives these units no probability in double precision"
            )
    rising = np.cumsum(p)
    drawn = streams.generator(seed).random(samples) * rising[-1]
    # The product may round to the last of the sums, which is no state's.
    index = np.minimum(np.searchsorted(rising, drawn, side="right"), np.flatnonzero(p)[-1])
    states = states_of(index, model.n_visible)
    info = EnumerationInfo(seconds=time.perf_counter() - begun, warnings=(), states=p.size)
    return states, info, []
