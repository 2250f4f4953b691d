"""log Z of sqBMs of small hidden groups by annealing, against enumeration."""

from __future__ import annotations

import numpy as np
import pytest

import mc
import tnqbm
from mc.sampling.group_path import GroupPath
from tnqbm import SqBM, Target
from tnqbm.core.states import states_of

DATA = Target.uniform(states_of(np.array([3, 17, 200]), 8))


def model(scale: float = 0.5) -> SqBM:
    return SqBM(
        8, 7, hidden_edges=[(0, 1), (1, 2), (4, 5)], visible_edges="ring", scale=scale, seed=5
    )


@pytest.mark.parametrize("data", [None, DATA])
def test_annealing_agrees_with_enumeration(data):
    exact = model().log_partition()
    found = mc.log_partition(model(), mc.Annealing(chains=300, betas=200), data=data, seed=1)
    assert abs(found.value - exact) < 4 * found.standard_error
    assert 0 < found.standard_error < 0.1
    assert found.trusted
    assert found.lower_bound <= exact + 1e-12


def test_the_solvable_end():
    start = GroupPath(model().layout, model().to_vector()[None], np.full(8, 0.3))
    at_zero = model().with_coefficients(start.at(np.zeros(1))[0])
    assert abs(start.log_z0()[0] - at_zero.log_partition()) < 1e-12
    np.testing.assert_array_equal(start.at(np.ones(1))[0], model().to_vector())


def test_too_few_temperatures_are_owned_up_to():
    strong = model(4.0)
    with pytest.warns(tnqbm.base.errors.EstimateWarning):
        found = mc.log_partition(strong, mc.Annealing(chains=50, betas=[0.0, 1.0]), seed=2)
    assert not found.trusted


def test_auto_is_exact_where_enumeration_is_quick():
    found = mc.log_partition(model())
    assert found.standard_error == 0
    assert found.value == model().log_partition()


def test_refusals():
    for method in ("tensor", "both", "visited"):
        with pytest.raises(ValueError, match="method: "):
            mc.log_partition(model(), method, seed=1)
    with pytest.raises(ValueError, match="seed: method"):
        mc.log_partition(model(), "ais")


def test_annealing_while_training():
    found = tnqbm.train(
        model(), DATA, gradient="pcd", chains=50, iterations=4, records=2, evaluate="ais",
        ais_chains=200, ais_betas=100, seed=3,
    )  # fmt: skip
    assert abs(found.log_partition[-1] - found.model.log_partition()) < 0.3
