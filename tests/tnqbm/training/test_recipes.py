"""Recipes: what they stand for, and that what is given counts instead."""

from __future__ import annotations

import pytest

import tnqbm
from mc.estimators.settings import provide
from tnqbm import SqRBM, TrainingSettings
from tnqbm.datasets import load
from tnqbm.training.recipes import RECIPES, expanded

provide()


def test_a_recipe_is_its_settings() -> None:
    assert TrainingSettings(recipe="auto") == TrainingSettings(**RECIPES["auto"])
    assert TrainingSettings(recipe=None) == TrainingSettings()


def test_what_is_given_counts() -> None:
    found = TrainingSettings(recipe="auto", chains=7, decay=0.5)
    assert found == TrainingSettings(**{**RECIPES["auto"], "chains": 7, "decay": 0.5})


def test_other_gradients_take_what_they_have() -> None:
    cd = TrainingSettings(recipe="auto", gradient="cd")
    assert cd.gradient.name == "cd"
    assert cd.flat()["chains"] == RECIPES["auto"]["chains"]
    assert cd.schedule == "cosine"
    exact = TrainingSettings(recipe="auto", gradient="exact")
    assert "chains" not in exact.flat()
    with pytest.raises(ValueError, match="chains"):
        TrainingSettings(recipe="auto", gradient="exact", chains=3)
    em = TrainingSettings(recipe="auto", gradient="exact", optimizer="em")
    assert em.optimizer.name == "em"


@pytest.mark.parametrize("name", ["best", 3, ""])
def test_unknown_recipes(name: object) -> None:
    with pytest.raises(ValueError, match=r"recipe: .* is not one of 'auto'"):
        expanded({"recipe": name}, lambda values, setting: True)


def test_train_by_a_recipe() -> None:
    """Bars and stripes, six bits, with nothing chosen but the effort."""
    target = load("bas", 6)
    model = SqRBM.uniform(6, 3, "XYZ", seed=1)
    by_recipe = tnqbm.train(
        model, target, recipe="auto", chains=400, iterations=400, records=3, seed=1
    )
    given = {**RECIPES["auto"], "chains": 400, "iterations": 400}
    the_same = tnqbm.train(model, target, records=3, seed=1, **given)
    assert by_recipe.model == the_same.model
    assert by_recipe.tvd is not None
    assert by_recipe.tvd[-1] < 0.1


def test_defaults_of_train_are_those_of_the_settings() -> None:
    target = load("bas", 4)
    model = SqRBM.uniform(4, 1, "XZ", seed=1)
    short = tnqbm.train(model, target, iterations=5)
    spelled = tnqbm.train(
        model, target, gradient="exact", optimizer="amsgrad", learning_rate=0.1, iterations=5
    )
    assert short.model == spelled.model
