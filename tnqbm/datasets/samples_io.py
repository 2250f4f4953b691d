"""Files of binary samples: a user's own, and those that come with the package."""

from __future__ import annotations

import hashlib
import sysconfig
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.base.errors import ArchiveError
from tnqbm.files import gate
from tnqbm.files.kinds import check_regular
from tnqbm.files.storage import open_hdf5

SUFFIXES = (".h5", ".hdf5", ".npy", ".csv")
"""File name endings that :func:`read_samples` knows."""


@checked(path=arguments.path)
def read_samples(path: str | Path, *, weighted: bool = False) -> NDArray[np.uint8]:
    """Binary samples (N, n) from a .h5, .npy or .csv file of 0/1 rows.

    An HDF5 file must hold a dataset ``states``, or exactly one two-dimensional dataset. A file
    whose rows carry importance weights (a dataset ``log_weights``) is refused unless ``weighted``
    says that the caller sees to them. Raises FileNotFoundError, or ValueError naming the file and
    the first row that is not right.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no data file {path}")
    check_regular(path)
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            rows = np.asarray(np.load(path, allow_pickle=False))
        else:
            rows = _read_csv(path) if suffix == ".csv" else _read_hdf5(path, weighted)
        if rows.ndim != 2 or rows.size == 0:
            raise ValueError(f"expected rows of 0 and 1, got an array of shape {rows.shape}")
        if rows.dtype.kind not in "biuf":
            raise ValueError(f"expected numbers 0 and 1, got dtype {rows.dtype}")
        bad = np.argwhere(~((rows == 0) | (rows == 1)))
        if bad.size:
            i, k = (int(x) for x in bad[0])
            raise ValueError(f"row {i + 1}, column {k + 1} is {rows[i, k]}; only 0 and 1 may occur")
    except ArchiveError as error:  # names the file itself
        raise ValueError(str(error)) from error
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error
    return rows.astype(np.uint8)


def rows_digest(rows: NDArray[np.uint8]) -> str:
    """The SHA-256 of rows (N, n) of 0 and 1, "sha256:...", whatever file they came from.

    Equal rows in equal order have equal digests; the shape counts, too.
    """
    found = hashlib.sha256(f"{rows.shape[0]} {rows.shape[1]} ".encode())
    found.update(np.packbits(rows, axis=1).tobytes())
    return f"sha256:{found.hexdigest()}"


def _read_csv(path: Path) -> NDArray[np.generic]:
    rows: list[list[float]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        try:
            row = [float(field) for field in text.replace(";", ",").split(",")]
        except ValueError:
            raise ValueError(f"line {number} is not a row of numbers: {line[:60]!r}") from None
        if rows and len(row) != len(rows[0]):
            raise ValueError(
                f"line {number} has {len(row)} entries, the first row has {len(rows[0])}"
            )
        rows.append(row)
    return np.array(rows, dtype=np.float64)


def _read_hdf5(path: Path, weighted: bool) -> NDArray[np.generic]:
    with open_hdf5(path) as file:
        with gate.reading(str(path)):
            names, shapes = gate.members(file), gate.shapes(file)
        if "log_weights" in names and not weighted:
            raise ValueError(
                "the rows carry importance weights (log_weights), so they do not count alike; "
                "draw an equally weighted subset instead (tnqbm sample --resample)"
            )
        found = [name for name, shape in shapes.items() if len(shape) == 2]
        if "states" in names:
            found = ["states"]
        if len(found) != 1:
            raise ValueError(
                "expected a dataset 'states' or exactly one two-dimensional dataset, found "
                + (", ".join(names) or "nothing")
            )
        with gate.reading(str(path)):
            return gate.array(file, found[0])


def packaged_file(name: str) -> Path:
    """Where a data file of this package lies: ``data/`` of a checkout, or ``share/tnqbm``.

    Raises FileNotFoundError that names the folders if it is in none of them.
    """
    folders = _data_folders(name)
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    tried = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(
        f"the data file {name} of tnqbm is in none of {tried}; install the package again, or, "
        f"in a checkout, make it with scripts/data/{Path(name).stem}.py"
    )


def _data_folders(name: str) -> list[Path]:
    import importlib.metadata

    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file():  # a checkout, installed or not
        return [root / "data"]
    folders = [root / "share" / "tnqbm"]  # pip install --target
    try:
        files = importlib.metadata.files("tnqbm") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    folders += [Path(str(f.locate())).resolve().parent for f in files if f.name == name]
    folders.append(Path(sysconfig.get_path("data")) / "share" / "tnqbm")
    return list(dict.fromkeys(folders))
