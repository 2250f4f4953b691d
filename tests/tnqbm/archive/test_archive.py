from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.archive_samples import (
    PROVENANCE,
    assert_same_trajectory,
    coordinates,
    make_archive,
    record,
    records,
)
from tnqbm.archive import (
    Archive,
    PlannedGroup,
    RunNotFoundError,
    RunRecord,
    assemble,
    block_name,
    merge,
    parts_folder,
    write_block,
    write_plan,
)
from tnqbm.archive.coordinates import format_seeds, parse_seeds
from tnqbm.archive.rows import Group
from tnqbm.base.errors import ArchiveError
from tnqbm.training.trajectory import METRICS

PUBLISHED = Path(__file__).parents[3] / "data" / "results"


def expect(archive: Archive, made: Sequence[RunRecord]) -> None:
    """The archive holds exactly these runs, bit for bit."""
    found = {json.dumps(run.coordinates, sort_keys=True): run for run in archive.runs()}
    assert len(found) == len(made)
    for one in made:
        run = found[json.dumps({**one.coordinates, "seed": one.seed}, sort_keys=True)]
        assert_same_trajectory(run.trajectory, one.trajectory)
        assert (run.started, run.ended) == (one.started, one.finished)
        assert run.finished


# --- writing and reading back -----------------------------------------------------------------


@pytest.mark.parametrize("metrics", [METRICS, ("tvd",), ()])
@pytest.mark.parametrize("model", [True, False])
@pytest.mark.parametrize("snapshots", [0, 3])
def test_runs_come_back(
    tmp_path: Path, metrics: tuple[str, ...], model: bool, snapshots: int
) -> None:
    made = records(
        coordinates("ZYX", 3), [5, 1, 2], metrics=metrics, model=model, snapshots=snapshots
    )
    expect(Archive(make_archive(tmp_path / "a.h5", [made])), made)


def test_runs_that_stopped_early_keep_their_own_length(tmp_path: Path) -> None:
    where = coordinates()
    made = [
        record(where, 1, rows=12, snapshots=4),
        record(where, 2, rows=5, snapshots=1, stopped="plateau"),
        record(where, 3, rows=1, snapshots=0, stopped="plateau"),
    ]
    archive = Archive(make_archive(tmp_path / "a.h5", [made]))
    expect(archive, made)
    rows = {row["seed"]: row for row in archive.table()}
    assert [rows[seed]["steps"] for seed in (1, 2, 3)] == [121, 16, 0]
    assert [rows[seed]["stopped"] for seed in (1, 2, 3)] == ["iterations", "plateau", "plateau"]
    assert rows[2]["tvd"] == made[1].trajectory.final["tvd"]


def test_runs_may_have_schedules_of_their_own(tmp_path: Path) -> None:
    first, second = records(coordinates(), [1, 2])
    step = first.trajectory.step + 1
    odd = dataclasses.replace(first, trajectory=dataclasses.replace(first.trajectory, step=step))
    expect(Archive(make_archive(tmp_path / "a.h5", [[odd, second]])), [odd, second])


def test_large_blocks_come_back(tmp_path: Path) -> None:
    made = records(coordinates("XYZ", 5), range(40), rows=2000, snapshots=30)
    expect(Archive(make_archive(tmp_path / "a.h5", [made])), made)


def test_nan_and_infinite_metrics_are_kept_but_not_averaged(tmp_path: Path) -> None:
    first, second = records(coordinates(), [1, 2])
    assert first.trajectory.kl is not None
    first.trajectory.kl[-1] = np.inf
    second.trajectory.kl[3] = np.nan  # type: ignore[index]
    archive = Archive(make_archive(tmp_path / "a.h5", [[first, second]]))
    expect(archive, [first, second])
    (group,) = archive.groups()
    assert group["kl_mean"] is None
    assert group["kl_std"] is None
    assert group["tvd_mean"] is not None


