"""Whether the parts of a study fit together: values that are right each, but not with each other.

Every problem is one line: the dotted key, the value found, and what is near or to be done.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mc.running.team import most_members
from mc.studies.gradients import (
    CONTRACTION,
    EXACT,
    QUANTUM,
    WITHOUT_CHAINS,
    label_settings,
    methods,
)
from mc.studies.limits import MAX_GROUPS, MAX_PARAMETERS, MAX_RUNS
from mc.studies.study import SEEDED_DATA, Product, Study, coupled_paulis, is_data_file
from tnqbm.core.connectivity import DENSE, hidden_units, named
from tnqbm.core.shape import Shape
from tnqbm.training.early_stopping import refuse_nothing_to_watch
from tnqbm.training.settings import EXACT_EVALUATION, TrainingSettings

EXAMPLES = {
    "name": 'name = "bas-small"',
    "seeds": "seeds = 20",
    "paulis": 'paulis = ["Z", "XZ", "XYZ"]',
    "visible": "visible = [6]",
    "hidden": "hidden = [1, 2, 3]",
    "data": 'data = ["bas"]',
    "data.name": 'name = ["bas"]',
}


def study_problems(study: Study, *, products: bool, labels: bool) -> list[str]:
    """All problems, one line each.

    ``products`` and ``labels`` say whether what products and labels of gradients are made of is
    itself well formed; if not, they are left out.
    """
    problems = _missing(study) if products else []
    if labels:
        problems += _wrong_labels(study)
    settings = _wrong_settings(study)
    good = _good_settings(study) if labels else {}
    if products:
        problems += _wrong_combinations(study, good)
    problems += _wrong_teams(study, good)
    problems += _wrong_devices(good)
    problems += _wrong_curvature(study, good)
    problems += _wrong_patience(study, good)
    if labels and not problems and not settings:
        problems += _wrong_together(study)
    return problems + settings


def too_large(study: Study) -> list[str]:
    """What the study asks for in absurd numbers, before anything is made of it."""
    problems, groups = [], 0
    for product in study.products():
        hidden = [product.hidden_by_paulis.get(paulis, product.hidden) for paulis in product.paulis]
        sizes = len(product.data) * len(product.visible) * len(product.gradient)
        groups += sizes * sum(map(len, hidden))
        n = max(product.visible, default=0)
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
    from tnqbm.training.phases import KNOW_LOG_PARTITION

    lines: dict[str, None] = {}
    for product in study.products():
        for label in product.gradient:
            one = study.settings(label)
            large = [n for n in product.visible if n > EXACT_EVALUATION]
            if large and one.evaluate == "auto" and one.negative_phase not in KNOW_LOG_PARTITION:
                line = (
                    f"runs of {label!r} with {large[0]} visible units record no likelihood: "
                    f"evaluate = 'auto' finds log Z up to {EXACT_EVALUATION} only; set evaluate = "
                    "'ais' under [training], with a few evaluations"
                )
                lines[line] = None
    return list(lines)


def near_value(value: str, choices: Sequence[str]) -> str:
    """What was probably meant, or all there is to choose from, as the end of a message."""
    near = difflib.get_close_matches(value, choices, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(choices)}"


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


# --- gradients and settings --------------------------------------------------------------------


def _wrong_labels(study: Study) -> list[str]:
    """Labels of gradients that mean nothing, and tables that no label names."""
    problems: dict[str, None] = {}
    used = study.labels()
    for k, product in enumerate(study.products()):
        own = bool(study.grid) and study.grid[k].gradient is not None
        key = f"grid[{k}].gradient" if own else "training.gradient"
        for label in dict.fromkeys(product.gradient):
            message = _failure(label_settings, label, study.training, study.gradients)
            name, _, message = message.partition(": ")
            # The value is shown already.
            message = message.removeprefix(f"{label!r} is ")
            if name == "gradient":
                problems[f"{key} = {label!r}: {message}"] = None
            elif name:
                value = getattr(study.gradients[label], name, None)
                shown = "" if value is None else f" = {value!r}"
                message = message.removeprefix(f"{value!r} is ")
                problems[f"gradients.{label}.{name}{shown}: {message}"] = None
    for label in study.gradients:
        if label not in used:
            near = difflib.get_close_matches(label, used, 1, 0.6)
            meant = f", which now names {near[0]!r}" if near else ""
            problems[f"gradients.{label}: not used; add it to training.gradient{meant}"] = None
    return list(problems)


def _good_settings(study: Study) -> dict[str, TrainingSettings]:
    """Settings of the labels that have no problem."""
    found = {}
    for label in study.labels():
        try:
            found[label] = study.settings(label)
        except ValueError:
            continue
    return found


def _wrong_settings(study: Study) -> list[str]:
    """What TrainingSettings complains about, under the file's keys."""
    given = study.training.given()
    problems = [
        *_complaints(given | _kept(study), "training"),
        *_wrong_evaluator(given, "training"),
    ]
    for label, table in study.gradients.items():
        own = table.given()
        problems += _complaints(own, f"gradients.{label}")
        problems += _wrong_evaluator(own, f"gradients.{label}")
    return problems


