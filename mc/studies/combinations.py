"""Whether data, sizes, Paulis and gradients of a study fit each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from mc.studies.seeds import Coordinate
from mc.studies.study import SEEDED_DATA, Product, Study, coupled_paulis, is_data_file
from mc.studies.text import failure, near_value
from tnqbm import datasets
from tnqbm.core.connectivity import DENSE, hidden_units, named
from tnqbm.training.families import FAMILIES
from tnqbm.training.minibatches import epoch_rows
from tnqbm.training.settings import TrainingSettings


def wrong_combinations(study: Study, settings: Mapping[str, TrainingSettings]) -> list[str]:
    """Data, sizes, Paulis and gradients that do not fit each other, each reported once."""
    problems: dict[str, None] = {}
    for k, product in enumerate(study.products()):
        at = f"grid[{k}]." if study.grid else ""
        visible_key = f"{at}visible" if study.grid else "model.visible"
        data_key = f"{at}data" if study.grid else "data.name"
        hidden_key = f"{at}hidden" if at else "model.hidden"
        for line in _wrong_connectivity(study, product, visible_key, hidden_key):
            problems[line] = None
        for line in _wrong_family(study, product, k, settings):
            problems[line] = None
        for line in _wrong_coupling(study, product, k, settings):
            problems[line] = None
        too_large: set[int] = set()
        if not problems:
            for line, n in _wrong_sizes(study, product, settings):
                problems[line] = None
                too_large.add(n)
        fitting = [n for n in dict.fromkeys(product.visible) if n not in too_large]
        for name in dict.fromkeys(product.data):
            for line in _wrong_data(study, name, data_key, visible_key, fitting):
                problems[line] = None
        if not problems:
            for line in _wrong_batches(study, product, settings):
                problems[line] = None
    return list(problems)


def _wrong_sizes(
    study: Study, product: Product, settings: Mapping[str, TrainingSettings]
) -> Iterator[tuple[str, int]]:
    """Models that an estimator, optimizer or evaluator does not support, and their visible units.

    Each complaint once for each label, at the first size that it is about.
    """
    seen = set()
    for label, n, paulis in itertools.product(product.gradient, product.visible, product.paulis):
        training = settings.get(label)
        if training is None:
            continue
        for m in product.hidden_by_paulis.get(paulis, product.hidden):
            coordinates: dict[str, Coordinate] = {"visible": n, "hidden": m, "paulis": paulis}
            coordinates |= product.of_family
            size = study.size(coordinates)
            for check in training.checks_of_sizes():
                message = failure(check, size, training).removeprefix("MemoryError: ")
                if message and (label, message) not in seen:
                    seen.add((label, message))
                    at = ", ".join(f"{key} = {value!r}" for key, value in coordinates.items())
                    if study.model.connectivity != DENSE:
                        at += f", connectivity = {study.model.connectivity!r}"
                    yield f"{label!r} with {at}: {message}", n


def _wrong_connectivity(
    study: Study, product: Product, visible_key: str, hidden_key: str
) -> Iterator[str]:
    """Sizes that the connectivity of the study does not fit."""
    name = study.model.connectivity
    if name == DENSE:
        return
    for n, paulis in itertools.product(product.visible, product.paulis):
        key = f"model.connectivity = {name!r} with {visible_key} = {n}"
        message = failure(hidden_units, name, n)
        if message:
            yield f"{key}: {message.removeprefix(f'connectivity {name!r} ')}"
            continue
        for m in product.hidden_by_paulis.get(paulis, product.hidden):
            message = failure(named, name, n, m)
            if message:
                message = message.removeprefix(f"connectivity {name!r} ")
                yield f"{key} and {hidden_key} = {m}: {message}"


def _wrong_family(
    study: Study, product: Product, k: int, settings: Mapping[str, TrainingSettings]
) -> Iterator[str]:
    """What does not go with the family of models: Paulis, settings, sizes, and gradients."""
    family = FAMILIES[product.family]
    named = bool(study.grid) and study.grid[k].family is not None
    key = f"{f'grid[{k}]' if named else 'model'}.family = {product.family!r}"
    for paulis in dict.fromkeys(product.paulis if family.paulis else ()):
        if set(paulis) != set(family.paulis):
            yield f"{key}: has paulis = {family.paulis!r}, not {paulis!r}"
    if product.couple is not None and not family.couples:
        yield f"{key}: couple is for sqRBMs and sqBMs; leave it out"
    for name in study.grid[k].settings if study.grid else ():
        if name not in family.settings:
            yield f"grid[{k}].{name}: {product.family!r} has no such setting{_settings(product)}"
    used = {name for each in study.products() for name in FAMILIES[each.family].settings}
    for name in study.model.settings:
        if name not in used:
            yield f"model.{name}: {product.family!r} has no such setting{_settings(product)}"
    for n, paulis in itertools.product(product.visible, product.paulis):
        for m in product.hidden_by_paulis.get(paulis, product.hidden):
            where: dict[str, Coordinate] = {"visible": n, "hidden": m, "paulis": paulis}
            where |= product.of_family
            if coupled_paulis(paulis, product.couple) not in ("", paulis):
                where["couple"] = coupled_paulis(paulis, product.couple)
            if message := failure(study.size, where):
                yield f"{key} with visible = {n} and hidden = {m}: {message}"
                continue
            for label in product.gradient:
                if label in settings and (
                    message := failure(family.check, study.shape(where), settings[label])
                ):
                    yield f"{label!r} with {key}: {message}"


def _settings(product: Product) -> str:
    own = ", ".join(FAMILIES[product.family].settings)
    return f"; it has {own}" if own else ""


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


def _wrong_data(
    study: Study, name: str, data_key: str, visible_key: str, sizes: Sequence[int]
) -> Iterator[str]:
    from_file = is_data_file(name)
    if not from_file and not datasets.is_name(name):
        near = near_value(name, datasets.NAMES)
        why = ""
        if name.startswith("ising"):
            near, why = "", "; the Ising model is named by its temperature, as in 'ising-T2.269'"
        elif name.startswith("gaussian"):
            near, why = "", "; Gaussians are named as in 'gaussian-2d' or 'gaussian-m0.5-w0.125'"
        yield f"{data_key} = {name!r}: no such data set, nor a data file{near}{why}"
        return
    check: Callable[..., Any] = datasets.check
    if from_file:
        check = partial(datasets.load, preparation=study.data.preparation)
    for n in sizes:
        message = failure(check, study.data_source(name), n)
        if not message and (study.data.has_test or study.data.has_valid):
            message = _wrong_split(study, name, n)
        if message:
            yield f"{data_key} = {name!r} with {visible_key} = {n}: {message}"


def _wrong_split(study: Study, name: str, n: int) -> str:
    """Why a data set cannot be split as the study says."""
    parts = study.data.parts
    if parts.test + parts.valid >= 1:
        return f"test_fraction + valid_fraction = {parts.test + parts.valid:g} must be below 1"
    # Samples of the Ising model take a while to make, and can always be split.
    if not is_data_file(name) and not (name in datasets.NAMES or datasets.is_exact(name)):
        return ""
    return failure(study.target, {"data": name, "visible": n}, 0)


def unsaid_repeats(study: Study) -> list[str]:
    """One line for each data set of which held-out rows are trained with, where the study does not
    say that they may be.

    Not among :func:`study_problems`: studies in archives that were made before the key existed
    must load, and go on as they began.
    """
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
            shares = {"test": study.data.test_fraction, "valid": study.data.valid_fraction}
            held_out = {"test": study.test_target(where), "valid": study.valid_target(where)}
            for kind, target in held_out.items():
                if not shares[kind]:  # nothing, or a file of its own
                    continue
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


def _wrong_batches(
    study: Study, product: Product, settings: Mapping[str, TrainingSettings]
) -> Iterator[str]:
    """Minibatches that are larger than the data, which have to be loaded for that."""
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
