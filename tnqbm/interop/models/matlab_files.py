"""Matrices of numbers in MATLAB files: version 7.3, which is HDF5, versions 5 to 7.2, and 4.

Versions 5 to 7.2 are read here and not by SciPy, whose compiled reader ends the process where some
bytes of a file are wrong. The format is MathWorks' "MAT-File Level 5": elements with a tag of type
and size, of which one that is compressed holds another.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.limits import check_memory
from tnqbm.interop.models import hdf5_files
from tnqbm.interop.models.source import Choices, Source, by_name

_HEADER = 128
_ENDIAN = {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
"""Types of elements that hold numbers."""

_NUMERIC_CLASSES = range(6, 16)
"""Classes of matrices of numbers: double, single, and whole numbers of 8 to 64 bits."""

_COMPLEX = 0x0800
_CURE = "free some, or save the three arrays alone"


class DamagedError(ValueError):
    """The bytes of a file are not as the format says."""


class Element(NamedTuple):
    """A part of a file: its type, and its bytes."""

    kind: int
    data: memoryview


def read(path: Path, choices: Choices) -> Source:
    """The RBM in a MATLAB file: vishid, visbiases and hidbiases, or as ``choices`` names them.

    Other variables, and what is no matrix of real numbers, are left aside. Raises ValueError for a
    file that is none or is damaged, ArchiveError for a damaged one of version 7.3, and as
    :func:`tnqbm.interop.models.named.find`.
    """
    content = path.read_bytes()
    if b"MATLAB 7.3" in content[:_HEADER]:
        return hdf5_files.read_by_columns(path, choices, "matlab")
    choices.refuse("update", path)
    try:
        level_4 = 0 in content[:4]
        arrays = _level_4(path) if level_4 else dict(matrices(content))
    except MemoryError:
        raise
    except Exception as error:  # of level 4, SciPy raises nearly any type for a damaged file
        raise ValueError(f"{path} cannot be read as a MATLAB file: {error}") from None
    return by_name("matlab", str(path), arrays, choices.with_rows("visible"), by_shape=False)


def _level_4(path: Path) -> dict[str, NDArray[Any]]:
    from scipy import io

    size = sum(8 * math.prod(shape) for _, shape, _ in io.whosmat(path))
    check_memory(size, f"the matrices of {path}", _CURE)
    loaded = {name: np.asarray(value) for name, value in io.loadmat(path).items()}
    return {name: value for name, value in loaded.items() if value.dtype.kind in "iuf"}


def matrices(content: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    """Names and values of the full matrices of real numbers in a file of level 5.

    Raises DamagedError, a ValueError, for bytes that are not as the format says.
    """
    order = _ENDIAN.get(content[126:128])
    if order is None or len(content) < _HEADER:
        raise DamagedError("it has no header of MATLAB")
    for element in _elements(memoryview(content)[_HEADER:], order):
        kind, data = element
        if kind == _COMPRESSED:
            (kind, data), *_ = _elements(memoryview(_unpacked(data)), order)
        if kind == _MATRIX:
            found = _matrix(list(_elements(data, order)), order)
            if found is not None:
                yield found


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    """The elements that stand one after another; small ones have their bytes in the tag."""
    start = 0
    while start < len(data):
        if len(data) - start < 8:
            raise DamagedError("it ends inside a tag")
        first, size = (int(k) for k in np.frombuffer(data[start : start + 8], f"{order}u4"))
        kind, small = first & 0xFFFF, first >> 16
        begin, length = (start + 4, small) if small else (start + 8, size)
        if (small > 4) or begin + length > len(data):
            raise DamagedError("it ends before its last element does")
        yield Element(kind, data[begin : begin + length])
        if small:
            start += 8
        else:
            padding = 0 if kind == _COMPRESSED else -length % 8
            start = begin + length + padding


def _unpacked(data: memoryview) -> bytes:
    """A compressed element; what would be longer than 4 GiB is cut off there."""
    try:
        return zlib.decompressobj().decompress(data, 1 << 32)
    except zlib.error as error:
        raise DamagedError(f"a compressed element cannot be unpacked: {error}") from None


def _matrix(parts: list[Element], order: str) -> tuple[str, NDArray[Any]] | None:
    """Name and value of a matrix; None for text, cells, sparse and complex ones, and others."""
    if len(parts) < 3:
        raise DamagedError("a matrix has no flags, dimensions and name")
    flags = _numbers(parts[0], order)
    shape = tuple(int(k) for k in _numbers(parts[1], order))
    if not flags.size or min(shape, default=-1) < 0:
        raise DamagedError("a matrix has no flags or no dimensions")
    kind = int(flags[0]) & 0xFF
    if kind not in _NUMERIC_CLASSES or int(flags[0]) & _COMPLEX or len(shape) != 2:
        return None
    if len(parts) < 4:
        raise DamagedError("a matrix has no values")
    values = _numbers(parts[3], order)
    if values.size != math.prod(shape):
        raise DamagedError(f"a matrix of shape {shape} has {values.size} values")
    name = bytes(parts[2].data).decode("ascii", "replace")
    return name, values.astype(values.dtype.newbyteorder("=")).reshape(shape, order="F")


def _numbers(element: Element, order: str) -> NDArray[Any]:
    dtype = _NUMBERS.get(element.kind)
    if dtype is None:
        raise DamagedError(f"an element is of type {element.kind}, where numbers are expected")
    if len(element.data) % np.dtype(dtype).itemsize:
        raise DamagedError("an element ends inside a number")
    return np.frombuffer(element.data, f"{order}{dtype}")
