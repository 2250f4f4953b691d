"""The front door to log Z: verdicts, both directions, reproducibility."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest

from mc.cli.common import plain
from mc.sampling.log_z.estimate import EstimateWarning, agree
from mc.sampling.log_z.policies import Annealing
from mc.sampling.log_z.work import affordable
from mc.sampling.partition import log_partition
from tests.mc_twins import log_partition_by
from tests.twins import all_states, enumerate_model
from tnqbm import SqRBM, exact
from tnqbm.datasets import Target


@pytest.fixture(scope="module")
def model() -> SqRBM:
    return SqRBM.uniform(8, 4, "XYZ", seed=1)


@pytest.fixture(scope="module")
def rough() -> SqRBM:
    """Far too rough for a handful of temperatures."""
    return SqRBM.uniform(20, 20, "XYZ", scale=3.0, seed=1)


def test_forward_estimate(model: SqRBM) -> None:
    found = log_partition(model, Annealing(chains=200, betas=200), seed=1)
    # Four standard errors: false alarm 6e-5.
    assert abs(found.value - enumerate_model(model)[0]) < 4 * found.standard_error
    assert found.trusted
    assert found.warnings == []
    assert found.log_weights.shape == (200,)
    assert (found.chains, found.betas.size, found.method) == (200, 200, "ais")
    assert found.kernel == "collapsed"
    assert 100 < found.ess <= 200
    assert found.seconds > 0


def test_same_seed_same_numbers(model: SqRBM) -> None:
    first, again, other = (
        log_partition(model, Annealing("both", chains=50, betas=50), seed=s) for s in (1, 1, 2)
    )
    assert first.value == again.value
    assert first.standard_error == again.standard_error
    assert first.value != other.value
    sequence = log_partition(
        model, Annealing("both", chains=50, betas=50), seed=np.random.SeedSequence(1)
    )
    assert sequence.value == first.value


def test_both_directions_bracket(model: SqRBM) -> None:
    value = enumerate_model(model)[0]
    found = log_partition(model, Annealing("both", chains=200, betas=150), seed=3)
    assert found.forward is not None
    assert found.reverse is not None
    assert found.gap == found.reverse.value - found.forward.value
    assert found.value == pytest.approx(0.5 * (found.forward.value + found.reverse.value))
    assert found.standard_error >= 0.5 * abs(found.gap)
    assert found.trusted
    for one in (found.forward, found.reverse, found):
        assert agree(one, log_partition(model, "exact", seed=0))
        assert abs(one.value - value) < 4 * one.standard_error  # three at 6e-5
    np.testing.assert_array_equal(found.forward.betas, found.reverse.betas)
    alone = log_partition(model, Annealing(chains=200, betas=150), seed=3)
    assert alone.value == found.forward.value


def test_states_that_were_seen_bound_log_z() -> None:
    """Two deep modes of which chains see one: by its own lights the estimate is perfect."""
    n = 20
    model = SqRBM(np.full(n, 1.2), np.full((1, 1), 1.2 * n), np.full((1, n, 1), 4.0), "Z")
    log_z = exact.log_partition(model)
    options: dict[str, Any] = {"chains": 200, "betas": 200, "seed": 1}
    for method in ("ais", "both"):
        with pytest.warns(EstimateWarning, match="that were seen alone give log Z >="):
            found = log_partition_by(model, method, **options)
        assert found.value < log_z - 0.3
        assert not found.trusted
        assert found.lower_bound == pytest.approx(log_z, abs=1e-3)
        assert found.lower_bound <= log_z + 1e-9
    data = np.array([[0] * n, [1] * n])
    assert log_partition_by(model, "ais", data=data, **options).lower_bound is not None


def test_auto_takes_the_first_way_that_can_be_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    import mc.sampling.partition

    small = SqRBM.uniform(8, 4, "XYZ", seed=1)
    assert log_partition(small, seed=1).method == "exact"
    monkeypatch.setattr(mc.sampling.partition, "affordable", lambda model: False)
    options: dict[str, Any] = {"chains": 100, "betas": 100, "samples": 500, "max_bond": 16}
    assert log_partition_by(small, seed=1, **options).method == "ais"
    n = 10
    model = SqRBM(np.full(n, 1.2), np.full((1, 1), 1.2 * n), np.full((1, n, 1), 4.0), "Z")
    found = log_partition_by(model, seed=1, **options)
    assert found.method == "tensor"
    assert found.trusted
    assert found.warnings == []
    assert abs(found.value - exact.log_partition(model)) < 3 * found.standard_error
    assert [part.method for part in found.parts] == ["ais", "tensor"]
    monkeypatch.setattr(mc.sampling.partition, "network_affordable", lambda model, bond: False)
    with pytest.warns(EstimateWarning, match="lacks|too low"):
        found = log_partition_by(model, seed=1, **options)
    assert found.method == "ais"
    assert not found.trusted


def test_exact(model: SqRBM) -> None:
    found = log_partition(model, "exact", seed=0)
    assert found.value == exact.log_partition(model)
    assert found.standard_error == 0.0
    assert found.trusted
    small = SqRBM.uniform(8, 2, "XZ", scale=0.5, seed=1)
    value = enumerate_model(small)[0]
    for method in ("enumeration", "contraction", "quadrature"):
        same = log_partition(small, method=method, seed=0)
        assert same.value == pytest.approx(value, rel=1e-10)
        assert same.method == method
    few = SqRBM.uniform(40, 2, "Z", seed=1)  # any n, with so few hidden units
    assert log_partition(few, "exact", seed=0).value == pytest.approx(
        log_partition(few, "quadrature", seed=0).value
    )
    with pytest.raises(ValueError, match="40"):
        log_partition(few, "enumeration", seed=0)
    with pytest.raises(ValueError, match="no exact method fits"):
        log_partition(SqRBM.uniform(40, 40, "XYZ", seed=1), "exact", seed=0)
    assert affordable(model)
    assert affordable(few)
    assert not affordable(SqRBM.uniform(40, 40, "XYZ", seed=1))
    assert not affordable(SqRBM.uniform(30, 64, "Z", seed=1))


def test_too_few_temperatures_are_reported(rough: SqRBM) -> None:
    """A case made to fail: the weights collapse, and the message says what to do."""
    with pytest.warns(EstimateWarning, match=r"worth \d\.\d, fewer than 10.*betas"):
        found = log_partition(rough, Annealing(chains=100, betas=5), seed=1)
    assert not found.trusted
    assert found.ess < 10
    assert found.warnings


def test_disagreeing_directions_are_reported(rough: SqRBM) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = log_partition(rough, Annealing("both", chains=100, betas=3), seed=1)
    texts = [str(one.message) for one in caught if one.category is EstimateWarning]
    assert any("forward and reverse annealing differ by" in text for text in texts)
    assert not found.trusted
    assert found.gap is not None
    assert found.gap > 1
    assert found.standard_error >= 0.5 * found.gap


def test_few_chains_are_not_trusted(model: SqRBM) -> None:
    with pytest.warns(EstimateWarning, match="of 5 chains"):
        log_partition(model, Annealing(chains=5, betas=100), seed=1)


def test_reverse_from_given_samples(model: SqRBM) -> None:
    log_z, _, log_weight = enumerate_model(model)
    p = np.exp(log_weight - log_z)
    states = all_states(8)[np.random.default_rng(1).choice(256, size=1000, p=p / p.sum())]
    options: dict[str, Any] = {"method": "ais-reverse", "seed": 1, "betas": 100}
    for samples, chains in (
        (states, 150),
        (states[:90], 90),
        (states.reshape(10, 100, 8), 150),
        (states.reshape(500, 2, 8), 150),
    ):
        found = log_partition_by(model, states=samples, chains=150, **options)
        # Four tests at 4 standard errors: false alarm 3e-4.
        assert abs(found.value - log_z) < 4 * found.standard_error
        assert found.chains == chains
        assert found.method == "ais-reverse"


def test_samples_that_are_not_of_the_model_show() -> None:
    """Negative control: annealing back from the lighter of two modes misses the other one."""
    n = 12
    model = SqRBM(np.full(n, 0.05), np.zeros((1, n)), np.full((1, n, n), 0.6), "Z")
    log_z = enumerate_model(model)[0]
    with pytest.warns(EstimateWarning, match="differ by"):
        found = log_partition(
            model, Annealing("both", states=np.zeros((200, n)), chains=200, betas=400), seed=1
        )
    assert found.forward is not None
    assert found.reverse is not None
    assert abs(found.forward.value - log_z) < 4 * found.forward.standard_error
    assert found.reverse.value < log_z - 6 * found.reverse.standard_error


def test_reference_data(model: SqRBM) -> None:
    rows = np.random.default_rng(1).integers(0, 2, (60, 8))
    rows[:, 0] = 1
    options: dict[str, Any] = {"seed": 1, "chains": 100, "betas": 100, "method": "both"}
    found = log_partition_by(model, data=rows, **options)
    same = log_partition_by(model, data=Target.from_samples(rows), **options)
    assert same.value == pytest.approx(found.value, abs=1e-9)
    assert abs(found.value - enumerate_model(model)[0]) < 4 * found.standard_error
    with pytest.raises(ValueError, match="3 visible units"):
        log_partition(model, "ais", data=Target.uniform([[0, 0, 1]]), seed=1)


def test_dictionary_is_json(model: SqRBM) -> None:
    found = log_partition(model, Annealing("both", chains=30, betas=30), seed=3)
    values = json.loads(json.dumps(plain(found.as_dict())))
    assert values["forward"]["method"] == "ais"
    assert values["value"] == found.value
    assert "log_weights" not in values


@pytest.mark.parametrize("paulis", ["Z", "XYZ"])
@pytest.mark.parametrize(("n", "m"), [(1, 0), (1, 2), (4, 0)])
def test_degenerate_models(paulis: str, n: int, m: int) -> None:
    model = SqRBM.uniform(n, m, paulis, seed=2)
    found = log_partition(model, Annealing("both", chains=100, betas=3), seed=1)
    assert agree(found, log_partition(model, "exact", seed=0))
    nothing = SqRBM.uniform(n, m, paulis, scale=0.0, seed=2)
    zero = log_partition(nothing, Annealing("both", chains=20, betas=10), seed=1)
    assert zero.value == pytest.approx((n + m) * np.log(2), rel=1e-13)
    assert zero.trusted


def test_large_model_needs_no_more_memory_than_a_few_copies() -> None:
    """n = m = 128 with three Paulis: 400 kB of parameters, 100 chains."""
    import tracemalloc

    model = SqRBM.uniform(128, 128, "XYZ", scale=0.02, seed=1)
    options: dict[str, Any] = {
        "method": "ais", "seed": 1, "chains": 100, "betas": 4, "schedule": "linear"
    }  # fmt: skip
    log_partition_by(model, **options)  # compile
    tracemalloc.start()
    found = log_partition_by(model, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.trusted
    assert peak < 20 * 8 * model.n_parameters


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"method": "guess"},
            "'guess' is not one of auto, ais, ais-reverse, both, tensor, visited, mbar, exact, ",
        ),
        ({"kernel": "block"}, "one Pauli"),
        ({"chains": 0}, "chains"),
        ({"betas": [0.0, 0.5]}, "end with 1"),
        ({"states": np.zeros((3, 4)), "method": "ais-reverse"}, "visible"),
        ({"states": np.zeros(8), "method": "ais-reverse"}, "states must be"),
    ],
)
def test_bad_arguments(model: SqRBM, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        log_partition_by(model, **{"method": "ais", "seed": 1} | options)


def test_only_methods_that_draw_need_a_seed() -> None:
    model = SqRBM.uniform(4, 2, "XZ", seed=0)
    found = log_partition(model, "enumeration")
    assert found.value == exact.log_partition(model)
    with pytest.raises(ValueError, match="seed: method 'ais'"):
        log_partition(model, "ais")
