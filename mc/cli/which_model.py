"""Which model a command works on: a saved one, or the final model of one run of an archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from mc.cli.common import Value, parse_pairs
from tnqbm.base.errors import ArchiveError

if TYPE_CHECKING:
    from tnqbm.archive import Archive, Run
    from tnqbm.core.model import SqRBM
    from tnqbm.datasets import Target


@dataclass(frozen=True)
class NamedModel:
    """A model and, if it is a run's, the run's coordinates and archive."""

    path: str
    model: SqRBM
    coordinates: dict[str, Value] = field(default_factory=dict)
    archive: Archive | None = None

    @property
    def data(self) -> str | None:
        """Name of the data that the run was trained on; None for a saved model."""
        return str(self.coordinates["data"]) if self.coordinates else None

    def own_target(self) -> Target:
        """The distribution that the run was trained on, from the study kept in the archive.

        Raises ValueError for a saved model, and what :func:`mc.studies.archived.run_target` does.
        """
        from mc.studies.archived import run_target

        if self.archive is None:
            raise ValueError(f"{self.path} is a saved model, which does not know its data")
        return run_target(self.archive, self.coordinates)

    def own_source(self) -> str:
        """What ``datasets.load`` is given for the run's own data: a name, or where the file is.

        Raises as :meth:`own_target`.
        """
        from mc.studies.archived import find_data_file
        from mc.studies.study import is_data_file

        if self.archive is None or self.data is None:
            raise ValueError(f"{self.path} is a saved model, which does not know its data")
        if not is_data_file(self.data):
            return self.data
        return str(find_data_file(self.archive, self.data))


def named_model(path: str, pairs: Sequence[str]) -> NamedModel:
    """The model saved at ``path``, or the final model of the archive's run that ``pairs`` name.

    ``pairs`` are key=value texts; none means a saved model. Raises click.UsageError if they do
    not name one run, and what reading the file raises.
    """
    wanted = parse_pairs(pairs)
    if not wanted:
        return NamedModel(path, _saved_model(path))
    from tnqbm.archive import Archive

    archive = Archive(path)
    if several := [key for key, values in wanted.items() if len(values) > 1]:
        raise click.UsageError(f"name one run: {several[0]} has more than one value")
    chosen = archive.run(**{key: values[0] for key, values in wanted.items()})
    return NamedModel(path, _final_model(chosen), dict(chosen.coordinates), archive)


def _final_model(run: Run) -> SqRBM:
    model = run.model
    if model is None:
        raise ValueError(
            "this run's final parameters were not kept; let the study say model = true in [output]"
        )
    return model


def _saved_model(path: str) -> SqRBM:
    from tnqbm.core.model import SqRBM

    try:
        return SqRBM.load(path)
    except ArchiveError:
        from tnqbm.archive import Archive

        try:
            groups = Archive(path).seeds()
        except (ArchiveError, OSError):
            groups = []
        if not groups:
            raise
        raise click.UsageError(
            f"{path} is an archive of runs; name one of them, for example: --run "
            + " ".join(f"{k}={v}" for k, v in groups[0].coordinates.items())
            + " seed=1"
        ) from None
