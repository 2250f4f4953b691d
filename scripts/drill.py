"""Send signals to studies under MPI, kill ranks, let their time run out; count what comes of it.

    python scripts/drill.py --repeats 10
    python scripts/drill.py --kinds USR1:launcher,killed:root --repeats 3

Every attempt starts a short study on two ranks, disturbs it at a random moment, and resumes it in
this process. It counts as passed if the study ended in time with the documented exit code, its
archive is whole, no run that had finished is missing, and the resumed archive has the same bits as
one that was never disturbed. Needs an mpiexec of MPICH and /proc. Prints a line per kind.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import mc  # noqa: E402
from mc.running.failures import OUT_OF_TIME  # noqa: E402
from mc.running.liveness import RANK_LOST  # noqa: E402
from mc.running.workspace import Workspace  # noqa: E402
from tests.mpi.launching import (  # noqa: E402
    pid_of_rank,
    pids_of,
    started,
    wait_for_end,
    wait_until,
)
from tnqbm.archive import Archive  # noqa: E402

STUDY: dict[str, Any] = {
    "name": "drill",
    "seeds": 2,
    "model": {"paulis": ["Z", "XYZ"], "visible": [2, 4], "hidden": [1, 2]},
    "data": {"name": "bas"},
    "training": {"iterations": 30},
    "output": {"records": 5},
    "run": {"batch": 1},
}
RANKS = 2
SLOW = 0.1
"""Seconds that a piece of training takes in a disturbed study."""

MOST_PARTS = 0
"""Beyond one for each rank, so that parts are joined all the time."""

PATIENCE = 5.0
"""Seconds in which ranks that wait for a lost one end, in place of a minute."""

SECONDS = 30.0
"""In which a disturbed study must have ended."""

NAMES = ("INT", "TERM", "HUP", "USR1", "USR2", "XCPU")
KINDS = [
    *(f"{name}:{target}" for name in NAMES for target in ("launcher", "one", "all")),
    "twice:all",
    "time:all",
    "killed:root",
    "killed:other",
]
"""What is sent to whom. MPICH's launcher passes INT, TERM and USR1 on, and dies of the others."""


def passed_on(name: str, target: str) -> bool:
    """Whether the ranks are told, rather than killed by a launcher that dies."""
    return target != "launcher" or name in ("INT", "TERM", "USR1")


def disturb(name: str, target: str, driver: started, out: Path) -> list[int]:
    """Do it; the exit codes that are right."""
    if name == "time":
        return [OUT_OF_TIME]
    if name == "killed":
        os.kill(pid_of_rank(out, 0 if target == "root" else 1), signal.SIGKILL)
        return [RANK_LOST]
    names = ["TERM", "USR1", "HUP", "INT"] if name == "twice" else [name]
    ranks = {"launcher": [driver.process.pid], "one": [random.choice(pids_of(out))]}
    for k, each in enumerate(names):
        number = getattr(signal, f"SIG{each}")
        if k:
            time.sleep(random.uniform(0.0, 0.3))
        for pid in ranks.get(target, pids_of(out)):
            # Those that come later may find that the study has ended.
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                assert k
    number = getattr(signal, f"SIG{names[0]}")
    return [128 + number] if passed_on(name, target) else [-number]


def attempt(kind: str, reference: str, folder: Path) -> str:
    """Do one; "passed", or what went wrong."""
    name, _, target = kind.partition(":")
    out = folder / "out.h5"
    options: dict[str, Any] = {"slow": SLOW, "checkpoint_seconds": 2, "patience": PATIENCE}
    options["most_parts"] = MOST_PARTS
    if name == "time":
        options["stop_after"] = random.uniform(4.0, 8.0)
    with started(RANKS, out, STUDY, alone=name == "killed", **options) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 1 or driver.process.poll() is not None)
        time.sleep(random.uniform(0.0, 0.5))
        before, _ = Archive(out).progress
        codes = disturb(name, target, driver, out)
        try:
            code, _, _ = driver.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return f"not ended after {SECONDS:g} s"
    wait_for_end(out)
    if code not in codes:
        return f"exit code {code}, not {codes[0]}"
    archive = Archive(out)
    if not archive.verify().ok:
        return "damaged archive"
    if archive.progress[0] < before:
        return "a finished run is missing"
    mc.run_study(STUDY, out, resume=True, progress=False)
    return "passed" if Archive(out).fingerprint() == reference else "other bits after --resume"


def main() -> None:
    """Every kind so many times."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=10, help="attempts of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS), help="which, separated by commas")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    options = parser.parse_args()
    random.seed(options.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as root:
        mc.run_study(STUDY, Path(root) / "reference.h5", progress=False)
        reference = Archive(Path(root) / "reference.h5").fingerprint()
        for kind in options.kinds.split(","):
            found: Counter[str] = Counter()
            for _ in range(options.repeats):
                with tempfile.TemporaryDirectory(dir=root) as folder:
                    found[attempt(kind, reference, Path(folder))] += 1
            wrong += options.repeats - found["passed"]
            print(f"{kind}: {', '.join(f'{n} {what}' for what, n in found.items())}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
