"""log Z of sqBMs of small hidden groups by annealing, against enumeration."""

from __future__ import annotations

import numpy as np
import pytest

import mc
import tnqbm
from mc.sampling import partition
from mc.sampling.group_path import GroupPath
from mc.sampling.log_z.modes import find_modes
from mc.sampling.log_z.policies import Visited
from tnqbm import SqBM, Target
from tnqbm.core.states import states_of
from tnqbm.hamiltonian.group_matrices import mean_field

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
    for method in ("tensor", "mbar", "all"):
        with pytest.raises(ValueError, match="log Z of an SqBM is known by 'auto'"):
            mc.log_partition(model(), method, seed=1)
    for policy in (mc.Annealing(kernel="thermal"), mc.Annealing(precision="single")):
        with pytest.raises(ValueError, match="an SqBM is swept by kernel = 'collapsed'"):
            mc.log_partition(model(), policy, seed=1)
    with pytest.raises(ValueError, match="seed: method"):
        mc.log_partition(model(), "ais")


def test_annealing_while_training():
    found = tnqbm.train(
        model(), DATA, gradient="pcd", chains=50, iterations=4, records=2, evaluate="ais",
        ais_chains=200, ais_betas=100, seed=3,
    )  # fmt: skip
    assert abs(found.log_partition[-1] - found.model.log_partition()) < 0.3


def two_modes() -> SqBM:
    """All up or all down, of hidden pairs; the second outweighs the first by a factor of e."""
    n = 8
    w = np.full((1, n, 2), 1.25)
    parameters = {
        "a": np.full(n, 1.2), "b": np.full((1, 2), (n * 1.2 + 0.5) / 2), "w": w,
        "visible": np.empty(0), "hidden": np.full((1, 1, 1), -1.0),
    }  # fmt: skip
    return SqBM(n, 2, hidden_edges="all", paulis="Z", parameters=parameters)


def test_modes_of_groups_are_found_and_bound_log_z():
    nothing = np.zeros((0, 8), dtype=np.uint8)
    twin = two_modes()
    modes = find_modes(twin, nothing, seed=1)
    assert sorted(modes.states.tolist()) == [[0] * 8, [1] * 8]
    for scale in (0.2, 1.0, 3.0):
        coupled = model(scale)
        found = find_modes(coupled, nothing, seed=1)
        assert (found.bounds <= coupled.log_partition() + 1e-12).all()
        assert found.bounds[0] > coupled.log_partition() - 3.0
        exact = [mean_field(coupled, x[None])[2][0] for x in np.array([[1.0] * 8, [-1.0] * 8])]
        assert exact == pytest.approx(coupled.log_weight([[0] * 8, [1] * 8]), abs=1e-12)


def test_a_mode_that_no_chain_saw_is_missed_by_the_value_and_noticed():
    twin = two_modes()
    stuck = np.zeros((40, 8), dtype=np.uint8)
    policy = mc.Annealing("reverse", chains=40, betas=[0.0, 0.97, 1.0], states=stuck)
    with pytest.warns(tnqbm.base.errors.EstimateWarning):
        found = mc.log_partition(twin, policy, seed=1)
    assert not found.trusted
    exact = twin.log_partition()
    assert found.lower_bound == pytest.approx(exact, abs=0.05)
    assert found.lower_bound <= exact + 1e-12


@pytest.mark.parametrize(
    "method", [mc.Annealing("both", chains=100, betas=100), Visited(200, mc.Tempered(chains=8))]
)
def test_methods_bound_log_z_from_both_sides(method):
    for scale, seed in ((0.3, 1), (1.0, 2)):
        found = mc.log_partition(model(scale), method, seed=seed)
        exact = model(scale).log_partition()
        assert found.two_sided
        assert found.trusted
        assert abs(found.value - exact) < 4 * found.standard_error + 1e-3
        assert found.lower_bound <= exact + 1e-12


def test_certified_is_exact_for_few_units_and_an_interval_beyond(monkeypatch):
    assert mc.log_partition(model(), "certified", seed=1).standard_error == 0
    monkeypatch.setattr(partition, "affordable", lambda model: False)
    policy = mc.Certified(
        width=0.3, rounds=1, annealing=mc.Annealing("both", chains=100, betas=100)
    )
    found = mc.log_partition(model(0.3), policy, data=DATA, seed=4)
    assert found.trusted
    assert found.width <= 0.3
    assert found.lower <= model(0.3).log_partition() <= found.upper
    assert {one.method for one in found.parts} <= {"both", "visited"}


def test_fields_of_hidden_units_may_be_part_of_the_solvable_end():
    one = model()
    fields = np.linspace(-1.0, 1.0, 8 + 3 * 7)
    start = GroupPath(one.layout, one.to_vector()[None], fields)
    at_zero = one.with_coefficients(start.at(np.zeros(1))[0])
    assert abs(start.log_z0()[0] - at_zero.log_partition()) < 1e-12
    np.testing.assert_array_equal(at_zero.parameters["b"].ravel(), fields[8:])
