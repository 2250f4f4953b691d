"""Recipes in study files: the identity is that of the settings spelled out."""

from __future__ import annotations

from pathlib import Path

import pytest

from mc import load_study
from mc.studies.identity import study_identity
from tnqbm.base.errors import StudyError
from tnqbm.training.recipes import RECIPES
from tnqbm.training.settings import TrainingSettings

TEXT = """
name = "recipe"
seeds = 2
[model]
paulis = "XYZ"
visible = 6
hidden = 2
[data]
name = "bas"
[training]
"""

SPELLED = "\n".join(
    f"{name} = {value!r}".replace("'", '"') for name, value in RECIPES["auto"].items()
)


def study(path: Path, training: str) -> object:
    file = path / "study.toml"
    file.write_text(TEXT + training)
    return load_study(file)


def test_the_same_as_its_settings(tmp_path: Path) -> None:
    by_recipe = study(tmp_path, 'recipe = "auto"')
    start = TEXT.replace("hidden = 2", 'hidden = 2\nscale = 0.1\nfields = "data"')
    (tmp_path / "spelled.toml").write_text(start + SPELLED)
    spelled = load_study(tmp_path / "spelled.toml")
    assert by_recipe.labels() == spelled.labels() == ["weighted"]  # type: ignore[attr-defined]
    assert study_identity(by_recipe) == study_identity(spelled)  # type: ignore[arg-type]


def test_a_start_that_is_given(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(TEXT.replace("hidden = 2", "hidden = 2\nscale = 0.7") + 'recipe = "auto"')
    found = load_study(file).model
    assert (found.scale, found.fields) == (0.7, "data")


def test_for_several_gradients(tmp_path: Path) -> None:
    found = study(
        tmp_path,
        'recipe = "auto"\nchains = 50\ngradient = ["exact", "cd-2", "weighted", "slow"]\n'
        '[gradients.slow]\ngradient = "pcd"\nlearning_rate = 0.01\n',
    )
    settings = {label: found.settings(label) for label in found.labels()}  # type: ignore[attr-defined]
    for label, changes in (
        ("exact", {"gradient": "exact"}),
        ("cd-2", {"gradient": "cd", "steps": 2, "chains": 50}),
        ("weighted", {"chains": 50}),
        ("slow", {"gradient": "pcd", "chains": 50, "learning_rate": 0.01}),
    ):
        expected = TrainingSettings(recipe="auto", records=200, **changes)
        assert settings[label] == expected, label


def test_wrong_recipes(tmp_path: Path) -> None:
    for text, message in (
        ('recipe = "best"', "training.recipe"),
        ('recipe = "auto"\n[gradients.cd]\nrecipe = "auto"', "gradients.cd.recipe"),
        ('recipe = "auto"\ngradient = "exact"\nchains = 5', "training.chains"),
    ):
        with pytest.raises(StudyError, match=message):
            study(tmp_path, text)
