"""What decides a study's numbers, and whether two starts of a study may share an archive."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from mc.studies.gradients import label_settings, parse_label
from mc.studies.sections import HELD_OUT
from mc.studies.study import Study, is_data_file
from tnqbm.archive.contents import SETTINGS as SETTINGS
from tnqbm.base.errors import StudyError
from tnqbm.core.connectivity import DENSE
from tnqbm.datasets.preparation import PreparationKeys
from tnqbm.datasets.readers import source
from tnqbm.training.estimators import GRADIENTS
from tnqbm.training.settings import all_settings, default_of

# An identity is compared with those in archives and checkpoints of earlier versions. These keys
# have always been in it; later settings are in it only where they differ from their defaults.
_ALWAYS = (
    "optimizer", "learning_rate", "beta1", "beta2", "epsilon", "momentum", "schedule", "decay",
    "decay_steps", "iterations", "patience", "min_delta", "precision",
)  # fmt: skip
_FIRST_METRICS = ("kl", "tvd", "nll", "gradient_norm")
_ABSENT = object()

DATA = "data"
"""Name of the provenance entry that says what the study's data files are and what was done to them,
as JSON."""


def study_identity(study: Study) -> dict[str, Any]:
    """Everything that decides a run's numbers besides its coordinates, by dotted key.

    Two studies with equal identities may share an archive; [run] is not part of it.
    """
    found: dict[str, Any] = {"seed": study.seed, "model.scale": study.model.scale}
    if study.model.fields != "uniform":
        found["model.fields"] = study.model.fields
    if study.model.connectivity != DENSE:
        found["model.connectivity"] = study.model.connectivity
    parts = study.data.parts
    for key, value in (("test_fraction", parts.test), ("valid_fraction", parts.valid)):
        if value:
            found[f"data.{key}"] = value
    if (parts.test or parts.valid) and parts.repeats != "anywhere":
        found["data.repeats"] = parts.repeats
    base = _values(study.training.values)
    for name, value in base.items():
        if name in _ALWAYS or value != default_of(name):
            found[f"training.{name}"] = value
    labels = study.labels()
    if len(labels) == 1:
        found["training.gradient"] = labels[0]
    for label in labels:
        if label not in study.gradients:
            continue
        own = label_settings(label, study.training, study.gradients)
        if parse_label(label) is None:
            found[f"gradients.{label}.method"] = own["gradient"]
        for name, value in _values({**study.training.values, **own}).items():
            if value != base[name]:
                found[f"gradients.{label}.{name}"] = value
    found |= {f"output.{key}": value for key, value in study.output.model_dump().items()}
    if study.output.metrics is None:
        found["output.metrics"] = list(_FIRST_METRICS)
    files = sorted({str(c["data"]) for c in study.combinations()})
    for name in filter(is_data_file, files):
        found[f"data.{name}"] = study.data_facts(name)["file"]
        found[f"streams.{name}"] = study.data_digest(name)
    found |= {f"data.{key}": value for key, value in study.data.preparation.given().items()}
    for key in HELD_OUT:
        name = getattr(study.data, key)
        if name is not None:
            found[f"data.{key}"] = study.data_facts(name)["file"]
    return found


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of all settings of trainings that can decide numbers, defaults filled in.

    Settings of all estimators and optimizers, in the order in which these are known, whichever are
    used: so it has been since the first archives.
    """
    apart = ("gradient", "records", "snapshots")
    return {name: given.get(name, default_of(name)) for name in all_settings() if name not in apart}


def labels_of(coordinates: Iterable[str]) -> set[str]:
    """Labels of gradients among runs, given their coordinates as canonical JSON."""
    return {str(json.loads(text).get("gradient", "exact")) for text in coordinates}


def data_of(coordinates: Iterable[str]) -> set[str]:
    """Data sets among runs, given their coordinates as canonical JSON."""
    return {str(json.loads(text).get("data", "")) for text in coordinates}


def with_absent(
    before: Mapping[str, Any], now: Mapping[str, Any], study: Study, finished: Collection[str]
) -> dict[str, Any]:
    """``now`` with what ``before`` says of labels and data files that the study has no more.

    ``finished`` are the coordinates of the runs that are there, as canonical JSON: should the
    study ask for such runs again, their settings are to be compared.
    """
    labels = labels_of(finished) - set(study.labels())
    files = data_of(finished)
    kept = {}
    for key, value in before.items():
        section, _, name = key.partition(".")
        gone = section == "gradients" and name.rpartition(".")[0] in labels
        gone = gone or (section in ("data", "streams") and name in files)
        if gone and key not in now:
            kept[key] = value
    return {**now, **kept}


