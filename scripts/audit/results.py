"""The file of an audit: one JSON line for each cell, replaced as a whole when a cell is done.

The first line says what wrote the file; the others are {"cell": coordinates, "result": ...}. A kill
at any instant leaves the file as it was after the last finished cell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tnqbm.base.errors import ArchiveError
from tnqbm.files.atomic import atomic_write
from tnqbm.files.kinds import irregular

FORMAT = "tnqbm-audit"
VERSION = 1


def key(cell: dict[str, Any]) -> str:
    """The one spelling of a cell's coordinates."""
    return json.dumps(cell, sort_keys=True)


class AuditFile:
    """Results of cells by their coordinates; an absent file is an empty one.

    Raises ArchiveError if the file is no audit, damaged, or newer than this version, and OSError
    where it cannot be read or written.
    """

    def __init__(self, path: str | Path, *, seed: int) -> None:
        self.path = Path(path)
        self.header = {"format": FORMAT, "version": VERSION, "seed": seed, **_software()}
        self._results: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        if self.path.exists():
            self.header, rows = _read(self.path)
            if self.header.get("seed") != seed:
                raise ArchiveError(
                    f"{self.path} was computed with seed {self.header.get('seed')!r}, this version "
                    f"has {seed}; give another file"
                )
            self._results = {key(cell): (cell, result) for cell, result in rows}

    def __contains__(self, cell: dict[str, Any]) -> bool:
        return key(cell) in self._results

    def __len__(self) -> int:
        return len(self._results)

    def add(self, cell: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep a result, on disk before this returns."""
        self._results[key(cell)] = (cell, result)
        with atomic_write(self.path) as temporary, temporary.open("w", encoding="utf-8") as handle:
            handle.write(json.dumps(self.header) + "\n")
            for one, found in self._results.values():
                handle.write(json.dumps({"cell": one, "result": found}) + "\n")

    def rows(self, kind: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Coordinates and results of the cells of a kind, in the order they were computed."""
        for cell, result in self._results.values():
            if cell.get("kind") == kind:
                yield cell, result


def load(path: str | Path) -> AuditFile:
    """An audit that exists, whatever its seed; FileNotFoundError if there is none."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; scripts/audit/run.py -o {path} makes it")
    header, _ = _read(path)
    return AuditFile(path, seed=header.get("seed", 0))


def _read(path: Path) -> tuple[dict[str, Any], list[tuple[dict[str, Any], dict[str, Any]]]]:
    if kind := irregular(path):
        raise ArchiveError(f"{path} is {kind}, not the file of an audit")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        documents = [json.loads(line) for line in lines]
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArchiveError(f"{path} is no audit, or damaged: {error}") from None
    if not documents or not isinstance(documents[0], dict) or documents[0].get("format") != FORMAT:
        raise ArchiveError(f"{path} is not the file of an audit: its first line does not say so")
    header = documents[0]
    if not isinstance(header.get("version"), int) or header["version"] > VERSION:
        raise ArchiveError(
            f"{path} has format version {header.get('version')!r}; this version of tnqbm reads up "
            f"to {VERSION}"
        )
    try:
        return header, [(one["cell"], one["result"]) for one in documents[1:]]
    except (KeyError, TypeError):
        raise ArchiveError(f"{path} is damaged: a line has no cell or no result") from None


def _software() -> dict[str, str]:
    import numpy
    import scipy

    from tnqbm.files.storage import package_version

    return {"tnqbm": package_version(), "numpy": numpy.__version__, "scipy": scipy.__version__}
