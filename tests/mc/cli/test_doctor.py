"""The doctor: what it finds here, and what it says of installations with faults."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from mc.cli import cli, doctor
from mc.cli.doctor import Check, Report
from tnqbm.kernels import cache as kernel_cache
from tnqbm.kernels.tables import add_scaled

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def report() -> Report:
    return doctor.examine()


def test_this_machine_is_ready(report: Report) -> None:
    assert report.ready, report.verdict
    assert report.verdict.startswith("ready")
    names = {check.name for check in report.checks}
    assert names >= {
        *(line.partition(">=")[0] for line in doctor.requirements()[1]),
        *(f"extra {extra}" for extra in doctor.EXTRAS),
        "Python",
        "tnqbm",
        "MPI library",
        "ranks x threads",
        "HDF5",
        "SIMD",
        "kernels",
        "Numba threads",
        "kernel cache",
        "cotengra helpers",
    }


def test_every_fault_and_note_that_can_be_mended_says_how(report: Report) -> None:
    assert all(check.cure for check in report.checks if check.status == "fault")


def test_requirements_are_those_of_the_project_file(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert doctor.requirements() == (project["requires-python"], project["dependencies"])
    for extra, (package, _) in doctor.EXTRAS.items():
        assert any(entry.startswith(package) for entry in project["optional-dependencies"][extra])
    # Away from the sources they are those that the installation has kept.
    monkeypatch.setattr(doctor, "__file__", "/nowhere/mc/cli/doctor.py")
    kept = {"Requires-Python": ">=3.9"}
    monkeypatch.setattr(doctor.metadata, "metadata", lambda name: kept)
    monkeypatch.setattr(
        doctor.metadata, "requires", lambda name: ["numpy>=2.0", "pandas>=2.2; extra == 'table'"]
    )
    assert doctor.requirements() == (">=3.9", ["numpy>=2.0"])


def test_an_old_python_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.10.4")
    check = doctor._packages()[0]
    assert (check.name, check.status, check.cure) == ("Python", "fault", "use Python >=3.11")


def test_verdicts() -> None:
    good = Check("numpy", "2.1")
    note = Check("extra plot", "no matplotlib", "note", "pip install 'matplotlib>=3.9'")
    fault = Check("h5py", "not installed", "fault", "pip install h5py")
    assert Report((good,)).verdict == "ready"
    assert Report((good, note)).verdict == f"ready; optional: extra plot -> {note.cure}"
    assert Report((good, note, fault)).verdict == (
        "not ready: h5py: not installed -> pip install h5py"
    )
    assert not Report((fault,)).ready


def test_the_command_ends_in_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Report((Check("h5py", "not installed", "fault", "pip install h5py"),))
    monkeypatch.setattr(doctor, "examine", lambda: fault)
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == fault.verdict
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert found["ready"] is False
    assert found["checks"][0]["cure"] == "pip install h5py"


def test_missing_and_old_packages_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"numpy": "1.26.4", "numba": "0.63.0rc1", "h5py": None}
    real = doctor._version
    monkeypatch.setattr(
        doctor, "_version", lambda p: versions.get(p, real(p)) if p != "h5py" else None
    )
    checks = {check.name: check for check in doctor._packages()}
    assert checks["numpy"].status == "fault"
    assert checks["numpy"].found == "1.26.4, but >=2.0 is needed"
    assert checks["numba"].status == "ok"
    assert checks["h5py"].cure == "pip install 'h5py>=3.11'"
    report = doctor.examine()
    assert not report.ready
    assert any(c.name == "HDF5" and "h5py" in c.found for c in report.checks)


def test_what_helps_cotengra_is_told_and_never_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"skopt": object(), "kahypar": object()}
    monkeypatch.setattr(doctor, "find_spec", installed.get)
    (check,) = doctor._path_finders()
    assert (check.status, check.cure) == ("ok", "")
    assert check.found.startswith("kahypar, scikit-optimize present; cotengrust, ")
    assert check.found.endswith("absent (optional)")
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert "present" not in doctor._path_finders()[0].found
    monkeypatch.setattr(doctor, "find_spec", lambda name: object())
    assert "absent" not in doctor._path_finders()[0].found


def test_the_doctor_asks_for_everything_that_cotengra_can_use() -> None:
    """A name that cotengra no longer mentions would be told in vain."""
    spec = importlib.util.find_spec("cotengra")
    assert spec is not None
    assert spec.origin is not None
    sources = "".join(path.read_text() for path in Path(spec.origin).parent.rglob("*.py"))
    for module in doctor.PATH_FINDERS.values():
        assert re.search(rf"\b{module}\b", sources), module


def test_looking_for_packages_imports_none_of_them() -> None:
    code = (
        "import sys\n"
        "from mc.cli import doctor\n"
        "doctor._packages(), doctor._path_finders()\n"
        "heavy = {'numpy', 'numba', 'h5py', 'pydantic', 'quimb', 'cotengra', 'threadpoolctl'}\n"
        "print(heavy & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "set()"


def test_no_mpi_library_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ask", lambda command: ("", "cannot load MPI library"))
    (check,) = doctor._mpi_alone()
    assert (check.status, check.cure) == ("note", "pip install 'mpich>=4.2'")


def test_a_foreign_mpiexec_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "mpiexec"
    # Starts the processes, but not as ranks of the MPI library in use.
    foreign.write_text('#!/bin/sh\nshift 2\n"$@"; "$@"\n')
    foreign.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    checks = {check.name: check for check in doctor._mpi_alone()}
    if checks["MPI library"].status == "note":
        pytest.skip("no MPI library here")
    assert checks["mpiexec"].status == "note"
    assert "another MPI" in checks["mpiexec"].found
    assert checks["mpiexec"].cure


def test_an_mpiexec_that_fails_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "mpiexec"
    broken.write_text("#!/bin/sh\necho 'not on a login node' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    checks = {check.name: check for check in doctor._mpi_alone()}
    if checks["MPI library"].status == "note":
        pytest.skip("no MPI library here")
    assert "not on a login node" in checks["mpiexec"].found


def test_too_many_threads_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", "4096")
    check = doctor._node(cores=2, node_ranks=1, total=2)
    assert check.status == "note"
    assert check.cure == "unset NUMBA_NUM_THREADS"


@pytest.mark.parametrize("chosen", ["", "1"])
def test_more_ranks_than_cores_are_noted(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    """Whether there are so few cores, or the launcher has bound all ranks to the same."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", chosen)
    check = doctor._node(cores=1, node_ranks=4, total=2)
    assert check.status == "note"
    assert check.found.startswith("4 ranks x 1 thread on 2 cores")
    assert check.cure.startswith("start fewer ranks per node")
    assert doctor._node(cores=1, node_ranks=2, total=2).status == "ok"


