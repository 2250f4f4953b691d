"""Damaged, foreign and newer archives: a clear error or the right numbers, never other ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.archive_samples import (
    assert_same_trajectory,
    coordinates,
    flipped,
    flips,
    in_fork,
    make_archive,
    records,
)
from tnqbm.archive import Archive, merge
from tnqbm.archive.blocks import RunRecord
from tnqbm.archive.contents import FORMAT_VERSION
from tnqbm.archive.file import survey_lines
from tnqbm.archive.verify import verify_archive
from tnqbm.base.errors import ArchiveError
from tnqbm.files.content import set_attribute
from tnqbm.files.storage import SEAL_SIZE

GROUPS = ("Z", "XZ", "XYZ")


def made() -> dict[str, list[RunRecord]]:
    return {paulis: records(coordinates(paulis), [1, 2], rows=80) for paulis in GROUPS}


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "a.h5", list(made().values()))


def offset_in(path: Path, name: str) -> int:
    """Where the bytes of a compressed data set begin in the file."""
    with h5py.File(path, "r") as file:
        offset = file[name].id.get_chunk_info(0).byte_offset
    # The library counts from the start of the HDF5 data, after the user block.
    data = path.read_bytes()
    assert data[SEAL_SIZE : SEAL_SIZE + 4] == b"\x89HDF"
    return int(offset) + SEAL_SIZE + 10


def check_numbers(archive: Archive) -> int:
    """Every run that can be read has the right numbers; returns how many there are."""
    right = {(k, r.seed): r.trajectory for k, block in made().items() for r in block}
    finals = {(row["paulis"], row["seed"]): row for row in archive.table(skip_damaged=True)}
    count = 0
    for run in archive.runs(skip_damaged=True):
        key = (run.coordinates["paulis"], run.coordinates["seed"])
        assert_same_trajectory(run.trajectory, right[key])
        assert finals[key]["tvd"] == right[key].final["tvd"]
        count += 1
    return count


def test_one_damaged_block_leaves_the_others(sample: Path) -> None:
    name = "XZ-n3-m2-parity-exact-seeds-1-2"
    data = sample.read_bytes()
    sample.write_bytes(flipped(data, offset_in(sample, f"blocks/{name}/tvd"), 3))
    archive = Archive(sample)
    assert archive.progress == (4, 6)
    assert any("SHA-256" in problem for problem in archive.problems)
    for read in (lambda: list(archive.runs()), archive.table, archive.groups, archive.fingerprint):
        with pytest.raises(ArchiveError, match=f"block {name} of .* is damaged"):
            read()
    with pytest.raises(ArchiveError, match=name):
        archive.run(paulis="XZ", seed=1)
    assert archive.run(paulis="Z", seed=1).finished
    assert check_numbers(archive) == 4
    groups = {group["paulis"]: group for group in archive.groups(skip_damaged=True)}
    assert (groups["XZ"]["finished"], groups["XZ"]["tvd_mean"]) == (0, None)
    assert groups["Z"]["finished"] == 2
    report = archive.verify()
    assert not report.ok
    assert report.damaged == [name]
    assert (report.blocks_checked, report.runs_whole, len(report.whole)) == (3, 4, 2)
    assert name in str(report)
    assert "4 runs" in str(report)


def test_what_is_whole_can_be_rescued(sample: Path, tmp_path: Path) -> None:
    name = "XZ-n3-m2-parity-exact-seeds-1-2"
    sample.write_bytes(flipped(sample.read_bytes(), offset_in(sample, f"blocks/{name}/tvd"), 3))
    with pytest.raises(ArchiveError, match=name):
        merge([sample], tmp_path / "b.h5")
    merge([sample], tmp_path / "b.h5", skip_damaged=True)
    rescued = Archive(tmp_path / "b.h5")
    assert rescued.verify().ok
    assert rescued.progress == (4, 6)
    assert check_numbers(rescued) == 4


def test_a_damaged_header_leaves_the_blocks(sample: Path) -> None:
    data = sample.read_bytes()
    sample.write_bytes(data.replace(b'name = "sample"', b'name = "simple"'))
    archive = Archive(sample)
    with pytest.raises(ArchiveError, match="header"):
        _ = archive.study_text
    with pytest.raises(ArchiveError, match="header"):
        _ = archive.plan
    assert check_numbers(archive) == 6
    report = archive.verify()
    assert not report.ok
    assert report.runs_whole == 6


def test_damage_to_the_seal_alone_harms_no_run(sample: Path) -> None:
    data = sample.read_bytes()
    for offset in (0, 120, 500):
        sample.write_bytes(flipped(data, offset, 1))
        assert check_numbers(Archive(sample)) == 6


def test_flips_through_the_public_reader(sample: Path) -> None:
    data = sample.read_bytes()
    whole = []
    for offset, bit in flips(len(data), 8, seed=4, first=SEAL_SIZE):
        sample.write_bytes(flipped(data, offset, bit))
        report = verify_archive(sample)
        assert not report.ok
        try:
            archive = Archive(sample)
        except ArchiveError:
            whole.append(0)
        else:
            whole.append(check_numbers(archive))
        assert report.runs_whole == whole[-1]
        assert all("damaged" in problem for problem in report.problems)
    # A flip somewhere in a block must not cost the others.
    assert sorted(whole)[len(whole) // 2] >= 4


def test_flips_anywhere_never_change_a_number(sample: Path) -> None:
    """What the survey calls whole is whole, and what it calls damaged is named."""
    data = sample.read_bytes()
    right = {(k, r.seed): r.trajectory for k, block in made().items() for r in block}

    def sound(flip: tuple[int, int]) -> bool:
        sample.write_bytes(flipped(data, *flip))
        lines = list(survey_lines(sample, set()))
        if any("fatal" in line for line in lines):
            return True
        bad = {before["start"] for before, line in itertools.pairwise(lines) if "fault" in line}
        with h5py.File(sample, "r", locking=False) as file:
            for name in ({line["start"] for line in lines if "start" in line} - bad) - {"/header"}:
                paulis = name.split("-")[0]
                found = file["blocks"][name]["tvd"][()]
                for row, seed in enumerate((1, 2)):
                    if found[row].tobytes() != right[paulis, seed].tvd.tobytes():  # type: ignore[union-attr]
                        return False
        return True

    cases = list(flips(len(data), 100, seed=3, first=SEAL_SIZE))
    outcomes = in_fork(sound, cases)
    wrong = [case for case, outcome in zip(cases, outcomes, strict=True) if outcome == "false"]
    assert not wrong
    assert outcomes.count("died") < len(outcomes) / 10


def test_a_crash_in_the_library_is_survived(
    sample: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If reading a block kills the child process, that block counts as damaged."""
    name = "XZ-n3-m2-parity-exact-seeds-1-2"
    sample.write_bytes(flipped(sample.read_bytes(), 100, 1))
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def hook(frame, event, _):\n"
        f"    if frame.f_code.co_name == 'read_block' and {name!r} in frame.f_locals['where']:\n"
        "        os.kill(os.getpid(), 11)\n"
        "if sys.argv[0] == '-c': sys.setprofile(hook)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hook))
    archive = Archive(sample)
    monkeypatch.undo()
    assert archive.progress == (4, 6)
    with pytest.raises(ArchiveError, match="makes the HDF5 library fail"):
        archive.run(paulis="XZ", seed=1)
    assert check_numbers(archive) == 4


