import numpy as np
import pytest

from tests.tnqbm.training.noisy_estimator import NoisyGradient, known
from tests.trainings import finished, same
from tests.twins import all_states
from tnqbm import SqRBM, Target, TrainingSettings, datasets, exact, train
from tnqbm.core import connectivity, metrics
from tnqbm.core.shape import Shape
from tnqbm.training import SqRBMProblem
from tnqbm.training.estimators import GRADIENTS, Averages
from tnqbm.training.estimators.exact import Enumeration, ExactGradient
from tnqbm.training.estimators.protocol import GivenGradient
from tnqbm.training.settings import log_spaced
from tnqbm.training.trainer import Trainer


def small(data="bas", paulis="XYZ", runs=5, **settings):
    models = [SqRBM.uniform(6, 2, paulis, seed=k) for k in range(runs)]
    targets = [datasets.load(data, 6, seed=k) for k in range(runs)]
    if data != "on2":
        targets = [targets[0]] * runs
    given = {"iterations": 40} | settings
    return Trainer(SqRBMProblem(models, targets), TrainingSettings(**given))


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_training_learns_bars_and_stripes(paulis):
    target = datasets.load("bas", 4)
    result = train(SqRBM.uniform(4, 4, paulis, seed=1), target, iterations=400)
    assert result.tvd[-1] < 0.1 < result.tvd[0]
    assert result.step.size == 401


def test_records_are_the_true_metrics():
    target = datasets.load("on2", 6, seed=3)
    result = train(SqRBM.uniform(6, 2, "XZ", seed=0), target, iterations=20, snapshots=5)
    q = target.dense()
    for step, model in result.snapshots:
        p = exact.probabilities(model)
        assert result.kl[step] == pytest.approx(metrics.kl_divergence(q, p), abs=1e-12)
        assert result.tvd[step] == pytest.approx(metrics.total_variation(q, p), abs=1e-12)
        assert result.nll[step] == pytest.approx(metrics.negative_log_likelihood(q, p), abs=1e-12)
        gradient = np.concatenate([g.ravel() for g in exact.gradient(model, target)])
        assert result.gradient_norm[step] == pytest.approx(np.linalg.norm(gradient), rel=1e-9)
    assert result.snapshots[-1][1] == result.model


def test_amsgrad_follows_the_textbook():
    """Independent re-statement of the update rule, with its bias corrections."""
    target = datasets.load("bas", 4)
    model = SqRBM.uniform(4, 2, "XZ", seed=3)
    theta, m, v, largest = model.to_vector(), 0.0, 0.0, 0.0
    for t in range(1, 26):
        at = SqRBM.from_vector(theta, 4, 2, "XZ")
        g = np.concatenate([x.ravel() for x in exact.gradient(at, target)])
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        largest = np.maximum(largest, v)
        theta = theta - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(largest / (1 - 0.999**t)) + 1e-8)
    result = train(model, target, iterations=25)
    np.testing.assert_allclose(result.model.to_vector(), theta, rtol=1e-9)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"optimizer": "amsgrad"},
        {"optimizer": "adam"},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.5},
    ],
    ids=["amsgrad", "adam", "sgd", "momentum"],
)
@pytest.mark.parametrize("schedule", ["constant", "exponential", "cosine", "step"])
def test_every_optimizer_and_schedule_descends(optimizer, schedule):
    result = train(
        SqRBM.uniform(4, 3, "XYZ", seed=1), datasets.load("parity", 4), iterations=150,
        schedule=schedule, decay=0.5, decay_steps=50, **optimizer,
    )  # fmt: skip
    assert result.kl[-1] < result.kl[0]


@pytest.mark.parametrize("data", ["bas", "on2", "parity"])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_a_run_does_not_depend_on_its_batch(data, precision):
    batch = finished(small(data, snapshots=3, precision=precision))
    for k in (0, 3):
        model, target = SqRBM.uniform(6, 2, "XYZ", seed=k), datasets.load(data, 6, seed=k)
        settings = TrainingSettings(iterations=40, snapshots=3, precision=precision)
        assert same(finished(Trainer(SqRBMProblem([model], [target]), settings), 7)[0], batch[k])


@pytest.mark.parametrize("optimizer", ["amsgrad", "adam", "sgd"])
@pytest.mark.parametrize("stop", [0, 1, 17, 39, 40])
def test_restoring_a_checkpoint_changes_nothing(optimizer, stop):
    settings = {"optimizer": optimizer, "records": 9, "snapshots": 4, "patience": 12}
    whole = finished(small("on2", **settings))
    first = small("on2", **settings)
    first.advance(stop)
    second = small("on2", **settings)
    second.restore(first.state())
    assert second.iteration == first.iteration
    for one, two in zip(whole, finished(second), strict=True):
        assert same(one, two)


