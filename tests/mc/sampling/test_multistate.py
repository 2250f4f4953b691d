"""log Z of all snapshots of a training against enumeration; seeds are fixed."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymbar", exc_type=ImportError)

from mc.sampling.log_z.estimate import EstimateWarning
from mc.sampling.log_z.multistate import _contradicted, _Value, weigh
from mc.sampling.log_z.policies import Multistate
from mc.sampling.partition import log_partition
from mc.sampling.partitions import log_partitions
from mc.sampling.policies import Snapshots
from tests.mc.sampling.test_snapshots import PAULIS, SHAPE, M, N, rows, training
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM, datasets, train
from tnqbm import exact as door


def exact(models: list[SqRBM]) -> np.ndarray:
    return np.array([enumerate_model(model)[0] for model in models])


def independent(
    models: list[SqRBM], chains: int, samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Exact samples (R, chains, samples, n) of every model."""
    drawn = []
    for model in models:
        log_z, _, log_weight = enumerate_model(model)
        p = np.exp(log_weight - log_z)
        drawn.append(all_states(N)[rng.choice(len(p), (chains, samples), p=p / p.sum())])
    return np.stack(drawn)


def ladder() -> list[SqRBM]:
    first = SqRBM.from_vector(np.r_[np.full(N, 0.2), np.zeros(SHAPE.size - N)], N, M, PAULIS)
    return [first, *training(4)]


def test_independent_states_give_log_z_and_its_error() -> None:
    models = ladder()
    others = training(7, scale=1.4)
    truth = exact(others)
    found = []
    for seed in range(40):
        states = independent(models, 30, 20, np.random.default_rng(seed))
        found.append(weigh(rows(models), states, rows(others), SHAPE, key=seed))
    log_z, error = (
        np.stack([getattr(f, name) for f in found]) for name in ("log_z", "standard_error")
    )
    spread = log_z.std(axis=0, ddof=1)
    # Forty repetitions: a spread is known to 11 %, three times that is allowed.
    np.testing.assert_allclose(np.sqrt((error**2).mean(axis=0)), spread, rtol=0.35)
    assert (np.abs(log_z.mean(axis=0) - truth) < 5 * spread / np.sqrt(40)).all()
    assert all((f.bound <= truth + 1e-9).all() for f in found)


def test_repeated_samples_do_not_shrink_the_error() -> None:
    """Twenty copies of one sample per chain are worth one: errors are those of chains."""
    models = ladder()
    one = independent(models, 200, 1, np.random.default_rng(1))
    single = weigh(rows(models), np.repeat(one, 2, axis=2), rows(models), SHAPE, key=1)
    copies = weigh(rows(models), np.repeat(one, 20, axis=2), rows(models), SHAPE, key=1)
    np.testing.assert_allclose(copies.standard_error[1:], single.standard_error[1:], rtol=0.05)


def test_a_run_that_drifts_says_so() -> None:
    """The first half of the last rung's samples are of another model."""
    models = ladder()
    states = independent(models, 100, 40, np.random.default_rng(1))
    fair = weigh(rows(models), states, rows(models), SHAPE, key=1)
    states[-1, :, :20] = 0
    drifting = weigh(rows(models), states, rows(models), SHAPE, key=1)
    assert abs(drifting.drift[-1]) > 5 * abs(fair.drift[-1])
    off = abs(drifting.log_z[-1] - exact(models)[-1])
    assert abs(drifting.drift[-1]) > 0.5 * off > 0.05


def test_models_far_from_all_rungs_are_annealed_to() -> None:
    models = ladder()
    far = SqRBM.uniform(N, M, PAULIS, scale=3.0, seed=8)
    states = independent(models, 100, 20, np.random.default_rng(1))
    found = weigh(rows(models), states, rows([far]), SHAPE, key=1)
    assert abs(found.log_z[0] - exact([far])[0]) < 5 * found.standard_error[0] < 1.0


def trained(n: int = 10, m: int = 5) -> tuple[Any, Any]:
    target = datasets.load("bas", n)
    start = SqRBM.uniform(n, m, PAULIS, scale=0.3, seed=1)
    return target, train(start, target, iterations=200, records=2, snapshots=12)


def test_log_z_of_a_training() -> None:
    target, run = trained()
    models = [model for _, model in run.snapshots]
    truth = exact(models)
    found = log_partitions(models, data=target, seed=1)
    off = np.array([one.value for one in found]) - truth
    error = np.array([one.standard_error for one in found])
    assert (np.abs(off) < 4 * error).all()
    assert np.abs(off).max() < 0.1
    assert all(one.trusted for one in found), [one.warnings for one in found]
    for one, value in zip(found, truth, strict=True):
        assert one.lower_bound is not None
        assert one.lower_bound <= value + 1e-9
        assert one.method == "mbar"
    again = log_partitions(models, data=target, seed=1)
    assert [one.value for one in again] == [one.value for one in found]
    top = log_partition(
        models[-1], Multistate(snapshots=Snapshots(models=models, chains=50)), seed=2
    )
    assert abs(top.value - truth[-1]) < 4 * top.standard_error
    twice = log_partitions([*models, models[-1]], data=target, seed=1)
    assert twice[-1].value == twice[-2].value == found[-1].value


