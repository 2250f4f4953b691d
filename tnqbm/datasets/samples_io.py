"""Files of binary samples: a user's own, and those that come with the package."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.datasets import readers
from tnqbm.datasets.bits import bits_of
from tnqbm.datasets.data import naming, read_rows, rows_digest
from tnqbm.datasets.preparation import Preparation, preparation_of
from tnqbm.datasets.readers import hdf5
from tnqbm.datasets.readers.source import unchanged

__all__ = ["SUFFIXES", "packaged_file", "read_samples", "rows_digest"]

SUFFIXES = readers.suffixes()
"""File name endings that :func:`read_samples` knows."""


@checked(path=arguments.path, weighted=arguments.flag)
def read_samples(
    path: str | Path,
    *,
    weighted: bool = False,
    preparation: Preparation | None = None,
    **options: Any,
) -> NDArray[np.uint8]:
    """Binary samples (N, n) from a file, the rows of :func:`tnqbm.datasets.read_data`.

    An HDF5 file whose rows carry importance weights (tnqbm's ``log_weights``) is refused unless
    ``weighted`` says that the caller sees to them. Raises FileNotFoundError, or DataError (a
    ValueError) naming the file, the first value that is not right, and the option that mends it.
    """
    wanted = preparation_of(preparation, options)
    source = readers.source_of(path)
    if weighted and source.path.exists() and readers.reader_of(source) is hdf5.READER:
        with naming(str(source)), unchanged(source.path):
            return bits_of(hdf5.read(source, wanted, weighted=True), wanted).states
    return read_rows(path, wanted).states


def packaged_file(name: str) -> Path:
    """Where a data file of this package lies: ``data/`` of a checkout, or ``share/tnqbm``.

    Raises FileNotFoundError that names the folders if it is in none of them.
    """
    folders = _data_folders(name)
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    tried = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(
        f"the data file {name} of tnqbm is in none of {tried}; install the package again, or, "
        f"in a checkout, make it with scripts/data/{Path(name).stem}.py"
    )


def _data_folders(name: str) -> list[Path]:
    import importlib.metadata

    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file():  # a checkout, installed or not
        return [root / "data"]
    folders = [root / "share" / "tnqbm"]  # pip install --target
    try:
        files = importlib.metadata.files("tnqbm") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    folders += [Path(str(f.locate())).resolve().parent for f in files if f.name == name]
    folders.append(Path(sysconfig.get_path("data")) / "share" / "tnqbm")
    return list(dict.fromkeys(folders))
