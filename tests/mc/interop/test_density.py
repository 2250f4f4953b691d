"""The density estimator: scikit-learn's own checks, and its numbers against exact ones."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from mc import Chains, Exact, Perfect
from mc.estimators.settings import PCD
from tests.twins import all_states
from tnqbm import exact

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.naive_bayes import BernoulliNB  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from mc.interop import SqRBMDensity  # noqa: E402

BINARY_ONLY = "its data are real numbers, which are refused unless binarize is given"

FED_REAL_NUMBERS = (
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_fit_returns_self",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
)


def expected_failures(estimator):
    return {} if estimator.binarize is not None else dict.fromkeys(FED_REAL_NUMBERS, BINARY_ONLY)


@parametrize_with_checks(
    [SqRBMDensity(2, "XZ", iterations=20, binarize=0.0), SqRBMDensity(2, "XZ", iterations=20)],
    expected_failed_checks=expected_failures,
)
def test_conventions_of_scikit_learn(estimator, check):
    check(estimator)


def rows(n=5, count=300, seed=0):
    """Rows of correlated bits."""
    rng = np.random.default_rng(seed)
    first = rng.random((count, 1)) < 0.6
    return np.where(rng.random((count, n)) < 0.8, first, ~first).astype(np.uint8)


def fitted(n=5, **parameters):
    parameters = {"n_hidden": 2, "iterations": 60, "random_state": 1} | parameters
    return SqRBMDensity(**parameters).fit(rows(n))


# --- numbers -----------------------------------------------------------------------------------


def test_densities_are_those_of_the_model():
    density = fitted()
    states = all_states(5)
    found = density.score_samples(states)
    assert np.exp(found) == pytest.approx(exact.probabilities(density.model_), abs=1e-12)
    assert density.log_partition().standard_error == 0.0
    assert density.score(rows()) == pytest.approx(-density.trajectory_.nll[-1], abs=1e-9)
    assert density.score(rows()) > fitted(iterations=0).score(rows()) + 0.1


def test_features_are_averages_of_the_hidden_qubits():
    density = fitted(paulis="XZ", n_hidden=3)
    states = rows()[:7]
    rho = density.model_.hidden_states(states)
    x, z = np.array([[0, 1], [1, 0]]), np.diag([1, -1])
    averages = [np.einsum("rjkl,lk->rj", rho, pauli).real for pauli in (x, z)]
    assert density.transform(states) == pytest.approx(np.hstack(averages), abs=1e-12)
    assert list(density.get_feature_names_out()) == ["X0", "X1", "X2", "Z0", "Z1", "Z2"]


def test_updates_one_by_one_are_the_same_as_a_fit():
    """Exact gradients draw nothing; the optimizer's memory goes from call to call."""
    parameters = {"optimizer": "adam", "learning_rate": 0.05, "iterations": 7}
    whole = fitted(**parameters)
    step = SqRBMDensity(n_hidden=2, random_state=1, **parameters)
    for _ in range(7):
        step.partial_fit(rows())
    assert step.model_ == whole.model_
    assert step.trajectory_ is None


def test_fits_go_on_from_new_rows():
    density = fitted()
    before, log_z = density.model_, density.log_partition()
    new = 1 - rows()
    worse = density.score(new)
    for _ in range(100):
        density.partial_fit(new)
    assert density.model_ != before
    assert density.log_partition() is not log_z
    assert density.score(new) > worse


def test_chains_go_on_from_call_to_call():
    density = fitted(gradient=PCD(chains=10), optimizer="sgd", batch_size=50, iterations=5)
    updates = int(density._state["phase/updates"])
    chains = density._state["phase/chains"].copy()
    density.partial_fit(rows()[:40])
    assert int(density._state["phase/updates"]) == updates + 1
    assert density._state["phase/chains"].shape == chains.shape
    assert not np.array_equal(density._state["phase/chains"], chains)


def test_a_training_that_stopped_early_is_gone_on_with_anew():
    density = fitted(settings={"patience": 5}, iterations=300)
    assert density._state == {}
    model = density.model_
    assert density.partial_fit(rows()).model_ != model


def test_samples_from_the_table_have_the_models_distribution():
    density = fitted()
    drawn = density.sample(20_000)
    p = exact.probabilities(density.model_)
    counts = np.bincount(drawn @ (1 << np.arange(4, -1, -1)), minlength=32)
    chi2 = ((counts - 20_000 * p) ** 2 / (20_000 * p)).sum()
    assert chi2 < 31 + 5 * np.sqrt(62)


@pytest.mark.filterwarnings("ignore::mc.MixingWarning")
def test_samples_from_chains():
    density = fitted(22, iterations=3)
    drawn = density.sample(250, random_state=3)
    assert drawn.shape == (250, 22)
    assert set(np.unique(drawn)) == {0, 1}
    assert np.array_equal(drawn, density.sample(250, random_state=3))
    assert not np.array_equal(drawn, density.sample(250))
    few = density.set_params(sampling_method=Chains(chains=3, kernel="collapsed"))
    assert few.sample(7).shape == (7, 22)