def test_further_coordinates_and_unicode(tmp_path: Path) -> None:
    made = [
        record(coordinates(data="dätä/x y.csv", temperature=0.1, method="cd-1"), 1),
        record(coordinates(data="dätä/x_y.csv", temperature=0.1, method="cd-1"), 1),
        record(coordinates(data="dätä/x y.csv", temperature=0.2, method="cd-1"), 1),
    ]
    archive = Archive(
        make_archive(tmp_path / "a.h5", [[one] for one in made], study_text="x = 'ü'\n")
    )
    expect(archive, made)
    assert archive.study_text == "x = 'ü'\n"
    assert archive.verify().ok
    run = archive.run(temperature=0.2)
    assert run.coordinates["data"] == "dätä/x y.csv"


def test_provenance_may_be_long(tmp_path: Path) -> None:
    parts = [tmp_path / "p.h5"]
    write_block(parts[0], records(coordinates(), [1]), PROVENANCE)
    long = {"settings": "x" * 200_000}
    assemble(tmp_path / "a.h5", plan=[], study_text="", provenance=long, parts=parts)
    archive = Archive(tmp_path / "a.h5")
    assert archive.provenance == long
    assert next(archive.runs()).provenance == PROVENANCE
    assert archive.progress == (1, 1)


def test_bad_records_are_named(tmp_path: Path) -> None:
    good = record(coordinates(), 1)

    def changed(**changes: Any) -> RunRecord:
        trajectory = dataclasses.replace(good.trajectory, **changes)
        return dataclasses.replace(good, seed=2, trajectory=trajectory)

    cases: list[tuple[list[RunRecord], str]] = [
        ([], "at least one run"),
        ([good, good], "seed 1 occurs twice"),
        ([dataclasses.replace(good, seed=-1)], "seed must lie"),
        ([good, record(coordinates("Z"), 2)], "equal coordinates"),
        ([good, changed(kl=None)], "some runs kept kl"),
        ([good, changed(model=None)], "some runs kept model"),
        ([changed(kl=np.zeros(3))], "seed=2: kl has shape"),
        ([changed(step=good.trajectory.step[::-1])], "increase strictly"),
        ([changed(step=np.array([]))], "non-empty"),
        ([changed(model=record(coordinates("Z"), 1).trajectory.model)], "other coordinates"),
        ([changed(snapshots=good.trajectory.snapshots[::-1])], "snapshots must increase"),
    ]
    for made, words in cases:
        with pytest.raises(ValueError, match=words):
            write_block(tmp_path / "x.h5", made, {})
    for bad in ({"seed": 1}, {"x": float("nan")}, {"x": True}, {"x y": 1}, {"visible": "3"}):
        with pytest.raises(ValueError, match="coordinate"):
            write_block(
                tmp_path / "x.h5",
                [dataclasses.replace(good, coordinates={**coordinates(), **bad})],
                {},
            )
    assert os.listdir(tmp_path) == []


def test_block_names_are_readable_and_distinct() -> None:
    where = {**coordinates("XYZ", 5, data="bas"), "visible": 8}
    assert block_name(where, range(1, 26)) == "XYZ-n8-m5-bas-exact-seeds-1-25"
    assert block_name(where, [3, 1, 2]) == "XYZ-n8-m5-bas-exact-seeds-1-3"
    names = {
        block_name(where, [1, 2, 5]),
        block_name(where, [1, 3, 5]),
        block_name({**where, "data": "a-exact", "gradient": "b"}, [1]),
        block_name({**where, "data": "a", "gradient": "exact-b"}, [1]),
        block_name({**where, "data": "x/" + "y" * 300}, [1]),
        block_name({**where, "k": 1}, [1]),
        block_name({**where, "k": 1.0}, [1]),
        block_name({**where, "k": "1"}, [1]),
    }
    assert len(names) == 8
    assert all(len(name) < 200 and "/" not in name for name in names)


@given(st.sets(st.integers(0, 60)))
def test_seed_ranges(seeds: set[int]) -> None:
    assert parse_seeds(format_seeds(sorted(seeds))) == sorted(seeds)


