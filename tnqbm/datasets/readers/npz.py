"""NumPy's .npz files, and sparse matrices that SciPy saved in them.

Headers are compared with the sizes of the file's members before an array is made, and no pickle is
read.
"""

from __future__ import annotations

import math
import zipfile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import DataError
from tnqbm.datasets.preparation import Preparation
from tnqbm.datasets.readers.arrays import pick, table_of
from tnqbm.datasets.readers.memory import dense
from tnqbm.datasets.readers.numpy_array import explained
from tnqbm.datasets.readers.reader import Reader
from tnqbm.datasets.readers.source import Source, check_room
from tnqbm.datasets.readers.table import Table

_MOST_SHRUNK = 1100
"""Deflate shrinks at most 1032-fold: a larger claim is not what was stored."""

_SLACK = 4096
_SPARSE = {"format", "shape", "data"}


class Header(NamedTuple):
    """What the beginning of an array says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read(source: Source, preparation: Preparation) -> Table:
    """The rows of an .npz file; DataError names its arrays where it is not clear which is meant."""
    try:
        with zipfile.ZipFile(source.path) as archive:
            return _read(archive, source, preparation)
    except zipfile.BadZipFile as error:
        raise DataError(f"it is no .npz file, or is damaged ({error})") from None
    except (NotImplementedError, RuntimeError) as error:  # packed or encrypted in another way
        raise DataError(f"it is packed in a way that is not read ({error})") from None


READER = Reader("npz", (".npz",), read, arrays=True)


def _read(archive: zipfile.ZipFile, source: Source, preparation: Preparation) -> Table:
    members = {
        info.filename.removesuffix(".npy"): info
        for info in archive.infolist()
        if info.filename.endswith(".npy")
    }
    headers = {name: _header(archive, info, name) for name, info in members.items()}
    if headers.keys() >= _SPARSE and not source.array:
        return table_of(_sparse(source, headers), preparation)
    numbers = {name: found.shape for name, found in headers.items() if found.dtype.kind != "O"}
    if headers and not numbers:
        raise DataError(explained(ValueError("Object arrays")))
    name = pick(numbers, source.array, preparation, str(source.path))
    beside = {}
    for wanted in (preparation.labels, preparation.weights):
        if isinstance(wanted, str) and wanted in numbers:
            beside[wanted] = _array(archive, members[wanted], wanted)
    return table_of(_array(archive, members[name], name), preparation, beside=beside, array=name)


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Header:
    """Shape and type of one array; DataError unless the file holds as many bytes as it claims."""
    with archive.open(info) as stream:
        try:
            major, _ = np.lib.format.read_magic(stream)
            reading = {
                1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0
            }  # fmt: skip
            if major not in reading:
                raise DataError(f"{name} is an array of records, not of numbers")
            shape, _, dtype = reading[major](stream)
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{name} is no array, or is damaged ({error})") from None
        begun = stream.tell()
    if dtype.kind != "O":
        claimed = math.prod(shape) * dtype.itemsize
        if claimed != info.file_size - begun:
            raise DataError(
                f"{name} claims the shape {shape} of {dtype}, {claimed:,} bytes, and the file "
                f"holds {max(0, info.file_size - begun):,} of it; write it again"
            )
        if claimed > _MOST_SHRUNK * info.compress_size + _SLACK:
            raise DataError(
                f"{name} claims {claimed:,} bytes, more than the {info.compress_size:,} packed "
                "ones can hold"
            )
    return Header(shape, dtype)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    check_room(info.file_size, f"the array {name}")
    with archive.open(info) as stream:
        try:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
        except ValueError as error:
            raise DataError(f"{name}: {explained(error)}") from None


def _sparse(source: Source, headers: dict[str, Header]) -> NDArray[Any]:
    """A matrix that scipy.sparse.save_npz wrote, as an array."""
    from scipy import sparse

    check_room(sum(math.prod(h.shape) * h.dtype.itemsize for h in headers.values()), "its arrays")
    try:
        matrix = sparse.load_npz(source.path)
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)  # indices outside the shape would be written to
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise DataError(f"its sparse matrix is damaged ({error})") from None
    return dense(matrix)
