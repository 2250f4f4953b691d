"""Starting the driver on several ranks, watching it, and waiting for what it says."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mc.running.workspace import Workspace

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "mpi" / "driver.py"
BESIDE_PYTHON = Path(sys.executable).parent / "mpiexec"
MPIEXEC = str(BESIDE_PYTHON) if BESIDE_PYTHON.exists() else shutil.which("mpiexec")

needs_mpiexec = pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec: pip install mpich")
finds_ranks = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="finds ranks through /proc"
)


def environment() -> dict[str, str]:
    """No trace of a launcher that started the tests themselves; progress goes nowhere."""
    launcher = ("PMI", "PMIX", "OMPI_", "SLURM_", "HYDI_", "MPI_LOCAL")
    env = {key: value for key, value in os.environ.items() if not key.startswith(launcher)}
    env.pop("NUMBA_NUM_THREADS", None)
    return {**env, "PYTHONPATH": str(ROOT)}


class started:
    """The driver on several ranks; ended with all its ranks at the end if it still runs.

    With ``ranks=0`` the driver runs without a launcher. With ``alone`` the launcher leaves the
    other ranks to themselves if one is killed, as ``srun`` does.
    """

    def __init__(
        self, ranks: int, out: Path, study: Any, *, alone: bool = False, **options: Any
    ) -> None:
        self.folder = tempfile.TemporaryDirectory()
        env = {**environment(), **options.pop("env", {})}
        options["report"] = self.folder.name
        arguments = [json.dumps(study), str(out), json.dumps(options)]
        launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks else []
        if alone:
            # The shell lives on, so that the launcher does not know.
            stay = '"$@"; code=$?; [ $code = 137 ] && sleep 900; exit $code'
            launcher += ["sh", "-c", stay, "sh"]
        self.process = subprocess.Popen(
            [*launcher, sys.executable, str(DRIVER), *arguments],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> started:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.communicate()
        self.folder.cleanup()

    def wait(self, seconds: float = 1800.0) -> tuple[int, list[dict[str, Any]], str]:
        """(exit code, the ranks' reports that are not empty, standard error) when it has ended."""
        stderr = self.process.communicate(timeout=seconds)[1]
        reports = [json.loads(p.read_text()) for p in sorted(Path(self.folder.name).glob("*.json"))]
        return self.process.returncode, [report for report in reports if report], stderr


def drive(ranks: int, out: Path, study: Any, **options: Any) -> Any:
    """What :meth:`started.wait` says of a run that nobody disturbs."""
    with started(ranks, out, study, **options) as driver:
        return driver.wait()


def finish(ranks: int, out: Path, study: Any, **options: Any) -> dict[str, Any]:
    """Run to the end and return what rank 0 says of the archive."""
    code, reports, stderr = drive(ranks, out, study, **options)
    assert code == 0, (reports, stderr)
    assert len(reports) == 1
    found: dict[str, Any] = reports[0]
    return found


class Job(NamedTuple):
    """One of the studies, or texts of Python code, that the same ranks run one after another."""

    study: Any
    out: Path
    options: Mapping[str, Any] = {}


class Outcome(NamedTuple):
    """What the ranks said of a job: reports that are not empty, and each rank's standard error."""

    reports: list[dict[str, Any]]
    stderr: list[str]


def in_turn(ranks: int, jobs: Mapping[str, Job]) -> dict[str, Outcome]:
    """Run the jobs in one start of the launcher: starting costs more than most studies here."""
    with tempfile.TemporaryDirectory() as root:
        words = []
        for name, job in jobs.items():
            (folder := Path(root) / name).mkdir()
            options = {**job.options, "report": str(folder), "stderr": True}
            words += [json.dumps(job.study), str(job.out), json.dumps(options)]
        done = subprocess.run(
            [str(MPIEXEC), "-n", str(ranks), sys.executable, str(DRIVER), *words],
            env=environment(), timeout=1800, capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = {}
        for name in jobs:
            folder = Path(root) / name
            paths = [folder / f"{rank}.json" for rank in range(ranks)]
            assert all(path.exists() for path in paths), (name, done.stdout, done.stderr)
            reports = [json.loads(path.read_text()) for path in paths]
            stderr = [path.with_suffix(".err").read_text() for path in paths]
            found[name] = Outcome([report for report in reports if report], stderr)
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 1800.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def pids_of(out: Path) -> list[int]:
    """The ranks at work on an output, by what they were started with."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(out).encode() in words and words[0] == sys.executable.encode():
                found.append(int(entry.name))
    return sorted(found)


def pid_of_rank(out: Path, rank: int) -> int:
    """The process of one of MPICH's ranks at work on an output."""
    for pid in pids_of(out):
        if f"PMI_RANK={rank}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return pid
    raise ProcessLookupError(f"rank {rank} is not there")


def wait_for_end(out: Path) -> None:
    """Wait until no rank works on an output, and none holds its folder."""
    wait_until(lambda: not pids_of(out))
    with contextlib.suppress(FileNotFoundError):  # nothing was begun
        descriptor = os.open(Workspace(out).folder, os.O_RDONLY)
        try:  # a process that is being ended keeps its locks a little longer than its command line
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)
