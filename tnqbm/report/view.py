"""An archive as a report reads it: what is damaged left out, tables read once, some runs chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tnqbm.archive import Archive, Run
from tnqbm.archive.blocks import Coordinates
from tnqbm.archive.made_by import made_by
from tnqbm.archive.summaries import Where, check_where, matches
from tnqbm.archive.trust import with_bounds


class View(Archive):
    """An archive for reading only: damaged blocks are left out always, and ``where`` chooses runs.

    :meth:`table` is read once, as nearly every number and figure of a report starts from it.
    Everything that takes an archive takes a view. Errors as for :class:`tnqbm.Archive`.
    """

    def __init__(self, path: str | Path, where: Where | None = None) -> None:
        super().__init__(path)
        self._select = where
        self._table: list[dict[str, Any]] | None = None

    def coordinates(self) -> list[Coordinates]:
        """Coordinates of all planned or finished groups, chosen or not."""
        return list(self._sources.coordinates().values())

    def table(self, *, skip_damaged: bool = True) -> list[dict[str, Any]]:
        """:meth:`Archive.table` of the runs chosen, with the bounds of
        :mod:`tnqbm.archive.trust`."""
        if self._table is None:
            rows = super().table(skip_damaged=True)
            chosen = [row for row in rows if matches(self._select, row)]
            self._table = with_bounds(chosen, self.runs())
        return self._table

    def runs(self, *, skip_damaged: bool = True) -> Iterator[Run]:
        """:meth:`Archive.runs` of the runs chosen."""
        for run in super().runs(skip_damaged=True):
            if matches(self._select, run.coordinates):
                yield run

    def groups(self, *, skip_damaged: bool = True) -> list[dict[str, Any]]:
        """:meth:`Archive.groups` of the groups chosen; their statistics are over all seeds."""
        where = self._but_seeds()
        return [row for row in super().groups(skip_damaged=True) if matches(where, row)]

    def estimators(self, *, skip_damaged: bool = True) -> list[dict[str, Any]]:
        """:meth:`Archive.estimators` of the runs chosen."""
        found = super().estimators(skip_damaged=True)
        return [row for row in found if matches(self._select, row)]

    def planned_seeds(self) -> list[tuple[Coordinates, set[int], set[int]]]:
        """Coordinates, planned seeds and finished seeds of every group chosen."""
        finished, planned = self._sources.tally()
        coordinates, where = self._sources.coordinates(), self._but_seeds()
        return [
            (coordinates[key], self._chosen(seeds), self._chosen(finished.get(key, set())))
            for key, seeds in planned.items()
            if key in coordinates and matches(where, coordinates[key])
        ]

    def most_records(self) -> int:
        """The largest number of records that a run kept; 0 if no run has finished."""
        where = self._but_seeds()
        usable = self._sources.usable(True, lambda source: self._sources.arrays(source, ()))
        counts = [
            int(arrays["n_records"].max())
            for source, arrays in usable
            if source.rows and matches(where, source.entry.coordinates)
        ]
        return max(counts, default=0)

    def block_facts(self) -> dict[str, Counter[str]]:
        """:func:`tnqbm.archive.made_by.made_by` of the archive."""
        return made_by(self.path)

    def _but_seeds(self) -> Where:
        return {key: value for key, value in (self._select or {}).items() if key != "seed"}

    def _chosen(self, seeds: set[int]) -> set[int]:
        if "seed" not in (self._select or {}):
            return seeds
        only = {"seed": (self._select or {})["seed"]}
        return {seed for seed in seeds if matches(only, {"seed": seed})}


def archive_paths(archives: Any) -> list[Path]:
    """The paths of an archive or several, each a path or an open archive."""
    single = isinstance(archives, str | Path | Archive) or not isinstance(archives, Sequence)
    listed = [archives] if single else list(archives)
    return [Path(one.path if isinstance(one, Archive) else one) for one in listed]


@contextmanager
def views(archives: Any, where: Where | None = None) -> Iterator[list[View]]:
    """Views of an archive or several, each a path or an open :class:`tnqbm.Archive`; then closed.

    Raises ValueError if there is none, one is given twice, or no run is among those selected, and
    what opening them raises.
    """
    paths = archive_paths(archives)
    if not paths:
        raise ValueError("no archive given")
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise ValueError(f"{path} is given twice")
        seen.add(path.resolve())
    with ExitStack() as stack:
        found = []
        for path in paths:
            found.append(View(path, where))
            stack.callback(found[-1].close)
        check_where(where, [one for view in found for one in view.coordinates()])
        yield found