def test_sweeps_leave_the_distribution_as_it_is():
    density = fitted()
    start = density.sample(20_000)
    moved = density.gibbs(start, steps=2)
    assert not np.array_equal(moved, start)
    z = exact.moments(density.model_).z
    error = np.sqrt((1 - z**2) / 20_000)
    assert (np.abs((1.0 - 2.0 * moved).mean(axis=0) - z) < 5 * error).all()
    assert not np.array_equal(moved, density.gibbs(start, steps=2))


def test_gradients_follow_the_number_of_features():
    few, many = fitted(4), fitted(18, iterations=2)
    assert "phase/chains" not in few._state
    assert many._state["phase/chains"].shape == (1, 100, 18)
    assert np.isfinite(few.trajectory_.nll).all()


# --- tools of scikit-learn -----------------------------------------------------------------------


def test_in_a_pipeline_and_a_grid_search():
    X = rows()
    grid = GridSearchCV(
        SqRBMDensity(iterations=30, random_state=0), {"n_hidden": [0, 2], "paulis": ["Z"]}, cv=3
    ).fit(X)
    assert grid.best_params_["n_hidden"] == 2
    assert grid.score(X) == pytest.approx(grid.best_estimator_.score(X))
    classify = make_pipeline(SqRBMDensity(2, iterations=30, random_state=0), BernoulliNB())
    assert classify.fit(X, X[:, 0]).score(X, X[:, 0]) > 0.7


def test_copies_and_pickles():
    density = fitted(log_z_method=Exact("enumeration"))
    copy = clone(density)
    assert not hasattr(copy, "model_")
    assert copy.get_params() == density.get_params()
    assert copy.fit(rows()).model_ == density.model_
    back = pickle.loads(pickle.dumps(density))
    assert np.array_equal(back.score_samples(rows()), density.score_samples(rows()))
    assert back.partial_fit(rows()).model_ == density.partial_fit(rows()).model_


def test_tables_with_names():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(rows(), columns=list("abcde"))
    density = SqRBMDensity(2, "XZ", iterations=5, random_state=0).fit(table)
    assert list(density.feature_names_in_) == list("abcde")
    density.set_output(transform="pandas")
    assert list(density.transform(table).columns) == ["X0", "X1", "Z0", "Z1"]


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[0, 1], [2, 0]]), "0 and 1 only, got 2 in row 1, column 0"),
        (np.array([[0.0, np.nan]]), "contains NaN"),
        (np.array([0, 1]), "Expected 2D array"),
    ],
)
def test_wrong_data_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        SqRBMDensity().fit(X)


def test_another_width_is_refused():
    density = fitted()
    for method in ("score_samples", "transform", "gibbs", "partial_fit"):
        with pytest.raises(ValueError, match="has 4 features, but SqRBMDensity is expecting 5"):
            getattr(density, method)(rows(4))


@pytest.mark.parametrize("method", ["score_samples", "transform", "gibbs"])
def test_nothing_without_a_fit(method):
    with pytest.raises(sklearn.exceptions.NotFittedError):
        getattr(SqRBMDensity(), method)(rows())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_hidden": -1}, "n_hidden must be at least 0"),
        ({"n_hidden": 2.0}, "n_hidden must be a whole number"),
        ({"paulis": "W"}, "paulis"),
        ({"connectivity": "line"}, "connectivity"),
        ({"gradient": "exakt"}, "did you mean 'exact'"),
        ({"settings": {"learning_rate": 0.1}}, "learning_rate is a parameter of its own"),
        ({"settings": {"lr": 0.1}}, "did you mean 'learning_rate'"),
        ({"iterations": -1}, "iterations"),
        ({"binarize": "0.5"}, "binarize must be a number"),
        ({"log_z_method": "magic"}, "log_z_method: .*'magic' is not one of"),
        ({"sampling_method": "magic"}, "sampling_method: .*'magic' is not one of"),
        ({"sampling_method": Perfect()}, "sampling_method: samples of a network have weights"),
        ({"scale": -1.0}, "scale must be"),
    ],
)
def test_wrong_parameters_are_refused_before_any_work(parameters, message):
    density = SqRBMDensity(**parameters)
    with pytest.raises((ValueError, TypeError), match=message):
        density.fit(rows())
    assert not hasattr(density, "model_")


def test_samples_must_be_at_least_one():
    with pytest.raises(ValueError, match="n_samples must be at least 1"):
        fitted().sample(0)


def test_without_scikit_learn_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import mc.interop\n"
        "try: mc.interop.SqRBMDensity\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs scikit-learn" in done.stdout
    assert "extra 'sklearn'" in done.stdout
