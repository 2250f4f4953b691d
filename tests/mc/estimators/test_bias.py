"""Gradients compared with exact ones: against what is known of contrastive divergence, and while
models are trained. Seeds are fixed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from mc.estimators.settings import CD, PCD, TensorReference, provide
from tests.mc_twins import LETTERS, gibbs_matrix
from tests.together import Together
from tests.trainings import finished, same
from tests.twins import all_states, averages, enumerate_model
from tnqbm import SqRBM, Target, TrainingSettings, datasets, gradient_bias, gradient_biases, train
from tnqbm.core import connectivity
from tnqbm.core.paulis import PAULI_MATRICES
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.training import GradientBias
from tnqbm.training.bias.meter import NAMES
from tnqbm.training.bias.references import ContractionReference, ExactReference
from tnqbm.training.estimators import Averages, GradientSettings, Stateless
from tnqbm.training.problems import SqRBMProblem
from tnqbm.training.trainer import Trainer

provide()

N, M = 5, 2
Q = np.random.default_rng(3).dirichlet(np.full(2**N, 0.3))
TARGET = Target.from_dense(Q)


def model_of(p: int, seed: int = 1, scale: float = 0.6) -> SqRBM:
    return SqRBM.uniform(N, M, LETTERS[p], scale=scale, seed=seed)


def functions(model: SqRBM) -> np.ndarray:
    """s_i, sigma_j^P and s_i sigma_j^P of all states, (2**n, size)."""
    states = all_states(model.n_visible)
    return np.array([averages(model, row[None], np.ones(1)) for row in states])


def of_divergence(model: SqRBM, steps: int) -> dict[str, float]:
    """What the expectation of the CD-k gradient is, from the transition matrix of the kernel."""
    log_z, _, log_weight = enumerate_model(model)
    q, p, h = Q, np.exp(log_weight - log_z), functions(model)
    moved = q @ np.linalg.matrix_power(gibbs_matrix(log_weight, model.n_visible), steps)
    exact, expected = (q - p) @ h, (q - moved) @ h
    gap, centred = expected - exact, h - p @ h
    fisher = (p[:, None] * centred).T @ centred
    return {
        "exact_gradient_norm": float(np.linalg.norm(exact)),
        "bias_squared": float(gap @ gap / (exact @ exact)),
        "fisher_bias_squared": float(gap @ fisher @ gap / (exact @ fisher @ exact)),
        "expected_norm_ratio": float(np.linalg.norm(expected) / np.linalg.norm(exact)),
        "expected_cosine": float(
            expected @ exact / np.linalg.norm(exact) / np.linalg.norm(expected)
        ),
    }


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("batch_size", [0, 40])
def test_the_bias_of_contrastive_divergence_is_that_of_its_transition_matrix(
    p: int, steps: int, batch_size: int
) -> None:
    model, target = model_of(p), TARGET
    found = gradient_bias(
        model, target, gradient=CD(steps=steps, chains=400, kernel="collapsed"), seed=p,
        bias_replicates=200, batch_size=min(batch_size, TARGET.n_states),
    )  # fmt: skip
    exact = of_divergence(model, steps)
    assert found.exact_gradient_norm == pytest.approx(exact["exact_gradient_norm"], rel=1e-10)
    for name in ("bias_squared", "fisher_bias_squared"):
        error = getattr(found, f"{name}_error")
        assert abs(getattr(found, name) - exact[name]) < 4 * error, name
        if not batch_size:
            assert error < 0.1 * exact[name] + 1e-3  # it can fail
    slack = 0.02 if not batch_size else 0.2
    assert found.expected_norm_ratio == pytest.approx(exact["expected_norm_ratio"], abs=slack)
    assert found.expected_cosine == pytest.approx(exact["expected_cosine"], abs=slack)


def test_zero_bias_is_zero_within_its_error() -> None:
    """Chains that have forgotten how they started are samples of the model."""
    z = []
    for seed in range(12):
        found = gradient_bias(
            model_of(3), TARGET, gradient="pcd", updates=40, chains=100, bias_replicates=24,
            seed=seed,
        )  # fmt: skip
        z.append(found.bias_squared / found.bias_squared_error)
        z.append(found.fisher_bias_squared / found.fisher_bias_squared_error)
    assert np.abs(z).max() < 4
    assert abs(np.mean(z[::2])) < 3 / np.sqrt(12)
    assert min(z) < 0 < max(z)


def test_the_variance_is_that_of_independent_samples() -> None:
    model, chains = model_of(2), 100
    found = gradient_bias(
        model, TARGET, gradient="pcd", updates=40, chains=chains, bias_replicates=400, seed=1
    )
    log_z, _, log_weight = enumerate_model(model)
    p, h = np.exp(log_weight - log_z), functions(model)
    centred = h - p @ h
    one = float(p @ (centred**2).sum(axis=1)) / chains
    norm = found.exact_gradient_norm
    assert found.gradient_variance == pytest.approx(one / norm**2, rel=0.1)
    # E d.F d = tr F^2 / chains, relative to g.F g
    fisher = (p[:, None] * centred).T @ centred
    g = (Q - p) @ h
    wanted = np.trace(fisher @ fisher) / chains / (g @ fisher @ g)
    assert found.fisher_variance == pytest.approx(wanted, rel=0.1)


def test_exact_gradients_have_neither_bias_nor_variance() -> None:
    found = gradient_bias(model_of(3), TARGET, gradient="exact", bias_replicates=3)
    assert abs(found.bias_squared) < 1e-25
    assert found.gradient_variance < 1e-25
    assert found.gradient_cosine == pytest.approx(1.0, abs=1e-12)
    assert found.gradient_sign_share == 1.0


def test_references_agree() -> None:
    mask = connectivity.named("ring-3", 8, 8)
    model = SqRBM.uniform(8, 8, "XYZ", scale=0.4, seed=2, mask=mask)
    target = datasets.load("bas", 8)
    settings: dict[str, Any] = {"gradient": CD(chains=500), "seed": 4, "bias_replicates": 30}
    exact = gradient_bias(model, target, bias_reference="exact", **settings)
    local = gradient_bias(model, target, bias_reference="contraction", **settings)
    tensor = gradient_bias(
        model, target, bias_reference=TensorReference(replicates=30, samples=20_000), **settings
    )
    for name in NAMES:
        one, two = getattr(exact, name), getattr(local, name)
        fisher = name.startswith("fisher")  # of drawn states, where the other has all
        assert two == pytest.approx(one, rel=0.15 if fisher else 1e-9, abs=1e-12), name
    assert exact.reference_error == 0.0
    assert 0.0 < tensor.reference_error < 0.05
    assert tensor.bias_squared_error > exact.bias_squared_error
    assert abs(tensor.bias_squared - exact.bias_squared) < 4 * tensor.bias_squared_error
    assert tensor.exact_gradient_norm == pytest.approx(exact.exact_gradient_norm, rel=0.05)


def test_errors_of_a_sampled_reference_are_right() -> None:
    """Without bias the squared bias scatters as its stated error says, around zero."""
    model = SqRBM.uniform(8, 3, "XYZ", scale=0.4, seed=2)
    target = datasets.load("bas", 8)
    found = [
        gradient_bias(
            model, target, gradient="exact", bias_reference=TensorReference(samples=1000),
            bias_replicates=2, seed=seed,
        )
        for seed in range(30)
    ]  # fmt: skip
    z = np.array([one.bias_squared / one.bias_squared_error for one in found])
    assert abs(z.mean()) < 4 / np.sqrt(30)
    assert 0.5 < z.std(ddof=1) < 1.5


def test_states_beyond_those_that_are_listed_are_drawn() -> None:
    """More than 12 visible units: the Fisher metric is of drawn states."""
    model = SqRBM.uniform(13, 2, "XZ", scale=0.5, seed=1)
    target = Target.from_samples(np.random.default_rng(1).integers(0, 2, (50, 13), dtype=np.uint8))
    settings: dict[str, Any] = {"chains": 200, "bias_replicates": 20}
    one, two = (gradient_bias(model, target, seed=seed, **settings) for seed in (1, 2))
    assert one.fisher_variance == pytest.approx(two.fisher_variance, rel=0.4)
    assert one.fisher_bias_squared > 4 * one.fisher_bias_squared_error


def test_the_distances_do_not_change_where_the_axes_of_a_hidden_unit_rotate() -> None:
    model, target = model_of(3), TARGET
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    b, w = model.b.copy(), model.w.copy()
    b[:, 0], w[:, :, 0] = rotation @ b[:, 0], np.einsum("pq,qi->pi", rotation, w[:, :, 0])
    turned = SqRBM(model.a, b, w, "XYZ")
    one, two = (
        gradient_bias(m, target, gradient=CD(chains=200, kernel="collapsed"), seed=5)
        for m in (model, turned)
    )
    for name in set(NAMES) - {"gradient_sign_share"}:
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-5, abs=1e-7), name


# --- while models are trained --------------------------------------------------------------------


def trainer(settings: dict[str, Any], runs: int = 2, first: int = 0, team: Any = None) -> Trainer:
    models = [model_of(3, seed) for seed in range(first, first + runs)]
    keys = np.arange(first, first + runs, dtype=np.uint64) + np.uint64(7)
    problem = SqRBMProblem(models, [TARGET] * runs)
    return Trainer(problem, TrainingSettings(**settings), keys=keys, team=team)


def small(**settings: Any) -> dict[str, Any]:
    base = {"gradient": "pcd", "chains": 20, "iterations": 12, "learning_rate": 0.05}
    return {**base, "bias_reference": "exact", "bias_replicates": 3, **settings}


def records_agree(one: Any, two: Any) -> bool:
    a, b = one.estimator_records, two.estimator_records
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)


def test_nothing_is_compared_unless_it_is_asked_for() -> None:
    path = finished(trainer({"gradient": "pcd", "iterations": 2, "chains": 20}))[0]
    assert not path.estimator_records


@pytest.mark.parametrize(
    "gradient", ["exact", "cd", "pcd", "tempered", "trajectory", "tensor", "weighted"]
)
def test_what_is_compared_steers_nothing(gradient: str) -> None:
    own = {} if gradient == "exact" else {"chains": 20}
    base = {"gradient": gradient, "iterations": 6, **own}
    plain = finished(trainer(base))
    watched = finished(trainer(base | {"bias_reference": "exact", "bias_replicates": 2}))
    assert all(same(*pair) for pair in zip(plain, watched, strict=True))
    columns = watched[0].estimator_records
    assert set(NAMES) <= set(columns)
    # The length of an expectation that is lost in noise is NaN.
    known = [name for name in NAMES if not name.startswith("expected")]
    assert all(np.isfinite(columns[name]).all() for name in known)


def test_the_rows_that_are_compared_are_chosen_among_those_recorded() -> None:
    path = finished(trainer(small(records=8, bias_evaluations=3)))[0]
    known = np.isfinite(path.estimator_records["bias_squared"])
    assert known.sum() == 3
    assert known[[0, -1]].all()
    assert path.step.size == 8


def test_without_replicates_only_the_estimate_that_steers_is_compared() -> None:
    path = finished(trainer(small(bias_replicates=0)))[0]
    columns = path.estimator_records
    assert np.isfinite(columns["gradient_cosine"]).all()
    assert np.isnan(columns["bias_squared"]).all()


@pytest.mark.parametrize("batch_size", [0, 4])
@pytest.mark.parametrize("gradient", ["cd", "pcd", "tempered", "trajectory", "weighted"])
def test_bits_do_not_depend_on_batches_or_interruptions(
    gradient: str, batch_size: int, tmp_path: Path
) -> None:
    settings = small(gradient=gradient, batch_size=batch_size, records=5)
    together = finished(trainer(settings))
    alone = finished(trainer(settings, runs=1, first=1))[0]
    assert same(together[1], alone)
    assert records_agree(together[1], alone)
    begun = trainer(settings)
    begun.advance(5)
    begun.save(tmp_path / "run.h5")
    resumed = trainer(settings)
    resumed.resume(tmp_path / "run.h5")
    for one, two in zip(together, finished(resumed), strict=True):
        assert same(one, two)
        assert records_agree(one, two)


@pytest.mark.parametrize("gradient", ["cd", "pcd", "tempered"])
def test_a_team_gives_the_columns_of_one(gradient: str) -> None:
    settings = small(gradient=gradient, chains=150, iterations=3)
    alone = finished(trainer(settings, runs=1))[0]
    together, found = Together(2), []

    def work(member: Any) -> None:
        with together.turn:
            found.append(finished(trainer(settings, runs=1, team=member))[0])

    threads = [threading.Thread(target=work, args=[member]) for member in together.members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert all(same(alone, path) and records_agree(alone, path) for path in found)


def test_replicates_follow_the_training_and_differ_from_what_steers_it() -> None:
    """The first estimates of persistent chains lag behind the model; many sweeps do not."""
    lag = {
        steps: finished(
            trainer(small(steps=steps, chains=400, bias_replicates=12, iterations=4), runs=1)
        )[0].estimator_records
        for steps in (1, 30)
    }
    for columns, biased in ((lag[1], True), (lag[30], False)):
        z = columns["bias_squared"] / columns["bias_squared_error"]
        assert (z[0] > 6) == biased
    assert np.abs(lag[30]["bias_squared"] / lag[30]["bias_squared_error"]).max() < 4


def test_what_was_saved_without_this_setting_goes_on(tmp_path: Path) -> None:
    import json

    import h5py

    from tnqbm.training.checkpoints import identity_of, read_checkpoint, write_checkpoint

    one = trainer({"gradient": "pcd", "iterations": 3, "chains": 20})
    identity = identity_of(one.problem, one.settings, np.arange(2, dtype=np.uint64))
    assert identity.settings.pop("bias_reference") == "none"
    write_checkpoint(tmp_path / "old.h5", one.state(), identity)
    with h5py.File(tmp_path / "old.h5") as file:
        assert "bias_reference" not in json.dumps(dict(file.attrs), default=str)
    now = identity_of(one.problem, one.settings, np.arange(2, dtype=np.uint64))
    assert read_checkpoint(tmp_path / "old.h5", now)


class Shifted(GradientSettings):
    """Exact averages plus a constant: an estimator of somebody else, all bias."""

    name: ClassVar[str] = "shifted"

    def make(self, context: Any) -> Any:
        exact = ExactReference().make(context)

        class Estimator(Stateless):
            def estimate(self, theta: Any, rows: Any, data: Any = None) -> Averages:
                found = [exact(row, run, 0).averages for row, run in zip(theta, rows, strict=True)]
                return Averages(np.array(found) + 0.01)

        return Estimator()


def test_an_estimator_of_another_package_is_compared_without_a_line_changed() -> None:
    found = gradient_bias(model_of(3), TARGET, gradient=Shifted(), bias_replicates=4)
    size = model_of(3).to_vector().size
    wanted = size * 0.01**2 / found.exact_gradient_norm**2
    assert found.bias_squared == pytest.approx(wanted, rel=1e-9)
    assert found.gradient_variance < 1e-20


def test_other_hamiltonians_are_compared_without_a_metric() -> None:
    z = PAULI_MATRICES["Z"]
    assert z.shape == (2, 2)
    model = PauliHamiltonian({"ZI": 0.3, "ZX": 0.4, "IX": -0.2}, 1)
    path = train(
        model, Target.from_dense([0.3, 0.7]), iterations=3, bias_reference="exact",
        bias_replicates=2,
    )  # fmt: skip
    assert np.abs(path.estimator_records["bias_squared"]).max() < 1e-20
    assert np.isnan(path.estimator_records["fisher_distance"]).all()


def test_several_models_one_after_another() -> None:
    path = train(model_of(3), TARGET, iterations=20, snapshots=4, learning_rate=0.02)
    models = [model for _, model in path.snapshots]
    found = gradient_biases(models, TARGET, gradient=PCD(steps=20, chains=50), seed=1)
    assert len(found) == len(models)
    assert all(isinstance(one, GradientBias) for one in found)
    norms = [one.exact_gradient_norm for one in found]
    wanted = [np.linalg.norm(gradient_of(model)) for model in models]
    assert norms == pytest.approx(wanted)


def gradient_of(model: SqRBM) -> np.ndarray:
    log_z, _, log_weight = enumerate_model(model)
    return (Q - np.exp(log_weight - log_z)) @ functions(model)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bias_replicates": 1}, "at least 2"),
        ({"bias_replicates": 0}, "at least 2"),
        ({"bias_reference": "none"}, "there must be one"),
        ({"bias_reference": "exakt"}, "did you mean 'exact'"),
        ({"bias_samples": 100}, "one of 'tensor'"),
        ({"updates": 0}, "updates"),
    ],
)
def test_impossible_comparisons_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        gradient_bias(model_of(3), TARGET, **settings)


def test_an_estimator_given_as_an_object_has_no_replicates() -> None:
    class Mine(Stateless):
        def estimate(self, theta: Any, rows: Any, data: Any = None) -> Averages:
            return Averages(np.zeros_like(theta))

    settings: dict[str, Any] = {"iterations": 2, "bias_reference": "exact"}
    with pytest.raises(ValueError, match="bias_replicates = 0"):
        train(model_of(3), TARGET, gradient=Mine(), **settings)
    path = train(model_of(3), TARGET, gradient=Mine(), bias_replicates=0, **settings)
    assert np.isfinite(path.estimator_records["gradient_distance"]).all()


@pytest.mark.parametrize(("reference", "n"), [(ExactReference(), 40), (ContractionReference(), 60)])
def test_models_out_of_reach_are_refused(reference: Any, n: int) -> None:
    model = SqRBM.uniform(n, n, "XYZ", scale=0.1, seed=1)
    rows = np.random.default_rng(1).integers(0, 2, (20, n), dtype=np.uint8)
    with pytest.raises((ValueError, MemoryError)):
        gradient_bias(model, Target.from_samples(rows), bias_reference=reference)
