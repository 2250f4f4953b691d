"""Whether the parts of a study fit together: values that are right each, but not with each other.

Every problem is one line: the dotted key, the value found, and what is near or to be done.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from mc.studies.combinations import wrong_combinations
from mc.studies.gradients import label_settings
from mc.studies.sections import HELD_OUT
from mc.studies.study import Study, is_data_file
from mc.studies.text import MAX_GROUPS, MAX_PARAMETERS, MAX_RUNS, failure, near_value
from tnqbm.core.shape import Shape
from tnqbm.training.early_stopping import refuse_nothing_to_watch
from tnqbm.training.estimators.exact import EXACT_EVALUATION, AutomaticEvaluation
from tnqbm.training.families import FAMILIES
from tnqbm.training.settings import TrainingSettings, all_settings

EXAMPLES = {
    "name": 'name = "bas-small"',
    "seeds": "seeds = 20",
    "paulis": 'paulis = ["Z", "XZ", "XYZ"]',
    "visible": "visible = [6]",
    "hidden": "hidden = [1, 2, 3]",
    "data": 'data = ["bas"]',
    "data.name": 'name = ["bas"]',
}


def study_problems(
    study: Study, *, products: bool, labels: bool, archived: bool = False
) -> list[str]:
    """All problems, one line each.

    ``products`` and ``labels`` say whether what products and labels of gradients are made of is
    itself well formed; if not, they are left out. Studies in archives (``archived``) may have
    settings that nothing uses.
    """
    problems = [*_missing(study), *_wrong_sources(study)] if products else []
    if labels:
        problems += _wrong_labels(study)
    wrong, good = _settings(study) if labels else ([], {})
    if products:
        problems += wrong_combinations(study, good)
    problems += _wrong_teams(study, good)
    problems += _wrong_patience(study, good)
    problems += wrong
    if labels and not problems and not archived:
        problems += _unused(study)
    return problems


def too_large(study: Study) -> list[str]:
    """What the study asks for in absurd numbers, before anything is made of it."""
    problems, groups = [], 0
    for product in study.products():
        hidden = [product.hidden_by_paulis.get(paulis, product.hidden) for paulis in product.paulis]
        sizes = len(product.data) * len(product.visible) * len(product.gradient)
        groups += sizes * sum(map(len, hidden))
        n = max(product.visible, default=0)
        most = FAMILIES[product.family].most_units
        units = n + max((m for ms in hidden for m in ms), default=0)
        if most is not None and units > most:
            problems.append(
                f"model: visible and hidden units of family {product.family!r} are at most {most} "
                f"together, not {units}"
            )
        for paulis, ms in zip(product.paulis, hidden, strict=True):
            size = Shape(n, max(ms, default=0), len(paulis)).size
            if size > MAX_PARAMETERS:
                problems.append(
                    f"model: visible = {n} and hidden = {max(ms)} with paulis = {paulis!r} are "
                    f"{size:,} parameters; at most {MAX_PARAMETERS:,} are accepted"
                )
    runs = groups * len(study.seeds)
    for count, largest, what in (
        (groups, MAX_GROUPS, "combinations of data, sizes, Paulis and gradients"),
        (runs, MAX_RUNS, "runs, combinations times seeds"),
    ):
        if count > largest:
            problems.append(
                f"the study asks for {count:,} {what}; at most {largest:,} are accepted, so "
                "divide it into several studies"
            )
    return problems


def without_likelihood(study: Study) -> list[str]:
    """One line for each gradient whose runs will record no likelihood because of a default."""
    lines: dict[str, None] = {}
    for product in study.products():
        for label in product.gradient:
            settings = study.settings(label)
            large = [n for n in product.visible if not settings.evaluate.finds(n)]
            default = isinstance(settings.evaluate, AutomaticEvaluation)
            if large and default and not settings.gradient.knows_log_partition:
                line = (
                    f"runs of {label!r} with {large[0]} visible units record no likelihood: "
                    f"evaluate = 'auto' finds log Z up to {EXACT_EVALUATION} only; set evaluate = "
                    "'ais' under [training], with a few evaluations"
                )
                lines[line] = None
    return list(lines)


def _missing(study: Study) -> list[str]:
    """Keys that neither the grid tables nor [model] and [data] give."""
    problems = []
    for k, product in enumerate(study.products()):
        uncovered = set(product.paulis) - set(product.hidden_by_paulis)
        wanted = {
            "model.paulis": product.paulis,
            "model.visible": product.visible,
            "model.hidden": product.hidden or (not uncovered and product.paulis),
            "data.name": product.data,
        }
        for key, value in wanted.items():
            if not value:
                word = "data" if key == "data.name" else key.rpartition(".")[2]
                line = f"{key}: missing; for example {EXAMPLES.get(key, EXAMPLES[word])}"
                if study.grid:
                    line = f"grid[{k}].{word}: missing; give it here, or as {key} for all"
                problems.append(line)
        # What a grid table inherits may well be for another table's Paulis.
        own = not study.grid or study.grid[k].hidden_by_paulis
        stray = set(product.hidden_by_paulis) - set(product.paulis)
        if stray and product.paulis and own:
            name, at = min(stray), f"grid[{k}]" if study.grid else "model"
            near = near_value(name, product.paulis)
            problems.append(f"{at}.hidden_by_paulis.{name}: not one of the paulis here{near}")
    return problems


def _wrong_sources(study: Study) -> Iterator[str]:
    """Keys of [data] that say twice, or not at all, where rows come from or what they mean."""
    data = study.data
    if data.train is not None and data.name is not None:
        yield f"data.train = {data.train!r}: give name or train, not both"
    if data.train is not None and any(grid.data for grid in study.grid):
        yield f"data.train = {data.train!r}: is for one data set; leave data away in [[grid]]"
    for key in ("valid", "test"):
        file, share = getattr(data, key), getattr(data, f"{key}_fraction")
        if file is None:
            continue
        if data.train is None:
            yield f"data.{key} = {file!r}: goes with train, the file of rows to train with"
        if share:
            yield f"data.{key} = {file!r}: give {key} or {key}_fraction, not both"
    for key in ("train", *HELD_OUT):
        file = getattr(data, key)
        if file is not None and not is_data_file(file):
            yield f"data.{key} = {file!r}: is no data file; data sets by name go into data.name"
    used = {name for product in study.products() for name in product.data}
    if used and not any(map(is_data_file, used)):
        for key, value in data.preparation.given().items():
            yield f"data.{key} = {value!r}: is about files, and {min(used)!r} is bits already"


# --- gradients and settings --------------------------------------------------------------------


def _wrong_labels(study: Study) -> list[str]:
    """Labels of gradients that mean nothing, and tables that no label names."""
    problems: dict[str, None] = {}
    used = study.labels()
    for k, product in enumerate(study.products()):
        own = bool(study.grid) and study.grid[k].gradient is not None
        key = f"grid[{k}].gradient" if own else "training.gradient"
        for label in dict.fromkeys(product.gradient):
            message = failure(label_settings, label, study.training, study.gradients)
            name, _, message = message.partition(": ")
            # The value is shown already.
            message = message.removeprefix(f"{label!r} is ")
            table = study.gradients.get(label)
            if table is None and name:
                problems[f"{key} = {label!r}: {message}"] = None
            elif table is not None and name:
                value = table.gradient if name == "gradient" else table.given.get(name)
                shown = "" if value is None else f" = {value!r}"
                message = message.removeprefix(f"{value!r} is ")
                problems[f"gradients.{label}.{name}{shown}: {message}"] = None
    for label in study.gradients:
        if label not in used:
            near = difflib.get_close_matches(label, used, 1, 0.6)
            meant = f", which now names {near[0]!r}" if near else ""
            problems[f"gradients.{label}: not used; add it to training.gradient{meant}"] = None
    return list(problems)


def _settings(study: Study) -> tuple[list[str], dict[str, TrainingSettings]]:
    """What is wrong with the settings of labels, under the file's keys, and those without fault."""
    problems: dict[str, None] = {}
    good = {}
    for label in study.labels():
        if failure(label_settings, label, study.training, study.gradients):
            continue  # of :func:`_wrong_labels`
        try:
            good[label] = study.settings(label)
            continue
        except ValueError as error:
            setting, _, message = str(error).partition(": ")
        own = study.gradients[label].given if label in study.gradients else {}
        where, given = "training", study.training.given
        if setting in ("records", "snapshots"):
            where, given = "output", study.output.model_dump()
        elif setting in own:
            where, given = f"gradients.{label}", own
        value = given.get(setting)
        if value is None:  # something else does not go with the label
            problems[f"{label!r}: {setting}: {message}"] = None
            continue
        message = message.removeprefix(f"{value!r} is ").removesuffix(f", got {value!r}")
        problems[f"{where}.{setting} = {value!r}: {message}"] = None
    return list(problems), good


