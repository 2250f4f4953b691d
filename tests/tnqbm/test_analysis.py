"""Groups, curves, least hidden units and ratios against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.synthetic import TIME, ladder, record, write
from tnqbm.analysis import hidden_ratio_table, minimum_hidden_table
from tnqbm.archive import Archive, RunRecord
from tnqbm.summaries import final_groups, mean_curves
from tnqbm.trajectory import Trajectory


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
    assert [g.hidden for g in final_groups(source, select={"hidden": [1, 3]})] == [1, 3]
    with pytest.raises(ValueError, match=r"no run has hidden = 7; there are: 1, 2, 3"):
        final_groups(source, select={"hidden": 7})
    with pytest.raises(ValueError, match=r"no run has a coordinate 'hiden'; there are: .*hidden"):
        final_groups(source, select={"hiden": 1})
    with pytest.raises(ValueError, match="no finished run to show that matches"):
        final_groups(source, select={"seed": 99})


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


def test_minimum_is_the_first_m_whose_mean_is_below(tmp_path: Path) -> None:
    # One bad seed lifts the mean at m = 2; at m = 5 the mean rises again, which changes nothing.
    runs = ladder({1: [0.5, 0.5], 2: [0.1, 0.4], 3: [0.1, 0.1], 5: [0.3, 0.3]})
    (row,) = minimum_hidden_table(archive(tmp_path, runs))
    assert (row.m_min, row.note, row.tried, row.seeds) == (3, "", (1, 2, 3, 5), 2)
    assert (row.low, row.high) == (2, 3)  # a resample of the good seed alone reaches it at 2


@pytest.mark.parametrize(
    ("values", "m_min", "note"),
    [
        ({1: [0.5], 2: [0.4]}, None, "not reached"),
        ({4: [0.1], 5: [0.1]}, 4, "at the smallest m tried"),
        ({1: [0.1], 2: [0.1]}, 1, ""),
        ({2: [0.5], 6: [0.1]}, 6, "no m tried between 2 and 6"),
        ({1: [0.2], 2: [0.1999]}, 2, ""),  # below means below
    ],
)
def test_notes_say_what_limits_a_minimum(
    tmp_path: Path, values: dict[int, list[float]], m_min: int | None, note: str
) -> None:
    (row,) = minimum_hidden_table(archive(tmp_path, ladder(values)))
    assert (row.m_min, row.note) == (m_min, note)
    assert row.reached == (m_min is not None)
    assert row.at_smallest == ("smallest" in note)


def test_an_interval_open_above_has_no_upper_end(tmp_path: Path) -> None:
    runs = ladder({1: [0.5] * 4, 2: [0.05, 0.05, 0.1, 0.4]})
    (row,) = minimum_hidden_table(archive(tmp_path, runs))
    assert (row.m_min, row.low, row.high) == (2, 2, None)


def test_intervals_do_not_depend_on_other_groups_or_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    runs = ladder({m: list(rng.normal(0.35 - 0.05 * m, 0.1, 12)) for m in range(1, 7)})
    more = ladder({1: [0.1]}, data="parity") + list(reversed(runs))
    alone = minimum_hidden_table(archive(tmp_path, runs, "one.h5"))
    among = minimum_hidden_table(archive(tmp_path, more, "two.h5"))
    assert alone[0] == next(row for row in among if row.data == "bas")
    assert alone[0].low is not None
    assert alone[0].high is not None
    assert alone[0].low < alone[0].high


def test_bootstrap_interval_covers_as_often_as_it_says(tmp_path: Path) -> None:
    # At m = 1 the mean is 1.96 standard errors below the threshold, so that one resample in forty
    # is above it: inside the 90 % interval there is only m = 1, inside the 99 % interval also 2.
    rng = np.random.default_rng(1)
    noise = rng.normal(size=400)
    noise = (noise - noise.mean()) / noise.std()
    first = 0.2 - 1.96 * 0.1 / 20 + 0.1 * noise
    source = archive(tmp_path, ladder({1: list(first), 2: [0.01] * 2}))
    (narrow,) = minimum_hidden_table(source, confidence=0.90, resamples=4000)
    (wide,) = minimum_hidden_table(source, confidence=0.99, resamples=4000)
    assert (narrow.low, narrow.high) == (1, 1)
    assert (wide.low, wide.high) == (1, 2)


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
    runs += ladder({2: [0.1]}, data="on2", paulis="XZ")
    runs += ladder({2: [0.5]}, data="on2", paulis="YZ")
    rows = {(r.data, r.paulis): r for r in hidden_ratio_table(archive(tmp_path, runs))}
    found = {key: (row.ratio, row.kind, row.prediction) for key, row in rows.items()}
    assert found == {
        ("bas", "XZ"): (2.0, "value", 2),
        ("bas", "XYZ"): (3.0, "value", 3),
        ("parity", "XZ"): (None, "unknown", 2),
        ("parity", "XYZ"): (4.0, "at least", 3),
        ("on2", "XZ"): (1.5, "at least", 2),
        ("on2", "YZ"): (1.5, "at most", 2),
    }
    assert (rows["bas", "XZ"].low, rows["bas", "XZ"].high) == (2.0, 2.0)
    assert "Z: not reached" in rows["parity", "XYZ"].note


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
    first = final_groups(source)[0]
    assert (first.seeds, first.dropped) == ((1,), 1)