def _kept(study: Study) -> dict[str, Any]:
    return {"records": study.output.records, "snapshots": study.output.snapshots}


def _complaints(given: Mapping[str, Any], section: str) -> Iterator[str]:
    """All complaints of TrainingSettings, which stops at the first."""
    given = dict(given)
    seen: set[str] = set()
    while True:
        try:
            TrainingSettings(**given)
            return
        except ValueError as error:
            field, _, message = str(error).partition(": ")
        if field in seen:
            return
        seen.add(field)
        if not message:  # not about one field
            yield f"{section}: {field}"
            return
        where = "output" if field in ("records", "snapshots") else section
        value = given.pop(field, None)
        shown = "" if value is None else f" = {value!r}"
        # The value is shown already.
        message = message.removeprefix(f"{value!r} is ").removesuffix(f", got {value!r}")
        yield f"{where}.{field}{shown}: {message}"


def _wrong_evaluator(given: Mapping[str, Any], section: str) -> Iterator[str]:
    from tnqbm.training import phases

    methods()  # makes the evaluators of this package known, too
    choices = ("auto", *phases.log_partition_names(), "none")
    name = given.get("evaluate", "auto")
    if name and name not in choices:
        near = near_value(name, choices)
        yield f"{section}.evaluate = {name!r}: no such way to find log Z{near}"


def _wrong_teams(study: Study, settings: Mapping[str, TrainingSettings]) -> Iterator[str]:
    """Gradients that several ranks cannot work on together."""
    size = study.run.ranks_per_run
    for label, one in settings.items():
        if size == 1:
            return
        if one.negative_phase in WITHOUT_CHAINS:
            does = "enumerates" if one.negative_phase == EXACT else "contracts a network"
            yield (
                f"run.ranks_per_run = {size}: {label!r} {does}, which several ranks cannot "
                "share; leave the key out, or put exact gradients into a study of their own"
            )
        elif one.negative_phase == QUANTUM:
            yield (
                f"run.ranks_per_run = {size}: {label!r} measures circuits, which several ranks "
                "cannot share; leave the key out"
            )
        elif one.negative_phase == "tempered" and most_members(one) < size:
            yield (
                f"run.ranks_per_run = {size}: the {one.chains} chains of {label!r} can be shared "
                f"by at most {most_members(one)} (64 or more for each rank)"
            )


def _wrong_devices(settings: Mapping[str, TrainingSettings]) -> Iterator[str]:
    """Backends of quantum circuits that are not known, or Qiskit missing."""
    for label, one in settings.items():
        if one.negative_phase != QUANTUM:
            continue
        from tnqbm.quantum.conventions import need_qiskit
        from tnqbm.quantum.devices import check_backend

        for message in (
            _failure(check_backend, one.backend),
            _failure(need_qiskit, f"gradient {label!r}"),
        ):
            if message:
                yield f"{label!r}: {message}"
        if one.strategy != "imaginary-time" and one.chains < 2:
            yield f"{label!r}: chains = 1; strategy {one.strategy!r} needs at least 2"


