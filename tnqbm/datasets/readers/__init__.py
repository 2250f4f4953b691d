"""Readers of data files, one for each format; start with :mod:`~tnqbm.datasets.readers.reader`.

A reader gives numbers as they stand in a file (:class:`~tnqbm.datasets.readers.table.Table`); what
they mean is the matter of :mod:`tnqbm.datasets.bits`. Other packages add formats by
:func:`register`, or as entry points ``tnqbm.readers``.
"""

from __future__ import annotations

import functools
from importlib.metadata import entry_points
from pathlib import PurePath

from tnqbm.base.errors import DataError
from tnqbm.base.process import check_beside
from tnqbm.datasets.readers import columns, hdf5, idx, npz, numpy_array, text
from tnqbm.datasets.readers.reader import Reader
from tnqbm.datasets.readers.source import Source, located
from tnqbm.datasets.readers.table import Table

__all__ = [
    "FOREIGN", "Reader", "Source", "Table", "is_file", "listed", "reader_of", "readers", "register",
    "source_of", "suffixes",
]  # fmt: skip

GROUP = "tnqbm.readers"
"""Entry points by which other packages offer a :class:`Reader`."""

_BUILT_IN = (
    text.READER,
    numpy_array.READER,
    npz.READER,
    idx.READER,
    hdf5.READER,
    columns.READER,
)
_REGISTERED: list[Reader] = []

FOREIGN = {
    ".mat": "in Python: numpy.save('rows.npy', scipy.io.loadmat(FILE)[NAME_OF_ARRAY])",
    ".xlsx": "save it as CSV (UTF-8) in the spreadsheet",
    ".xls": "save it as CSV (UTF-8) in the spreadsheet",
    ".ods": "save it as CSV (UTF-8) in the spreadsheet",
    ".pkl": "a pickle runs code where it is read; save the array by numpy.save instead",
    ".pickle": "a pickle runs code where it is read; save the array by numpy.save instead",
    ".pt": "in Python: numpy.save('rows.npy', torch.load(FILE, weights_only=True).numpy())",
    ".pth": "in Python: numpy.save('rows.npy', torch.load(FILE, weights_only=True).numpy())",
    ".zip": "unpack it first: unzip FILE",
    ".bz2": "unpack it first: bunzip2 -k FILE",
    ".xz": "unpack it first: unxz -k FILE",
    ".zst": "unpack it first: unzstd FILE",
    ".tar": "unpack it first: tar -xf FILE",
    ".json": "in Python: numpy.save('rows.npy', json.load(open(FILE)))",
    ".arff": "delete what stands above @DATA, and rename it to .csv",
}
"""Ends of names of files that are not read, and what makes one that is."""


def register(reader: Reader) -> None:
    """Make a format known; ValueError if one of its suffixes is taken."""
    taken = set(suffixes()).intersection(reader.ends())
    if taken:
        raise ValueError(f"{min(taken)} is read already")
    _REGISTERED.append(reader)


def readers() -> tuple[Reader, ...]:
    """All readers: of this package, registered ones, and those of installed packages."""
    return (*_BUILT_IN, *_REGISTERED, *_installed())


@functools.cache
def _installed() -> tuple[Reader, ...]:
    found = []
    for point in entry_points(group=GROUP):
        check_beside(point.module.partition(".")[0])
        reader = point.load()
        if not isinstance(reader, Reader):
            raise TypeError(f"{point.value}, an entry point {GROUP}, is no Reader")
        found.append(reader)
    return tuple(found)


def suffixes() -> tuple[str, ...]:
    """All ends of names of files that can be read."""
    return tuple(dict.fromkeys(end for reader in readers() for end in reader.ends()))


def listed() -> str:
    """The ends of names of files that can be read, for messages."""
    ends = [end for end in suffixes() if not end.endswith((".gz", "-ubyte"))]
    return f"{', '.join(ends)}, -idx3-ubyte; of text and IDX files also with .gz"


def source_of(path: str | PurePath) -> Source:
    """The file that a path means, and the array in it ("file.h5:train")."""
    return located(
        path, tuple(end for reader in readers() if reader.arrays for end in reader.ends())
    )


def is_file(name: str | PurePath) -> bool:
    """Whether a name is that of a data file, by how it ends."""
    return _known(source_of(name)) is not None


def _known(source: Source) -> Reader | None:
    name = source.path.name.lower()
    fitting = [
        (len(end), reader) for reader in readers() for end in reader.ends() if name.endswith(end)
    ]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def reader_of(source: Source) -> Reader:
    """What reads a file; DataError says what else can be done with it."""
    reader = _known(source)
    if reader is not None:
        return reader
    end = PurePath(source.name).suffix
    if end in FOREIGN:
        raise DataError(f"files {end} are not read: {FOREIGN[end]}")
    if source.gzipped and is_file(source.name):
        raise DataError(f"files {end} are not read while packed; unpack it first: gunzip -k FILE")
    raise DataError(
        "what kind of file this is does not show in its name; files are read whose names end in "
        f"{listed()}. If its lines are rows of numbers, rename it to .txt"
    )
