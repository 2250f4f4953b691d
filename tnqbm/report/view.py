"""An archive as a report reads it: what is damaged left out, tables read once, some runs chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tnqbm.archive import Archive, Run
from tnqbm.archive.coordinates import Coordinates
from tnqbm.archive.finals import RECORDS
from tnqbm.archive.rows import (
    GroupSeeds,
    RunRow,
    Where,
    check_where,
    chosen,
    matches,
    without_seed,
)
from tnqbm.archive.trust import with_bounds


class View(Archive):
    """An archive for reading only: damaged blocks are left out always, and ``where`` chooses runs.

    :meth:`rows` are read once, as nearly every number and figure of a report starts from them.
    Everything that takes an archive takes a view. Errors as for :class:`tnqbm.Archive`.
    """

    def __init__(self, path: str | Path, where: Where | None = None) -> None:
        super().__init__(path)
        self._where = where
        self._rows: list[RunRow] | None = None

    def coordinates(self) -> list[Coordinates]:
        """Coordinates of all planned or finished groups, chosen or not."""
        return list(self._sources.coordinates().values())

    def rows(self, *, skip_damaged: bool = True) -> list[RunRow]:
        """:meth:`Archive.rows` of the runs chosen, with :func:`tnqbm.archive.trust.with_bounds`."""
        if self._rows is None:
            rows = super().rows(skip_damaged=True)
            self._rows = with_bounds(chosen(rows, self._where), self.runs())
        return self._rows

    def runs(self, *, skip_damaged: bool = True) -> Iterator[Run]:
        """:meth:`Archive.runs` of the runs chosen."""
        for run in super().runs(skip_damaged=True):
            if matches(self._where, run.coordinates):
                yield run

    def seeds(self) -> list[GroupSeeds]:
        """:meth:`Archive.seeds` of the groups and seeds chosen."""
        where = without_seed(self._where)
        return [
            GroupSeeds(group.coordinates, self._chosen(group.planned), self._chosen(group.finished))
            for group in super().seeds()
            if matches(where, group.coordinates)
        ]

    def most_records(self) -> int:
        """The largest number of records that a run kept; 0 if no run has finished."""
        where = without_seed(self._where)
        counts = [
            int(finals.columns[RECORDS].max())
            for source, finals in self._sources.usable(True, self._sources.finals)
            if source.rows and matches(where, source.entry.coordinates)
        ]
        return max(counts, default=0)

    def _chosen(self, seeds: Set[int]) -> Set[int]:
        if "seed" not in (self._where or {}):
            return seeds
        only = {"seed": (self._where or {})["seed"]}
        return {seed for seed in seeds if matches(only, {"seed": seed})}


def archive_paths(archives: Any) -> list[Path]:
    """The paths of an archive or several, each a path or an open archive."""
    single = isinstance(archives, str | Path | Archive) or not isinstance(archives, Sequence)
    listed = [archives] if single else list(archives)
    return [Path(a.path if isinstance(a, Archive) else a) for a in listed]


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
        opened = [stack.enter_context(View(path, where)) for path in paths]
        check_where(where, [c for view in opened for c in view.coordinates()])
        yield opened