def _wrong_together(study: Study) -> Iterator[str]:
    """Settings that are right in each table, but not together, as a label's runs have them."""
    for label in study.labels():
        message = _failure(study.settings, label)
        if message:
            yield f"{label!r}: {message}"


def _wrong_patience(study: Study, settings: Mapping[str, TrainingSettings]) -> Iterator[str]:
    """Early stopping where there is nothing to watch."""
    from tnqbm.training.phases import KNOW_LOG_PARTITION

    for product in study.products():
        for label in product.gradient:
            one = settings.get(label)
            if one is None or one.negative_phase in KNOW_LOG_PARTITION:
                continue
            for n in product.visible:
                blind = one.evaluate == "none" or (one.evaluate == "auto" and n > EXACT_EVALUATION)
                message = _failure(refuse_nothing_to_watch, one, n, not blind)
                if message:
                    yield f"{label!r}: {message}"
                    break


def _wrong_curvature(study: Study, settings: Mapping[str, TrainingSettings]) -> Iterator[str]:
    """Optimizers that would sum a metric over more visible states than they can."""
    from tnqbm.training.second_order.scores import MAX_ENUMERATED

    for product in study.products():
        largest = max(product.visible, default=0)
        for label in product.gradient:
            one = settings.get(label)
            if one is None or largest <= MAX_ENUMERATED:
                continue
            if one.negative_phase not in WITHOUT_CHAINS:
                continue
            how = "optimizer = 'natural' and exact gradients" if one.optimizer == "natural" else ""
            if one.optimizer == "em" and one.inner_solver == "newton":
                how = "optimizer = 'em' and inner_solver = 'newton'"
            if how:
                yield (
                    f"{label!r}: {how} take at most {MAX_ENUMERATED} visible units, not {largest}"
                )


# --- combinations ------------------------------------------------------------------------------


def _wrong_combinations(study: Study, settings: Mapping[str, TrainingSettings]) -> list[str]:
    """Data, sizes, Paulis and gradients that do not fit each other, each reported once."""
    problems: dict[str, None] = {}
    for k, product in enumerate(study.products()):
        at = f"grid[{k}]." if study.grid else ""
        visible_key = f"{at}visible" if study.grid else "model.visible"
        data_key = f"{at}data" if study.grid else "data.name"
        used = [settings[label] for label in product.gradient if label in settings]
        fitting = []
        for n in dict.fromkeys(product.visible):
            message = _too_many(n, used, study.model.connectivity)
            if message:
                problems[f"{visible_key} = {n}: {message}"] = None
            else:
                fitting.append(n)
        hidden_key = f"{at}hidden" if at else "model.hidden"
        for line in _wrong_connectivity(study, product, visible_key, hidden_key):
            problems[line] = None
        for line in _wrong_coupling(study, product, k, settings):
            problems[line] = None
        for name in dict.fromkeys(product.data):
            for line in _wrong_data(study, name, data_key, visible_key, fitting):
                problems[line] = None
        for line in _wrong_kernels(product, settings, f"{at}paulis" if at else "model.paulis"):
            problems[line] = None
        if not problems:
            for line in _wrong_batches(study, product, settings):
                problems[line] = None
            for line in _too_wide(study, product, settings):
                problems[line] = None
    return list(problems)


