"""The tables of a study file and their values, each checked by itself."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mc.studies.limits import MAX_NAME, MAX_SEEDS, MAX_UNITS, shown
from tnqbm.base.limits import MAX_PARAMETER
from tnqbm.core import connectivity
from tnqbm.core.paulis import check_paulis
from tnqbm.training.trajectory import METRICS

DEFAULT_RECORDS = 200


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
    if value > MAX_UNITS:
        raise ValueError(f"must be at most {MAX_UNITS:,}")
    return value


def _seeds(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number of seeds or a list of seeds")
    if isinstance(value, int):
        if value < 1:
            raise ValueError("a number of seeds must be at least 1")
        if value > MAX_SEEDS:
            raise ValueError(f"at most {MAX_SEEDS:,} seeds; for one certain seed write a list, [7]")
        return list(range(1, value + 1))
    if not isinstance(value, list) or not value:
        raise ValueError("must be a number of seeds (20 means 1 to 20) or a list of seeds")
    bad = [seed for seed in value if isinstance(seed, bool) or not isinstance(seed, int)]
    bad += [seed for seed in value if isinstance(seed, int) and not 0 <= seed < 2**63]
    if bad:
        raise ValueError(
            f"every seed must be a whole number from 0 to 2^63 - 1, not {shown(bad[0])}"
        )
    if len(set(value)) < len(value):
        twice = next(seed for seed, times in Counter(value).items() if times > 1)
        raise ValueError(f"seed {twice} is listed twice")
    return value


def _scale(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    if not 0 <= value <= MAX_PARAMETER:
        raise ValueError("must be a finite number >= 0")
    return float(value)


def _connectivity(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"must be one name; names look like {connectivity.FORMS}")
    try:
        connectivity.parse(value)
    except ValueError as error:
        # The key and the value are shown already.
        raise ValueError(str(error).removeprefix(f"connectivity {value!r}").lstrip(": ")) from None
    return value


def _records(value: Any) -> Any:
    if value is None or value == "all":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError('must be a number of rows >= 1, or "all" for every iteration')
    return value


def _fraction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    if not 0 <= value < 1:
        raise ValueError("must be at least 0 and below 1")
    return float(value)


def _metrics(value: Any) -> Any:
    value = _as_list(value)
    unknown = [name for name in value if name not in METRICS]
    if unknown or not value:
        what = f"does not know {shown(unknown[0])}" if unknown else "is empty"
        raise ValueError(f"{what}; choose from {', '.join(METRICS)}")
    return [name for name in METRICS if name in value]


Seeds = Annotated[list[int], BeforeValidator(_seeds)]
Count = Annotated[int, BeforeValidator(_positive)]
Paulis = Annotated[str, BeforeValidator(_paulis)]
PaulisList = Annotated[list[Paulis], BeforeValidator(_as_list), Field(min_length=1)]
CountList = Annotated[list[Count], BeforeValidator(_as_list), Field(min_length=1)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
NameList = Annotated[list[Name], BeforeValidator(_as_list), Field(min_length=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelSection(Section):
    """[model]: which machines are trained, and how their parameters start."""

    paulis: PaulisList | None = None
    visible: CountList | None = None
    hidden: CountList | None = None
    hidden_by_paulis: dict[Paulis, CountList] = Field(default_factory=dict)
    scale: Annotated[float, BeforeValidator(_scale)] = 1.0
    fields: Literal["uniform", "data"] = "uniform"
    connectivity: Annotated[str, BeforeValidator(_connectivity)] = connectivity.DENSE
    couple: Paulis | None = None


class Parts(NamedTuple):
    """Shares of the rows that are held out to test and to validate with, and where equal rows
    fall, as :func:`tnqbm.datasets.split` takes them."""

    test: float
    valid: float
    repeats: str


class DataSection(Section):
    """[data]: built-in data sets by name, or files relative to the study file."""

    name: NameList | None = None
    test_fraction: Annotated[float, BeforeValidator(_fraction)] = 0.0
    valid_fraction: Annotated[float, BeforeValidator(_fraction)] = 0.0
    repeats: Literal["together", "anywhere"] | None = None

    @property
    def parts(self) -> Parts:
        """What is held out, and where equal rows fall: "anywhere" unless the study says it."""
        return Parts(self.test_fraction, self.valid_fraction, self.repeats or "anywhere")


class GridSection(Section):
    """[[grid]]: one product of values; what it leaves out comes from the tables above."""

    paulis: PaulisList | None = None
    visible: CountList | None = None
    hidden: CountList | None = None
    hidden_by_paulis: dict[Paulis, CountList] = Field(default_factory=dict)
    data: NameList | None = None
    gradient: NameList | None = None
    couple: Paulis | None = None


class TrainingKeys(Section):
    """Fields of tnqbm.training.trainer.TrainingSettings; None means that the next table decides."""

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
    batch_size: int | None = None
    centred: bool | None = None
    weight_decay: float | None = None
    clip: float | None = None
    metric: str | None = None
    damping: float | None = None
    damping_rule: str | None = None
    trust_radius: float | None = None
    solver: str | None = None
    cg_iterations: int | None = None
    cg_tolerance: float | None = None
    inner_iterations: int | None = None
    inner_tolerance: float | None = None
    inner_solver: str | None = None
    steps: int | None = None
    chains: int | None = None
    kernel: str | None = None
    inertia: float | None = None
    temperatures: int | None = None
    max_bond: int | None = None
    refit: int | None = None
    global_moves: int | None = None
    shots: int | None = None
    trotter_steps: int | None = None
    strategy: str | None = None
    backend: str | None = None
    evaluate: str | None = None
    evaluations: int | None = None
    ais_chains: int | None = None
    ais_betas: int | None = None

    def given(self) -> dict[str, Any]:
        """The settings that are given, in the names of TrainingSettings."""
        return self.model_dump(exclude_none=True, include=set(TrainingKeys.model_fields))


class TrainingSection(TrainingKeys):
    """[training]: how all models are trained, and by which estimators of the gradient."""

    gradient: NameList = ["exact"]


class GradientSection(TrainingKeys):
    """[gradients.NAME]: an estimator under a name of one's own, and where it is trained otherwise
    than [training] says."""

    method: Name | None = None


class OutputSection(Section):
    """[output]: what is kept of each run."""

    records: Annotated[int | None, BeforeValidator(_records)] = DEFAULT_RECORDS
    snapshots: Annotated[int, Field(ge=0)] = 0
    metrics: Annotated[list[str], BeforeValidator(_metrics)] | None = None
    model: bool = True


class RunSection(Section):
    """[run]: how the work is done; nothing here changes a number."""

    batch: Count | None = None
    ranks_per_run: Count = 1
    checkpoint_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0
