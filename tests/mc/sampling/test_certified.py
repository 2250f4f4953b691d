"""log Z in an interval: against enumeration, on models that fool, and where there is none."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import mc
import tnqbm
from mc.sampling import partition
from mc.sampling.log_z import work
from scripts.benchmarks.trust import trap
from tnqbm.datasets import load

QUICK = mc.Certified(annealing=mc.Annealing("both", chains=100, betas=200))


@pytest.fixture(autouse=True)
def estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    """No exact values, so that small models, whose log Z is known, are estimated."""
    monkeypatch.setattr(partition, "affordable", lambda model: False)


def certified(model: tnqbm.SqRBM, policy: mc.Certified = QUICK, **more: object) -> mc.Estimate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mc.EstimateWarning)
        return mc.log_partition(model, policy, seed=1, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_the_interval_holds_the_exact_value(paulis: str) -> None:
    model = tnqbm.SqRBM.uniform(12, 6, paulis, scale=0.7, seed=3)
    exact = tnqbm.exact.log_partition(model)
    found = certified(model)
    assert found.trusted, found.warnings
    assert found.two_sided
    assert found.lower <= exact <= found.upper
    assert 0 < found.width <= QUICK.width
    assert len(found.parts) >= 2
    assert found.as_dict()["upper"] == found.upper


@pytest.mark.parametrize(("depth", "tilt"), [(4.0, 0.0), (2.0, 6.0)])
def test_two_modes_that_no_chain_connects(depth: float, tilt: float) -> None:
    model = trap(depth, tilt, "XZ", n=16)
    exact = tnqbm.exact.log_partition(model)
    found = certified(model)
    if found.trusted and found.width <= QUICK.width:
        assert found.lower - 1e-9 <= exact <= found.upper + 1e-9
    assert found.lower_bound is not None
    assert found.lower_bound <= exact + 1e-9


def test_more_rounds_narrow_it() -> None:
    model = tnqbm.SqRBM.uniform(14, 8, "XYZ", scale=0.3, seed=2)
    narrow = mc.Certified(1e-6, rounds=2, annealing=mc.Annealing("both", chains=50, betas=50))
    wide = certified(model, mc.Certified(1e-6, rounds=1, annealing=narrow.annealing))
    found = certified(model, narrow)
    assert found.width < wide.width
    assert found.width > 1e-6
    assert len(found.parts) > len(wide.parts)
    assert [one.value for one in found.parts[: len(wide.parts)]] == [
        one.value for one in wide.parts
    ]


def test_a_trusted_estimate_that_contradicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimate that is wrong and does not know it: there is no certificate."""
    weigh = work.weigh_visited

    def wrong(*args: object, **keywords: object) -> object:
        run = weigh(*args, **keywords)  # type: ignore[arg-type]
        estimate = run.estimate
        return run._replace(
            estimate=mc.Estimate(
                estimate.value + 1.0, 0.01, estimate.ess, estimate.log_weights, "visited", 0.0,
                True, two_sided=True,
            )
        )  # fmt: skip

    monkeypatch.setattr(work, "weigh_visited", wrong)
    found = certified(tnqbm.SqRBM.uniform(10, 4, "XYZ", scale=0.3, seed=1))
    assert not found.trusted
    assert any("at least one of them is wrong" in text for text in found.warnings)


def test_visited_states_only_where_they_can_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 nearly fair coins: no two samples agree."""
    model = tnqbm.SqRBM.uniform(40, 3, "XYZ", scale=0.02, seed=1)
    monkeypatch.setattr("mc.sampling.log_z.certified.network_affordable", lambda *args: False)
    found = certified(model)
    assert [one.method for one in found.parts] == ["both"]
    assert found.trusted
    exact = tnqbm.exact.log_partition(model, method="quadrature")
    assert found.lower <= exact <= found.upper


def test_states_seen_later_count_against_earlier_estimates() -> None:
    from mc.sampling.log_z.certified import _still_above

    early = mc.Estimate(10.0, 0.01, 100.0, np.empty(0), "ais", 0.0, True, lower_bound=9.0)
    assert _still_above(early, 8.0) is early
    assert _still_above(early, 10.01).lower_bound == 10.01
    late = _still_above(early, 10.2)
    assert not late.trusted
    assert "states seen since give log Z >= 10.2" in late.warnings[0]


def test_a_value_is_not_below_what_was_seen() -> None:
    from mc.sampling.log_z.certified import _summary

    low = mc.Estimate(
        10.0, 0.01, 100.0, np.empty(0), "ais", 0.0, True, lower_bound=10.02, two_sided=True
    )
    found = _summary([low], [])
    assert found.lower == found.value == 10.02
    assert found.upper == pytest.approx(10.05)
    assert found.parts == (low,)


def test_likelihoods_have_the_interval() -> None:
    model = tnqbm.SqRBM.uniform(8, 4, "XYZ", scale=0.7, seed=1)
    target = load("bas", 8)
    log_z = tnqbm.exact.log_partition(model)
    mean = float(np.asarray(target.probabilities) @ model.log_weight(target.states))
    found = mc.log_likelihood(model, target, (log_z, 0.1))
    assert found.lower == pytest.approx(mean - log_z - 0.3)
    assert found.upper == pytest.approx(mean - log_z + 0.3)
    tvd = mc.total_variation_on_support(model, target, (log_z, 0.1))
    assert tvd.lower < tvd.value < tvd.upper
    gain = mc.compare_likelihoods(model, model, target, (log_z, 0.1), (log_z, 0.2))
    assert (gain.lower, gain.upper) == pytest.approx((-0.9, 0.9))
    one_sided = mc.Estimate(log_z, 0.1, 100.0, np.empty(0), "ais", 0.0, True)
    assert mc.log_likelihood(model, target, one_sided).lower == -math.inf
    assert mc.total_variation_on_support(model, target, one_sided).upper == 1.0
    assert "inf" not in one_sided._repr_html_()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0.0}, "width must be a finite number above 0"),
        ({"width": math.inf}, "width"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"annealing": mc.Annealing()}, "direction must be 'both'"),
        ({"annealing": mc.Annealing("both", betas=[0.0, 1.0])}, "betas must be a number"),
    ],
)
def test_impossible_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mc.Certified(**settings)  # type: ignore[arg-type]
