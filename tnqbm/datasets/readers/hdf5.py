"""HDF5 files: tnqbm's own samples, those of other programs, and any with an array of rows.

"file.h5:train" and "file.h5:/data/samples" name an array. A file of the package ``rbms`` has its
rows in ``samples`` (earlier versions: ``train`` and ``test``), beside ``labels`` and the text
``variable_type``; nothing is concluded from that text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.base.errors import DataError
from tnqbm.datasets.preparation import Preparation
from tnqbm.datasets.readers.arrays import Shape, pick, table_of
from tnqbm.datasets.readers.reader import Reader
from tnqbm.datasets.readers.source import Source
from tnqbm.datasets.readers.table import Table
from tnqbm.files import gate
from tnqbm.files.storage import open_hdf5

MAX_ARRAYS = 1000
"""Most arrays, and most groups, of a file that are looked at."""

_OWN = "states"
_LOG_WEIGHTS = "log_weights"


def read(source: Source, preparation: Preparation, *, weighted: bool = False) -> Table:
    """The rows of an HDF5 file.

    ``weighted`` lets rows with importance weights (tnqbm's ``log_weights``) pass as rows; else they
    are read only by ``weights = "log_weights"``, or are an error.
    """
    with open_hdf5(source.path) as file:
        with gate.reading(str(source.path)):
            shapes = _shapes(file)
            own = not source.array and gate.has(file, _OWN)
        name = _OWN if own else pick(shapes, source.array, preparation, str(source.path))
        with gate.reading(str(source.path)):
            values = _array(file, name)
            beside = {}
            for wanted in (preparation.labels, preparation.weights):
                if isinstance(wanted, str) and wanted.strip("/") in shapes:
                    beside[wanted] = _array(file, wanted.strip("/"))
    own_weights = name == _OWN and _LOG_WEIGHTS in shapes
    if own_weights and not weighted and preparation.weights != _LOG_WEIGHTS:
        raise DataError(
            "the rows carry importance weights (log_weights), so they do not count alike; "
            "draw an equally weighted subset instead (tnqbm sample --resample), or read them with "
            'weights = "log_weights"',
            [{"weights": _LOG_WEIGHTS}],
        )
    if own_weights and preparation.weights == _LOG_WEIGHTS:
        logs = beside[_LOG_WEIGHTS]
        beside[_LOG_WEIGHTS] = np.exp(logs - logs.max())
    return table_of(values, preparation, beside=beside, array=name)


def _shapes(file: Any) -> dict[str, Shape]:
    """Shapes of all plain arrays of numbers or text, those in groups by their path."""
    found: dict[str, Shape] = {}
    groups = [("", file, 0)]
    looked_at = 0
    while groups and len(found) <= MAX_ARRAYS and looked_at <= MAX_ARRAYS:  # circles end there
        prefix, group, depth = groups.pop(0)
        looked_at += 1
        found |= {prefix + name: shape for name, shape in gate.shapes(group).items()}
        for name in gate.members(group):
            if prefix + name in found or depth >= gate.MAX_DEPTH:
                continue
            try:
                groups.append((f"{prefix}{name}/", gate.subgroup(group, name), depth + 1))
            except gate.NotPlainError:
                continue  # a link elsewhere, or text of variable length
    return found


def _array(file: Any, path: str) -> NDArray[Any]:
    *groups, name = path.split("/")
    for group in groups:
        file = gate.subgroup(file, group)
    return gate.array(file, name)


READER = Reader("hdf5", (".h5", ".hdf5", ".hdf"), read, arrays=True)
