"""What every reader of models is given, the caller's choices, and what it returns, a source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tnqbm.interop.models.named import find
from tnqbm.interop.models.units import UNITS, Parameters


@dataclass(frozen=True)
class Choices:
    """What the caller says about a source; None where nothing was said."""

    names: Mapping[str, str] | None = None
    rows: str | None = None
    units: str | None = None
    update: int | None = None

    def refuse(self, name: str, where: str | Path) -> None:
        """ValueError if something was said that this source says itself, or does not have."""
        if getattr(self, name) is not None:
            raise ValueError(
                f"{where}: leave {name} away; "
                + ("it has no updates" if name == "update" else "its format says this itself")
            )

    def with_rows(self, rows: str) -> Choices:
        """These choices, with what ``rows`` is where nothing was said."""
        return self if self.rows is not None else replace(self, rows=rows)


@dataclass(frozen=True)
class Source:
    """An RBM as it was read: the format, its parameters, and the names that these had."""

    format: str
    parameters: Parameters
    names: dict[str, str] = field(default_factory=dict)
    update: int | None = None


def by_name(
    format: str,
    where: str,
    arrays: Mapping[str, NDArray[Any]],
    choices: Choices,
    *,
    alone: bool = False,
    by_shape: bool = True,
) -> Source:
    """The RBM whose parameters are among arrays with names; units are bits if nobody says else.

    Raises as :func:`tnqbm.interop.models.named.find`, and ValueError for unknown units.
    """
    units = of_units(choices.units)
    found = find(
        arrays,
        names=choices.names,
        rows=choices.rows,
        where=where,
        alone=alone,
        by_shape=by_shape,
    )
    parameters = Parameters(found.w, found.a, found.b, visible=units, hidden=units)
    return Source(format, parameters, found.names)


def of_units(units: str | None) -> str:
    """The units, bits where nothing was said; ValueError for others than bits and spins."""
    if units is not None and units not in UNITS:
        raise ValueError(f"units must be one of {', '.join(UNITS)}, got {units!r}")
    return units or "bits"
