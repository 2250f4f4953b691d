"""The README's examples run as they are printed."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mc.cli import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TNQBM = [sys.executable, "-c", "from mc.cli import main; main()"]


def blocks(language: str, heading: str) -> list[str]:
    """Fenced blocks below a heading whose fence names exactly this language."""
    text = re.split(r"^## ", README.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [block for name, block in fences if name == language]


def run(command: str, folder: Path) -> None:
    """Run a command line as printed: in this process, or under mpiexec where it says so."""
    words = shlex.split(command, comments=True)
    if words[0] == "tnqbm":
        with contextlib.chdir(folder):
            result = CliRunner().invoke(cli, words[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}"
        return
    if words[0] == "mpiexec":
        beside = Path(sys.executable).parent / "mpiexec"
        words[0] = str(beside) if beside.exists() else str(shutil.which("mpiexec"))
    at = words.index("tnqbm")
    words = words[:at] + TNQBM + words[at + 1 :]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_first_python_example() -> None:
    space: dict[str, Any] = {}
    exec(blocks("python", "From Python")[0], space)
    trajectory = space["run"]
    assert trajectory.tvd[-1] < 0.1


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("target", ["demo", "test", "test-processors"])
def test_make_knows_the_targets(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_study_commands_and_archive_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "study.toml").write_text(blocks("toml", "Studies")[0])
    commands = [
        line
        for block in blocks("", "Studies")
        for line in block.splitlines()
        if "results.h5" in line and "sbatch" not in line
    ]
    assert len(commands) >= 5
    for command in commands:
        run(command, tmp_path)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"tnqbm": __import__("tnqbm")}
    exec(blocks("python", "Studies")[0], space)
    assert space["run"].trajectory.tvd[-1] < 0.5


@pytest.mark.parametrize("path", sorted((ROOT / "scripts" / "studies").glob("*.toml")))
def test_published_studies_are_valid(path: Path) -> None:
    from mc import load_study

    assert load_study(path).plan()


def test_links_to_files_lead_somewhere() -> None:
    pages = [page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts]
    for page in (ROOT / "README.md", *pages):
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_examples_of_sampling_page() -> None:
    page = (ROOT / "docs" / "sampling.md").read_text(encoding="utf-8")
    space: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE):
        exec(block, space)
    exact = __import__("tnqbm").exact.log_partition(space["model"])
    # Five standard errors: false alarms below 1e-5 for errors that are normal.
    assert abs(space["log_z"].value - exact) < 5 * space["log_z"].standard_error


def test_examples_of_tensor_networks_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples in a row, as they share names, then the commands on the saved model."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "tensor-networks.md").read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    space: dict[str, Any] = {}
    for language, block in fences:
        if language == "python":
            exec(block, space)
    assert space["log_z"] == pytest.approx(space["local"].value, abs=1e-9)
    assert space["joint"].sum() == pytest.approx(1.0)
    network, annealing = space["ways"]["network"], space["ways"]["annealing"]
    error = (network.standard_error**2 + annealing.standard_error**2) ** 0.5
    # Five standard errors: false alarms below 1e-5 for errors that are normal.
    assert abs(network.value - annealing.value) < 5 * error
    assert space["run"].tvd[-1] < 0.5
    assert space["reports"]["RBM, same parameters"].units[0].ranks.tolist() == [2, 2, 2]
    commands = [line for language, block in fences if not language for line in block.splitlines()]
    assert len(commands) == 2
    for command in commands:
        run(command, tmp_path)
    for name in ("structure.png", "structure-twin.png"):
        assert (tmp_path / name).stat().st_size > 10_000
