"""The archive of a study: every finished run's metrics, model and snapshots, in one HDF5 file.

While a study runs (or after it was killed) its finished blocks lie in ``OUT.h5.parts``;
:class:`Archive` reads both, so it always shows all finished runs. The format is written down in
docs/archive-format.md.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tnqbm.archive.blocks import Block
from tnqbm.archive.coordinates import (
    REQUIRED,
    Coordinates,
    PlannedGroup,
    coordinates_key,
    describe,
)
from tnqbm.archive.datatree import datatree
from tnqbm.archive.find import find_run
from tnqbm.archive.rows import ENDED, GroupSeeds, RunRow
from tnqbm.archive.sources import Source, Sources
from tnqbm.archive.verify import verify_archive
from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.base.errors import MissingExtraError
from tnqbm.base.notebook import facts_table
from tnqbm.files.content import content_digest
from tnqbm.training.trajectory import METRICS, Trajectory

if TYPE_CHECKING:
    from tnqbm.archive.verify import VerifyReport


class Run:
    """One finished run of an archive; its numbers are read when they are first asked for.

    Everything but ``coordinates`` raises ArchiveError if the run's block is damaged.
    """

    def __init__(self, sources: Sources, source: Source, row: int) -> None:
        self._sources, self._source, self._row = sources, source, row
        self._trajectory: Trajectory | None = None

    def __repr__(self) -> str:
        return f"Run({describe(self.coordinates)})"

    def _block(self) -> Block:
        return self._sources.block(self._source)

    @property
    def coordinates(self) -> Coordinates:
        """What was run: paulis, visible, hidden, data, gradient, further ones, and seed."""
        return {**self._source.entry.coordinates, "seed": self._source.seed(self._row)}

    @property
    def trajectory(self) -> Trajectory:
        """Metric rows, final model and snapshots."""
        if self._trajectory is None:
            self._trajectory = self._sources.trajectory(self._source, self._row)
        return self._trajectory

    @property
    def model(self) -> Any:
        """The final model, None if it was not kept.

        A :class:`tnqbm.SqRBM`; of sqBMs of small hidden groups a :class:`tnqbm.SqBM`, of other
        models a :class:`tnqbm.PauliHamiltonian`.
        """
        return self.trajectory.model

    @property
    def snapshots(self) -> list[tuple[int, Any]]:
        """(step, model) pairs, empty if none were kept."""
        return self.trajectory.snapshots

    @property
    def estimator(self) -> dict[str, Any]:
        """What the estimator of the gradient took, as it reports: totals of the run, by name.

        Under "records" arrays (T,) by name of what single updates took, aligned with
        ``trajectory.step``. Empty for estimators that report nothing; for "quantum" see
        docs/quantum.md.
        """
        path = self.trajectory
        records = {"records": dict(path.estimator_records)} if path.estimator_records else {}
        return {**path.estimator, **records}

    @property
    def finished(self) -> bool:
        """Always true: an archive holds a run whole or not at all."""
        return True

    @property
    def started(self) -> str:
        """When the run started, ISO 8601 in UTC."""
        return str(self._block().arrays["started"][self._row])

    @property
    def ended(self) -> str:
        """When the run ended, ISO 8601 in UTC."""
        return str(self._block().arrays["finished"][self._row])

    @property
    def provenance(self) -> dict[str, str]:
        """Where and with which version the run was made."""
        return dict(self._block().provenance)

    def fingerprint(self) -> str:
        """SHA-256 of all numbers of the run: equal for bit-identical runs, whenever made."""
        return self._block().fingerprint(self._row)


class Archive:
    """Read an archive, together with the finished parts of a study that has not ended.

    A damaged block never yields numbers: reading it raises ArchiveError naming it. Pass
    ``skip_damaged=True`` to a method to leave such blocks out. What is read is the state at the
    time of opening; open the archive again to see runs that have finished since.

    Raises FileNotFoundError if there is neither the file nor its parts, and ArchiveError if the
    file is damaged beyond use, foreign, or of a newer format.
    """

    @checked(path=arguments.path)
    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._sources = Sources(self.path)

    def close(self) -> None:
        """Close the file; runs already read stay usable."""
        self._sources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        finished, planned = self.progress
        return f"Archive({str(self.path)!r}, {finished} of {planned} runs finished)"

    def _repr_html_(self) -> str:
        finished, planned = self.progress
        groups = [group.coordinates for group in self.seeds()]
        facts: dict[str, object] = {"runs finished": f"{finished} of {planned}"}
        facts["groups of runs"] = len(groups)
        for key in dict.fromkeys(key for group in groups for key in group):
            values = dict.fromkeys(str(group[key]) for group in groups if key in group)
            facts[key] = ", ".join(values)
        facts["damaged"] = "; ".join(self.problems) or None
        return facts_table(f"Archive {self.path}", facts)

    @property
    def study_text(self) -> str:
        """The study file that the runs were made from; ArchiveError if it is damaged."""
        return self._sources.header().study_text

    @property
    def provenance(self) -> dict[str, str]:
        """Versions, host, times and the like, as text; ArchiveError if damaged."""
        return dict(self._sources.header().provenance)

    @property
    def plan(self) -> list[PlannedGroup]:
        """All runs that the study asks for, finished or not; ArchiveError if damaged."""
        self._sources.header()
        return self._sources.planned()

    @property
    def progress(self) -> tuple[int, int]:
        """(finished runs, planned runs); runs of damaged blocks count as not finished."""
        finished, planned = self._sources.tally()
        return sum(map(len, finished.values())), sum(map(len, planned.values()))

    @property
    def problems(self) -> list[str]:
        """What has been found damaged so far; :meth:`verify` looks at everything."""
        return list(self._sources.problems)

    @property
    def damaged_parts(self) -> list[Path]:
        """Part files of a study under way whose runs must be made again."""
        return list(self._sources.damaged_parts)

    def runs(self, *, skip_damaged: bool = False) -> Iterator[Run]:
        """Finished runs in the order of the plan, then of the seeds.

        Raises ArchiveError on coming to a damaged block, unless ``skip_damaged``.
        """
        # Reading the blocks here would keep them all: only what is to be left out is looked at.
        check = self._sources.block if skip_damaged else self._sources.check
        usable = (source for source, _ in self._sources.usable(skip_damaged, check))
        for _, group in itertools.groupby(usable, key=lambda source: source.key):
            rows = [(source.seed(row), row, source) for source in group for row in source.rows]
            for _, row, source in sorted(rows, key=lambda item: item[0]):
                yield Run(self._sources, source, row)

    def run(self, **coordinates: Any) -> Run:
        """The one run with these coordinates; those that do not matter may be left out.

        ``archive.run(paulis="XYZ", visible=8, hidden=5, data="bas", gradient="exact", seed=1)``.
        Raises RunNotFoundError (a KeyError) naming the nearest if there is none or several, and
        ArchiveError if the run lies in a damaged block.
        """
        source, row = find_run(self._sources, coordinates)
        self._sources.check(source)
        return Run(self._sources, source, row)

    def seeds(self) -> list[GroupSeeds]:
        """Planned and finished seeds of every group of runs, in the plan's order."""
        return self._sources.seeds()

    def rows(self, *, skip_damaged: bool = False) -> list[RunRow]:
        """A typed row for every finished run, in the order of :meth:`runs`.

        Raises ArchiveError if a block is damaged, unless ``skip_damaged``.
        """
        usable = self._sources.usable(skip_damaged, self._sources.run_rows)
        table: list[RunRow] = []
        for _, blocks in itertools.groupby(usable, key=lambda item: item[0].key):
            table += sorted((row for _, rows in blocks for row in rows), key=lambda row: row.seed)
        return table

    def table(self, *, skip_damaged: bool = False) -> list[dict[str, Any]]:
        """One flat dict for every finished run, in the order of :meth:`runs`.

        Keys: the coordinates and ``seed``; the final value of every metric of
        :class:`tnqbm.Trajectory` (None if not kept); ``steps`` (updates done), ``stopped``
        ("iterations", "plateau" or "failed"), ``cause`` (why it failed, or empty), ``started`` and
        ``finished`` (ISO 8601, UTC). Raises ArchiveError if a block is damaged, unless
        ``skip_damaged``.
        """
        return [row.flat() for row in self.rows(skip_damaged=skip_damaged)]

    def groups(self, *, skip_damaged: bool = False) -> list[dict[str, Any]]:
        """One dict for every group of runs that differ in the seed only, in the plan's order.

        Keys: the coordinates; ``runs`` (planned) and ``finished``, both counts; ``tvd_mean``,
        ``tvd_std``, ``kl_mean``, ``kl_std`` of the final values over the finished seeds (std is
        the population's, ddof = 0). They are None if no run has finished, if a run did not keep
        the metric, or if a value is not finite. Raises ArchiveError if a block is damaged, unless
        ``skip_damaged``.
        """
        names = ("tvd", "kl")
        finals: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for source, found in self._sources.usable(skip_damaged, self._sources.finals):
            for name in found.columns.keys() & names:
                values = found.columns[name].tolist()
                pairs = [(source.seed(row), values[row]) for row in source.rows]
                finals.setdefault((source.key, name), []).extend(pairs)
        groups = []
        for group in self.seeds():
            count = len(group.finished)
            flat = {**group.coordinates, "runs": len(group.planned), "finished": count}
            for name in names:
                # By seed, so that the mean's rounding does not depend on how runs were batched.
                known = sorted(finals.get((coordinates_key(group.coordinates), name), []))
                complete = [value for _, value in known] if len(known) == count else []
                flat[f"{name}_mean"], flat[f"{name}_std"] = mean_and_std(complete)
            groups.append(flat)
        return groups

    def estimators(self, *, skip_damaged: bool = False) -> list[dict[str, Any]]:
        """What estimators of gradients report: a dict for every finished run that has any of it.

        Keys: the coordinates, ``seed``, and ``estimator``, the totals of :attr:`Run.estimator`.
        Other runs are left out. Raises ArchiveError if a block is damaged, unless ``skip_damaged``.
        """
        return [
            {**row.identity, "estimator": dict(row.estimator)}
            for _, rows in self._sources.usable(skip_damaged, self._sources.run_rows)
            for row in rows
            if row.estimator
        ]

    def failures(self, *, skip_damaged: bool = False) -> list[dict[str, Any]]:
        """A dict for every run that failed, in the order of :meth:`runs`.

        Keys: the coordinates, ``seed`` and ``cause``, which is empty in archives of versions that
        did not keep it. Raises ArchiveError if a block is damaged, unless ``skip_damaged``.
        """
        return [
            {**row.identity, "cause": row.cause}
            for _, rows in self._sources.usable(skip_damaged, self._sources.run_rows)
            for row in rows
            if row.stopped == "failed"
        ]

    def made_by(self) -> dict[str, Counter[str]]:
        """How many runs each version, build and host made: {"host": {"a": 20}}.

        So the blocks say. Builds of versions that did not record them are named after the version.
        Damaged blocks are left out.
        """
        return self._sources.made_by()

    def to_datatree(self, *, skip_damaged: bool = False) -> Any:
        """All finished runs as an ``xarray.DataTree``, a node for every group of runs.

        Variables are those of docs/archive-format.md with dimensions ``seed``, ``record``,
        ``snapshot`` and ``parameter``, joined over the blocks of a group, and what estimators
        report in the nodes ``estimator`` and ``estimator_records`` below. Coordinates are the
        seeds, ``step`` (with an index, where all runs share their steps), ``snapshot_step`` and the
        names of the parameters (:meth:`tnqbm.core.shape.Shape.names`); a node's attributes are the
        coordinates of its runs. Everything is read into memory. MissingExtraError if xarray is not
        installed, ArchiveError if a block is damaged, unless ``skip_damaged``.
        """
        return datatree(self._sources, skip_damaged)

    def to_dataframe(self, *, skip_damaged: bool = False) -> Any:
        """:meth:`table` as a pandas DataFrame; MissingExtraError if pandas is not installed."""
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtraError("pandas", "table", "Archive.to_dataframe()") from None
        rows = self.table(skip_damaged=skip_damaged)
        columns = [*REQUIRED, "seed", *METRICS, *ENDED]
        return pd.DataFrame(rows, columns=None if rows else columns)

    def fingerprint(self) -> str:
        """SHA-256 of the numbers of all finished runs.

        It does not depend on when, where and in which batches the runs were made: two archives of
        bit-identical runs have the same fingerprint. ArchiveError if a block is damaged.
        """
        runs = {coordinates_key(run.coordinates): run.fingerprint() for run in self.runs()}
        return content_digest({}, runs)

    def verify(self) -> VerifyReport:
        """Check the file, the parts and every block; says what is damaged and what is whole."""
        return verify_archive(self.path)


def mean_and_std(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and population standard deviation; None if there are none or one is not finite."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not values or not np.isfinite(known).all():
        return None, None
    return float(np.mean(known)), float(np.std(known))
