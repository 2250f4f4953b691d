"""What is published: the same facts everywhere, and nothing that a distribution would lack."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import tnqbm

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MANIFEST = (ROOT / "MANIFEST.in").read_text(encoding="utf-8")

KEPT_OUT = {".ci", ".gitignore", "MANIFEST.in"}
"""Of the repository, not of a distribution; MANIFEST.in is added by itself."""


def cited(key: str) -> list[str]:
    """Values of a key of CITATION.cff, above the references."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8").partition("references:")[0]
    return [value.strip('" ') for value in re.findall(rf"^[ -]*{key}: (.+)$", text, re.MULTILINE)]


def test_authors_version_and_licence_are_those_of_the_citation_file() -> None:
    project = PROJECT["project"]
    assert [author["name"] for author in project["authors"]] == cited("name")
    assert [project["version"]] == cited("version") == [tnqbm.__version__]
    assert [project["license"]] == cited("license")
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert project["urls"]["Paper"].removeprefix("https://doi.org/") in text


def test_the_source_distribution_has_all_of_the_repository() -> None:
    try:
        words = ["git", "-C", str(ROOT), "ls-files"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("not a clone")
    named = set(re.findall(r"^include (.+)$", MANIFEST, re.MULTILINE)[0].split())
    named |= set(re.findall(r"^graft (.+)$", MANIFEST, re.MULTILINE)) | {"tnqbm", "mc"}
    top = {line.split("/")[0] for line in done.stdout.splitlines()}
    assert top - KEPT_OUT == named


def test_pictures_of_the_readme_are_in_the_distribution() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file()
        assert f"graft {picture.split('/')[0]}\n" in MANIFEST


@pytest.mark.parametrize("recipe", ["Dockerfile", "tnqbm.def"])
def test_container_recipes_install_what_there_is(recipe: str) -> None:
    text = (ROOT / "scripts" / "containers" / recipe).read_text(encoding="utf-8")
    extras = re.findall(r"\[([a-z,]+)\]", text)
    assert extras
    known = PROJECT["project"]["optional-dependencies"].keys()
    assert {extra for words in extras for extra in words.split(",")} <= known
    for script in re.findall(r"scripts/[\w./-]+\.(?:sh|toml)", text):
        assert (ROOT / script).is_file()
    for name in ("NUMBA_CACHE_DIR", "mpi"):
        assert name in text
