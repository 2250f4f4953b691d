"""Pruning: what is reported is what the pruned model costs, by every method."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tests.reductions import divergence
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM, exact
from tnqbm.core.connectivity import line
from tnqbm.core.metrics import kl_divergence
from tnqbm.model_tools.hidden_units import add_hidden, remove_hidden
from tnqbm.model_tools.pruning import Pruned, prune
from tnqbm.model_tools.reweighting import reference


def check(model: SqRBM, found: Pruned) -> None:
    """Everything that an exact report says, computed anew."""
    assert found.method == "exact"
    assert found.standard_error == 0.0
    assert found.divergence == pytest.approx(divergence(model, found.model), abs=1e-12)
    change = enumerate_model(found.model)[0] - enumerate_model(model)[0]
    assert found.log_partition_change == pytest.approx(change, abs=1e-11)
    assert found.model.n_hidden == model.n_hidden - len(found.removed)
    assert len(found.costs) == len(found.removed)
    expected = remove_hidden(model, list(found.removed))
    assert np.array_equal(found.model.w, expected.w)
    assert np.array_equal(found.model.b, expected.b)


@pytest.mark.parametrize("absorb", [True, False])
@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_reported_divergence_is_the_exact_one(paulis: str, absorb: bool) -> None:
    for scale, keep in itertools.product((0.3, 1.0, 3.0), (0, 2, 4)):
        model = SqRBM.uniform(6, 4, paulis, scale=scale, seed=1)
        found = prune(model, keep=keep, absorb=absorb)
        check(model, found)
        p, q = exact.probabilities(model), exact.probabilities(found.model)
        assert found.divergence == pytest.approx(kl_divergence(p, q), abs=1e-12)
        assert found.model.n_hidden == keep


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 5),
    m=st.integers(0, 4),
    paulis=st.sampled_from(["Y", "XZ", "XYZ"]),
    power=st.floats(-3, 3),
    absorb=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_and_scale(
    n: int, m: int, paulis: str, power: float, absorb: bool, seed: int
) -> None:
    scale = 10.0**power
    model = SqRBM.uniform(n, m, paulis, scale=scale, seed=seed)
    for keep in range(m + 1):
        found = prune(model, keep=keep, absorb=absorb)
        assert found.model.n_hidden == keep
        truth = divergence(model, found.model)
        assert found.divergence == pytest.approx(truth, rel=1e-9, abs=1e-12 * max(1, scale))
    assert found.divergence == 0.0


def test_absorbing_is_the_best_shift_there_is() -> None:
    """Against a general-purpose minimiser, and where p' has the <s_i> of p."""
    model = SqRBM.uniform(5, 3, "XZ", scale=1.5, seed=3)
    found = prune(model, keep=1)
    rest = remove_hidden(model, list(found.removed))

    def cost(a: np.ndarray) -> float:
        return divergence(model, SqRBM(a, rest.b, rest.w, "XZ"))

    best = minimize(cost, model.a, method="BFGS", options={"gtol": 1e-8})
    assert found.divergence == pytest.approx(best.fun, abs=1e-9)
    assert found.divergence < prune(model, keep=1, absorb=False).divergence
    np.testing.assert_allclose(
        exact.moments(found.model).z, exact.moments(model).z, rtol=0, atol=1e-7
    )


def test_the_first_unit_to_go_is_the_cheapest() -> None:
    for seed in range(4):
        model = SqRBM.uniform(5, 4, "XYZ", seed=seed)
        first = prune(model, keep=3, absorb=False).removed[0]
        costs = [divergence(model, remove_hidden(model, j)) for j in range(4)]
        assert first == int(np.argmin(costs))


def test_units_without_effect_go_first_and_cost_nothing() -> None:
    model = add_hidden(SqRBM.uniform(5, 3, "XZ", seed=1), 2)
    b, w = model.b.copy(), model.w.copy()
    b[:, 3], b[0, 4], w[:, 2, 4] = 3.0, 1.0, 1.5  # a constant, and one that is linear in s_2
    model = SqRBM(model.a, b, w, "XZ")
    found = prune(model, tolerance=1e-13)
    check(model, found)
    assert sorted(found.removed) == [3, 4]
    assert found.costs == (0.0, 0.0)
    assert found.divergence == 0.0
    assert divergence(model, found.model) == pytest.approx(0.0, abs=1e-13)
    # Without absorbing, the linear one has a price.
    assert prune(model, tolerance=1e-13, absorb=False).removed == (3,)


def test_tolerance_and_keep_stop_whichever_comes_first() -> None:
    model = SqRBM.uniform(5, 5, "Z", scale=0.5, seed=2)
    costs = prune(model, keep=0).costs
    assert list(costs) == sorted(costs)
    found = prune(model, tolerance=0.5 * (costs[2] + costs[3]))
    assert len(found.removed) == 3
    assert prune(model, tolerance=costs[3], keep=4).removed == found.removed[:1]
    nothing = prune(model, tolerance=0.0)
    assert nothing.removed == ()
    assert nothing.model == model
    assert nothing.divergence == 0.0