def test_wrong_kernels_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_kernel_error", lambda: 1e-3)
    assert doctor._kernels()[-1].status == "fault"
    monkeypatch.setattr(doctor, "_kernel_error", lambda: float("nan"))
    assert doctor._kernels()[-1].status == "fault"


@pytest.mark.parametrize(
    ("place", "chosen", "status", "says"),
    [
        ("package", "", "ok", "beside the source files, as in /a/b"),
        ("NUMBA_CACHE_DIR", "/a", "ok", "/a (NUMBA_CACHE_DIR)"),
        ("user", "", "ok", "/a (the package's folder cannot be written)"),
        ("user", "/c", "note", "NUMBA_CACHE_DIR=/c cannot be written"),
        ("temporary", "", "note", "/a, which may be emptied"),
        ("nowhere", "", "note", "every start compiles anew"),
    ],
)
def test_the_cache_that_is_used_is_told(
    place: str, chosen: str, status: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_cache, "place_of", lambda function: (place, Path("/a/b")))
    monkeypatch.setenv("NUMBA_CACHE_DIR", chosen)
    check = doctor._kernel_cache()
    assert (check.name, check.status) == ("kernel cache", status)
    assert says in check.found
    assert check.cure.startswith("export NUMBA_CACHE_DIR=") is (status == "note")


def test_the_cache_told_is_that_of_kernels() -> None:
    found = kernel_cache.place_of(add_scaled)
    assert found is not None
    place, folder = found
    assert (place == "NUMBA_CACHE_DIR") is bool(os.environ.get("NUMBA_CACHE_DIR"))
    assert list(folder.glob("tables.add_scaled-*.nbi"))


def test_a_check_that_crashes_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> list[Check]:
        raise OSError("the disk is on fire")

    monkeypatch.setattr(doctor, "_hdf5", crash)
    monkeypatch.setattr(doctor, "_mpi", list)
    report = doctor.examine()
    assert "the disk is on fire" in report.verdict


def test_under_mpiexec_it_reports_the_ranks_once() -> None:
    launcher = shutil.which("mpiexec") or str(Path(sys.executable).with_name("mpiexec"))
    if not Path(launcher).exists():
        pytest.skip("no mpiexec here")
    code = "from mc.cli import cli; cli(['doctor', '--json'])"
    done = subprocess.run(
        [launcher, "-n", "2", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=1800,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    found = {check["name"]: check["found"] for check in json.loads(done.stdout)["checks"]}
    assert found["MPI ranks"].startswith("2 (")
