"""One thing has one name at every door: Python, study files, the command line, archives.

The words, and the spellings that they replace, are those of docs/naming.md.
"""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel

PAGE = (Path(__file__).parents[1] / "docs" / "naming.md").read_text(encoding="utf-8")


def table(head: str) -> list[list[str]]:
    """Rows of the page's table whose first line begins with ``head``."""
    lines = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def replaced() -> dict[tuple[str, str], str]:
    """The word for each (spelling, scope); the scope is the beginning of a door, or empty."""
    words = {}
    for _, word, spellings in table("what"):
        for spelling, scope in re.findall(r"`(\w+)`(?: in (`[\w. ]+`|study files))?", spellings):
            words[spelling, scope.strip("`")] = word
    return words


# --- the doors: (door, name) ---------------------------------------------------------------------


@cache
def public() -> dict[str, Any]:
    """Everything in an ``__all__`` of a folder, by the first folder that names it."""
    objects: dict[int, tuple[str, Any]] = {}
    for package in ("tnqbm", "mc"):
        top = import_module(package)
        folders = [i.name for i in pkgutil.walk_packages(top.__path__, f"{package}.") if i.ispkg]
        for folder in (package, *folders):
            module = import_module(folder)
            for name in getattr(module, "__all__", ()):
                thing = getattr(module, name)
                if not inspect.ismodule(thing) and not isinstance(thing, click.Command):
                    objects.setdefault(id(thing), (f"{folder}.{name}", thing))
    return dict(objects.values())


def functions() -> Iterator[tuple[str, inspect.Signature]]:
    """Public functions, classes and methods with their signatures."""
    for door, thing in public().items():
        members = [(door, thing)]
        if inspect.isclass(thing):
            members += [(f"{door}.{name}", m) for name, m in vars(thing).items() if name[0] != "_"]
        for name, member in members:
            function = getattr(member, "__func__", member)
            if callable(function) and type(function).__module__ != "typing":
                try:
                    yield name, inspect.signature(function)
                except ValueError:  # of an exception that takes any arguments
                    continue


def python() -> Iterator[tuple[str, str]]:
    for door, thing in public().items():
        if dataclasses.is_dataclass(thing):
            yield from ((door, field.name) for field in dataclasses.fields(thing))
        elif inspect.isclass(thing) and issubclass(thing, BaseModel):
            yield from ((door, name) for name in thing.model_fields)
    for door, signature in functions():
        yield from ((door, name) for name in signature.parameters)
        yield door, door.rpartition(".")[2]


def fields(model: Any, where: str) -> Iterator[tuple[str, str]]:
    """Keys of a pydantic model and of all models inside it."""
    for name, field in model.model_fields.items():
        yield where, name
        inner = [field.annotation]
        while inner:
            kind = inner.pop()
            inner += get_args(kind)
            if inspect.isclass(kind) and hasattr(kind, "model_fields"):
                yield from fields(kind, f"{where} {name}")


def study_files() -> Iterator[tuple[str, str]]:
    from mc.studies.file import schemas
    from mc.studies.sections import GridSection, gradient_schema
    from mc.studies.study import Study

    yield from (("study files", name) for name in Study.model_fields)
    tables = {**schemas(), "grid": GridSection, "gradients": gradient_schema()}
    for name, schema in tables.items():
        yield from fields(schema, f"study files {name}")


def commands(
    command: click.Command, context: click.Context, name: str
) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for part in command.list_commands(context):
            inner = command.get_command(context, part)
            assert inner is not None
            yield from commands(inner, context, f"{name} {part}")
    else:
        yield name, command


def command_line() -> Iterator[tuple[str, str]]:
    from mc.cli.command import cli

    for door, command in commands(cli, click.Context(cli), "tnqbm"):
        for parameter in command.params:
            yield door, max(parameter.opts, key=len).lstrip("-").replace("-", "_")


def archives() -> Iterator[tuple[str, str]]:
    import numpy as np

    from tnqbm.archive.rows import MAIN_COORDINATES
    from tnqbm.quantum.usage import Ledger
    from tnqbm.training.trajectory import METRICS

    measured = Ledger(np.zeros(1, np.uint64), {}, chains=True).report(np.zeros(1, np.intp))
    yield from (("archives", name) for name in (*MAIN_COORDINATES, *METRICS, *measured))