def _too_many(n: int, used: Sequence[TrainingSettings], connectivity: str) -> str:
    """Why n visible units are too many for what enumerates them."""
    from tnqbm.base.limits import check_enumerable

    message = _failure(check_enumerable, n)
    if message and connectivity != DENSE:
        message += (
            f"; models with connectivity = {connectivity!r} may have exact gradients at this size: "
            f"'{CONTRACTION}', also as evaluate = '{CONTRACTION}'"
        )
    if any(one.negative_phase == EXACT for one in used) or not message:
        return message
    if any(one.evaluate == EXACT and one.negative_phase not in WITHOUT_CHAINS for one in used):
        return f"evaluate = 'exact': {message}"
    return ""


def _wrong_connectivity(
    study: Study, product: Product, visible_key: str, hidden_key: str
) -> Iterator[str]:
    """Sizes that the connectivity of the study does not fit."""
    name = study.model.connectivity
    if name == DENSE:
        return
    for n, paulis in itertools.product(product.visible, product.paulis):
        key = f"model.connectivity = {name!r} with {visible_key} = {n}"
        message = _failure(hidden_units, name, n)
        if message:
            yield f"{key}: {message.removeprefix(f'connectivity {name!r} ')}"
            continue
        for m in product.hidden_by_paulis.get(paulis, product.hidden):
            message = _failure(named, name, n, m)
            if message:
                message = message.removeprefix(f"connectivity {name!r} ")
                yield f"{key} and {hidden_key} = {m}: {message}"


def _wrong_coupling(
    study: Study, product: Product, k: int, settings: Mapping[str, TrainingSettings]
) -> Iterator[str]:
    """Pauli sets of which nothing couples, and gradients that move what is held fixed."""
    if product.couple is None:
        return
    own = bool(study.grid) and study.grid[k].couple is not None
    key = f"{f'grid[{k}]' if own else 'model'}.couple = {product.couple!r}"
    for paulis in dict.fromkeys(product.paulis):
        coupled = coupled_paulis(paulis, product.couple)
        if not coupled:
            yield f"{key}: none of these couples in paulis = {paulis!r}; no unit would be coupled"
        if coupled in ("", paulis):
            continue
        for label in product.gradient:
            if label in settings and settings[label].centred:
                yield (
                    f"{key}: {label!r} is centred, which mixes all parameters; give centred = false"
                )


def _too_wide(
    study: Study, product: Product, settings: Mapping[str, TrainingSettings]
) -> Iterator[str]:
    """Models whose networks are too large to be contracted; planning them takes a while."""
    labels = [label for label in product.gradient if _contracts(settings.get(label))]
    if not labels:
        return
    from tnqbm.training.contraction import plan

    shapes = {
        (n, m, len(paulis))
        for n, paulis in itertools.product(product.visible, product.paulis)
        for m in product.hidden_by_paulis.get(paulis, product.hidden)
    }
    for n, m, p in sorted(shapes):
        mask = named(study.model.connectivity, n, m)
        message = _failure(plan, mask, n, m, p).removeprefix("MemoryError: ")
        if message:
            yield (
                f"{labels[0]!r} with visible = {n}, hidden = {m}, {p} Pauli{'s' * (p > 1)} and "
                f"connectivity = {study.model.connectivity!r}: {message}"
            )


def _contracts(settings: TrainingSettings | None) -> bool:
    """Whether gradients, or the log Z of recorded rows, come from exact contraction."""
    if settings is None:
        return False
    evaluated = settings.evaluate == CONTRACTION and settings.negative_phase != EXACT
    return evaluated or settings.negative_phase == CONTRACTION


def _wrong_data(
    study: Study, name: str, data_key: str, visible_key: str, sizes: Sequence[int]
) -> Iterator[str]:
    from tnqbm import datasets

    from_file = is_data_file(name)
    if not from_file and not datasets.is_name(name):
        near = near_value(name, datasets.NAMES)
        why = ""
        if name.startswith("ising"):
            near, why = "", "; the Ising model is named by its temperature, as in 'ising-T2.269'"
        yield f"{data_key} = {name!r}: no such data set, nor a data file{near}{why}"
        return
    check: Callable[..., Any] = datasets.load if from_file else datasets.check
    for n in sizes:
        message = _failure(check, study.data_source(name), n)
        if not message and (study.data.test_fraction or study.data.valid_fraction):
            message = _wrong_split(study, name, n)
        if message:
            yield f"{data_key} = {name!r} with {visible_key} = {n}: {message}"


