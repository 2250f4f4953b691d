"""Samples by parallel tempering, with a ladder that adapts itself before the first one is kept."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.sampling.chains.mixing import TRACE, Judgement, as_target, directions, judge, spread_states
from mc.sampling.path import reference_fields
from mc.sampling.tempering.ladder import Tempering
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.base.limits import check_memory
from tnqbm.base.progress import StepsDisplay
from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.core.shape import Shape
from tnqbm.core.states import as_states
from tnqbm.datasets import Target

Float = NDArray[np.float64]

FIRST_TEMPERATURES = 10
FIRST_SWEEPS = 64
MOST_SWEEPS = 1024
"""Sweeps between two changes of the ladder while it adapts: doubled each time up to here."""
TUNINGS = 8
MIN_TRIPS = 10
"""Journeys through the ladder, over all ladders, below which they say nothing (or one a ladder)."""


class TemperingWarning(UserWarning):
    """The ladder does not carry states from one end to the other."""


@short_repr
@dataclass(frozen=True)
class TemperedInfo:
    """How a tempered run went.

    ``betas`` (R,) inverse temperatures; ``swap_rates`` (R - 1,) mean acceptance of swaps of
    neighbours; ``acceptance`` (R,) of the sweeps; ``round_trips`` (ladders,) of states from
    beta = 1 to the other end and back, once the ladder was settled; ``sweeps`` of every chain in
    all, of which ``ladder_sweeps`` to adapt the ladder and ``burn_in`` after it; ``thin`` sweeps
    between two samples; ``ess_...`` and ``rhat_...`` of the energies, visible means and modes
    of the samples, as in :class:`mc.sampling.chains.mixing.Judgement`; ``mixed`` whether no warning
    was given.
    """

    kernel: str
    betas: Float
    swap_rates: Float
    acceptance: Float
    round_trips: NDArray[np.int64]
    sweeps: int
    ladder_sweeps: int
    burn_in: int
    thin: int
    ess_energy: float
    rhat_energy: float
    ess_visible: float
    rhat_visible: float
    ess_modes: float
    rhat_modes: float
    seconds: float
    mixed: bool
    warnings: list[str]

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


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


@checked(
    model=MODEL,
    n_samples=arguments.whole,
    n_ladders=arguments.whole,
    kernel=arguments.text,
    burn_in=arguments.whole,
    thin=arguments.whole,
    target_swap_rate=arguments.number,
    max_temperatures=arguments.whole,
    precision=arguments.text,
    reference=arguments.rows(Target),
    start=arguments.rows(),
    seed=arguments.seed,
    progress=arguments.flag,
)
def sample_tempered(
    model: SqRBM,
    n_samples: int,
    *,
    n_ladders: int = 10,
    betas: Literal["adaptive"] | ArrayLike = "adaptive",
    kernel: str = "auto",
    burn_in: int | None = None,
    thin: int | None = None,
    target_swap_rate: float = 0.5,
    max_temperatures: int = 64,
    precision: str = "double",
    reference: Target | ArrayLike | None = None,
    start: ArrayLike | None = None,
    seed: int | np.random.SeedSequence,
    progress: bool = False,
) -> tuple[NDArray[np.uint8], TemperedInfo]:
    """Visible states of a model by parallel tempering: (n_ladders, n_samples, n) uint8, and Info.

    n_samples : states kept per ladder (at beta = 1).
    betas : "adaptive" (:func:`tune_ladder`, before any sample is kept) or increasing numbers
        that end with 1.
    burn_in, thin : sweeps before the first sample (after the ladder is settled) and between two;
        by default 40 and 1 times the number of temperatures, some twenty and one half round trips.
    reference : data, a Target or rows (K, n), whose first moments the hot end has; default: it
        has the model's own fields.
    start : states (n_ladders, n) to begin from. By default the ladders start apart
        (:func:`mc.sampling.chains.mixing.spread_states`), at random states, where hidden units of
        opposite signs would send them, and at data, so that they agree only once they have
        forgotten it.

    The same seed gives the same samples. Warns (TemperingWarning) if states make few round trips,
    or the ladders disagree about the energy, a unit, or the share of a mode. ValueError on
    impossible arguments.
    """
    for name, value, least in (
        ("n_samples", n_samples, 1),
        ("burn_in", 0 if burn_in is None else burn_in, 0),
        ("thin", 1 if thin is None else thin, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    begun = time.perf_counter()
    n, m, p = model.n_visible, model.n_hidden, len(model.paulis)
    adaptive = isinstance(betas, str)
    if isinstance(betas, str) and betas != "adaptive":
        raise ValueError(f"betas: {betas!r} is not 'adaptive' or a list of numbers up to 1")
    if adaptive and max_temperatures < 2:
        raise ValueError(f"max_temperatures must be at least 2, got {max_temperatures}")
    most = max_temperatures if adaptive else int(np.size(betas))
    check_memory(
        2 * 8 * most * Shape(n, m, p).size + n_ladders * n * (n_samples + 4 * most),
        f"tempering with {most} temperatures",
        "take fewer temperatures (max_temperatures), ladders or samples",
    )
    theta = model.to_vector()[None]
    key = streams.key(seed)
    fields = None if reference is None else reference_fields(reference, n)
    data = None if reference is None else as_target(reference)
    apart = start is None
    if start is None:
        start = spread_states(model, n_ladders, data, key)
    tempering = Tempering(
        n,
        m,
        p,
        betas=np.linspace(0.0, 1.0, min(FIRST_TEMPERATURES, most)) if adaptive else betas,
        n_ladders=n_ladders,
        keys=np.array([key], dtype=np.uint64),
        kernel=kernel,
        precision=precision,
        reference=fields,
        start=as_states(start, n),
    )
    ladder_sweeps = 0
    if adaptive:
        ladder_sweeps = tune_ladder(
            tempering,
            theta,
            target_swap_rate=target_swap_rate,
            max_temperatures=max_temperatures,
        )
    temperatures = tempering.betas.shape[1]
    burn_in = 40 * temperatures if burn_in is None else burn_in
    thin = temperatures if thin is None else thin
    # As in mc.sample: the second half of the burn-in helps to judge few samples.
    early = min(max(0, TRACE - n_samples), burn_in // 2 // thin)
    states = np.empty((n_ladders, early + n_samples, n), dtype=np.uint8)
    with StepsDisplay("tempering", burn_in + thin * n_samples, shown=progress) as display:
        tempering.advance(theta, burn_in - early * thin)
        display.advance(burn_in - early * thin)
        for k in range(early + n_samples):
            tempering.advance(theta, thin)
            states[:, k] = tempering.states[0]
            display.advance(thin)
    samples = np.ascontiguousarray(states[:, early:])
    energies = -tempering.log_weights(theta, states.reshape(1, -1, n)).reshape(n_ladders, -1)
    along = directions(model, states, data)
    judged = judge(states, energies, kept=n_samples, along=along, apart=apart)
    complaints = _complaints(judged, tempering)
    for text in complaints:
        warnings.warn(text, TemperingWarning, stacklevel=3)
    return samples, TemperedInfo(
        kernel=tempering.kernel,
        betas=tempering.betas[0],
        swap_rates=tempering.swap_rates[0],
        acceptance=tempering.acceptance[0],
        round_trips=tempering.round_trips[0],
        sweeps=ladder_sweeps + burn_in + thin * n_samples,
        ladder_sweeps=ladder_sweeps,
        burn_in=burn_in,
        thin=thin,
        ess_energy=judged.ess_energy,
        rhat_energy=judged.rhat_energy,
        ess_visible=judged.ess_visible,
        rhat_visible=judged.rhat_visible,
        ess_modes=judged.ess_modes,
        rhat_modes=judged.rhat_modes,
        seconds=time.perf_counter() - begun,
        mixed=not complaints,
        warnings=complaints,
    )


def _complaints(judged: Judgement, tempering: Tempering) -> list[str]:
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
    if judged.troubles:
        complaints.append(
            f"the ladders disagree, or are too short to tell: {'; '.join(judged.troubles)}. Take a "
            "longer burn-in, more samples, or allow more temperatures"
        )
    return complaints
