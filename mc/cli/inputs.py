"""Which model a command works on, and which data it is compared with.

The model is a saved one, or the final model of one run of an archive; the data are those that are
named, or the run's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from mc.cli.common import Value, parse_pairs
from mc.sampling.samples_file import chains_of
from mc.studies.archived import data_split, find_data_file, run_target
from mc.studies.study import is_data_file
from tnqbm import datasets
from tnqbm.archive import Archive, Run
from tnqbm.base.errors import ArchiveError
from tnqbm.core import streams
from tnqbm.core.model import SqRBM
from tnqbm.datasets import Preparation, Target
from tnqbm.datasets.samples_io import read_samples
from tnqbm.hamiltonian.deep import DeepSqRBM
from tnqbm.hamiltonian.grouped import SqBM
from tnqbm.hamiltonian.kinds import Model

States = NDArray[np.uint8]


@dataclass(frozen=True)
class NamedModel:
    """A model and, if it is a run's, the run's coordinates and archive."""

    path: str
    any_model: Model
    coordinates: dict[str, Value] = field(default_factory=dict)
    archive: Archive | None = None

    @property
    def model(self) -> SqRBM:
        """The model, an sqRBM; ValueError if it is of another family."""
        if isinstance(self.any_model, SqRBM):
            return self.any_model
        raise self._other_family()

    def _other_family(self) -> ValueError:
        saved = "deep" if isinstance(self.any_model, DeepSqRBM) else "sqbm"
        family = self.coordinates.get("family", saved)
        return ValueError(
            f"{self.path}: the model is of family {family!r}, and this is for "
            "sqRBMs; these are for all families: show, plot, report, verify, merge, evaluate, "
            "certify, logz --method exact, sample --method enumeration; and for deep sqRBMs, and "
            "sqBMs whose hidden groups have at most four qubits: logz --method ais, both and "
            "visited, sample by chains and tempered"
        )

    @property
    def data(self) -> str | None:
        """Name of the data that the run was trained on; None for a saved model."""
        return str(self.coordinates["data"]) if self.coordinates else None

    def facts(self) -> dict[str, Any]:
        """Which model it is, as results with --json begin."""
        return {
            "model": self.path,
            "run": self.coordinates or None,
            "paulis": self.coordinates.get("paulis") or getattr(self.any_model, "paulis", None),
            "visible": self.any_model.n_visible,
            "hidden": self.any_model.n_hidden,
        }

    def own_target(self) -> Target:
        """The distribution that the run was trained on, from the study kept in the archive.

        Raises ValueError for a saved model, and what :func:`mc.studies.archived.run_target` does.
        """
        if self.archive is None:
            raise ValueError(f"{self.path} is a saved model, which does not know its data")
        return run_target(self.archive, self.coordinates)

    def target(self, data: str | None, seed: int, options: Mapping[str, Any]) -> Target | None:
        """The distribution ``data`` (a set's name or a file), else the run's own.

        ``options`` say what the values of a file mean. None for a saved model and no data. Raises
        as :meth:`own_target` and ``datasets.load`` do, and click.UsageError for options without
        data.
        """
        if data is None:
            refuse_options(options)
            return None if self.archive is None else self.own_target()
        n = self.any_model.n_visible
        if datasets.is_name(data):
            refuse_options(options, data)
            return datasets.load(data, n, seed=seed)
        return datasets.load(data, n, preparation=self.preparation(data, seed, options))

    def own_source(self) -> str:
        """What ``datasets.load`` is given for the run's own data: a name, or where the file is.

        Raises as :meth:`own_target`.
        """
        if self.archive is None or self.data is None:
            raise ValueError(f"{self.path} is a saved model, which does not know its data")
        if not is_data_file(self.data):
            return self.data
        return str(find_data_file(self.archive, self.data))

    def snapshots(self, needed: int = 1) -> list[tuple[int, SqRBM]]:
        """(updates done, model) of the run's snapshots, up to the model itself.

        Raises ValueError for a saved model, and for a run with fewer than ``needed`` of them.
        """
        if self.archive is None:
            raise ValueError(
                f"{self.path} is a saved model, which has no snapshots; name a run of an archive"
            )
        if not isinstance(self.any_model, SqRBM):
            raise self._other_family()
        run = self.archive.run(**self.coordinates)
        last = run.trajectory.model_step
        found = [
            (step, model)
            for step, model in run.snapshots
            if isinstance(model, SqRBM) and (last is None or step <= last)
        ]
        if len(found) < needed:
            kept = "no snapshots" if not found else f"only {len(found)} snapshot"
            raise ValueError(
                f"{self.path}: the run has kept {kept} up to its final model, and {needed} are "
                "needed; let the study say snapshots = 30, for example, in [output]"
            )
        return found

    def is_own(self, data: str | None) -> bool:
        """Whether ``data`` is what the run was trained on, as far as its name tells."""
        if self.archive is None:
            return False
        return data is None or Path(data).name == Path(str(self.data)).name

    def preparation(
        self, data: str | None, data_seed: int, options: Mapping[str, Any]
    ) -> Preparation:
        """What the values of a data file mean: as the run's study says of its own, and as options
        say; a ``data_seed`` of 0 is none."""
        known: dict[str, Any] = {}
        if self.archive is not None and self.is_own(data):
            known = data_split(self.archive)[0].preparation.given()
        if data_seed:
            known["data_seed"] = data_seed
        return Preparation(**{**known, **options})


def named_model(path: str, pairs: Sequence[str]) -> NamedModel:
    """The model saved at ``path``, or the final model of the archive's run that ``pairs`` name.

    ``pairs`` are key=value texts; none means a saved model, or the only run of an archive. Raises
    click.UsageError if they do not name one run, and what reading the file raises.
    """
    wanted = parse_pairs(pairs)
    if not wanted:
        try:
            return NamedModel(path, _saved_model(path))
        except ArchiveError:
            if (only := _only_run(path)) is None:
                raise
            wanted = {key: [value] for key, value in only.items()}

    archive = Archive(path)
    if several := [key for key, values in wanted.items() if len(values) > 1]:
        raise click.UsageError(f"name one run: {several[0]} has more than one value")
    chosen = archive.run(**{key: values[0] for key, values in wanted.items()})
    return NamedModel(path, _final_model(chosen), dict(chosen.coordinates), archive)


def _saved_model(path: str) -> Model:
    try:
        return SqRBM.load(path)
    except ArchiveError as error:
        try:
            return SqBM.load(path)
        except ArchiveError:
            pass
        try:
            return DeepSqRBM.load(path)
        except ArchiveError:
            raise error from None


def _final_model(run: Run) -> Model:
    model: Model | None = run.model
    if model is None:
        raise ValueError(
            "this run's final parameters were not kept; let the study say model = true in [output]"
        )
    return model


def _only_run(path: str) -> dict[str, Any] | None:
    """Coordinates of an archive's only run; None if there is no archive of runs at ``path``."""
    try:
        groups = Archive(path).seeds()
    except (ArchiveError, OSError):
        return None
    if not groups:
        return None
    first = groups[0]
    seed = min(first.planned)
    if len(groups) == 1 and len(first.planned) == 1:
        return {**first.coordinates, "seed": seed}
    raise click.UsageError(
        f"{path} is an archive of runs; name one of them, for example: --run "
        + " ".join(f"{k}={v}" for k, v in first.coordinates.items())
        + f" seed={seed}"
    )


@dataclass(frozen=True)
class QualityData:
    """Rows to compare with: trained on (M, n), held out (K, n); the distribution, if known."""

    name: str
    rows: States
    test: States | None
    target: Target | None
    drawn: bool


def data_reader(
    named: NamedModel,
    data: str | None,
    data_seed: int,
    fraction: float | None,
    split_seed: int | None,
    *,
    test: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Callable[[tuple[int, int] | None], QualityData]:
    """The data, checked before any sampling; called with (rows to draw, seed) or None for few.

    ``test`` is a file of held-out rows, ``options`` say what the values of files mean. Rows of a
    run's own data are split as they were when it was trained, or held out in the same file. Rows
    are drawn from a distribution that is known, and from rows with weights.
    """
    n = named.model.n_visible
    if data is None and named.data is None:
        raise click.UsageError(f"{named.path} is a saved model, which has no data; give --data")
    name = named.own_source() if data is None else data
    if test is not None and fraction:
        raise click.UsageError("--test and --test-fraction exclude each other")
    if data is None or datasets.is_name(name):
        refuse_options(options or {}, data)
    valid, repeats = 0.0, datasets.natural_repeats(name)
    if named.archive is not None and named.is_own(data):
        parts, root = data_split(named.archive)
        if test is None and fraction is None and parts.test_file is not None:
            test = str(find_data_file(named.archive, parts.test_file, "test"))
        fraction = parts.test if fraction is None and test is None else fraction
        split_seed = root if split_seed is None else split_seed
        valid, repeats = parts.valid, parts.repeats
    datasets.check(name, n)
    if datasets.is_exact(name):
        if fraction or test is not None:
            raise ValueError(
                f"data set {name!r} is known exactly, so holding out a part of it makes no sense; "
                "leave --test-fraction and --test away"
            )
        target = named.own_target() if data is None else datasets.load(name, n, seed=data_seed)
        return _drawing(name, target)
    wanted = named.preparation(data, data_seed, options or {})
    of_file = Preparation() if datasets.is_name(name) else wanted
    rows, weights = datasets.rows_of(name, n, seed=data_seed, preparation=of_file)
    if weights is not None:
        return _drawing(name, Target.from_samples(rows, weights=weights))
    if test is not None:
        held_out = datasets.samples(test, n, preparation=wanted)
        return lambda _: QualityData(name, rows, held_out, None, drawn=False)
    train, _, held_out = datasets.split(
        rows, fraction or 0.0, valid_fraction=valid, repeats=repeats, seed=split_seed or 0
    )
    found = QualityData(name, train, held_out if len(held_out) else None, None, drawn=False)
    return lambda _: found


def _drawing(name: str, target: Target) -> Callable[[tuple[int, int] | None], QualityData]:
    """Rows drawn from a distribution, as many as are asked for."""

    def draw(size: tuple[int, int] | None) -> QualityData:
        count, seed = size or (target.n_states, 0)
        rng = streams.generator((seed, streams.Second.DATA))
        chosen = rng.choice(target.n_states, count, p=target.probabilities)
        return QualityData(name, target.states[chosen], None, target, drawn=True)

    return draw


def refuse_options(options: Mapping[str, Any], name: str | None = None) -> None:
    """Raise click.UsageError if options about data files are given where there is none."""
    for option in options:
        flag = f"--{option.replace('_', '-')}"
        if name is None:
            raise click.UsageError(f"{flag} is about the file of --data, which is missing")
        raise click.UsageError(f"{flag} is about files, and {name!r} is bits already")


def read_chains(file: str, n: int) -> tuple[States, dict[str, Any]]:
    """Samples of a file, as chains if it says how many there are."""
    rows = read_samples(file)
    if rows.shape[1] != n:
        raise ValueError(f"{file}: rows have {rows.shape[1]} bits, but the model has {n} units")
    chains = chains_of(file)
    if chains and len(rows) % chains == 0:
        return rows.reshape(chains, -1, n), {"file": file, "chains": chains}
    return rows, {"file": file, "chains": None}
