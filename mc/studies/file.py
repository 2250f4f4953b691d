"""Study files: from a TOML text to a checked Study, or to one error that lists every problem.

Each problem comes with its dotted key, the value found and, where one is near, the key or value
that was probably meant.
"""

from __future__ import annotations

import difflib
import itertools
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mc.studies import sections
from mc.studies.checks import EXAMPLES, study_problems, too_large
from mc.studies.gradients import OWN_LABEL, parse_label
from mc.studies.study import Study
from mc.studies.text import (
    MAX_BYTES,
    MAX_PROBLEMS,
    Problems,
    check_text,
    check_tree,
    dotted,
    dump_toml,
    near_value,
    parse_toml,
    shown,
)
from tnqbm.base.errors import StudyError
from tnqbm.training.schema import complaint

Section = TypeVar("Section", bound=BaseModel)


def schemas() -> dict[str, type[BaseModel]]:
    """What the tables of a study file may hold, by name."""
    return {
        "model": sections.ModelSection,
        "data": sections.DataSection,
        "training": sections.training_schema(),
        "output": sections.OutputSection,
        "run": sections.RunSection,
    }


_RENAMED = {"method": "gradient"}
"""Keys of [gradients.NAME] in earlier versions, and what they are called now."""

PAULI_CHOICES = [
    "".join(letters) for k in (3, 2, 1) for letters in itertools.permutations("XYZ", k)
]


def load_study(source: str | Path | Mapping[str, Any], *, archived: bool = False) -> Study:
    """Read and check a study: a path, the TOML text itself (with a line break), or a mapping.

    ``archived`` says that it is the text of a study in an archive, where keys of earlier versions
    are understood.
    Raises StudyError listing every problem found. Combinations of data and sizes and data files
    are checked too, so that a study that loads can run.
    """
    raw, text, folder, where = read_source(source)
    study = check_study(raw, text=text, folder=folder, where=where, archived=archived)
    if not isinstance(source, Mapping) and "\n" not in str(source):
        study.place(file=str(Path(source).resolve()))
    return study


def read_source(source: str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], str, Path, str]:
    """A study's (raw values, TOML text, folder, name for messages); StudyError if unreadable."""
    if isinstance(source, Mapping):
        raw, where = dict(source), "the study"
        check_tree(raw, where)
        try:
            text = dump_toml(raw)
        except TypeError as error:
            raise StudyError(f"the study has a value that TOML cannot hold: {error}") from error
        check_text(text, where)
        return raw, text, Path.cwd(), where
    if isinstance(source, str) and "\n" in source:
        return parse_toml(source, "the study"), source, Path.cwd(), "the study"
    if not isinstance(source, str | os.PathLike):
        raise StudyError(
            f"a study is the path of a file, its text, or a mapping, not {shown(source)}"
        )
    path = Path(source)
    text = _read(path)
    return parse_toml(text, str(path)), text, path.resolve().parent, str(path)


