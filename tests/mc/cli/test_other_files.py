"""A file given in another's place: the message says what it is, and what takes it."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from mc.sampling.samples_file import write_samples
from tests.mc.cli.calling import caller, message_of
from tests.synthetic import ladder, write
from tnqbm.core.model import SqRBM
from tnqbm.files.storage import write_tree

message = message_of(caller())

ARCHIVE_TAKERS = [
    ["show"],
    ["verify"],
    ["plot", "--kind", "tvd", "-o", "x.png"],
    ["report", "-o", "x.html"],
    ["merge", "-o", "x.h5"],
]
MODEL_TAKERS = [["evaluate"], ["logz"], ["sample"], ["structure"], ["quality", "--data", "bas"]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(Path("archive.h5"), ladder({1: [0.5], 2: [0.1]}))
    SqRBM.uniform(4, 2, "Z", seed=1).save("model.h5")
    write_samples("samples.h5", np.zeros((2, 3, 4), np.uint8), {"tnqbm": "0.1.0"})
    write_tree("checkpoint.h5", {}, {}, kind="checkpoint")
    write_tree("network.h5", {}, {}, kind="network")
    with h5py.File("foreign.h5", "w") as file:
        file["voltages"] = np.zeros(3)
    (tmp_path / "study.toml").write_text('name = "x"\n')
    (tmp_path / "rows.csv").write_text("0,1\n")
    (tmp_path / "rbm.pt").write_bytes(b"PK")
    return tmp_path


@pytest.mark.parametrize("command", [*ARCHIVE_TAKERS, *MODEL_TAKERS], ids=lambda words: words[0])
def test_what_a_file_is(command: list[str], folder: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    name, *options = command
    of_models = command in MODEL_TAKERS
    cases = {
        "samples.h5": ["samples of a model", "tnqbm quality MODEL.h5 --samples"],
        "checkpoint.h5": ["a checkpoint of a study under way", "OUT.h5"],
        "network.h5": ["an amplitude network", "AmplitudeMPS.load"],
        "foreign.h5": ["an HDF5 file of another program", "'voltages'", "tnqbm model import"],
        "absent.h5": ["does not exist"],
    }
    if name != "verify":  # to which they may be what is left of an archive
        cases["study.toml"] = ["is not an HDF5 file", "tnqbm run"]
        cases["rows.csv"] = ["is not an HDF5 file", "--data FILE"]
        cases["rbm.pt"] = ["is not an HDF5 file", "tnqbm model import"]
    if not of_models:
        cases["model.h5"] = ["a saved model", "tnqbm evaluate", "SqRBM.load"]
    for file, words in cases.items():
        text = message(name, file, *options)
        assert file in text
        for word in words:
            assert word in text
        assert "damaged" not in text
    if of_models:
        text = message(name, "archive.h5", *options, code=2)
        assert "is an archive of runs; name one of them" in text


@pytest.mark.parametrize("command", [*ARCHIVE_TAKERS, *MODEL_TAKERS], ids=lambda words: words[0])
@pytest.mark.parametrize("given", ["", ".", "/"])
def test_names_that_are_none(command: list[str], given: str, folder: Path) -> None:
    pytest.importorskip("matplotlib")
    name, *options = command
    text = message(name, given, *options)
    assert "is no archive" in text or "is a folder" in text
    assert "PosixPath" not in text


def test_pipes_and_folders_in_the_place_of_files_are_refused_at_once(folder: Path) -> None:
    """Opened for reading, a pipe would wait for a writer for ever."""
    os.mkfifo("pipe.csv")
    os.mkfifo("pipe.h5")
    (folder / "folder.csv").mkdir()
    for command in MODEL_TAKERS:
        assert "is a pipe" in message(command[0], "pipe.h5", *command[1:])
    for name, says in [("pipe.csv", "is a pipe"), ("folder.csv", "is a folder"), ("no.csv", "no ")]:
        for words in (
            ["evaluate", "model.h5", "--data", name],
            ["logz", "model.h5", "--data", name],
            ["quality", "model.h5", "--data", name],
            ["quality", "model.h5", "--data", "bas", "--samples-file", name],
            ["sample", "model.h5", "--clamp-file", name],
            ["sample", "model.h5", "--init", "data", "--data", name],
        ):
            text = message(*words)
            assert says in text
            assert name in text
