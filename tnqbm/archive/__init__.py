"""The archive of a study: every finished run's metrics, model and snapshots, in one HDF5 file.

:class:`Archive` reads one, :func:`merge` puts several together; the rest is what writes them. The
format is written down in docs/archive-format.md.
"""

from tnqbm.archive.archive import Archive, Run
from tnqbm.archive.blocks import PlannedGroup, RunRecord, block_name
from tnqbm.archive.file import FORMAT, FORMAT_VERSION
from tnqbm.archive.find import RunNotFoundError
from tnqbm.archive.write import assemble, merge, parts_folder, write_block, write_plan

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "Archive",
    "PlannedGroup",
    "Run",
    "RunNotFoundError",
    "RunRecord",
    "assemble",
    "block_name",
    "merge",
    "parts_folder",
    "write_block",
    "write_plan",
]
