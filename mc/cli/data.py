"""``tnqbm data``: what is in files of data, and how a study uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
import numpy as np

from mc.cli import options
from mc.cli.common import PATH, echo, print_json
from mc.studies.text import dump_toml
from tnqbm import datasets, figures
from tnqbm.datasets import Data, Inspection, Preparation, SharedRows, readers
from tnqbm.figures import samples as pictures

HELD_OUT = 0.2
"""Share of the rows that a study is proposed to hold out, where there is no file to test with."""

_PARTS = ("train", "valid", "test")


@click.command()
@click.argument("file", type=PATH, required=False)
@click.option("--train", type=PATH, metavar="FILE", help="The same as FILE, beside --test.")
@click.option("--valid", type=PATH, metavar="FILE", help="Rows to choose settings with.")
@click.option("--test", type=PATH, metavar="FILE", help="Rows to test with.")
@click.option("-o", "--output", "out", type=PATH, metavar="FILE.png", help="Draw rows as pictures.")
@options.shape("Height and width of one.  [default: the squarest]")
@options.overwrite("the picture if it exists")
@options.preparation
@options.as_json
def data(
    file: str | None,
    train: str | None,
    valid: str | None,
    test: str | None,
    out: str | None,
    shape: str | None,
    overwrite: bool,
    preparation: Preparation,
    as_json: bool,
) -> None:
    """Say what is in a file of data: its size, its ones, constant columns, repeated rows.

    With --valid and --test, also which of their rows occur among those to train with. The lines
    for a study file are printed at the end. Columns are counted from 1, among those that become
    visible units. The entropy is that of independent bits with the data's means: a model that is
    no better than it has learned nothing but the means.

    \b
    Examples:
      tnqbm data mine.csv
      tnqbm data a.train.data --valid a.valid.data --test a.test.data --json
      tnqbm data images.npy --flatten --binarise threshold:0.5 --maximum 255 -o rows.png
    """
    files = _files(file, train, valid, test)
    if shape and out is None:
        raise click.UsageError("--shape is about --output, which is missing")
    if out is not None:
        figures.check_figure_path(out, overwrite=overwrite, inputs=files.values())
    parts = {
        part: datasets.read_data(path, preparation=preparation) for part, path in files.items()
    }
    _check_columns(parts)
    if out is not None:
        sides = options.sides(shape, parts["train"].n_visible) if shape else None
        figure, _ = pictures.data_rows(parts["train"].states, sides)
        figures.save_figure(figure, out, overwrite=overwrite)
    found = {part: datasets.inspect_data(data) for part, data in parts.items()}
    known = parts["train"].states
    shared = {
        part: datasets.shared_rows(data.states, known)
        for part, data in parts.items()
        if part != "train"
    }
    study = study_lines(files, found["train"], preparation)
    if as_json:
        facts = {part: _facts(parts[part], found[part], shared.get(part)) for part in parts}
        print_json({**facts.pop("train"), **facts, "picture": out, "study": study})
        return
    for part, data in parts.items():
        _print(part if len(parts) > 1 else "", data, found[part], shared.get(part))
    if out is not None:
        echo(f"{'picture':<18}{out}\n")
    echo(f"Lines for a study file in this folder:\n\n{study}")


def _files(
    file: str | None, train: str | None, valid: str | None, test: str | None
) -> dict[str, str]:
    """The file of each part that was given, that to train with first."""
    if file is not None and train is not None:
        raise click.UsageError("FILE and --train are the same; give one of them")
    first = file if train is None else train
    if first is None:
        raise click.UsageError("name a file: tnqbm data FILE")
    if datasets.is_name(first):
        raise click.UsageError(f"{first!r} is a data set of this package, not a file")
    given = zip(_PARTS, (first, valid, test), strict=True)
    return {part: path for part, path in given if path is not None}


def _check_columns(parts: dict[str, Data]) -> None:
    n = parts["train"].n_visible
    for data in parts.values():
        if data.n_visible != n:
            raise ValueError(
                f"{data.source}: rows have {data.n_visible} bits, those of "
                f"{parts['train'].source} have {n}"
            )


def study_lines(files: dict[str, str], found: Inspection, preparation: Preparation) -> str:
    """The lines of a study file that use these files, as TOML."""
    section: dict[str, Any] = dict(files) if len(files) > 1 else {"name": files["train"]}
    section |= preparation.given()
    if "test" not in files:
        section["test_fraction"] = HELD_OUT
        if found.duplicates:
            section["repeats"] = "together"
    text = dump_toml({"model": {"visible": found.columns}, "data": section})
    return text.replace('"together"\n', '"together"  # or "anywhere": rows are independent draws\n')


def _facts(data: Data, found: Inspection, shared: SharedRows | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "file": data.source,
        "format": readers.reader_of(readers.source_of(data.source)).name,
        **asdict(found),
        "weighted": data.weights is not None,
        "labels": None if data.labels is None else int(np.unique(data.labels).size),
        "sha256": data.file_digest,
        "bits": data.digest,
        "steps": data.steps,
    }
    if shared is not None:
        facts["shared"] = asdict(shared)
    return facts


def _print(part: str, data: Data, found: Inspection, shared: SharedRows | None) -> None:
    kind = readers.reader_of(readers.source_of(data.source)).name
    lines = {
        part or "file": f"{data.source} ({kind})",
        "rows": f"{found.rows:,}",
        "columns": f"{found.columns:,}",
        "ones": f"{100 * found.ones:.2f} %",
        "repeated rows": _repeated(found),
        "always 0": _columns(found.always_0),
        "always 1": _columns(found.always_1),
        "equal columns": "; ".join(_columns(group) for group in found.equal_columns[:5])
        + ("; ..." if len(found.equal_columns) > 5 else ""),
        "entropy": f"{found.entropy:.4f} nats, of independent bits",
        "labels": "" if data.labels is None else f"{np.unique(data.labels).size} different ones",
        "weights": "" if data.weights is None else "one for each row",
        "read as": "; ".join(data.steps),
    }
    if shared is not None:
        lines["in train"] = f"{shared.rows:,} of its rows ({shared.distinct:,} distinct ones)"
    for label, text in lines.items():
        if text:
            echo(f"{label:<18}{text}")
    echo("")


def _repeated(found: Inspection) -> str:
    if not found.duplicates:
        return "none"
    return (
        f"{found.duplicates:,} equal an earlier one ({found.rows - found.duplicates:,} distinct, "
        f"the commonest {found.most_repeated:,} times)"
    )


def _columns(numbers: Sequence[int]) -> str:
    """Numbers of columns with ranges, "1-3, 7", the first of them if they are many."""
    if not numbers:
        return ""
    breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
    runs = np.split(np.asarray(numbers), breaks)
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    few = ", ".join(texts[:8]) + (", ..." if len(texts) > 8 else "")
    return f"{few} ({len(numbers)} columns)" if len(numbers) > 1 else few
