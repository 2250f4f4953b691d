"""Final values in one place: those of the blocks, and never in their stead if damaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.archive_samples import PROVENANCE, coordinates, make_archive, record, records
from tests.tnqbm.archive.hostile import changed, outcomes, raw, redigested
from tnqbm.archive import Archive, RunRecord, merge, parts_folder, write_block
from tnqbm.archive.file import ArchiveFile
from tnqbm.archive.merging import join_parts
from tnqbm.archive.verify import verify_archive
from tnqbm.base.errors import ArchiveError


def failed(cause: str) -> RunRecord:
    """A run that failed."""
    one = record(coordinates("Z", hidden=3), 4, stopped="failed")
    return dataclasses.replace(one, trajectory=dataclasses.replace(one.trajectory, cause=cause))


def reported(backend: str, shots: int) -> RunRecord:
    """A run with a report of its estimator, and a model that is not the last."""
    one = record(coordinates("XYZ", hidden=shots), 1)
    path = dataclasses.replace(
        one.trajectory, model_step=25, estimator={"backend": backend, "shots": shots}
    )
    return dataclasses.replace(one, trajectory=path)


def blocks() -> list[list[RunRecord]]:
    """Blocks with different columns and numbers of runs."""
    return [
        records(coordinates("XZ"), [1, 2, 9]),
        records(coordinates("XZ", hidden=3), [5]),
        records(coordinates("Z"), [1, 2], metrics=("tvd", "valid_nll")),
        [record(coordinates("Z", hidden=3), 3), failed("Fehler: größer als erwartet")],
        [reported("aer", 3)],
        [reported("a longer name", 4)],
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "a.h5", blocks())


READINGS: dict[str, Callable[[Archive], Any]] = {
    "rows": lambda archive: archive.rows(),
    "groups": lambda archive: archive.groups(),
    "estimators": lambda archive: archive.estimators(),
    "failures": lambda archive: archive.failures(),
    "made by": lambda archive: archive.made_by(),
}


@pytest.mark.parametrize("reading", READINGS)
def test_they_are_what_the_blocks_say(path: Path, tmp_path: Path, reading: str) -> None:
    older = changed(path, tmp_path / "older.h5", lambda *_: None)
    read = READINGS[reading]
    with Archive(path) as archive, Archive(older) as other:
        # By text, as NaN is not equal to itself.
        assert repr(read(archive)) == repr(read(other))


def test_tables_are_for_blocks_with_the_same_columns(path: Path) -> None:
    with h5py.File(path, locking=False) as file, ArchiveFile(path) as opened:
        assert sorted(len(table["block"]) for table in file["finals"].values()) == [1, 1, 2, 2]
        assert opened.tables(strict=True).keys() == file["blocks"].keys()


def test_no_block_is_opened_for_a_table(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("a block has been opened")

    monkeypatch.setattr(ArchiveFile, "group", refuse)
    with Archive(path) as archive:
        for read in READINGS.values():
            assert read(archive)


def test_joined_parts_have_them(tmp_path: Path, path: Path) -> None:
    out = tmp_path / "out.h5"
    folder = parts_folder(out)
    folder.mkdir()
    names = []
    for number, block in enumerate(blocks()):
        names.append(folder / f"{number}.h5")
        write_block(names[-1], block, PROVENANCE)
    join_parts(names[:3], folder / "joined-1.h5")
    join_parts([folder / "joined-1.h5", *names[3:]], folder / "joined-2.h5")
    for name in [*names, folder / "joined-1.h5"]:
        name.unlink()
    with ArchiveFile(folder / "joined-2.h5") as file:
        assert len(file.tables(strict=True)) == len(names)
    assert verify_archive(out).ok
    with Archive(out) as archive, Archive(path) as other:
        assert sorted(map(repr, archive.rows())) == sorted(map(repr, other.rows()))


def wrong_value(table: Any) -> None:
    table["tvd"][0] += 1e-12
    redigested(table)


def wrong_text(table: Any) -> None:
    table["stopped"][0] = b"plateau"
    redigested(table)


def wrong_origin(table: Any) -> None:
    texts = table["texts"][()].replace(b"test", b"tent")
    del table["texts"]
    table["texts"] = np.bytes_(texts)
    redigested(table)


@pytest.mark.parametrize("change", [wrong_value, wrong_text, wrong_origin])
def test_what_is_not_in_the_blocks_is_found(
    path: Path, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    """With a seal and digests that hold."""
    bad = changed(path, tmp_path / "b.h5", lambda f, _: change(f["finals/0"]), finals=True)
    report = verify_archive(bad)
    assert not report.ok
    assert report.runs_whole == 10
    assert "the final values of" in str(report)
    merge([bad], tmp_path / "mended.h5")
    assert verify_archive(tmp_path / "mended.h5").ok
    assert Archive(tmp_path / "mended.h5").fingerprint() == Archive(path).fingerprint()


def without(name: str) -> Callable[[Any], None]:
    def change(table: Any) -> None:
        del table[name]
        redigested(table)

    return change


def replaced(name: str, value: Any) -> Callable[[Any], None]:
    def change(table: Any) -> None:
        old = table[name][()]
        del table[name]
        table[name] = value(old)
        redigested(table)

    return change


DAMAGED: dict[str, Callable[[Any], None]] = {
    "no digest": lambda table: table["tvd"].write_direct(np.zeros(table["tvd"].shape)),
    "no seeds": without("seed"),
    "no steps": without("steps"),
    "no texts": without("texts"),
    "other seeds": replaced("seed", lambda seeds: seeds + 1),
    "other blocks": replaced("block", lambda places: places + 1),
    "blocks that are not there": replaced("block", lambda places: places + 1000),
    "negative blocks": replaced("block", lambda places: places - 1000),
    "one block twice": replaced("block", lambda places: 0 * places),
    "texts that are not there": replaced("provenance", lambda places: places + 1000),
    "no list of texts": replaced("texts", lambda _: np.bytes_("{")),
    "numbers for texts": replaced("texts", lambda _: np.bytes_("[1, 2, 3]")),
    "text for numbers": replaced("tvd", lambda values: values.astype("S")),
    "a column too short": replaced("tvd", lambda values: values[:-1]),
    "an unknown column": lambda table: (
        table.__setitem__("more", np.zeros(3)),
        redigested(table),
    )[1],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_ones_are_told_and_not_used(path: Path, tmp_path: Path, name: str) -> None:
    def change(file: Any, _: Any) -> None:
        for table in file["finals"].values():
            DAMAGED[name](table)

    bad = changed(path, tmp_path / "b.h5", change, finals=True)
    assert not raw(outcomes(bad))
    report = verify_archive(bad)
    assert report.runs_whole == 10
    assert any("the final values of" in problem for problem in report.problems)
    with Archive(bad) as archive, Archive(path) as other:
        assert repr(archive.rows()) == repr(other.rows())
    with ArchiveFile(bad) as file, pytest.raises(ArchiveError, match="the final values of"):
        file.tables(strict=True)


def test_they_are_not_used_where_the_seal_is_broken(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        wrong_value(file["finals/0"])
    with Archive(path) as archive:
        row = archive.rows()[0]
        assert row.metrics["tvd"] == archive.run(**row.identity).trajectory.final["tvd"]
