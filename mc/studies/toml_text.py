"""TOML text of a study: read, and written where the study is given as a mapping."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

from mc.studies.limits import check_text, check_tree, shown
from tnqbm.base.errors import StudyError


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The values of a study's text; StudyError with the line if it is no TOML, or absurdly large.

    ``where`` names the text in messages.
    """
    check_text(text, where)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{where} is not valid TOML: {error}"
        words = str(error).partition("(at line ")[2].partition(",")[0]
        lines = text.splitlines()
        if words.isdigit() and 1 <= int(words) <= len(lines):
            message += f"\n  line {words}: {lines[int(words) - 1].strip()[:200]}"
        raise StudyError(message) from None
    except RecursionError:
        raise StudyError(
            f"{where} is not a study file: too many brackets inside each other"
        ) from None
    except ValueError as error:  # a number with too many digits, a date that does not exist
        what = str(error).partition(";")[0]
        raise StudyError(f"{where} is not valid TOML: {what}") from None
    check_tree(raw, where)
    return raw


def dump_toml(table: Mapping[str, Any]) -> str:
    """TOML text of nested mappings, lists of mappings, and scalars; TypeError on anything else.

    None stands for a key that is not there. ``tomllib.loads`` gives the same values back.
    """
    return tomli_w.dumps(_plain(table), indent=0)


def _plain(value: Any) -> Any:
    """The value as dictionaries, lists and scalars, without the keys whose value is None."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"keys must be text, not {shown(key)}")
        return {key: _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Sequence):
        return [_plain(entry) for entry in value]
    raise TypeError(f"{shown(value)} of type {type(value).__name__}")
