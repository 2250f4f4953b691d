"""Finding one run by its coordinates, and saying what is near when there is none."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from tnqbm.archive.coordinates import describe
from tnqbm.archive.rows import value_of
from tnqbm.archive.sources import Source, Sources


class RunNotFoundError(KeyError):
    """No run, or more than one, has the coordinates asked for; the message names the nearest."""

    __str__ = Exception.__str__


def find_run(sources: Sources, asked: Mapping[str, Any]) -> tuple[Source, int]:
    """The source and row of the only run with the given coordinates (and ``seed``).

    Where several have them, one that has no others is meant. Raises RunNotFoundError if there is
    none or more than one.
    """
    wanted = dict(asked)
    seed = wanted.pop("seed", None)
    matches = [
        (source, row)
        for source in sources
        if all(value_of(source.entry.coordinates, key) == value for key, value in wanted.items())
        for row in source.rows
        if seed is None or source.seed(row) == seed
    ]
    whole = [match for match in matches if match[0].entry.coordinates == wanted]
    for found in (matches, whole):
        if len(found) == 1:
            return found[0]
    words = describe(asked) or "any coordinates"
    if matches:
        raise RunNotFoundError(_several(sources, words, matches))
    raise RunNotFoundError(_none(sources, words, wanted, seed))


def _several(sources: Sources, words: str, matches: list[tuple[Source, int]]) -> str:
    runs = [{**source.entry.coordinates, "seed": source.seed(row)} for source, row in matches]
    names = {name: None for run in runs for name in run}
    varying = [name for name in names if len({repr(run.get(name)) for run in runs}) > 1]
    return (
        f"{len(matches)} runs in {sources.path} have {words}; "
        f"say also which {', '.join(varying)} is meant"
    )


def _none(sources: Sources, words: str, wanted: dict[str, Any], seed: object) -> str:
    message = f"no finished run in {sources.path} has {words}"
    coordinates = sources.coordinates()
    if not coordinates:
        return f"{message}: it holds no runs"
    known = sorted({name for group in coordinates.values() for name in group} | {"seed"})
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.0)
            return f"{message}: there is no coordinate {name!r}; did you mean {near[0]!r}?"
    finished, planned = sources.tally()

    def mismatches(key: str) -> list[str]:
        return [name for name, value in wanted.items() if value_of(coordinates[key], name) != value]

    def distance(key: str) -> tuple[int, float, bool]:
        gaps = [_gap(coordinates[key].get(name), wanted[name]) for name in mismatches(key)]
        return len(gaps), sum(gaps), key not in finished

    nearest = min(coordinates, key=distance)
    if not mismatches(nearest) and seed in planned.get(nearest, set()):
        return f"{message}: it is planned but not finished"
    seeds = finished.get(nearest)
    span = f"finished seeds from {min(seeds)} to {max(seeds)}" if seeds else "no finished seeds"
    return f"{message}; the nearest is {describe(coordinates[nearest])} with {span}"


def _gap(value: object, wanted: object) -> float:
    """How far two unequal values are from each other, between 0 and 1."""
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return 1 - 1 / (1 + abs(float(value) - float(wanted)))
    return 1 - difflib.SequenceMatcher(None, str(value), str(wanted)).ratio()