def test_early_stopping_ends_runs_apart():
    trainer = small("bas", runs=6, iterations=3000, patience=40, min_delta=1e-3, snapshots=10)
    results = finished(trainer)
    assert {r.stopped for r in results} == {"plateau"}
    assert len({r.step[-1] for r in results}) > 1
    for k, result in enumerate(results):
        assert result.step.size == result.kl.size
        assert np.isfinite(result.kl).all()
        assert all(step <= result.step[-1] for step, _ in result.snapshots)
        p = exact.probabilities(result.model)
        q = datasets.load("bas", 6).dense()
        assert result.kl.min() == pytest.approx(metrics.kl_divergence(q, p), abs=1e-10)
        alone = train(
            SqRBM.uniform(6, 2, "XYZ", seed=k), datasets.load("bas", 6), iterations=3000,
            patience=40, min_delta=1e-3, snapshots=10,
        )  # fmt: skip
        assert same(alone, result)


def test_a_custom_estimator_is_used():
    class Frozen:
        def estimate(self, theta, rows):
            return Averages(np.zeros_like(theta))

        def state(self):
            return {}

        def restore(self, state):
            pass

    result = train(
        SqRBM.uniform(4, 1, "Z", seed=0), datasets.load("bas", 4), gradient=Frozen(),
        iterations=3, evaluate="none",
    )  # fmt: skip
    assert result.kl is None  # without log Z there is no divergence
    assert result.gradient_norm.size == 4
    with pytest.raises(ValueError, match="not kept"):
        result.metric("kl")


def test_divergence_is_an_error_not_a_nan():
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        train(
            SqRBM.uniform(4, 2, "Z", seed=0), datasets.load("bas", 4), optimizer="sgd",
            learning_rate=1e200, iterations=10,
        )  # fmt: skip


class Spoilt:
    """Exact averages, but those of run 1 are no numbers at the third update."""

    def __init__(self):
        self.exact, self.asked = Enumeration(Shape(6, 2, 3)), 0

    def estimate(self, theta, rows, data=None):
        found, self.asked = self.exact.estimate(theta, rows), self.asked + 1
        if self.asked == 3:
            found.model[rows == 1] = np.nan
        return found

    def state(self):
        return {"asked": np.array(self.asked)}

    def restore(self, state):
        self.asked = int(state["asked"])


def batch(estimator, runs=2, **settings):
    models = [SqRBM.uniform(6, 2, "XYZ", seed=k) for k in range(runs)]
    target = datasets.load("bas", 6)
    given = TrainingSettings(gradient=GivenGradient(estimator=estimator), iterations=6, **settings)
    return Trainer(SqRBMProblem(models, [target] * runs), given)


@pytest.mark.parametrize("records", [None, 1])
def test_a_run_that_diverges_ends_alone_with_the_parameters_it_had(records):
    expected = batch(Enumeration(Shape(6, 2, 3)), records=records)
    expected.advance(2)
    before = expected.parameters[1].copy()
    whole = finished(expected)
    both = batch(Spoilt(), records=records)
    both.advance(3)
    again = batch(Spoilt(), records=records)
    again.restore(both.state())
    for trainer in (both, again):
        first, second = finished(trainer)
        assert first.model == whole[0].model
        assert (first.stopped, first.cause) == ("iterations", "")
        assert second.stopped == "failed"
        assert second.cause.startswith("update 3: the parameters stopped being finite (learning")
        np.testing.assert_array_equal(second.model.to_vector(), before)
        if records is None:
            assert second.step.tolist() == [0, 1, 2]
            np.testing.assert_array_equal(second.gradient_norm[:2], whole[1].gradient_norm[:2])
        else:
            assert second.step.tolist() == [2]
            assert np.isnan(second.gradient_norm).all()


