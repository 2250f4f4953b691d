"""Files of samples (.h5, .npy, .csv): :func:`tnqbm.datasets.read_samples` reads their rows."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tnqbm.files import gate
from tnqbm.files.atomic import atomic_write
from tnqbm.files.content import set_attribute
from tnqbm.files.outputs import SAMPLES, check_output
from tnqbm.files.scales import write_labels, write_scales
from tnqbm.files.storage import open_hdf5, set_format, write_sealed

WEIGHTED = (".h5", ".hdf5")
"""Endings of files with room for weights."""

VERSION = 1
"""Version of the HDF5 layout."""

_TEXT_ROWS = 10_000
_CHUNK_BYTES = 1 << 20


def check_samples_path(
    path: str | Path,
    *,
    overwrite: bool = False,
    weighted: bool = False,
    inputs: Iterable[str | Path] = (),
) -> Path:
    """The path if samples can be written there; ValueError or OSError saying why not.

    ``weighted`` samples need a file with room for their weights; ``inputs`` are files that are
    read. The rule is that of :func:`tnqbm.files.outputs.check_output`.
    """
    target = check_output(path, SAMPLES, overwrite=overwrite, inputs=inputs)
    if weighted and target.suffix.lower() not in WEIGHTED:
        raise ValueError(
            f"{target}: the samples come with weights, for which only an HDF5 file has room: write "
            "them to one (.h5), or resample them, so that all count alike (--resample)"
        )
    return target


def write_samples(
    path: str | Path,
    samples: NDArray[np.uint8],
    attributes: Mapping[str, str | int | float],
    *,
    log_weights: NDArray[np.float64] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write samples (chains, samples, n) as rows of 0 and 1; the file appears whole or not.

    Row c * samples + k is sample k of chain c, so ``states.reshape(chains, samples, n)`` gives
    the chains back. HDF5: a dataset ``states`` with ``attributes`` and the numbers ``chains`` and
    ``samples_per_chain``, compressed and with checksums; ``chain`` and ``draw`` (rows,) say where
    each row comes from, counted from 0; ``log_weights`` (rows,), the logarithms of importance
    weights, are a dataset of that name; dimension scales name the axes for xarray and netCDF. CSV:
    the attributes as comments above the rows. NumPy files have no room for attributes. Raises as
    :func:`check_samples_path` does, and ValueError if there are not as many weights as rows.
    """
    weighted = log_weights is not None
    target = check_samples_path(path, overwrite=overwrite, weighted=weighted)
    chains, kept, n = samples.shape
    if log_weights is not None and log_weights.shape != (chains * kept,):
        raise ValueError(
            f"log_weights must have shape ({chains * kept},), one per row, got {log_weights.shape}"
        )
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
        _write_hdf5(target, rows, log_weights, facts, overwrite)
    return target


def _write_hdf5(
    path: Path,
    rows: NDArray[np.uint8],
    log_weights: NDArray[np.float64] | None,
    facts: Mapping[str, str | int | float],
    overwrite: bool,
) -> None:
    packed = {"compression": "gzip", "compression_opts": 4, "fletcher32": True}
    chunk = min(len(rows), max(1, _CHUNK_BYTES // rows.shape[1]))
    chain, draw = np.divmod(np.arange(len(rows), dtype=np.int32), facts["samples_per_chain"])

    def fill(root: Any) -> None:
        datasets = {
            "states": root.create_dataset(
                "states", data=rows, chunks=(chunk, rows.shape[1]), **packed
            ),
            "chain": root.create_dataset("chain", data=chain, shuffle=True, **packed),
            "draw": root.create_dataset("draw", data=draw, shuffle=True, **packed),
        }
        if log_weights is not None:
            datasets["log_weights"] = root.create_dataset(
                "log_weights", data=log_weights, fletcher32=True
            )
        dims = dict.fromkeys(datasets, ("sample",)) | {"states": ("sample", "visible")}
        write_labels(datasets, dims)
        write_scales(root, datasets, dims, {"sample": ("chain", "draw")})
        for name, value in facts.items():
            set_attribute(root, name, value)
        set_format(root, "tnqbm-samples", VERSION, "samples")

    write_sealed(path, "tnqbm-samples", fill, overwrite=overwrite)


def chains_of(path: str | Path) -> int | None:
    """Number of chains that a file of :func:`write_samples` names; None if it names none.

    Raises ArchiveError if an HDF5 file cannot be read, or names another thing than a number.
    """
    path = Path(path)
    if path.suffix.lower() in WEIGHTED:
        return _chains_of_hdf5(path)
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8") as source:
            for line in source:
                if not line.startswith("#"):
                    break
                key, _, value = line[1:].partition(":")
                if key.strip() == "chains" and value.strip().isdecimal():
                    return int(value)
    return None


def _chains_of_hdf5(path: Path) -> int | None:
    with open_hdf5(path) as file, gate.reading(str(path)):
        if not gate.has_attribute(file, "chains"):
            return None
        chains = gate.attribute(file, "chains")
        if not isinstance(chains, int) or chains < 1:
            raise ValueError(f"its number of chains is {chains!r}")
        return chains
