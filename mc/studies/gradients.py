"""Labels of gradients: what "exact", "cd-10" or a name of the study's own stand for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from mc.studies.sections import GradientSection, TrainingSection

EXACT = "exact"
CONTRACTION = "contraction"
QUANTUM = "quantum"
WITHOUT_CHAINS = (EXACT, CONTRACTION)
"""Estimators that are exact: they have no sweeps, draw nothing, and find log Z themselves."""

OWN_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]*", re.ASCII)
"""What a name in [gradients.NAME] may look like."""

_WITH_STEPS = re.compile(r"(.+)-(\d+)", re.ASCII)


def methods() -> tuple[str, ...]:
    """Names of all estimators of the model's averages."""
    from mc.estimators.provide import provide
    from tnqbm.training import phases

    provide()
    return phases.names()


def parse_label(label: str, known: Collection[str]) -> dict[str, Any] | None:
    """Settings that a label means by itself, or None if it is no method of ``known``.

    "pcd" is the method; "pcd-10" the method with 10 sweeps per update. Exact gradients
    ("exact" and "contraction") have no sweeps.
    """
    if label in known:
        return {"negative_phase": label}
    match = _WITH_STEPS.fullmatch(label)
    with_sweeps = match and match[1] in known and match[1] not in WITHOUT_CHAINS
    if match and with_sweeps and int(match[2]) > 0:
        return {"negative_phase": match[1], "steps": int(match[2])}
    return None


def label_settings(
    label: str, training: TrainingSection, own: Mapping[str, GradientSection]
) -> dict[str, Any]:
    """Settings of the trainings under a label, in the names of TrainingSettings.

    The label's own table comes first, then the label itself, then [training]. Raises ValueError
    "gradient: what is wrong" or "method: ...", the latter about the label's own table.
    """
    known = methods()
    meant = parse_label(label, known)
    table = own.get(label)
    if table is None:
        if meant is None:
            raise ValueError(f"gradient: {label!r} {unknown_label(label, known, own)}")
        return {**training.given(), **meant}
    given = table.given()
    if table.method is not None:
        if table.method not in known:
            raise ValueError(f"method: {table.method!r} {_not_a_method(table.method, known)}")
        meant_method = (meant or {}).get("negative_phase", table.method)
        if meant_method != table.method:
            raise ValueError(
                f"method: {table.method!r} is not what the name {label!r} says; choose another name"
            )
        given["negative_phase"] = table.method
    elif meant is None:
        raise ValueError(f"method: missing; choose from {', '.join(known)}")
    if "steps" in given and (meant or {}).get("steps", given["steps"]) != given["steps"]:
        raise ValueError(
            f"steps: {given['steps']!r} is not what the name {label!r} says; choose another name"
        )
    return {**training.given(), **(meant or {}), **given}


def unknown_label(label: str, known: Collection[str], own: Collection[str]) -> str:
    """Why a label means nothing, and what may have been meant."""
    problem = "is not an estimator of gradients"
    match = _WITH_STEPS.fullmatch(label)
    if match and match[1] in WITHOUT_CHAINS:
        return f"{problem}: exact gradients take no steps; did you mean {match[1]!r}?"
    if match and match[1] in known:
        return f"{problem}: the number of steps must be at least 1"
    choices = [*own, *known]
    near = difflib.get_close_matches(label, choices, 1, 0.7)
    if not near and match:
        sweeping = [name for name in known if name not in WITHOUT_CHAINS]
        method = difflib.get_close_matches(match[1], sweeping, 1)
        near = [f"{name}-{int(match[2])}" for name in method]
    near = near or difflib.get_close_matches(label, choices, 1, 0.5)
    if near:
        return f"{problem}; did you mean {near[0]!r}?"
    return f"{problem}; choose from {', '.join(choices)}, with steps as in 'pcd-10'"


def _not_a_method(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    meant = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
    return f"is not an estimator of gradients; {meant}"
