"""Pilot runs: known autocorrelation times, what follows from them, and the choice of a kernel."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from mc.sampling.chains.moving import MovingChains
from mc.sampling.chains.pilot import (
    CHAINS,
    MAX_BURN_IN,
    MAX_SWEEPS,
    MAX_THIN,
    Pilot,
    fastest,
    run_pilots,
)


class Telegraph:
    """Chains of which bit i flips with probability ``flip[i]`` a sweep; the energy is bit 0."""

    def __init__(self, flip: list[float], seed: int = 1, apart: bool = True) -> None:
        self._rng = np.random.default_rng(seed)
        self._flip = np.array(flip)
        shape = (CHAINS, len(flip))
        self.states = self._rng.integers(0, 2, shape, dtype=np.uint8) * np.uint8(apart)
        self.sweeps = 0

    def advance(self, sweeps: int) -> np.ndarray:
        for _ in range(sweeps):
            self.states ^= self._rng.random(self.states.shape) < self._flip
        self.sweeps += sweeps
        return np.full(CHAINS, self._flip.mean())

    def energies(self) -> np.ndarray:
        return self.states[:, 0].astype(float)


def pilot_of(chains: Telegraph, size: int = 1) -> Pilot:
    free = np.ones(chains.states.shape[1], dtype=bool)
    (pilot,) = run_pilots(lambda _: cast(MovingChains, chains), ["slow"], size=size, free=free)
    return pilot


@pytest.mark.parametrize("flip", [0.5, 0.2, 0.05, 0.02])
def test_a_known_autocorrelation_time_is_found(flip: float) -> None:
    # Correlation (1 - 2 flip)^k: tau = (1 - flip) / flip. A settled record holds 32 x 30 tau or
    # more, so that the estimate spreads by about 10 %; five of these are allowed for.
    tau = (1 - flip) / flip
    pilot = pilot_of(Telegraph([0.5, flip, 0.5]))
    assert pilot.settled
    assert pilot.time_visible == pytest.approx(tau, rel=0.5)
    assert pilot.recorded >= 30 * pilot.time
    assert pilot.burn_in >= 20 * pilot.time
    assert pilot.thin == max(1, round(pilot.time))
    assert pilot.acceptance == pytest.approx((1 + flip) / 3)
    assert pilot.ess_per_second > 0


def test_units_that_are_held_do_not_count() -> None:
    free = np.array([True, False])
    chains = cast(MovingChains, Telegraph([0.5, 0.001]))
    (pilot,) = run_pilots(lambda _: chains, ["slow"], size=1, free=free)
    assert pilot.time_visible < 2


def test_a_hopeless_pilot_ends() -> None:
    pilot = pilot_of(Telegraph([1e-7, 0.5]))
    assert not pilot.settled
    assert pilot.sweeps <= 2 * MAX_SWEEPS
    assert pilot.time > pilot.recorded / 30
    assert pilot.burn_in <= MAX_BURN_IN
    assert pilot.thin <= MAX_THIN


def test_a_large_model_gets_fewer_sweeps() -> None:
    pilot = pilot_of(Telegraph([1e-7, 0.5]), size=10**9)
    assert pilot.sweeps <= 1024


@pytest.mark.parametrize("apart", [True, False])
def test_nothing_moves(apart: bool) -> None:
    chains = Telegraph([0.0, 0.0], apart=apart)
    start = chains.states.copy()
    pilot = pilot_of(chains)
    if apart:  # every chain in a state of its own, for ever
        assert (chains.states == start).all()
    else:  # all chains in one state, where they were put
        assert math.isnan(pilot.time_visible)
        assert math.isnan(pilot.ess_per_second)
    assert not pilot.settled


def test_the_fastest_kernel() -> None:
    base = Pilot("collapsed", 64, 64, 1.0, 1.0, 0.5, True, 1e-4)

    def choice(*pilots: Pilot) -> str:
        return fastest(pilots, "collapsed").kernel

    much = replace(base, kernel="block", seconds_per_sweep=0.5e-4)
    little = replace(base, kernel="block", seconds_per_sweep=0.9e-4)
    assert choice(base, much) == "block"
    assert choice(base, little) == "collapsed"  # a tie
    assert choice(base, replace(much, settled=False)) == "collapsed"
    assert choice(replace(base, settled=False), replace(little, time_energy=9.0)) == "block"
    assert choice(replace(base, settled=False), replace(much, settled=False)) == "collapsed"
    assert choice(base, replace(much, time_visible=8.0)) == "collapsed"  # quick but slow to mix
