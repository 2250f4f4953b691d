"""What a reader of a file format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tnqbm.datasets.preparation import Preparation
from tnqbm.datasets.readers.source import Source
from tnqbm.datasets.readers.table import Table


@dataclass(frozen=True)
class Reader:
    """A format of data files: its name, the ends of its files' names, and what reads one.

    ``suffixes`` in small letters; ``gzipped`` says that the same with .gz at the end is read, too
    (the source then gives unpacked bytes). ``arrays`` says that a file may hold several arrays, of
    which "file:name" names one. ``read`` gives a :class:`Table`, or raises
    :class:`tnqbm.base.errors.DataError` without the file's name, which is put before it.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Source, Preparation], Table]
    gzipped: bool = False
    arrays: bool = False

    def ends(self) -> tuple[str, ...]:
        """All ends of names that this reader knows."""
        packed = tuple(f"{suffix}.gz" for suffix in self.suffixes) if self.gzipped else ()
        return self.suffixes + packed