def test_what_archives_count_of_a_run_has_the_names_of_python() -> None:
    """Of shots and jobs; coordinates are keys of study files."""
    from tnqbm.archive.rows import MAIN_COORDINATES
    from tnqbm.quantum.usage import Usage
    from tnqbm.training.trajectory import METRICS

    columns = {name for _, name in archives()}
    kept_beside = {"key", "estimates"}
    measured = columns - {name for _, name in study_files()} - set(METRICS) - kept_beside
    assert measured <= set(dir(Usage()))
    assert set(MAIN_COORDINATES) <= {name for _, name in study_files()}


DOORS = {
    "Python": python,
    "study files": study_files,
    "command line": command_line,
    "archives": archives,
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_uses_the_words_of_the_page(door: str) -> None:
    words, wrong = replaced(), []
    exceptions = {f"{row[0]}: {row[1]}".replace("`", "") for row in table("door")}
    for where, name in DOORS[door]():
        for scope in ("", *(scope for spelling, scope in words if spelling == name and scope)):
            word = words.get((name, scope))
            if word and where.startswith(scope) and f"{where}: {name}" not in exceptions:
                wrong.append(f"{where}: {name} (the word is {word})")
    assert not wrong, "\n".join(wrong)


def test_exceptions_are_needed() -> None:
    there = {f"{where}: {name}" for door in DOORS.values() for where, name in door()}
    assert not {f"{row[0]}: {row[1]}".replace("`", "") for row in table("door")} - there


def test_settings_are_keys_of_study_files() -> None:
    from tnqbm.training.settings import all_settings

    keys = {name for where, name in study_files()}
    assert set(all_settings()) <= keys


CALLS = {
    "tnqbm logz": (
        "mc.log_partition",
        "mc.Annealing",
        "mc.Network",
        "mc.Multistate",
        "mc.Snapshots",
        "mc.Exact",
        "tnqbm.datasets.Preparation",
    ),
    "tnqbm merge": ("tnqbm.archive.merge",),
    "tnqbm model compare": ("tnqbm.equivalent",),
    "tnqbm plot": ("tnqbm.figures.",),
    "tnqbm quality": (
        "tnqbm.quality.assess",
        "mc.sample",
        "mc.Chains",
        "mc.Tempered",
        "tnqbm.datasets.split",
        "tnqbm.datasets.Preparation",
    ),
    "tnqbm report": ("tnqbm.report.write",),
    "tnqbm resources": ("tnqbm.quantum.", "tnqbm.SqBM"),
    "tnqbm run": ("mc.run_study",),
    "tnqbm sample": (
        "mc.sample",
        "mc.Chains",
        "mc.Tempered",
        "mc.Snapshots",
        "mc.Perfect",
        "tnqbm.datasets.Preparation",
    ),
}
"""What commands call: public names, or beginnings of them with a dot at the end."""

COMMANDS_ALONE = {
    "json", "output", "overwrite", "progress", "path", "more", "run", "archives", "data",
    "data_seed", "picture", "shape", "kind", "other_run", "dry_run", "clamp_file", "closed_form",
    "against_rbm", "visible", "hidden", "samples_file", "split_seed", "sweeps", "reference",
}  # fmt: skip
"""Options about files, printing, splits and which model is meant, and those that stand for several
keywords (sweeps: burn_in and thin) or for leaving one out (reference: data)."""


@pytest.mark.parametrize("command", CALLS)
def test_options_are_keywords_of_what_they_are_handed_to(command: str) -> None:
    starts = CALLS[command]
    keywords = {
        name
        for door, signature in functions()
        if any(door == start or (start[-1] == "." and door.startswith(start)) for start in starts)
        for name in signature.parameters
    }
    options = {name.removeprefix("no_") for where, name in command_line() if where == command}
    unknown = options - keywords - COMMANDS_ALONE
    assert not unknown


def test_seeds_are_given_by_keyword_and_never_by_the_clock() -> None:
    for door, signature in functions():
        seed = signature.parameters.get("seed")
        # A study's methods take coordinates and seed, which together name a run.
        if seed is None or inspect.isclass(public().get(door)) or door.startswith("mc.Study."):
            continue
        assert seed.kind is seed.KEYWORD_ONLY, door
        assert seed.default in (seed.empty, 0, None), door
