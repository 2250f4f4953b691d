"""RBMs in HDF5 files: which program wrote one, and files of plain arrays.

All are read through :mod:`tnqbm.files.gate`. MATLAB and Julia store arrays by columns, so their
axes stand in reverse order in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tnqbm.base.errors import ArchiveError
from tnqbm.files import gate
from tnqbm.files.kinds import described
from tnqbm.files.storage import open_hdf5
from tnqbm.interop.models import julia_files, rbms_files
from tnqbm.interop.models.source import Choices, Source, by_name


def read(path: Path, choices: Choices) -> Source:
    """The RBM in an HDF5 file, whichever program wrote it.

    Raises ArchiveError if the file is damaged, or holds something of this package, and ValueError
    if there is no RBM of bits or spins in it, or it is not clear which.
    """
    with open_hdf5(path) as file:
        with gate.reading(str(path)):
            members = gate.members(file)
            ours = gate.has_attribute(file, "format")
            attributes = gate.attributes(file) if ours else {}
        if ours:
            raise ArchiveError(f"{path} is {described(attributes, members)}")
        if julia_files.MARK in members:
            return julia_files.read(path, file, choices)
        if any(name.startswith(rbms_files.UPDATE) for name in members):
            return rbms_files.read(path, file, members, choices)
        choices.refuse("update", path)
        return by_name("hdf5", str(path), _arrays(path, file), choices)


def read_by_columns(path: Path, choices: Choices, format: str) -> Source:
    """The RBM whose arrays a program wrote by columns: MATLAB 7.3, or Julia as JLD2.

    Only known names count, unless the caller says others: such files hold much else.
    """
    choices.refuse("update", path)
    with open_hdf5(path) as file:
        arrays = {name: array.T for name, array in _arrays(path, file).items()}
    rows = choices.with_rows("visible")
    return by_name(format, str(path), arrays, rows, by_shape=False)


def _arrays(path: Path, file: Any) -> dict[str, NDArray[Any]]:
    """Vectors and matrices at the top of a file."""
    with gate.reading(str(path)):
        return {
            name: gate.array(file, name)
            for name, shape in gate.shapes(file).items()
            if 0 < len(shape) <= 2
        }
