"""TOML text of a study: read, and written where the study is given as a mapping."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

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
    lines: list[str] = []
    _dump(table, (), lines)
    return "\n".join(lines).strip() + "\n"


def _dump(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    inner: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping) or _is_tables(value):
            inner.append((key, value))
        elif value is not None:
            lines.append(f"{_key(key)} = {_scalar(value)}")
    for key, value in inner:
        here = (*path, _key(key))
        if isinstance(value, Mapping):
            lines += ["", f"[{'.'.join(here)}]"]
            _dump(value, here, lines)
        else:
            for entry in value:
                lines += ["", f"[[{'.'.join(here)}]]"]
                _dump(entry, here, lines)


def _is_tables(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(isinstance(entry, Mapping) for entry in value)
    )


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"keys must be text, not {shown(key)}")
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        # repr writes inf and nan as TOML does, and always a point or an exponent otherwise.
        return repr(float(value))
    if isinstance(value, str):
        # JSON strings are TOML basic strings, except for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Sequence):
        return "[" + ", ".join(_scalar(entry) for entry in value) + "]"
    raise TypeError(f"{shown(value)} of type {type(value).__name__}")
