"""``mc.sample(kernel="tensor")`` with proposals of known quality (networks: test_tensor.py).

Chi-squared tests fail a right sampler with probability 1e-6 each; there are fewer than ten.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from mc.sampling.info import MixingWarning
from mc.sampling.policies import Chains
from mc.sampling.sample import sample
from tests.mc.sampling.tensor_twins import DenseProposal, hot, noisy, probabilities
from tests.mc_twins import chi_squared, sample_by
from tests.twins import all_states
from tnqbm import SqRBM

MODEL = SqRBM.uniform(5, 3, "XYZ", scale=0.7, seed=7)
POOR = DenseProposal(hot(MODEL, 0.4))


def two_modes(n: int = 8, strength: float = 1.6) -> SqRBM:
    return SqRBM(np.full(n, 0.05), np.zeros((1, 2)), np.full((1, n, 2), strength), "Z")


def test_samples_follow_enumeration() -> None:
    with pytest.warns(MixingWarning, match="too few to tell"):
        states, info = sample(
            MODEL,
            1,
            Chains(chains=10_000, kernel="tensor", proposal=POOR, burn_in=5, thin=15),
            seed=1,
        )
    assert chi_squared(states[:, 0], probabilities(MODEL)) > 1e-6
    assert info.kernel == "tensor"
    assert info.exact
    assert 0.5 < info.acceptance < 0.95
    assert info.sweeps == 20


def test_clamped_samples_follow_the_conditional_distribution() -> None:
    from mc.sampling.amplitude.fit import conditioned

    held = np.array([-1, 1, -1, 0, -1], dtype=np.int8)
    proposal = DenseProposal(noisy(conditioned(MODEL, held), 1.0))
    with pytest.warns(MixingWarning, match="too few to tell"):
        states, _ = sample(
            MODEL,
            1,
            Chains(chains=10_000, kernel="tensor", proposal=proposal, burn_in=5, thin=15),
            clamp={1: 1, 3: 0},
            seed=1,
        )
    v = all_states(5)
    p = np.where((v[:, 1] == 1) & (v[:, 3] == 0), probabilities(MODEL), 0.0)
    assert chi_squared(states[:, 0], p / p.sum()) > 1e-6


def test_global_moves_cross_what_sweeps_do_not() -> None:
    model = two_modes()
    options: dict[str, Any] = {"chains": 50, "seed": 1}
    with pytest.warns(MixingWarning, match="R-hat"):
        _, stuck = sample_by(model, 100, kernel="collapsed", burn_in=20, thin=1, **options)
    assert not stuck.mixed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        states, info = sample_by(
            model, 100, kernel="tensor", proposal=DenseProposal(noisy(model, 0.5)), **options
        )
    assert info.mixed
    assert info.thin <= 3
    assert info.pilots[0].kernel == "tensor"
    assert info.pilots[0].settled
    p = probabilities(model)
    up = all_states(8).sum(axis=1) < 4
    error = np.sqrt(0.25 / info.mixing.ess_visible)
    assert abs((states.sum(axis=2) < 4).mean() - p[up].sum()) < 5 * error


def frozen() -> tuple[SqRBM, DenseProposal]:
    """A mode that does not count, and out of which no chain comes by itself; a network without."""
    model = SqRBM(np.full(8, 1.0), np.zeros((1, 2)), np.full((1, 8, 2), 1.6), "Z")
    p = probabilities(model)
    return model, DenseProposal(np.where(p > 1e-4, p, 1e-40))


def test_chains_do_not_start_where_the_network_never_goes() -> None:
    """From random states some would stay in the mode without weight, and a pilot never settle."""
    model, proposal = frozen()
    _, info = sample(model, 50, Chains(chains=40, kernel="tensor", proposal=proposal), seed=1)
    assert info.pilots[0].settled
    assert info.burn_in < 200
    assert info.mixed
    start = np.random.default_rng(1).integers(0, 2, (40, 8))
    with pytest.warns(MixingWarning):
        _, stuck = sample(
            model,
            50,
            Chains(chains=40, kernel="tensor", proposal=proposal, init=start, burn_in=20, thin=1),
            seed=1,
        )
    assert not stuck.mixed


def test_a_mode_that_the_network_lacks_is_reported() -> None:
    model = two_modes()
    up = all_states(8).sum(axis=1) < 4
    lacking = DenseProposal(np.where(up, 1e-12, 1.0) * probabilities(model))
    with pytest.warns(MixingWarning, match="the network: log Z"):
        _, info = sample(model, 50, Chains(chains=20, kernel="tensor", proposal=lacking), seed=1)
    assert not info.mixed


def test_chains_do_not_depend_on_how_many_there_are() -> None:
    few, one = sample(MODEL, 60, Chains(chains=7, kernel="tensor", proposal=POOR), seed=5)
    many, two = sample(MODEL, 60, Chains(chains=90, kernel="tensor", proposal=POOR), seed=5)
    assert (few == many[:7]).all()
    assert (one.burn_in, one.thin) == (two.burn_in, two.thin)
    other, _ = sample(MODEL, 60, Chains(chains=7, kernel="tensor", proposal=POOR), seed=6)
    assert (other != few).any()


def test_longer_runs_go_on_where_shorter_ones_stop() -> None:
    given: dict[str, Any] = {"chains": 20, "kernel": "tensor", "proposal": POOR, "seed": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)
        short, _ = sample_by(MODEL, 10, burn_in=0, thin=2, **given)
        long, _ = sample_by(MODEL, 30, burn_in=0, thin=2, **given)
        fine, _ = sample_by(MODEL, 60, burn_in=0, thin=1, **given)
    assert (long[:, :10] == short).all()
    assert (fine[:, 1::2] == long).all()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"proposal": DenseProposal(np.ones(16))}, ValueError, "about 4 visible units, but 5"),
        ({"proposal": POOR, "clamp": {0: 1}}, ValueError, "about 5 visible units, but 4"),
        ({"proposal": 3}, TypeError, "AmplitudeMPS"),
        ({"proposal": POOR, "kernel": "collapsed"}, ValueError, "proposal is for kernel"),
        ({"proposal": POOR, "kernel": "auto"}, ValueError, "proposal is for kernel"),
        ({"max_bond": 0}, ValueError, "max_bond must be at least 1"),
        ({"kernel": "tensors"}, ValueError, "kernel must be one of .*tensor, got 'tensors'"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        sample_by(MODEL, 5, **{"kernel": "tensor", "seed": 0} | options)
