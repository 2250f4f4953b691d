"""The tables of a study file and their values, each checked by itself."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from mc.estimators.settings import provide
from mc.studies.text import MAX_NAME, MAX_SEEDS, MAX_UNITS, shown
from tnqbm.base.limits import MAX_PARAMETER
from tnqbm.core import connectivity
from tnqbm.core.paulis import check_paulis
from tnqbm.datasets.preparation import Preparation, PreparationKeys
from tnqbm.training.families import FAMILIES
from tnqbm.training.recipes import RECIPES, STARTS
from tnqbm.training.schema import choice
from tnqbm.training.settings import PARTS, all_settings, known_parts
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


class FamilyKeys(Section):
    """Keys of [model] and [[grid]]: what kind of models are trained, and what they consist of."""

    family: Annotated[str, choice(*FAMILIES)] | None = Field(
        None,
        description='`"sqrbm"` (if left out), `"sqbm"`, `"deep"`, `"qrbm"` or `"tfim"`: see '
        "[families](#families)",
    )
    visible_paulis: Paulis | None = Field(
        None,
        description='Pauli matrices of the visible units: of `qrbm` any (`"XYZ"` if left out), of '
        '`tfim` `"XZ"` or `"Z"`',
    )
    interactions: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)] | None = (
        Field(
            None,
            description="which Pauli matrices of `qrbm` couple, the visible letter first, such as "
            '`["ZZ", "XX"]`; all pairs if left out',
        )
    )
    visible_edges: str | None = Field(
        None,
        description='which visible units of `sqbm` (`"all"` if left out) and `tfim` (`"none"`) are '
        'coupled to each other: `"none"`, `"all"`, `"line"`, `"ring"`, `"lattice-4x4"`, '
        '`"torus-4x4"`, all pairs inside `"groups-4"` of four (the last of what is left), or '
        'the pairs, counted from 0, as in `"0-1,1-2"`',
    )
    hidden_edges: str | None = Field(
        None, description="which hidden units are coupled to each other, as in `visible_edges`"
    )
    hidden_pairs: str | None = Field(
        None,
        description='of `sqbm`: hidden units couple by `"all"` pairs of Pauli matrices, by '
        '`"equal"` ones, or by those named, such as `"ZZ"` or `"XX,ZZ"`; `"all"` if left out',
    )

    deep: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        None, description="of `deep`: units of the second hidden layer; 1 if left out"
    )

    @property
    def settings(self) -> dict[str, str]:
        """The settings of families that are given here, as coordinates have them."""
        given = {name: getattr(self, name) for name in FamilyKeys.model_fields if name != "family"}
        return {
            name: ",".join(value) if isinstance(value, list) else str(value)
            for name, value in given.items()
            if value is not None
        }


class ModelSection(FamilyKeys):
    """[model]: which machines are trained, and how their parameters start."""

    paulis: PaulisList | None = Field(
        None, description='one or several sets such as `"Z"`, `"XZ"`, `"XYZ"`'
    )
    visible: CountList | None = Field(None, description="numbers of visible units, one or a list")
    hidden: CountList | None = Field(None, description="numbers of hidden qubits, one or a list")
    hidden_by_paulis: dict[Paulis, CountList] = Field(
        default_factory=dict,
        description="other lists of `hidden` for some of the sets, e.g. `Z = [4, 8]`",
    )
    scale: Annotated[float, BeforeValidator(_scale)] = Field(
        1.0, description="initial parameters are uniform in [-scale, scale]"
    )
    fields: Literal["uniform", "data"] = Field(
        "uniform",
        description='`"uniform"`, or `"data"`: visible fields start at those that match the first '
        "moments of the data",
    )
    connectivity: Annotated[str, BeforeValidator(_connectivity)] = Field(
        connectivity.DENSE,
        description='which visible units a hidden qubit couples to: `"dense"` (all), `"line-4"`, '
        '`"ring-4"`, `"lattice-8x8-2x2"`, `"torus-8x8-2x2"`: see below',
    )
    couple: Paulis | None = Field(
        None,
        description="which Paulis couple to visible units, all if left out; the others are fields "
        'only, their w stay 0: `"Z"` with `paulis = "XZ"` is the RBM with a transverse field on '
        "its hidden units. Runs that lack couplings have `couple` as a coordinate",
    )


HELD_OUT = ("valid", "test")
"""Keys of [data] that name files of held-out rows."""


class Parts(NamedTuple):
    """What is held out to test and to validate with, as :func:`tnqbm.datasets.load_parts` takes it:
    shares of the rows, where equal rows fall, or files of their own; and what all files mean."""

    test: float
    valid: float
    repeats: str
    test_file: str | None = None
    valid_file: str | None = None
    preparation: Preparation = Preparation()


class SourceKeys(Section):
    """Keys of [data] that say where the rows come from."""

    name: NameList | None = Field(
        None,
        description="`bas`, `on2`, `cardinality`, `parity`, `gaussian` (or `gaussian-2d`, "
        "`gaussian-m0.5-w0.125`: mean and width), `digits`, `ising-T2.269` (any temperature), or "
        "paths of [data files](how-to/own-data.md), relative to the study file "
        "(`file.h5:train` for one array of several); one or a list",
    )
    train: Name | None = Field(
        None, description="instead of `name`: a file of rows to train with, beside `test`"
    )
    valid: Name | None = Field(
        None, description="a file of rows to choose settings with, recorded as `valid_nll`"
    )
    test: Name | None = Field(
        None, description="a file of rows to test with, recorded as `test_nll`"
    )
    test_fraction: Annotated[float, BeforeValidator(_fraction)] = Field(
        0.0,
        description="share of the rows held out, the same rows in all runs; their likelihood is "
        "recorded as `test_nll`",
    )
    valid_fraction: Annotated[float, BeforeValidator(_fraction)] = Field(
        0.0,
        description="share of the rows held out to choose settings with, recorded as `valid_nll`",
    )
    repeats: Literal["together", "anywhere"] | None = Field(
        None,
        description='where equal rows fall: `"together"` in one part, or `"anywhere"`, right for '
        "independent draws. To be said if held-out rows are trained with otherwise",
    )


class DataSection(PreparationKeys, SourceKeys):
    """[data]: built-in data sets by name, or files relative to the study file."""

    @property
    def names(self) -> list[str]:
        """The data sets that are trained with."""
        return self.name or ([] if self.train is None else [self.train])

    @property
    def preparation(self) -> Preparation:
        """What the values of files mean."""
        return Preparation(**{key: getattr(self, key) for key in PreparationKeys.model_fields})

    @property
    def parts(self) -> Parts:
        """What is held out, and where equal rows fall: "anywhere" unless the study says it."""
        return Parts(
            self.test_fraction,
            self.valid_fraction,
            self.repeats or "anywhere",
            self.test,
            self.valid,
            self.preparation,
        )

    @property
    def has_test(self) -> bool:
        return bool(self.test or self.test_fraction)

    @property
    def has_valid(self) -> bool:
        return bool(self.valid or self.valid_fraction)


class GridSection(FamilyKeys):
    """[[grid]]: one product of values; what it leaves out comes from the tables above."""

    paulis: PaulisList | None = None
    visible: CountList | None = None
    hidden: CountList | None = None
    hidden_by_paulis: dict[Paulis, CountList] = Field(default_factory=dict)
    data: NameList | None = None
    gradient: NameList | None = None
    couple: Paulis | None = None


class TrainingSection(Section):
    """[training]: how all models are trained, and by which estimators of the gradient.

    ``given`` are the settings that the table gives, by name, beside what its ``recipe`` stands for.
    """

    recipe: str | None = None
    gradient: NameList = Field(default_factory=lambda values: _own_gradient(values["recipe"]))
    given: dict[str, Any] = Field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """The settings given, and those of the recipe that are not."""
        return {**recipe_values(self.recipe), **self.given}


def by_recipe(model: ModelSection, recipe: str | None) -> ModelSection:
    """The models of a study, which start as its recipe says where nothing else is given."""
    start = STARTS[recipe] if recipe else {}
    left = {name: v for name, v in start.items() if name not in model.model_fields_set}
    return model.model_copy(update=left)


def recipe_values(recipe: str | None) -> dict[str, Any]:
    """Settings that a recipe stands for, the gradient apart."""
    values = RECIPES[recipe] if recipe else {}
    return {name: value for name, value in values.items() if name not in _ELSEWHERE}


def _own_gradient(recipe: str | None) -> list[str]:
    return [RECIPES[recipe]["gradient"] if recipe else "exact"]


class GradientSection(Section):
    """[gradients.NAME]: an estimator under a name of one's own, and where it is trained otherwise
    than [training] says: ``given`` by name."""

    gradient: Name | None = None
    given: dict[str, Any] = Field(default_factory=dict)


_ELSEWHERE = ("gradient", "records", "snapshots")
"""Settings of trainings that have a key in another table, or another meaning."""


def settings_keys() -> dict[str, Any]:
    """Keys of [training] and [gradients.NAME] with their types: the settings of trainings."""
    provide()
    keys: dict[str, Any] = {}
    for name, (field, _, alike) in all_settings().items():
        if name in _ELSEWHERE:
            continue
        kind: Any = str
        if not alike:
            kind = Any  # checked with the part that it is for
        elif name not in PARTS:
            kind = field.annotation
            for validator in field.metadata:
                kind = Annotated[kind, validator]
        keys[name] = (kind, Field(None, description=field.description))
    return keys


def training_schema() -> type[Section]:
    """What [training] may hold: the fields of :class:`TrainingSection` but ``given``, and the
    settings of trainings."""
    return _schemas()[0]


def gradient_schema() -> type[Section]:
    """What [gradients.NAME] may hold."""
    return _schemas()[1]


def _schemas() -> tuple[type[Section], type[Section]]:
    provide()
    return _schemas_of(known_parts())


@cache
def _schemas_of(parts: tuple[tuple[str, ...], ...]) -> tuple[type[Section], type[Section]]:
    several = (NameList, Field(["exact"], description="estimators of the gradient, one or a list"))
    recipe: Any = (
        Annotated[str, choice(*RECIPES)] | None,
        Field(
            None,
            description=f"{' or '.join(f'`{name}`' for name in RECIPES)}: values for settings of "
            "training, and for `scale` and `fields`, that the study leaves out, see "
            "[recipes](how-to/choose-gradient.md#recipes)",
        ),
    )
    single = (Name, Field(None, description="the estimator, where the name does not say it"))
    keys = settings_keys()
    return (
        create_model("TrainingKeys", __base__=Section, gradient=several, recipe=recipe, **keys),
        create_model("GradientKeys", __base__=Section, gradient=single, **keys),
    )


S = TypeVar("S", TrainingSection, GradientSection)


def gathered(section: type[S], keys: BaseModel) -> S:
    """A section from keys that were checked by its schema."""
    given = {name: getattr(keys, name) for name in keys.model_fields_set}
    own = {name: given.pop(name) for name in ("gradient", "recipe") if name in given}
    return section(**own, given=given)


class OutputSection(Section):
    """[output]: what is kept of each run."""

    records: Annotated[int | None, BeforeValidator(_records)] = Field(
        DEFAULT_RECORDS,
        description='metric rows kept per run, log-spaced over the updates, or `"all"`',
    )
    snapshots: int = Field(0, ge=0, description="parameter snapshots kept per run, log-spaced")
    metrics: Annotated[list[str], BeforeValidator(_metrics)] | None = Field(
        None,
        description=f"any of {', '.join(f'`{name}`' for name in METRICS)}; if left out all that "
        "are known, log Z only for estimated gradients",
    )
    model: bool = Field(True, description="keep the final parameters")


class RunSection(Section):
    """[run]: how the work is done; nothing here changes a number."""

    batch: Count | None = Field(
        None, description="seeds trained together, changes no number; by cost if left out"
    )
    ranks_per_run: Count = Field(
        1, description="MPI ranks that share one run, changes no number: see below"
    )
    checkpoint_seconds: float = Field(
        60.0, ge=0, allow_inf_nan=False, description="time between checkpoints of unfinished tasks"
    )