def test_truncated_archives(sample: Path) -> None:
    data = sample.read_bytes()
    for length in np.linspace(1, len(data) - 1, 80).astype(int):
        sample.write_bytes(data[:length])
        with pytest.raises(ArchiveError, match=r"truncated|damaged|cannot be read|not an HDF5"):
            Archive(sample)
        report = verify_archive(sample)
        assert not report.ok
        assert report.runs_whole == 0
        assert len(report.problems) == 1


def test_other_things_than_archives(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(b"")
    with pytest.raises(ArchiveError, match="empty"):
        Archive(path)
    path.write_bytes(b"no HDF5 at all" * 100)
    with pytest.raises(ArchiveError, match="is not an HDF5 file"):
        Archive(path)
    with h5py.File(path, "w") as file:
        file["blocks/x"] = 1
    with pytest.raises(ArchiveError, match="is not an archive of tnqbm"):
        Archive(path)
    records_model = made()["Z"][0].trajectory.model
    assert records_model is not None
    records_model.save(tmp_path / "model.h5")
    with pytest.raises(ArchiveError, match="is not an archive of tnqbm, but a saved model"):
        Archive(tmp_path / "model.h5")


def test_a_newer_archive_names_both_versions(sample: Path) -> None:
    with h5py.File(sample, "r+") as file:
        file.attrs["format_version"] = FORMAT_VERSION + 1
        set_attribute(file, "created_by", "tnqbm 3.1.4")
    with pytest.raises(ArchiveError, match=r"written by tnqbm 3\.1\.4; .* up to \d"):
        Archive(sample)
    assert not verify_archive(sample).ok


def test_an_archive_rewritten_by_another_program(sample: Path, tmp_path: Path) -> None:
    """Copied object by object into a plain file, as h5repack or h5copy do: all whole."""
    with h5py.File(sample, "r") as old, h5py.File(tmp_path / "b.h5", "w") as new:
        for name in old:
            old.copy(name, new)
        for name, value in old.attrs.items():
            new.attrs[name] = value
    archive = Archive(tmp_path / "b.h5")
    assert check_numbers(archive) == 6
    assert archive.verify().ok


def test_a_change_made_by_another_program_is_noticed(sample: Path) -> None:
    with h5py.File(sample, "r+") as file:
        file["blocks/Z-n3-m2-parity-exact-seeds-1-2/tvd"][0, 0] = 0.25
    archive = Archive(sample)
    with pytest.raises(ArchiveError, match="does not match its SHA-256"):
        archive.run(paulis="Z", seed=1)
    assert archive.run(paulis="XZ", seed=1).finished


def test_a_missing_block_is_noticed(sample: Path) -> None:
    with h5py.File(sample, "r+") as file:
        del file["blocks/XZ-n3-m2-parity-exact-seeds-1-2"]
    report = verify_archive(sample)
    assert report.damaged == ["XZ-n3-m2-parity-exact-seeds-1-2"]
    assert report.runs_whole == 4


def test_swapped_blocks_are_noticed(sample: Path) -> None:
    with h5py.File(sample, "r+") as file:
        blocks = file["blocks"]
        names = list(blocks)
        blocks.move(names[0], "x")
        blocks.move(names[1], names[0])
        blocks.move("x", names[1])
    assert not verify_archive(sample).ok
    assert check_numbers(Archive(sample)) == 2
