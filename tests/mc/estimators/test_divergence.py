"""Contrastive divergence and its relatives against enumeration, and across checkpoints and teams.

What contrastive divergence converges to is known exactly for small models: the data's distribution
times a power of the transition matrix. Chains never meet, so that estimates of independent chains
have the standard error of independent samples, which is itself tested first. Seeds are fixed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from mc.estimators.settings import CD, PCD, Tempered
from tests.mc_twins import LETTERS, gibbs_matrix
from tests.together import Together
from tests.twins import all_states, averages, enumerate_model
from tnqbm import SqRBM, Target
from tnqbm.base.teams import Alone, Team, share
from tnqbm.training.estimators import Context, GradientEstimator
from tnqbm.training.problems import SqRBMProblem

ESTIMATORS: dict[str, type[CD | PCD | Tempered]] = {"cd": CD, "pcd": PCD, "tempered": Tempered}
N, M = 4, 3
STATES = all_states(N)
every = pytest.mark.parametrize("name", list(ESTIMATORS))


def data(seed: int = 3, n: int = N) -> np.ndarray:
    """Probabilities of all states, far from any of the models below."""
    return np.random.default_rng(seed).dirichlet(np.full(2**n, 0.3))


def make(
    name: str,
    p: int,
    runs: int,
    *,
    keys: np.ndarray | None = None,
    team: Team | None = None,
    precision: str = "double",
    probabilities: np.ndarray | None = None,
    batch_size: int = 0,
    **settings: Any,
) -> GradientEstimator:
    q = data() if probabilities is None else probabilities
    context = Context(
        SqRBMProblem([model_of(p)] * runs, [Target.from_dense(q)] * runs),
        np.arange(50, 50 + runs, dtype=np.uint64) if keys is None else keys,
        precision,
        batch_size,
        team=team or Alone(),
    )
    return ESTIMATORS[name](**settings).make(context)


def of(name: str, **settings: Any) -> dict[str, Any]:
    """Those of the settings that an estimator has."""
    return {key: settings[key] for key in settings if key in ESTIMATORS[name].model_fields}


def model_of(p: int, scale: float = 0.6, seed: int = 1) -> SqRBM:
    return SqRBM.uniform(N, M, LETTERS[p], scale=scale, seed=seed)


def repeated(model: SqRBM, runs: int) -> np.ndarray:
    return np.tile(model.to_vector(), (runs, 1))


def distribution(model: SqRBM) -> np.ndarray:
    log_z, _, log_weight = enumerate_model(model)
    return np.asarray(np.exp(log_weight - log_z))


def variances(model: SqRBM, q: np.ndarray) -> np.ndarray:
    """Variance of every averaged function of v under q."""
    each = np.stack([averages(model, STATES[k : k + 1], np.ones(1)) for k in range(len(STATES))])
    return np.asarray(q @ each**2 - (q @ each) ** 2)


def agrees(found: np.ndarray, model: SqRBM, q: np.ndarray, chains: int) -> bool:
    """Estimates (runs, size) from ``chains`` independent chains each against averages over q.

    First the spread between runs, which have independent keys, must be that of independent chains;
    then their mean must lie within five standard errors: false alarm 4e-5 for 60 averages.
    """
    runs, error = len(found), np.sqrt(variances(model, q) / chains)
    some = error > 1e-9
    spread = ((found - found.mean(axis=0))[:, some] ** 2).sum(axis=0) / error[some] ** 2
    # Averages are correlated with each other, so every one is tested: 60 tests at 1e-6.
    assert (chi2.sf(spread, runs - 1) > 1e-6).all(), "runs differ by more than their chains explain"
    assert (chi2.cdf(spread, runs - 1) > 1e-6).all(), "runs are not independent"
    z = (found.mean(axis=0) - averages(model, STATES, q))[some] / error[some] * np.sqrt(runs)
    return bool(np.abs(z).max() < 5)


# --- what they estimate --------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("pcd", {"steps": 60}),
        ("pcd", {"steps": 60, "kernel": "collapsed"}),
        ("pcd", {"steps": 150, "kernel": "bloch"}),
        ("pcd", {"steps": 150, "kernel": "thermal", "inertia": 0.4}),
        ("pcd", {"steps": 150, "kernel": "measured"}),
        ("pcd", {"steps": 150, "kernel": "pauli"}),
        ("cd", {"steps": 60, "kernel": "pauli-exact", "basis": "each"}),
        ("cd", {"steps": 80}),
        ("tempered", {"steps": 20, "temperatures": 3}),
        ("pcd", {"steps": 60, "global_moves": 1, "max_bond": 2}),
        ("tempered", {"steps": 20, "temperatures": 3, "global_moves": 1, "max_bond": 2}),
    ],
)
def test_long_chains_give_the_exact_gradient(
    name: str, settings: dict[str, Any], p: int, precision: str
) -> None:
    model = model_of(p)
    estimator = make(name, p, 16, chains=1000, precision=precision, **settings)
    estimate = estimator.estimate(repeated(model, 16), np.arange(16))
    assert estimate.log_partition is None
    assert agrees(estimate.model, model, distribution(model), 1000)


@pytest.mark.parametrize("p", [2, 3])
def test_the_uncorrected_kernel_gives_another(p: int) -> None:
    """Negative control: a biased sampler does not pass."""
    model = model_of(p, scale=0.9)
    estimator = make("pcd", p, 16, chains=1000, steps=60, kernel="thermal-uncorrected")
    found = estimator.estimate(repeated(model, 16), np.arange(16)).model
    error = np.sqrt(variances(model, distribution(model)) / 16_000)
    z = (found.mean(axis=0) - enumerate_model(model)[1]) / error
    assert np.abs(z).max() > 10


@pytest.mark.parametrize(
    ("p", "measured"),
    [(1, (0.627, 0.177, 0.000)), (2, (0.909, 0.742, 0.195)), (3, (0.862, 0.355, 0.000))],
)
def test_contrastive_divergence_is_biased_by_what_its_chains_lack(
    p: int, measured: tuple[float, ...]
) -> None:
    """CD-k estimates averages over q T^k, whose distance from the model falls with k.

    ``measured`` is that distance (Euclidean, over all averages) for k = 1, 2, 8 from enumeration.
    """
    model, q = model_of(p, scale=1.2, seed=2), data()
    step = gibbs_matrix(model.log_weight(STATES), N)
    exact = enumerate_model(model)[1]
    biases = []
    for k, bias in zip((1, 2, 8), measured, strict=True):
        after = q @ np.linalg.matrix_power(step, k)
        assert np.linalg.norm(averages(model, STATES, after) - exact) == pytest.approx(
            bias, abs=1e-3
        )
        estimator = make("cd", p, 16, chains=1000, steps=k, kernel="collapsed")
        found = estimator.estimate(repeated(model, 16), np.arange(16)).model
        assert agrees(found, model, after, 1000)
        biases.append(np.linalg.norm(found.mean(axis=0) - exact))
    noise = np.sqrt(variances(model, distribution(model)).sum() / 16_000)
    np.testing.assert_allclose(biases, measured, rtol=0, atol=3 * noise)
    assert biases[0] > 20 * noise
    assert biases[0] > biases[1] > biases[2]


@pytest.mark.parametrize("p", [1, 3])
def test_persistent_chains_forget_where_they_began(p: int) -> None:
    model = model_of(p, scale=1.0)
    exact = enumerate_model(model)[1]
    estimator = make("pcd", p, 8, chains=2000, steps=1, kernel="collapsed")
    theta, rows = repeated(model, 8), np.arange(8)
    errors = [
        np.linalg.norm(estimator.estimate(theta, rows).model.mean(axis=0) - exact)
        for _ in range(40)
    ]
    assert errors[0] > 5 * errors[-1]


def test_one_state_of_data_is_where_the_chains_begin() -> None:
    """With one sweep of a model that is frozen there, nothing else comes out."""
    q = np.zeros(16)
    q[5] = 1.0  # 0101
    a = 30.0 * (2.0 * STATES[5] - 1.0)  # the model's only likely state as well
    model = SqRBM(a, np.zeros((2, M)), np.zeros((2, N, M)), "XZ")
    estimator = make("cd", 2, 1, chains=100, probabilities=q)
    found = estimator.estimate(repeated(model, 1), np.arange(1)).model[0]
    np.testing.assert_array_equal(found[:N], [1, -1, 1, -1])


def test_minibatches_are_where_the_chains_begin() -> None:
    """Frozen chains give the averages over the minibatch itself; it is left as it was."""
    model = SqRBM(np.zeros(N), np.zeros((1, M)), np.full((1, N, M), 40.0), "Z")
    rows = np.zeros((2, 70, N), dtype=np.uint8)
    rows[0, 20:] = 1  # both states of all equal spins are modes that sweeps do not leave
    rows[1, 60:] = 1
    before = rows.copy()
    estimator = make("cd", 1, 2, batch_size=70, kernel="collapsed", steps=3)
    found = estimator.estimate(repeated(model, 2), np.arange(2), rows).model
    np.testing.assert_allclose(found[0, :N], (20 - 50) / 70, atol=1e-12)
    np.testing.assert_allclose(found[1, :N], (60 - 10) / 70, atol=1e-12)
    np.testing.assert_array_equal(rows, before)


def test_every_update_draws_anew() -> None:
    model = model_of(2)
    for name in ESTIMATORS:
        estimator = make(name, 2, 2, chains=100)
        theta, rows = repeated(model, 2), np.arange(2)
        one, two = (estimator.estimate(theta, rows).model for _ in range(2))
        assert (one != two).any(axis=1).all()
        assert (one[0] != one[1]).any()  # nor do runs share their numbers


# --- runs apart, checkpoints ---------------------------------------------------------------------


def walk(count: int, runs: int, p: int) -> np.ndarray:
    """Parameters (count, runs, size) of a training run, so to speak."""
    rng = np.random.default_rng(8)
    size = N + p * M * (N + 1)
    return np.asarray(0.3 * rng.normal(size=(1, runs, size)) + np.cumsum(
        0.05 * rng.normal(size=(count, runs, size)), axis=0
    ))  # fmt: skip


@every
@pytest.mark.parametrize("p", [1, 3])
def test_runs_do_not_depend_on_their_batch(name: str, p: int) -> None:
    thetas = walk(5, 4, p)
    settings = of(name, chains=70, steps=2, temperatures=3)
    whole = make(name, p, 4, **settings)
    some = make(name, p, 4, **settings)
    alone = make(name, p, 1, keys=np.array([53], np.uint64), **settings)
    rows, one = np.array([1, 3]), np.arange(1)
    for theta in thetas:
        together = whole.estimate(theta, np.arange(4)).model
        np.testing.assert_array_equal(some.estimate(theta[rows], rows).model, together[rows])
        np.testing.assert_array_equal(alone.estimate(theta[3:], one).model[0], together[3])


@every
@pytest.mark.parametrize("precision", ["double", "single"])
def test_restoring_a_checkpoint_changes_nothing(name: str, precision: str) -> None:
    thetas = walk(7, 3, 2)
    settings = of(name, chains=70, steps=2, temperatures=4) | {"precision": precision}
    whole = make(name, 2, 3, **settings)
    expected = [whole.estimate(theta, np.arange(3)).model for theta in thetas]
    for stop in (0, 1, 4):
        first = make(name, 2, 3, **settings)
        for theta in thetas[:stop]:
            first.estimate(theta, np.arange(3))
        state = {key: np.array(value) for key, value in first.state().items()}
        first.estimate(thetas[0], np.arange(3))  # what follows must not reach into the state
        second = make(name, 2, 3, **settings)
        second.estimate(thetas[0], np.arange(3))
        second.restore(state)
        for theta, wanted in zip(thetas[stop:], expected[stop:], strict=True):
            np.testing.assert_array_equal(second.estimate(theta, np.arange(3)).model, wanted)


@every
def test_chains_without_global_moves_keep_what_they_always_kept(name: str) -> None:
    """Checkpoints of earlier versions go on."""
    known = {"cd": {"updates"}, "pcd": {"updates", "chains"}, "tempered": {"chains", "counters"}}
    assert set(make(name, 2, 2, chains=70).state()) == known[name]


@every
def test_a_state_is_a_copy(name: str) -> None:
    estimator = make(name, 2, 2, chains=70)
    state = estimator.state()
    before = {key: value.copy() for key, value in state.items()}
    estimator.estimate(walk(1, 2, 2)[0], np.arange(2))
    for key, value in before.items():
        np.testing.assert_array_equal(state[key], value)
    later = estimator.state()
    assert any((later[key] != value).any() for key, value in before.items())


@pytest.mark.parametrize(
    ("name", "missing"),
    [("cd", "updates"), ("pcd", "chains"), ("tempered", "chains"), ("tempered", "counters")],
)
def test_a_damaged_state_is_refused(name: str, missing: str) -> None:
    estimator = make(name, 2, 2, chains=70)
    state = estimator.state()
    with pytest.raises(ValueError, match=f"{missing} of the chains has shape nothing"):
        estimator.restore({key: value for key, value in state.items() if key != missing})
    with pytest.raises(ValueError, match="expected"):
        estimator.restore({**state, missing: np.zeros((1, 2, 3, 4, 5))})


@pytest.mark.parametrize("name", ["pcd", "tempered"])  # the others keep no chains
def test_the_state_of_another_number_of_chains_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="chains of the chains has shape"):
        make(name, 2, 2, chains=70).restore(make(name, 2, 2, chains=71).state())


# --- teams ---------------------------------------------------------------------------------------


def in_a_team(size: int, work: Callable[[Team], Any]) -> list[Any]:
    """What each member of a team of threads returns."""
    team, found = Together(size), [None] * size

    def member(rank: int) -> None:
        with team.turn:
            found[rank] = work(team.members[rank])

    threads = [threading.Thread(target=member, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cd", {"chains": 200}),
        ("cd", {"chains": 64}),  # fewer shards than members: some have no chains at all
        ("cd", {"batch_size": 150}),
        ("cd", {"batch_size": 40}),
        ("pcd", {"chains": 200}),
        ("pcd", {"chains": 30}),
        ("tempered", {"chains": 200, "temperatures": 3}),
    ],
)
def test_a_team_gives_the_numbers_of_one(
    name: str, settings: dict[str, Any], size: int, precision: str
) -> None:
    p, runs, thetas = 2, 3, walk(5, 3, 2)
    batch = settings.get("batch_size", 0)
    rows = np.random.default_rng(4).integers(0, 2, (5, runs, max(batch, 1), N), dtype=np.uint8)
    build: dict[str, Any] = {"steps": 2, "precision": precision, **settings}

    def follow(estimator: GradientEstimator, part: slice, thetas: np.ndarray) -> list[np.ndarray]:
        found = []
        for theta, minibatch in zip(thetas, rows, strict=False):
            mine = minibatch[:, part] if batch else None
            found.append(estimator.estimate(theta, np.arange(runs), mine).model)
            if not batch:
                some = np.array([0, 2])
                found.append(estimator.estimate(theta[some], some).model)
        return found

    def work(team: Team | None) -> tuple[list[np.ndarray], Any, list[np.ndarray]]:
        part = slice(*share(batch, team)) if batch and team else slice(None)
        estimator = make(name, p, runs, team=team, **build)
        first = follow(estimator, part, thetas[:3])
        state = estimator.state()
        # On from a checkpoint, in a new object.
        estimator = make(name, p, runs, team=team, **build)
        estimator.restore(state)
        return first, state, follow(estimator, part, thetas[3:])

    alone = work(None)
    for member in in_a_team(size, work):
        for one, other in zip(alone[0] + alone[2], member[0] + member[2], strict=True):
            np.testing.assert_array_equal(one, other)
        assert alone[1].keys() == member[1].keys()
        for key, value in alone[1].items():
            np.testing.assert_array_equal(member[1][key], value)


def test_a_team_goes_on_from_the_checkpoint_of_one_and_back() -> None:
    thetas, runs = walk(4, 2, 3), np.arange(2)
    for name in ("pcd", "tempered"):
        settings = of(name, chains=150, temperatures=3)
        whole = make(name, 3, 2, **settings)
        expected = [whole.estimate(theta, runs).model for theta in thetas]
        first = make(name, 3, 2, **settings)
        first.estimate(thetas[0], runs)
        state = first.state()

        def work(team: Team, name: str = name, state: Any = state, settings: Any = settings) -> Any:
            estimator = make(name, 3, 2, team=team, **settings)
            estimator.restore(state)
            return [
                estimator.estimate(theta, runs).model for theta in thetas[1:3]
            ], estimator.state()

        for found, later in in_a_team(2, work):
            np.testing.assert_array_equal(found, expected[1:3])
            last = make(name, 3, 2, **settings)
            last.restore(later)
            np.testing.assert_array_equal(last.estimate(thetas[3], runs).model, expected[3])


def test_ladders_that_cannot_be_shared_are_refused() -> None:
    class Place:
        rank, size = 0, 3

        def add(self, sums: np.ndarray) -> None: ...

        def gather(self, part: np.ndarray) -> np.ndarray:
            return part

    with pytest.raises(ValueError, match="take at least 192, or fewer processes"):
        make("tempered", 2, 1, chains=128, team=Place())


# --- settings ------------------------------------------------------------------------------------


@every
def test_kernels_are_checked_when_the_phase_is_built(name: str) -> None:
    with pytest.raises(ValueError, match="'gibbs' is not one of"):
        make(name, 2, 1, kernel="gibbs")
    with pytest.raises(ValueError, match="one Pauli"):
        make(name, 2, 1, kernel="block")


def test_tempering_needs_an_exact_kernel() -> None:
    with pytest.raises(ValueError, match="only approximately"):
        make("tempered", 2, 1, kernel="thermal-uncorrected")
