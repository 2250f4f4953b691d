"""Known states, and jumps to their surroundings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from mc.estimators.jumps import EVERY, PERIOD, Jumps, mixture
from mc.estimators.known import KnownStates
from mc.kernels.known import log_mixture, offers
from tests.mc_twins import LETTERS
from tests.twins import enumerate_model
from tnqbm import SqRBM, Target
from tnqbm.core.states import states_of
from tnqbm.exact.weighted import WeightedMoments
from tnqbm.training.estimators import Context
from tnqbm.training.problems import SqRBMProblem

N, M = 6, 3
EVERYTHING = states_of(np.arange(1 << N), N)


def context_of(p: int, runs: int = 1, rows: int = 7) -> Context:
    targets = [
        Target(
            EVERYTHING[np.random.default_rng(run).permutation(1 << N)[:rows]],
            np.full(rows, 1.0 / rows),
        )
        for run in range(runs)
    ]
    models = [SqRBM.uniform(N, M, LETTERS[p], scale=0.8, seed=1)] * runs
    return Context(SqRBMProblem(models, targets), np.arange(5, 5 + runs, dtype=np.uint64))


@pytest.mark.parametrize("runs", [1, 3])
def test_chains_in_known_states_are_found(runs: int) -> None:
    context = context_of(2, runs)
    known = KnownStates(context, 100, WeightedMoments(context.problem.shape))
    chains = np.random.default_rng(3).integers(0, 2, (runs, 100, N), dtype=np.uint8)
    order = np.arange(runs)[::-1]
    found = known.holds(chains, order)
    for k, run in enumerate(order):
        rows = {row.tobytes() for row in context.problem.states[run % len(context.problem.states)]}
        expected = [state.tobytes() in rows for state in chains[k]]
        np.testing.assert_array_equal(found[k], expected)
    assert 0 < found.sum() < found.size


@pytest.mark.parametrize("p", [1, 2, 3])
def test_what_known_states_weigh_is_exact(p: int) -> None:
    context = context_of(p, 2)
    problem = context.problem
    known = KnownStates(context, 100, WeightedMoments(problem.shape))
    theta = np.random.default_rng(4).normal(size=(2, problem.shape.size))
    found = known.weigh(theta, np.arange(2))
    for run in range(2):
        model = SqRBM.from_vector(theta[run], N, M, LETTERS[p])
        states = problem.states[run]
        log_p = model.log_weight(states)
        assert found.log_sums[run] == pytest.approx(np.logaddexp.reduce(log_p), rel=1e-12)
        own = np.exp(log_p - found.log_sums[run])
        spins = own @ (1.0 - 2.0 * states)
        np.testing.assert_allclose(found.means[run, :N], spins, atol=1e-8)


def test_many_rows_are_not_summed_over() -> None:
    context = context_of(2, rows=30)
    known = KnownStates(context, 100, WeightedMoments(context.problem.shape))
    assert not known.used
    assert not known.holds(EVERYTHING[None].copy(), np.arange(1)).any()


def test_densities_of_a_mixture() -> None:
    rng = np.random.default_rng(2)
    ones, shares = rng.uniform(0.05, 0.95, (4, N)), np.array([0.1, 0.2, 0.3, 0.4])
    slopes = np.log(ones / (1.0 - ones)).T.copy()
    constants = np.log1p(-ones).sum(axis=1) + np.log(shares)
    found = [log_mixture(state, constants, slopes, np.empty(4)) for state in EVERYTHING]
    each = np.where(EVERYTHING[:, None] == 1, ones, 1.0 - ones).prod(axis=2)
    np.testing.assert_allclose(found, np.log(each @ shares), rtol=1e-12)


def test_offers_are_drawn_from_the_mixture_that_weighs_them() -> None:
    """Frequencies of offers are the densities, which are told by differences to one state."""
    rng, count = np.random.default_rng(1), 200_000
    centres, shares, mean = (
        EVERYTHING[[3, 17, 60]],
        np.array([0.5, 0.3, 0.2]),
        np.linspace(0.1, 0.9, N),
    )
    q = mixture(centres, shares, mean)
    old, new = np.zeros((count, N), dtype=np.uint8), np.empty((count, N), dtype=np.uint8)
    gains, draws = np.empty(count), rng.random((count, N + 1))
    offers(old, q.centres, q.anew, mean, q.edges, q.constants, q.slopes, draws, new, gains)
    log_q = np.array([log_mixture(s, q.constants, q.slopes, np.empty(7)) for s in EVERYTHING])
    assert np.exp(log_q).sum() == pytest.approx(1.0, rel=1e-12)
    places = new @ (1 << np.arange(N)[::-1])
    np.testing.assert_allclose(gains, log_q[0] - log_q[places], atol=1e-12)
    assert chisquare(np.bincount(places, minlength=1 << N), count * np.exp(log_q)).pvalue > 1e-4


def test_jumps_lead_everywhere_and_leave_the_distribution_as_it_is() -> None:
    """Chains that begin in one state, without a sweep: the end is that of the model."""
    chains, context = 3000, context_of(3)
    jumps = Jumps(context, chains, WeightedMoments(context.problem.shape))
    states = np.zeros((1, chains, N), dtype=np.uint8)
    theta = context.problem.theta
    for update in range(EVERY * PERIOD * 150):
        jumps.advance(theta, np.arange(1), states, update)
    log_z, _, log_p = enumerate_model(SqRBM.from_vector(theta[0], N, M, "XYZ"))
    counts = np.bincount(states[0] @ (1 << np.arange(N)[::-1]), minlength=1 << N)
    assert chisquare(counts, chains * np.exp(log_p - log_z)).pvalue > 1e-5
