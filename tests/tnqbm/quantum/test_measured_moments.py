"""Training with averages from shots."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qiskit")

from tnqbm import MissingExtraError, SqRBM, datasets, train
from tnqbm.quantum.estimators import MeasuredMoments, measured
from tnqbm.quantum.settings import QuantumGradient
from tnqbm.training import SqRBMProblem
from tnqbm.training.estimators import GRADIENTS, Context
from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trainer import Trainer

BAS = datasets.load("bas", 4)
SHORT: dict[str, Any] = {"iterations": 3, "learning_rate": 0.05, "shots": 200, "chains": 10}


def models(count: int, paulis: str = "XZ") -> list[SqRBM]:
    return [SqRBM.uniform(4, 2, paulis, scale=0.1, seed=seed) for seed in range(count)]


def trainer(strategy: str, count: int = 2, keys: list[int] | None = None) -> Trainer:
    settings = TrainingSettings(gradient="quantum", strategy=strategy, **SHORT)
    named = np.array(keys or range(1, count + 1), dtype=np.uint64)
    return Trainer(SqRBMProblem(models(count), [BAS] * count), settings, keys=named)


@pytest.mark.parametrize("paulis", ["XZ", "XYZ"])
def test_training_follows_the_exact_one_within_shot_noise(paulis: str) -> None:
    """Total variation distances of both, from one seed (fixed) at the start of the descent.

    About 1500 shots are kept of 2e5 at the end: errors of 0.03 of each average and update, which
    averaged over updates moves the distance by about 0.01.
    """
    common: dict[str, Any] = {"iterations": 30, "learning_rate": 0.05}
    start = models(1, paulis)[0]
    exact = train(start, BAS, **common)
    found = train(start, BAS, gradient="quantum", shots=200_000, **common)
    assert exact.tvd is not None
    assert found.tvd is not None
    assert exact.tvd[0] - exact.tvd[-1] > 0.5  # there is something to follow
    assert np.abs(found.tvd - exact.tvd).max() < 0.05


@pytest.mark.parametrize("strategy", ["enhanced", "thermal"])
def test_training_with_chains_descends(strategy: str) -> None:
    found = train(
        models(1)[0], BAS, gradient="quantum", strategy=strategy, chains=100, steps=2,
        iterations=20, learning_rate=0.05,
    )  # fmt: skip
    assert found.tvd is not None
    assert found.tvd[0] > 0.7
    assert found.tvd[-1] < 0.5  # the exact run is at 0.27


@pytest.mark.parametrize("strategy", ["imaginary-time", "enhanced", "thermal"])
def test_training_is_resumed_and_batched_without_a_trace(strategy: str) -> None:
    whole = trainer(strategy)
    whole.advance(10)
    first = trainer(strategy)
    first.advance(2)
    second = trainer(strategy)
    second.restore(first.state())
    second.advance(10)
    alone = trainer(strategy, 1, [1])
    alone.advance(10)
    expected = [run.model.to_vector() for run in whole.trajectories()]
    for run, theta in zip(second.trajectories(), expected, strict=True):
        np.testing.assert_array_equal(run.model.to_vector(), theta)
    np.testing.assert_array_equal(alone.trajectories()[0].model.to_vector(), expected[0])
    other = trainer(strategy, 1, [7])
    other.advance(10)
    assert (other.trajectories()[0].model.to_vector() != expected[0]).any()


def context() -> Context:
    return Context(SqRBMProblem(models(1), [BAS]), np.array([5], dtype=np.uint64))


def estimator(**settings: Any) -> MeasuredMoments:
    made = measured(QuantumGradient(**settings), context())
    assert isinstance(made, MeasuredMoments)
    return made


def test_what_runs_took_is_reported() -> None:
    gradient = estimator(shots=300)
    theta = models(1)[0].to_vector()[None]
    for _ in range(2):
        estimate = gradient.estimate(theta, np.array([0]))
    assert estimate.model.shape == theta.shape
    found = {name: values[0].item() for name, values in gradient.report(np.array([0])).items()}
    assert found["shots"] == 2 * 2 * 300
    assert 0 < found["kept_shots"] < found["shots"]
    assert found["success_rate"] == found["kept_shots"] / found["shots"]
    assert found["two_qubit_gates"] > 0
    assert found["depth"] > 0
    assert (found["estimates"], found["shot_retries"], found["jobs"]) == (2, 0, 0)
    assert (found["strategy"], found["backend"]) == ("imaginary-time", "statevector")
    assert found["key"] == 5
    assert "acceptance_rate" not in found
    assert estimate.usage["shots"] == [600.0]
    assert 0 < estimate.usage["kept_shots"][0] < found["kept_shots"]
    again = estimator(shots=300)
    again.restore(gradient.state())
    assert {k: v[0].item() for k, v in again.report(np.array([0])).items()} == found


def test_chains_report_what_they_accepted() -> None:
    gradient = estimator(strategy="enhanced", chains=10, steps=3)
    theta = models(1)[0].to_vector()[None]
    first = gradient.estimate(theta, np.array([0]))
    second = gradient.estimate(theta, np.array([0]))
    found = gradient.report(np.array([0]))
    assert found["shots"][0] == (20 + 3) * 10 + 3 * 10  # the burn-in of the first update
    assert found["success_rate"][0] == 1.0
    each = [one.usage["acceptance_rate"][0] for one in (first, second)]
    assert found["acceptance_rate"][0] == pytest.approx(np.mean(each))
    assert 0 < found["acceptance_rate"][0] <= 1


def test_jobs_are_counted() -> None:
    pytest.importorskip("qiskit_aer")
    gradient = estimator(backend="aer", shots=200, trotter_steps=1)
    gradient.estimate(models(1)[0].to_vector()[None], np.array([0]))
    found = gradient.report(np.array([0]))
    assert (found["jobs"][0], found["job_retries"][0]) == (1, 0)
    assert found["backend"][0] == "aer"


def test_reports_do_not_depend_on_batches_and_interruptions() -> None:
    whole = trainer("imaginary-time")
    whole.advance(10)
    first = trainer("imaginary-time")
    first.advance(2)
    second = trainer("imaginary-time")
    second.restore(first.state())
    second.advance(10)
    alone = trainer("imaginary-time", 1, [1])
    alone.advance(10)
    expected = whole.trajectories()
    assert [one.estimator for one in second.trajectories()] == [one.estimator for one in expected]
    assert alone.trajectories()[0].estimator == expected[0].estimator
    for one, two in zip(second.trajectories(), expected, strict=True):
        assert one.estimator_records.keys() == {"shots", "kept_shots"}
        for name, values in one.estimator_records.items():
            np.testing.assert_array_equal(values, two.estimator_records[name])
    records = expected[0].estimator_records
    assert records["shots"].shape == expected[0].step.shape
    assert records["kept_shots"].sum() == expected[0].estimator["kept_shots"]
    assert expected[0].estimator["key"] == 1


def test_foreign_checkpoints_are_refused() -> None:
    state = estimator().state()
    with pytest.raises(ValueError, match="states"):
        estimator(strategy="enhanced").restore(state)
    with pytest.raises(ValueError, match="states"):
        estimator().restore({})
    with pytest.raises(ValueError, match="account of shots"):
        estimator().restore(state | {"spent": np.zeros((2, 3))})


def test_a_run_without_shots_fails_alone() -> None:
    """Weights of 6 leave nothing of 50 shots, nor of 800; the other run is as if it were alone."""
    large = SqRBM.uniform(4, 2, "XZ", scale=6.0, seed=1)
    settings = TrainingSettings(gradient="quantum", **SHORT)
    keys = np.array([9, 1], dtype=np.uint64)
    both = Trainer(SqRBMProblem([large, models(1)[0]], [BAS] * 2), settings, keys=keys)
    both.advance(10)
    lost, found = both.trajectories()
    assert "update 1: only" in both.failures[0]
    assert lost.stopped == "failed"
    assert lost.model == large
    assert lost.step.tolist() == [0]
    assert np.isfinite(lost.tvd).all()  # the parameters are known, and so are these
    assert np.isnan(lost.gradient_norm).all()
    assert lost.estimator["shot_retries"] > 0
    assert lost.estimator["kept_shots"] < 32
    alone = trainer("imaginary-time", 1, [1])
    alone.advance(10)
    assert found.stopped == "iterations"
    assert found.estimator == alone.trajectories()[0].estimator
    np.testing.assert_array_equal(found.kl, alone.trajectories()[0].kl)


def test_training_one_model_warns_and_keeps_what_there_is() -> None:
    large = SqRBM.uniform(4, 2, "XZ", scale=6.0, seed=1)
    with pytest.warns(RuntimeWarning, match=r"training stopped: update 1: only .* survived"):
        found = train(large, BAS, gradient="quantum", shots=50, iterations=3)
    assert found.stopped == "failed"
    assert found.model == large


def test_failed_jobs_still_end_a_training() -> None:
    """A device that does not answer is not the model's fault: nothing is marked, all resumes."""
    gradient = estimator(shots=300)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the job failed once")

    gradient._gibbs.measure_moments = fail  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="run 0, update 1: the job failed"):
        gradient.estimate(models(1)[0].to_vector()[None], np.array([0]))


def test_teams_are_refused() -> None:
    class Pair:
        rank, size = 0, 2

    import dataclasses

    with pytest.raises(ValueError, match="several ranks"):
        measured(QuantumGradient(), dataclasses.replace(context(), team=Pair()))


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "quantum" in GRADIENTS.names()
    monkeypatch.setitem(sys.modules, "qiskit", None)
    with pytest.raises(MissingExtraError, match="the extra 'quantum' of tnqbm"):
        train(models(1)[0], BAS, gradient="quantum", iterations=1)
    train(models(1)[0], BAS, iterations=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"strategy": "thermall"}, "did you mean 'thermal'"), ({"shots": 0}, "shots"),
     ({"trotter_steps": 0}, "trotter_steps"), ({"backend": ""}, "backend")],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSettings(gradient="quantum", **wrong)


def test_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "quantum.md").read_text(encoding="utf-8")
    space: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE):
        exec(block, space)
    assert space["run"].tvd[-1] < space["run"].tvd[0]
    assert "[" in capsys.readouterr().out
