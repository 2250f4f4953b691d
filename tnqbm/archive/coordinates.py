"""Coordinates of runs, their seeds, and the names of blocks: checked, and as text and back."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tnqbm.base.arguments import is_number, is_whole
from tnqbm.base.text import printable, short_repr
from tnqbm.core.paulis import check_paulis

Coordinates = dict[str, Any]
REQUIRED: dict[str, type] = {
    "paulis": str,
    "visible": int,
    "hidden": int,
    "data": str,
    "gradient": str,
}
"""Coordinates that every run has, in the order in which they are shown."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

MAX_RUNS = 1_000_000
"""Most runs that one archive can plan."""


@short_repr
@dataclass(frozen=True)
class PlannedGroup:
    """Runs that a study asks for: the same coordinates, one run for every seed."""

    coordinates: Coordinates
    seeds: list[int]


def check_coordinates(coordinates: Mapping[str, Any]) -> Coordinates:
    """Coordinates with plain Python values, required keys first, the others in order of name.

    Raises ValueError for a missing or badly named key, a value that is not str, int or float, and a
    size or Pauli set that no model has.
    """
    plain: Coordinates = {}
    for key, value in coordinates.items():
        if not _NAME.fullmatch(key) or key == "seed":
            raise ValueError(f"{key!r} cannot name a coordinate of a run")
        if isinstance(value, str | np.str_):
            plain[key] = str(value)
        elif is_whole(value):
            plain[key] = int(value)
        elif is_number(value) and np.isfinite(value):
            plain[key] = float(value)
        else:
            raise ValueError(f"coordinate {key} = {value!r} is not text or a finite number")
    for key, kind in REQUIRED.items():
        if not isinstance(plain.get(key), kind):
            raise ValueError(
                f"coordinate {key!r} must be {kind.__name__}, got {plain.get(key)!r} "
                f"in {dict(coordinates)}"
            )
    check_paulis(plain["paulis"])
    if plain["visible"] < 1 or plain["hidden"] < 0:
        raise ValueError(
            f"a model has at least one visible unit and no fewer than 0 hidden ones, not "
            f"{plain['visible']} and {plain['hidden']}"
        )
    extra = sorted(plain.keys() - REQUIRED.keys())
    return {key: plain[key] for key in (*REQUIRED, *extra)}


def coordinates_key(coordinates: Mapping[str, Any]) -> str:
    """Canonical JSON of checked coordinates: equal text means the same group of runs."""
    return json.dumps(coordinates, sort_keys=True, separators=(",", ":"), allow_nan=False)


def describe(coordinates: Mapping[str, Any]) -> str:
    """Coordinates for people: ``paulis=XYZ visible=8 ...``, in printable characters."""
    return printable(" ".join(f"{key}={value}" for key, value in coordinates.items()))


def check_seeds(seeds: Sequence[int]) -> list[int]:
    """Seeds as sorted ints; ValueError if one is repeated, negative or above 2^63 - 1."""
    plain = sorted(int(seed) for seed in seeds)
    if any(not 0 <= seed < 2**63 for seed in plain):
        raise ValueError("a seed must lie between 0 and 2^63 - 1")
    for low, high in itertools.pairwise(plain):
        if low == high:
            raise ValueError(f"seed {low} occurs twice in the same group of runs")
    return plain


def format_seeds(seeds: Sequence[int]) -> str:
    """Sorted seeds as text: [1, 2, 3, 7] -> "1-3,7"."""
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and spans[-1][1] == seed - 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def parse_seeds(text: str) -> list[int]:
    """Inverse of :func:`format_seeds`; ValueError if the text is not of that form.

    So it is if there are more than ``MAX_RUNS``.
    """
    seeds: list[int] = []
    for span in text.split(",") if text else []:
        if not re.fullmatch(r"\d{1,19}(-\d{1,19})?", span):
            raise ValueError(f"{span[:60]!r} is not a range of seeds")
        first, _, last = span.partition("-")
        low, high = int(first), int(last or first)
        if high < low or high >= 2**63 or (seeds and low <= seeds[-1]):
            raise ValueError(f"{span!r} is not a range of seeds that follows those before it")
        check_run_count(len(seeds) + high - low + 1)
        seeds.extend(range(low, high + 1))
    return seeds


def check_run_count(count: int) -> None:
    """Raise ValueError if a plan of so many runs is more than a file's header can hold."""
    if count > MAX_RUNS:
        raise ValueError(f"more than {MAX_RUNS} runs; divide them among several archives")


def block_name(coordinates: Mapping[str, Any], seeds: Sequence[int]) -> str:
    """The name of a block, such as ``XYZ-n8-m5-bas-exact-seeds-1-25``.

    It depends on the coordinates and seeds alone. What cannot be read off unambiguously (further
    coordinates, unusual characters, gaps between the seeds) is told apart by a short hash.
    """
    c, ordered = check_coordinates(coordinates), check_seeds(seeds)
    name, exact = _readable_name(c)
    name += f"-seeds-{ordered[0]}-{ordered[-1]}"
    if exact and ordered[-1] - ordered[0] == len(ordered) - 1:
        return name
    return f"{name}-{_short_hash(f'{coordinates_key(c)} {format_seeds(ordered)}')}"


def group_name(coordinates: Mapping[str, Any]) -> str:
    """A name for all runs of equal coordinates, such as ``XYZ-n8-m5-bas-exact``.

    With a short hash where the name does not say everything, as in :func:`block_name`.
    """
    c = check_coordinates(coordinates)
    name, exact = _readable_name(c)
    return name if exact else f"{name}-{_short_hash(coordinates_key(c))}"


def _readable_name(c: Coordinates) -> tuple[str, bool]:
    """What can be read off coordinates in a name, and whether that is all there is to know."""
    values = (c["paulis"], str(c["visible"]), str(c["hidden"]), c["data"], c["gradient"])
    words = tuple(re.sub(r"[^A-Za-z0-9_.]", "_", text)[:40] for text in values)
    paulis, visible, hidden, data, gradient = words
    name = f"{paulis}-n{visible}-m{hidden}-{data}-{gradient}"
    return name, words == values and len(c) == len(REQUIRED)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def unite_plans(plan: Iterable[PlannedGroup]) -> dict[str, PlannedGroup]:
    """Groups of equal coordinates joined, by their key, in the order in which they first appear.

    The coordinates have been checked.
    """
    seeds: dict[str, set[int]] = {}
    coordinates: dict[str, Coordinates] = {}
    for group in plan:
        key = coordinates_key(group.coordinates)
        coordinates.setdefault(key, group.coordinates)
        seeds.setdefault(key, set()).update(group.seeds)
    return {key: PlannedGroup(coordinates[key], sorted(seeds[key])) for key in seeds}
