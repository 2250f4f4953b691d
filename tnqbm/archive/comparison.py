"""Two archives of the same runs: equal bits, equal numbers, equal statistics, or different."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tnqbm.archive.contents import SETTINGS
from tnqbm.archive.coordinates import Coordinates
from tnqbm.archive.differences import Apart, RunDifference, recorded, run_difference
from tnqbm.archive.mean_tests import MeanTest, adjusted, mean_test
from tnqbm.archive.rows import Where, check_where, matches
from tnqbm.archive.sources import Source, Sources
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.base.errors import ArchiveError
from tnqbm.base.text import one_page, short_repr
from tnqbm.training.trajectory import METRICS

Verdict = Literal["bits", "numbers", "statistics", "different"]
VERDICTS: tuple[Verdict, ...] = ("bits", "numbers", "statistics", "different")
"""What is equal, from the most to nothing."""

TOLERANCE = 1e-9
"""Relative difference of numbers that may be rounding, for every update of the parameters."""

_PASSING = frozenset({"data", "started", "finished", "starts", "slurm_job", "build", SETTINGS})
"""Facts of an archive's provenance that differ between any two, or are compared elsewhere."""

_RESULTS = [m for m in METRICS if m not in ("log_partition_error", "log_partition_bound")]
"""Metrics whose means are tested: all but those that say how well another one is known."""


@short_repr
@dataclass(frozen=True)
class GroupComparison:
    """All runs with the same coordinates that both archives hold, or that only one of them does.

    ``bits``, ``numbers`` and ``different`` count the runs in both (equal coordinates and seed) by
    what is equal in them; ``only_first`` and ``only_second`` count the others. ``bits_part`` and
    ``numbers_part`` are the earliest recorded updates at which any runs part, in bits and by more
    than the tolerance. ``largest`` is the largest difference of a number, of the run with
    ``largest_seed``. ``other`` names what differs and has no digits to round, such as how the runs
    ended. ``tests`` compare means, where runs differ or no seed is in both; they are empty where
    there are too few seeds.
    """

    coordinates: Coordinates
    bits: int
    numbers: int
    different: int
    only_first: int
    only_second: int
    bits_part: int | None
    numbers_part: int | None
    largest: Apart | None
    largest_seed: int | None
    other: tuple[str, ...]
    tests: tuple[MeanTest, ...]

    @property
    def shared(self) -> int:
        """Runs in both archives."""
        return self.bits + self.numbers + self.different

    @property
    def verdict(self) -> Verdict:
        """What is equal. Runs that differ without a test that says otherwise are different."""
        if self.different or not self.shared:
            agree = bool(self.tests) and all(test.agrees for test in self.tests)
            return "statistics" if agree else "different"
        return "numbers" if self.numbers else "bits"


@short_repr
@dataclass(frozen=True)
class Comparison:
    """The result of :func:`compare`.

    ``groups`` are those that both archives hold runs of, in the order of the first one's plan.
    ``only_first`` and ``only_second`` count all runs that only one archive holds. ``settings``,
    ``provenance`` and ``builds`` hold pairs of what differs; None stands for what an archive does
    not say. ``builds`` counts runs by the software and processor that made them. ``not_compared``
    names what only one of the archives recorded.
    """

    tolerance: float
    groups: list[GroupComparison]
    only_first: int
    only_second: int
    settings: dict[str, tuple[Any, Any]]
    provenance: dict[str, tuple[str | None, str | None]]
    builds: tuple[dict[str, int], dict[str, int]]
    not_compared: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """What is equal in all groups."""
        return max((group.verdict for group in self.groups), key=VERDICTS.index)

    def count(self, what: Literal["bits", "numbers", "different", "shared"]) -> int:
        """Runs in both archives with equal bits, equal numbers, different ones; or all."""
        return sum(getattr(group, what) for group in self.groups)

    @property
    def largest(self) -> GroupComparison | None:
        """The group with the largest difference of a number, None if all bits are equal."""
        apart = [group for group in self.groups if group.largest is not None]
        return max(apart, key=lambda g: g.largest.difference if g.largest else 0.0, default=None)