def test_the_same_content_makes_the_same_file(tmp_path: Path) -> None:
    blocks = [records(coordinates(p), [1, 2]) for p in ("Z", "XZ", "XYZ")]
    make_archive(tmp_path / "a.h5", blocks)
    parts = []
    for number, block in enumerate(blocks):
        parts.append(tmp_path / f"{number}.h5")
        write_block(parts[-1], block[::-1], PROVENANCE)
    assemble(
        tmp_path / "b.h5",
        plan=Archive(tmp_path / "a.h5").plan,
        study_text='name = "sample"\n',
        provenance=PROVENANCE,
        parts=parts,
    )
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_fingerprint_depends_on_the_numbers_alone(tmp_path: Path) -> None:
    where = coordinates()
    together = make_archive(tmp_path / "a.h5", [records(where, [1, 2, 3])])
    apart = [record(where, seed, started="2026-01-01T00:00:00+00:00") for seed in (1, 2, 3)]
    split = make_archive(tmp_path / "b.h5", [[one] for one in apart])
    other = make_archive(tmp_path / "c.h5", [records(where, [1, 2, 3], salt=1)])
    prints = [Archive(path).fingerprint() for path in (together, split, other)]
    assert prints[0] == prints[1] != prints[2]


# --- looking ----------------------------------------------------------------------------------


def test_groups_and_table(tmp_path: Path) -> None:
    z, xz = coordinates("Z", 1), coordinates("XZ", 1)
    made = records(xz, [3, 1]) + records(xz, [2])
    path = make_archive(
        tmp_path / "a.h5",
        [made[:2], made[2:]],
        planned=[PlannedGroup(xz, [1, 2, 3, 4]), PlannedGroup(z, [1, 2])],
    )
    archive = Archive(path)
    assert archive.progress == (3, 6)
    assert archive.plan == [PlannedGroup(xz, [1, 2, 3, 4]), PlannedGroup(z, [1, 2])]
    first, second = archive.groups()
    finals = {one.seed: one.trajectory.final for one in made}
    for name in ("tvd", "kl"):
        values = [finals[seed][name] for seed in (1, 2, 3)]
        assert first[f"{name}_mean"] == np.mean(values)
        assert first[f"{name}_std"] == np.std(values)
    assert {k: first[k] for k in (*xz, "runs", "finished")} == {**xz, "runs": 4, "finished": 3}
    assert second == {
        **z,
        "runs": 2,
        "finished": 0,
        "tvd_mean": None,
        "tvd_std": None,
        "kl_mean": None,
        "kl_std": None,
    }
    table = archive.table()
    assert [row["seed"] for row in table] == [1, 2, 3]
    for row in table:
        assert row == {
            **xz,
            "seed": row["seed"],
            **dict.fromkeys(METRICS),
            **finals[row["seed"]],
            "steps": 121,
            "stopped": "iterations",
            "cause": "",
            "started": "2025-01-01T10:00:00+00:00",
            "finished": "2025-01-01T10:01:00+00:00",
        }
    json.dumps([archive.groups(), table], allow_nan=False)
    rows = archive.rows()
    assert [row.flat() for row in rows] == table
    assert rows[0].identity == {**xz, "seed": 1}
    assert {row.group for row in rows} == {Group.of(xz)}
    assert Group.of(xz).coordinates == xz
    first, second = archive.seeds()
    assert (first.group, set(first.finished)) == (Group.of(xz), {1, 2, 3})
    assert not second.finished
    assert "3 of 6 runs finished" in repr(archive)


def test_metrics_that_were_not_kept_are_none(tmp_path: Path) -> None:
    archive = Archive(
        make_archive(tmp_path / "a.h5", [records(coordinates(), [1], metrics=("kl",))])
    )
    assert archive.groups()[0]["tvd_mean"] is None
    assert archive.table()[0]["tvd"] is None
    assert archive.table()[0]["kl"] is not None


