"""Sealed files whose inside is not what the format says: refused in one line, nothing opened."""

from __future__ import annotations

import array
import fcntl
import itertools
import json
import os
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.archive_samples import coordinates, make_archive, records
from tests.tnqbm.archive.hostile import (
    Change,
    changed,
    mutations,
    outcomes,
    raw,
    redigested,
    reseal,
    small_archive,
)
from tnqbm.archive import Archive, merge
from tnqbm.archive.verify import verify_archive
from tnqbm.base.errors import ArchiveError
from tnqbm.files.storage import BeingWrittenError

BLOCK = "XZ-n3-m2-parity-exact-seeds-1-2"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_archive(tmp_path_factory.mktemp("hostile") / "source.h5")


def replaced(name: str, make: Callable[[Any], object]) -> Change:
    """The change that puts what ``make(block)`` creates or returns in place of an array."""

    def change(_: Any, block: Any) -> None:
        del block[name]
        made = make(block)
        if made is not None:
            block[name] = made

    return change


def external(path: str) -> Change:
    def make(block: Any) -> None:
        where = [(path, 0, h5py.h5f.UNLIMITED)]
        block.create_dataset("kl", shape=(2, 80), dtype="<f8", external=where)

    return replaced("kl", make)


def virtual(block: Any) -> None:
    layout = h5py.VirtualLayout((2, 80), "<f8")
    layout[...] = h5py.VirtualSource("elsewhere.h5", "kl", (2, 80))
    block.create_virtual_dataset("kl", layout)


def lists(block: Any) -> None:
    block.create_dataset("kl", (2, 80), h5py.vlen_dtype("i4"))


def huge_chunk(block: Any) -> None:
    block.create_dataset(
        "kl", (2, 80), "<f8", maxshape=(None, None), chunks=(2**14, 2**14), compression="gzip"
    )


