"""The estimator "tensor" and global moves of persistent chains.

Most tests put a table of all states in the network's place, distorted on purpose: what is drawn,
weighed and kept must be right whatever the proposal. The last ones use the network itself. Averages
are compared with enumeration; estimates of runs with keys of their own are independent, so that
their spread gives the error. Seeds are fixed; false-alarm rates are for another choice of them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.stats import chi2

import mc.estimators.tensor as fitted
from mc import EstimateWarning, run_study
from mc.estimators.settings import PCD, Tempered, Tensor, provide
from mc.estimators.tensor import weighed
from mc.running.workspace import Workspace
from tests.mc.estimators.test_divergence import in_a_team
from tests.mc.studies.samples import Disturbance, run
from tests.mc_twins import LETTERS
from tests.trainings import finished
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM, Target, TrainingSettings, datasets, exact
from tnqbm.base.teams import Alone, Team
from tnqbm.core import metrics
from tnqbm.core.shape import Shape
from tnqbm.core.states import index_of
from tnqbm.files.storage import read_tree, write_tree
from tnqbm.kernels.parallel import get_num_threads, set_num_threads
from tnqbm.training.estimators import Averages, Context
from tnqbm.training.problems import SqRBMProblem
from tnqbm.training.trainer import Trainer

ESTIMATORS: dict[str, Any] = {"tensor": Tensor, "pcd": PCD, "tempered": Tempered}
N, M = 5, 3


class Table:
    """A distribution over all states in the place of a network: p^power, roughened.

    Everything it was fitted with is kept in ``fits``.
    """

    power: ClassVar[float] = 0.7
    noise: ClassVar[float] = 0.4
    wrong: ClassVar[float] = 0.0
    missing: ClassVar[tuple[int, ...]] = ()
    fits: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, n: int, log_q: np.ndarray) -> None:
        self.n_visible, self._log_q = n, log_q

    @classmethod
    def fit(
        cls, model: SqRBM, samples: Any = None, *, max_bond: int = 128, seed: int, **_: Any
    ) -> Table:
        cls.fits.append({"model": model, "samples": samples, "max_bond": max_bond, "seed": seed})
        n = model.n_visible
        log_q = cls.power * model.log_weight(all_states(n))
        log_q += cls.noise * np.random.default_rng(seed).normal(size=2**n)
        log_q[list(cls.missing)] = -1e4
        top = log_q.max()
        return cls(n, log_q - top - np.log(np.exp(log_q - top).sum()))

    def sample(self, k: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        cumulated = np.cumsum(np.exp(self._log_q))
        u = np.random.default_rng(seed).random(k) * cumulated[-1]
        found = np.searchsorted(cumulated, u, side="right")
        # ``wrong`` makes it claim another probability than it draws with.
        return all_states(self.n_visible)[found], (1 - self.wrong) * self._log_q[found]

    def log_prob(self, v: np.ndarray) -> np.ndarray:
        return np.asarray((1 - self.wrong) * self._log_q[index_of(v)])

    def arrays(self) -> dict[str, np.ndarray]:
        # Of another size for every run, as those of networks are.
        return {"log_q": self._log_q, "tensors/0": np.zeros(int(-self._log_q[0]) + 1)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Table:
        log_q = np.asarray(arrays["log_q"])
        assert arrays["tensors/0"].shape == (int(-log_q[0]) + 1,)
        return cls(log_q.size.bit_length() - 1, log_q.copy())


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> type[Table]:
    """A table of its own class for every test, in the place of the network."""
    own = type("Own", (Table,), {"fits": []})
    monkeypatch.setattr(fitted, "AmplitudeMPS", own)
    return own


def context_of(
    n: int,
    m: int,
    p: int,
    runs: int,
    *,
    keys: np.ndarray | None = None,
    team: Team | None = None,
    precision: str = "double",
    mask: np.ndarray | None = None,
) -> Context:
    states = np.random.default_rng(0).integers(0, 2, (20, n), dtype=np.uint8)
    model = SqRBM.uniform(n, m, LETTERS[p], seed=0, mask=mask)
    return Context(
        SqRBMProblem([model] * runs, [Target.from_samples(states)] * runs),
        np.arange(70, 70 + runs, dtype=np.uint64) if keys is None else keys,
        precision,
        team=team or Alone(),
    )


def make(name: str, p: int, runs: int, **options: Any) -> Any:
    own = {key: options.pop(key) for key in list(options) if key in ESTIMATORS[name].model_fields}
    return ESTIMATORS[name](**own).make(context_of(N, M, p, runs, **options))


def model_of(p: int, scale: float = 0.6, seed: int = 1, n: int = N) -> SqRBM:
    return SqRBM.uniform(n, M, LETTERS[p], scale=scale, seed=seed)


def repeated(model: SqRBM, runs: int) -> np.ndarray:
    return np.tile(model.to_vector(), (runs, 1))


def path(count: int, runs: int, p: int, step: float = 0.05) -> np.ndarray:
    """Parameters (count, runs, size) of a training run, so to speak."""
    rng = np.random.default_rng(8)
    size = Shape(N, M, p).size
    start = 0.3 * rng.normal(size=(1, runs, size))
    return np.asarray(start + np.cumsum(step * rng.normal(size=(count, runs, size)), axis=0))


def same(one: Averages, other: Averages) -> None:
    for name in ("model", "log_partition", "log_partition_error"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


# --- weights --------------------------------------------------------------------------------------


def test_summaries_of_weights() -> None:
    rng = np.random.default_rng(0)
    log_w = rng.normal(size=400) + 1000.0
    w = np.exp(log_w - 1000.0)
    found = weighed(log_w)
    np.testing.assert_allclose(found.weights, w / w.sum(), rtol=1e-12)
    assert found.log_mean == pytest.approx(1000.0 + np.log(w.mean()), abs=1e-12)
    assert found.share == pytest.approx(w.sum() ** 2 / (w**2).sum() / 400, rel=1e-12)
    assert found.standard_error == pytest.approx(w.std(ddof=1) / w.mean() / 20, rel=1e-10)


def test_equal_weights_have_no_error_and_one_has_an_unknown_one() -> None:
    equal = weighed(np.full(7, -3.0))
    assert (equal.log_mean, equal.standard_error, equal.share) == (-3.0, 0.0, 1.0)
    one = weighed(np.array([2.5]))
    assert (one.log_mean, one.share) == (2.5, 1.0)
    assert np.isnan(one.standard_error)
    assert weighed(np.array([0.0, -np.inf])).share == 0.5
    with pytest.raises(FloatingPointError, match="no importance weight"):
        weighed(np.array([-np.inf, -np.inf]))


# --- what is estimated ----------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_averages_are_those_of_the_model(table: type[Table], p: int, precision: str) -> None:
    """32 independent estimates of 2000 samples, 38 % of them effective or more.

    The mean over runs lies within five standard errors, taken from the runs' spread: false alarm
    1e-3 for some 60 averages (t distribution). The bias, of order 1/ESS, is far below.
    """
    model = model_of(p)
    estimator = make("tensor", p, 32, chains=2000, precision=precision)
    found = estimator.estimate(repeated(model, 32), np.arange(32))
    log_z, exact, _ = enumerate_model(model)
    share = 1 / (1 + 2000 * found.log_partition_error**2)
    assert share.min() > 0.3
    error = found.model.std(axis=0, ddof=1) / np.sqrt(32)
    assert np.abs((found.model.mean(axis=0) - exact) / error).max() < 5
    # No less noisy than all samples would be, no noisier than twice what their ESS explains.
    variance = found.model[:, :N].var(axis=0, ddof=1) / (1 - exact[:N] ** 2)
    assert 0.4 / 2000 < variance.mean() < 2 / (2000 * share.mean())
    z = (found.log_partition - log_z) / found.log_partition_error
    assert np.abs(z).max() < 4.5
    assert chi2.sf((z**2).sum(), 32) > 1e-4
    assert chi2.cdf((z**2).sum(), 32) > 1e-4


def test_wrong_probabilities_would_be_noticed(table: type[Table]) -> None:
    """Negative control: a proposal that misstates its probabilities gives other averages."""
    table.wrong = 0.3
    model = model_of(2)
    found = make("tensor", 2, 32, chains=2000).estimate(repeated(model, 32), np.arange(32))
    error = found.model.std(axis=0, ddof=1) / np.sqrt(32)
    exact = enumerate_model(model)[1]
    assert np.abs((found.model.mean(axis=0) - exact) / error).max() > 10


def test_a_perfect_proposal_gives_plain_averages_and_log_z(table: type[Table]) -> None:
    table.power, table.noise = 1.0, 0.0
    model = model_of(3)
    found = make("tensor", 3, 16, chains=1000).estimate(repeated(model, 16), np.arange(16))
    log_z, _, log_weight = enumerate_model(model)
    np.testing.assert_allclose(found.log_partition, log_z, rtol=0, atol=1e-12)
    assert found.log_partition_error.max() < 1e-8
    assert agrees_with(found.model, model, np.exp(log_weight - log_z), 1000)


def agrees_with(found: np.ndarray, model: SqRBM, p: np.ndarray, chains: int) -> bool:
    """:func:`tests.mc.estimators.test_divergence.agrees` for models of the size here, by their
    spins alone."""
    z = 1.0 - 2.0 * all_states(model.n_visible)
    exact = p @ z
    error = np.sqrt((1 - exact**2) / chains)
    spread = ((found[:, : len(exact)] - exact) ** 2).sum(axis=0) / error**2
    assert (chi2.sf(spread, len(found)) > 1e-5).all()
    return bool((chi2.cdf(spread, len(found)) > 1e-5).all())


def test_the_mean_weight_is_an_unbiased_estimate_of_z_while_the_model_moves(
    table: type[Table],
) -> None:
    """Networks may be as old as they like, and are fitted again in between.

    400 estimates of Z over Z, standard errors of 20 to 60 %: their mean is 1 within four
    standard errors (6e-5), those of the network's age included.
    """
    thetas = path(20, 20, 2, step=0.12)
    estimator = make("tensor", 2, 20, chains=12, refit=50)
    ratios = []
    for theta in thetas:
        found = estimator.estimate(theta, np.arange(20))
        log_z = [enumerate_model(SqRBM.from_vector(row, N, M, "XZ"))[0] for row in theta]
        ratios.append(np.exp(found.log_partition - log_z))
    ages = len(table.fits)
    assert 40 < ages < 300, "networks are fitted again, but not always"
    z = (np.mean(ratios) - 1) / (np.std(ratios) / np.sqrt(np.size(ratios)))
    assert abs(z) < 4
    # In truth it falls short of that in the logarithm.
    assert np.log(ratios).mean() < -0.01


def test_a_mode_that_is_never_drawn_is_not_seen(table: type[Table]) -> None:
    """The limit that the documentation states: the weights do not tell."""
    p = model_of(2).log_weight(all_states(N))
    table.power, table.noise, table.missing = 1.0, 0.0, (int(np.argmax(p)),)
    found = make("tensor", 2, 4, chains=500).estimate(repeated(model_of(2), 4), np.arange(4))
    log_z = enumerate_model(model_of(2))[0]
    assert found.log_partition.max() < log_z - 0.05
    assert found.log_partition_error.max() < 1e-6


def test_masked_models_are_fitted_as_such(table: type[Table]) -> None:
    mask = np.zeros((N, M), dtype=bool)
    mask[:3, 0] = mask[2:, 1] = mask[:, 2] = True
    model = SqRBM.uniform(N, M, "XZ", seed=2, mask=mask)
    estimator = Tensor(chains=10).make(context_of(N, M, 2, 1, mask=mask))
    estimator.estimate(repeated(model, 1), np.arange(1))
    np.testing.assert_array_equal(table.fits[0]["model"].mask, mask)


# --- when networks are fitted ---------------------------------------------------------------------


def test_networks_are_fitted_after_so_many_updates_at_the_latest(table: type[Table]) -> None:
    theta = repeated(model_of(2), 3)
    estimator = make("tensor", 2, 3, chains=10, refit=4, max_bond=9)
    for _ in range(9):
        estimator.estimate(theta, np.arange(3))
    assert len(table.fits) == 9  # at updates 0, 4 and 8
    assert [fit["samples"] is None for fit in table.fits] == [True] * 3 + [False] * 6
    assert {fit["max_bond"] for fit in table.fits} == {9}
    assert len({fit["seed"] for fit in table.fits}) == 9


def test_networks_are_fitted_earlier_where_the_model_has_moved_away(table: type[Table]) -> None:
    table.power, table.noise = 1.0, 0.0
    near, far = repeated(model_of(2), 2), repeated(model_of(2, scale=1.5, seed=9), 2)
    estimator = make("tensor", 2, 2, chains=10, refit=1000)
    for _ in range(30):
        estimator.estimate(near, np.arange(2))
    assert len(table.fits) == 2
    mixed = np.stack([near[0], far[1]])
    for _ in range(30):
        estimator.estimate(mixed, np.arange(2))
    assert len(table.fits) == 3
    assert table.fits[2]["model"] == SqRBM.from_vector(far[1], N, M, "XZ")


def test_fits_go_on_from_samples_of_the_model(table: type[Table]) -> None:
    """Given the old network the new one starts from states near the equilibrium of the new model.

    With data states mixed in and five sweeps: total variation to the model below 0.1, where the
    old model is 0.5 away.
    """
    table.power, table.noise = 1.0, 0.0
    old, new = model_of(2, scale=0.4), model_of(2, scale=1.0, seed=4)
    estimator = make("tensor", 2, 1, chains=10, refit=1, max_bond=1000)
    for model in (old, new):
        estimator.estimate(repeated(model, 1), np.arange(1))
    samples = table.fits[1]["samples"]
    assert samples.shape == (1000 * fitted.FEED_PER_BOND, N)
    assert samples.dtype == np.uint8

    def distance(model: SqRBM) -> float:
        log_z, _, log_weight = enumerate_model(model)
        share = np.bincount(index_of(samples), minlength=2**N) / len(samples)
        return float(0.5 * np.abs(share - np.exp(log_weight - log_z)).sum())

    assert distance(new) < 0.1
    assert distance(old) > 0.4


def test_a_network_that_is_too_small_is_reported_once_for_each_run(table: type[Table]) -> None:
    table.power, table.noise = 0.0, 2.5
    theta = repeated(model_of(3, scale=2.0), 2)
    estimator = make("tensor", 3, 2, chains=10, refit=1, max_bond=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            estimator.estimate(theta, np.arange(2))
    assert [one.category for one in caught] == [EstimateWarning] * 2
    message = str(caught[1].message)
    for words in ("run 1 of the batch, update 0", "bond dimension 3", "%", "max_bond", "pcd"):
        assert words in message


# --- runs apart, checkpoints, teams ---------------------------------------------------------------


SETTINGS: dict[str, dict[str, Any]] = {
    "tensor": {"chains": 70, "refit": 4},
    "pcd": {"chains": 70, "refit": 4, "global_moves": 2},
    "tempered": {"chains": 70, "refit": 4, "global_moves": 3, "temperatures": 3},
}
every = pytest.mark.parametrize("name", list(SETTINGS))


@every
@pytest.mark.parametrize("p", [1, 3])
def test_runs_do_not_depend_on_their_batch(table: type[Table], name: str, p: int) -> None:
    thetas = path(7, 4, p)
    whole, some = (make(name, p, 4, **SETTINGS[name]) for _ in range(2))
    alone = make(name, p, 1, keys=np.array([73], np.uint64), **SETTINGS[name])
    rows, one = np.array([1, 3]), np.arange(1)
    for theta in thetas:
        together = whole.estimate(theta, np.arange(4)).model
        np.testing.assert_array_equal(some.estimate(theta[rows], rows).model, together[rows])
        np.testing.assert_array_equal(alone.estimate(theta[3:], one).model[0], together[3])


@every
def test_restoring_a_checkpoint_changes_nothing(table: type[Table], name: str) -> None:
    thetas = path(11, 3, 2)
    whole = make(name, 2, 3, **SETTINGS[name])
    expected = [whole.estimate(theta, np.arange(3)) for theta in thetas]
    for stop in (0, 1, 3, 6, 8):
        first = make(name, 2, 3, **SETTINGS[name])
        for theta in thetas[:stop]:
            first.estimate(theta, np.arange(3))
        state = {key: np.array(value) for key, value in first.state().items()}
        for theta in thetas[:3]:  # what follows must not reach into the state
            first.estimate(theta, np.arange(3))
        second = make(name, 2, 3, **SETTINGS[name])
        second.estimate(thetas[0], np.arange(3))
        second.restore(state)
        for theta, wanted in zip(thetas[stop:], expected[stop:], strict=True):
            same(second.estimate(theta, np.arange(3)), wanted)


@every
def test_a_state_is_a_copy_and_kept_small_names(table: type[Table], name: str) -> None:
    estimator = make(name, 2, 2, **SETTINGS[name])
    estimator.estimate(path(1, 2, 2)[0], np.arange(2))
    state = estimator.state()
    before = {key: value.copy() for key, value in state.items()}
    for theta in path(4, 2, 2):
        estimator.estimate(theta, np.arange(2))
    for key, value in before.items():
        np.testing.assert_array_equal(state[key], value)
    later = estimator.state()
    assert any(key not in later or not np.array_equal(later[key], before[key]) for key in before)


@every
@pytest.mark.parametrize("missing", ["updates", "probes", "log_q", "share", "fitted_at", "1/log_q"])
def test_a_damaged_state_is_refused(table: type[Table], name: str, missing: str) -> None:
    estimator = make(name, 2, 2, **SETTINGS[name])
    estimator.estimate(path(1, 2, 2)[0], np.arange(2))
    prefix = "" if name == "tensor" else "moves/"
    state = estimator.state()
    before = {key: value.copy() for key, value in state.items()}
    with pytest.raises(ValueError, match="checkpoint: "):
        estimator.restore({key: value for key, value in state.items() if key != prefix + missing})
    if "/" not in missing:
        with pytest.raises(ValueError, match="expected"):
            estimator.restore({**state, prefix + missing: np.zeros((1, 2, 3, 4, 5))})
    # Nothing has been taken over.
    for key, value in estimator.state().items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("name", ["pcd", "tempered"])
def test_a_checkpoint_without_moves_is_refused_by_chains_that_make_them(
    table: type[Table], name: str
) -> None:
    plain = {**SETTINGS[name], "global_moves": 0}
    state = make(name, 2, 2, **plain).state()
    assert not any("moves" in key for key in state)
    with pytest.raises(ValueError, match="of the tensor networks has shape nothing"):
        make(name, 2, 2, **SETTINGS[name]).restore(state)


@every
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("chains", [30, 200])
def test_a_team_gives_the_numbers_of_one(
    table: type[Table], name: str, size: int, chains: int
) -> None:
    if name == "tempered" and chains < 64 * size:
        pytest.skip("refused")
    thetas, runs = path(7, 3, 2), np.arange(3)
    settings = {**SETTINGS[name], "chains": chains}

    def follow(estimator: Any, thetas: np.ndarray) -> list[Averages]:
        found = []
        for theta in thetas:
            found.append(estimator.estimate(theta, runs))
            some = np.array([0, 2])
            found.append(estimator.estimate(theta[some], some))
        return found

    def work(team: Team | None) -> tuple[list[Averages], Any, list[Averages]]:
        estimator = make(name, 2, 3, team=team, **settings)
        first = follow(estimator, thetas[:4])
        state = estimator.state()
        estimator = make(name, 2, 3, team=team, **settings)
        estimator.restore(state)
        return first, state, follow(estimator, thetas[4:])

    alone = work(None)
    for member in in_a_team(size, work):
        for one, other in zip(alone[0] + alone[2], member[0] + member[2], strict=True):
            same(one, other)
        assert alone[1].keys() == member[1].keys()
        for key, value in alone[1].items():
            np.testing.assert_array_equal(member[1][key], value)


# --- global moves ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("pcd", {"global_moves": 1, "kernel": "collapsed"}),
        ("pcd", {"global_moves": 3, "kernel": "collapsed", "refit": 2}),
        ("tempered", {"global_moves": 2, "temperatures": 3}),
    ],
)
def test_global_moves_leave_the_distribution_as_it_is(
    table: type[Table], name: str, settings: dict[str, Any]
) -> None:
    """Chains at a fixed model, with a poor proposal: chi^2 of all states (false alarm 1e-4)."""
    model = model_of(2, scale=1.0)
    estimator = make(name, 2, 4, chains=2500, **settings)
    for _ in range(25):
        estimator.estimate(repeated(model, 4), np.arange(4))
    assert chi_square(name, estimator, model) > 1e-4


def test_moves_with_wrong_probabilities_would_be_noticed(table: type[Table]) -> None:
    """Negative control."""
    table.wrong = 0.5
    model = model_of(2, scale=1.0)
    estimator = make("pcd", 2, 4, chains=2500, global_moves=1, kernel="collapsed")
    for _ in range(25):
        estimator.estimate(repeated(model, 4), np.arange(4))
    # The chains are swept once after every move, which mends some of it.
    assert chi_square("pcd", estimator, model) < 1e-6


def chi_square(name: str, estimator: Any, model: SqRBM) -> float:
    """p-value of the states of all chains."""
    chains = estimator.state()["chains"]
    chains = chains[:, :, -1] if name == "tempered" else chains
    log_z, _, log_weight = enumerate_model(model)
    expected = np.exp(log_weight - log_z) * chains[..., 0].size
    found = np.bincount(index_of(chains.reshape(-1, N)), minlength=2**N)
    rare = expected < 5
    pooled = [np.append(x[~rare], x[rare].sum()) for x in (found, expected)]
    keep = pooled[1] > 0
    statistic = ((pooled[0] - pooled[1])[keep] ** 2 / pooled[1][keep]).sum()
    return float(chi2.sf(statistic, keep.sum() - 1))


def test_chains_cross_between_modes_that_sweeps_do_not_connect(table: type[Table]) -> None:
    """Two modes, all up and all down, of weights 0.88 and 0.12; chains begin on either side."""
    table.noise = 0.0
    model = SqRBM(np.full(N, 0.2), np.zeros((1, M)), np.full((1, N, M), 3.0), "Z")
    up = float(np.exp(enumerate_model(model)[2] - enumerate_model(model)[0])[-1])
    assert up == pytest.approx(0.88, abs=0.01)
    shares = {}
    for moves in (0, 1):
        estimator = make("pcd", 1, 4, chains=1000, global_moves=moves, kernel="collapsed")
        for _ in range(20):
            estimator.estimate(repeated(model, 4), np.arange(4))
        chains = estimator.state()["chains"]
        shares[moves] = float((chains.mean(axis=2) > 0.5).mean())
    error = np.sqrt(0.88 * 0.12 / 4000)
    assert abs(shares[1] - up) < 4 * error  # 6e-5
    assert shares[0] < 0.8


def test_moves_are_made_in_every_so_many_updates(table: type[Table]) -> None:
    theta = repeated(model_of(2), 2)
    with_moves = make("pcd", 2, 2, chains=70, global_moves=3)
    without = make("pcd", 2, 2, chains=70)
    differ = []
    for _ in range(7):
        without.restore({k: v for k, v in with_moves.state().items() if "/" not in k})
        one, two = (
            estimator.estimate(theta, np.arange(2)).model for estimator in (with_moves, without)
        )
        differ.append(not np.array_equal(one, two))
    assert differ == [True, False, False, True, False, False, True]


def test_estimators_without_persistent_chains_have_no_global_moves() -> None:
    with pytest.raises(ValueError, match="global_moves: gradient 'tensor' has no such setting"):
        TrainingSettings(gradient="tensor", global_moves=1)


# --- studies -------------------------------------------------------------------------------------


def study(**run: Any) -> dict[str, Any]:
    """Nine trainings of bars and stripes, with networks and without."""
    return {
        "name": "networks",
        "seeds": 3,
        "model": {"paulis": "XZ", "visible": 6, "hidden": 2},
        "data": {"name": "bas"},
        "training": {
            "gradient": ["tensor", "moving", "exact"],
            "iterations": 24,
            "chains": 70,
            "refit": 7,
        },
        "gradients": {"moving": {"gradient": "pcd", "global_moves": 5}},
        "output": {"records": 6},
        "run": run,
    }


def test_a_study_ends_with_the_same_numbers_however_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: type[Table]
) -> None:
    class Stop(BaseException):
        pass

    def stop() -> None:
        raise Stop

    whole = run(study(batch=3), tmp_path / "whole.h5")
    assert run(study(batch=1), tmp_path / "alone.h5").fingerprint() == whole.fingerprint()
    out, left = tmp_path / "out.h5", []
    for at in (4, 9, 12):
        with monkeypatch.context() as patch:
            Disturbance(patch, at, stop)
            with pytest.raises(Stop):
                run_study(study(batch=2, checkpoint_seconds=0), out, progress=False, resume=True)
        left.append(len(list(Workspace(out).checkpoints.glob("*.h5"))))
    assert any(left)
    assert run(study(batch=2), out, resume=True).fingerprint() == whole.fingerprint()


def test_log_z_and_its_error_are_recorded_with_every_row(
    tmp_path: Path, table: type[Table]
) -> None:
    archive = run(study(), tmp_path / "out.h5")
    found = archive.run(gradient="tensor", seed=1).trajectory
    for name in ("nll", "log_partition", "log_partition_error"):
        assert np.isfinite(found.metric(name)).all(), name
    assert (found.metric("log_partition_error") > 0).all()
    start = archive.run(gradient="exact", seed=1).trajectory
    assert abs(found.nll[0] - start.nll[0]) < 5 * found.metric("log_partition_error")[0]


def test_settings_are_checked() -> None:
    for name, value, least in (("max_bond", 0, 1), ("refit", 0, 1), ("global_moves", -1, 0)):
        with pytest.raises(ValueError, match=f"{name}: must be an integer >= {least}"):
            TrainingSettings(gradient="pcd", **{name: value})


# --- with the network itself ---------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 3])
def test_networks_give_the_averages_of_the_model(p: int) -> None:
    """As above, with a network of full bond: nearly all samples are effective."""
    model = SqRBM.uniform(8, M, LETTERS[p], scale=0.8, seed=3)
    estimator = Tensor(chains=1000, max_bond=16).make(context_of(8, M, p, 16))
    found = estimator.estimate(repeated(model, 16), np.arange(16))
    log_z, exact, _ = enumerate_model(model)
    assert (1 / (1 + 1000 * found.log_partition_error**2)).min() > 0.98
    np.testing.assert_allclose(found.log_partition, log_z, rtol=0, atol=0.02)
    error = found.model.std(axis=0, ddof=1) / np.sqrt(16)
    assert np.abs((found.model.mean(axis=0) - exact) / error).max() < 6  # t, 15 d. o. f.: 1e-3


def test_a_truncated_network_still_gives_z() -> None:
    """40 visible units and bond 3, against the sum over 2^5 hidden states: |z| < 4 (5e-4 in 8)."""
    n, m = 40, 5
    model = SqRBM.uniform(n, m, "Z", scale=0.35, seed=5)
    h = 1.0 - 2.0 * all_states(m)
    fields = model.a + h @ model.w[0].T
    log_z = np.logaddexp.reduce(-h @ model.b[0] + np.logaddexp(fields, -fields).sum(axis=1))
    estimator = Tensor(chains=2000, max_bond=3).make(context_of(n, m, 1, 8))
    found = estimator.estimate(repeated(model, 8), np.arange(8))
    share = 1 / (1 + 2000 * found.log_partition_error**2)
    assert 0.05 < share.min() < share.max() < 0.99
    z = (found.log_partition - log_z) / found.log_partition_error
    assert np.abs(z).max() < 4


def bas(name: str, runs: int = 2, **settings: Any) -> Trainer:
    given: dict[str, Any] = {"iterations": 60, "records": 5}
    if name != "exact":
        given |= {"chains": 200, "max_bond": 8, "refit": 20}
    checked = TrainingSettings(gradient=name, **{**given, **settings})
    models = [SqRBM.uniform(8, 2, "XYZ", seed=k) for k in range(runs)]
    provide()
    return Trainer(SqRBMProblem(models, [datasets.load("bas", 8)] * runs), checked)


@pytest.mark.parametrize(("name", "moves"), [("tensor", {}), ("pcd", {"global_moves": 5})])
def test_training_goes_on_from_a_checkpoint_with_the_same_bits(
    tmp_path: Path, name: str, moves: dict[str, int]
) -> None:
    """Through a file, and with another number of threads."""
    settings: dict[str, Any] = {"iterations": 30, "refit": 8, **moves}
    threads = get_num_threads()
    expected = [path.model for path in finished(bas(name, **settings))]
    first = bas(name, **settings)
    first.advance(13)
    write_tree(tmp_path / "state.h5", first.state(), {}, kind="checkpoint")
    second = bas(name, **settings)
    second.restore(read_tree(tmp_path / "state.h5", kind="checkpoint")[0])
    set_num_threads(1)
    try:
        assert [path.model for path in finished(second, 7)] == expected
    finally:
        set_num_threads(threads)


def test_training_with_perfect_samples_is_nearly_exact_training() -> None:
    """The true divergence after 200 updates of 256 samples, and the one recorded on the way."""
    settings: dict[str, Any] = {"iterations": 200, "learning_rate": 0.05, "schedule": "cosine"}
    target = datasets.load("bas", 8)
    own = {"tensor": {"chains": 256}, "exact": {}}
    ends = {name: finished(bas(name, 1, **settings, **own[name]))[0] for name in own}
    true = {
        name: metrics.kl_divergence(target.dense(), exact.probabilities(end.model))
        for name, end in ends.items()
    }
    assert true["exact"] < 0.7
    assert abs(true["tensor"] - true["exact"]) < 0.1
    error = ends["tensor"].metric("log_partition_error")[-1]
    assert abs(ends["tensor"].kl[-1] - true["tensor"]) < 4 * error + 1e-3
