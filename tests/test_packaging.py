"""What is published: the same facts everywhere, and nothing that a distribution would lack."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
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


def test_distributions_hold_the_commit_that_they_were_built_from(tmp_path: Path) -> None:
    """Of a wheel built from a repository, and of one built from its source distribution."""
    from tnqbm.base.commit import FILE, described

    if shutil.which("git") is None:
        pytest.skip("no git here")

    def run(*words: str | Path, folder: Path) -> None:
        subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=120)

    def built(folder: Path) -> str | None:
        shutil.rmtree(folder / "build", ignore_errors=True)
        run(sys.executable, "setup.py", "-q", "build_py", folder=folder)
        base = folder / "build" / "lib" / "tnqbm" / "base"
        assert (base / "commit.py").exists()
        return (base / FILE).read_text() if (base / FILE).exists() else None

    clone = tmp_path / "clone"
    base = clone / "tnqbm" / "base"
    base.mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone / name)
    shutil.copy(ROOT / "tnqbm" / "base" / "commit.py", base)
    for folder in (base, base.parent):
        (folder / "__init__.py").write_text("")
    (clone / "data").mkdir()
    shutil.copy(ROOT / "data" / "digits.h5", clone / "data")
    (clone / ".gitignore").write_text("build\ndist\n*.egg-info\n")
    assert built(clone) is None  # no repository, no commit
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        run("git", *words, folder=clone)
    commit = described(clone)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert built(clone) == f"{commit}\n"
    run(sys.executable, "setup.py", "-q", "sdist", "--formats=gztar", folder=clone)
    assert not (base / FILE).exists()
    (archive,) = (clone / "dist").iterdir()
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    assert built(tmp_path / archive.name.removesuffix(".tar.gz")) == f"{commit}\n"
    (base / "__init__.py").write_text("changed = True\n")
    assert built(clone) == f"{commit}+changes\n"


def test_the_commit_of_this_code() -> None:
    from tnqbm.base.commit import commit

    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?", commit())
