"""Labels of gradients: what "exact", "cd-10" or a name of the study's own stand for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from mc.estimators.settings import provide
from mc.studies.sections import GradientSection, TrainingSection
from tnqbm.training.estimators import GRADIENTS
from tnqbm.training.settings import has_setting

OWN_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]*", re.ASCII)
"""What a name in [gradients.NAME] may look like."""

_WITH_STEPS = re.compile(r"(.+)-(\d+)", re.ASCII)


def estimators() -> tuple[str, ...]:
    """Names of all estimators of gradients."""
    provide()
    return GRADIENTS.names()


def _sweeps(name: str) -> bool:
    """Whether the steps of an estimator may stand in its label."""
    return GRADIENTS.find(name).sweeps


def parse_label(label: str) -> dict[str, Any] | None:
    """Settings that a label means by itself, or None if it names no estimator.

    "pcd" is the estimator; "pcd-10" that with 10 sweeps per update, of those that have sweeps.
    """
    known = estimators()
    if label in known:
        return {"gradient": label}
    match = _WITH_STEPS.fullmatch(label)
    if match and match[1] in known and _sweeps(match[1]) and int(match[2]) > 0:
        return {"gradient": match[1], "steps": int(match[2])}
    return None


def label_settings(
    label: str, training: TrainingSection, own: Mapping[str, GradientSection]
) -> dict[str, Any]:
    """Settings of the trainings under a label, by name.

    The label's own table comes first, then the label itself, then of [training] what its estimator,
    optimizer and evaluator have. Raises ValueError "gradient: what is wrong", or "steps: ..." about
    the label's own table.
    """
    meant = parse_label(label)
    table = own.get(label)
    if table is None:
        if meant is None:
            raise ValueError(f"gradient: {label!r} {unknown_label(label, own)}")
        return {**_relevant(training.values, meant), **meant}
    given = dict(table.given)
    if table.gradient is not None:
        if table.gradient not in estimators():
            raise ValueError(f"gradient: {table.gradient!r} {_no_estimator(table.gradient)}")
        if (meant or {}).get("gradient", table.gradient) != table.gradient:
            raise ValueError(
                f"gradient: {table.gradient!r} is not what the name {label!r} says; choose another "
                "name"
            )
        given["gradient"] = table.gradient
    elif meant is None:
        raise ValueError(f"gradient: missing; choose from {', '.join(estimators())}")
    if "steps" in given and (meant or {}).get("steps", given["steps"]) != given["steps"]:
        raise ValueError(
            f"steps: {given['steps']!r} is not what the name {label!r} says; choose another name"
        )
    chosen = {**(meant or {}), **given}
    return {**_relevant(training.values, chosen), **chosen}


def _relevant(given: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What [training] gives that the parts of these trainings have."""
    parts = {**given, **chosen}
    return {name: value for name, value in given.items() if has_setting(parts, name)}


def unknown_label(label: str, own: Collection[str]) -> str:
    """Why a label means nothing, and what may have been meant."""
    known = estimators()
    problem = "is not an estimator of gradients"
    match = _WITH_STEPS.fullmatch(label)
    if match and match[1] in known:
        if not _sweeps(match[1]):
            return f"{problem}: {match[1]!r} takes no steps; did you mean {match[1]!r}?"
        return f"{problem}: the number of steps must be at least 1"
    choices = [*own, *known]
    near = difflib.get_close_matches(label, choices, 1, 0.7)
    if not near and match:
        sweeping = [name for name in known if _sweeps(name)]
        names = difflib.get_close_matches(match[1], sweeping, 1)
        near = [f"{name}-{int(match[2])}" for name in names]
    near = near or difflib.get_close_matches(label, choices, 1, 0.5)
    if near:
        return f"{problem}; did you mean {near[0]!r}?"
    return f"{problem}; choose from {', '.join(choices)}, with steps as in 'pcd-10'"


def _no_estimator(name: str) -> str:
    known = estimators()
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    meant = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
    return f"is not an estimator of gradients; {meant}"
