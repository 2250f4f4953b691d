"""What settings are made of: a model whose errors read "field: what is wrong", and its types."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from tnqbm.base.arguments import is_number, is_whole, unknown_names


class Settings(BaseModel):
    """Immutable settings, checked on construction: ValueError "field: what is wrong, got value".

    The fields of subclasses have a default and a description, from which study files, their
    documentation and the identity of runs are derived.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    def __init__(self, **values: Any) -> None:
        unknown_names(values, tuple(type(self).model_fields), type(self).__name__)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None

    def __str__(self) -> str:
        return repr(self)

    def __repr_args__(self) -> Any:
        """Only what differs from the defaults."""
        fields = type(self).model_fields
        return [
            (name, value)
            for name, value in super().__repr_args__()
            if name not in fields or value != fields[name].default
        ]

    def replace(self, **changes: Any) -> Self:
        """A checked copy with other values."""
        return type(self)(**{**{name: getattr(self, name) for name in self._names()}, **changes})

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return tuple(cls.model_fields)


def first_problem(error: ValidationError) -> str:
    """The first problem that pydantic found, as "field: what is wrong, got value"."""
    entry = error.errors(include_url=False)[0]
    field = str(entry["loc"][0]) if entry["loc"] else ""  # what follows are members of a union
    return f"{field}: {complaint(entry, shown=True)}" if field else complaint(entry, shown=False)


def complaint(entry: Any, *, shown: bool) -> str:
    """What pydantic says of one value, in words; ``shown`` adds the value itself."""
    if entry["type"] == "value_error":
        message = str(entry["ctx"]["error"])
    else:
        message = entry["msg"].replace("Input should be", "must be").replace("Field", "the field")
    value = entry["input"]
    if not shown:
        return message
    if message.startswith("is not one of"):
        return f"{value!r} {message}"
    return f"{message}, got {value!r}"


@cache
def whole(low: int, high: int) -> BeforeValidator:
    """Accepts integers from ``low`` to ``high``, NumPy's included, and no booleans."""

    def check(value: Any) -> int:
        if not is_whole(value) or value < low:
            raise ValueError(f"must be an integer >= {low}")
        if value > high:
            raise ValueError(f"must be at most {high}")
        return int(value)

    return BeforeValidator(check)


@cache
def number(low: float = 0.0, below: float = math.inf) -> BeforeValidator:
    """Accepts finite numbers from ``low`` on and, if given, below a bound."""

    def check(value: Any) -> float:
        # Integers may be too large for a float, or for arrays; comparing them is safe.
        largest = 2**63 if isinstance(value, int) else sys.float_info.max
        if not is_number(value) or not (low <= value <= largest and value < below):
            bound = "" if below == math.inf else f" and below {below:g}"
            raise ValueError(f"must be a finite number >= {low:g}{bound}")
        return float(value)

    return BeforeValidator(check)


@cache
def choice(*allowed: str) -> BeforeValidator:
    """Accepts one of some words."""

    def check(value: Any) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise ValueError(not_one_of(value, allowed))

    return BeforeValidator(check)


def not_one_of(value: object, allowed: Sequence[str]) -> str:
    """ "is not one of ...", with what was probably meant."""
    near = difflib.get_close_matches(str(value), allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"is not one of {', '.join(allowed)}{hint}"


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a name")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
Name = Annotated[str, BeforeValidator(_name)]
