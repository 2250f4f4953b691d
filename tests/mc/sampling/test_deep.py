"""Samples and log Z of deep sqRBMs through the sqRBM over bits of both kinds."""

from __future__ import annotations

import numpy as np
import pytest

import mc
from mc.sampling.second_layer import completed
from tnqbm import DeepSqRBM, Target, exact
from tnqbm.core.states import index_of

MODEL = DeepSqRBM.uniform(4, 3, 2, "XZ", scale=0.8, seed=3)
DATA = Target([[0, 1, 0, 1], [1, 1, 0, 0], [1, 0, 1, 0]], [0.5, 0.3, 0.2])


def chi_squared(states, p) -> float:
    flat = states.reshape(-1, states.shape[-1])
    counts = np.bincount(index_of(flat), minlength=p.size)
    return float(((counts - len(flat) * p) ** 2 / (len(flat) * p)).sum() / (p.size - 1))


WAYS = {
    "chains": mc.Chains(chains=400, kernel="collapsed", burn_in=50, thin=10),
    "from data": mc.Chains(chains=400, kernel="collapsed", burn_in=50, thin=10, init="data"),
    "from states": mc.Chains(chains=2, burn_in=50, thin=20, init=[[0, 1, 0, 1], [1, 1, 1, 1]]),
    "tempered": mc.Tempered(chains=50),
    "enumeration": mc.Enumeration(),
}


@pytest.mark.parametrize("way", WAYS)
def test_samples_are_those_of_the_visible_units(way):
    states, _ = mc.sample(MODEL, 4000 if way == "enumeration" else 20, WAYS[way], data=DATA, seed=1)
    assert states.shape[-1] == 4
    if way == "from states":
        return
    assert chi_squared(states, MODEL.probabilities()) < 2.5
    other = DeepSqRBM.uniform(4, 3, 2, "XZ", scale=0.8, seed=4)
    assert chi_squared(states, other.probabilities()) > 5


def test_clamped_units_are_held_and_the_second_layer_is_not():
    policy = mc.Chains(chains=400, kernel="collapsed", burn_in=50, thin=10)
    states, _ = mc.sample(MODEL, 20, policy, clamp={0: 1, 2: 0}, seed=1)
    assert (states[..., 0] == 1).all()
    assert (states[..., 2] == 0).all()
    p = MODEL.probabilities().reshape((2,) * 4)[1, :, 0]
    assert chi_squared(states[..., [1, 3]], (p / p.sum()).ravel()) < 5


@pytest.mark.parametrize("method", ["auto", "exact", "ais", "both", "tensor", "visited", "mbar"])
def test_log_z(method):
    found = mc.log_partition(MODEL, method, data=DATA, seed=2)
    assert abs(found.value - MODEL.log_partition()) < 5 * found.standard_error + 1e-9


def test_log_weight_of_a_state_by_annealing_over_the_second_layer():
    v = np.array([1, 0, 0, 1])
    found = mc.log_partition(MODEL.given(v), "ais", seed=1)
    value = found.value - MODEL.joint.a[:4] @ (1.0 - 2.0 * v)
    assert abs(value - MODEL.log_weight(v)) < 5 * found.standard_error


def test_likelihood_of_held_out_data():
    found = mc.log_likelihood(MODEL, DATA, mc.log_partition(MODEL, "exact"))
    right = DATA.probabilities @ (MODEL.log_weight(DATA.states) - MODEL.log_partition())
    assert abs(found.value - right) < 1e-12


def test_completed_states_have_the_second_layer_of_the_model():
    states = np.tile(np.array([0, 1, 0, 1], np.uint8), (4000, 1))
    p = exact.probabilities(MODEL.given(states[0]))
    assert chi_squared(completed(MODEL, states, 0)[None, :, 4:], p) < 4


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"sample model\.joint"):
        mc.sample(MODEL, 5, mc.Perfect(proposal=object()), seed=0)
    with pytest.raises(ValueError, match=r"visible states must have shape \(..., 4\)"):
        mc.log_partition(MODEL, "ais", data=np.zeros((3, 5), np.uint8), seed=0)
