"""Files of strangers: damaged, unpacking to all of the memory, changing while they are read."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from tnqbm.base.errors import DataError
from tnqbm.datasets import read_data, readers
from tnqbm.datasets.readers import source

ROWS = "0,1,1\n1,0,0\n"


def test_a_packed_file_that_unpacks_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"0,1\n" * (1 << 20)))
    assert path.stat().st_size < 50_000
    assert len(read_data(path).states) == 1 << 20
    monkeypatch.setattr(source, "MAX_UNPACKED", 1 << 20)
    blocks: list[int] = []
    real = gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile, "read", lambda self, size=-1: blocks.append(size) or real(self, size)
    )
    monkeypatch.setattr(source, "_BLOCK", 1 << 16)
    with pytest.raises(DataError, match=r"a\.csv\.gz: it unpacks to more than 1\.05 MB.*gunzip -k"):
        read_data(path)
    assert sum(blocks) <= (1 << 20) + (1 << 17)  # no more is unpacked than it takes to know


def test_packed_files_that_are_cut_or_changed(tmp_path: Path) -> None:
    whole = gzip.compress(ROWS.encode() * 50)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(whole[:-9])
    with pytest.raises(DataError, match="the gzip file ends too early"):
        read_data(path)
    path.write_bytes(whole[:-8] + bytes(8))
    with pytest.raises(DataError, match="no whole gzip file"):
        read_data(path)


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(ROWS)
    real = source.Source.read_bytes

    def slow(self: source.Source) -> bytes:
        found = real(self)
        with path.open("a") as file:  # another process goes on writing
            file.write("0,0,0\n")
        return found

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(source.Source, "read_bytes", slow)
        with pytest.raises(DataError, match=r"a\.csv: it changed while it was read; try again"):
            read_data(path)
    assert len(read_data(path).states) == 3


def test_more_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text(ROWS)
    np.save(tmp_path / "a.npy", np.eye(3))
    monkeypatch.setattr(source, "available_bytes", lambda: 10)
    for name in ("a.csv", "a.npy"):
        with pytest.raises(DataError, match=rf"{name}: its .* of memory, and 10 B are free"):
            read_data(tmp_path / name)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataError, match="is a pipe; only ordinary files are read"):
        read_data(tmp_path / "a.csv")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read_data(tmp_path / "folder.npy")


def test_no_bytes_of_any_suffix_end_in_another_error(tmp_path: Path) -> None:
    """Random bytes, and those of one format under the name of another."""
    rng = np.random.default_rng(0)
    contents = [b"", b"\0", ROWS.encode(), rng.bytes(2000), gzip.compress(ROWS.encode())]
    contents += [b"\x93NUMPY\x01\x00v\x00{'descr': '|O', }" + bytes(100), b"PK\x05\x06" + bytes(18)]
    for suffix in readers.suffixes():
        for content in contents:
            path = tmp_path / f"a{suffix}"
            path.write_bytes(content)
            message = str(path)
            try:
                assert set(np.unique(read_data(path).states)) <= {0, 1}
            except DataError as error:
                message = str(error)
            assert message.startswith(str(path))
