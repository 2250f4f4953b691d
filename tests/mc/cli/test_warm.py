"""``tnqbm warm`` compiles what a study needs, and nothing is left to its start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.mc.cli.calling import check_help

STUDY = """
name = "tiny"
seeds = 2
[model]
paulis = "XZ"
visible = 4
hidden = 3
[data]
name = "bas"
[training]
gradient = "pcd"
chains = 70
batch_size = 3
iterations = 4
"""


def test_help() -> None:
    check_help("warm")


def test_a_study_that_was_warmed_up_compiles_nothing(tmp_path: Path) -> None:
    study, cache = tmp_path / "study.toml", tmp_path / "cache"
    study.write_text(STUDY)
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache)}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mc.cli", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=env)

    first = call("warm", str(study), "--json")
    assert "compiling kernels, once per machine" in first.stderr
    code = {path.name for path in cache.rglob("*.nbc")}
    assert 0 < json.loads(first.stdout)["kernels"] == len(code)

    again = call("warm", str(study))
    assert again.stdout == "nothing to compile: all kernels are there\n"
    run = call("run", str(study), "-o", str(tmp_path / "a.h5"))
    assert "compiling" not in again.stderr + run.stderr
    assert {path.name for path in cache.rglob("*.nbc")} == code
