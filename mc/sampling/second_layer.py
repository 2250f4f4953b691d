"""Deep sqRBMs as sqRBMs over bits of both kinds, for what samples and weighs those."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.chains.moving import FREE, Seed, as_target
from mc.sampling.policies import Chains, Sampling, Snapshots, Tempered
from tnqbm.core import streams
from tnqbm.core.states import as_states
from tnqbm.datasets import Target
from tnqbm.hamiltonian.deep import DeepSqRBM
from tnqbm.hamiltonian.deep_states import MAX_SUMMED, DeepStates

States = NDArray[np.uint8]


def completed(model: DeepSqRBM, states: States, seed: Seed) -> States:
    """States (K, n) with the second layer's bits drawn from p(u|v), (K, n + n_deep); with fair
    bits if it is too large for sums."""
    rng = streams.generator((streams.key(seed), streams.Second.LAYER))
    if model.n_deep > MAX_SUMMED:
        bits = rng.integers(0, 2, (len(states), model.n_deep), dtype=np.uint8)
        return np.concatenate([states, bits], axis=1)
    found = DeepStates(model.layout)
    uniform = rng.random((1, len(states)))
    return np.asarray(found.completed(model.to_vector()[None], states[None], uniform)[0])


def completed_data(model: DeepSqRBM, data: Target | ArrayLike | None, seed: Seed) -> Target | None:
    """Data with the second layer's bits; ValueError if they are of another width."""
    if data is None:
        return None
    target = as_target(data)
    states = as_states(target.states, model.n_visible)
    return Target(completed(model, states, seed), target.probabilities)


def completed_clamp(model: DeepSqRBM, held: NDArray[np.int8]) -> NDArray[np.int8]:
    """What bits of both kinds are held at: those of the second layer are free."""
    return np.concatenate([held, np.full(model.n_deep, FREE, np.int8)])


def completed_policy(model: DeepSqRBM, policy: Sampling, seed: Seed) -> Sampling:
    """A way to sample with starting states of both kinds of bits.

    ValueError for ladders of snapshots and given networks, which are those of sqRBMs.
    """
    if isinstance(policy, Snapshots) or getattr(policy, "proposal", None) is not None:
        raise ValueError(
            "method: a DeepSqRBM has no ladder of snapshots, and no network of its own; sample "
            "model.joint, which has both kinds of bits, in these ways"
        )
    if not isinstance(policy, Chains | Tempered) or isinstance(policy.init, str):
        return policy
    states = as_states(policy.init, model.n_visible)
    if states.ndim != 2:
        raise ValueError(f"init must be 'random', 'data' or states (chains, n), got {states.shape}")
    return replace(policy, init=completed(model, states, seed))
