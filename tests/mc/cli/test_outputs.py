"""No command overwrites what it reads, or what nobody of this package wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest

from mc.cli import cli
from tests.mc.cli.calling import caller, message_of
from tests.synthetic import ladder, write
from tnqbm.core.model import SqRBM

call = caller()
message = message_of(call)

STUDY = """
name = "own"
seeds = 1
[model]
paulis = ["Z"]
visible = 4
hidden = 1
[data]
name = ["rows.csv"]
[training]
iterations = 5
"""

MODEL, ARCHIVE, SAMPLES, FIGURE = ".h5", ".h5", ".h5", ".png"
WRITERS = {
    ("run", "out"): (["study.toml", "-o"], ARCHIVE, ["study.toml", "rows.csv"]),
    ("merge", "out"): (["archive.h5", "-o"], ARCHIVE, ["archive.h5"]),
    ("plot", "out"): (["archive.h5", "--kind", "tvd", "-o"], FIGURE, ["archive.h5"]),
    ("report", "out"): (["archive.h5", "-o"], ".html", ["archive.h5"]),
    ("sample", "out"): (
        ["model.h5", "--init", "data", "--data", "rows.csv", "-o"],
        SAMPLES,
        ["model.h5", "rows.csv"],
    ),
    ("sample", "picture"): (["model.h5", "--picture"], FIGURE, ["model.h5"]),
    ("quality", "prefix"): (
        ["model.h5", "--data", "rows.csv", "-o"], "-grid.png", ["model.h5", "rows.csv"],
    ),
    ("structure", "out"): (["model.h5", "-o"], FIGURE, ["model.h5"]),
    ("resources", "out"): (["--visible", "4", "--hidden", "1", "-o"], FIGURE, []),
    ("model canonical", "out"): (["model.h5", "-o"], MODEL, ["model.h5"]),
    ("model convert", "out"): (["XYZ", "model.h5", "-o"], MODEL, ["model.h5"]),
    ("model prune", "out"): (["model.h5", "--keep", "1", "-o"], MODEL, ["model.h5"]),
    ("model merge", "out"): (["model.h5", "-o"], MODEL, ["model.h5"]),
    ("model import", "out"): (["rbm.npz", "-o"], MODEL, ["rbm.npz"]),
    ("model export", "out"): (["model.h5", "-o"], ".npz", ["model.h5"]),
    ("data", "out"): (["rows.csv", "--shape", "2x2", "-o"], FIGURE, ["rows.csv"]),
}  # fmt: skip
"""What writes, by command and option: words of a call, the output's ending, files that it reads."""

writers = pytest.mark.parametrize("writer", WRITERS, ids="-".join)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "archive.h5", ladder({1: [0.5], 2: [0.1]}))
    SqRBM.uniform(4, 2, "Z", seed=1).save("model.h5")
    np.savez("rbm.npz", W=np.eye(4, 2), a=np.zeros(4), b=np.zeros(2))
    np.savetxt("rows.csv", np.eye(4), fmt="%d", delimiter=",")
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def refused(writer: tuple[str, str], output: str, *, overwrite: bool = True, code: int = 1) -> str:
    """The message of a command that must write nothing; a prefix stands for its figures."""
    words = WRITERS[writer][0]
    given = output.removesuffix("-grid.png") if writer[1] == "prefix" else output
    # What makes new models replaces nothing.
    force = ["--overwrite"] * (overwrite and not writer[0].startswith("model "))
    return message(*writer[0].split(), *words, given, *force, code=code)


def commands(group: click.Group, *prefix: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *prefix, name)
        else:
            yield " ".join([*prefix, name]), command


def test_every_option_that_names_an_output_is_tried() -> None:
    found = {
        (name, str(option.name))
        for name, command in commands(cli)
        for option in command.params
        if option.name in ("out", "output", "picture", "prefix", "figure")
    }
    assert found == WRITERS.keys()


@writers
@pytest.mark.parametrize("linked", [Path.hardlink_to, None])
def test_inputs_are_not_outputs(writer: tuple[str, str], linked: object, folder: Path) -> None:
    _, ending, inputs = WRITERS[writer]
    for name in inputs:
        if linked is None and not name.endswith(ending):
            continue  # refused for its ending
        output = name if linked is None else f"{name}-again{ending}"
        if linked is not None:
            (folder / output).hardlink_to(name)
        before = (folder / name).read_bytes()
        assert "which is read here" in refused(writer, output)
        assert (folder / name).read_bytes() == before


@writers
def test_foreign_files_are_not_replaced(writer: tuple[str, str], folder: Path) -> None:
    output = folder / f"mine{WRITERS[writer][1]}"
    output.write_text("a drawing, a page, numbers of mine")
    new = writer[0].startswith("model ")
    words = "exists already" if new else "was not written as"
    assert words in refused(writer, output.name)
    assert output.read_text() == "a drawing, a page, numbers of mine"


@writers
def test_pipes_links_and_folders_are_not_replaced(writer: tuple[str, str], folder: Path) -> None:
    ending = WRITERS[writer][1]
    pipe, link, inside = f"pipe{ending}", f"link{ending}", f"inside{ending}"
    os.mkfifo(pipe)
    (folder / "target").write_text("far away")
    (folder / link).symlink_to("target")
    (folder / inside).mkdir()
    for overwrite in (True, False):
        assert "no regular file" in refused(writer, pipe, overwrite=overwrite)
        assert "symbolic link" in refused(writer, link, overwrite=overwrite)
        assert "is a folder" in refused(writer, inside, overwrite=overwrite)
    assert (folder / link).is_symlink()
    assert (folder / pipe).is_fifo()


@writers
def test_names_that_are_none(writer: tuple[str, str], folder: Path) -> None:
    before = sorted(os.listdir(folder))
    for name in ("", ".", "..", "/"):
        text = refused(writer, name, code=2 if writer[1] == "prefix" else 1)
        assert "is no file name" in text or "is no prefix" in text
    assert sorted(os.listdir(folder)) == before


@writers
def test_other_endings(writer: tuple[str, str], folder: Path) -> None:
    if writer[1] == "prefix":
        return
    assert "must end in one of" in refused(writer, "study.txt")
    assert "must end in one of" in refused(writer, "results")
    assert not {"study.txt", "results"} & set(os.listdir(folder))


def test_a_study_does_not_overwrite_itself_or_its_data(folder: Path) -> None:
    for name in ("study.toml", "rows.csv"):
        before = (folder / name).read_bytes()
        assert "must end in one of .h5" in refused(("run", "out"), name)
        assert (folder / name).read_bytes() == before


def test_data_among_the_parts_of_a_study_are_kept(folder: Path) -> None:
    (folder / "o.h5.parts").mkdir()
    (folder / "rows.csv").rename("o.h5.parts/rows.csv")
    study = folder / "study.toml"
    study.write_text(STUDY.replace("rows.csv", "o.h5.parts/rows.csv"))
    assert "is where the runs of o.h5 are kept" in refused(("run", "out"), "o.h5")
    assert (folder / "o.h5.parts" / "rows.csv").exists()


def test_a_study_from_standard_input(folder: Path) -> None:
    assert "not from standard input" in message("run", "-", "-o", "o.h5", code=2)
    assert "not from standard input" in message("run", "-", "--dry-run", code=2)
