"""Writing samples to .h5, .npy and .csv files that :func:`tnqbm.datasets.read_samples` reads."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.atomic import atomic_write, check_target

SUFFIXES = (".h5", ".hdf5", ".npy", ".csv")

VERSION = 1
"""Version of the HDF5 layout."""

_TEXT_ROWS = 10_000
_CHUNK_BYTES = 1 << 20


def check_samples_path(path: str | Path, *, overwrite: bool = False) -> Path:
    """The path if samples can be written there; ValueError or OSError saying why not."""
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{target}: the name of a samples file must end in one of {', '.join(SUFFIXES)}, not "
            f"in {target.suffix or 'no suffix at all'}"
        )
    check_target(target, overwrite)
    return target


def write_samples(
    path: str | Path,
    samples: NDArray[np.uint8],
    attributes: Mapping[str, str | int | float],
    *,
    overwrite: bool = False,
) -> Path:
    """Write samples (chains, samples, n) as rows of 0 and 1; the file appears whole or not.

    Row c * samples + k is sample k of chain c, so ``states.reshape(chains, samples, n)`` gives
    the chains back. HDF5: a dataset ``states`` with ``attributes`` and the numbers ``chains`` and
    ``samples_per_chain``, compressed and with checksums. CSV: the attributes as comments above
    the rows. NumPy files have no room for attributes. Raises as :func:`check_samples_path` does.
    """
    target = check_samples_path(path, overwrite=overwrite)
    chains, kept, n = samples.shape
    rows = samples.reshape(chains * kept, n)
    facts = {**attributes, "chains": chains, "samples_per_chain": kept}
    suffix = target.suffix.lower()
    if suffix == ".npy":
        with atomic_write(target, overwrite=overwrite) as temporary, temporary.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
    elif suffix == ".csv":
        with (
            atomic_write(target, overwrite=overwrite) as temporary,
            temporary.open("w", encoding="utf-8", newline="\n") as file,
        ):
            for key, value in facts.items():
                file.write(f"# {key}: {' '.join(str(value).splitlines())}\n")
            for first in range(0, len(rows), _TEXT_ROWS):
                text = io.StringIO()
                np.savetxt(text, rows[first : first + _TEXT_ROWS], fmt="%d", delimiter=",")
                file.write(text.getvalue())
    else:
        _write_hdf5(target, rows, facts, overwrite)
    return target


def _write_hdf5(
    path: Path, rows: NDArray[np.uint8], facts: Mapping[str, str | int | float], overwrite: bool
) -> None:
    from tnqbm.content import set_attribute
    from tnqbm.storage import set_format, write_sealed

    def fill(root: Any) -> None:
        states = root.create_dataset(
            "states",
            data=rows,
            chunks=(min(len(rows), max(1, _CHUNK_BYTES // rows.shape[1])), rows.shape[1]),
            compression="gzip",
            compression_opts=4,
            fletcher32=True,
        )
        for axis, label in enumerate(("sample", "visible")):
            states.dims[axis].label = label
        for name, value in facts.items():
            set_attribute(root, name, value)
        set_format(root, "tnqbm-samples", VERSION, "samples")

    write_sealed(path, "tnqbm-samples", fill, overwrite=overwrite)


def attribute(value: Any) -> str | int | float:
    """A value as an attribute can hold it: other types as JSON."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        from mc.cli_common import plain

        return json.dumps(plain(value), sort_keys=True)
    return value