def same_numbers(before: str, now: str, coordinates: Mapping[str, Any]) -> bool:
    """Whether runs of these coordinates come out alike under two identities, given as JSON."""
    if before == now:
        return True
    try:
        old, new = json.loads(before), json.loads(now)
    except ValueError:
        return False
    label, data = str(coordinates.get("gradient", "exact")), str(coordinates.get("data", ""))
    return not identity_changes(old, new, [label], [data])


def identity_changes(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    labels: Iterable[str],
    data: Collection[str] | None = None,
) -> list[str]:
    """One line for every setting on which the runs of an earlier start depend and that changed.

    ``labels`` are the gradients of these runs, ``data`` their data sets (None: any). What concerns
    only other gradients or data files is no change.
    """
    earlier = set(labels)
    lines: list[str] = []
    if not earlier:
        return lines
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key, _ABSENT), now.get(key, _ABSENT)
        if old == new or key == "training.gradient":  # gradients are coordinates
            continue
        section, _, name = key.partition(".")
        of_file = section in ("data", "streams") and key not in _DEFAULTS
        if of_file and data is not None and name not in data:
            continue
        if section == "gradients":
            label, _, name = name.rpartition(".")
            # Where a label's table is silent, [training] and the label's own meaning hold.
            default: Any = "not set"
            if label not in earlier or not _differ(before, now, label, name):
                continue
        elif section == "data" and key not in _DEFAULTS:
            # Files come and go with the runs that use them, which are compared apart.
            if _ABSENT in (old, new):
                continue
            default = _ABSENT
        elif section == "streams":
            # Earlier versions named random streams after the file; its rows are compared above.
            if old is _ABSENT and f"data.{name}" in before:
                lines.append(f"random streams of {name} were named by the file, now by its rows")
            continue
        else:
            default = _default(key)
            if section == "training":
                if not any(_concerns(name, label) for label in earlier):
                    continue
                if not any(_differ(before, now, label, name) for label in earlier):
                    continue
        if default is _ABSENT and old is _ABSENT:
            continue
        if default is _ABSENT and new is _ABSENT:
            lines.append(f"{key} was {_shown(old)} and is not known to this version")
            continue
        old, new = (default if value is _ABSENT else value for value in (old, new))
        if section == "gradients" and name == "method":  # what identities call it, as ever
            key = f"gradients.{label}.gradient"
        lines.append(f"{key} was {_shown(old)} and is now {_shown(new)}")
    return lines


def _concerns(name: str, label: str) -> bool:
    """Whether a setting may decide numbers of runs with a label, as far as the label tells."""
    meant, setting = parse_label(label), all_settings().get(name)
    if meant is None or setting is None:
        return True
    gradient = GRADIENTS.find(meant["gradient"])
    if name in ("evaluate", "evaluations") or "evaluate" in setting.owners:
        return not gradient.exact
    owners = setting.owners.get("gradient")
    return not owners or gradient.name in owners


def _differ(before: Mapping[str, Any], now: Mapping[str, Any], label: str, name: str) -> bool:
    """Whether a setting has other values for the runs of a label: its own, or [training]'s."""
    own, common = f"gradients.{label}.{name}", f"training.{name}"
    old, new = (found.get(own, found.get(common, _default(common))) for found in (before, now))
    return bool(old != new)


_DEFAULTS: dict[str, Any] = {
    "model.fields": "uniform",
    "model.connectivity": DENSE,
    "data.test_fraction": 0.0,
    "data.valid_fraction": 0.0,
    "data.repeats": "anywhere",
    **{f"data.{key}": None for key in HELD_OUT},
    **{f"data.{key}": field.default for key, field in PreparationKeys.model_fields.items()},
}


def _default(key: str) -> Any:
    """The value of a key that an identity leaves out, or _ABSENT for one that is always there."""
    section, _, name = key.partition(".")
    if section == "training" and name not in _ALWAYS and name in all_settings():
        return default_of(name)
    return _DEFAULTS.get(key, _ABSENT)


def _shown(value: Any) -> str:
    text = value if value == "not set" else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def file_digest(path: Path) -> str:
    """ "sha256:" and the digest of a data file; StudyError if it cannot be read."""
    try:
        return source.file_digest(path)
    except OSError as error:
        raise StudyError(f"data file {path} cannot be read: {error.strerror or error}") from error