def test_dataframe(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    archive = Archive(make_archive(tmp_path / "a.h5", [records(coordinates(), [1, 2])]))
    frame = archive.to_dataframe()
    assert list(frame["seed"]) == [1, 2]
    assert frame["tvd"].dtype == float


def test_dataframe_without_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(make_archive(tmp_path / "a.h5", [records(coordinates(), [1])]))
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="the extra 'table' of tnqbm"):
        archive.to_dataframe()


def test_run_by_coordinates(tmp_path: Path) -> None:
    blocks = [records(coordinates(p, m), [1, 2]) for p in ("Z", "XYZ") for m in (1, 4)]
    planned = [PlannedGroup(coordinates("XYZ", 4), [1, 2, 3])]
    archive = Archive(make_archive(tmp_path / "a.h5", blocks, planned=planned))
    run = archive.run(paulis="XYZ", hidden=4, seed=2)
    assert run.coordinates == {**coordinates("XYZ", 4), "seed": 2}
    assert run.model == blocks[3][1].trajectory.model
    assert run.snapshots == blocks[3][1].trajectory.snapshots
    cases: list[tuple[dict[str, Any], str]] = [
        ({"paulis": "XYZ", "hidden": 5, "seed": 1}, "nearest is paulis=XYZ visible=3 hidden=4"),
        ({"paulis": "XYZ", "hidden": 4, "seed": 9}, "finished seeds from 1 to 2"),
        ({"paulis": "XYZ", "hidden": 4, "seed": 3}, "planned but not finished"),
        ({"pauli": "Z"}, "did you mean 'paulis'"),
        ({"paulis": "Z", "seed": 1}, "2 runs .* say also which hidden is meant"),
        ({}, "8 runs .* which paulis, hidden, seed"),
    ]
    for wanted, words in cases:
        with pytest.raises(RunNotFoundError, match=words) as caught:
            archive.run(**wanted)
        assert isinstance(caught.value, KeyError)


def test_a_closed_archive_says_so(tmp_path: Path) -> None:
    made = records(coordinates(), [1])
    with Archive(make_archive(tmp_path / "a.h5", [made])) as archive:
        read = archive.run(seed=1)
        assert_same_trajectory(read.trajectory, made[0].trajectory)
        later = archive.run(seed=1)
    assert read.model == made[0].trajectory.model
    archive._sources._cache.clear()
    with pytest.raises(ValueError, match="has been closed"):
        _ = later.trajectory


def test_a_file_has_the_first_version_that_can_hold_it(tmp_path: Path) -> None:
    """Archives have final values in one place, which need version 8, a block by itself has not."""
    old, copy, both = PUBLISHED / "ising.h5", tmp_path / "copy.h5", tmp_path / "both.h5"
    new = make_archive(tmp_path / "new.h5", [records(coordinates(), [1, 2])])
    part = tmp_path / "part.h5"  # without scales
    write_block(part, records(coordinates(), [3]), PROVENANCE)
    merge([old], copy)
    merge([old, new], both)
    for path, expected in ((old, 2), (copy, 8), (new, 8), (both, 8), (part, 4)):
        with h5py.File(path, "r", locking=False) as file:
            assert file.attrs["format_version"] == expected
    assert Archive(copy).fingerprint() == Archive(old).fingerprint()
    assert Archive(both).verify().ok


@pytest.mark.parametrize(
    ("name", "version", "runs"),
    [("figure3", 1, 32_900), ("trainers-sampled", 3, 3_120), ("figure3-natural", 4, 2_870)],
)
def test_published_archives_of_other_versions_are_read(name: str, version: int, runs: int) -> None:
    with Archive(PUBLISHED / f"{name}.h5") as archive:
        assert archive.progress == (runs, runs)
        assert archive.run(**archive.plan[0].coordinates, seed=1).trajectory.final["tvd"] > 0
    with h5py.File(PUBLISHED / f"{name}.h5", "r", locking=False) as file:
        assert file.attrs["format_version"] == version