def test_masks_stay() -> None:
    model = SqRBM.uniform(6, 5, "XZ", seed=1, mask=line(6, 2))
    found = prune(model, keep=2)
    kept = [j for j in range(5) if j not in found.removed]
    assert np.array_equal(found.model.mask, model.mask[:, kept])


def test_large_weights_where_few_states_matter() -> None:
    """Least squares under p says nothing about states p avoids; the refinement must."""
    model = SqRBM.uniform(5, 4, "XYZ", scale=30.0, seed=5)
    found = prune(model, keep=1)
    check(model, found)
    assert found.divergence <= prune(model, keep=1, absorb=False).divergence


def test_probabilities_that_vanish_in_floating_point() -> None:
    """p of one of two states is exp(-1400); without the unit it is not."""
    model = SqRBM([0.3], [[700.0]], [[[-700.0]]], "Z")
    found = prune(model, keep=0, absorb=False)
    assert found.divergence == pytest.approx(np.log1p(np.exp(-0.6)), abs=1e-12)


def test_samples_estimate_the_divergence() -> None:
    """Within 5 standard errors, fewer than one false alarm in 10^5 for normal errors."""
    model = SqRBM.uniform(8, 5, "XYZ", scale=0.5, seed=1)
    rng = np.random.default_rng(1)
    drawn = all_states(8)[rng.choice(256, 20_000, p=exact.probabilities(model))]
    for samples in (drawn, drawn.reshape(100, 200, 8)):
        found = prune(model, keep=3, samples=samples, method="samples")
        assert found.method == "samples"
        assert found.effective > 5_000
        truth = divergence(model, found.model)
        assert 0 < found.standard_error < 0.1 * truth
        assert abs(found.divergence - truth) < 5 * found.standard_error
    # Chains that are all alike know less than their number of samples pretends.
    chained = np.repeat(drawn[:200, None], 50, axis=1)
    grouped = prune(model, keep=4, samples=chained, method="samples").standard_error
    pretended = prune(
        model, keep=4, samples=chained.reshape(-1, 8), method="samples"
    ).standard_error
    assert grouped == pytest.approx(np.sqrt(50) * pretended, rel=0.05)


def test_standard_errors_are_those_of_repetitions() -> None:
    """Spread over 40 sets of samples: its relative error is 11 %, five times that is allowed."""
    model = SqRBM.uniform(6, 3, "XZ", scale=0.7, seed=4)
    p = exact.probabilities(model)
    rng = np.random.default_rng(2)
    delta = model.log_weight(all_states(6)) - remove_hidden(model, 0).log_weight(all_states(6))
    values, errors = [], []
    for _ in range(40):
        index = rng.choice(64, 2_000, p=p)
        cost = reference(model, all_states(6)[index], limit=0).cost(delta[index])
        values.append(cost.kl)
        errors.append(cost.standard_error)
    assert 0.45 < np.std(values) / np.mean(errors) < 1.55


def test_bounds_hold_and_need_nothing() -> None:
    for scale in (0.01, 0.1, 0.5):
        model = SqRBM.uniform(6, 4, "XZ", scale=scale, seed=1)
        for absorb, keep in itertools.product((True, False), (3, 1)):
            found = prune(model, keep=keep, absorb=absorb, method="bound")
            assert found.method == "bound"
            assert np.isnan(found.standard_error)
            assert divergence(model, found.model) <= found.divergence
    wide = add_hidden(SqRBM.uniform(200, 20, "XYZ", seed=1), 5)
    found = prune(wide, tolerance=1e-9)
    assert found.method == "bound"
    assert sorted(found.removed) == [20, 21, 22, 23, 24]
    assert found.divergence == 0.0


def test_arguments_are_checked() -> None:
    model = SqRBM.uniform(4, 2, "Z", seed=0)
    with pytest.raises(ValueError, match="say how far to prune"):
        prune(model)
    with pytest.raises(ValueError, match="between 0 and the model's 2"):
        prune(model, keep=3)
    with pytest.raises(ValueError, match="tolerance must be"):
        prune(model, tolerance=-1.0)
    with pytest.raises(ValueError, match="method must be one of"):
        prune(model, keep=1, method="guess")
    with pytest.raises(ValueError, match="needs samples"):
        prune(model, keep=1, method="samples")
    with pytest.raises(ValueError, match="up to n = 20"):
        prune(SqRBM.uniform(30, 2, "Z", seed=0), keep=1, method="exact")
    with pytest.raises(ValueError, match="shape"):
        prune(model, keep=1, samples=np.zeros(4), method="samples")
    with pytest.raises(ValueError, match="at least two samples"):
        prune(model, keep=1, samples=np.zeros((1, 4)), method="samples")
    assert prune(model, keep=1).as_dict()["method"] == "exact"