def test_abandoned_runs_keep_what_they_have():
    trainer = batch(Enumeration(Shape(6, 2, 3)))
    trainer.advance(2)
    before = trainer.parameters.copy()
    trainer.abandon("a bell\a rang\n" + 5000 * "x")
    assert trainer.finished
    for row, path in zip(before, trainer.trajectories(), strict=True):
        np.testing.assert_array_equal(path.model.to_vector(), row)
        assert path.stopped == "failed"
        assert path.step.tolist() == [0, 1]
        assert path.cause.startswith("update 3: a bell\\x07 rang\nxxx")
        assert path.cause.endswith("x ... (5013 characters in all)")
        assert len(path.cause) < 2100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "amsgard"}, "did you mean 'amsgrad'"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"iterations": -1}, "iterations"),
        ({"iterations": 2.5}, "iterations"),
        ({"beta1": 1.0}, "beta1"),
        ({"records": 0}, "records"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"precision": "half"}, "precision"),
        ({"gradient": "pdc"}, "gradient"),
    ],
)
def test_bad_settings_name_their_field(settings, message):
    with pytest.raises(ValueError, match=message):
        train(SqRBM.uniform(4, 1, "Z", seed=0), datasets.load("bas", 4), **settings)


def test_mismatched_batches_are_refused():
    bas = datasets.load("bas", 4)
    with pytest.raises(ValueError, match="one shape"):
        SqRBMProblem([SqRBM.uniform(4, m, "Z", seed=0) for m in (1, 2)], [bas, bas])
    with pytest.raises(ValueError, match="visible units"):
        SqRBMProblem([SqRBM.uniform(6, 1, "Z", seed=0)], [bas])
    models = [SqRBM.uniform(4, 1, "Z", seed=0)] * 2
    with pytest.raises(ValueError, match="one size"):
        SqRBMProblem(models, [bas, Target.uniform(np.eye(4)[:2])])
    with pytest.raises(ValueError, match="lacks"):
        small().restore({"iteration": np.array(1)})
    with pytest.raises(ValueError, match="shape"):
        small(runs=3).restore(small(runs=4).state())


def test_zero_iterations_records_the_start():
    result = train(SqRBM.uniform(4, 1, "Z", seed=0), datasets.load("bas", 4), iterations=0)
    assert result.step.tolist() == [0]
    assert result.model == SqRBM.uniform(4, 1, "Z", seed=0)


@pytest.mark.parametrize("last", [0, 1, 5, 40, 2000])
@pytest.mark.parametrize("count", [None, 0, 1, 2, 7, 20, 200])
def test_log_spaced_steps(last, count):
    steps = log_spaced(last, count)
    assert (np.diff(steps) > 0).all()
    if count == 0:
        assert steps.size == 0
    elif count is None or count > last:
        assert steps.tolist() == list(range(last + 1))
    else:
        assert steps.size == count
        assert steps[-1] == last
        assert count == 1 or steps[0] == 0


def test_single_precision_trains_alike():
    target = datasets.load("bas", 6)
    model = SqRBM.uniform(6, 3, "XYZ", seed=2)
    double, single = (
        train(model, target, iterations=50, precision=p) for p in ("double", "single")
    )
    np.testing.assert_allclose(single.kl, double.kl, atol=2e-3)
    assert not np.array_equal(single.kl, double.kl)


# --- local connectivity ------------------------------------------------------------------------

LINE = connectivity.line(6, 3, copies=2)


def local(runs=3, mask=LINE, paulis="XZ", **settings):
    models = [SqRBM.uniform(6, 8, paulis, seed=k, mask=mask) for k in range(runs)]
    targets = [datasets.load("bas", 6)] * runs
    given = {"iterations": 30} | settings
    return Trainer(SqRBMProblem(models, targets), TrainingSettings(**given))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adam", "epsilon": 0.0},
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1},
        {"centred": True, "weight_decay": 0.1, "clip": 0.5},
        {"optimizer": "sgd", "centred": True, "batch_size": 4, "precision": "single"},
        {"patience": 5, "min_delta": 0.05},
    ],
)
def test_couplings_outside_the_mask_stay_zero(settings):
    trainer = local(snapshots=4, **settings)
    for result in finished(trainer):
        for _, model in [(0, result.model), *result.snapshots]:
            assert np.array_equal(model.mask, LINE)
            assert not model.w[:, ~LINE].any()
            assert (model.w[:, LINE] != 0).all()
        assert np.isfinite(result.gradient_norm).all()


def test_a_masked_run_follows_the_gradient_of_its_own_parameters():
    """Plain descent on the dense gradient with the absent couplings' entries crossed out."""
    target = datasets.load("on2", 6, seed=3)
    model = SqRBM.uniform(6, 8, "XYZ", seed=1, mask=LINE)
    free = Shape(*LINE.shape, 3).free(LINE)
    theta, norms = model.to_vector(), []
    for _ in range(10):
        at = SqRBM.from_vector(theta, 6, 8, "XYZ")
        gradient = np.concatenate([g.ravel() for g in exact.gradient(at, target)]) * free
        norms.append(np.linalg.norm(gradient))
        theta = theta - 0.05 * gradient
    result = train(model, target, iterations=10, optimizer="sgd", learning_rate=0.05)
    np.testing.assert_allclose(result.model.to_vector(), theta, atol=1e-12)
    np.testing.assert_allclose(result.gradient_norm[:10], norms, rtol=1e-10)
    p = exact.probabilities(result.model)
    assert result.kl[-1] == pytest.approx(metrics.kl_divergence(target.dense(), p), abs=1e-12)