def claimed(shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> Change:
    def make(block: Any) -> None:
        block.create_dataset("kl", shape=shape, dtype="<f8", chunks=chunks, compression="gzip")

    return replaced("kl", make)


def typed(dtype: Any) -> Change:
    return replaced("kl", lambda _: np.zeros((2, 80), dtype))


STRUCTURES: dict[str, tuple[Change, str]] = {
    "external file": (external("/etc/passwd"), "kl is stored outside this file"),
    "missing external file": (external("/nonexistent"), "kl is stored outside this file"),
    "virtual": (replaced("kl", virtual), "kl is made of parts of other files"),
    "external link": (
        replaced("kl", lambda _: h5py.ExternalLink("/etc/hostname", "/kl")),
        "kl is a link to another place",
    ),
    "soft link": (replaced("kl", lambda b: h5py.SoftLink(f"{b.name}/tvd")), "kl is a link"),
    "soft loop": (lambda _, b: b.__setitem__("self", h5py.SoftLink(b.name)), "self is a link"),
    "hard loop": (lambda _, b: b.__setitem__("self", b), "self is linked twice"),
    "twice": (replaced("kl", lambda block: block["tvd"]), "tvd is linked twice"),
    "references": (
        replaced("stopped", lambda b: np.array([b.ref] * 2, h5py.ref_dtype)),
        "stopped holds neither numbers",
    ),
    "compound": (typed([("a", "<f8"), ("b", "<i4")]), "kl holds neither numbers"),
    "long double": (typed(np.longdouble), "kl holds neither numbers"),
    "opaque": (typed("V8"), "kl holds neither numbers"),
    "array type": (typed([("r", "<f8", (3,)), ("i", "<f8")]), "kl holds neither numbers"),
    "enum": (typed(h5py.enum_dtype({"A": 0, "B": 1}, "i1")), "kl holds neither numbers"),
    "lists": (replaced("kl", lists), "kl holds neither numbers"),
    "free text": (
        replaced("stopped", lambda _: np.array(["a", "b"], h5py.string_dtype())),
        "stopped holds text of variable length",
    ),
    "no shape": (replaced("kl", lambda _: h5py.Empty("<f8")), "kl is an array without a shape"),
    "type": (replaced("kl", lambda _: np.dtype("<f8")), "kl is neither an array nor a group"),
    "nothing stored": (claimed((2**40, 2), (1024, 2)), "kl claims 17592186044416 bytes, and 0 in"),
    "huge chunk": (replaced("kl", huge_chunk), "kl claims 2147483648 bytes, and"),
    "long attribute": (
        lambda _, b: b.attrs.create("run_coordinates", np.zeros(9)),
        "the attribute run_coordinates is not a single value",
    ),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_only_plain_arrays_of_this_file_are_read(tmp_path: Path, source: Path, name: str) -> None:
    change, words = STRUCTURES[name]
    path = changed(source, tmp_path / "a.h5", change)
    found = outcomes(path)
    assert not raw(found)
    report = verify_archive(path)
    assert report.damaged == [BLOCK]
    assert report.runs_whole == 2
    with pytest.raises(ArchiveError, match=rf"block {BLOCK} of .*{words}.*--skip-damaged -o"):
        [run.trajectory for run in Archive(path).runs()]


def test_nothing_outside_is_read(tmp_path: Path, source: Path) -> None:
    """A pipe that holds enough for the array that points to it still holds it afterwards."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    handle = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(handle, bytes(4096))
        path = changed(source, tmp_path / "a.h5", external(str(pipe)))
        assert not raw(outcomes(path))
        held = array.array("i", [0])
        fcntl.ioctl(handle, termios.FIONREAD, held)
        assert held[0] == 4096
    finally:
        os.close(handle)


def stored(name: str, value: Any) -> Change:
    """The change that puts another array into a block, with a digest that holds."""

    def change(_: Any, block: Any) -> None:
        del block[name]
        block[name] = value
        redigested(block)

    return change


def said(name: str, value: Any) -> Change:
    """The change that gives a block another attribute, with a digest that holds."""

    def change(_: Any, block: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        block.attrs.create(name, text.encode(), dtype=h5py.string_dtype("utf-8", len(text)))
        redigested(block)

    return change


def header(name: str, edit: Callable[[Any], object]) -> Change:
    """The change that edits a text of the header, with a digest that holds."""

    def change(root: Any, _: Any) -> None:
        text = root["header"][name][()].decode()
        made = edit(json.loads(text))
        made = made if isinstance(made, str) else json.dumps(made)
        del root["header"][name]
        data = np.array(made.encode(), h5py.string_dtype("utf-8", len(made.encode())))
        root["header"].create_dataset(name, data=data)
        redigested(root["header"])

    return change


def first(**changes: object) -> Callable[[Any], object]:
    return lambda lines: [{**lines[0], **changes}, *lines[1:]]


SENSE: dict[str, Change] = {
    "numbers for texts": stored("stopped", np.zeros(2)),
    "texts for numbers": stored("kl", np.zeros((2, 80), "S4")),
    "fractions for counts": stored("n_records", np.array([1.5, 2.5])),
    "too many records": stored("n_records", np.array([80, 81])),
    "no records": stored("n_records", np.array([80, 0])),
    "a scalar": stored("n_records", np.int64(3)),
    "a scalar schedule": stored("step", np.int64(3)),
    "other seeds": stored("seed", np.array([1, 3])),
    "other shapes": stored("parameters", np.zeros((2, 5))),
    "parameters that are no numbers": stored("parameters", np.full((2, 19), np.nan)),
    "falling steps": stored("step", np.arange(80)[::-1]),
    "many snapshots": stored("n_snapshots", np.array([9, 9])),
    "coordinates are a list": said("run_coordinates", [1, 2]),
    "coordinates are no JSON": said("run_coordinates", "{"),
    "deep coordinates": said("run_coordinates", "[" * 30_000),
    "number for a name": said("run_coordinates", {**coordinates("XZ"), "data": 5}),
    "text for a number": said("run_coordinates", {**coordinates("XZ"), "visible": "3"}),
    "unknown letters": said("run_coordinates", {**coordinates("XZ"), "paulis": "QQ"}),
    "negative size": said("run_coordinates", {**coordinates("XZ"), "visible": -3}),
    "provenance is a list": said("provenance", [1]),
    "contents is a table": header("contents", lambda _: {"a": 1}),
    "contents is a number": header("contents", lambda _: 7),
    "block is a number": header("contents", first(block=5)),
    "digest is a list": header("contents", first(sha256=[])),
    "seeds are a number": header("contents", first(seeds=3)),
    "endless seeds": header("contents", first(seeds="1-99999999999999999999")),
    "many ranges of seeds": header("plan", first(seeds=",".join(["1-9999999"] * 50))),
    "seeds without end": header("plan", first(seeds="1-" + "9" * 5000)),
    "negative seeds": header("plan", first(seeds="-5")),
    "deep plan": header("plan", lambda _: "[" * 30_000),
    "plan without coordinates": header("plan", lambda lines: [{"seeds": "1"}]),
    "plan with other letters": header("plan", first(coordinates={**coordinates(), "paulis": "Q"})),
    "provenance of the file": header("provenance", lambda _: [1, 2]),
    "block that is not there": header("contents", first(block="../../header")),
}


@pytest.mark.parametrize("name", SENSE)
def test_what_makes_no_sense_is_refused(tmp_path: Path, source: Path, name: str) -> None:
    """With a seal and digests that hold: only what the numbers and texts say is wrong."""
    path = changed(source, tmp_path / "a.h5", SENSE[name])
    found = outcomes(path, ("groups", "table", "runs", "plan", "verify", "rescue"))
    assert not raw(found)
    assert found["runs"].startswith("ArchiveError: ")


def test_a_report_of_text_where_readers_add_up(tmp_path: Path) -> None:
    def change(_: Any, block: Any) -> None:
        block["estimator/shots"] = np.array([b"many", b"few"])
        redigested(block)

    path = changed(small_archive(tmp_path / "s.h5"), tmp_path / "a.h5", change)
    with pytest.raises(ArchiveError, match="estimator/shots holds text"):
        Archive(path).estimators()
    assert not raw(outcomes(path))


def test_damage_behind_a_good_seal_is_refused_or_harmless(tmp_path: Path) -> None:
    made = make_archive(tmp_path / "s.h5", [records(coordinates("XZ"), [1, 2], rows=80)])
    path, refused = tmp_path / "a.h5", 0
    turns = itertools.cycle(("groups", "table", "run"))
    for data in mutations(made.read_bytes(), 150, seed=5):
        path.write_bytes(data)
        reseal(path)
        found = outcomes(path, ("runs", "verify", next(turns)))
        assert not raw(found)
        refused += any(found.values())
    assert refused > 50


def test_damage_found_late_is_left_out_when_asked(tmp_path: Path, source: Path) -> None:
    path = changed(source, tmp_path / "a.h5", STRUCTURES["external file"][0])
    archive = Archive(path)
    assert archive.progress == (4, 4)
    assert not archive.problems
    assert [row["paulis"] for row in archive.table(skip_damaged=True)] == ["Z", "Z"]
    assert archive.progress == (2, 4)
    assert any(BLOCK in problem for problem in archive.problems)
    assert [g["finished"] for g in archive.groups(skip_damaged=True)] == [0, 2]
    assert len(list(Archive(path).runs(skip_damaged=True))) == 2
    merge([path], tmp_path / "rescued.h5", skip_damaged=True)
    assert Archive(tmp_path / "rescued.h5").progress == (2, 4)
    assert verify_archive(tmp_path / "rescued.h5").ok


def test_damage_beside_the_numbers_of_a_block_does_not_hinder_merging(
    tmp_path: Path, source: Path
) -> None:
    """An axis' name that cannot be read: the block is written anew, its numbers as they were."""

    def change(_: Any, block: Any) -> None:
        block["tvd"].attrs.create("DIMENSION_LABELS", np.zeros(3, "f4"))

    path = changed(source, tmp_path / "a.h5", change)
    merge([path], tmp_path / "b.h5")
    assert Archive(tmp_path / "b.h5").fingerprint() == Archive(source).fingerprint()


def test_a_file_open_for_writing_elsewhere_is_not_called_damaged(
    tmp_path: Path, source: Path
) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(source.read_bytes())
    with h5py.File(path, "r+"):
        with pytest.raises(BeingWrittenError, match="being written by another process; try again"):
            Archive(path)
        assert "being written" in verify_archive(path).problems[0]
    with (
        h5py.File(path, "r+", locking=False),
        pytest.raises(BeingWrittenError, match=r"marked as open for writing.* h5clear"),
    ):
        Archive(path)
    assert Archive(path).verify().ok  # closed without a change: as it was
