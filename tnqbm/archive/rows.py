"""Rows of tables over runs: typed, with names and an order for groups, and the choice of runs.

Runs of a group differ in their seed only; groups of a series differ in the number of hidden units,
too. What else they have (the gradient, and whatever a study varies) is called a variant.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tnqbm.archive.coordinates import Coordinates
from tnqbm.base.text import one_page
from tnqbm.core.connectivity import DENSE
from tnqbm.training.families import DEFAULT

Value = str | int | float
Where = Mapping[str, Value | Collection[Value]]
Other = tuple[tuple[str, Value], ...]
"""Coordinates beyond data, visible, paulis and hidden, in order of name: a variant."""

METHODS = ("exact", "contraction", "cd", "pcd", "tempered", "weighted", "tensor", "quantum")
"""Estimators of the gradient, in the order of tables and legends; others follow by name."""

MAIN_COORDINATES = ("data", "visible", "paulis", "hidden")


@dataclass(frozen=True)
class Series:
    """What groups share that differ in their number of hidden units."""

    data: str
    visible: int
    paulis: str
    other: Other


@dataclass(frozen=True)
class Group:
    """What runs share that differ in their seed; ``other`` holds further coordinates."""

    data: str
    visible: int
    paulis: str
    hidden: int
    other: Other

    @classmethod
    def of(cls, coordinates: Mapping[str, Any]) -> Group:
        """The group of runs with these coordinates, which may include a seed."""
        other = {k: v for k, v in coordinates.items() if k not in (*MAIN_COORDINATES, "seed")}
        return Group(
            str(coordinates["data"]),
            int(coordinates["visible"]),
            str(coordinates["paulis"]),
            int(coordinates["hidden"]),
            tuple(sorted(other.items())),
        )

    @property
    def group(self) -> Group:
        """The group alone, of what has more fields."""
        return Group(self.data, self.visible, self.paulis, self.hidden, self.other)

    @property
    def series(self) -> Series:
        """All but the number of hidden units."""
        return Series(self.data, self.visible, self.paulis, self.other)

    @property
    def coordinates(self) -> dict[str, Any]:
        """The coordinates by name."""
        return {
            "paulis": self.paulis,
            "visible": self.visible,
            "hidden": self.hidden,
            "data": self.data,
            **dict(self.other),
        }

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorting key: the order of all tables."""
        variant = variant_order(self.other)
        return (self.visible, self.data, variant, len(self.paulis), self.paulis, self.hidden)


@dataclass(frozen=True)
class GroupSeeds:
    """Seeds of a group that are planned and finished; every finished one is planned."""

    coordinates: Coordinates
    planned: Set[int]
    finished: Set[int]

    @cached_property
    def group(self) -> Group:
        """The group of the runs."""
        return Group.of(self.coordinates)


@dataclass(frozen=True)
class RunRow:
    """One finished run: what was run, its final values, and how it ended.

    ``metrics`` has every metric of :class:`tnqbm.Trajectory`, None if it was not kept. ``steps``
    counts the updates; ``stopped`` is "iterations", "plateau" or "failed", ``cause`` why it failed,
    or empty. ``started`` and ``finished`` are ISO 8601, in UTC. ``estimator`` holds the totals that
    the estimator of the gradient reported, see :attr:`tnqbm.archive.Run.estimator`. ``failure``
    says of a run that failed on which "host" and "rank", and with which "traceback" if it raised.
    """

    coordinates: Coordinates
    seed: int
    metrics: Mapping[str, float | None]
    steps: int
    stopped: str
    cause: str
    started: str
    finished: str
    estimator: Mapping[str, Value] = field(default_factory=dict)
    failure: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where a run failed, for people: "rank 3 on node7"; empty if that is not known."""
        rank, host = self.failure.get("rank", ""), self.failure.get("host", "")
        words = [f"rank {rank}" if rank else "", f"on {host}" if host else ""]
        return " ".join(filter(None, words))

    @cached_property
    def group(self) -> Group:
        """The group that the run belongs to."""
        return Group.of(self.coordinates)

    @property
    def identity(self) -> dict[str, Any]:
        """The coordinates, and the seed last."""
        return {**self.coordinates, "seed": self.seed}

    def flat(self) -> dict[str, Any]:
        """One flat dict, as :meth:`tnqbm.Archive.table` returns them."""
        ended = {name: getattr(self, name) for name in ENDED}
        return {**self.identity, **self.metrics, **ended}


TRACEBACK = "traceback"
"""Fact of a block's provenance: the traceback of its run, which raised."""

FAILED_RANK = "failed_rank"
"""The same: the rank that raised, where it is not the one that wrote the block."""


PAGE = 8000
"""Characters of such a fact, whatever the file says, that are shown."""


def failure_facts(provenance: Mapping[str, object]) -> dict[str, str]:
    """What a block's provenance says of its runs that failed; see :class:`RunRow`."""
    facts = {name: str(provenance.get(name, "")) for name in ("rank", "host", TRACEBACK)}
    if FAILED_RANK in provenance:
        # Its host is not known.
        facts |= {"rank": str(provenance[FAILED_RANK]), "host": ""}
    return {name: one_page(text, PAGE) for name, text in facts.items() if text}


