"""What memory a study will take on every rank, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mc.running.runner import MOST_PARTS
from mc.studies.schedule import Task
from mc.studies.study import Study
from tnqbm.base.limits import available_bytes, in_words, peak_bytes
from tnqbm.training.costs import run_memory
from tnqbm.training.trajectory import METRICS

KERNELS = 56e6
"""Bytes that a process takes to load what runs a training, kernels included: 13 to 72 MB for
contraction, enumeration and chains."""


@dataclass(frozen=True)
class StudyMemory:
    """Peak memory in bytes, as the kernel counts it for a process.

    ``rank`` of each of ``ranks``, ``first`` of rank 0, which assembles the archive; of both,
    ``libraries`` are what this process has taken to read the study, and what kernels will take.
    """

    rank: float
    first: float
    libraries: float
    ranks: int

    @property
    def total(self) -> float:
        """Of all ranks together."""
        return self.first + (self.ranks - 1) * self.rank

    @property
    def problem(self) -> str:
        """What is wrong if the ranks do not fit into this machine together; empty if they do."""
        free = available_bytes()
        if free is None or self.total <= free:
            return ""
        where = " if all ranks are on this machine" if self.ranks > 1 else ""
        return (
            f"the study would take {in_words(self.total)} of memory, and {in_words(free)} are free"
            f"{where}: take fewer ranks on a machine, or a smaller [run] batch"
        )


def study_memory(study: Study, tasks: Sequence[Task], ranks: int) -> StudyMemory:
    """The forecast for a study on so many ranks.

    Loads the data as its runs will, to see what they take, and no kernels. Right to a factor of 1.5
    or so (scripts/benchmarks/memory.py).
    """
    work = archive = 0.0
    rows: dict[tuple[object, object], int] = {}
    held: dict[tuple[str, int], float] = {}
    for task in tasks:
        coordinates, count = task.coordinates, len(task.seeds)
        name = (repr(coordinates), count)
        if name not in held:
            data = (coordinates["data"], coordinates["visible"])
            if data not in rows:
                rows[data] = study.target(coordinates, task.seeds[0]).states.shape[0]
            size = study.size(coordinates)._replace(rows=rows[data])
            settings = study.settings(str(coordinates["gradient"]))
            held[name] = count * _stored(study, size.n_parameters)
            work = max(work, run_memory(size, settings, count))
        archive += held[name]
    libraries = peak_bytes() + KERNELS
    # Parts are joined amid the work where there are many, else once it is done; a file is twice
    # in memory while it is written.
    both = work + 2.0 * archive if len(tasks) > MOST_PARTS else max(work, 2.0 * archive)
    return StudyMemory(libraries + work, libraries + both, libraries, ranks)


def _stored(study: Study, parameters: int) -> float:
    """Bytes of one run in an archive."""
    vectors = study.output.snapshots + bool(study.output.model)
    records = study.output.records
    rows = records if isinstance(records, int) else study.settings().iterations + 1
    return 8.0 * (parameters * vectors + rows * (1 + len(METRICS)))
