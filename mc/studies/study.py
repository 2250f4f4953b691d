"""What a study is: its sections and values, and their expansion into the runs it asks for."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, PrivateAttr

from mc.studies.gradients import label_settings
from mc.studies.schedule import Key, Task, make_tasks
from mc.studies.sections import (
    DataSection,
    GradientSection,
    GridSection,
    ModelSection,
    Name,
    OutputSection,
    Parts,
    RunSection,
    Section,
    Seeds,
    TrainingSection,
)
from mc.studies.seeds import Coordinate, chain_stream, initial_stream, target_stream
from tnqbm import datasets
from tnqbm.archive import PlannedGroup
from tnqbm.core.connectivity import DENSE
from tnqbm.datasets import readers
from tnqbm.datasets.data import read_data
from tnqbm.training.costs import run_cost
from tnqbm.training.estimators import Size
from tnqbm.training.families import DEFAULT, FAMILIES, family_of, shape_of
from tnqbm.training.family import ModelShape
from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trajectory import METRICS

if TYPE_CHECKING:
    from tnqbm.archive import PlannedGroup
    from tnqbm.datasets import Target
    from tnqbm.hamiltonian.kinds import Model
    from tnqbm.training.estimators import Size
    from tnqbm.training.problems import Problem
    from tnqbm.training.settings import TrainingSettings

__all__ = [
    "SEEDED_DATA", "Product", "Study", "TrainingSection", "is_data_file",
]  # fmt: skip

SEEDED_DATA = ("on2",)
"""Data sets that are drawn at random; all others are the same for every seed."""


def coupled_paulis(paulis: str, couple: str | None) -> str:
    """Those of ``paulis`` that couple to visible units, in their order; None means all."""
    return "".join(pauli for pauli in paulis if couple is None or pauli in couple)


def is_data_file(name: str) -> bool:
    """Whether a data name means a file (a path or a known suffix) rather than a built-in set."""
    return "/" in name or "\\" in name or readers.is_file(name)


class Product(NamedTuple):
    """Values to be combined: data x visible x paulis x (hidden of those paulis) x gradient.

    ``couple`` holds the Paulis that couple to visible units, None for all. ``settings`` are those
    of the ``family`` that the study gives, by name.
    """

    paulis: list[str]
    visible: list[int]
    hidden: list[int]
    hidden_by_paulis: dict[str, list[int]]
    data: list[str]
    gradient: list[str]
    couple: str | None
    family: str
    settings: dict[str, str]

    @property
    def of_family(self) -> dict[str, str]:
        """Coordinates that say which models these are; none for sqRBMs."""
        return FAMILIES[self.family].coordinates(self.settings)


class Study(Section):
    """A validated study. Build it with
    :func:`mc.studies.file.load_study`, which reports all problems at once.

    ``seeds`` are the seeds of every combination, ``seed`` the root of all random streams. A
    Study is immutable and can be sent to other processes.
    """

    name: Name = Field(description="name of the study, shown in progress and figures")
    seeds: Seeds = Field(description="a number (20 means 1 to 20) or a list of whole numbers")
    seed: int = Field(0, ge=0, lt=2**128, description="root of all random streams")
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    training: TrainingSection = TrainingSection()
    output: OutputSection = OutputSection()
    run: RunSection = RunSection()
    grid: list[GridSection] = Field(default_factory=list)
    gradients: dict[str, GradientSection] = Field(default_factory=dict)

    _text: str = PrivateAttr("")
    _folder: str = PrivateAttr(".")
    _facts: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)
    _file: str = PrivateAttr("")

    def __repr__(self) -> str:
        seeds = f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"
        return f"Study({self.name!r}, {len(self.combinations())} combinations, {seeds})"

    __str__ = __repr__

    def place(self, *, text: str = "", folder: str = "", file: str = "") -> None:
        """Set what the study was read from, where it is given; no number depends on it."""
        self._text = text or self._text
        self._folder = folder or self._folder
        self._file = file or self._file

    @property
    def text(self) -> str:
        """The study as TOML, kept in the archive."""
        return self._text

    @property
    def folder(self) -> Path:
        """Where relative data files are looked for: the study file's folder."""
        return Path(self._folder)

    def files(self) -> list[Path]:
        """The files that the study is read from: its own, if it has one, and those of its data."""
        own = [Path(self._file)] if self._file else []
        return own + [self.data_path(name) for name in self.data_files()]

    def data_files(self) -> list[str]:
        """Names of all data files, those of held-out rows included."""
        names = {str(coordinates["data"]) for coordinates in self.combinations()}
        names |= {name for name in (self.data.valid, self.data.test) if name is not None}
        return [name for name in sorted(names) if is_data_file(name)]

    def data_path(self, data: str) -> Path:
        """Where a data file lies, without the name of an array in it."""
        return readers.source_of(self.data_source(data)).path

    def labels(self) -> list[str]:
        """Labels of all gradients that the study uses, in order, each once."""
        used = itertools.chain.from_iterable(product.gradient for product in self.products())
        return list(dict.fromkeys(used))

    def settings(self, gradient: str | None = None) -> TrainingSettings:
        """Settings of the trainings with one of the gradients; the first one's if None.

        ValueError names a wrong field.
        """
        label = self.labels()[0] if gradient is None else gradient
        return TrainingSettings(
            **label_settings(label, self.training, self.gradients),
            records=self.output.records,
            snapshots=self.output.snapshots,
        )

    def metrics(self, gradient: str) -> list[str]:
        """Names of the metrics that runs with a gradient keep, where they are known.

        By default log Z is kept only where it is estimated.
        """
        if self.output.metrics is not None:
            return list(self.output.metrics)
        if not self.settings(gradient).gradient.exact:
            return list(METRICS)
        return [name for name in METRICS if not name.startswith("log_partition")]

    def products(self) -> Iterator[Product]:
        """One product of values per grid table (or the only one), defaults filled in."""
        for grid in self.grid or [GridSection()]:
            by_paulis = grid.hidden_by_paulis
            if grid.hidden is None and not by_paulis:
                by_paulis = self.model.hidden_by_paulis
            family = grid.family or self.model.family or DEFAULT
            own = FAMILIES[family].paulis
            yield Product(
                paulis=grid.paulis or self.model.paulis or ([own] if own else []),
                visible=grid.visible or self.model.visible or [],
                hidden=grid.hidden or self.model.hidden or [],
                hidden_by_paulis=by_paulis,
                data=grid.data or self.data.names,
                gradient=grid.gradient or self.training.gradient,
                couple=grid.couple or self.model.couple,
                family=family,
                settings={**self.model.settings, **grid.settings},
            )

    def combinations(self) -> list[dict[str, Coordinate]]:
        """Coordinates (without seed) of every combination, in order, each once.

        Runs of locally connected models have their ``connectivity`` among them, those in which
        some Paulis are only fields the others, ``couple``, and those of other families than sqRBMs
        their ``family`` with all its settings.
        """
        found: dict[tuple[tuple[str, Coordinate], ...], dict[str, Coordinate]] = {}
        for product in self.products():
            for data, visible, paulis in itertools.product(
                product.data, product.visible, product.paulis
            ):
                all_hidden = product.hidden_by_paulis.get(paulis, product.hidden)
                for hidden, gradient in itertools.product(all_hidden, product.gradient):
                    coordinates: dict[str, Coordinate] = {
                        "paulis": paulis,
                        "visible": visible,
                        "hidden": hidden,
                        "data": data,
                        "gradient": gradient,
                    }
                    if self.model.connectivity != DENSE:
                        coordinates["connectivity"] = self.model.connectivity
                    couple = coupled_paulis(paulis, product.couple)
                    if couple != paulis:
                        coordinates["couple"] = couple
                    coordinates |= product.of_family
                    found.setdefault(tuple(coordinates.items()), coordinates)
        return list(found.values())

    def plan(self) -> list[PlannedGroup]:
        """Every run the study asks for, as groups of seeds with the same coordinates."""
        return [
            PlannedGroup(coordinates=coordinates, seeds=list(self.seeds))
            for coordinates in self.combinations()
        ]

    def tasks(
        self,
        *,
        finished: Collection[Key] = frozenset(),
        begun: Iterable[tuple[Mapping[str, Coordinate], list[int]]] = (),
    ) -> list[Task]:
        """The runs cut into tasks, the most expensive first; ``finished`` runs are left out.

        ``begun`` are the coordinates and seeds of tasks with a checkpoint: they stay together.
        """
        return make_tasks(
            [(coordinates, self.seeds) for coordinates in self.combinations()],
            cost=self._cost,
            batch=self.run.batch,
            finished=finished,
            begun=begun,
        )

    def _cost(self, coordinates: Mapping[str, Coordinate]) -> float:
        return run_cost(self.size(coordinates), self.settings(str(coordinates["gradient"])))

    def size(self, coordinates: Mapping[str, Coordinate]) -> Size:
        """The size of the models of a run."""
        return family_of(coordinates).size(self.shape(coordinates))

    def shape(self, coordinates: Mapping[str, Coordinate]) -> ModelShape:
        """What decides which parameters the models of a run have."""
        return shape_of({"connectivity": self.model.connectivity, **coordinates})

    def data_source(self, data: str) -> str:
        """What ``tnqbm.datasets.load`` is given: a built-in name, or the path of a file."""
        return str(self.folder / data) if is_data_file(data) else data

    def data_digest(self, data: str) -> str:
        """The SHA-256 of a data file's rows, which names its random streams.

        The file's own name does not: equal rows under two names give equal numbers.
        """
        return str(self.data_facts(data)["bits"])

    def data_facts(self, data: str) -> dict[str, Any]:
        """What is known of a data file, see :meth:`tnqbm.datasets.Data.facts`; read once."""
        if data not in self._facts:
            found = read_data(self.data_source(data), preparation=self.data.preparation)
            self._facts[data] = found.facts()
        return self._facts[data]

    def all_data_facts(self) -> dict[str, dict[str, Any]]:
        """:meth:`data_facts` of all data files, by name."""
        return {name: self.data_facts(name) for name in self.data_files()}

    def _stream_coordinates(self, coordinates: Mapping[str, Coordinate]) -> dict[str, Coordinate]:
        """What names the random streams of a run: a data file stands there by its rows."""
        data = str(coordinates["data"])
        return {**coordinates, "data": self.data_digest(data) if is_data_file(data) else data}

    def target(self, coordinates: Mapping[str, Coordinate], seed: int) -> Target:
        """Target distribution of one run: of the data, what it is trained on."""
        return self._data_of(coordinates, seed)[0]

    def targets(self, coordinates: Mapping[str, Coordinate], seeds: Sequence[int]) -> list[Target]:
        """Target distributions of several runs; one object for all where the seed is not used."""
        if coordinates["data"] in SEEDED_DATA:
            return [self.target(coordinates, seed) for seed in seeds]
        return [self.target(coordinates, seeds[0])] * len(seeds)

    def test_target(self, coordinates: Mapping[str, Coordinate]) -> Target | None:
        """The data held out to test with, the same for all seeds, or None if there are none."""
        return self._data_of(coordinates, 0)[2] if self.data.has_test else None

    def valid_target(self, coordinates: Mapping[str, Coordinate]) -> Target | None:
        """The data held out to validate with, the same for all seeds, or None."""
        return self._data_of(coordinates, 0)[1] if self.data.has_valid else None

    def _data_of(
        self, coordinates: Mapping[str, Coordinate], seed: int
    ) -> tuple[Target, Target | None, Target | None]:
        data, visible = str(coordinates["data"]), int(coordinates["visible"])
        own = own_seed(data, seed)
        if is_data_file(data) or data in SEEDED_DATA:
            return load_data(self.data_source(data), visible, self.seed, own, self.parts())
        return _load_once(data, visible, self.seed, own, self.data.parts)

    def parts(self) -> Parts:
        """What is held out, with the paths of files."""
        parts = self.data.parts
        return parts._replace(
            test_file=parts.test_file and self.data_source(parts.test_file),
            valid_file=parts.valid_file and self.data_source(parts.valid_file),
        )

    def initial_model(self, coordinates: Mapping[str, Coordinate], seed: int) -> Model:
        """Initial parameters of one run, uniform in [-scale, scale].

        They do not depend on the gradient, nor on the connectivity and the Paulis that couple,
        which leave some out, nor on the family, which leaves some out or adds some. With
        ``fields = "data"`` the visible fields are those of the data's first moments instead.
        """
        family, shape = family_of(coordinates), self.shape(coordinates)
        without = ("connectivity", "couple", "family", *family.settings)
        known = self._stream_coordinates(coordinates)
        alike = {name: value for name, value in known.items() if name not in without}
        stream = initial_stream(self.seed, {**alike, "gradient": "exact"}, seed)
        model: Model = family.model(shape, self.model.scale, stream)
        if self.model.fields == "uniform":
            return model
        fields = datasets.visible_fields(self.target(coordinates, seed))
        return family.with_fields(model, fields)  # type: ignore[no-any-return]

    def problem(self, coordinates: Mapping[str, Coordinate], seeds: Sequence[int]) -> Problem:
        """What is trained in the runs of several seeds: their models at the start, and data."""
        models = [self.initial_model(coordinates, seed) for seed in seeds]
        test, valid = self.test_target(coordinates), self.valid_target(coordinates)
        return family_of(coordinates).problem(
            self.shape(coordinates),
            models,
            self.targets(coordinates, seeds),
            None if test is None else [test] * len(models),
            None if valid is None else [valid] * len(models),
        )

    def key(self, coordinates: Mapping[str, Coordinate], seed: int) -> int:
        """The 64-bit key of one run's chains and minibatches."""
        return chain_stream(self.seed, self._stream_coordinates(coordinates), seed)


def own_seed(data: str, seed: int) -> int:
    """The seed of a run's data: data that are not drawn for every run must not depend on one."""
    return seed if data in SEEDED_DATA else 0


def load_data(
    source: str, visible: int, root: int, seed: int, parts: Parts
) -> tuple[Target, Target | None, Target | None]:
    """Data to train with, to validate with, to test with.

    ``root`` is the study's seed, ``seed`` that of :func:`own_seed`.
    """
    shares = bool(parts.test or parts.valid)
    return datasets.load_parts(
        source,
        visible,
        valid=parts.valid_file,
        test=parts.test_file,
        valid_fraction=parts.valid,
        test_fraction=parts.test,
        repeats=parts.repeats,
        seed=root if shares else target_stream(root, source, visible, seed),
        preparation=parts.preparation if is_data_file(source) else None,
    )


_load_once = functools.lru_cache(maxsize=8)(load_data)
"""For built-in data sets, some of which take seconds to make."""
