"""Training by exact contraction: against enumeration where that is possible, and far beyond."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tnqbm.training.noisy_estimator import know_noisy
from tests.trainings import finished, same
from tests.twins import enumerate_model
from tnqbm import SqRBM, Target, TrainingSettings, datasets, train
from tnqbm.core import connectivity
from tnqbm.core.shape import Shape
from tnqbm.datasets import ising
from tnqbm.networks.contraction import cache
from tnqbm.training import SqRBMProblem
from tnqbm.training.estimators import EVALUATORS, GRADIENTS, Context, GradientEstimator
from tnqbm.training.trainer import Trainer

MASKS = {
    "line": connectivity.line(7, 3),
    "ring": connectivity.line(7, 2, periodic=True, copies=2),
    "lattice": connectivity.lattice(2, 4, (2, 2)),
    "random": np.random.default_rng(0).random((6, 5)) < 0.4,
    "isolated": np.eye(5, 6, k=1, dtype=bool),
    "dense": np.ones((5, 3), bool),
}


def context(mask: NDArray[np.bool_], paulis: str) -> Context:
    n, m = mask.shape
    given = None if mask.all() else mask
    model = SqRBM.uniform(n, m, paulis, seed=0, mask=given)
    target = Target(np.zeros((1, n), np.uint8), np.ones(1))
    return Context(SqRBMProblem([model] * 2, [target] * 2), np.zeros(2, np.uint64))


def estimator(mask: NDArray[np.bool_], paulis: str) -> GradientEstimator:
    return GRADIENTS.find("contraction")().make(context(mask, paulis))


# --- against enumeration -----------------------------------------------------------------------


@pytest.mark.parametrize("name", list(MASKS))
@pytest.mark.parametrize("paulis", ["Z", "YZ", "XYZ"])
def test_estimates_are_those_of_enumeration(name: str, paulis: str) -> None:
    mask = MASKS[name]
    free = Shape(*mask.shape, len(paulis)).free(mask)
    models = [SqRBM.uniform(*mask.shape, paulis, scale=s, seed=3, mask=mask) for s in (0.5, 2.0)]
    theta = np.stack([model.to_vector() for model in models])
    found = estimator(mask, paulis).estimate(theta, np.arange(2))
    evaluate = EVALUATORS.find("contraction")().make(context(mask, paulis))
    assert evaluate is not None
    log_z, error = evaluate(theta, np.arange(2), 0)
    assert found.log_partition is not None
    for k, model in enumerate(models):
        expected_log_z, expected, _ = enumerate_model(model)
        assert found.log_partition[k] == pytest.approx(expected_log_z, abs=1e-10)
        np.testing.assert_allclose(found.model[k, free], expected[free], atol=1e-10)
        assert not found.model[k, ~free].any()
    np.testing.assert_allclose(log_z, found.log_partition, atol=1e-11)
    assert error.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["line", "lattice", "dense"])
def test_training_follows_exact_training(name: str) -> None:
    mask = MASKS[name]
    n, m = mask.shape
    target = Target.from_samples(np.random.default_rng(1).integers(0, 2, (40, n)))
    model = SqRBM.uniform(n, m, "XYZ", seed=1, mask=mask)
    options = {"iterations": 60, "optimizer": "sgd", "centred": True, "snapshots": 2}
    exact, contracted = (
        train(model, target, gradient=name, **options)  # type: ignore[arg-type]
        for name in ("exact", "contraction")
    )
    for metric in ("kl", "tvd", "nll", "gradient_norm", "log_partition"):
        np.testing.assert_allclose(
            contracted.metric(metric), exact.metric(metric), rtol=1e-8, atol=1e-8
        )
    assert contracted.log_partition_error is None
    np.testing.assert_allclose(
        contracted.model.to_vector(), exact.model.to_vector(), rtol=1e-7, atol=1e-9
    )
    assert contracted.kl[-1] < contracted.kl[0]
    if name != "dense":
        assert np.array_equal(contracted.model.mask, mask)


# --- reproducibility ---------------------------------------------------------------------------


def local(runs: int = 3, **settings: Any) -> Trainer:
    mask = connectivity.line(40, 3)
    given = {"iterations": 12, "gradient": "contraction", "snapshots": 3} | settings
    models = [SqRBM.uniform(40, 38, "XZ", scale=0.3, seed=k, mask=mask) for k in range(runs)]
    rows = np.random.default_rng(0).integers(0, 2, (200, 40), dtype=np.uint8)
    keys = np.arange(5, 5 + runs, dtype=np.uint64)
    problem = SqRBMProblem(models, [Target.from_samples(rows)] * runs)
    return Trainer(problem, TrainingSettings(**given), keys=keys)


@pytest.mark.parametrize("batch_size", [0, 64])
def test_bits_do_not_depend_on_batches_interruptions_or_threads(batch_size: int) -> None:
    whole = finished(local(batch_size=batch_size))
    assert same(finished(local(1, batch_size=batch_size), 5)[0], whole[0])
    first = local(batch_size=batch_size)
    first.advance(7)
    cache._PLANS.clear()
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        second = local(batch_size=batch_size)
        second.restore(first.state())
        rest = finished(second)
    finally:
        numba.set_num_threads(before)
    assert all(same(one, two) for one, two in zip(whole, rest, strict=True))


def test_a_state_of_another_estimator_is_refused() -> None:
    contraction = estimator(MASKS["line"], "XZ")
    assert contraction.state() == {}
    contraction.restore({})
    with pytest.raises(ValueError, match="keeps no state"):
        contraction.restore({"chains": np.zeros(3)})


def test_one_plan_serves_all_trainers_of_a_mask() -> None:
    cache._PLANS.clear()
    local(2)
    local(1, batch_size=10)
    assert len(cache._PLANS) == 1


def test_log_z_of_estimated_gradients_by_contraction(monkeypatch: pytest.MonkeyPatch) -> None:
    know_noisy(monkeypatch)
    model = SqRBM.uniform(7, 5, "XYZ", seed=1, mask=MASKS["line"])
    target = datasets.load("on2", 7, seed=1)
    kept = [
        train(model, target, gradient="noisy", iterations=5, evaluate=name)
        for name in ("contraction", "exact")
    ]
    np.testing.assert_allclose(kept[0].nll, kept[1].nll, atol=1e-10)
    assert kept[0].log_partition_error.tolist() == [0.0] * 6


# --- refusals ----------------------------------------------------------------------------------


def test_what_is_too_wide_is_refused_with_a_forecast() -> None:
    model = SqRBM.uniform(64, 40, "XYZ", scale=0.1, seed=0)
    target = Target.from_samples(np.eye(64, dtype=np.uint8))
    for settings in ({"gradient": "contraction"}, {"evaluate": "contraction"}):
        given: dict[str, Any] = {"gradient": "cd", "iterations": 1, **settings}
        with pytest.raises((ValueError, MemoryError), match="multiply-adds"):
            train(model, target, **given)


def test_names_are_known_without_the_heavy_libraries() -> None:
    code = (
        "import sys; from tnqbm.training.estimators import EVALUATORS, GRADIENTS; "
        "assert 'contraction' in GRADIENTS.names(); "
        "assert 'contraction' in EVALUATORS.names(); "
        "assert not {'quimb', 'cotengra', 'tnqbm.training.estimators.exact'} "
        "& set(sys.modules); "
        "[GRADIENTS.find(name)() for name in ('exact', 'contraction', 'quantum')]; "
        "from tnqbm.training.settings import all_settings; all_settings(); "
        "assert not {'quimb', 'cotengra', 'qiskit', 'mc.kernels'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- large models ------------------------------------------------------------------------------


def markov_chain(
    count: int, n: int, table: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Samples (count, n) of a chain in which P(v_i = 1) = table[v_{i-2}, v_{i-1}], and log p."""
    rng = np.random.default_rng(seed)
    v = np.zeros((count, n), dtype=np.uint8)
    log_p = np.zeros(count)
    for i in range(n):
        p = table[v[:, i - 2], v[:, i - 1]] if i > 1 else np.full(count, 0.5)
        v[:, i] = rng.random(count) < p
        log_p += np.log(np.where(v[:, i] == 1, p, 1.0 - p))
    return v, log_p


