"""Samples by trajectory tempering, on a ladder of snapshots of a training."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.chains.mixing import TRACE, Mixing, diagnose, directions
from mc.sampling.chains.moving import as_target, spread_states
from mc.sampling.info import MixingWarning, SnapshotsInfo
from mc.sampling.path import reference_fields
from mc.sampling.policies import Snapshots
from mc.sampling.tempering.ladders import Ladders
from mc.sampling.tempering.rungs import Rungs, choose_rungs, snapshot_path
from mc.sampling.tempering.sample import MIN_TRIPS
from tnqbm.base.limits import check_memory
from tnqbm.base.progress import StepsDisplay
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.core.states import as_states
from tnqbm.datasets import Target

Float = NDArray[np.float64]
States = NDArray[np.uint8]
Seed = int | np.random.SeedSequence

BURN_IN = 40
"""Sweeps of the burn-in per rung, as for tempering."""


class Ladder(NamedTuple):
    """Chains on a ladder after their burn-in: ``rungs``, ``ladders`` of chains, ``burn_in``."""

    rungs: Rungs
    ladders: Ladders
    burn_in: int

    @property
    def theta(self) -> Float:
        """Parameters of the rungs of the only model, (1, R, size)."""
        return self.rungs.theta[None]

    def advance(self, sweeps: int) -> None:
        """So many rounds of sweeps and swaps."""
        self.ladders.advance_rungs(self.theta, sweeps)


def checked_models(model: SqRBM, policy: Snapshots) -> Float:
    """Parameters (K, size) of the policy's models and, last, the model that is sampled.

    ValueError if one has another shape.
    """
    rows = []
    for k, other in enumerate((*policy.models, model)):
        if (other.shape, other.paulis) != (model.shape, model.paulis):
            raise ValueError(
                f"models[{k}] has {other.n_visible} visible and {other.n_hidden} hidden units and "
                f"Paulis {other.paulis}, but the model has {model.n_visible}, {model.n_hidden} and "
                f"{model.paulis}: all must be of one training"
            )
        rows.append(other.to_vector())
    last = len(rows) - 1
    if last and np.array_equal(rows[last - 1], rows[last]):
        del rows[last]
    return np.stack(rows)


def make_ladder(
    model: SqRBM, policy: Snapshots, *, data: Target | ArrayLike | None, seed: Seed
) -> Ladder:
    """The ladder of a policy, with chains at their starts; nothing is swept yet."""
    models = checked_models(model, policy)
    n, shape = model.n_visible, Shape(*model.shape)
    check_memory(
        16 * (len(models) + policy.max_rungs) * shape.size
        + 4 * policy.max_rungs * policy.chains * n,
        f"a ladder of up to {policy.max_rungs} models",
        "take fewer rungs (max_rungs) or chains",
    )
    fields = None if data is None else reference_fields(data, n)
    key = streams.key(seed)
    rungs = choose_rungs(
        snapshot_path(models, shape, fields),
        shape,
        key=streams.key(key, streams.Snapshots.PILOT),
        target_swap_rate=policy.target_swap_rate,
        max_rungs=policy.max_rungs,
        kernel=policy.kernel,
    )
    target = None if data is None else as_target(data)
    spread = isinstance(policy.init, str)
    init = spread_states(model, policy.chains, target, key) if spread else policy.init
    count = len(rungs.theta)
    ladders = Ladders(
        shape,
        rungs=count,
        chains=policy.chains,
        keys=np.array([key], dtype=np.uint64),
        kernel=policy.kernel,
        precision=policy.precision,
        init=as_states(init, n),
    )
    return Ladder(rungs, ladders, BURN_IN * count if policy.burn_in is None else policy.burn_in)


def sample_snapshots(
    model: SqRBM,
    samples: int,
    policy: Snapshots,
    *,
    data: Target | ArrayLike | None,
    seed: Seed,
    progress: bool,
) -> tuple[States, SnapshotsInfo, list[Warning]]:
    """Samples (chains, samples, n) of :func:`mc.sample`, what is known of them, and warnings."""
    begun = time.perf_counter()
    n = model.n_visible
    check_memory(policy.chains * n * samples, f"{samples} samples", "take fewer chains or samples")
    ladder = make_ladder(model, policy, data=data, seed=seed)
    thin = len(ladder.rungs.theta) if policy.thin is None else policy.thin
    # As for plain chains: the second half of the burn-in helps to judge few samples.
    early = min(max(0, TRACE - samples), ladder.burn_in // 2 // thin)
    states = np.empty((policy.chains, early + samples, n), dtype=np.uint8)
    total = ladder.burn_in + thin * samples
    with StepsDisplay("tempering", total, shown=progress) as display:
        ladder.advance(ladder.burn_in - early * thin)
        display.advance(ladder.burn_in - early * thin)
        for k in range(early + samples):
            ladder.advance(thin)
            states[:, k] = ladder.ladders.states[0]
            display.advance(thin)
    mixing = judge_chains(
        model, ladder, states, kept=samples, data=data, apart=isinstance(policy.init, str)
    )
    complaints = complaints_of(mixing, ladder)
    ladders = ladder.ladders
    info = SnapshotsInfo(
        kernel=ladders.kernel,
        places=ladder.rungs.places,
        swap_rates=ladders.swap_rates[0],
        acceptance=ladders.acceptance[0],
        round_trips=ladders.round_trips[0],
        sweeps=total,
        burn_in=ladder.burn_in,
        thin=thin,
        mixing=mixing,
        seconds=time.perf_counter() - begun,
        mixed=not complaints,
        warnings=tuple(complaints),
    )
    kept = np.ascontiguousarray(states[:, early:])
    return kept, info, [MixingWarning(text) for text in complaints]


def judge_chains(
    model: SqRBM,
    ladder: Ladder,
    states: States,
    *,
    kept: int,
    data: Target | ArrayLike | None,
    apart: bool,
) -> Mixing:
    """Whether states (chains, draws, n) of the last rung, of which ``kept`` count, have mixed."""
    chains, draws, n = states.shape
    weights = ladder.ladders.log_weights(ladder.theta[:, -1], states.reshape(1, -1, n))
    target = None if data is None else as_target(data)
    along = directions(model, states, target)
    energies = -weights.reshape(chains, draws)
    return diagnose(states, energies, kept=kept, along=along, apart=apart)


def complaints_of(mixing: Mixing, ladder: Ladder) -> list[str]:
    """What is wrong with the run."""
    complaints = []
    ladders = ladder.ladders
    rungs = len(ladder.rungs.theta)
    trips, count = int(ladders.round_trips.sum()), ladders.round_trips.size
    if trips < min(count, MIN_TRIPS):
        worst = int(np.argmin(ladders.swap_rates[0]))
        low, high = ladder.rungs.places[worst : worst + 2]
        journeys = "no state" if trips == 0 else f"only {trips} states"
        complaints.append(
            f"{journeys} went through the ladder of {rungs} rungs and back; the rarest swap, "
            f"between the places {low:.3g} and {high:.3g} of the training, is accepted with "
            f"probability {ladders.swap_rates[0, worst]:.2g}: take more samples, or allow more "
            "rungs (max_rungs)"
        )
    if mixing.troubles:
        complaints.append(
            f"the ladders disagree, or are too short to tell: {'; '.join(mixing.troubles)}. Take a "
            "longer burn-in, more samples, or give more snapshots"
        )
    return complaints
