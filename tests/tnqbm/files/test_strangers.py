"""Models, samples and other inputs as a stranger could send them: refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mc.sampling.samples_file import chains_of, write_samples
from mc.studies.file import load_study
from tests.tnqbm.archive.hostile import mutations, redigested, reseal
from tnqbm.archive import Archive
from tnqbm.base.errors import ArchiveError, StudyError
from tnqbm.core.model import SqRBM
from tnqbm.datasets import read_samples

Change = Callable[[Any], None]


def model_file(path: Path, change: Change | None = None) -> Path:
    SqRBM.uniform(3, 2, "XZ", seed=1).save(path)
    if change is not None:
        with h5py.File(path, "r+", locking=False) as file:
            change(file["content"])
            redigested(file["content"])
        reseal(path, "tnqbm-model")
    return path


def read_or_refused(read: Callable[[Path], object], path: Path, fine: type[Exception]) -> object:
    """What ``read`` gives, or "one line" if it refuses the file as it should."""
    try:
        return read(path)
    except fine as error:
        return "one line" if len(str(error).splitlines()) == 1 else str(error)


def attribute(value: Any) -> Change:
    return lambda content: content.attrs.create("paulis", value)


def replaced(name: str, value: Any) -> Change:
    def change(content: Any) -> None:
        del content[name]
        content[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (attribute(np.int64(5)), "paulis is 5, not letters"),
        (replaced("a", np.float64(1.0)), r"a must have shape \(n,\)"),
        (replaced("b", np.zeros((2, 2), "S3")), "b must hold real numbers"),
        (replaced("w", np.full((2, 3, 2), np.inf)), "w.* is inf"),
        (lambda content: content.__delitem__("a"), "it has no a"),
        (lambda content: content.attrs.__delitem__("paulis"), "it has no paulis"),
    ],
)
def test_models_that_make_no_sense(tmp_path: Path, change: Change, words: str) -> None:
    path = model_file(tmp_path / "m.h5", change)
    with pytest.raises(ArchiveError, match=f"m.h5 is damaged: .*{words}"):
        SqRBM.load(path)


def test_a_scalar_of_a_model_that_is_an_array(tmp_path: Path) -> None:
    path = model_file(tmp_path / "m.h5")
    with h5py.File(path, "r+", locking=False) as file:
        file["content"].attrs.create("paulis", np.array([b"X", b"Z"]))
    reseal(path, "tnqbm-model")
    with pytest.raises(ArchiveError, match="the attribute paulis is not a single value"):
        SqRBM.load(path)


def test_damaged_models_and_samples_behind_a_good_seal(tmp_path: Path) -> None:
    path, good = tmp_path / "x.h5", SqRBM.uniform(3, 2, "XZ", seed=1)
    for data in mutations(model_file(tmp_path / "m.h5").read_bytes(), 60, seed=3):
        path.write_bytes(data)
        reseal(path, "tnqbm-model")
        found = read_or_refused(SqRBM.load, path, ArchiveError)
        assert found == good or found == "one line"
    rows = np.random.default_rng(1).integers(0, 2, (2, 40, 5), np.uint8)
    write_samples(tmp_path / "s.h5", rows, {"note": "x"})
    for data in mutations((tmp_path / "s.h5").read_bytes(), 60, seed=4):
        path.write_bytes(data)
        reseal(path, "tnqbm-samples")
        for read, fine in ((read_samples, ValueError), (chains_of, ArchiveError)):
            found = read_or_refused(read, path, fine)
            assert not isinstance(found, str) or found == "one line"


def test_samples_stored_elsewhere_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["states"] = h5py.ExternalLink("/etc/hostname", "/x")
    with pytest.raises(ValueError, match=r"s\.h5 is damaged: states is a link to another place"):
        read_samples(path)
    with h5py.File(path, "w") as file:
        where = [("/etc/passwd", 0, 20)]
        file.create_dataset("states", (4, 5), "u1", external=where)
    with pytest.raises(ValueError, match="states is stored outside this file"):
        read_samples(path)
    with h5py.File(path, "w") as file:
        file["other"] = h5py.SoftLink("/rows")
        file["rows"] = np.eye(3, dtype=np.uint8)
    assert read_samples(path).shape == (3, 3)  # the only array; what else is there is left alone


@pytest.mark.parametrize("name", ["x.h5", "x.npy", "x.csv", "x.toml"])
def test_pipes_are_refused_before_they_are_opened(tmp_path: Path, name: str) -> None:
    """Nobody writes to the pipe: opening it would wait for ever."""
    path = tmp_path / name
    os.mkfifo(path)
    readers: dict[str, tuple[Callable[[Path], object], type[Exception]]] = {
        "model": (SqRBM.load, ArchiveError),
        "archive": (Archive, ArchiveError),
        "samples": (read_samples, ValueError),
        "study": (load_study, StudyError),
    }
    for read, error in readers.values():
        with pytest.raises(error) as raised:
            read(path)
        assert len(str(raised.value).splitlines()) == 1
        assert name in str(raised.value)