def test_no_attribute_has_a_name_that_others_take_for_their_own(tmp_path: Path) -> None:
    """xarray takes an attribute `coordinates`, a word of the CF conventions, for its own."""
    path = make_archive(tmp_path / "a.h5", [records(coordinates(), [1, 2])])
    with h5py.File(path, "r") as file:
        (block,) = file["blocks"].values()
        assert set(block.attrs) == {"run_coordinates", "provenance", "sha256"}


def test_runs_without_some_metrics_have_none(tmp_path: Path) -> None:
    old = records(coordinates("Z"), [1], metrics=METRICS[:4])
    path = make_archive(tmp_path / "a.h5", [old, records(coordinates(), [1, 2], metrics=())])
    archive = Archive(path)
    assert archive.verify().ok
    assert archive.run(paulis="Z").trajectory.log_partition is None
    assert archive.table()[0]["tvd"] == old[0].trajectory.final["tvd"]
    assert archive.table()[-1]["tvd"] is None


def test_plain_hdf5_readers_understand_an_archive(tmp_path: Path) -> None:
    made = records(coordinates(), [1, 2], rows=100)
    path = make_archive(tmp_path / "a.h5", [made])
    with h5py.File(path, "r") as file:
        assert file.attrs["format"] == b"tnqbm-archive"
        assert file.attrs["format_version"] == 8
        (block,) = file["blocks"].values()
        assert json.loads(block.attrs["run_coordinates"]) == coordinates()
        assert [dim.label for dim in block["tvd"].dims] == ["seed", "record"]
        assert [dim.label for dim in block["snapshots"].dims] == ["seed", "snapshot", "parameter"]
        assert np.array_equal(block["tvd"][1], made[1].trajectory.metric("tvd"))
        assert block["tvd"].fletcher32
        assert "name =" in file["header/study"][()].decode()
        table = file["finals/0"]
        assert table["seed"][:].tolist() == [1, 2]
        assert np.array_equal(table["tvd"], block["tvd"][:, -1])


# --- studies under way ------------------------------------------------------------------------


@pytest.fixture
def live(tmp_path: Path) -> tuple[Path, list[list[RunRecord]], list[PlannedGroup]]:
    """A study that was killed before its archive was first assembled."""
    out = tmp_path / "out.h5"
    parts_folder(out).mkdir()
    blocks = [records(coordinates(p), [1, 2]) for p in ("XYZ", "Z")]
    plan = [PlannedGroup(coordinates(p), [1, 2, 3]) for p in ("Z", "XZ", "XYZ")]
    write_plan(parts_folder(out), plan, "name = 'live'", PROVENANCE)
    for block in blocks:
        name = block_name(block[0].coordinates, [1, 2])
        write_block(parts_folder(out) / f"{name}.h5", block, PROVENANCE)
    return out, blocks, plan


def part_files(out: Path) -> list[Path]:
    return sorted(path for path in parts_folder(out).glob("*.h5") if path.name != "plan.h5")


def test_parts_are_read_before_the_archive_exists(live: Any) -> None:
    out, blocks, plan = live
    (parts_folder(out) / ".half.h5.host-1-0.tmp").write_bytes(b"half")
    (parts_folder(out) / "checkpoints").mkdir()
    archive = Archive(out)
    expect(archive, blocks[0] + blocks[1])
    assert archive.plan == plan
    assert archive.study_text == "name = 'live'"
    assert archive.progress == (4, 9)
    assert [group["paulis"] for group in archive.groups()] == ["Z", "XZ", "XYZ"]
    assert [run.coordinates["paulis"] for run in archive.runs()] == ["Z", "Z", "XYZ", "XYZ"]
    assert archive.problems == []
    assert archive.verify().ok


