"""The text of a study file: TOML read and written, how large it and what it asks for may be.

Absurd ones are refused at once. All limits of study files are here, those of single settings in
:data:`tnqbm.base.limits.MAX_COUNTS`; docs/study-files.md lists them. Also what messages about study
files have in common.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tomli_w

from tnqbm.base.errors import StudyError

MAX_BYTES = 1_000_000
"""Size of a study file."""

MAX_DEPTH = 8
"""Tables and lists inside each other."""

MAX_KEYS = 1_000
"""Keys of a table."""

MAX_VALUES = 10_000
"""Values of a list, seeds apart."""

MAX_SEEDS = 1_000_000

MAX_UNITS = 100_000
"""Visible or hidden units of a model."""

MAX_PARAMETERS = 10**8
"""Parameters of a model."""

MAX_GROUPS = 10_000
"""Combinations of data, sizes, Paulis and gradients."""

MAX_RUNS = 1_000_000
"""Runs: combinations times seeds."""

MAX_NAME = 1_000
"""Characters of a name, of a path, of a label."""

MAX_PROBLEMS = 20
"""Problems that are written out; the others are counted."""

_SHOWN, _SHOWN_LINE = 100, 1000
_LONG_KEY = re.compile(rf"""[\s\[]*(?:[\w"'-]+\s*\.\s*){{{2 * MAX_DEPTH},}}""")


class Problems:
    """Problems of a study, one line each: the first of them, and how many there are."""

    def __init__(self) -> None:
        self.count = 0
        self._lines: list[str] = []

    def add(self, lines: Iterable[str], *, more: int = 0) -> None:
        """Take lines in; ``more`` problems are counted without one."""
        for line in lines:
            self.count += 1
            if len(self._lines) < MAX_PROBLEMS:
                self._lines.append(_cut(line, _SHOWN_LINE))
        self.count += more

    def report(self, where: str) -> str:
        """The whole message."""
        count = "a problem" if self.count == 1 else f"{self.count:,} problems"
        rest = self.count - len(self._lines)
        last = [f"and {rest:,} more"] if rest else []
        return "\n  ".join([f"{where} has {count}:", *self._lines, *last])


def shown(value: object) -> str:
    """A value in a message: its repr, cut where it is long."""
    try:
        return _cut(repr(value), _SHOWN)
    except ValueError:  # an integer of more digits than Python writes out
        return "a number of thousands of digits"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def dotted(path: Iterable[str | int]) -> str:
    """("model", "visible", 0) -> "model.visible[0]"."""
    text = ""
    for word in path:
        text += f"[{word}]" if isinstance(word, int) else f".{word}" if text else str(word)
    return _cut(text, _SHOWN)


def check_text(text: str, where: str) -> None:
    """Raise StudyError for text that would take long to read as TOML."""
    if len(text) > MAX_BYTES:
        raise StudyError(f"{where} is not a study: its text is longer than {MAX_BYTES:,} bytes")
    for number, line in enumerate(text.splitlines(), start=1):
        if _LONG_KEY.match(line):
            raise StudyError(
                f"{where}, line {number}: tables inside tables, more than {MAX_DEPTH} deep: "
                f"{_cut(line.strip(), _SHOWN)}"
            )


def check_tree(raw: Mapping[str, Any], where: str) -> None:
    """Raise StudyError for tables and lists that are too deep or too long to be a study."""
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), raw)]
    while stack:
        path, value = stack.pop()
        table = isinstance(value, Mapping)
        largest = MAX_KEYS if table else MAX_SEEDS if path == ("seeds",) else MAX_VALUES
        name = dotted(path) or "the top of the file"
        if len(path) > MAX_DEPTH:
            raise StudyError(f"{where}: {name}: tables inside tables, more than {MAX_DEPTH} deep")
        if len(value) > largest:
            raise StudyError(
                f"{where}: {name} has {len(value):,} {'keys' if table else 'values'}; at most "
                f"{largest:,} are accepted"
            )
        for key, inner in value.items() if table else enumerate(value):
            if isinstance(inner, Mapping | list | tuple):
                stack.append(((*path, key), inner))


def near_value(value: str, choices: Sequence[str]) -> str:
    """What was probably meant, or all there is to choose from, as the end of a message."""
    near = difflib.get_close_matches(value, choices, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(choices)}"


def failure(check: Callable[..., Any], *arguments: Any) -> str:
    """What ``check(*arguments)`` complains about, or an empty text."""
    try:
        check(*arguments)
    except (ValueError, OSError, ImportError) as error:
        return str(error)
    except Exception as error:  # e.g. ArchiveError for a damaged .h5 data file
        return f"{type(error).__name__}: {error}"
    return ""


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
