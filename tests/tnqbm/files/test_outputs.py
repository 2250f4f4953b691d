"""What outputs may be called, and what they may replace: products of their own kind, no input."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from mc.sampling.samples_file import write_samples
from tests.synthetic import ladder, write
from tnqbm.archive import Archive
from tnqbm.core.model import SqRBM
from tnqbm.files.atomic import atomic_write
from tnqbm.files.outputs import ARCHIVE, FIGURE, MODEL, REPORT, SAMPLES, Kind, check_output

KINDS = [ARCHIVE, MODEL, SAMPLES, FIGURE, REPORT]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
@pytest.mark.parametrize("name", ["", ".", "..", "/", "folder.h5/"])
def test_a_name_that_names_no_file(kind: Kind, name: str) -> None:
    for overwrite in (True, False):
        with pytest.raises(ValueError, match="is no file name"):
            check_output(name, kind, overwrite=overwrite)


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_whatever_is_written_needs_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a file"), atomic_write(name):
        raise AssertionError("the body must not run")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_endings(kind: Kind, tmp_path: Path) -> None:
    for name in ("study.toml", "x", "notes.txt", ".h5"):
        with pytest.raises(ValueError, match="must end in one of"):
            check_output(tmp_path / name, kind)
    for suffix in kind.suffixes:
        assert check_output(tmp_path / f"x{suffix}", kind) == tmp_path / f"x{suffix}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_only_regular_files_are_replaced(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix = kind.suffixes[0]
    fifo, folder, link, gone, door = (tmp_path / f"{k}{suffix}" for k in range(5))
    os.mkfifo(fifo)
    folder.mkdir()
    (tmp_path / "precious").write_text("mine")
    link.symlink_to(tmp_path / "precious")
    gone.symlink_to(tmp_path / "nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the name of a socket must be short
        server.bind(door.name)
        for path, error, words in [
            (fifo, FileExistsError, "no regular file"),
            (door, FileExistsError, "no regular file"),
            (folder, IsADirectoryError, "is a folder"),
            (link, FileExistsError, "is a symbolic link"),
            (gone, FileExistsError, "is a symbolic link"),
        ]:
            for overwrite in (True, False):
                with pytest.raises(error, match=words):
                    check_output(path, kind, overwrite=overwrite)
            with pytest.raises(error, match=words), atomic_write(path):
                raise AssertionError("the body must not run")
    assert link.is_symlink()
    assert gone.is_symlink()
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_inputs_are_found_under_every_name(kind: Kind, tmp_path: Path) -> None:
    suffix = kind.suffixes[0]
    source = tmp_path / "source"
    source.write_text("data")
    hard, through = tmp_path / f"hard{suffix}", tmp_path / "link" / f"hard{suffix}"
    hard.hardlink_to(source)
    (tmp_path / "link").symlink_to(tmp_path)
    absent = tmp_path / f"absent{suffix}"
    for out, read in [
        (hard, source),
        (hard, hard),
        (through, source),
        (tmp_path / "." / f"hard{suffix}", tmp_path / "link" / "source"),
        (tmp_path / "link" / absent.name, absent),
    ]:
        for overwrite in (True, False):
            with pytest.raises(ValueError, match="which is read here"):
                check_output(out, kind, overwrite=overwrite, inputs=[tmp_path / "other", read])
    assert source.read_text() == "data"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_files_of_others_are_never_replaced(kind: Kind, tmp_path: Path) -> None:
    foreign = {
        ".h5": b"\x89HDF\r\n\x1a\n data of mine",
        ".csv": b"# my data\n0,1\n1,0\n",
        ".npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False",
        ".png": b"\x89PNG\r\n\x1a\n a photo",
        ".pdf": b"%PDF-1.4 a thesis",
        ".svg": b"<?xml a drawing",
        ".html": b"<!DOCTYPE html><html>my page",
    }
    for suffix in kind.suffixes:
        path = tmp_path / f"mine{suffix}"
        content = foreign.get(suffix, b"something else")
        path.write_bytes(content)
        with pytest.raises(ValueError, match="was not written as"):
            check_output(path, kind, overwrite=True)
        with pytest.raises(FileExistsError, match="exists already"):
            check_output(path, kind)
        path.write_bytes(b"")  # nothing to lose
        assert check_output(path, kind, overwrite=True) == path


def test_products_are_replaced_by_their_own_kind_only(tmp_path: Path) -> None:
    archive = write(tmp_path / "archive.h5", ladder({1: [0.5]}))
    model = tmp_path / "model.h5"
    SqRBM.uniform(2, 1, "Z", seed=1).save(model)
    made = {ARCHIVE: [archive], MODEL: [model], SAMPLES: []}
    for suffix in SAMPLES.suffixes:
        path = tmp_path / f"samples{suffix}"
        write_samples(path, np.zeros((1, 3, 2), np.uint8), {"tnqbm": "0.1.0"})
        made[SAMPLES].append(path)
    for kind, paths in made.items():
        for path in paths:
            assert check_output(path, kind, overwrite=True) == path
        for other in made.keys() - {kind}:
            for path in made[other]:
                with pytest.raises(ValueError, match=r"was not written as|must end in"):
                    check_output(path, kind, overwrite=True)


def test_a_damaged_archive_may_be_replaced(tmp_path: Path) -> None:
    archive = write(tmp_path / "archive.h5", ladder({1: [0.5]}))
    archive.write_bytes(archive.read_bytes()[:-100])
    assert check_output(archive, ARCHIVE, overwrite=True) == archive


@pytest.mark.parametrize("suffix", FIGURE.suffixes)
def test_figures_are_known_again(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from tnqbm import figures

    archive = write(tmp_path / "archive.h5", ladder({1: [0.5], 2: [0.1]}))
    figure, _ = figures.tvd_vs_hidden(Archive(archive))
    path = tmp_path / f"x{suffix}"
    for overwrite in (False, True):
        figures.save_figure(figure, path, overwrite=overwrite)


def test_saved_models_need_their_ending(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in one of \.h5"):
        SqRBM.uniform(2, 1, "Z", seed=1).save(tmp_path / "model.toml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_a_folder_that_cannot_be_written_is_found_before_the_work(kind: Kind) -> None:
    path = Path(f"/proc/x{kind.suffixes[0]}")
    with pytest.raises(OSError, match=f"cannot write {path}"):
        check_output(path, kind)