def test_a_masked_run_does_not_depend_on_its_batch_or_on_interruptions():
    batch = finished(local(snapshots=3, centred=True))
    assert same(finished(local(1, snapshots=3, centred=True), 7)[0], batch[0])
    first = local(snapshots=3, centred=True)
    first.advance(11)
    second = local(snapshots=3, centred=True)
    second.restore(first.state())
    assert all(same(one, two) for one, two in zip(batch, finished(second), strict=True))


def test_a_mask_of_everything_trains_as_none():
    everything = finished(local(mask=np.ones((6, 8), bool), centred=True))
    assert all(
        same(one, two)
        for one, two in zip(everything, finished(local(mask=None, centred=True)), strict=True)
    )


def test_the_mask_is_told_to_the_estimator(monkeypatch):
    seen = []

    class Spy(ExactGradient):
        name = "spy"

        def make(self, context):
            seen.append(context.problem.mask)
            return super().make(context)

    known(monkeypatch, GRADIENTS, Spy)
    local(gradient="spy")
    local(mask=None, gradient="spy")
    assert np.array_equal(seen[0], LINE)
    assert seen[1] is None


def test_models_of_different_masks_are_not_trained_together():
    masks = (LINE, connectivity.line(6, 3, periodic=True)[:, :4].repeat(2, axis=1), None)
    bas = datasets.load("bas", 6)
    for other in masks[1:]:
        models = [SqRBM.uniform(6, 8, "Z", seed=0, mask=mask) for mask in (LINE, LINE, other)]
        with pytest.raises(ValueError, match="that of model 2 differs"):
            SqRBMProblem(models, [bas] * 3)


def test_an_estimated_log_z_may_come_with_its_error():
    class Estimated:
        def estimate(self, theta, rows):
            batch = theta.shape[0]
            return Averages(
                np.zeros_like(theta),
                log_partition=np.full(batch, 5.0),
                log_partition_error=np.full(batch, 0.25),
            )

        def state(self):
            return {}

        def restore(self, state):
            pass

    result = train(
        SqRBM.uniform(4, 1, "Z", seed=0), datasets.load("bas", 4), gradient=Estimated(),
        iterations=2, evaluate="none",
    )  # fmt: skip
    assert result.log_partition.tolist() == [5.0] * 3
    assert result.log_partition_error.tolist() == [0.25] * 3


def test_an_estimated_log_z_is_recorded_with_its_lower_bound() -> None:
    """The weight of all distinct rows of data, held-out ones included, each once."""
    states = all_states(4)
    target, test = Target.uniform(states[:6]), Target.uniform(states[4:9])
    model = SqRBM.uniform(4, 2, "XZ", seed=1)
    options = {"iterations": 3, "gradient": NoisyGradient(), "evaluate": "exact"}
    path = train(model, target, test=test, **options)
    alone = train(model, target, **options)
    assert path.log_partition_bound is not None
    assert alone.log_partition_bound is not None
    for found, count in ((path, 9), (alone, 6)):
        weights = found.model.log_weight(states[:count])
        assert found.metric("log_partition_bound")[-1] == pytest.approx(
            np.logaddexp.reduce(weights)
        )
    assert train(model, target, iterations=3).log_partition_bound is None


def test_checkpoints_with_fewer_metrics_go_on() -> None:
    """Those of earlier versions did not know the metrics at the end of the list."""
    target = Target.uniform(all_states(3)[:4])
    settings = TrainingSettings(iterations=8)
    problem = SqRBMProblem([SqRBM.uniform(3, 1, "Z", seed=1)], [target])
    whole, halved = (Trainer(problem, settings) for _ in "ab")
    whole.advance(4)
    state = whole.state()
    earlier = {**state, "metrics": state["metrics"][:7], "known": state["known"][:7]}
    halved.restore(earlier)
    for trainer in (whole, halved):
        trainer.advance(9)
    one, other = (trainer.trajectories()[0] for trainer in (whole, halved))
    assert np.array_equal(one.metric("kl"), other.metric("kl"))
    assert other.valid_nll is None
