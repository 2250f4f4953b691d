"""Comparing two archives: what is equal in runs that both hold, and what they were made with."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from tests.archive_samples import coordinates, flipped, make_archive, record, records
from tests.tnqbm.archive.hostile import changed
from tnqbm.archive import Comparison, RunRecord, assemble, compare
from tnqbm.archive.mean_tests import adjusted, mean_test
from tnqbm.base.errors import ArchiveError
from tnqbm.training.trajectory import Trajectory

Blocks = Sequence[Sequence[RunRecord]]
WHERE = coordinates()


def with_path(run: RunRecord, **changes: Any) -> RunRecord:
    return dataclasses.replace(run, trajectory=dataclasses.replace(run.trajectory, **changes))


def moved(run: RunRecord, by: float, since: int, metric: str = "tvd") -> RunRecord:
    """The run with one metric moved from a row on."""
    values = run.trajectory.metric(metric).copy()
    values[since:] += by
    return with_path(run, **{metric: values})


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Comparison]:
    def made(first: Blocks, second: Blocks, **options: Any) -> Comparison:
        one = make_archive(tmp_path / "one.h5", first)
        two = make_archive(tmp_path / "two.h5", second)
        return compare(one, two, **options)

    return made


def test_equal_bits_whatever_the_blocks(compared: Callable[..., Comparison]) -> None:
    found = compared(
        [records(WHERE, range(1, 5)), records(WHERE, range(5, 9)), records(coordinates("Z"), [1])],
        [records(WHERE, [2, 3, 7, 9]), records(WHERE, [4, 5])],
    )
    assert found.verdict == "bits"
    assert (found.count("shared"), found.count("bits")) == (5, 5)
    assert (found.only_first, found.only_second) == (4, 1)
    assert (found.groups[0].only_first, found.groups[0].only_second) == (3, 1)
    assert found.largest is None
    assert found.groups[0].bits_part is None
    assert found.not_compared == ()


def test_numbers_whose_rounding_grows(compared: Callable[..., Comparison]) -> None:
    first = records(WHERE, range(4))
    step = int(first[1].trajectory.step[5])
    assert step > 1
    found = compared([first], [[first[0], moved(first[1], 0.9e-9 * step, 5), *first[2:]]])
    (group,) = found.groups
    assert (found.verdict, group.bits, group.numbers, group.different) == ("numbers", 3, 1, 0)
    assert (group.bits_part, group.numbers_part) == (step, None)
    assert group.largest is not None
    assert (group.largest.name, group.largest_seed) == ("tvd", 1)
    assert group.largest.difference == pytest.approx(0.9e-9 * step, rel=1e-6)
    assert not group.tests
    # The same, one row earlier, is more than rounding there.
    found = compared([first], [[first[0], moved(first[1], 0.9e-9 * step, 4), *first[2:]]])
    assert found.groups[0].numbers_part == int(first[1].trajectory.step[4])
    assert compared([first], [[moved(first[0], 1e-4, 5)]], tolerance=1e-3).verdict == "numbers"
    assert compared([first], [[moved(first[0], 1e-15, 5)]], tolerance=0.0).verdict == "different"


def test_large_numbers_differ_relatively(compared: Callable[..., Comparison]) -> None:
    first = record(WHERE, 1)
    large = with_path(first, log_partition=np.full(12, 1e6))
    other = with_path(first, log_partition=np.full(12, 1e6 + 1e-4))
    found = compared([[large]], [[other]])
    assert found.verdict == "numbers"
    assert found.largest is not None
    assert found.largest.largest is not None
    assert found.largest.largest.difference == pytest.approx(1e-10, rel=1e-6)


def test_not_a_number_equals_itself_alone(compared: Callable[..., Comparison]) -> None:
    first = record(WHERE, 1)
    nan = with_path(first, kl=np.where(np.arange(12) == 6, np.nan, first.trajectory.kl))
    assert compared([[nan]], [[nan]]).verdict == "bits"
    found = compared([[nan]], [[first]])
    assert found.verdict == "different"
    assert found.groups[0].numbers_part == int(first.trajectory.step[6])
    assert found.largest is not None
    assert found.largest.largest is not None
    assert math.isinf(found.largest.largest.difference)


@pytest.mark.parametrize("part", ["model", "snapshots", "records", "totals"])
def test_every_number_counts(compared: Callable[..., Comparison], part: str) -> None:
    first = with_path(
        record(WHERE, 1),
        estimator={"shots": 5, "rate": 0.5, "key": "a"},
        estimator_records={"passes": np.arange(12.0)},
    )
    path, other = first.trajectory, record(WHERE, 1, salt=1).trajectory
    change: dict[str, Any] = {
        "model": {"model": other.model},
        "snapshots": {"snapshots": [path.snapshots[0], other.snapshots[1]]},
        "records": {"estimator_records": {"passes": np.arange(12.0) + (np.arange(12) > 7)}},
        "totals": {"estimator": {"shots": 5, "rate": 0.75, "key": "a"}},
    }[part]
    part_at = {"model": 121, "snapshots": 10, "records": 64, "totals": 121}[part]
    assert compared([[first]], [[first]]).verdict == "bits"
    group = compared([[first]], [[with_path(first, **change)]]).groups[0]
    assert (group.bits_part, group.numbers_part) == (part_at, part_at)
    assert group.largest is not None
    assert part.rstrip("s") in group.largest.name + "parameters_model" + "estimator/total"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"stopped": "plateau"}, "stopped"),
        ({"estimator": {"shots": 6}}, "estimator/shots"),
    ],
)
def test_what_has_no_digits_to_round(
    compared: Callable[..., Comparison], change: dict[str, Any], name: str
) -> None:
    first = with_path(record(WHERE, 1), estimator={"shots": 5})
    group = compared([[first]], [[with_path(first, **change)]]).groups[0]
    assert group.verdict == "different"
    assert (group.other, group.largest, group.numbers_part) == ((name,), None, 121)


def test_runs_of_other_lengths_and_records(compared: Callable[..., Comparison]) -> None:
    first = record(WHERE, 1)

    def kept(rows: Sequence[int]) -> RunRecord:
        path = first.trajectory
        names = [name for name in path.final if name != "gradient_norm"]
        some = {name: path.metric(name)[rows] for name in names}
        return with_path(first, step=path.step[rows], gradient_norm=None, **some)

    found = compared([[first]], [[kept([0, 3, 11])]])
    assert found.verdict == "bits"
    assert found.not_compared == ("gradient_norm",)
    group = compared([[first]], [[kept(range(9))]]).groups[0]
    assert group.verdict == "different"
    assert "updates" in group.other
    assert group.numbers_part == 64


def test_statistics_of_runs_that_parted(compared: Callable[..., Comparison]) -> None:
    first = records(WHERE, range(40))
    noise = np.random.default_rng(1).normal(0.0, 0.1, 40)
    second = [moved(run, by, 3) for run, by in zip(first, noise - noise.mean(), strict=True)]
    group = compared([first], [second]).groups[0]
    assert (group.verdict, group.different) == ("statistics", 40)
    tests = {test.metric: test for test in group.tests}
    assert set(tests) == {
        "kl", "tvd", "nll", "gradient_norm", "log_partition", "test_nll",
    }  # fmt: skip
    assert (tests["tvd"].method, tests["tvd"].seeds) == ("paired", (40, 40))
    assert tests["tvd"].p_value == pytest.approx(1.0, abs=1e-6)
    assert tests["kl"].standard_error == 0.0
    # Less than the spread over seeds, but more than the error of the mean of the differences.
    second = [moved(run, by + 0.08, 3) for run, by in zip(first, noise, strict=True)]
    group = compared([first], [second]).groups[0]
    assert group.verdict == "different"
    assert [test.metric for test in group.tests if not test.agrees] == ["tvd"]


def test_one_false_alarm_in_a_hundred_whatever_the_number_of_groups(
    compared: Callable[..., Comparison],
) -> None:
    """A difference that one test alone would report is none among 20."""
    first, second = [], []
    for hidden in range(1, 11):
        runs = records(coordinates(hidden=hidden), range(6), rows=2, metrics=("tvd", "kl"))
        gaps = 0.03 + 0.01 * np.array([1, -1, 1, -1, 1, -1])
        gaps = gaps if hidden == 1 else gaps - 0.03
        first.append(runs)
        second.append([moved(run, by, 1) for run, by in zip(runs, gaps, strict=True)])
    alone = compared(first[:1], second[:1])
    assert alone.verdict == "different"
    among = compared(first, second)
    assert among.verdict == "statistics"
    smallest = min(test.adjusted for group in among.groups for test in group.tests)
    assert smallest == pytest.approx(10 * min(t.adjusted for t in alone.groups[0].tests))


def test_other_seeds_are_compared_by_their_means(compared: Callable[..., Comparison]) -> None:
    def alike(run: RunRecord) -> RunRecord:
        """With a tvd around 0.5."""
        return moved(run, 0.5 - 0.9 * float(run.trajectory.metric("tvd")[-1]), 11)

    first, second = records(WHERE, range(30)), records(WHERE, range(30, 60))
    found = compared([list(map(alike, first))], [list(map(alike, second))])
    assert found.verdict == "statistics"
    assert (found.count("shared"), found.only_first, found.only_second) == (0, 30, 30)
    test = next(test for test in found.groups[0].tests if test.metric == "tvd")
    assert (test.method, test.seeds) == ("welch", (30, 30))
    second = [moved(alike(run), 0.3, 11) for run in second]
    assert compared([list(map(alike, first))], [second]).verdict == "different"


def test_too_few_seeds_say_nothing(compared: Callable[..., Comparison]) -> None:
    first = record(WHERE, 1)
    group = compared([[first]], [[moved(first, 1e-3, 3)]]).groups[0]
    assert (group.verdict, group.tests) == ("different", ())
    group = compared([[first]], [[record(WHERE, 2)]]).groups[0]
    assert (group.verdict, group.shared, group.tests) == ("different", 0, ())
    first = records(WHERE, range(4))
    group = compared([first], [records(WHERE, range(4), salt=1)]).groups[0]
    assert (group.verdict, group.tests) == ("different", ())


def test_the_tests_are_those_of_scipy() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=12), rng.normal(0.4, 2.0, size=12)
    one, two = dict(enumerate(a)), dict(enumerate(b))
    paired = mean_test("tvd", one, two)
    assert paired is not None
    assert paired.p_value == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue)
    assert paired.difference / paired.standard_error == pytest.approx(
        scipy.stats.ttest_rel(b, a).statistic
    )
    welch = mean_test("tvd", one, {seed + 20: value for seed, value in list(two.items())[:7]})
    assert welch is not None
    assert welch.p_value == pytest.approx(scipy.stats.ttest_ind(a, b[:7], equal_var=False).pvalue)
    assert adjusted(welch, 1000).adjusted == 1.0


def test_values_that_are_not_finite_are_left_out() -> None:
    one = dict.fromkeys(range(7), 0.5) | {1: math.nan, 4: 0.125}
    two = dict.fromkeys(range(7), 0.5) | {3: math.inf, 5: 0.25}
    test = mean_test("kl", one, two)
    assert test is not None
    assert test.seeds == (5, 5)
    assert mean_test("kl", one | {2: math.nan}, two) is None
    # Without spread, equal means agree and others do not.
    for gap, p_value in ((0.0, 1.0), (1e-3, 0.0)):
        test = mean_test("kl", dict.fromkeys(range(5), 0.5), dict.fromkeys(range(5), 0.5 + gap))
        assert test is not None
        assert test.p_value == p_value
    test = mean_test("kl", dict.fromkeys(range(5), 0.5), dict.fromkeys(range(5), 0.6), range(5))
    assert test is not None
    assert test.p_value == 1.0


def test_settings_and_provenance(tmp_path: Path) -> None:
    archives = []
    for name, settings, facts in (
        ("one", {"seed": 0, "training.iterations": 10, "model.scale": 1.0}, {"processor": "a"}),
        ("two", {"seed": 0, "training.iterations": 20, "data.repeats": "keep"}, {"numpy": "2.1"}),
    ):
        path = make_archive(tmp_path / f"{name}.h5", [records(WHERE, [1])])
        assemble(
            path,
            plan=[],
            study_text="",
            provenance={"settings": json.dumps(settings), "started": name, "x": "y", **facts},
            parts=[],
            base=path,
        )
        archives.append(path)
    found = compare(*archives)
    assert found.verdict == "bits"
    assert found.settings == {
        "training.iterations": (10, 20), "model.scale": (1.0, None), "data.repeats": (None, "keep"),
    }  # fmt: skip
    assert found.provenance == {"processor": ("a", None), "numpy": (None, "2.1")}
    assert found.builds == ({"0 (not recorded)": 1}, {"0 (not recorded)": 1})


def test_where(compared: Callable[..., Comparison]) -> None:
    first = [records(WHERE, [1, 2]), records(coordinates("Z"), [1, 2])]
    second = [records(WHERE, [1, 2], salt=1), records(coordinates("Z"), [1, 3])]
    assert compared(first, second).verdict == "different"
    found = compared(first, second, where={"paulis": "Z"})
    assert (found.verdict, found.count("shared")) == ("bits", 1)
    assert (found.only_first, found.only_second) == (1, 1)
    found = compared(first, second, where={"paulis": "Z", "seed": 1})
    assert (found.only_first, found.only_second) == (0, 0)
    with pytest.raises(ValueError, match="no run has paulis = Y; there are"):
        compared(first, second, where={"paulis": "Y"})


def test_refusals(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    first = [records(WHERE, [1, 2])]
    with pytest.raises(ValueError, match="no runs with the same coordinates"):
        compared(first, [records(coordinates("Z"), [1])])
    with pytest.raises(ValueError, match="tolerance must be 0 or more, got -1"):
        compared(first, first, tolerance=-1.0)
    with pytest.raises(ValueError, match="tolerance must be 0 or more, got nan"):
        compared(first, first, tolerance=math.nan)
    with pytest.raises(TypeError, match="second must be"):
        compare(tmp_path / "one.h5", 2)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="three"):
        compare(tmp_path / "one.h5", tmp_path / "three.h5")


def test_damage_is_refused(compared: Callable[..., Comparison], tmp_path: Path) -> None:
    compared([records(WHERE, [1, 2])], [records(WHERE, [1, 2])])
    whole, broken = tmp_path / "one.h5", tmp_path / "broken.h5"

    def change(_: Any, block: Any) -> None:
        block["tvd"][0, 0] += 0.5

    changed(whole, broken, change)
    with pytest.raises(ArchiveError, match="broken"):
        compare(whole, broken)
    broken.write_bytes(flipped(whole.read_bytes(), 2000, 1))
    with pytest.raises(ArchiveError, match="broken"):
        compare(broken, whole)


def test_trajectory_covers_every_field() -> None:
    """A new field of trajectories must be compared, too."""
    assert {field.name for field in dataclasses.fields(Trajectory)} == {
        "step", "kl", "tvd", "nll", "gradient_norm", "log_partition", "log_partition_error",
        "test_nll", "valid_nll", "log_partition_bound", "model", "snapshots", "model_step",
        "stopped", "cause", "estimator", "estimator_records",
    }  # fmt: skip