def _read(path: Path) -> str:
    name = shown(str(path))[1:-1]
    try:
        mode = path.stat().st_mode
        # Anything else might never end, or block where it is opened.
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise StudyError(f"study file {name} cannot be read: not a regular file")
        with path.open("rb") as file:
            found = file.read(MAX_BYTES + 1)
        if len(found) > MAX_BYTES:
            raise StudyError(f"{name} is not a study file: larger than {MAX_BYTES:,} bytes")
        return found.decode()
    except FileNotFoundError:
        raise StudyError(f"no study file at {name}") from None
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{name} is not a study file: not UTF-8 text (byte {error.start})"
        ) from None
    except OSError as error:
        raise StudyError(f"study file {name} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"study file {name} cannot be read: {error}") from None


def check_study(
    raw: dict[str, Any], *, text: str, folder: Path, where: str, archived: bool = False
) -> Study:
    """Validate raw values into a Study; StudyError lists all problems, one a line."""
    problems = Problems()
    raw = upgraded(raw) if archived else raw
    clean: dict[str, Any] = {}
    for name, section in schemas().items():
        value = raw.get(name, {})
        if not isinstance(value, Mapping):
            problems.add(
                [f"{name} = {shown(value)}: must be a table, [{name}] with keys of its own"]
            )
            continue
        checked = _validated(section, value, (name,), problems)
        if checked is not None:
            clean[name] = checked
        elif name == "training":
            # Its well-formed values can still be checked for sense.
            clean[name] = section.model_validate(_well_formed(section, value))
    if "training" in clean:
        training = sections.gathered(sections.TrainingSection, clean["training"])
        clean["training"] = training
        if "model" in clean:
            clean["model"] = sections.by_recipe(clean["model"], training.recipe)
    grids = _check_grids(raw.get("grid", []), problems)
    gradients = _check_gradients(raw.get("gradients", {}), problems)
    apart = {*schemas(), "grid", "gradients"}
    top = {key: value for key, value in raw.items() if key not in apart}
    study = _validated(Study, top, (), problems)
    # With a wrong name or wrong seeds the rest can still be checked, on a stand-in.
    study = study or Study(name="-", seeds=[1])
    parts = {"grid": grids or [], "gradients": gradients or {}}
    study = study.model_copy(update={**clean, **parts})
    study.place(text=text, folder=str(folder))
    sizes = too_large(study)
    problems.add(sizes)
    if not sizes:
        problems.add(
            study_problems(
                study,
                products=grids is not None and {"model", "data"} <= clean.keys(),
                labels=grids is not None and gradients is not None,
                archived=archived,
            )
        )
    if problems.count:
        raise StudyError(problems.report(where))
    return study


def _check_grids(value: Any, problems: Problems) -> list[sections.GridSection] | None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        problems.add([f"grid = {shown(value)}: must be tables headed [[grid]], in double brackets"])
        return None
    found = []
    for k, table in enumerate(value):
        if not isinstance(table, Mapping):
            problems.add([f"grid[{k}] = {shown(table)}: must be a table"])
            continue
        found.append(_validated(sections.GridSection, table, ("grid", k), problems))
    return None if None in found or len(found) < len(value) else [g for g in found if g]


def _check_gradients(value: Any, problems: Problems) -> dict[str, sections.GradientSection] | None:
    if not isinstance(value, Mapping):
        problems.add([f"gradients = {shown(value)}: must be tables headed [gradients.NAME]"])
        return None
    found: dict[str, sections.GradientSection | None] = {}
    for name, table in value.items():
        if not OWN_LABEL.fullmatch(name):
            problems.add(
                [
                    f"gradients.{shown(name)}: a name starts with a letter and has letters, digits "
                    "and _ . + - in it"
                ]
            )
            found[name] = None
        elif not isinstance(table, Mapping):
            problems.add(
                [f"gradients.{name} = {shown(table)}: must be a table, [gradients.{name}]"]
            )
            found[name] = None
        else:
            path = ("gradients", name)
            schema = sections.gradient_schema()
            keys = _validated(schema, table, path, problems)
            if keys is None:
                # Its well-formed values can still be checked for sense, if they name an estimator.
                good_keys = _well_formed(schema, table)
                if "gradient" in good_keys or parse_label(name) is not None:
                    keys = schema.model_validate(good_keys)
            checked = None if keys is None else sections.gathered(sections.GradientSection, keys)
            found[name] = checked
    good = {name: table for name, table in found.items() if table is not None}
    return good if len(good) == len(found) else None


def upgraded(raw: dict[str, Any]) -> dict[str, Any]:
    """A study of an earlier version in the keys of this one, see :data:`_RENAMED`."""
    tables = raw.get("gradients")
    if not isinstance(tables, Mapping):
        return raw
    renamed = {
        label: {_RENAMED.get(key, key): value for key, value in table.items()}
        for label, table in tables.items()
        if isinstance(table, Mapping)
    }
    return {**raw, "gradients": {**tables, **renamed}}


def _validated(
    section: type[Section],
    value: Mapping[str, Any],
    path: tuple[str | int, ...],
    problems: Problems,
) -> Section | None:
    try:
        return section.model_validate({k: v for k, v in value.items() if v is not None})
    except ValidationError as error:
        entries = error.errors(include_url=False)
        lines = [_explain(section, value, path, entry) for entry in entries[:MAX_PROBLEMS]]
        problems.add(lines, more=len(entries) - len(lines))
        return None


def _well_formed(section: type[BaseModel], value: Mapping[str, Any]) -> dict[str, Any]:
    good = {}
    for key, entry in value.items():
        try:
            section.model_validate({key: entry})
        except ValidationError:
            continue
        good[key] = entry
    return good


def _explain(
    section: type[BaseModel],
    raw: Mapping[str, Any],
    path: tuple[str | int, ...],
    entry: Any,
) -> str:
    """One line for one pydantic error: key, value, what is wrong, what is near."""
    location = [word for word in entry["loc"] if word != "[key]"]
    # A single value is checked as a list of one: drop the index that the user never wrote.
    here: Any = raw
    kept: list[str | int] = []
    for word in location:
        if isinstance(word, int) and not isinstance(here, list):
            continue
        kept.append(word)
        try:
            here = here[word]
        except (KeyError, IndexError, TypeError):
            here = None
    key = dotted((*path, *kept))
    if entry["type"] == "missing":
        example = EXAMPLES.get(key, EXAMPLES.get(str(kept[-1]), ""))
        return f"{key}: missing" + (f"; for example {example}" if example else "")
    if entry["type"] == "extra_forbidden":
        return f"{key}: unknown key{_near_key(section, str(kept[-1]))}"
    value = entry["input"]
    message = "is empty" if entry["type"] == "too_short" else complaint(entry, shown=False)
    message = message.removeprefix("is ") if message.startswith("is not one of") else message
    if location and "paulis" in str(location) and isinstance(value, str):
        message += near_value(value.upper(), PAULI_CHOICES)
    return f"{key} = {shown(value)}: {message}"


def _near_key(section: type[BaseModel], key: str) -> str:
    known = list(section.model_fields)
    renamed = _RENAMED.get(key, "")
    near = [renamed] if renamed in known else difflib.get_close_matches(key, known, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    for name, other in schemas().items():
        if other is not section and key in other.model_fields:
            return f"; {key!r} belongs to [{name}]"
    if section is not Study and key in Study.model_fields:
        return f"; {key!r} belongs to the top of the file, above every [table]"
    for name, other in schemas().items():
        near = difflib.get_close_matches(key, list(other.model_fields), 1, 0.8)
        if other is not section and near:
            return f"; did you mean {near[0]!r}, which belongs to [{name}]?"
    return f"; keys here: {', '.join(known)}"
