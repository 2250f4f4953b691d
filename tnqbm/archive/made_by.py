"""Which builds of the software, versions and hosts made the runs of an archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tnqbm.archive.file import ArchiveFile
from tnqbm.archive.write import archive_files
from tnqbm.base.errors import ArchiveError
from tnqbm.base.text import one_page

FACTS = ("tnqbm", "build", "host")
"""What blocks say about themselves that may differ within an archive."""


def made_by(path: str | Path) -> dict[str, Counter[str]]:
    """How many runs each version, build and host made, as the blocks say: {"host": {"a": 20}}.

    Builds of versions that did not record them are named after the version. Damaged blocks are
    left out. FileNotFoundError if there is neither an archive nor parts of one.
    """
    found: dict[str, Counter[str]] = {name: Counter() for name in FACTS}
    for one in archive_files(path):
        try:
            with ArchiveFile(one) as file:
                for entry in file.header.contents:
                    facts = {"build": "", **_provenance(file, entry.name)}
                    facts["build"] = facts["build"] or f"{facts.get('tnqbm', '?')} (not recorded)"
                    for name in FACTS:
                        if name in facts:
                            found[name][one_page(str(facts[name]), 200)] += len(entry.seeds)
        except (ArchiveError, FileNotFoundError):
            continue  # said elsewhere; or a part that the study has just merged
    return {name: counts for name, counts in found.items() if counts}


def several_builds(path: str | Path) -> str:
    """A warning if the runs of an archive come from different builds, else an empty text."""
    builds = made_by(path).get("build", Counter())
    if len(builds) < 2:
        return ""
    counted = "; ".join(f"{count} by {build}" for build, count in builds.most_common())
    return f"{path}: its runs come from {len(builds)} builds, whose digits may differ: {counted}"


def _provenance(file: ArchiveFile, name: str) -> Mapping[str, Any]:
    """What a block says about its making; nothing if it is damaged."""
    try:
        return file.provenance(name)
    except ArchiveError:
        return {}
