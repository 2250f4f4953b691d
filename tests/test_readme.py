"""The README's examples run as they are printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TNQBM = [sys.executable, "-c", "from mc.cli import main; main()"]


def blocks(language: str) -> list[str]:
    """Fenced blocks whose fence names exactly this language."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    return [text for name, text in fences if name == language]


def run(command: str, folder: Path) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "mpiexec":
        beside = Path(sys.executable).parent / "mpiexec"
        words[0] = str(beside) if beside.exists() else str(shutil.which("mpiexec"))
    at = words.index("tnqbm")
    words = words[:at] + TNQBM + words[at + 1 :]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_first_python_example() -> None:
    space: dict[str, object] = {}
    exec(blocks("python")[0], space)
    trajectory = space["run"]
    assert trajectory.tvd[-1] < 0.1  # type: ignore[attr-defined]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_knows_the_targets(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_study_commands_and_archive_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "study.toml").write_text(blocks("toml")[0])
    commands = [
        line
        for block in blocks("")
        for line in block.splitlines()
        if "results.h5" in line and "sbatch" not in line
    ]
    assert len(commands) >= 5
    for command in commands:
        run(command, tmp_path)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"tnqbm": __import__("tnqbm")}
    exec(blocks("python")[1], space)
    assert space["run"].trajectory.tvd[-1] < 0.5  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", sorted((ROOT / "scripts" / "studies").glob("*.toml")))
def test_published_studies_are_valid(path: Path) -> None:
    from mc import load_study

    assert load_study(path).plan()


def test_links_to_files_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
