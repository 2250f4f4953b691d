"""Training Hamiltonians of any kind by the loop that trains sqRBMs."""

import numpy as np
import pytest

from tnqbm import SqRBM, Target, Trainer, TrainingSettings, datasets, train
from tnqbm.hamiltonian import PauliHamiltonian, qrbm, sqbm, tfim
from tnqbm.training import HamiltonianProblem


def random_target(n, seed=1):
    return Target.from_dense(np.random.default_rng(seed).dirichlet(np.ones(2**n)))


@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd", "weight_decay": 0.1, "clip": 0.2}])
def test_an_sqrbm_trains_alike_either_way(options):
    model = SqRBM.uniform(3, 2, "XZ", seed=4)
    target, test = random_target(3), random_target(3, 2)
    common = {"iterations": 20, "snapshots": 3, "test": test, **options}
    ours = train(PauliHamiltonian.from_sqrbm(model), target, **common)
    theirs = train(model, target, **common)
    for name in ("kl", "tvd", "nll", "gradient_norm", "log_partition", "test_nll"):
        assert np.allclose(ours.metric(name), theirs.metric(name), atol=1e-9), name
    assert np.array_equal(ours.step, theirs.step)
    assert np.allclose(ours.model.to_vector(), theirs.model.to_vector(), atol=1e-8)
    assert [step for step, _ in ours.snapshots] == [step for step, _ in theirs.snapshots]
    assert ours.snapshots[0][1] == PauliHamiltonian.from_sqrbm(model)
    assert ours.stopped == "iterations"


@pytest.mark.parametrize(
    "h",
    [
        sqbm(4, 2, scale=0.5, seed=0),
        qrbm(4, 1, visible_paulis="XZ", paulis="XZ", scale=0.5, seed=1),
        tfim(4, 2, visible_edges="all", scale=0.5, seed=2),
    ],
    ids=["sqbm", "qrbm", "tfim"],
)
def test_training_learns(h):
    # A target that the family can reach.
    other = np.random.default_rng(3).uniform(-0.8, 0.8, len(h.terms))
    target = Target.from_dense(h.with_coefficients(other).probabilities())
    path = train(h, target, iterations=120, learning_rate=0.05)
    assert path.kl[-1] < 0.02 * path.kl[0]
    final = path.model
    assert list(final.terms) == list(h.terms)
    p = final.probabilities()
    assert path.final["tvd"] == pytest.approx(0.5 * np.abs(p - target.dense()).sum(), abs=1e-9)
    last = np.linalg.norm([*final.gradient(target).values()])
    assert path.final["gradient_norm"] == pytest.approx(last, rel=1e-9)


def test_runs_of_a_batch_do_not_mix_and_continue_from_checkpoints():
    start = [tfim(2, 1, seed=k) for k in (0, 1)]
    targets = [random_target(2, k) for k in (3, 4)]
    settings = TrainingSettings(iterations=10)
    whole = Trainer(HamiltonianProblem(start, targets), settings)
    whole.advance(4)
    state = whole.state()
    whole.advance(6)
    again = Trainer(HamiltonianProblem(start, targets), settings)
    again.restore(state)
    with pytest.raises(RuntimeError, match="not finished"):
        again.trajectories()
    again.advance(6)
    for k in (0, 1):
        alone = train(start[k], targets[k], iterations=10)
        for trainer in (whole, again):
            path = trainer.trajectories()[k]
            assert path.model == alone.model
            assert np.array_equal(path.kl, alone.kl)


def test_plateaus_stop_and_callbacks_are_called():
    h = tfim(2, 1, seed=0)
    target = Target.from_dense(h.probabilities())
    seen = []
    path = train(h, target, iterations=50, patience=5, callback=seen.append)
    assert path.stopped == "plateau"
    assert seen[:3] == [1, 2, 3]
    assert len(seen) < 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient": "cd"}, "gradient"),
        ({"batch_size": 2}, "batch_size"),
        ({"centred": True}, "centred"),
        ({"precision": "single"}, "precision"),
        ({"learning_rate": -1.0}, "learning_rate"),
    ],
)
def test_settings_that_do_not_apply(settings, message):
    with pytest.raises(ValueError, match=message):
        train(tfim(2, 1, seed=0), random_target(2), **settings)


def test_what_does_not_fit_together():
    h = tfim(2, 1, seed=0)
    with pytest.raises(ValueError, match="visible units"):
        train(h, random_target(3))
    with pytest.raises(ValueError, match="at least one"):
        HamiltonianProblem([], [])
    with pytest.raises(ValueError, match="same terms"):
        HamiltonianProblem([h, qrbm(2, 1, seed=0)], [random_target(2)] * 2)
    pair = [random_target(2), datasets.load("cardinality", 2)]
    with pytest.raises(ValueError, match="one size"):
        HamiltonianProblem([h, h], pair)
    with pytest.raises(
        TypeError, match="model must be an SqRBM or DeepSqRBM or SqBM or PauliHamiltonian"
    ):
        train({"ZZ": 1.0}, random_target(2))
    with pytest.raises(ValueError, match="frozen: only parameters of an sqRBM"):
        train(h, random_target(2), frozen=np.zeros(len(h.terms), bool))
    with pytest.raises(ValueError, match="would take about"):
        train(tfim(30, 30, seed=0), datasets.Target.uniform(np.eye(30, dtype=np.uint8)))