@checked(first=arguments.path, second=arguments.path, tolerance=arguments.number)
def compare(
    first: str | Path,
    second: str | Path,
    *,
    tolerance: float = TOLERANCE,
    where: Where | None = None,
) -> Comparison:
    """Compare the runs of two archives that have the same coordinates and seeds.

    What both recorded is compared at the updates at which both did. Two numbers are equal after t
    updates if |x - y| <= ``tolerance`` max(1, t) max(1, |x|, |y|): rounding differs between kinds
    of processors and versions of libraries, and adds up. Trainings may amplify it beyond that;
    where runs differ, means over seeds of the final metrics are tested
    (:class:`~tnqbm.archive.mean_tests.MeanTest`), with a probability of 1 % that any of them is
    called different by chance.

    ``where`` keeps only runs whose coordinates match. Raises ValueError for a negative tolerance
    and for archives without common coordinates, FileNotFoundError, and ArchiveError if anything in
    either is damaged or is no archive.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be 0 or more, got {tolerance}")
    with contextlib.ExitStack() as stack:
        one, two = (
            stack.enter_context(contextlib.closing(Sources(Path(path)))) for path in (first, second)
        )
        return _compare(one, two, float(tolerance), where)


def _compare(first: Sources, second: Sources, tolerance: float, where: Where | None) -> Comparison:
    for sources in (first, second):
        if sources.problems:
            raise ArchiveError(sources.problems[0])
    one, two = _groups(first, where), _groups(second, where)
    common = [key for key in one if key in two]
    if not common:
        chosen = " that match" if where else ""
        raise ValueError(
            f"{first.path} and {second.path} hold no runs{chosen} with the same coordinates: there "
            "is nothing to compare"
        )
    pairs = [_Pair(first, one[key], second, two[key], where) for key in common]
    found = [pair.compared(tolerance) for pair in pairs]
    tests = sum(len(group.tests) for group in found)
    groups = [
        replace(group, tests=tuple(adjusted(test, tests) for test in group.tests))
        for group in found
    ]
    return Comparison(
        tolerance=tolerance,
        groups=groups,
        only_first=_outside(one, common, where) + sum(group.only_first for group in groups),
        only_second=_outside(two, common, where) + sum(group.only_second for group in groups),
        settings=_differing(*map(_settings, (first, second))),
        provenance=_differing(*map(_provenance, (first, second))),
        builds=(_builds(first), _builds(second)),
        not_compared=tuple(sorted(set().union(*(pair.not_compared for pair in pairs)))),
    )


def _groups(sources: Sources, where: Where | None) -> dict[str, list[Source]]:
    """Blocks with finished runs that match, by canonical coordinates, in the order of the plan."""
    check_where(where, (source.entry.coordinates for source in sources))
    groups: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        if _seeds(source, where):
            groups[source.key].append(source)
    return dict(groups)


def _seeds(source: Source, where: Where | None) -> dict[int, int]:
    """Rows of a block by seed, of the runs that match."""
    rows = {source.seed(row): row for row in source.rows}
    known = source.entry.coordinates
    return {seed: row for seed, row in rows.items() if matches(where, {**known, "seed": seed})}


def _outside(groups: Mapping[str, list[Source]], common: list[str], where: Where | None) -> int:
    left = [sources for key, sources in groups.items() if key not in set(common)]
    return sum(len(_seeds(source, where)) for sources in left for source in sources)


class _Pair:
    """A group of runs in two archives."""

    def __init__(
        self,
        first: Sources,
        one: list[Source],
        second: Sources,
        two: list[Source],
        where: Where | None,
    ) -> None:
        self._first, self._second = first, second
        self._one = [(source, _seeds(source, where)) for source in one]
        self._two = [(source, _seeds(source, where)) for source in two]
        self.coordinates = one[0].entry.coordinates
        self.not_compared: set[str] = set()

    def compared(self, tolerance: float) -> GroupComparison:
        """The comparison; its tests are not adjusted yet."""
        runs = self._differences(tolerance)
        kinds = {seed: _kind(run) for seed, run in runs.items()}
        parted = [run for run in runs.values() if run.bits_part is not None]
        apart = {seed: run.largest for seed, run in runs.items() if run.largest is not None}
        seed = max(apart, key=lambda seed: apart[seed].difference, default=None)
        counts = {kind: list(kinds.values()).count(kind) for kind in VERDICTS}
        equal = [seed for seed, kind in kinds.items() if kind != "different"]
        tested = counts["different"] or not runs
        return GroupComparison(
            coordinates=self.coordinates,
            bits=counts["bits"],
            numbers=counts["numbers"],
            different=counts["different"],
            only_first=sum(len(seeds) for _, seeds in self._one) - len(runs),
            only_second=sum(len(seeds) for _, seeds in self._two) - len(runs),
            bits_part=min(
                (run.bits_part for run in parted if run.bits_part is not None), default=None
            ),
            numbers_part=min(
                (run.numbers_part for run in parted if run.numbers_part is not None), default=None
            ),
            largest=None if seed is None else apart[seed],
            largest_seed=seed,
            other=tuple(sorted({name for run in parted for name in run.other})),
            tests=tuple(self._tests(equal)) if tested else (),
        )

    def _differences(self, tolerance: float) -> dict[int, RunDifference]:
        """By seed, of the runs that are in both archives."""
        found = {}
        for one, seeds in self._one:
            for two, others in self._two:
                common = seeds.keys() & others.keys()
                if not common:
                    continue
                a, b = self._first.block(one), self._second.block(two)
                self.not_compared |= recorded(a) ^ recorded(b)
                for seed in sorted(common):
                    found[seed] = run_difference(a, seeds[seed], b, others[seed], tolerance)
        return found

    def _tests(self, equal: list[int]) -> list[MeanTest]:
        one, two = _finals(self._first, self._one), _finals(self._second, self._two)
        tests = [mean_test(m, one[m], two[m], equal) for m in _RESULTS if m in one and m in two]
        return [test for test in tests if test is not None]


def _kind(run: RunDifference) -> Verdict:
    if run.numbers_part is not None:
        return "different"
    return "bits" if run.bits_part is None else "numbers"


def _finals(
    sources: Sources, blocks: list[tuple[Source, dict[int, int]]]
) -> dict[str, dict[int, float]]:
    """Final values by metric and seed."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for source, seeds in blocks:
        columns = sources.finals(source).columns
        for name in filter(columns.__contains__, _RESULTS):
            found[name] |= {seed: float(columns[name][row]) for seed, row in seeds.items()}
    return found


def _settings(sources: Sources) -> dict[str, Any]:
    """Settings of the study by dotted key; merged archives, and early ones, record none."""
    return dict(json.loads(sources.header().provenance.get(SETTINGS, "{}")))


def _provenance(sources: Sources) -> dict[str, str]:
    facts = sources.header().provenance
    return {name: one_page(text, 200) for name, text in facts.items() if name not in _PASSING}


def _differing(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*one, *two])
    return {
        name: (one.get(name), two.get(name)) for name in names if one.get(name) != two.get(name)
    }


def _builds(sources: Sources) -> dict[str, int]:
    return dict(sources.made_by().get("build", {}))