def _unused(study: Study) -> Iterator[str]:
    """Settings in [training] that none of the study's trainings has."""
    used = {name for label in study.labels() for name in study.settings(label).flat()}
    for name, value in study.training.given.items():
        if name not in used:
            owners = [
                f"{kind} {', '.join(map(repr, parts))}"
                for kind, parts in all_settings()[name].owners.items()
            ]
            yield (
                f"training.{name} = {value!r}: nothing in this study has such a setting; it is one "
                f"of {' and of '.join(owners)}"
            )


def _wrong_teams(study: Study, settings: Mapping[str, TrainingSettings]) -> Iterator[str]:
    """Gradients that several ranks cannot work on together."""
    size = study.run.ranks_per_run
    for label, training in settings.items():
        if size == 1:
            return
        gradient = training.gradient
        most = gradient.most_members(training)
        if gradient.alone:
            yield (
                f"run.ranks_per_run = {size}: {label!r} {gradient.alone}, which several ranks "
                "cannot share; leave the key out, or put such gradients into a study of their own"
            )
        elif most is not None and most < size:
            yield (
                f"run.ranks_per_run = {size}: the {gradient.sample_size} chains of {label!r} can "
                f"be shared by at most {most} (64 or more for each rank)"
            )


def _wrong_patience(study: Study, settings: Mapping[str, TrainingSettings]) -> Iterator[str]:
    """Early stopping where there is nothing to watch."""
    for product in study.products():
        for label in product.gradient:
            training = settings.get(label)
            if training is None or training.gradient.knows_log_partition:
                continue
            for n in product.visible:
                evaluated = training.evaluate.finds(n)
                message = failure(refuse_nothing_to_watch, training, n, evaluated)
                if message:
                    yield f"{label!r}: {message}"
                    break
