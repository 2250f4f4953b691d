"""Samples by parallel tempering, with a ladder that adapts itself before the first one is kept."""

from __future__ import annotations

import math
import time

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.chains.mixing import TRACE, Mixing, diagnose, directions
from mc.sampling.chains.moving import as_target, spread_states
from mc.sampling.group_path import form_of
from mc.sampling.info import MixingWarning, TemperedInfo
from mc.sampling.path import reference_fields
from mc.sampling.policies import Tempered
from mc.sampling.tempering.ladder import Tempering
from tnqbm.base.limits import check_memory
from tnqbm.base.progress import StepsDisplay
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.core.states import as_states
from tnqbm.datasets import Target
from tnqbm.hamiltonian.grouped import SqBM

Float = NDArray[np.float64]

FIRST_TEMPERATURES = 10
FIRST_SWEEPS = 64
MOST_SWEEPS = 1024
"""Sweeps between two changes of the ladder while it adapts: doubled each time up to here."""
TUNINGS = 8
MIN_TRIPS = 10
"""Journeys through the ladder, over all ladders, below which they say nothing (or one a ladder)."""


def tune_ladder(
    tempering: Tempering,
    theta: Float,
    *,
    target_swap_rate: float = 0.5,
    max_temperatures: int = 64,
) -> int:
    """Choose number and places of the temperatures of ``tempering``; the sweeps it took.

    A pilot run of annealing lays out a first ladder. Then swap rates are measured and made equal,
    again and again with longer runs, and so many temperatures taken that each pair swaps with
    probability ``target_swap_rate`` (about one half carries states through the ladder fastest for
    a given amount of work, Syed et al. 2022, section 4). All models of a batch get the number
    that the hardest one needs.
    """
    if not 0.0 < target_swap_rate < 1.0:
        raise ValueError(f"target_swap_rate must be between 0 and 1, got {target_swap_rate!r}")
    if max_temperatures < 2:
        raise ValueError(f"max_temperatures must be at least 2, got {max_temperatures}")
    from scipy.special import erfcinv

    step = float(erfcinv(target_swap_rate))
    tempering.lay_out(theta, min(FIRST_TEMPERATURES, max_temperatures))
    spent, sweeps = 0, FIRST_SWEEPS
    for _ in range(TUNINGS):
        tempering.advance(theta, sweeps)
        spent += sweeps
        count = tempering.betas.shape[1]
        wanted = 1 + math.ceil(float(tempering.lengths.sum(axis=1).max()) / step)
        wanted = min(max(wanted, 2), max_temperatures)
        # All pairs already swap about as often as they should: the numbers only jitter now.
        lowest = float(tempering.swap_rates.min())
        settled = abs(wanted - count) <= max(1, count // 10) and lowest > 0.6 * target_swap_rate
        tempering.retune(max(wanted, count) if settled else wanted)
        if settled and sweeps > FIRST_SWEEPS:
            break
        sweeps = min(2 * sweeps, MOST_SWEEPS)
    return spent


def sample_tempered(
    model: SqRBM | SqBM,
    samples: int,
    policy: Tempered,
    *,
    data: Target | ArrayLike | None,
    seed: int | np.random.SeedSequence,
    progress: bool,
) -> tuple[NDArray[np.uint8], TemperedInfo, list[Warning]]:
    """Samples (chains, samples, n) of :func:`mc.sample`, what is known of them, and warnings."""
    begun = time.perf_counter()
    n = model.n_visible
    form = form_of(model)
    adaptive = isinstance(policy.temperatures, str)
    betas = _first_betas(policy)
    most = policy.max_temperatures if adaptive else int(np.size(betas))
    check_memory(
        2 * 8 * most * form.size + policy.chains * n * (samples + 4 * most),
        f"tempering with {most} temperatures",
        "take fewer temperatures (max_temperatures), chains or samples",
    )
    theta = model.to_vector()[None]
    key = streams.key(seed)
    fields = None if data is None else reference_fields(data, n)
    target = None if data is None else as_target(data)
    spread = isinstance(policy.init, str)
    init = spread_states(model, policy.chains, target, key) if spread else policy.init
    tempering = Tempering(
        form,
        betas=betas,
        chains=policy.chains,
        keys=np.array([key], dtype=np.uint64),
        kernel=policy.kernel,
        precision=policy.precision,
        reference=fields,
        init=as_states(init, n),
    )
    ladder_sweeps = 0
    if adaptive:
        ladder_sweeps = tune_ladder(
            tempering,
            theta,
            target_swap_rate=policy.target_swap_rate,
            max_temperatures=policy.max_temperatures,
        )
    temperatures = tempering.betas.shape[1]
    burn_in = 40 * temperatures if policy.burn_in is None else policy.burn_in
    thin = temperatures if policy.thin is None else policy.thin
    # As for plain chains: the second half of the burn-in helps to judge few samples.
    early = min(max(0, TRACE - samples), burn_in // 2 // thin)
    states = np.empty((policy.chains, early + samples, n), dtype=np.uint8)
    with StepsDisplay("tempering", burn_in + thin * samples, shown=progress) as display:
        tempering.advance(theta, burn_in - early * thin)
        display.advance(burn_in - early * thin)
        for k in range(early + samples):
            tempering.advance(theta, thin)
            states[:, k] = tempering.states[0]
            display.advance(thin)
    energies = -tempering.log_weights(theta, states.reshape(1, -1, n)).reshape(policy.chains, -1)
    along = directions(model, states, target)
    mixing = diagnose(states, energies, kept=samples, along=along, apart=spread)
    complaints = _complaints(mixing, tempering)
    info = TemperedInfo(
        kernel=tempering.kernel,
        betas=tempering.betas[0],
        swap_rates=tempering.swap_rates[0],
        acceptance=tempering.acceptance[0],
        round_trips=tempering.round_trips[0],
        sweeps=ladder_sweeps + burn_in + thin * samples,
        ladder_sweeps=ladder_sweeps,
        burn_in=burn_in,
        thin=thin,
        mixing=mixing,
        seconds=time.perf_counter() - begun,
        mixed=not complaints,
        warnings=tuple(complaints),
    )
    kept = np.ascontiguousarray(states[:, early:])
    return kept, info, [MixingWarning(text) for text in complaints]


def _first_betas(policy: Tempered) -> ArrayLike:
    """The inverse temperatures that are asked for, or some to begin with."""
    if isinstance(policy.temperatures, str):
        return np.linspace(0.0, 1.0, min(FIRST_TEMPERATURES, policy.max_temperatures))
    if np.ndim(policy.temperatures) == 0:
        count = int(policy.temperatures)  # type: ignore[arg-type]
        return np.linspace(0.0, 1.0, count) if count > 1 else [1.0]
    return policy.temperatures


def _complaints(mixing: Mixing, tempering: Tempering) -> list[str]:
    """What is wrong with the run."""
    complaints = []
    temperatures = tempering.betas.shape[1]
    trips, ladders = int(tempering.round_trips.sum()), tempering.round_trips.size
    if temperatures > 1 and trips < min(ladders, MIN_TRIPS):
        worst = int(np.argmin(tempering.swap_rates[0]))
        low, high = tempering.betas[0, worst : worst + 2]
        journeys = "no state" if trips == 0 else f"only {trips} states"
        complaints.append(
            f"{journeys} went through the ladder of {temperatures} temperatures and back; the "
            f"rarest swap, between beta = {low:.3g} and {high:.3g}, is accepted with probability "
            f"{tempering.swap_rates[0, worst]:.2g}: take more samples, or allow more temperatures"
        )
    if mixing.troubles:
        complaints.append(
            f"the ladders disagree, or are too short to tell: {'; '.join(mixing.troubles)}. Take a "
            "longer burn-in, more samples, or allow more temperatures"
        )
    return complaints