def test_the_better_known_value_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratios of normalisations, or the weight of what was seen, whichever errs less."""
    models = training(3)
    truth = exact(models)
    found = log_partitions(models, seed=1)

    def changed(**new: float) -> Any:
        def swapped(*args: Any, **keywords: Any) -> Any:
            said = weigh(*args, **keywords)
            return said._replace(**{k: np.full_like(said.log_z, v) for k, v in new.items()})

        monkeypatch.setattr("mc.sampling.log_z.multistate.weigh", swapped)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EstimateWarning)
            return log_partitions(models, seed=1)

    by_seen = changed(standard_error=10.0)
    by_ratios = changed(covered=np.nan, covered_error=np.nan)
    for estimates in (found, by_seen, by_ratios):
        off = np.array([one.value for one in estimates]) - truth
        assert (np.abs(off) < 4 * np.array([one.standard_error for one in estimates])).all()
    assert max(one.standard_error for one in by_seen) < 1.0
    assert "ratios of normalisations give" in _contradicted(_Value(1.0, 0.1), _Value(2.0, 0.1))[0]
    assert not _contradicted(_Value(1.0, 0.3), _Value(2.0, 0.3))
    assert not _contradicted(_Value(1.0, 0.1), _Value(np.nan, np.nan))


def test_a_missed_mode_is_not_trusted() -> None:
    """Two deep modes that no chain connects; tempering falls into one of them."""
    n, field = 20, 1.2
    model = SqRBM(np.full(n, field), np.full((1, 1), n * field + 1.5), np.full((1, n, 1), 3.0), "Z")
    log_z = door.log_partition(model)
    for seed in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EstimateWarning)
            found = log_partition(model, "mbar", seed=seed)
        wrong = abs(found.value - log_z) > 5 * found.standard_error
        assert not (wrong and found.trusted)


def test_too_few_samples_are_not_trusted() -> None:
    _, run = trained(8, 3)
    models = [model for _, model in run.snapshots]
    few = Multistate(samples=2, snapshots=Snapshots(chains=8, burn_in=0, thin=1, max_rungs=3))
    with pytest.warns(EstimateWarning, match="should not be trusted"):
        found = log_partitions(models, few, seed=1)
    assert not found[-1].trusted


@pytest.mark.parametrize(
    ("models", "method", "error", "says"),
    [
        ([], None, ValueError, "0 given"),
        (training(1), None, ValueError, "1 given"),
        ([training(1)[0], 3], None, TypeError, r"models\[1\] must be an SqRBM"),
        (training(2), "ais", TypeError, "must be an object Multistate"),
        ([SqRBM.uniform(5, 2, "Z", seed=1), *training(1)], None, ValueError, r"models\[0\] has 5"),
    ],
)
def test_bad_arguments(models: Any, method: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        log_partitions(models, method, seed=1)
    with pytest.raises(ValueError, match="chains must be at least 8"):
        Multistate(snapshots=Snapshots(chains=4))


def test_without_pymbar_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymbar", None)
    with pytest.raises(ImportError, match="extra 'mbar'"):
        log_partitions(training(2), seed=1)


def test_pymbar_is_quiet() -> None:
    code = (
        "import mc, tnqbm\n"
        "models = [tnqbm.SqRBM.uniform(4, 2, 'Z', scale=s, seed=1) for s in (0.1, 0.2)]\n"
        "mc.log_partitions(models, seed=1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ""


def test_states_that_were_seen_tell_log_z_as_well() -> None:
    """Independent ladders: what one alone has seen is what none has, about."""
    models, found = ladder(), []
    truth = exact(models)
    for seed in range(40):
        states = independent(models, 5, 2, np.random.default_rng(seed))
        found.append(weigh(rows(models), states, rows(models), SHAPE, key=1))
    off = np.array([one.covered for one in found]) - truth
    short = truth - np.array([one.bound for one in found])
    assert (short > -1e-9).all()  # rigorous
    assert short[:, 0].mean() > 0.05
    assert (np.abs(off.mean(axis=0)) < 0.4 * short.mean(axis=0)).all()
    stated = np.array([one.covered_error for one in found])
    assert (off.std(axis=0) < 3.0 * stated.mean(axis=0)).all()
    # Every ladder by itself: nothing says how much none of them has seen.
    apart = np.repeat(np.arange(N)[:, None] == np.arange(N), 1, axis=0).astype(np.uint8)
    alone = np.broadcast_to(apart[None, :, None], (len(models), N, 2, N)).copy()
    assert np.isnan(weigh(rows(models), alone, rows(models), SHAPE, key=1).covered).all()


def test_a_value_that_contradicts_the_states_seen_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = training(5)

    def too_high(*arguments: Any, **keywords: Any) -> Any:
        found = weigh(*arguments, **keywords)
        off = np.zeros(len(found.log_z))
        off[2] = 5.0 * found.standard_error[2] + 0.5
        return found._replace(log_z=found.log_z + off)

    monkeypatch.setattr("mc.sampling.log_z.multistate.weigh", too_high)
    method = Multistate(samples=200, snapshots=Snapshots(chains=20))
    with pytest.warns(EstimateWarning, match="all states that were seen, and the part of the"):
        found = log_partitions(models, method, seed=1)
    assert [one.trusted for one in found] == [True, True, False, True, True]
