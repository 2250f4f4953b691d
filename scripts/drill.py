"""Disturb studies under MPI in every way a cluster does, and count what comes of it.

    python scripts/drill.py --repeats 10
    python scripts/drill.py --kinds USR1:launcher,killed:root --repeats 3
    python scripts/drill.py --random 40

Every attempt starts a short study on two ranks, disturbs it at a random moment, and resumes it in
this process. It counts as passed if the study ended in time with the documented exit code, its
archive is whole, no run that had finished is missing, and the resumed archive has the same bits as
one that was never disturbed. Needs an mpiexec of MPICH and /proc; disks that are full, without
inodes or read-only are small tmpfs, which only root may mount. Prints a line per kind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import mc  # noqa: E402
from mc.running.failures import OUT_OF_TIME  # noqa: E402
from mc.running.liveness import RANK_LOST  # noqa: E402
from mc.running.lock import OutputBusyError  # noqa: E402
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

NAMES = ("INT", "TERM", "HUP", "USR1", "USR2", "XCPU")
KINDS = [
    *(f"{name}:{target}" for name in NAMES for target in ("launcher", "one", "all")),
    "twice:all",
    "time:all",
    "killed:root",
    "killed:other",
    "killed:all",
    "killed:again",
    "stopped:one",
    "stopped:all",
    "second:job",
    "reader:loop",
    "removed:parts",
]
"""What is sent to whom. MPICH's launcher passes INT, TERM and USR1 on, and dies of the others."""

DISKS = {
    "disk:full": "size=1k",
    "disk:inodes": "nr_inodes=1",
    "disk:readonly": "ro",
}
"""Of a tmpfs that holds the output: the options with which it is mounted again amid the study."""

ROOMY = "size=64m,nr_inodes=10000,rw"

STOP = (1.0, 30.0)
"""Shortest and longest time for which processes are stopped, in seconds."""


def passed_on(name: str, target: str) -> bool:
    """Whether the ranks are told, rather than killed by a launcher that dies."""
    return target != "launcher" or name in ("INT", "TERM", "USR1")


