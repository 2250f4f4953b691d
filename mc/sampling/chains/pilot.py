"""Pilot runs: how long a kernel's chains remember, and which kernel is the fastest here.

A pilot is a function of the model, the kernel, the start and the seed, apart from the seconds in
it. It doubles the length of what it records until that is long against the autocorrelation time;
what came before serves as burn-in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mc.sampling.chains.diagnostics import autocorrelation_time
from mc.sampling.chains.moving import MovingChains, States

CHAINS = 32
"""Chains of a pilot, whatever the number of chains of the run it is for."""

FIRST_SWEEPS = 64
MAX_RECORDS = 512
LONG_ENOUGH = 30
"""A pilot has settled when its record is so many autocorrelation times long."""

MIN_SWEEPS, MAX_SWEEPS = 512, 8192
WORK = 5e9
"""Limit of chains x units x hidden units x Paulis x sweeps, between the two numbers above."""

BURN_IN_TIMES = 20
MAX_BURN_IN, MAX_THIN = 20_000, 100
"""Limits of what an unsettled pilot may ask for."""

TIE = 0.8
TIMINGS, TIMED_SWEEPS = 7, 16
_SLOWEST = 8


@dataclass(frozen=True)
class Pilot:
    """What a pilot run of one kernel found.

    ``sweeps`` in all, of which the last ``recorded`` were looked at; ``time_energy`` and
    ``time_visible`` are the integrated autocorrelation times, in sweeps, of the energy and of the
    slowest visible mean (nan for one that is constant), not resolved below a 512th of the
    record. ``settled``: the record is at least 30 of them long. ``seconds_per_sweep`` of all 32
    chains, and ``ess_per_second``, the effective samples of the slower of the two in a second
    (nan if both are constant), are of this machine and moment.
    """

    kernel: str
    sweeps: int
    recorded: int
    time_energy: float
    time_visible: float
    acceptance: float
    settled: bool
    seconds_per_sweep: float = math.nan

    @property
    def time(self) -> float:
        """The longer of the two autocorrelation times in sweeps; 1 if nothing ever changed."""
        known = [t for t in (self.time_energy, self.time_visible) if not math.isnan(t)]
        return max(known, default=1.0)

    @property
    def ess_per_second(self) -> float:
        """Effective samples per second of the pilot's chains."""
        if math.isnan(self.time_energy) and math.isnan(self.time_visible):
            return math.nan
        return CHAINS / (self.time * self.seconds_per_sweep)

    def as_dict(self) -> dict[str, Any]:
        """All fields and the effective samples per second by name."""
        return {**asdict(self), "ess_per_second": self.ess_per_second}

    @property
    def burn_in(self) -> int:
        """Sweeps to leave out: 20 autocorrelation times, and at least what the pilot left out."""
        found = max(self.sweeps - self.recorded, math.ceil(BURN_IN_TIMES * self.time))
        return found if self.settled else min(MAX_BURN_IN, max(2 * self.recorded, found))

    @property
    def thin(self) -> int:
        """Sweeps from one kept sample to the next: one autocorrelation time."""
        thin = max(1, round(self.time))
        return thin if self.settled else min(MAX_THIN, thin)


def run_pilots(
    make: Callable[[str], MovingChains],
    kernels: Sequence[str],
    *,
    size: int,
    free: NDArray[np.bool_],
) -> tuple[Pilot, ...]:
    """Run ``make(kernel)``'s chains, for every kernel, until their autocorrelation time is known.

    ``size`` = n m P sets how many sweeps are affordable; ``free`` (n,) are the units to look at.
    """
    limit = min(MAX_SWEEPS, max(MIN_SWEEPS, int(WORK / (max(1, size) * CHAINS))))
    pilots, chains = [], []
    for kernel in kernels:
        chains.append(make(kernel))
        pilots.append(_run(chains[-1], kernel, limit, free))
    # By turns, and the best of each, so that what else the machine does hits all of them or none.
    seconds = [
        [_seconds_per_sweep(one, pilot.thin) for one, pilot in zip(chains, pilots, strict=True)]
        for _ in range(TIMINGS)
    ]
    return tuple(
        replace(pilot, seconds_per_sweep=min(row[k] for row in seconds))
        for k, pilot in enumerate(pilots)
    )


def _seconds_per_sweep(chains: MovingChains, thin: int) -> float:
    calls = max(1, TIMED_SWEEPS // thin)
    began = time.perf_counter()
    for _ in range(calls):
        chains.advance(thin)
    return max(1e-9, time.perf_counter() - began) / (calls * thin)


def _run(chains: MovingChains, kernel: str, limit: int, free: NDArray[np.bool_]) -> Pilot:
    start = chains.states.copy()
    length = FIRST_SWEEPS
    while True:
        pilot = _record(chains, kernel, length, start, free)
        length *= 2
        if pilot.settled or length > limit:
            return pilot


def _record(
    chains: MovingChains, kernel: str, length: int, start: States, free: NDArray[np.bool_]
) -> Pilot:
    stride = max(1, length // MAX_RECORDS)
    draws = length // stride
    states = np.empty((len(start), draws, start.shape[1]), dtype=np.uint8)
    energies = np.empty((len(start), draws))
    acceptance = 0.0
    for k in range(draws):
        acceptance += float(chains.advance(stride).mean()) / draws
        states[:, k] = chains.states
        energies[:, k] = chains.energies()
    time_energy = stride * autocorrelation_time(energies)
    time_visible = stride * _slowest_time(states if free.all() else states[:, :, free])
    known = [t for t in (time_energy, time_visible) if not math.isnan(t)]
    if known:
        settled = length >= LONG_ENOUGH * max(known)
    else:
        # Chains from different starts that all stand in one state agree on it; chains from one
        # start may be stuck there.
        settled = bool((start != start[0]).any()) and length >= MIN_SWEEPS
    return Pilot(
        kernel=kernel,
        sweeps=chains.sweeps,
        recorded=length,
        time_energy=time_energy,
        time_visible=time_visible,
        acceptance=acceptance,
        settled=settled,
    )


def _slowest_time(states: States) -> float:
    """Autocorrelation time, in draws, of the slowest of the bits (chains, draws, n).

    Only the few whose chain means spread most against their variance are looked at closely: for
    long chains that ratio, times the draws, is the autocorrelation time itself.
    """
    means = states.mean(axis=1)
    overall = means.mean(axis=0)
    variance = overall * (1.0 - overall)
    moving = np.flatnonzero(variance)
    if moving.size == 0:
        return math.nan
    spread = means[:, moving].var(axis=0) / variance[moving]
    slowest = moving[np.argsort(-spread, kind="stable")[:_SLOWEST]]
    return max(autocorrelation_time(states[:, :, i]) for i in slowest)


def fastest(pilots: Sequence[Pilot], fallback: str) -> Pilot:
    """The pilot with the most effective samples per second.

    Only settled pilots count, as the others' autocorrelation times are guesses. ``fallback``, the
    name of a kernel among them, wins if there is none, and if it comes within 20 % of the best,
    which timing noise could explain.
    """
    by_name = {pilot.kernel: pilot for pilot in pilots}
    usable = [pilot for pilot in pilots if pilot.settled and pilot.ess_per_second > 0]
    if not usable:
        return by_name[fallback]
    best = max(usable, key=lambda p: p.ess_per_second)
    safe = by_name[fallback]
    return safe if safe in usable and safe.ess_per_second >= TIE * best.ess_per_second else best
