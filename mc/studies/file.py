"""Study files: from a TOML text to a checked Study, or to one error that lists every problem.

Each problem comes with its dotted key, the value found and, where one is near, the key or value
that was probably meant.
"""

from __future__ import annotations

import difflib
import itertools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mc.studies import sections
from mc.studies.checks import EXAMPLES, near_value, study_problems
from mc.studies.gradients import OWN_LABEL
from mc.studies.study import Study
from mc.studies.toml_text import dump_toml
from tnqbm.errors import StudyError

Section = TypeVar("Section", bound=BaseModel)

SECTIONS: dict[str, type[BaseModel]] = {
    "model": sections.ModelSection,
    "data": sections.DataSection,
    "training": sections.TrainingSection,
    "output": sections.OutputSection,
    "run": sections.RunSection,
}

PAULI_CHOICES = [
    "".join(letters) for k in (3, 2, 1) for letters in itertools.permutations("XYZ", k)
]


def load_study(source: str | Path | Mapping[str, Any]) -> Study:
    """Read and check a study: a path, the TOML text itself (with a line break), or a mapping.

    Raises StudyError listing every problem found. Combinations of data and sizes and data files
    are checked too, so that a study that loads can run.
    """
    raw, text, folder, where = read_source(source)
    return check_study(raw, text=text, folder=folder, where=where)


def read_source(source: str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], str, Path, str]:
    """A study's (raw values, TOML text, folder, name for messages); StudyError if unreadable."""
    if isinstance(source, Mapping):
        raw = dict(source)
        try:
            return raw, dump_toml(raw), Path.cwd(), "the study"
        except TypeError as error:
            raise StudyError(f"the study has a value that TOML cannot hold: {error}") from error
    if isinstance(source, str) and "\n" in source:
        return _parse(source, "the study"), source, Path.cwd(), "the study"
    path = Path(source)
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise StudyError(f"no study file at {path}") from None
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{path} is not a study file: not UTF-8 text (byte {error.start})"
        ) from None
    except OSError as error:
        raise StudyError(f"study file {path} cannot be read: {error.strerror or error}") from None
    return _parse(text, str(path)), text, path.resolve().parent, str(path)


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{where} is not valid TOML: {error}"
        words = str(error).partition("(at line ")[2].partition(",")[0]
        lines = text.splitlines()
        if words.isdigit() and 1 <= int(words) <= len(lines):
            message += f"\n  line {words}: {lines[int(words) - 1].strip()}"
        raise StudyError(message) from None


def check_study(raw: dict[str, Any], *, text: str, folder: Path, where: str) -> Study:
    """Validate raw values into a Study; StudyError lists all problems, one a line."""
    problems: list[str] = []
    clean: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        value = raw.get(name, {})
        if not isinstance(value, Mapping):
            problems.append(f"{name} = {value!r}: must be a table, [{name}] with keys of its own")
            continue
        checked = _validated(section, value, (name,), problems)
        if checked is not None:
            clean[name] = checked
        elif name == "training":
            # Its well-formed values can still be checked for sense.
            clean[name] = section.model_validate(_well_formed(section, value))
    grids = _check_grids(raw.get("grid", []), problems)
    gradients = _check_gradients(raw.get("gradients", {}), problems)
    apart = {*SECTIONS, "grid", "gradients"}
    top = {key: value for key, value in raw.items() if key not in apart}
    study = _validated(Study, top, (), problems)
    # With a wrong name or wrong seeds the rest can still be checked, on a stand-in.
    study = study or Study(name="-", seeds=[1])
    parts = {"grid": grids or [], "gradients": gradients or {}}
    study = study.model_copy(update={**clean, **parts})
    study._text, study._folder = text, str(folder)
    problems += study_problems(
        study,
        products=grids is not None and {"model", "data"} <= clean.keys(),
        labels=grids is not None and gradients is not None,
    )
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise StudyError("\n  ".join([f"{where} has {count}:", *problems]))
    return study


def _check_grids(value: Any, problems: list[str]) -> list[sections.GridSection] | None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        problems.append(f"grid = {value!r}: must be tables headed [[grid]], in double brackets")
        return None
    found = []
    for k, table in enumerate(value):
        if not isinstance(table, Mapping):
            problems.append(f"grid[{k}] = {table!r}: must be a table")
            continue
        found.append(_validated(sections.GridSection, table, ("grid", k), problems))
    return None if None in found or len(found) < len(value) else [g for g in found if g]


def _check_gradients(value: Any, problems: list[str]) -> dict[str, sections.GradientSection] | None:
    if not isinstance(value, Mapping):
        problems.append(f"gradients = {value!r}: must be tables headed [gradients.NAME]")
        return None
    found: dict[str, sections.GradientSection | None] = {}
    for name, table in value.items():
        if not OWN_LABEL.fullmatch(name):
            problems.append(
                f"gradients.{name!r}: a name starts with a letter and has letters, digits and "
                "_ . + - in it"
            )
            found[name] = None
        elif not isinstance(table, Mapping):
            problems.append(f"gradients.{name} = {table!r}: must be a table, [gradients.{name}]")
            found[name] = None
        else:
            path = ("gradients", name)
            found[name] = _validated(sections.GradientSection, table, path, problems)
    good = {name: table for name, table in found.items() if table is not None}
    return good if len(good) == len(found) else None


def _validated(
    section: type[Section],
    value: Mapping[str, Any],
    path: tuple[str | int, ...],
    problems: list[str],
) -> Section | None:
    try:
        return section.model_validate(dict(value))
    except ValidationError as error:
        for entry in error.errors():
            problems.append(_explain(section, value, path, entry))
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


def dotted(path: Iterable[str | int]) -> str:
    """("model", "visible", 0) -> "model.visible[0]"."""
    text = ""
    for word in path:
        text += f"[{word}]" if isinstance(word, int) else f".{word}" if text else str(word)
    return text


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
    if entry["type"] == "value_error":
        message = str(entry["ctx"]["error"])
    else:
        message = entry["msg"].replace("Input should be", "must be").replace("Field", "the field")
        if entry["type"] == "too_short":
            message = "is empty"
    if location and "paulis" in str(location) and isinstance(value, str):
        message += near_value(value.upper(), PAULI_CHOICES)
    return f"{key} = {value!r}: {message}"


def _near_key(section: type[BaseModel], key: str) -> str:
    known = list(section.model_fields)
    near = difflib.get_close_matches(key, known, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    for name, other in SECTIONS.items():
        if other is not section and key in other.model_fields:
            return f"; {key!r} belongs to [{name}]"
    if section is not Study and key in Study.model_fields:
        return f"; {key!r} belongs to the top of the file, above every [table]"
    for name, other in SECTIONS.items():
        near = difflib.get_close_matches(key, list(other.model_fields), 1, 0.8)
        if other is not section and near:
            return f"; did you mean {near[0]!r}, which belongs to [{name}]?"
    return f"; keys here: {', '.join(known)}"
