"""A small version of scripts/drill.py: a few disturbances, at one moment each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.mpi.launching import finds_ranks, needs_mpiexec

ROOT = Path(__file__).parents[2]
KINDS = ("killed:root", "second:job", "reader:loop")


@needs_mpiexec
@finds_ranks
def test_disturbed_studies_lose_no_run_and_resume_alike() -> None:
    command = [sys.executable, ROOT / "scripts/drill.py", "--repeats", "1", "--seed", "3"]
    done = subprocess.run(
        [*command, "--seconds", "1800", "--kinds", ",".join(KINDS)], capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [f"{kind}: 1 passed" for kind in KINDS], done.stderr
    assert done.returncode == 0