def kill(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes, of which some may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def bystand(name: str, target: str, driver: started, out: Path) -> list[int] | str:
    """Do what must leave a study alone; the exit codes that are right, or what went wrong."""
    if name == "stopped":
        pids = pids_of(out)
        pids = pids if target == "all" else [random.choice(pids)]
        kill(pids, signal.SIGSTOP)
        time.sleep(random.uniform(*STOP))
        kill(pids, signal.SIGCONT)
    elif name == "second":
        try:
            mc.run_study(STUDY, out, resume=True, progress=False)
        except OutputBusyError:
            return [0]
        return [0] if driver.process.poll() is not None else "a second job was let in"
    while name == "reader" and driver.process.poll() is None:
        archive = Archive(out)
        rows, (finished, _) = archive.rows(), archive.progress
        if len(rows) > finished:
            return "a reader saw more runs than have finished"
    return [0]


def disturb(name: str, target: str, driver: started, out: Path) -> list[int]:
    """Do it; the exit codes that are right."""
    if name == "time":
        return [OUT_OF_TIME]
    if name == "disk":
        remount(out.parent, DISKS[f"{name}:{target}"])
        return [1]
    if name == "removed":
        shutil.rmtree(Workspace(out).folder, ignore_errors=True)
        return [1]
    if name == "killed" and target in ("all", "again"):
        kill(pids_of(out), signal.SIGKILL)
        return [128 + signal.SIGKILL, signal.SIGKILL, -signal.SIGKILL]
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


def remount(folder: Path, options: str) -> None:
    """Mount a tmpfs anew with other options; those which it is too full for are made to fit."""
    if options.startswith("size") and options != ROOMY:
        # No smaller than what it holds: the rest is filled.
        free = os.statvfs(folder)
        with contextlib.suppress(OSError), (folder / "filler").open("wb") as file:
            file.write(bytes(free.f_bavail * free.f_frsize))
        return
    if options.startswith("nr_inodes"):
        used = os.statvfs(folder)
        options = f"nr_inodes={used.f_files - used.f_ffree}"
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def attempt(kind: str, reference: str, folder: Path, seconds: float) -> str:
    """Do one, which must end in so many seconds; "passed", or what went wrong."""
    if not kind.startswith("disk:"):
        return attempt_in(kind, reference, folder, seconds)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ROOMY, "none", str(folder)], check=True)
    try:
        return attempt_in(kind, reference, folder, seconds)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def attempt_in(kind: str, reference: str, folder: Path, seconds: float) -> str:
    """:func:`attempt` in a folder that may be a disk of its own."""
    name, _, target = kind.partition(":")
    out = folder / "out.h5"
    options: dict[str, Any] = {"slow": SLOW, "checkpoint_seconds": 2, "patience": PATIENCE}
    options["most_parts"] = MOST_PARTS
    if name == "time":
        options["stop_after"] = random.uniform(4.0, 8.0)
    with started(RANKS, out, STUDY, alone=target in ("root", "other"), **options) as driver:
        wait_until(lambda: len(Workspace(out).parts()) >= 1 or driver.process.poll() is not None)
        time.sleep(random.uniform(0.0, 0.5))
        if driver.process.poll() is not None:
            return f"ended by itself: {driver.wait()}"
        before, _ = Archive(out).progress
        harmless = name in ("stopped", "second", "reader")
        codes = (bystand if harmless else disturb)(name, target, driver, out)
        if isinstance(codes, str):
            return codes
        try:
            code, _, _ = driver.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"not ended after {seconds:g} s"
    wait_for_end(out)
    if name == "disk":
        remount(folder, ROOMY)
        (folder / "filler").unlink(missing_ok=True)
    if target == "again":
        with started(RANKS, out, STUDY, resume=True, **options) as driver:
            wait_until(lambda: bool(pids_of(out)) or driver.process.poll() is not None)
            time.sleep(random.uniform(0.0, 3.0))
            kill(pids_of(out), signal.SIGKILL)
        wait_for_end(out)
    if code not in codes:
        return f"exit code {code}, not {codes[0]}"
    # Of what was removed only what had not finished before can come back.
    archive = Archive(out) if name != "removed" or out.exists() else None
    if archive is not None and not archive.verify().ok:
        return "damaged archive"
    if archive is not None and name != "removed" and archive.progress[0] < before:
        return "a finished run is missing"
    mc.run_study(STUDY, out, resume=True, progress=False)
    return "passed" if Archive(out).fingerprint() == reference else "other bits after --resume"


def main() -> None:
    """Every kind so many times."""
    usual = [*KINDS, *DISKS] if os.geteuid() == 0 else KINDS
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=10, help="attempts of each kind")
    parser.add_argument(
        "--kinds",
        default=",".join(usual),
        help="which, separated by commas",
    )
    parser.add_argument("--random", type=int, default=0, help="so many attempts of random kinds")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="in which a disturbed study must have ended"
    )
    options = parser.parse_args()
    random.seed(options.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as root:
        mc.run_study(STUDY, Path(root) / "reference.h5", progress=False)
        reference = Archive(Path(root) / "reference.h5").fingerprint()
        kinds = options.kinds.split(",")
        times = dict.fromkeys(kinds, options.repeats)
        if options.random:
            times = dict(Counter(random.choices(kinds, k=options.random)))
        for kind, repeats in times.items():
            found: Counter[str] = Counter()
            for _ in range(repeats):
                with tempfile.TemporaryDirectory(dir=root) as folder:
                    found[attempt(kind, reference, Path(folder), options.seconds)] += 1
            wrong += repeats - found["passed"]
            print(f"{kind}: {', '.join(f'{n} {what}' for what, n in found.items())}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
