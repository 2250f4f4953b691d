"""What the values of a data file mean: the options of all that reads one, in one model."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tnqbm.base.arguments import is_number, is_whole, shown, unknown_names

Spins = Literal["+1 is 0", "+1 is 1"]
Column = int | str

THRESHOLD = "threshold:"
BERNOULLI = "bernoulli"

_RANGE = re.compile(r"\d+-\d+")


def _spins(value: Any) -> Any:
    if value in ("+1 is 0", "+1 is 1"):
        return value
    raise ValueError('must be "+1 is 0" (s = (-1)^v, as in this package) or "+1 is 1"')


def _binarise(value: Any) -> Any:
    if value == BERNOULLI:
        return value
    if isinstance(value, str) and value.startswith(THRESHOLD):
        try:
            if math.isfinite(float(value.removeprefix(THRESHOLD))):
                return value
        except ValueError:
            pass
    raise ValueError('must be "threshold:0.5" (or another number) or "bernoulli"')


def _maximum(value: Any) -> float:
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError("must be a positive number, the value of white: 255 in 8-bit images")
    return float(value)


def _columns(value: Any) -> tuple[Column, ...]:
    """Columns as numbers from 1 on and names; "3-5" and "a, b" are taken apart where used."""
    given = value if isinstance(value, list | tuple) else [value]
    if not given:
        raise ValueError("is empty; name columns by their number, from 1 on, or by their name")
    return tuple(_column(entry) for entry in given)


def _column(value: Any) -> Column:
    if isinstance(value, str) and value.strip():
        return int(value) if value.strip().isdecimal() else value
    if is_whole(value) and value >= 1:
        return int(value)
    raise ValueError("must be a column's number, from 1 on, or its name")


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _seed(value: Any) -> int:
    if not is_whole(value) or not 0 <= value < 2**63:
        raise ValueError("must be a whole number from 0 to 2^63 - 1")
    return int(value)


class PreparationKeys(BaseModel):
    """The fields of :class:`Preparation`, which tables of study files have, too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spins: Annotated[Spins, BeforeValidator(_spins)] | None = Field(
        None,
        description='what -1 and +1 mean: `"+1 is 0"` is s = (-1)^v, as everywhere in this '
        'package; `"+1 is 1"` is s = 2v - 1. Without it, -1 is an error',
    )
    binarise: Annotated[str, BeforeValidator(_binarise)] | None = Field(
        None,
        description='how grey values become bits: `"threshold:0.5"` gives 1 above the number, '
        '`"bernoulli"` gives 1 with the probability that the value is, drawn from `data_seed`',
    )
    maximum: Annotated[float, BeforeValidator(_maximum)] | None = Field(
        None,
        description="the grey value of white, 255 in 8-bit images: values are divided by it before "
        "`binarise` sees them. If left out, they are taken as they stand, whatever the file's type",
    )
    columns: Annotated[tuple[Column, ...], BeforeValidator(_columns)] | None = Field(
        None,
        description="the columns that hold the bits, by number from 1 on, range or name: `5`, "
        '`"2-785"`, `"x1"`, or a list; all others if left out',
    )
    drop: Annotated[tuple[Column, ...], BeforeValidator(_columns)] | None = Field(
        None, description="columns to leave out, as in `columns`"
    )
    labels: Annotated[Column, BeforeValidator(_column)] | None = Field(
        None,
        description="the column of labels, by number or name, or the array of that name in the "
        "same file: kept aside, not among the bits",
    )
    weights: Annotated[Column, BeforeValidator(_column)] | None = Field(
        None,
        description="the column, or array, that says how often each row counts; a row of weight 0 "
        "is left out",
    )
    header: Annotated[bool, BeforeValidator(_flag)] | None = Field(
        None,
        description="whether the first line of a text file has the columns' names; if left out, it "
        "has them if it holds words where the second line holds numbers",
    )
    flatten: Annotated[bool, BeforeValidator(_flag)] = Field(
        False,
        description="take arrays (samples, height, width) as rows of height x width values",
    )
    data_seed: Annotated[int, BeforeValidator(_seed)] = Field(
        0, description='seed of `binarise = "bernoulli"`, and of it alone'
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.spins is not None and self.binarise is not None:
            raise ValueError("spins and binarise exclude each other: values are spins or grey")
        if self.maximum is not None and self.binarise is None:
            raise ValueError('maximum is about binarise; for example binarise = "threshold:0.5"')
        return self


class Preparation(PreparationKeys):
    """How the values of a file become bits. Nothing of it is guessed from the values.

    The fields are keywords of :func:`tnqbm.datasets.read_data`, keys of [data] in study files, and
    options of commands. Raises ValueError "field: what is wrong, got value" or TypeError for a name
    that is not known.
    """

    def __init__(self, **values: Any) -> None:
        unknown_names(values, tuple(type(self).model_fields), type(self).__name__)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ValueError(_first(error)) from None

    @property
    def threshold(self) -> float | None:
        """The number of ``binarise = "threshold:..."``, or None."""
        if self.binarise is None or self.binarise == BERNOULLI:
            return None
        return float(self.binarise.removeprefix(THRESHOLD))

    def given(self) -> dict[str, Any]:
        """The values that differ from the defaults, by name, as JSON and TOML can hold them."""
        found = {}
        for name, field in Preparation.model_fields.items():
            value = getattr(self, name)
            if value != field.default:
                found[name] = list(value) if isinstance(value, tuple) else value
        return found


def preparation_of(given: Preparation | None, keys: dict[str, Any]) -> Preparation:
    """The preparation that a function was given, whole or by its fields.

    Raises TypeError if both are given or one is not known, ValueError for a wrong value.
    """
    if given is None:
        return Preparation(**keys)
    if not isinstance(given, Preparation):
        raise TypeError(f"preparation must be a Preparation, got {shown(given)}")
    if keys:
        raise TypeError(f"give {next(iter(keys))} inside the preparation, not beside it")
    return given


def as_option(name: str, value: object) -> str:
    """An option as study files and Python write it, and as commands take it, for messages."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return f"{name} = true ({flag})"
    if value is False:
        return f"{name} = false (--no-{name.replace('_', '-')})"
    return f"{name} = {text} ({flag} {text})"


def spread(columns: tuple[Column, ...], names: tuple[str, ...] | None) -> list[Column]:
    """Columns with ranges ("3-5") and lists ("a, b") taken apart; names of the file go first."""
    known = set(names or ())
    found: list[Column] = []
    for entry in columns:
        if isinstance(entry, int) or entry in known:
            found.append(entry)
            continue
        for piece in (piece.strip() for piece in entry.split(",")):
            if piece in known:
                found.append(piece)
            elif _RANGE.fullmatch(piece):
                first, last = map(int, piece.split("-"))
                if not 1 <= first <= last or last - first > 10**7:
                    raise ValueError(f"{piece!r} is no range of columns, from 1 on")
                found += range(first, last + 1)
            else:
                found.append(int(piece) if piece.isdecimal() else piece)
    return found


def _first(error: ValidationError) -> str:
    """The first problem as "field: what is wrong, got value"."""
    entry = error.errors(include_url=False)[0]
    message = str(entry["ctx"]["error"]) if entry["type"] == "value_error" else entry["msg"]
    if not entry["loc"]:
        return message
    return f"{entry['loc'][0]}: {message}, got {shown(entry['input'])}"
