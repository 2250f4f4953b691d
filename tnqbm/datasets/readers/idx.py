"""IDX files, the format of MNIST: a type, the dimensions, and the values after them.

Four bytes (two zeros, the type of the values, the number of dimensions), each dimension as four
bytes, the first byte the most significant one, and the values, row by row. Images are rows here.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from tnqbm.base.errors import DataError
from tnqbm.datasets.preparation import Preparation
from tnqbm.datasets.readers.arrays import table_of
from tnqbm.datasets.readers.reader import Reader
from tnqbm.datasets.readers.source import Source
from tnqbm.datasets.readers.table import Table

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_ENDS = tuple(f"{mark}idx{k}-ubyte" for k in range(1, 5) for mark in "-.")


def read(source: Source, preparation: Preparation) -> Table:
    """The rows of an IDX file, images as rows; DataError where its head and its size disagree."""
    raw = source.read_bytes()
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES or not raw[3]:
        packed = "; it is packed: let its name end in .gz" if raw[:2] == b"\x1f\x8b" else ""
        raise DataError(
            f"it is no IDX file: it begins with {raw[:4].hex(' ') or 'nothing'}, and not with "
            f"00 00, a type and a number of dimensions (MNIST's images: 00 00 08 03){packed}"
        )
    kind, dimensions = np.dtype(_TYPES[raw[2]]), raw[3]
    start = 4 + 4 * dimensions
    if len(raw) < start:
        raise DataError("it ends inside its head; copy or download it again")
    shape = struct.unpack(f">{dimensions}I", raw[4:start])
    claimed = math.prod(shape) * kind.itemsize
    if claimed != len(raw) - start:
        raise DataError(
            f"its head claims the shape {shape}, {claimed:,} bytes, and {len(raw) - start:,} "
            "follow; copy or download it again"
        )
    if dimensions == 1:
        raise DataError(
            f"it holds {shape[0]} single values, such as labels, and no rows; the images are in "
            "another file (MNIST's: ...-images-idx3-ubyte)"
        )
    values = np.frombuffer(raw, kind, offset=start).reshape(shape)
    return table_of(values, preparation, images=True)


READER = Reader("idx", (".idx", *_ENDS), read, gzipped=True)
