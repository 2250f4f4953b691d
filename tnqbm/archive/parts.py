"""Parts of an archive: the finished blocks of a study under way, and its plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tnqbm.archive.blocks import RunRecord, encode
from tnqbm.archive.contents import write_archive_file, write_block_group
from tnqbm.archive.coordinates import PlannedGroup
from tnqbm.base.errors import ArchiveError

PLAN_FILE = "plan.h5"
"""Name of the file in a parts folder that holds the plan of the study under way."""


def parts_folder(out: str | Path) -> Path:
    """Folder of the finished blocks of a study under way: ``OUT.h5`` -> ``OUT.h5.parts``.

    ArchiveError if ``out`` has no name, as "" and "." have none.
    """
    out = Path(out)
    if not out.name:
        raise ArchiveError(f"{str(out)!r} is no archive; give a file, such as results.h5")
    return out.with_name(out.name + ".parts")


def write_block(
    path: str | Path, records: Sequence[RunRecord], provenance: Mapping[str, str]
) -> None:
    """Write finished runs of equal coordinates to a part file of one block, atomically.

    Raises ValueError naming the run if the records do not belong together or are malformed, and
    OSError naming the path if it cannot be written.
    """
    block = encode(records, provenance)
    write_archive_file(
        path, "part", lambda group: [write_block_group(group, block)], provenance=provenance
    )


def write_plan(
    folder: str | Path,
    plan: Sequence[PlannedGroup],
    study_text: str,
    provenance: Mapping[str, str],
) -> None:
    """Write ``plan.h5`` into a parts folder, so that the runs under way can be looked at."""
    write_archive_file(
        Path(folder) / PLAN_FILE,
        "plan",
        lambda _: [],
        plan=plan,
        study_text=study_text,
        provenance=provenance,
    )


def archive_files(path: str | Path) -> list[Path]:
    """The files that an archive consists of: itself, its parts, and the parts' plan, last.

    Raises FileNotFoundError if there is neither an archive nor parts of one.
    """
    path = Path(path)
    files = [path] if path.exists() else []
    try:
        names = sorted(os.listdir(parts_folder(path)))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    parts = [name for name in names if name.endswith(".h5") and name != PLAN_FILE]
    last = [PLAN_FILE] if PLAN_FILE in names else []
    files += [parts_folder(path) / name for name in parts + last]
    if not files:
        hint = ""
        if path.name.endswith(".parts"):
            hint = f"; to look at a study under way give {path.name.removesuffix('.parts')}"
        elif names:
            hint = f", and {parts_folder(path)} holds no finished runs yet"
        raise FileNotFoundError(f"{path} does not exist{hint}")
    return files