ENDED = ("steps", "stopped", "cause", "started", "finished")
"""How a run ended, in the order of the columns of a table."""


# --- choice of runs ---------------------------------------------------------------------------


ABSENT: Mapping[str, Value] = {"family": DEFAULT, "connectivity": DENSE}
"""What coordinates mean that runs do not have."""


def value_of(coordinates: Mapping[str, Any], key: str) -> Any:
    """A coordinate, or what it means that the run does not have it; None if that is nothing."""
    return coordinates.get(key, ABSENT.get(key))


def matches(where: Where | None, coordinates: Mapping[str, Any]) -> bool:
    """Whether a run's coordinates agree with every key of ``where``."""
    return all(value_of(coordinates, k) in _allowed(v) for k, v in (where or {}).items())


def chosen(rows: Iterable[RunRow], where: Where | None) -> list[RunRow]:
    """Rows of the runs that match."""
    return [row for row in rows if matches(where, row.identity)] if where else [*rows]


def without_seed(where: Where | None) -> Where:
    """What ``where`` says about groups."""
    return {key: value for key, value in (where or {}).items() if key != "seed"}


def check_where(where: Where | None, coordinates: Iterable[Mapping[str, Any]]) -> None:
    """Raise ValueError if a key or all values of ``where`` occur in no run; says what does."""
    listed = list(coordinates)
    for key, wanted in without_seed(where).items():
        if not listed:
            continue
        present = {value_of(c, key) for c in listed} - {None}
        if not present:
            known = ", ".join(sorted({*(k for c in listed for k in c), "seed"}))
            raise ValueError(f"no run has a coordinate {key!r}; there are: {known}")
        if not present & set(_allowed(wanted)):
            asked = ", ".join(map(str, _allowed(wanted)))
            there = ", ".join(map(str, sorted(present, key=_text_last)))
            raise ValueError(f"no run has {key} = {asked}; there are: {there}")


def nothing_matches(where: Where | None) -> ValueError:
    """The error where no run is left."""
    return ValueError("there is no finished run to show" + (" that matches" if where else ""))


def _allowed(wanted: Value | Collection[Value]) -> list[Value]:
    return [wanted] if isinstance(wanted, str | int | float) else list(wanted)


def _text_last(value: Any) -> tuple[bool, Any]:
    return (isinstance(value, str), value)


# --- names and order --------------------------------------------------------------------------


def in_words(coordinates: Mapping[str, Any]) -> str:
    """Coordinates as ``key = value`` text for messages."""
    return ", ".join(f"{key} = {value}" for key, value in coordinates.items())


def gradient_parts(label: str) -> tuple[str, int | None]:
    """Method and number of sweeps of a gradient's label: ("pcd", 10) of "pcd-10-slow"."""
    match = re.match(r"(.+?)-(\d+)(?:-|$)", label)
    return (label, None) if match is None else (match[1], int(match[2]))


def variant_order(other: Other) -> tuple[Any, ...]:
    """Sorting key of variants: by method (exact first), sweeps, then the label and the rest."""
    label = str(dict(other).get("gradient", ""))
    method, sweeps = gradient_parts(label)
    place = METHODS.index(method) if method in METHODS else len(METHODS)
    return (place, method, sweeps or 0, label, repr(other))


def variant_names(others: Iterable[Other]) -> dict[Other, str]:
    """A short name for every variant, in order: what tells it from the others, or the gradient."""
    ordered = sorted(set(others), key=variant_order)
    full = with_families([dict(other) for other in ordered])
    keys = _telling(full) or ["gradient"]
    names = {}
    for other, values in zip(ordered, full, strict=True):
        words = [
            str(values[key]) if key in ("gradient", "family") else f"{key} {values[key]}"
            for key in sorted(keys, key=lambda key: key != "gradient")
            if key in values
        ]
        names[other] = ", ".join(words) or str(values.get("gradient", "others"))
    return names


def with_families(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Coordinates, those of sqRBMs with their family if any of the others name theirs."""
    named = any("family" in row for row in rows)
    return [{"family": DEFAULT, **row} if named else dict(row) for row in rows]


def _telling(coordinates: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys that tell variants apart: those that vary, without those that follow from the family."""
    keys = varying(tuple(values.items()) for values in coordinates)
    if "family" not in keys:
        return keys
    of_family = {
        key: {(values["family"], values.get(key)) for values in coordinates} for key in keys
    }
    families = len(of_family["family"])
    return [key for key in keys if key == "family" or len(of_family[key]) > families]


def varying(others: Iterable[Other]) -> list[str]:
    """Keys among the further coordinates whose value is not the same in all groups."""
    values: dict[str, set[Value | None]] = {}
    listed = [dict(other) for other in others]
    for key in {k for other in listed for k in other}:
        values[key] = {other.get(key) for other in listed}
    return sorted(key for key, several in values.items() if len(several) > 1)
