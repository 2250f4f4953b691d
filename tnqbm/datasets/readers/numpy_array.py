"""NumPy's .npy files. A pickle inside one is never read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import DataError
from tnqbm.datasets.preparation import Preparation
from tnqbm.datasets.readers.arrays import table_of
from tnqbm.datasets.readers.reader import Reader
from tnqbm.datasets.readers.source import Source, check_room
from tnqbm.datasets.readers.table import Table


def read(source: Source, preparation: Preparation) -> Table:
    """The rows of a .npy file; DataError for a pickle, and where bytes are missing."""
    try:
        # A file that is shorter than its header says is found out before memory is taken.
        mapped: NDArray[Any] = np.load(source.path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise DataError(explained(error)) from None
    except EOFError:
        raise DataError("it is empty, or ends before the array does; write it again") from None
    if not isinstance(mapped, np.ndarray):
        raise DataError("it is an .npz file, of several arrays; rename it to .npz")
    check_room(mapped.nbytes, "its array")
    return table_of(np.array(mapped), preparation)


def explained(error: ValueError) -> str:
    """What NumPy says of a file that it does not read, in the words of this package."""
    text = str(error)
    if "pickle" in text or "Python objects" in text or "Object arrays" in text:
        return (
            "it holds Python objects (a pickle), which are never unpacked, for they may run any "
            "code; where you trust it, make an array of numbers: "
            "numpy.save(FILE, numpy.array(array.tolist(), dtype=numpy.uint8))"
        )
    if "mmap length" in text:
        return "it ends before the array that its header claims does; copy or write it again"
    return f"it is no .npy file, or is damaged ({text.splitlines()[0] if text else 'no message'})"


READER = Reader("npy", (".npy",), read)