def test_a_line_of_100_units_learns_a_markov_chain() -> None:
    """The distance to the source, KL(source, model), is a mean of log ratios over test rows.

    With k = 1070 parameters and N = 4000 rows the best fit is about k/2N = 0.13 nats away.
    """
    n = 100
    table = np.array([[0.05, 0.8], [0.3, 0.9]])
    rows, _ = markov_chain(4000, n, table, seed=1)
    test, log_p = markov_chain(2000, n, table, seed=2)
    model = SqRBM.uniform(n, 97, "XZ", scale=0.1, seed=3, mask=connectivity.line(n, 4))
    result = train(
        model,
        Target.from_samples(rows),
        gradient="contraction",
        iterations=120,
        learning_rate=0.1,
        schedule="cosine",
        decay=0.1,
        records=12,
        test=Target.from_samples(test),
    )
    distance = result.test_nll - -log_p.mean()
    assert distance[0] > 20
    assert 0 < distance[-1] < 0.4
    assert np.isfinite(result.nll).all()
    assert result.log_partition is not None


def test_a_lattice_of_8_by_8_units_learns_the_ising_model() -> None:
    temperature, n = 3.0, 64
    rows = ising.sample(8, temperature, 4000, seed=1)
    test = ising.sample(8, temperature, 2000, seed=2)
    truth = ising.energy(test).mean() / temperature + ising.log_partition(8, temperature)
    model = SqRBM.uniform(n, 49, "XYZ", scale=0.1, seed=3, mask=connectivity.lattice(8, 8))
    result = train(
        model,
        Target.from_samples(rows),
        gradient="contraction",
        iterations=60,
        learning_rate=0.1,
        schedule="cosine",
        decay=0.1,
        records=6,
        test=Target.from_samples(test),
    )
    distance = result.test_nll - truth
    # The 16 bonds that close the torus are out of the open lattice's reach.
    assert distance[0] > 6
    assert 0 < distance[-1] < 0.2 * distance[0]
