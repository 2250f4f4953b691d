"""Groups, curves, least hidden units and ratios against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from tests.synthetic import TIME, ladder, record, write
from tnqbm.archive import Archive, RunRecord
from tnqbm.archive.minimum_hidden import (
    crossing_of,
    crossings_of,
    falling_fit,
    hidden_ratio_table,
    minimum_hidden_table,
    resampled_crossings,
    seed_weights,
)
from tnqbm.archive.summaries import FinalGroup, final_groups, mean_curves
from tnqbm.training.trajectory import Trajectory


def archive(folder: Path, records: Iterable[RunRecord], name: str = "a.h5") -> Archive:
    return Archive(write(folder / name, records))


def test_final_groups_are_means_over_seeds_in_order(tmp_path: Path) -> None:
    runs = ladder({2: [0.1, 0.3], 1: [0.5, 0.6]}) + ladder({1: [0.2]}, paulis="XYZ")
    groups = final_groups(archive(tmp_path, runs))
    assert [(g.paulis, g.hidden) for g in groups] == [("Z", 1), ("Z", 2), ("XYZ", 1)]
    assert groups[1].mean == pytest.approx(0.2)
    assert groups[1].std == pytest.approx(0.1)
    assert groups[0].seeds == (1, 2)
    assert groups[0].other == (("gradient", "exact"),)


def test_groups_of_several_archives_are_joined_and_equal_runs_count_once(tmp_path: Path) -> None:
    one = archive(tmp_path, [record(0.1, 1), record(0.3, 2)], "one.h5")
    two = archive(tmp_path, [record(0.3, 2), record(0.5, 3)], "two.h5")
    (group,) = final_groups([one, two])
    assert group.seeds == (1, 2, 3)
    assert group.mean == pytest.approx(0.3)


def test_archives_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    one = archive(tmp_path, [record(0.1)], "one.h5")
    two = archive(tmp_path, [record(0.2)], "two.h5")
    with pytest.raises(ValueError, match=r"different results for .*seed 1"):
        final_groups([one, two])


def test_select_keeps_matching_runs_and_names_what_exists(tmp_path: Path) -> None:
    source = archive(tmp_path, ladder({1: [0.5], 2: [0.4], 3: [0.1]}))
    assert [g.hidden for g in final_groups(source, where={"hidden": [1, 3]})] == [1, 3]
    with pytest.raises(ValueError, match=r"no run has hidden = 7; there are: 1, 2, 3"):
        final_groups(source, where={"hidden": 7})
    with pytest.raises(ValueError, match=r"no run has a coordinate 'hiden'; there are: .*hidden"):
        final_groups(source, where={"hiden": 1})
    with pytest.raises(ValueError, match="no finished run to show that matches"):
        final_groups(source, where={"seed": 99})


def test_metrics_that_were_not_kept_or_do_not_exist(tmp_path: Path) -> None:
    source = archive(tmp_path, [record(0.1)])
    with pytest.raises(ValueError, match="'nll' was not kept"):
        final_groups(source, "nll")
    with pytest.raises(ValueError, match="unknown metric 'loss'; known: kl"):
        final_groups(source, "loss")


def test_curves_hold_the_last_value_of_runs_that_stopped_early(tmp_path: Path) -> None:
    def run(seed: int, step: list[int], tvd: list[float]) -> RunRecord:
        trajectory = Trajectory(step=np.array(step), tvd=np.array(tvd))
        return RunRecord(record(0.1).coordinates, seed, trajectory, TIME, TIME)

    source = archive(tmp_path, [run(1, [0, 1, 4], [0.8, 0.6, 0.4]), run(2, [0, 1], [0.4, 0.2])])
    (curve,) = mean_curves(source)
    assert curve.step.tolist() == [0, 1, 4]
    assert curve.mean == pytest.approx([0.6, 0.4, 0.3])
    assert curve.std == pytest.approx([0.2, 0.2, 0.1])
    assert curve.runs == 2


def test_the_crossing_is_interpolated_between_fitted_means(tmp_path: Path) -> None:
    # At m = 5 the mean rises again, which changes nothing but the note.
    runs = ladder({1: [0.5, 0.5], 2: [0.2, 0.4], 3: [0.1, 0.1], 5: [0.3, 0.3]})
    (row,) = minimum_hidden_table(archive(tmp_path, runs))
    assert row.crossing == pytest.approx(2.5)
    assert (row.m_min, row.note) == (3, "above again at m = 5")
    assert (row.tried, row.seeds) == ((1, 2, 3, 5), 2)
    # Resamples weigh the two seeds at m = 2 in all proportions: its mean lies in (0.2, 0.4).
    assert row.low == pytest.approx(2.0, abs=0.1)
    assert row.high == pytest.approx(2 + 2 / 3, abs=0.1)


def test_a_lucky_mean_is_not_the_least_m(tmp_path: Path) -> None:
    # 0.19 and 0.23 are out of order: together they are 0.21, above the threshold.
    means = {1: 0.4, 2: 0.19, 3: 0.23, 4: 0.11, 5: 0.02}
    (row,) = minimum_hidden_table(archive(tmp_path, ladder({m: [v] for m, v in means.items()})))
    assert row.m_min == 4
    assert row.crossing == pytest.approx(3.1)


@pytest.mark.parametrize(
    ("values", "crossing", "m_min", "note"),
    [
        ({1: [0.5], 2: [0.4]}, None, None, "not reached"),
        ({4: [0.1], 5: [0.1]}, 4.0, 4, "below at the smallest m tried"),
        ({1: [0.1], 2: [0.1]}, 1.0, 1, "below at the smallest m tried"),
        ({2: [0.5], 6: [0.1]}, 5.0, 6, "no m tried between 2 and 6"),
        ({1: [0.2], 2: [0.1999]}, 1.0, 2, ""),  # below means below
    ],
)
def test_notes_say_what_limits_a_minimum(
    tmp_path: Path,
    values: dict[int, list[float]],
    crossing: float | None,
    m_min: int | None,
    note: str,
) -> None:
    (row,) = minimum_hidden_table(archive(tmp_path, ladder(values)))
    assert row.crossing == (None if crossing is None else pytest.approx(crossing))
    assert (row.m_min, row.note) == (m_min, note)
    assert row.reached == (m_min is not None)
    assert row.at_smallest == ("smallest" in note)


def test_an_interval_that_leaves_the_m_tried_is_open(tmp_path: Path) -> None:
    low = ladder({2: [0.1, 0.1, 0.2, 0.6], 3: [0.05] * 4})
    high = ladder({1: [0.5] * 4, 2: [0.05, 0.05, 0.1, 0.5]}, data="parity")
    rows = minimum_hidden_table(archive(tmp_path, low + high))
    first, second = (next(row for row in rows if row.data == data) for data in ("bas", "parity"))
    assert first.low is None
    assert first.high is not None
    assert 2 < first.high < 3
    assert second.low is not None
    assert (second.m_min, second.high) == (2, None)
    assert (first.outside, second.outside) == (("≤ 2", "> 3"), ("≤ 1", "> 2"))


def test_open_ends_of_bounds_lie_on_their_side(tmp_path: Path) -> None:
    never = ladder({1: [0.5, 0.4], 2: [0.5, 0.4]})
    always = ladder({3: [0.1, 0.1], 4: [0.1, 0.1]}, data="parity")
    rows = {row.data: row for row in minimum_hidden_table(archive(tmp_path, never + always))}
    assert all((row.low, row.high) == (None, None) for row in rows.values())
    assert rows["bas"].outside == ("> 2", "> 2")
    assert rows["parity"].outside == ("≤ 3", "≤ 3")


def test_models_much_larger_than_needed_do_not_hide_the_crossing(tmp_path: Path) -> None:
    """They may end far above the threshold; a fit over all m would call that not reached."""
    runs = ladder({1: [0.5], 2: [0.1], 40: [0.6], 60: [0.9]})
    (row,) = minimum_hidden_table(archive(tmp_path, runs))
    assert row.crossing == pytest.approx(1.75)
    assert row.note == "above again at m = 40, 60"


def test_fits_are_least_squares_among_non_increasing_functions() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        means, weights = rng.random(6), rng.integers(1, 9, 6).astype(float)
        fit = falling_fit(means, weights)
        size = int(np.argmin(means)) + 1
        assert fit.size == size
        assert np.all(np.diff(fit) <= 0)
        # max-min formula of isotonic regression, written for falling functions
        expected = [
            min(
                max(
                    np.average(means[s : t + 1], weights=weights[s : t + 1]) for t in range(i, size)
                )
                for s in range(i + 1)
            )
            for i in range(size)
        ]
        assert fit == pytest.approx(expected)


def test_crossings_of_many_rows_are_those_of_each() -> None:
    rng = np.random.default_rng(4)
    for trial in range(40):
        hidden = np.flatnonzero(rng.random(40) < 0.3) + 1
        falling = np.exp(-hidden / 15)
        weights = rng.integers(1, 9, hidden.size).astype(float)
        means = falling + 0.2 * rng.standard_normal((30, hidden.size))
        if trial % 2:
            means = np.round(means, 1)  # ties
        found = crossings_of(hidden, means, weights, 0.33)
        each = [crossing_of(hidden, falling_fit(row, weights), 0.33) for row in means]
        assert found == pytest.approx(each)


def test_runs_of_equal_seed_weigh_the_same_everywhere() -> None:
    some, more = seed_weights((2, 5), 50, 1), seed_weights((1, 5, 7, 2), 50, 1)
    assert np.array_equal(some, more[:, [3, 1]])
    assert not np.array_equal(some, seed_weights((2, 5), 50, 2))


def test_what_makes_targets_hard_cancels_in_ratios(tmp_path: Path) -> None:
    """Both models need half a unit more on every other target: m scatters, the ratio little."""
    hard = np.arange(40) % 2
    z = {m: list(np.clip(0.2 + 0.1 * (8 + 4 * hard - m), 0, 1)) for m in range(2, 17)}
    xz = {m: list(np.clip(0.2 + 0.2 * (4 + 2 * hard - m), 0, 1)) for m in range(1, 9)}
    source = archive(tmp_path, ladder(z) + ladder(xz, paulis="XZ"))
    (ratio,) = hidden_ratio_table(source)
    rbm = next(row for row in minimum_hidden_table(source) if row.paulis == "Z")
    assert ratio.ratio == pytest.approx(2.0)
    assert None not in (ratio.low, ratio.high, rbm.low, rbm.high)
    assert ratio.high - ratio.low < 0.1 * (rbm.high - rbm.low) / rbm.crossing  # type: ignore[operator]
    # The same runs with the seeds of one model in another order: nothing cancels.
    other = {m: values[1:] + values[:1] for m, values in xz.items()}
    (apart,) = hidden_ratio_table(
        archive(tmp_path, ladder(z) + ladder(other, paulis="XZ"), "apart.h5")
    )
    assert apart.high - apart.low > 5 * (ratio.high - ratio.low)  # type: ignore[operator]


def test_intervals_do_not_depend_on_other_groups_or_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    runs = ladder({m: list(rng.normal(0.35 - 0.05 * m, 0.1, 12)) for m in range(1, 7)})
    more = ladder({1: [0.1] * 20}, data="parity") + list(reversed(runs))
    alone = minimum_hidden_table(archive(tmp_path, runs, "one.h5"))
    among = minimum_hidden_table(archive(tmp_path, more, "two.h5"))
    assert alone[0] == next(row for row in among if row.data == "bas")
    assert alone[0].low is not None
    assert alone[0].high is not None
    assert alone[0].low < alone[0].high


def stuck(rng: np.random.Generator, hidden: list[int], middle: float, width: float) -> Any:
    """Groups of 60 runs, solved or stuck at 0.5, and their expected means: flat around 0.2."""
    expected = 0.5 / (1 + np.exp((np.array(hidden) - middle) / width))
    hard = rng.normal(size=60)
    groups = []
    for m, share in zip(hidden, 2 * expected, strict=True):
        hardness = math.sqrt(0.1) * hard + math.sqrt(0.9) * rng.normal(size=60)
        values = 0.5 * (hardness > -NormalDist().inv_cdf(share))
        groups.append(FinalGroup("parity", 12, "Z", m, (), tuple(range(1, 61)), values))
    return groups, expected


def test_intervals_hold_the_true_crossing_and_ratio_as_often_as_they_say() -> None:
    """On a dense noisy grid, where the first mean below the threshold comes too early."""
    hidden, fewer = list(range(70, 96)), list(range(26, 38))
    inside, ratios, found, first = 0, 0, [], []
    trials = 100
    for trial in range(trials):
        rng = np.random.default_rng([7, trial])
        one, mean = stuck(rng, hidden, 78.0, 9.0)
        two, half = stuck(rng, fewer, 29.0, 3.0)
        true, other = crossing_of(hidden, mean, 0.2), crossing_of(fewer, half, 0.2)
        draws = resampled_crossings(one, 0.2, 200, seed=trial)
        beside = resampled_crossings(two, 0.2, 200, seed=trial)
        low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
        inside += bool(low <= true <= high)
        low, high = np.quantile(draws / beside, [0.025, 0.975], method="inverted_cdf")
        ratios += bool(low <= true / other <= high)
        means = np.array([group.mean for group in one])
        found.append(crossing_of(hidden, falling_fit(means), 0.2) - true)
        first.append(hidden[int(np.argmax(means < 0.2))] - math.ceil(true))
    # 95 of 100 expected, with a standard deviation of 2.2, or more: pooling makes them wide.
    assert 88 <= inside <= 100
    assert 88 <= ratios <= 100
    assert abs(np.mean(found)) < 0.4
    assert np.mean(first) < -0.6


def test_ratios_and_their_bounds(tmp_path: Path) -> None:
    runs = ladder({m: [0.5 if m < 6 else 0.1] for m in range(1, 8)})
    runs += ladder({m: [0.5 if m < 3 else 0.1] for m in range(1, 8)}, paulis="XZ")
    runs += ladder({1: [0.5], 2: [0.1]}, paulis="XYZ")
    # On parity the RBM never gets there: only a bound is known, and nothing if both fail.
    runs += ladder({1: [0.5], 8: [0.5]}, data="parity")
    runs += ladder({1: [0.5], 2: [0.1]}, data="parity", paulis="XYZ")
    runs += ladder({1: [0.5]}, data="parity", paulis="XZ")
    # On on2 the other model was only tried where it already works, and YZ never works.
    runs += ladder({1: [0.5], 2: [0.5], 3: [0.1]}, data="on2")
    runs += ladder({1: [0.1]}, data="on2", paulis="XZ")
    runs += ladder({2: [0.5]}, data="on2", paulis="YZ")
    rows = {(r.data, r.paulis): r for r in hidden_ratio_table(archive(tmp_path, runs))}
    found = {key: (row.ratio, row.kind, row.prediction) for key, row in rows.items()}
    assert found == {
        ("bas", "XZ"): (pytest.approx(5.75 / 2.75), "value", 2),
        ("bas", "XYZ"): (pytest.approx(5.75 / 1.75), "value", 3),
        ("parity", "XZ"): (None, "unknown", 2),
        ("parity", "XYZ"): (pytest.approx(8 / 1.75), "at least", 3),
        ("on2", "XZ"): (pytest.approx(2.75), "at least", 2),
        ("on2", "YZ"): (pytest.approx(2.75 / 2), "at most", 2),
    }
    assert rows["bas", "XZ"].seeds == 1
    assert "Z: not reached" in rows["parity", "XYZ"].note


def test_groups_with_different_seeds_have_an_interval_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    one = {m: list(0.45 - 0.05 * m + 0.1 * rng.normal(size=30)) for m in range(2, 9)}
    runs = [r for r in ladder(one) if r.seed <= 10 + 3 * r.coordinates["hidden"]]
    runs += [r for r in ladder(one, paulis="XZ") if r.seed > 15]
    rbm, sqrbm = minimum_hidden_table(archive(tmp_path, runs))
    assert (rbm.seeds, sqrbm.seeds) == (16, 15)
    (ratio,) = hidden_ratio_table(archive(tmp_path, runs, "b.h5"))
    for row in (rbm, sqrbm, ratio):
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.high


def test_different_gradients_are_different_series(tmp_path: Path) -> None:
    runs = ladder({1: [0.5], 2: [0.1]}) + ladder({1: [0.5], 2: [0.5]}, gradient="cd")
    rows = minimum_hidden_table(archive(tmp_path, runs))
    assert {dict(r.other)["gradient"]: r.m_min for r in rows} == {"cd": None, "exact": 2}


@pytest.mark.parametrize(
    "options", [{"threshold": float("nan")}, {"resamples": 0}, {"confidence": 1.0}]
)
def test_senseless_options_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    source = archive(tmp_path, [record(0.1)])
    with pytest.raises(ValueError, match=next(iter(options))):
        minimum_hidden_table(source, **options)


def test_runs_whose_value_is_not_finite_are_left_out_and_said(tmp_path: Path) -> None:
    source = archive(tmp_path, ladder({1: [0.5, float("nan")], 2: [0.1, 0.1]}))
    (row,) = minimum_hidden_table(source)
    assert row.m_min == 2
    assert row.note == "1 run without a finite value left out"
    assert row.crossing == pytest.approx(1.75)
    first = final_groups(source)[0]
    assert (first.seeds, first.dropped) == ((1,), 1)