def _wrong_split(study: Study, name: str, n: int) -> str:
    """Why a data set cannot be split as the study says."""
    from tnqbm import datasets

    parts = study.data.parts
    if parts.test + parts.valid >= 1:
        return f"test_fraction + valid_fraction = {parts.test + parts.valid:g} must be below 1"
    # Samples of the Ising model take a while to make, and can always be split.
    if not is_data_file(name) and name not in datasets.NAMES:
        return ""
    return _failure(study.target, {"data": name, "visible": n}, 0)


def unsaid_repeats(study: Study) -> list[str]:
    """One line for each data set of which held-out rows are trained with, where the study does not
    say that they may be.

    Not among :func:`study_problems`: studies in archives that were made before the key existed
    must load, and go on as they began.
    """
    from tnqbm import datasets

    if study.data.repeats is not None:
        return []
    lines: dict[str, None] = {}
    for product in study.products():
        for name, n in itertools.product(product.data, product.visible):
            source = study.data_source(name)
            if datasets.is_exact(source) or datasets.natural_repeats(source) == "anywhere":
                continue
            where: dict[str, str | int | float] = {"data": name, "visible": n}
            train = {row.tobytes() for row in study.target(where, 0).states}
            held_out = {"test": study.test_target(where), "valid": study.valid_target(where)}
            for kind, target in held_out.items():
                states = [] if target is None else [row.tobytes() for row in target.states]
                shared = len(train.intersection(states))
                if shared:
                    line = (
                        f"data.repeats: missing; {shared} of the {len(states)} distinct {kind} "
                        f"rows of {name!r} are among those to train with. repeats = "
                        '"together" keeps equal rows in one part; repeats = "anywhere" lets each '
                        "fall where it falls, which is right for independent draws"
                    )
                    lines[line] = None
    return list(lines)


def _wrong_kernels(
    product: Product, settings: Mapping[str, TrainingSettings], key: str
) -> Iterator[str]:
    for label in product.gradient:
        if label not in settings or settings[label].negative_phase in WITHOUT_CHAINS:
            continue
        kernel = settings[label].kernel
        if kernel == "auto":
            continue
        from mc.kernels import check_kernel

        for paulis in dict.fromkeys(product.paulis):
            message = _failure(check_kernel, kernel, len(paulis))
            if message:
                yield f"kernel = {kernel!r} of {label!r} with {key} = {paulis!r}: {message}"


def _wrong_batches(
    study: Study, product: Product, settings: Mapping[str, TrainingSettings]
) -> Iterator[str]:
    """Minibatches that are larger than the data, which have to be loaded for that."""
    from tnqbm.training.minibatches import epoch_rows

    asked = {settings[label].batch_size: label for label in product.gradient if label in settings}
    largest = max(asked, default=0)
    if not largest:
        return
    for name in dict.fromkeys(product.data):
        for n in dict.fromkeys(product.visible):
            seed = study.seeds[0] if name in SEEDED_DATA else 0
            target = study.target({"data": name, "visible": n}, seed)
            rows = epoch_rows(target.probabilities)
            if rows is not None and rows.size < largest:
                yield (
                    f"batch_size = {largest} of {asked[largest]!r} is more than the {rows.size} "
                    f"rows of {name!r} with {n} visible units; 0 uses all of them in every update"
                )


def _failure(check: Callable[..., Any], *arguments: Any) -> str:
    """What ``check(*arguments)`` complains about, or an empty text."""
    try:
        check(*arguments)
    except (ValueError, OSError, ImportError) as error:
        return str(error)
    except Exception as error:  # e.g. ArchiveError for a damaged .h5 data file
        return f"{type(error).__name__}: {error}"
    return ""
