"""The front door to sampling p(v): chains, their burn-in and spacing, and whether they mixed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mc.kernels import KERNELS, check_kernel, is_exact
from mc.sampling.amplitude.fit import (
    MAX_BOND,
    check_proposal,
    conditioned,
    fit_amplitude,
    log_weight_of,
    whole,
)
from mc.sampling.amplitude.moves import MOVE_WORK, IndependenceMoves, Proposal, perfect_states
from mc.sampling.chains.mixing import TRACE, as_target, directions, judge, scout_states, unseen_mode
from mc.sampling.chains.moving import (
    FREE,
    Chains,
    Clamp,
    Seed,
    Start,
    States,
    clamped_values,
    starting_states,
)
from mc.sampling.chains.pilot import CHAINS, Pilot, fastest, run_pilots
from mc.sampling.log_z.coverage import lacks
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.base.limits import check_memory
from tnqbm.base.progress import StepsDisplay
from tnqbm.base.text import short_repr
from tnqbm.core import streams
from tnqbm.core.model import MODEL, SqRBM
from tnqbm.datasets import Target

FALLBACK = "collapsed"
"""The kernel that is always exact, applies to every model and mixes best per sweep."""

TENSOR = "tensor"
"""A sweep of :data:`FALLBACK`, then a global move proposed by an amplitude matrix product state."""

SCOUTS = 8
"""Further chains, at most, that start where modes may be and are not kept: they help to judge."""

UNSEEN = 5.0
"""Samples that a mode must be worth for its absence to count."""

PRECISIONS = ("double", "single")


class MixingWarning(UserWarning):
    """The chains have not mixed, or were too short to tell; the samples may misrepresent p(v)."""


@short_repr
@dataclass(frozen=True)
class Info:
    """What :func:`sample` did and whether its chains mixed.

    ``kernel`` was used; ``exact``: it has p(v) as its stationary distribution. ``acceptance``,
    ``acceptance_min``: mean and least over chains of accepted proposals per sweep (Metropolis
    kernels; "tensor": its global moves) or of free bits that changed per sweep (Gibbs kernels).
    ``ess_energy``, ``ess_visible``: effective samples, of all that were kept, for the mean energy
    -log p~ and for the slowest visible mean; ``rhat_energy``, ``rhat_visible``: split R-hat of the
    energy and the largest of a free unit; ``ess_modes``, ``rhat_modes``: the same for the share of
    the slowest mode among those into which the states come apart
    (:mod:`mc.sampling.chains.mixing`); nan for what never changed or is undefined. ``sweeps`` per
    chain in all (pilots apart), of which ``burn_in`` came before the first kept sample interval and
    ``thin`` lie between two; ``seconds`` all in all. ``pilots``: figures of the pilot runs.
    ``mixed``: no sign of trouble; else ``warnings`` say what was seen.
    """

    kernel: str
    exact: bool
    acceptance: float
    acceptance_min: float
    ess_energy: float
    rhat_energy: float
    ess_visible: float
    rhat_visible: float
    ess_modes: float
    rhat_modes: float
    sweeps: int
    burn_in: int
    thin: int
    seconds: float
    pilots: tuple[Pilot, ...]
    mixed: bool
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """All fields in plain types, pilots as dictionaries."""
        pilots = [{**asdict(one), "ess_per_second": one.ess_per_second} for one in self.pilots]
        return {**asdict(self), "pilots": pilots}


@checked(
    model=MODEL,
    n_samples=arguments.whole,
    n_chains=arguments.whole,
    kernel=arguments.text,
    data=arguments.rows(Target),
    burn_in=arguments.whole,
    thin=arguments.whole,
    precision=arguments.text,
    inertia=arguments.number,
    max_bond=arguments.whole,
    seed=arguments.seed,
    progress=arguments.flag,
)
def sample(
    model: SqRBM,
    n_samples: int,
    *,
    n_chains: int = 100,
    kernel: str = "auto",
    init: Start = "random",
    data: Target | ArrayLike | None = None,
    burn_in: int | None = None,
    thin: int | None = None,
    clamp: Clamp | None = None,
    precision: str = "double",
    inertia: float = 0.0,
    max_bond: int = MAX_BOND,
    proposal: Proposal | None = None,
    seed: Seed,
    progress: bool = False,
) -> tuple[States, Info]:
    """Samples of p(v), or of p(free units | clamped units), from Markov chains.

    Parameters
    ----------
    n_samples : samples kept per chain.
    n_chains : independent chains.
    kernel : one of :data:`mc.kernels.KERNELS`; "tensor": a sweep of "collapsed", then a state
        proposed by an amplitude matrix product state, which takes chains from mode to mode (see
        :mod:`mc.sampling.amplitude.moves`); or "auto": pilot runs of all kernels of the first kind
        that are exact, and the one with the most effective samples per second (of the energy and of
        the slowest visible mean, whichever has fewer). That is a measurement of time: on another
        machine, or another day, it can come out differently. ``Info.kernel`` says what was
        chosen; given back as ``kernel`` it gives the same samples bit for bit. Near ties, and
        pilots too short for the autocorrelation times, give "collapsed".
    init : "random" (fair bits; with kernel "tensor", samples of the network, as chains would stay
        for ages in states that it hardly ever proposes), "data" (rows of ``data``, a Target or an
        array (N, n)), or an array (chains, n) of starting states.
    burn_in, thin : sweeps left out, and sweeps from one kept sample to the next. None takes 20
        and 1 autocorrelation times (the longer of the energy's and the slowest visible mean's)
        from a pilot run, which is a function of the seed.
    clamp : units held fixed, for completion and conditional generation: a mapping {unit: 0 or 1},
        units counted from 0, or an array (n,) with -1 for free units. Starting states are
        overwritten there.
    precision : "double" or "single" arithmetic in the kernels.
    inertia : of the thermal kernel.
    max_bond, proposal : of kernel "tensor": the largest bond dimension of the network, which is
        fitted for this call (:func:`mc.sampling.amplitude.fit.fit_amplitude`, with ``data`` if
        chains start from them), or the network itself, of the free units if others are clamped.
    seed : a whole number or a SeedSequence; chain c's samples depend on it, on c, and on the
        other arguments, not on ``n_chains``, threads or the machine's speed.
    progress : show it on standard error.

    Returns
    -------
    samples : (chains, n_samples, n) uint8
    info : :class:`Info`; if not ``info.mixed``, a :class:`MixingWarning` is issued too.

    Raises TypeError or ValueError naming the argument that is wrong, and MemoryError with a
    forecast if the samples would not fit, before any work.
    """
    began = time.perf_counter()
    n, paulis = model.n_visible, len(model.paulis)
    n_samples = whole("n_samples", n_samples, 1)
    n_chains = whole("n_chains", n_chains, 1)
    burn_in = None if burn_in is None else whole("burn_in", burn_in, 0)
    thin = None if thin is None else whole("thin", thin, 1)
    max_bond = whole("max_bond", max_bond, 1)
    if kernel not in ("auto", TENSOR):
        _check_kernel(kernel, paulis)
    if kernel != TENSOR and proposal is not None:
        raise ValueError(f"proposal is for kernel = {TENSOR!r}, not for {kernel!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    held = clamped_values(clamp, n)
    free = held == FREE
    _check_init(init, n_chains, n)
    if proposal is not None:
        check_proposal(proposal, int(free.sum()))
    check_memory(
        n_chains * n_samples * n + 48 * n_chains * (n_samples + TRACE),
        f"keeping {n_chains} chains x {n_samples} samples x {n} visible units",
        "keep fewer samples, or draw them in portions with different seeds",
    )

    def begin(chains: int, path: int) -> States:
        start = starting_states(init, chains, n, data=data, seed=streams.key(seed, path))
        if kernel == TENSOR and isinstance(init, str) and init == "random":
            assert network is not None
            start[:, free] = perfect_states(network, chains, streams.key(seed, path))
        return start

    missing: list[str] = []
    if kernel == TENSOR:
        part = conditioned(model, held)
        weigh = log_weight_of(part)
        network = proposal
        if network is None:
            network = fit_amplitude(
                model,
                max_bond=max_bond,
                data=data if isinstance(init, str) and init == "data" else None,
                clamp=held,
                seed=streams.key(seed, streams.Sample.NETWORK),
            )
        missing = lacks(part, network, key=streams.key(seed, streams.Sample.COVERAGE))

    def make(name: str, states: States, key: int) -> Chains:
        moves = None
        if name == TENSOR:
            assert network is not None
            units = None if free.all() else np.flatnonzero(free)
            moves = IndependenceMoves(
                network, weigh, streams.key(key, streams.Chains.MOVES), units=units
            )
        return Chains(
            model,
            FALLBACK if name == TENSOR else name,
            states,
            key,
            held=held,
            precision=precision,
            inertia=inertia,
            moves=moves,
        )

    pilots: tuple[Pilot, ...] = ()
    if kernel == "auto" or burn_in is None or thin is None:
        # A start of its own, so that the pilot is the same for every number of chains.
        pilot_start = begin(CHAINS, streams.Sample.PILOT_START)

        def make_pilot(name: str) -> Chains:
            return make(name, pilot_start, streams.key(seed, streams.Sample.PILOT, *name.encode()))

        names = _candidates(paulis) if kernel == "auto" else [kernel]
        size = n * model.n_hidden * paulis + (MOVE_WORK if kernel == TENSOR else 0)
        pilots = run_pilots(make_pilot, names, size=size, free=free)
    chosen = fastest(pilots, FALLBACK if kernel == "auto" else kernel) if pilots else None
    name = kernel if chosen is None else chosen.kernel
    burn_in = chosen.burn_in if burn_in is None and chosen else burn_in or 0
    thin = chosen.thin if thin is None and chosen else thin or 1

    start = begin(n_chains, streams.Sample.START)
    chains = make(name, start, streams.key(seed, streams.Sample.CHAINS))
    apart = bool((chains.states != chains.states[0]).any())
    with StepsDisplay("sampling", burn_in + thin * n_samples, shown=progress) as display:
        trace = _run(chains, n_samples, burn_in, thin, display.advance)
    states = np.concatenate([trace.early, trace.samples], axis=1)
    units = np.flatnonzero(free)
    target = None if data is None else as_target(data)
    along = directions(model, states, target, units)
    judged = judge(
        states,
        trace.energies,
        kept=n_samples,
        along=along,
        units=units,
        apart=apart,
        known=missing,
    )
    troubles: list[str] = list(judged.troubles)
    notes: list[str] = []
    if chosen is not None and not chosen.settled:
        notes.append(
            f"the pilot run ({chosen.sweeps} sweeps) was too short for the autocorrelation time, "
            f"about {chosen.time:.0f} sweeps or more; burn_in = {burn_in} and thin = {thin} may be "
            "too small"
        )
    exact = name == TENSOR or is_exact(name, paulis)
    if not exact:
        notes.append(f"the kernel {name!r} only approximates p(v) for {paulis} Paulis")
    if not troubles:
        # Chains that all fell into one mode agree: only others that started elsewhere can tell.
        key = streams.key(seed, streams.Sample.SCOUTS)
        count = min(SCOUTS, max(2, n_chains // 2))
        others = make(name, scout_states(model, count, target, key), key)
        seen = _run(others, min(n_samples, TRACE), burn_in, thin, lambda _: None)
        elsewhere = np.concatenate([seen.early, seen.samples], axis=1)
        draws = min(states.shape[1], elsewhere.shape[1])
        share = unseen_mode(
            states[:, -draws:],
            trace.energies[:, -draws:],
            elsewhere[:, -draws:],
            seen.energies[:, -draws:],
            along,
        )
        if share > UNSEEN / (n_chains * n_samples):
            troubles.append(
                "chains that started elsewhere stay in a mode that these have not seen, with a "
                f"share of perhaps {share:.1g}"
            )
    mixed = not troubles
    if not mixed:
        warnings.warn(MixingWarning(_advice(tuple(troubles), name)), stacklevel=3)
    info = Info(
        kernel=name,
        exact=exact,
        acceptance=float(trace.acceptance.mean()),
        acceptance_min=float(trace.acceptance.min()),
        ess_energy=judged.ess_energy,
        rhat_energy=judged.rhat_energy,
        ess_visible=judged.ess_visible,
        rhat_visible=judged.rhat_visible,
        ess_modes=judged.ess_modes,
        rhat_modes=judged.rhat_modes,
        sweeps=chains.sweeps,
        burn_in=burn_in,
        thin=thin,
        seconds=time.perf_counter() - began,
        pilots=pilots,
        mixed=mixed,
        warnings=(*troubles, *notes),
    )
    return trace.samples, info


@dataclass(frozen=True)
class _Trace:
    """Kept samples (chains, samples, n), states before them (chains, early, n), the energies of
    both (chains, early + samples), and acceptance (chains,)."""

    samples: States
    early: States
    energies: NDArray[np.float64]
    acceptance: NDArray[np.float64]


def _run(
    chains: Chains, n_samples: int, burn_in: int, thin: int, report: Callable[[int], None]
) -> _Trace:
    count, n = chains.states.shape
    # Few samples per chain say little about mixing. Stationary chains were so in the second half
    # of the burn-in as well.
    early = min(max(0, TRACE - n_samples), burn_in // 2 // thin)
    before = np.empty((count, early, n), dtype=np.uint8)
    samples = np.empty((count, n_samples, n), dtype=np.uint8)
    energies = np.empty((count, early + n_samples))
    acceptance = np.zeros(count)
    left = burn_in - early * thin
    piece = max(1, left // 200)
    while left > 0:
        steps = min(piece, left)
        chains.advance(steps)
        report(steps)
        left -= steps
    for k in range(early + n_samples):
        accepted = chains.advance(thin)
        report(thin)
        if k < early:
            before[:, k] = chains.states
        else:
            samples[:, k - early] = chains.states
            acceptance += accepted / n_samples
        energies[:, k] = chains.energies()
    return _Trace(samples, before, energies, acceptance)


def _advice(troubles: tuple[str, ...], kernel: str) -> str:
    other = "" if kernel == FALLBACK else f" or kernel = {FALLBACK!r}"
    return (
        f"the chains may not have mixed: {'; '.join(troubles)}. Try a longer burn_in and more "
        f"samples per chain{other}; if chains stay in different modes, use more chains started "
        "from the data (init = 'data'), or parallel tempering (mc.sample_tempered)"
    )


def _candidates(n_paulis: int) -> list[str]:
    """The kernels that are exact for so many Paulis."""
    return [*(["block"] if n_paulis == 1 else []), "bloch", "thermal", "collapsed", "measured"]


def _check_init(init: Start, n_chains: int, n: int) -> None:
    if isinstance(init, str):
        return
    shape = np.shape(init)
    if shape != (n_chains, n):
        raise ValueError(
            f"init must be 'random', 'data' or an array (n_chains, n) = ({n_chains}, {n}) of 0 "
            f"and 1, got an array of shape {shape}"
        )


def _check_kernel(name: str, n_paulis: int) -> None:
    if name not in KERNELS:
        known = ", ".join(("auto", *KERNELS, TENSOR))
        raise ValueError(f"kernel: {name!r} is not one of {known}")
    check_kernel(name, n_paulis)
