"""Text of variable length, read past the HDF5 library; whatever bytes are wrong, reading ends."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from tnqbm.base.errors import ArchiveError
from tnqbm.files import gate
from tnqbm.files.storage import open_hdf5


def read(path: Path, name: str = "kind") -> str:
    with open_hdf5(path) as file, gate.reading(str(path)):
        return gate.text(file, name)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("text", ["BBRBM", "", "Bärte", "x" * 5000])
def test_texts_as_h5py_writes_them(tmp_path: Path, text: str, libver: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for k in range(20):
            file[f"other{k}"] = "y" * 50 * k
        file["kind"] = text
        file["fixed"] = np.bytes_(text.encode() or b" ")
        file.create_dataset("one", data=[text], dtype=h5py.string_dtype())
    assert read(path) == text
    assert read(path, "one") == text
    assert read(path, "fixed") == (text or " ")


def test_what_is_no_single_text(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["number"] = 3
        file.create_group("group")
        file["two"] = ["a", "b"]
        file["long"] = "x" * 70_000
        file["link"] = h5py.SoftLink("/number")
    for name in ("number", "group", "two", "long", "link", "absent"):
        with pytest.raises(ArchiveError):
            read(path, name)
    with h5py.File(path, "w", userblock_size=512) as file:
        file["kind"] = "BBRBM"
    with pytest.raises(ArchiveError, match="unusual way"):
        read(path)


def test_any_bytes_of_the_heap_may_be_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for k in range(5):
            file[f"other{k}"] = "y" * 7 * k
        file["kind"] = "BBRBM"
    content = path.read_bytes()
    start = content.index(b"GCOL")
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        wrong = bytearray(content)
        for place in start + rng.integers(0, 400, rng.integers(1, 4)):
            wrong[place] = rng.integers(256)
        path.write_bytes(wrong)
        try:
            found.append(read(path))
        except ArchiveError as error:
            found.append(str(error))
    assert "BBRBM" in found
    assert any("not where it should be" in text for text in found)
