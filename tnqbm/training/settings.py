"""Settings of a training run, validated on construction, and the record schedule.

They consist of parts: an estimator of the gradient, an optimizer, and an evaluator of log Z for the
rows that are recorded, each with settings of its own. Every setting stands in one class, with its
default and a description; keywords of :func:`tnqbm.train`, study files and the identity of runs are
views of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializeAsAny
from pydantic.fields import FieldInfo

from tnqbm.base.arguments import unknown_names
from tnqbm.base.limits import MAX_COUNTS
from tnqbm.training.bias import REFERENCES, ReferenceSettings
from tnqbm.training.costs import Size
from tnqbm.training.estimators import EVALUATORS, GRADIENTS, EvaluatorSettings, GradientSettings
from tnqbm.training.optimizers import OPTIMIZERS, OptimizerSettings
from tnqbm.training.recipes import expanded
from tnqbm.training.registry import Part, Registry
from tnqbm.training.schema import Flag, Settings, choice, number, whole

PARTS: dict[str, Registry[Any]] = {
    "gradient": GRADIENTS,
    "optimizer": OPTIMIZERS,
    "evaluate": EVALUATORS,
    "bias_reference": REFERENCES,
}

SCHEDULES = ("constant", "exponential", "cosine", "step")
PRECISIONS = ("double", "single")


class TrainingSettings(Settings):
    """How a model is trained. ValueError with "field: what is wrong" if a value is impossible.

    ``gradient``, ``optimizer`` and ``evaluate`` are names, or settings of one such as
    :class:`mc.estimators.settings.PCD`. Settings of named parts may be given beside their names:
    ``TrainingSettings(gradient="pcd", chains=200)``. A setting that none of the parts has is an
    error that says whose it is. ``recipe`` stands for values of several settings, which count where
    nothing else is given (:mod:`tnqbm.training.recipes`).
    """

    gradient: SerializeAsAny[GradientSettings] = Field(
        description="estimator of the gradient", default=None, validate_default=False
    )  # type: ignore[assignment]
    optimizer: SerializeAsAny[OptimizerSettings] = Field(
        description="`amsgrad`, `adam`, `sgd`, `natural` or `em`", default=None,
        validate_default=False,
    )  # type: ignore[assignment]  # fmt: skip
    learning_rate: Annotated[float, number()] = Field(0.1, description="step size; `em` takes none")
    schedule: Annotated[str, choice(*SCHEDULES)] = Field(
        "constant",
        description="of the learning rate: `constant`, `exponential` (lr decay^(k / decay_steps)), "
        "`step` (the same, in steps), `cosine` (from lr to lr decay)",
    )
    decay: Annotated[float, number()] = Field(
        0.1, description="factor of the schedule: per `decay_steps`, or at the end of `cosine`"
    )
    decay_steps: Annotated[int, whole(1, MAX_COUNTS["decay_steps"])] = Field(
        1000, description="updates for one factor `decay`"
    )
    iterations: Annotated[int, whole(0, MAX_COUNTS["iterations"])] = Field(
        2000, description="number of updates"
    )
    records: Annotated[int, whole(1, MAX_COUNTS["records"])] | None = Field(
        None, description="metric rows kept, log-spaced over the updates; all if left out"
    )
    snapshots: Annotated[int, whole(0, MAX_COUNTS["snapshots"])] = Field(
        0, description="parameter snapshots kept, log-spaced, first and last included"
    )
    patience: Annotated[int, whole(0, MAX_COUNTS["patience"])] = Field(
        0,
        description="stop when the negative log-likelihood (of validation data, else of test "
        "data, else of the training data) has not fallen by more than `min_delta` for so many "
        "updates, and give the model at its lowest; 0: never",
    )
    min_delta: Annotated[float, number()] = Field(0.0, description="see `patience`; nats")
    precision: Annotated[str, choice(*PRECISIONS)] = Field(
        "double", description="arithmetic inside kernels: `double` or `single`"
    )
    batch_size: Annotated[int, whole(0, MAX_COUNTS["batch_size"])] = Field(
        0, description="rows of data that an update averages over; 0: all"
    )
    centred: Flag = Field(False, description="follow the centred (enhanced) gradient")
    weight_decay: Annotated[float, number()] = Field(
        0.0, description="this multiple of couplings is added to their gradient (L2)"
    )
    clip: Annotated[float, number()] = Field(
        0.0, description="largest Euclidean norm of a run's gradient; 0: any"
    )
    evaluate: SerializeAsAny[EvaluatorSettings] = Field(
        description="log Z of recorded rows: `exact`, `ais` or `contraction`, also where the "
        "gradient estimates it (`weighted`, `tensor`); `none`; or `auto`, which leaves it to the "
        "gradient, and is `exact` for at most 16 visible units where the gradient does not find it",
        default=None, validate_default=False,
    )  # type: ignore[assignment]  # fmt: skip
    evaluations: Annotated[int, whole(1, MAX_COUNTS["evaluations"])] | None = Field(
        None,
        description="at how many recorded rows log Z is evaluated or, where the gradient knows it, "
        "checked; log-spaced, the last one always; at all if left out",
    )
    bias_reference: SerializeAsAny[ReferenceSettings] = Field(
        description="exact averages with which the gradient is compared at recorded rows: "
        "`exact`, `contraction`, `tensor`, or `none`; see [bias](gradient-bias.md)",
        default=None, validate_default=False,
    )  # type: ignore[assignment]  # fmt: skip

    def __init__(self, **values: Any) -> None:
        values = expanded(values, has_setting)
        for kind, registry in PARTS.items():
            values[kind] = registry.make(values.get(kind, DEFAULT_PARTS[kind]), values)
            for name in _clash(type(values[kind])):
                raise ValueError(
                    f"{name}: {kind} {values[kind].name!r} has a setting of this name, which is "
                    "one of training itself: rename that of the estimator or optimizer"
                )
        refuse_foreign(values, tuple(values[kind] for kind in PARTS))
        super().__init__(**values)
        if self.recorded_rows > MAX_COUNTS["records"]:
            raise ValueError(
                f"records: {self.recorded_rows} rows, one for every update, are too many; keep "
                f"fewer, for example records = 1000 (at most {MAX_COUNTS['records']})"
            )
        self.optimizer.check_training(self)

    def flat(self) -> dict[str, Any]:
        """All values by the names that study files use, those of parts beside those of training."""
        flat: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            flat[name] = value.name if name in PARTS else value
            if name in PARTS:
                flat |= value.flat()
        return flat

    @property
    def sees_all_data(self) -> bool:
        """Whether every update averages over the whole of the data."""
        return not self.batch_size

    @property
    def recorded_rows(self) -> int:
        """How many metric rows are kept."""
        every = self.iterations + 1
        return every if self.records is None else min(every, self.records)

    @property
    def recorded_steps(self) -> NDArray[np.int64]:
        """Numbers of updates after which a metric row is kept; 0 is the start."""
        return log_spaced(self.iterations, self.records)

    @property
    def evaluated_steps(self) -> NDArray[np.int64]:
        """Those of :attr:`recorded_steps` at which log Z is asked for, if it has to be."""
        return self.spread(self.evaluations)

    @property
    def evaluates(self) -> bool:
        """Whether log Z of those rows is asked of :attr:`evaluate`: gradients may know it."""
        gradient = self.gradient
        return not gradient.exact and (self.evaluate.chosen or not gradient.knows_log_partition)

    def checks_of_sizes(self) -> list[Callable[[Size, TrainingSettings], None]]:
        """What raises ValueError or MemoryError if models of a size cannot be trained so."""
        parts: list[GradientSettings | OptimizerSettings | ReferenceSettings | EvaluatorSettings]
        parts = [self.gradient, self.optimizer, self.bias_reference]
        if self.evaluates:
            parts.append(self.evaluate)
        return [part.check for part in parts]

    def spread(self, count: int | None) -> NDArray[np.int64]:
        """So many of :attr:`recorded_steps`, log-spaced, the last one always; None: all."""
        steps = self.recorded_steps
        if count is None or count >= steps.size:
            return steps
        if steps.size > self.iterations:
            return log_spaced(self.iterations, count)
        # The rows are log-spaced themselves.
        first = 0 if count > 1 else steps.size - 1
        rows = np.round(np.linspace(first, steps.size - 1, count)).astype(np.int64)
        return np.asarray(steps[rows])

    @property
    def snapshot_steps(self) -> NDArray[np.int64]:
        """Numbers of updates after which the parameters are kept."""
        return log_spaced(self.iterations, self.snapshots)


DEFAULT_PARTS = {
    "gradient": "exact",
    "optimizer": "amsgrad",
    "evaluate": "auto",
    "bias_reference": "none",
}


def refuse_foreign(values: Mapping[str, Any], parts: tuple[Any, ...]) -> None:
    """ValueError for settings that are those of other parts, or of nothing at all."""
    foreign = [name for name in values if name not in TrainingSettings.model_fields]
    for name in foreign:
        for kind, registry in PARTS.items():
            if owners := registry.owners(name):
                part = next(part for part in parts if isinstance(part, registry.base))
                raise ValueError(
                    f"{name}: {kind} {part.name!r} has no such setting; it is one of "
                    f"{', '.join(map(repr, owners))}"
                )
    if foreign:
        unknown_names(foreign, tuple(all_settings()), "TrainingSettings")


def has_setting(parts: Mapping[str, Any], name: str) -> bool:
    """Whether a training has a setting of this name, given the names of its parts.

    Names that are not known count as having every setting, so that the error is about them.
    """
    if name in TrainingSettings.model_fields:
        return True
    for kind, registry in PARTS.items():
        try:
            part = registry.find(parts.get(kind, DEFAULT_PARTS[kind]))
        except ValueError:
            return True
        if name in part.flat_fields():
            return True
    return False


class Setting(NamedTuple):
    """One setting of trainings: its field, and whose it is: {kind: names of parts}, or {}.

    ``alike`` says whether all parts that have it take the same values.
    """

    field: FieldInfo
    owners: dict[str, list[str]]
    alike: bool = True


def default_of(name: str) -> Any:
    """The default of a setting, by name; KeyError if there is none."""
    return DEFAULT_PARTS[name] if name in PARTS else all_settings()[name].field.default


def known_parts() -> tuple[tuple[str, ...], ...]:
    """Names of all parts, by which what follows from their classes may be cached."""
    return tuple(registry.names() for registry in PARTS.values())


def all_settings() -> dict[str, Setting]:
    """All settings of trainings and of their parts by name, those of installed packages included.

    ``records`` and ``snapshots`` included. Where parts share a name the first one's field counts.
    """
    return _settings_of(known_parts())


@cache
def _settings_of(parts: tuple[tuple[str, ...], ...]) -> dict[str, Setting]:
    return dict(_all_settings())


def _all_settings() -> Iterator[tuple[str, Setting]]:
    shared: dict[str, Setting] = {}
    for kind, registry in PARTS.items():
        for part in registry:
            if _clash(part):
                continue  # an error where it is used
            for name, field in part.flat_fields().items():
                setting = shared.setdefault(name, Setting(field, {}))
                setting.owners.setdefault(kind, []).append(part.name)
                if _kind_of(field) != _kind_of(setting.field):
                    shared[name] = setting._replace(alike=False)
    for name, field in TrainingSettings.model_fields.items():
        yield name, Setting(field, {})
    yield from shared.items()


def _kind_of(field: FieldInfo) -> tuple[Any, list[Any]]:
    return field.annotation, field.metadata


def _clash(part: type[Part]) -> list[str]:
    """Settings of a part that are named like one of training itself."""
    return [name for name in part.flat_fields() if name in TrainingSettings.model_fields]


def log_spaced(last: int, count: int | None) -> NDArray[np.int64]:
    """Distinct integers from 0 to ``last``, both included, evenly spaced on a log scale.

    ``count`` is how many; None or more than last + 1 gives all of them, 1 only the last, 0 none.
    """
    if count == 0:
        return np.empty(0, dtype=np.int64)
    if count is None or count > last:
        return np.arange(last + 1, dtype=np.int64)
    if count == 1:
        return np.array([last], dtype=np.int64)
    # Small steps collide after rounding; take a finer grid until enough distinct ones remain.
    finer = count - 1
    while True:
        grid = np.round(np.geomspace(1, max(1, last), finer)).astype(np.int64)
        steps = np.unique(np.concatenate([[0], grid, [last]]))
        if steps.size >= count:
            break
        finer += max(1, finer // 8)
    if steps.size > count:
        # Thin the sparse end least: drop evenly, keeping both ends.
        keep = np.unique(np.round(np.linspace(0, steps.size - 1, count)).astype(np.int64))
        steps = steps[keep]
    return steps
