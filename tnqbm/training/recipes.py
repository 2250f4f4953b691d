"""Recipes: values of settings that go together, for trainings that nobody has tuned.

A recipe stands in for the defaults. Whatever is given beside it counts instead, and a setting that
none of the chosen parts has is left out, so that every gradient can be trained by the same recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    "auto": {
        "gradient": "weighted",
        "chains": 4000,
        "iterations": 5000,
        "optimizer": "amsgrad",
        "learning_rate": 0.1,
        "schedule": "cosine",
        "decay": 0.01,
    },
}
"""Values by name. "auto": chains with weights, which shorten updates that go too far for them, and
a learning rate that falls to a hundredth."""

STARTS: dict[str, dict[str, Any]] = {"auto": {"scale": 0.1, "fields": "data"}}
"""How the parameters of models should start, in the words of study files: small, with visible
fields that match the data's first moments, so that chains begin where the data are."""


def expanded(
    values: Mapping[str, Any], belongs: Callable[[Mapping[str, Any], str], bool]
) -> dict[str, Any]:
    """The values with those of their ``recipe``, if they name one, in place of it.

    ``belongs(values, name)`` says whether a training with the parts in ``values`` has a setting.
    ValueError for an unknown recipe.
    """
    given = dict(values)
    recipe = given.pop("recipe", None)
    if recipe is None:
        return given
    if not isinstance(recipe, str) or recipe not in RECIPES:
        raise ValueError(f"recipe: {recipe!r} is not one of {', '.join(map(repr, RECIPES))}")
    parts = {**RECIPES[recipe], **given}
    return {name: value for name, value in parts.items() if name in given or belongs(parts, name)}
