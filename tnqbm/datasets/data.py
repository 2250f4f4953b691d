"""Any data as rows of 0 and 1: :func:`read_data` and what it returns."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import ArchiveError, DataError
from tnqbm.base.text import short_repr
from tnqbm.datasets import readers
from tnqbm.datasets.bits import bits_of
from tnqbm.datasets.preparation import Preparation, preparation_of
from tnqbm.datasets.readers import memory
from tnqbm.datasets.readers.source import Source, file_digest, unchanged
from tnqbm.datasets.readers.table import Table

if TYPE_CHECKING:
    from tnqbm.datasets.targets import Target


@short_repr
@dataclass(frozen=True)
class Data:
    """Rows of bits, and where they come from.

    ``states`` (N, n) uint8; ``labels`` (N,) and ``weights`` (N,) stand aside, None if there are
    none; ``names`` (n,) are those of the columns, where the source has some. ``source`` is the path
    or what kind of object it was, ``file_digest`` the SHA-256 of the file ("" for objects),
    ``steps`` what was done to the values, in words.
    """

    states: NDArray[np.uint8]
    labels: NDArray[Any] | None = None
    weights: NDArray[np.float64] | None = None
    names: tuple[str, ...] | None = None
    source: str = ""
    file_digest: str = ""
    preparation: Preparation = field(default_factory=Preparation)
    steps: tuple[str, ...] = ()

    @property
    def n_visible(self) -> int:
        return int(self.states.shape[1])

    @property
    def digest(self) -> str:
        """The SHA-256 of the bits, and of the weights if there are some, whatever file they are
        from."""
        return rows_digest(self.states, self.weights)

    def target(self) -> Target:
        """The distribution of the rows: how often each occurs, or its share of the weights."""
        from tnqbm.datasets.targets import Target

        return Target.from_samples(self.states, weights=self.weights)

    def facts(self) -> dict[str, Any]:
        """Where the bits come from and what was done, as JSON can hold it."""
        return {
            "file": self.file_digest,
            "bits": self.digest,
            "rows": len(self.states),
            "visible": self.n_visible,
            "ones": float(self.states.mean()),
            "preparation": self.preparation.given(),
            "steps": list(self.steps),
        }


def read_data(source: Any, *, preparation: Preparation | None = None, **options: Any) -> Data:
    """Rows of bits from a file or from an object in memory.

    ``source`` is a path, "file.h5:train" for one array of several, or a NumPy array, a sparse
    matrix of SciPy, a pandas DataFrame, a tensor of PyTorch or a DataArray of xarray. The options
    are the fields of :class:`Preparation`, or one as a whole. Raises FileNotFoundError,
    :class:`DataError` (a ValueError) that says where a value is no bit and which option mends it,
    and TypeError for what is no data.
    """
    wanted = preparation_of(preparation, options)
    if not isinstance(source, str | os.PathLike):
        kind = memory.kind_of(source)
        with naming(kind):
            return _data(memory.table_from(source, wanted), wanted, kind)
    return _read_file(readers.source_of(os.fspath(source)), wanted, digest=True)


def read_rows(path: str | os.PathLike[str], preparation: Preparation) -> Data:
    """:func:`read_data` of a file, without the digest of its bytes."""
    return _read_file(readers.source_of(os.fspath(path)), preparation, digest=False)


def _read_file(source: Source, preparation: Preparation, *, digest: bool) -> Data:
    if not source.path.exists():
        raise FileNotFoundError(f"no data file {source.path}")
    with naming(str(source)), unchanged(source.path):
        table = readers.reader_of(source).read(source, preparation)
        found = file_digest(source.path) if digest else ""
    with naming(str(source)):
        return _data(table, preparation, str(source), found)


def _data(table: Table, preparation: Preparation, source: str, digest: str = "") -> Data:
    bits = bits_of(table, preparation)
    return Data(
        bits.states, bits.labels, bits.weights, table.names, source, digest, preparation, bits.steps
    )


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Put a file's name before what is said of it; other errors of reading become DataError."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{name}: {error}", error.options) from None
    except ArchiveError as error:  # names the file itself
        raise DataError(str(error)) from error
    except (ValueError, OSError, EOFError) as error:
        text = str(error)
        raise DataError(text if text.startswith(name) else f"{name}: {text}") from error


def rows_digest(rows: NDArray[np.uint8], weights: NDArray[np.float64] | None = None) -> str:
    """The SHA-256 of rows (N, n) of 0 and 1, "sha256:...", whatever file they came from.

    Equal rows in equal order, with equal weights (N,), have equal digests; the shape counts, too.
    """
    found = hashlib.sha256(f"{rows.shape[0]} {rows.shape[1]} ".encode())
    found.update(np.packbits(rows, axis=1).tobytes())
    if weights is not None:
        found.update(np.ascontiguousarray(weights, dtype="<f8").tobytes())
    return f"sha256:{found.hexdigest()}"
