"""Quantum-enhanced Markov chains of the visible units (Layden et al., Nature 619, 282 (2023)).

A move prepares the chain's state, evolves it for a random time under an Ising model of -log p~ plus
a transverse field, measures it, and accepts the outcome v' with probability min(1, p~(v')/p~(v)),
where p~ is the closed form. See :mod:`tnqbm.quantum.proposal` for the circuit.

The chain is exact, Trotter error and a poor Ising model included, if proposing v' from v is as
probable as v from v'. The ideal circuit has this symmetry. Of a device's noise, depolarising noise
of the whole register keeps it. Errors of single gates break it a little; readout errors too, for
they act after the evolution and not before it; relaxation towards 0 breaks it grossly. What breaks
it biases the chain, and the acceptance step does not know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.text import short_repr
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states, index_of, states_of
from tnqbm.quantum.devices import Device
from tnqbm.quantum.proposal import MAX_VISIBLE, proposal_circuit, proposal_matrix
from tnqbm.quantum.surrogate import expand_surrogate

States = NDArray[np.uint8]

TIME = (2.0, 20.0)
GAMMA = (0.25, 0.6)
"""Ranges of the evolution time and of the share of the transverse field in the paper."""


@short_repr
@dataclass(frozen=True)
class Moved:
    """What one move of all chains did.

    ``states`` (chains, n); ``taken``, how many of the proposals were accepted; ``depth`` and
    ``two_qubit_gates`` of the circuit as it was run.
    """

    states: States
    taken: int
    depth: int
    two_qubit_gates: int

    @property
    def accepted(self) -> float:
        """Share of the proposals that were accepted."""
        return self.taken / len(self.states)


@dataclass(frozen=True)
class EnhancedChain:
    """Moves of many chains at once, one shot for each chain and move.

    Attributes
    ----------
    device : where proposals are measured. On an ideal device up to 10 units they are drawn from
        the exact distribution of outcomes instead, which is the same in law.
    time, gamma : ranges from which the time and the share of the transverse field are drawn, anew
        for every move and alike for all chains: the paper's.
    step : largest Trotter step; the paper's.

    Raises ValueError on ranges that are impossible.
    """

    device: Device
    time: tuple[float, float] = TIME
    gamma: tuple[float, float] = GAMMA
    step: float = 0.8

    def __post_init__(self) -> None:
        if not (0.0 <= self.time[0] <= self.time[1] < math.inf):
            raise ValueError(f"time must be a range of finite numbers >= 0, got {self.time}")
        if not (0.0 <= self.gamma[0] <= self.gamma[1] <= 1.0):
            raise ValueError(f"gamma must be a range within [0, 1], got {self.gamma}")
        if not self.step > 0:
            raise ValueError(f"step must be above 0, got {self.step!r}")

    def move(self, model: SqRBM, states: States, *, seed: np.random.SeedSequence) -> Moved:
        """One move of every chain, (chains, n), as a function of the arguments."""
        v = as_states(states, model.n_visible)
        if v.ndim != 2 or not len(v):
            raise ValueError(f"states must be (chains, {model.n_visible}), got {v.shape}")
        rng = np.random.default_rng(seed)
        time, gamma = rng.uniform(*self.time), rng.uniform(*self.gamma)
        steps = max(1, math.ceil(time / self.step))
        surrogate = expand_surrogate(model)
        circuit = proposal_circuit(None, surrogate, time=time, gamma=gamma, steps=steps)
        if self.device.ideal and model.n_visible <= MAX_VISIBLE:
            matrix = proposal_matrix(surrogate, time=time, gamma=gamma, steps=steps)
            proposed = _drawn(matrix, v, rng)
        else:
            circuit = self.device.transpiled(circuit)
            distinct, place, counts = np.unique(v, axis=0, return_inverse=True, return_counts=True)
            proposed = np.empty_like(v)
            proposed[np.argsort(place.ravel(), kind="stable")] = self.device.measure_rows(
                [(circuit, np.pi * distinct.astype(np.float64))],
                counts,
                "visible",
                seed=int(rng.integers(1 << 63)),
            )[0]
        log_ratio = model.log_weight(proposed) - model.log_weight(v)
        take = np.log1p(-rng.random(len(v))) < log_ratio
        return Moved(
            np.where(take[:, None], proposed, v),
            int(take.sum()),
            int(circuit.depth()),
            int(circuit.num_nonlocal_gates()),
        )


def _drawn(matrix: NDArray[np.float64], v: States, rng: np.random.Generator) -> States:
    """An outcome for each state, from the columns of a symmetric matrix of probabilities."""
    cumulated = np.cumsum(matrix, axis=1)
    cumulated /= cumulated[:, -1:]
    uniform = rng.random(len(v))
    found = (cumulated[index_of(v)] <= uniform[:, None]).sum(axis=1)
    return states_of(found.astype(np.int64), v.shape[1])