def test_parts_and_archive_together_show_every_run_once(live: Any) -> None:
    out, blocks, plan = live
    options: dict[str, Any] = {"plan": plan, "study_text": "", "provenance": {}}
    assemble(out, parts=part_files(out)[:1], **options)
    expect(Archive(out), blocks[0] + blocks[1])
    before = Archive(out)
    assemble(out, parts=part_files(out), base=out, **options)
    expect(Archive(out), blocks[0] + blocks[1])
    shutil.rmtree(parts_folder(out))
    expect(Archive(out), blocks[0] + blocks[1])
    # The archive opened before the parts were merged still finds its runs.
    expect(before, blocks[0] + blocks[1])


def test_a_part_that_vanished_is_told(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are open are read nevertheless."""
    out, _, plan = live
    monkeypatch.setattr("tnqbm.archive.sources._OPEN_FILES", 1)
    archive = Archive(out)
    assemble(out, plan=plan, study_text="", provenance={}, parts=[])
    for path in part_files(out):
        path.unlink()
    with pytest.raises(ArchiveError, match="open it again"):
        archive.table()


def test_a_damaged_part_is_named_and_the_rest_is_whole(live: Any) -> None:
    out, _, _ = live
    bad, good = part_files(out)
    bad.write_bytes(bad.read_bytes()[:-100])
    archive = Archive(out)
    assert archive.damaged_parts == [bad]
    assert archive.progress == (2, 9)
    with pytest.raises(ArchiveError, match=bad.name):
        list(archive.runs())
    assert len(list(archive.runs(skip_damaged=True))) == 2
    assert len(archive.groups(skip_damaged=True)) == 3
    report = archive.verify()
    assert not report.ok
    assert report.runs_whole == 2
    assert report.damaged == [bad.name]
    with pytest.raises(ArchiveError, match="damaged"):
        assemble(out, plan=[], study_text="", provenance={}, parts=[bad, good])
    assert not out.exists()


def test_a_missing_or_damaged_plan_leaves_the_runs(live: Any) -> None:
    out, _, _ = live
    plan = parts_folder(out) / "plan.h5"
    plan.write_bytes(plan.read_bytes()[:700])
    archive = Archive(out)
    assert len(archive.problems) == 1
    assert len(archive.table()) == 4
    plan.unlink()
    archive = Archive(out)
    with pytest.raises(ArchiveError, match="missing or damaged"):
        _ = archive.plan
    assert archive.progress == (4, 4)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.h5 does not exist"):
        Archive(tmp_path / "no.h5")
    parts_folder(tmp_path / "no.h5").mkdir()
    with pytest.raises(FileNotFoundError, match="does not exist"):
        Archive(tmp_path / "no.h5")
    with pytest.raises(ArchiveError, match="is a folder"):
        Archive(parts_folder(tmp_path / "no.h5"))


# --- assembling and merging -------------------------------------------------------------------


def test_merge_unites_plans_and_runs(tmp_path: Path) -> None:
    z, xz = coordinates("Z"), coordinates("XZ")
    first = make_archive(
        tmp_path / "a.h5", [records(z, [1, 2])], planned=[PlannedGroup(z, [1, 2, 3])]
    )
    second = make_archive(
        tmp_path / "b.h5", [records(z, [2, 3]), records(xz, [1])], study_text="name = 'b'"
    )
    out = tmp_path / "out.h5"
    merge([first, second], out)
    archive = Archive(out)
    expect(archive, records(z, [1, 2, 3]) + records(xz, [1]))
    assert archive.plan == [PlannedGroup(z, [1, 2, 3]), PlannedGroup(xz, [1])]
    assert archive.study_text.count("# --- study of") == 2
    assert archive.provenance["merged_from"] == "a.h5, b.h5"
    assert archive.verify().ok
    with pytest.raises(FileExistsError, match="not overwritten"):
        merge([first], out)
    with pytest.raises(ValueError, match="which is read here"):
        merge([first, out], out, overwrite=True)
    merge([first], out, overwrite=True)
    assert Archive(out).progress == (2, 3)


def test_merge_refuses_runs_that_differ(tmp_path: Path) -> None:
    where = coordinates()
    first = make_archive(tmp_path / "a.h5", [records(where, [1, 2])])
    second = make_archive(tmp_path / "b.h5", [records(where, [2, 3], salt=1)])
    with pytest.raises(ArchiveError, match=r"seed=2 has different numbers in .*a\.h5 and .*b\.h5"):
        merge([first, second], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    with pytest.raises(ValueError, match="nothing to merge"):
        merge([], tmp_path / "out.h5")


def test_merge_takes_studies_under_way(live: Any, tmp_path: Path) -> None:
    out, blocks, plan = live
    merge([out], tmp_path / "whole.h5")
    archive = Archive(tmp_path / "whole.h5")
    expect(archive, blocks[0] + blocks[1])
    assert archive.plan == plan


def test_runs_made_again_at_other_times_are_the_same_runs(tmp_path: Path) -> None:
    where = coordinates()
    first = make_archive(tmp_path / "a.h5", [records(where, [1])])
    again = [record(where, 1, started="2030-01-01T00:00:00+00:00")]
    second = make_archive(tmp_path / "b.h5", [again])
    merge([first, second], tmp_path / "out.h5")
    assert Archive(tmp_path / "out.h5").progress == (1, 1)


def test_assemble_errors_leave_the_old_archive(tmp_path: Path) -> None:
    out = make_archive(tmp_path / "a.h5", [records(coordinates(), [1])])
    before = out.read_bytes()
    for parts, error in [([tmp_path / "none.h5"], FileNotFoundError), ([tmp_path], ArchiveError)]:
        with pytest.raises(error):
            assemble(out, plan=[], study_text="", provenance={}, parts=parts, base=out)
        assert out.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.h5"]
    with pytest.raises(FileNotFoundError, match=r"folder .* does not exist"):
        assemble(
            tmp_path / "no" / "a.h5", plan=[], study_text="", provenance={}, parts=[], base=out
        )


def test_the_written_format_is_enough_to_check_a_file(tmp_path: Path) -> None:
    """Seal and digests, computed from docs/archive-format.md alone."""
    path = make_archive(tmp_path / "a.h5", [records(coordinates(), [1, 2], rows=100)])
    data = path.read_bytes()
    lines = dict(line.split(": ", 1) for line in data[:512].decode().splitlines()[2:5])
    content = f"{lines['kind']} {lines['size']}\n".encode() + data[512:]
    assert lines["sha256"] == hashlib.sha256(content).hexdigest()
    assert int(lines["size"]) == len(data)

    def joined(*parts: str | bytes) -> bytes:
        raw = [part.encode() if isinstance(part, str) else part for part in parts]
        return b"".join(len(part).to_bytes(8, "little") + part for part in raw)

    with h5py.File(path, "r", locking=False) as file:
        for group in [file["header"], *file["blocks"].values()]:
            stream = b""
            for name in sorted(group.attrs):
                if name != "sha256":
                    stream += joined("attribute", name, "str", group.attrs[name])
            for name in sorted(group):
                if group[name].attrs.get("NAME", b"").startswith(b"This is a netCDF dimension"):
                    continue
                value = group[name][()]
                array = np.asarray(
                    value, f"S{group[name].dtype.itemsize}" if isinstance(value, bytes) else None
                )
                stream += joined("array", name, array.dtype.str, str(array.shape), array.tobytes())
            assert group.attrs["sha256"].decode() == hashlib.sha256(stream).hexdigest()


def test_the_example_of_the_format_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_archive(tmp_path / "out.h5", [records(coordinates(), [1, 2], rows=100)])
    text = (Path(__file__).parents[3] / "docs" / "archive-format.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(text.split("```python\n")[1].split("```")[0], {})
    printed = capsys.readouterr().out
    tvd = records(coordinates(), [1], rows=100)[0].trajectory.final["tvd"]
    assert "XZ-n3-m2-parity-exact-seeds-1-2" in printed
    assert f"{tvd:.6f}" in printed
