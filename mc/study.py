"""What a study is: its sections and values, and their expansion into the runs it asks for."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from mc.schedule import Key, Task, make_tasks
from mc.seeds import Coordinate, initial_stream, target_stream
from tnqbm.errors import StudyError
from tnqbm.model import MAX_PARAMETER
from tnqbm.paulis import check_paulis
from tnqbm.trajectory import METRICS

if TYPE_CHECKING:
    from tnqbm.archive import PlannedGroup
    from tnqbm.datasets import Target
    from tnqbm.model import SqRBM
    from tnqbm.settings import TrainingSettings

DEFAULT_RECORDS = 200
MAX_SEEDS = 1_000_000
SEEDED_DATA = ("on2",)
"""Data sets that are drawn at random; all others are the same for every seed."""
DATA_SUFFIXES = (".h5", ".hdf5", ".npy", ".csv")


def is_data_file(name: str) -> bool:
    """Whether a data name means a file (a path or a known suffix) rather than a built-in set."""
    return "/" in name or "\\" in name or Path(name).suffix.lower() in DATA_SUFFIXES


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _paulis(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be a string of Pauli letters such as 'XYZ'")
    try:
        return check_paulis(value)
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"paulis = {value!r} ")) from None


def _positive(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number, at least 1")
    return value


def _seeds(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number of seeds or a list of seeds")
    if isinstance(value, int):
        if value < 1:
            raise ValueError("a number of seeds must be at least 1")
        if value > MAX_SEEDS:
            raise ValueError(f"at most {MAX_SEEDS} seeds; for one certain seed write a list, [7]")
        return list(range(1, value + 1))
    if not isinstance(value, list) or not value:
        raise ValueError("must be a number of seeds (20 means 1 to 20) or a list of seeds")
    bad = [seed for seed in value if isinstance(seed, bool) or not isinstance(seed, int)]
    bad += [seed for seed in value if isinstance(seed, int) and not 0 <= seed < 2**63]
    if bad:
        raise ValueError(f"every seed must be a whole number from 0 to 2^63 - 1, not {bad[0]!r}")
    if len(set(value)) < len(value):
        twice = next(seed for k, seed in enumerate(value) if seed in value[:k])
        raise ValueError(f"seed {twice} is listed twice")
    return value


def _scale(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    if not (math.isfinite(value) and 0 <= value <= MAX_PARAMETER):
        raise ValueError("must be a finite number >= 0")
    return float(value)


def _records(value: Any) -> Any:
    if value is None or value == "all":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError('must be a number of rows >= 1, or "all" for every iteration')
    return value


def _metrics(value: Any) -> Any:
    value = _as_list(value)
    unknown = [name for name in value if name not in METRICS]
    if unknown or not value:
        what = f"does not know {unknown[0]!r}" if unknown else "is empty"
        raise ValueError(f"{what}; choose from {', '.join(METRICS)}")
    return [name for name in METRICS if name in value]


Count = Annotated[int, BeforeValidator(_positive)]
Paulis = Annotated[str, BeforeValidator(_paulis)]
PaulisList = Annotated[list[Paulis], BeforeValidator(_as_list), Field(min_length=1)]
CountList = Annotated[list[Count], BeforeValidator(_as_list), Field(min_length=1)]
DataList = Annotated[
    list[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_list), Field(min_length=1)
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelSection(_Section):
    """[model]: which machines are trained, and how their parameters start."""

    paulis: PaulisList | None = None
    visible: CountList | None = None
    hidden: CountList | None = None
    hidden_by_paulis: dict[Paulis, CountList] = Field(default_factory=dict)
    scale: Annotated[float, BeforeValidator(_scale)] = 1.0


class DataSection(_Section):
    """[data]: built-in data sets by name, or files relative to the study file."""

    name: DataList | None = None


class GridSection(_Section):
    """[[grid]]: one product of values; what it leaves out comes from [model] and [data]."""

    paulis: PaulisList | None = None
    visible: CountList | None = None
    hidden: CountList | None = None
    hidden_by_paulis: dict[Paulis, CountList] = Field(default_factory=dict)
    data: DataList | None = None


class TrainingSection(_Section):
    """[training]: fields of tnqbm.training.TrainingSettings; None means its default there."""

    gradient: str = "exact"
    optimizer: str | None = None
    learning_rate: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    epsilon: float | None = None
    momentum: float | None = None
    schedule: str | None = None
    decay: float | None = None
    decay_steps: int | None = None
    iterations: int | None = None
    patience: int | None = None
    min_delta: float | None = None
    precision: str | None = None

    def given(self) -> dict[str, Any]:
        """Settings in the names of TrainingSettings, without those left to its defaults."""
        values = self.model_dump(exclude_none=True)
        values["negative_phase"] = values.pop("gradient")
        return values


class OutputSection(_Section):
    """[output]: what is kept of each run."""

    records: Annotated[int | None, BeforeValidator(_records)] = DEFAULT_RECORDS
    snapshots: Annotated[int, Field(ge=0)] = 0
    metrics: Annotated[list[str], BeforeValidator(_metrics)] = list(METRICS)
    model: bool = True


class RunSection(_Section):
    """[run]: how the work is done; nothing here changes a number."""

    batch: Count | None = None
    checkpoint_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0


class Product(NamedTuple):
    """Values to be combined: data x visible x paulis x (hidden of those paulis)."""

    paulis: list[str]
    visible: list[int]
    hidden: list[int]
    hidden_by_paulis: dict[str, list[int]]
    data: list[str]


class Study(_Section):
    """A validated study. Build it with
    :func:`mc.study_file.load_study`, which reports all problems at once.

    ``seeds`` are the seeds of every combination, ``seed`` the root of all random streams. A
    Study is immutable and can be sent to other processes.
    """

    name: Annotated[str, Field(min_length=1)]
    seeds: Annotated[list[int], BeforeValidator(_seeds)]
    seed: Annotated[int, Field(ge=0)] = 0
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    training: TrainingSection = TrainingSection()
    output: OutputSection = OutputSection()
    run: RunSection = RunSection()
    grid: list[GridSection] = Field(default_factory=list)

    _text: str = PrivateAttr("")
    _folder: str = PrivateAttr(".")

    @property
    def text(self) -> str:
        """The study as TOML, kept in the archive."""
        return self._text

    @property
    def folder(self) -> Path:
        """Where relative data files are looked for: the study file's folder."""
        return Path(self._folder)

    def settings(self) -> TrainingSettings:
        """Settings of every training in the study; ValueError names a wrong field."""
        from tnqbm.settings import TrainingSettings

        return TrainingSettings(
            **self.training.given(),
            records=self.output.records,
            snapshots=self.output.snapshots,
        )

    def products(self) -> Iterator[Product]:
        """One product of values per grid table (or the only one), defaults filled in."""
        for grid in self.grid or [GridSection()]:
            by_paulis = grid.hidden_by_paulis
            if grid.hidden is None and not by_paulis:
                by_paulis = self.model.hidden_by_paulis
            yield Product(
                paulis=grid.paulis or self.model.paulis or [],
                visible=grid.visible or self.model.visible or [],
                hidden=grid.hidden or self.model.hidden or [],
                hidden_by_paulis=by_paulis,
                data=grid.data or self.data.name or [],
            )

    def combinations(self) -> list[dict[str, Coordinate]]:
        """Coordinates (without seed) of every combination, in order, each once."""
        found: dict[tuple[Coordinate, ...], dict[str, Coordinate]] = {}
        for product in self.products():
            for data, visible, paulis in itertools.product(
                product.data, product.visible, product.paulis
            ):
                for hidden in product.hidden_by_paulis.get(paulis, product.hidden):
                    coordinates: dict[str, Coordinate] = {
                        "paulis": paulis,
                        "visible": visible,
                        "hidden": hidden,
                        "data": data,
                        "gradient": self.training.gradient,
                    }
                    found.setdefault(tuple(coordinates.values()), coordinates)
        return list(found.values())

    def plan(self) -> list[PlannedGroup]:
        """Every run the study asks for, as groups of seeds with the same coordinates."""
        from tnqbm.archive import PlannedGroup

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
            iterations=self.settings().iterations,
            batch=self.run.batch,
            finished=finished,
            begun=begun,
        )

    def data_source(self, data: str) -> str:
        """What ``tnqbm.datasets.load`` is given: a built-in name, or the path of a file."""
        return str(self.folder / data) if is_data_file(data) else data

    def target(self, coordinates: Mapping[str, Coordinate], seed: int) -> Target:
        """Target distribution of one run."""
        from tnqbm import datasets

        data, visible = str(coordinates["data"]), int(coordinates["visible"])
        stream = target_stream(self.seed, data, visible, seed)
        return datasets.load(self.data_source(data), visible, seed=stream)

    def targets(self, coordinates: Mapping[str, Coordinate], seeds: Sequence[int]) -> list[Target]:
        """Target distributions of several runs; one object for all where the seed is not used."""
        if coordinates["data"] in SEEDED_DATA:
            return [self.target(coordinates, seed) for seed in seeds]
        return [self.target(coordinates, seeds[0])] * len(seeds)

    def initial_model(self, coordinates: Mapping[str, Coordinate], seed: int) -> SqRBM:
        """Initial parameters of one run, uniform in [-scale, scale]."""
        from tnqbm.model import SqRBM

        return SqRBM.uniform(
            int(coordinates["visible"]),
            int(coordinates["hidden"]),
            str(coordinates["paulis"]),
            scale=self.model.scale,
            seed=initial_stream(self.seed, coordinates, seed),
        )

    def identity(self) -> dict[str, Any]:
        """Everything that decides a run's numbers besides its coordinates, by dotted key.

        Two studies with equal identities may share an archive; [run] is not part of it.
        """
        settings = {f"training.{k}": v for k, v in dataclasses.asdict(self.settings()).items()}
        for name in ("records", "snapshots"):
            settings.pop(f"training.{name}")
        settings["training.gradient"] = settings.pop("training.negative_phase")
        output = {f"output.{key}": value for key, value in self.output.model_dump().items()}
        files = sorted({str(c["data"]) for c in self.combinations()})
        contents = {
            f"data.{name}": _sha256(self.folder / name) for name in files if is_data_file(name)
        }
        alone = {"seed": self.seed, "model.scale": self.model.scale}
        return {**alone, **settings, **output, **contents}


def _sha256(path: Path) -> str:
    try:
        return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise StudyError(f"data file {path} cannot be read: {error.strerror or error}") from error
