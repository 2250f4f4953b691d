"""The list of keys in docs/study-files.md, from the classes that check them.

    python scripts/docs/study_keys.py [--write]

Prints the lists between the page's two marks, or puts them there. Estimators and optimizers that
other packages offer are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pages import insert, put
from pydantic.fields import FieldInfo

from mc.studies.checks import EXAMPLES
from mc.studies.file import schemas
from mc.studies.sections import training_schema
from mc.studies.study import Study
from tnqbm.training.settings import DEFAULT_PARTS, PARTS, TrainingSettings

PAGE = Path(__file__).parents[2] / "docs" / "study-files.md"
NAME = "keys"
"""Of the page's marks."""

HEAD = "| key | meaning | default |\n| --- | --- | --- |"
PARTS_HEAD = "| key | of | meaning | default |\n| --- | --- | --- | --- |"

SETTINGS = """
## Settings of training

In `[training]` for all trainings; in `[gradients.NAME]` for those under one label. These are of
every training:
"""

PARTS_OF = """
Estimators, optimizers and evaluators have settings of their own. A key that nothing in the study
has is an error, and so is one in `[gradients.NAME]` that its parts do not have.
"""


def block() -> str:
    """What stands between the marks."""
    top = {
        name: field
        for name, field in Study.model_fields.items()
        if name not in schemas() and name not in ("grid", "gradients")
    }
    keys = [HEAD, *rows("", top)]
    for name in ("model", "data"):
        keys += rows(name, schemas()[name].model_fields)
    keys.append(
        "| `[[grid]]` | several products of values, see [below](#several-products) | |\n"
        "| `[training]` | see [below](#settings-of-training) | |\n"
        "| `[gradients.NAME]` | an estimator under a name of your own, see [below](#gradients) | |"
    )
    for name in ("output", "run"):
        keys += rows(name, schemas()[name].model_fields)
    training = training_schema().model_fields
    own = {
        name: training[name]
        for name in ("recipe", *TrainingSettings.model_fields)
        if name in training
    }
    parts = [SETTINGS, HEAD, *rows("", own), PARTS_OF, PARTS_HEAD, *part_rows()]
    return "\n".join([*keys, *parts, ""])


def rows(section: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    for name, field in fields.items():
        key = f"`[{section}] {name}`" if section else f"`{name}`"
        required = f"{section}.{name}" in EXAMPLES
        required |= section in ("", "model") and name in EXAMPLES
        default = "required" if required else shown(name, field)
        yield f"| {key} | {described(field)} | {default} |"


def part_rows() -> Iterator[str]:
    """One row for each setting of parts; parts that mean the same by it share the row."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for registry in PARTS.values():
        for part in registry:
            if part.__module__.partition(".")[0] not in ("tnqbm", "mc"):
                continue
            for name, field in part.flat_fields().items():
                what = (name, described(field), shown(name, field))
                found.setdefault(what, []).append(f"`{part.name}`")
    for (name, meaning, default), owners in sorted(found.items(), key=lambda row: row[0][0]):
        yield f"| `{name}` | {', '.join(sorted(owners))} | {meaning} | {default} |"


def described(field: FieldInfo) -> str:
    if not field.description:
        raise SystemExit(f"a field without a description: {field!r}")
    return field.description.replace("|", "\\|")


def shown(name: str, field: FieldInfo) -> str:
    """The default as a study file has it; nothing where leaving the key out means something."""
    value: Any = field.default
    if name in DEFAULT_PARTS:
        value = DEFAULT_PARTS[name]
    elif name in TrainingSettings.model_fields and name not in ("records", "snapshots"):
        value = TrainingSettings.model_fields[name].default
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"{value:g}" if isinstance(value, int | float) else ""


def updated(page: str) -> str:
    """The page with the lists of today."""
    return insert(page, NAME, block())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put it into the page")
    if parser.parse_args().write:
        put(PAGE, {NAME: block()})
    else:
        print(block())


if __name__ == "__main__":
    main()
