"""Text of variable length in HDF5 files, read without the HDF5 library.

Such text lies in a global heap, where the library can loop for ever if a byte is wrong. The format
is in the "HDF5 File Format Specification", version 3.0, under "Global Heap".
"""

from __future__ import annotations

import struct
from typing import Any

MAX_TEXT = 1 << 16
"""Most bytes of a text."""

_MAX_COLLECTION = 1 << 24


def variable_text(dataset: Any) -> bytes:
    """The bytes of a single text of variable length, given the h5py.h5d.DatasetID that holds it.

    Raises ValueError if it is not stored as h5py stores it, and what :func:`open` does.
    """
    import h5py

    file = h5py.h5i.get_file_id(dataset)
    created = file.get_create_plist()
    place = dataset.get_offset()
    if place is None or created.get_userblock() or created.get_sizes() != (8, 8):
        raise ValueError("its text is stored in an unusual way")
    with open(file.name, "rb") as handle:
        handle.seek(place)
        length, address, index = _read("<IQI", handle)
        handle.seek(min(address, file.get_filesize()))
        signature, _, size = _read("<4sB3xQ", handle)
        if signature != b"GCOL" or length > MAX_TEXT or not 16 <= size <= _MAX_COLLECTION:
            raise ValueError("its text is not where it should be")
        return _object(handle.read(size - 16), index)[:length]


def _read(layout: str, handle: Any) -> tuple[Any, ...]:
    size = struct.calcsize(layout)
    data = handle.read(size)
    if len(data) < size:
        raise ValueError("its text is not where it should be")
    return struct.unpack(layout, data)


def _object(collection: bytes, wanted: int) -> bytes:
    """The object of that index in a collection, without its head of 16 bytes."""
    start = 0
    while start + 16 <= len(collection):
        index, _, _, size = struct.unpack_from("<HHIQ", collection, start)
        if index == wanted and index:
            return collection[start + 16 : start + 16 + size]
        if not index:
            break
        start += 16 + -(-size // 8) * 8
    raise ValueError("its text is not where it should be")
