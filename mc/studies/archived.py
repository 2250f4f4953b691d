"""The data that an archive's runs were trained on, found again from what the archive holds."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mc.studies.identity import SETTINGS, file_digest
from mc.studies.sections import DataSection, Parts
from mc.studies.study import is_data_file, load_data, own_seed
from tnqbm.datasets import readers

if TYPE_CHECKING:
    from mc.studies.seeds import Coordinate
    from tnqbm.archive import Archive
    from tnqbm.datasets import Target

MAX_SEARCHED = 1 << 30
"""Largest file in bytes that is read to see whether it is the one looked for."""

_ASK = "say which data to compare with: --data NAME|FILE"


def data_split(archive: Archive) -> tuple[Parts, int]:
    """How the study that made an archive divides its data, and its seed.

    The study is read, not checked: data files that it names may be gone by now. ValueError if the
    archive was merged from different studies.
    """
    try:
        study = tomllib.loads(archive.study_text)
    except tomllib.TOMLDecodeError:
        raise ValueError(
            f"{archive.path} joins different studies, and does not say which of them a run belongs "
            f"to; {_ASK}"
        ) from None
    return DataSection.model_validate(study.get("data", {})).parts, study.get("seed", 0)


def run_target(archive: Archive, coordinates: Mapping[str, Coordinate]) -> Target:
    """What a run (its seed among its coordinates) was trained on; data files are found again.

    Raises what :func:`find_data_file` raises, and ValueError for an archive of several studies.
    """
    parts, root = data_split(archive)
    data, seed = str(coordinates["data"]), int(coordinates["seed"])
    source = str(find_data_file(archive, data)) if is_data_file(data) else data
    parts = parts._replace(test_file=None, valid_file=None)  # not needed, and may be gone
    return load_data(source, int(coordinates["visible"]), root, own_seed(data, seed), parts)[0]


def find_data_file(archive: Archive, data: str, key: str | None = None) -> Path:
    """Where the data file lies that a study called ``data``: the one with the digest it had.

    The name of an array in it stays behind its path. ``key`` is the study's key for a file of
    held-out rows, "valid" or "test". Looked for by its name and then by its content, in the
    archive's folder and in the current one. Raises FileNotFoundError if it is in neither,
    ValueError if it has changed or the archive does not hold its digest.
    """
    source = readers.source_of(data)
    found = _find(archive, str(source.path), f"data.{key or data}")
    return Path(f"{found}:{source.array}") if source.array else found


def _find(archive: Archive, data: str, key: str) -> Path:
    digest = json.loads(archive.provenance.get(SETTINGS, "{}")).get(key)
    if digest is None:
        raise ValueError(
            f"{archive.path} does not hold the digest of the data file {data} (merged archives do "
            f"not); {_ASK}"
        )
    folders = list(dict.fromkeys([archive.path.resolve().parent, Path.cwd()]))
    names = dict.fromkeys([data, Path(data).name])
    named = [folder / name for folder in folders for name in names]
    present = [path for path in named if path.is_file()]
    others = [
        path
        for folder in folders
        for path in sorted(folder.glob("*" + Path(data).suffix))
        if path.is_file() and path.stat().st_size <= MAX_SEARCHED
    ]
    for path in [*present, *others]:
        if file_digest(path) == digest:
            return path
    if present:
        raise ValueError(
            f"{present[0]} is not the data file that the run was trained on: its SHA-256 differs "
            f"from the one in {archive.path}. Bring the file of that time back, or name the data "
            "to compare with: --data FILE"
        )
    raise FileNotFoundError(
        f"the run was trained on the file {data}, which is not in "
        f"{' or '.join(map(str, folders))}; say where it is: --data FILE"
    )
