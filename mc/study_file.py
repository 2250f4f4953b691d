"""Study files: from a TOML text to a checked Study, or to one error that lists every problem.

Each problem comes with its dotted key, the value found and, where one is near, the key or value
that was probably meant.
"""

from __future__ import annotations

import difflib
import itertools
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mc import study as sections
from mc.study import Study, is_data_file
from mc.toml_text import dump_toml
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

EXAMPLES = {
    "name": 'name = "bas-small"',
    "seeds": "seeds = 20",
    "paulis": 'paulis = ["Z", "XZ", "XYZ"]',
    "visible": "visible = [6]",
    "hidden": "hidden = [1, 2, 3]",
    "data": 'data = ["bas"]',
    "data.name": 'name = ["bas"]',
}


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
    top = {key: value for key, value in raw.items() if key not in SECTIONS and key != "grid"}
    study = _validated(Study, top, (), problems)
    # With a wrong name or wrong seeds the rest can still be checked, on a stand-in.
    study = study or Study(name="-", seeds=[1])
    study = study.model_copy(update={**clean, "grid": grids or []})
    study._text, study._folder = text, str(folder)
    if grids is not None and {"model", "data"} <= clean.keys():
        problems += _missing(study)
        problems += _wrong_combinations(study)
    problems += _wrong_settings(study)
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
        message += _near_value(value.upper(), PAULI_CHOICES)
    return f"{key} = {value!r}: {message}"


def _near_value(value: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(value, choices, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(choices)}"


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


def _missing(study: Study) -> list[str]:
    """Keys that neither the grid tables nor [model] and [data] give."""
    problems = []
    for k, product in enumerate(study.products()):
        uncovered = set(product.paulis) - set(product.hidden_by_paulis)
        wanted = {
            "model.paulis": product.paulis,
            "model.visible": product.visible,
            "model.hidden": product.hidden or (not uncovered and product.paulis),
            "data.name": product.data,
        }
        for key, value in wanted.items():
            if not value:
                word = "data" if key == "data.name" else key.rpartition(".")[2]
                line = f"{key}: missing; for example {EXAMPLES.get(key, EXAMPLES[word])}"
                if study.grid:
                    line = f"grid[{k}].{word}: missing; give it here, or as {key} for all"
                problems.append(line)
        # What a grid table inherits may well be for another table's Paulis.
        own = not study.grid or study.grid[k].hidden_by_paulis
        stray = set(product.hidden_by_paulis) - set(product.paulis)
        if stray and product.paulis and own:
            name, at = min(stray), f"grid[{k}]" if study.grid else "model"
            near = _near_value(name, product.paulis)
            problems.append(f"{at}.hidden_by_paulis.{name}: not one of the paulis here{near}")
    return problems


def _wrong_combinations(study: Study) -> list[str]:
    """Data and sizes that do not fit each other, each reported once."""
    from tnqbm import datasets
    from tnqbm.limits import check_enumerable

    problems: dict[str, None] = {}
    for k, product in enumerate(study.products()):
        at = f"grid[{k}]." if study.grid else ""
        visible_key = f"{at}visible" if study.grid else "model.visible"
        data_key = f"{at}data" if study.grid else "data.name"
        fitting = []
        for n in dict.fromkeys(product.visible):
            message = _failure(check_enumerable, n)
            if message and study.training.gradient == "exact":
                problems[f"{visible_key} = {n}: {message}"] = None
            else:
                fitting.append(n)
        for name in dict.fromkeys(product.data):
            from_file = is_data_file(name)
            if not from_file and name not in datasets.NAMES:
                near = _near_value(name, datasets.NAMES)
                problems[f"{data_key} = {name!r}: no such data set, nor a data file{near}"] = None
                continue
            check: Callable[..., Any] = datasets.load if from_file else datasets.check
            for n in fitting:
                message = _failure(check, study.data_source(name), n)
                if message:
                    problems[f"{data_key} = {name!r} with {visible_key} = {n}: {message}"] = None
    return list(problems)


def _failure(check: Callable[..., Any], *arguments: Any) -> str:
    """What ``check(*arguments)`` complains about, or an empty text."""
    try:
        check(*arguments)
    except (ValueError, OSError, ImportError) as error:
        return str(error)
    except Exception as error:  # e.g. ArchiveError for a damaged .h5 data file
        return f"{type(error).__name__}: {error}"
    return ""


def _wrong_settings(study: Study) -> list[str]:
    """All complaints of TrainingSettings, which stops at the first, under the file's keys."""
    from tnqbm import phases
    from tnqbm.settings import TrainingSettings

    problems: list[str] = []
    gradient = study.training.gradient
    if gradient not in phases.names():
        near = _near_value(gradient, phases.names())
        problems.append(f"training.gradient = {gradient!r}: not an estimator of gradients{near}")
    given = study.training.given()
    given |= {"records": study.output.records, "snapshots": study.output.snapshots}
    seen: set[str] = set()
    while True:
        try:
            TrainingSettings(**given)
            return problems
        except ValueError as error:
            field, _, message = str(error).partition(": ")
        if field in seen:
            return problems
        seen.add(field)
        if not message:  # not about one field
            return [*problems, f"training: {field}"]
        section = "output" if field in ("records", "snapshots") else "training"
        value = given.pop(field, None)
        shown = "" if value is None else f" = {value!r}"
        # The value is shown already.
        message = message.removeprefix(f"{value!r} is ").removesuffix(f", got {value!r}")
        problems.append(f"{section}.{field}{shown}: {message}")
