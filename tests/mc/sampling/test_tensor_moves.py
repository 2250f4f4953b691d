"""Independence moves: exact for any proposal, the same bits in any division of chains and calls.

Chi-squared tests start independent chains in equilibrium and fail a right move with probability
1e-6 each; there are some twenty, so that the false-alarm rate of the file is 2e-5 for a new choice
of seeds, and zero for the seeds below.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mc.sampling.amplitude.fit import log_weight_of
from mc.sampling.amplitude.moves import BLOCK, IndependenceMoves, independence_step
from mc.sampling.chains.moving import MovingChains
from tests.mc.sampling.tensor_twins import DenseProposal, hot, noisy, probabilities
from tests.mc_twins import chi_squared, draw_states
from tests.twins import all_states
from tnqbm import SqRBM

MODEL = SqRBM.uniform(5, 3, "XYZ", scale=0.8, seed=3)
P = probabilities(MODEL)
WEIGH = log_weight_of(MODEL)

# Poor ones: nearly half of the proposals, or three quarters, are refused.
PROPOSALS = {
    "uniform": np.ones(32),
    "too hot": hot(MODEL, 0.3),
    "too cold": hot(MODEL, 2.0),
    "noisy": noisy(MODEL, 1.5),
}


def passes(p_value: float) -> bool:
    return p_value > 1e-6


def moved(proposal: Any, states: np.ndarray, steps: int, key: int = 5) -> np.ndarray:
    found = states.copy()
    for clock in range(steps):
        independence_step(proposal, WEIGH, found, key, clock)
    return found


def start(count: int, p: np.ndarray = P, seed: int = 1) -> np.ndarray:
    return draw_states(p, count, int(p.size).bit_length() - 1, np.random.default_rng(seed))


# --- distributions ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROPOSALS)
def test_the_distribution_is_kept_by_any_proposal(name: str) -> None:
    proposal = DenseProposal(PROPOSALS[name])
    states = start(20_000)
    end = moved(proposal, states, 3)
    assert passes(chi_squared(end, P))
    changed = (end != states).any(axis=1).mean()
    assert 0.2 < changed < 0.99  # moves were accepted, and (but for one step) refused
    accepted = independence_step(proposal, WEIGH, start(20_000), 5, 0).mean()
    weight = P / proposal.q
    ratio = np.minimum(1.0, weight[None] / weight[:, None])
    rate = P @ ratio @ proposal.q
    # Five standard errors: false alarm 6e-7.
    assert accepted == pytest.approx(rate, abs=5 * math.sqrt(rate * (1 - rate) / 20_000))


@pytest.mark.parametrize("name", ["too hot", "noisy"])
def test_the_distribution_is_reached_from_afar(name: str) -> None:
    states = np.ones((10_000, 5), dtype=np.uint8)
    assert chi_squared(states, P) < 1e-12
    assert passes(chi_squared(moved(DenseProposal(PROPOSALS[name]), states, 40), P))


@pytest.mark.parametrize("name", ["too hot", "noisy"])
def test_a_proposal_that_lies_about_itself_is_found_out(name: str) -> None:
    """Negative control: the ratio without q, that of a symmetric proposal, keeps something else."""
    lying = DenseProposal(PROPOSALS[name])
    honest = lying._log_q
    lying._log_q = np.zeros(32)
    assert chi_squared(moved(lying, start(20_000), 3), P) < 1e-10
    lying._log_q = honest + np.where(np.arange(32) % 2, 0.2, 0.0)  # slightly wrong for half of them
    assert chi_squared(moved(lying, start(20_000), 10), P) < 1e-10


def test_an_exact_proposal_is_always_accepted() -> None:
    states = start(500)
    accepted = independence_step(DenseProposal(P), lambda v: WEIGH(v) + 3.0, states, 5, 0)
    # Weights are equal up to rounding, which may refuse one in 1e14.
    assert accepted.all()


def test_states_that_are_never_proposed() -> None:
    """Where q = 0 a move may neither lead nor start; sweeps in between make the chain ergodic."""
    half = np.where(all_states(5)[:, 0] == 0, P, 0.0)
    proposal = DenseProposal(half)
    states = start(20_000)
    before = states.copy()
    accepted = independence_step(proposal, WEIGH, states, 5, 0)
    assert (states[before[:, 0] == 1] == before[before[:, 0] == 1]).all()
    assert not accepted[before[:, 0] == 1].any()
    assert accepted[before[:, 0] == 0].all()
    assert passes(chi_squared(states, P))
    moves = IndependenceMoves(proposal, WEIGH, 9)
    chains = MovingChains(MODEL, "collapsed", before, 3, moves=moves)
    chains.advance(5)
    assert (chains.states[:, 0] != before[:, 0]).mean() > 0.1
    assert passes(chi_squared(chains.states, P))


def test_chains_with_moves_keep_the_distribution_and_cross_barriers() -> None:
    """Two modes, all up and all down, that local moves hardly ever leave."""
    n = 6
    model = SqRBM(np.full(n, 0.1), np.zeros((1, 2)), np.full((1, n, 2), 1.2), "Z")
    p = probabilities(model)
    weigh = log_weight_of(model)
    begin = np.zeros((10_000, n), dtype=np.uint8)
    plain = MovingChains(model, "collapsed", begin, 3)
    plain.advance(30)
    assert chi_squared(plain.states, p) < 1e-12
    for strength in (0.0, 1.0):
        moves = IndependenceMoves(DenseProposal(noisy(model, strength)), weigh, 9)
        chains = MovingChains(model, "collapsed", begin, 3, moves=moves)
        acceptance = chains.advance(30)
        assert acceptance.shape == (10_000,)
        assert 0.3 < acceptance.mean() <= 1.0
        assert passes(chi_squared(chains.states, p))


def test_units_held_fixed() -> None:
    held = np.array([-1, 1, -1, 0, -1], dtype=np.int8)
    v = all_states(5)
    given = np.where((v[:, 1] == 1) & (v[:, 3] == 0), P, 0.0)
    from mc.sampling.amplitude.fit import conditioned

    part = conditioned(MODEL, held)
    units = np.flatnonzero(held == -1)
    # The model of the free units is the conditional distribution, to rounding.
    inside = given[given > 0] / given.sum()
    np.testing.assert_allclose(probabilities(part), inside, rtol=1e-12)
    moves = IndependenceMoves(DenseProposal(noisy(part, 1.0)), log_weight_of(part), 9, units=units)
    states = start(20_000, given / given.sum())
    before = states.copy()
    accepted = moves.propose(states, 0)
    assert (states[:, [1, 3]] == [1, 0]).all()
    assert (states[~accepted] == before[~accepted]).all()
    assert 0.3 < accepted.mean() < 0.9
    assert passes(chi_squared(states, given / given.sum()))


# --- the same bits ------------------------------------------------------------------------------


def test_chains_may_be_divided_between_calls() -> None:
    proposal = DenseProposal(PROPOSALS["noisy"])
    states = np.random.default_rng(1).integers(0, 2, (200, 5), dtype=np.uint8)
    whole, flags = states.copy(), []
    for clock in range(4):
        flags.append(independence_step(proposal, WEIGH, whole, 7, clock, 1000))
    parts, said = [], []
    for first, last in ((0, 1), (1, 70), (70, 134), (134, 200), (200, 200)):
        part = states[first:last].copy()
        said.append(
            [independence_step(proposal, WEIGH, part, 7, clock, 1000 + first) for clock in range(4)]
        )
        parts.append(part)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(np.concatenate(said, axis=1), flags)


def test_key_clock_and_chain_matter() -> None:
    proposal = DenseProposal(np.ones(2**12))
    weigh = np.zeros_like

    def flat(states: np.ndarray) -> np.ndarray:
        return weigh(states[:, 0], dtype=float)

    def once(key: int, clock: int, first: int = 0) -> np.ndarray:
        states = np.zeros((2 * BLOCK, 12), dtype=np.uint8)
        assert independence_step(proposal, flat, states, key, clock, first).all()
        return states

    here = once(7, 3)
    np.testing.assert_array_equal(here, once(7, 3))
    np.testing.assert_array_equal(here[BLOCK:], once(7, 3, BLOCK)[:BLOCK])
    for other in (once(8, 3), once(7, 4), once(7, 3 + 2**32), once(7, 3, 2 * BLOCK)):
        assert (other != here).any(axis=1).mean() > 0.9
    assert (here[:BLOCK] != here[BLOCK:]).any(axis=1).mean() > 0.9


def test_sweeps_may_be_divided_between_calls() -> None:
    proposal = DenseProposal(PROPOSALS["noisy"])
    states = np.random.default_rng(1).integers(0, 2, (100, 5), dtype=np.uint8)
    ends = []
    for portions in ([12], [1] * 12, [5, 7]):
        chains = MovingChains(
            MODEL, "collapsed", states, 3, moves=IndependenceMoves(proposal, WEIGH, 9)
        )
        rates = [chains.advance(k) * k for k in portions]
        ends.append((chains.states, np.rint(np.sum(rates, axis=0))))
    for end in ends[1:]:
        np.testing.assert_array_equal(end[0], ends[0][0])
        np.testing.assert_array_equal(end[1], ends[0][1])


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "options", "says"),
    [
        (np.zeros((3, 4), np.uint8), {}, r"\(chains, 5\), got uint8 \(3, 4\)"),
        (np.zeros((3, 5)), {}, "got float64"),
        (np.zeros(5, np.uint8), {}, "contiguous"),
        (np.zeros((5, 3), np.uint8).T, {}, "contiguous"),
        (np.zeros((3, 5), np.uint8), {"clock": -1}, "clock = -1"),
        (np.zeros((3, 5), np.uint8), {"first_chain": -1}, "first_chain = -1"),
    ],
)
def test_bad_input_is_named(states: np.ndarray, options: dict[str, Any], says: str) -> None:
    given = {"key": 1, "clock": 0, "first_chain": 0} | options
    with pytest.raises(ValueError, match=says):
        independence_step(DenseProposal(np.ones(32)), WEIGH, states, **given)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_stop_the_move(bad: float) -> None:
    states = np.zeros((3, 5), np.uint8)
    with pytest.raises(FloatingPointError, match="not a finite number"):
        independence_step(DenseProposal(np.ones(32)), lambda v: np.full(len(v), bad), states, 1, 0)
    assert not states.any()
