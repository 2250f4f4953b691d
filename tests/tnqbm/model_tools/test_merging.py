"""Merging: the exact rules, fits, and that their reported cost is the true one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reductions import SUPPORTS, divergence, sparse
from tests.twins import all_states
from tnqbm import SqRBM, exact
from tnqbm.core.connectivity import line
from tnqbm.model_tools import gauge
from tnqbm.model_tools.hidden_units import add_hidden, remove_hidden
from tnqbm.model_tools.merging import merge


def test_exact_rules_alone() -> None:
    model = sparse(5, "XYZ", SUPPORTS)
    found = merge(model)
    assert found.method == "exact rules"
    assert found.divergence == 0.0
    assert found.groups == ((0, 4, 9), (3,), (5, 8), (7,))
    assert found.removed == (1, 2, 6)
    assert divergence(model, found.model) == pytest.approx(0.0, abs=1e-13)
    dense = SqRBM.uniform(30, 5, "Z", seed=1)  # no enumeration needed
    assert merge(dense).model == dense


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_reported_divergence_is_the_exact_one(paulis: str, scale: float) -> None:
    model = SqRBM.uniform(5, 5, paulis, scale=scale, seed=1)
    found = merge(model, [(3, 1), (0, 4)])
    assert found.method == "exact"
    assert found.groups == ((0, 4), (2,), (1, 3))
    assert found.divergence == pytest.approx(divergence(model, found.model), abs=1e-12)
    # Cheaper than to remove one unit of each pair, with the best shift of a.
    assert found.divergence < min(
        divergence(model, remove_hidden(model, [j, k])) for j in (3, 1) for k in (0, 4)
    )
    np.testing.assert_allclose(
        exact.moments(found.model).z, exact.moments(model).z, rtol=0, atol=1e-6
    )


def test_a_unit_of_zeros_merges_without_loss() -> None:
    model = add_hidden(SqRBM.uniform(5, 2, "XZ", seed=1), 1)
    found = merge(model, [(0, 2)])
    assert found.divergence == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(
        gauge.gram(found.model), gauge.gram(remove_hidden(model, 2)), atol=1e-4
    )


def test_small_fields_add_their_gram_matrices() -> None:
    """To second order r^2/2 adds up: rank one plus rank one is rank two, for an XZ unit."""
    costs = []
    for scale in (0.1, 0.05):
        rows = scale * np.random.default_rng(0).normal(size=(6, 2))
        units = np.zeros((2, 6, 2))
        units[0, :, 0], units[1, :, 0] = rows.T
        model = gauge.with_unit_matrices(SqRBM.uniform(5, 0, "XZ", seed=1), units)
        costs.append(merge(model, [(0, 1)]).divergence)
    # What is left of log p is of fourth order, the divergence its square: 2^8 for a factor 2.
    assert costs[0] / costs[1] == pytest.approx(2**8, rel=0.5)
    assert costs[0] < 1e-6


def test_large_parallel_fields_add_up() -> None:
    unit = SqRBM.uniform(4, 1, "XYZ", scale=40.0, seed=3)
    assert np.linalg.norm(unit.fields(all_states(4)), axis=1).min() > 20
    rows = gauge.unit_matrices(unit)
    twice = gauge.with_unit_matrices(unit, np.concatenate([rows, -0.5 * rows]))
    found = merge(twice, [(0, 1)])
    assert found.divergence < 1e-6
    assert divergence(twice, found.model) < 1e-6


def test_a_tolerance_merges_what_is_cheap_and_stops() -> None:
    """Three copies of a unit, nearly, and two of another kind."""
    rng = np.random.default_rng(1)
    base = gauge.unit_matrices(SqRBM.uniform(5, 2, "XZ", scale=0.4, seed=4))
    units = np.repeat(base, [3, 2], axis=0)
    units += 1e-3 * rng.normal(size=units.shape)
    model = gauge.with_unit_matrices(SqRBM.uniform(5, 0, "XZ", seed=1), units)
    found = merge(model, tolerance=1e-2)
    assert found.model.n_hidden <= 3
    assert found.divergence <= 1e-2
    assert found.divergence == pytest.approx(divergence(model, found.model), abs=1e-12)
    assert sorted(j for g in found.groups for j in g) == [0, 1, 2, 3, 4]
    assert merge(model, tolerance=0.0).groups == ((0,), (1,), (2,), (3,), (4,))
    with_lone = add_hidden(model, 1)
    assert merge(with_lone, tolerance=0.0).removed == (5,)


def test_masks_of_merged_units_are_joined() -> None:
    mask = line(6, 3)
    model = SqRBM.uniform(6, 4, "XZ", seed=1, mask=mask)
    found = merge(model, [(0, 2)])
    joined = np.column_stack([mask[:, 0] | mask[:, 2], mask[:, 1], mask[:, 3]])
    assert np.array_equal(found.model.mask, joined)
    assert found.divergence == pytest.approx(divergence(model, found.model), abs=1e-12)


def test_samples() -> None:
    """Within 5 standard errors, fewer than one false alarm in 10^5 for normal errors.

    The fit is to the samples themselves, which lowers the estimate by some (number of fitted
    parameters)/(2 samples), here 0.0007.
    """
    model = SqRBM.uniform(6, 3, "XZ", scale=1.0, seed=2)
    rng = np.random.default_rng(3)
    drawn = all_states(6)[rng.choice(64, 20_000, p=exact.probabilities(model))]
    wide = SqRBM(
        np.pad(model.a, (0, 12)), model.b, np.pad(model.w, ((0, 0), (0, 12), (0, 0))), "XZ"
    )
    padded = np.concatenate([drawn, rng.integers(0, 2, (20_000, 12), dtype=np.uint8)], axis=1)
    found = merge(wide, [(0, 1)], samples=padded)
    assert found.method == "samples"
    small = SqRBM(found.model.a[:6], found.model.b, found.model.w[:, :6], "XZ")
    truth = divergence(model, small)
    assert abs(found.divergence - truth) < 5 * found.standard_error + 2 * 0.0007
    assert found.as_dict()["groups"] == [[0, 1], [2]]
    with pytest.raises(ValueError, match="give samples"):
        merge(wide, [(0, 1)])


def test_arguments_are_checked() -> None:
    model = SqRBM.uniform(4, 3, "Z", seed=0)
    with pytest.raises(ValueError, match="not both"):
        merge(model, [(0, 1)], tolerance=0.1)
    with pytest.raises(ValueError, match="tolerance must be"):
        merge(model, tolerance=-1.0)
    with pytest.raises(ValueError, match="named twice"):
        merge(model, [(0, 1), (1, 2)])
    with pytest.raises(ValueError, match="two hidden units each"):
        merge(model, [(0, 1, 2)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="does not exist"):
        merge(model, [(0, 3)])
