"""Files of users that have the names of packages: the message says which file is in the way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mc
import tnqbm.base.process
from tnqbm.base.errors import HiddenPackageError
from tnqbm.base.process import check_beside, check_needed, hiding

ROOT = Path(__file__).parents[3]

TRAIN = """
import tnqbm
target = tnqbm.datasets.load("bas", 4)
start = tnqbm.SqRBM.uniform(4, 1, "Z", seed=1)
print(round(tnqbm.exact.log_partition(start), 3))
{rest}
"""
PCD = 'tnqbm.train(start, target, gradient="pcd", iterations=2)'
AIS = 'tnqbm.train(start, target, evaluate="ais", iterations=2)'


def python(*words: str | Path, folder: Path, launcher: tuple[str, ...] = ()) -> str:
    """Output of a Python process in ``folder``, which has tnqbm only by PYTHONPATH."""
    done = subprocess.run(
        [*launcher, sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a user's with a file mc.py that must not run."""
    (tmp_path / "mc.py").write_text("print('the file ran')\n")
    return tmp_path


@pytest.mark.parametrize("rest", [PCD, AIS])
def test_a_script_beside_the_file(folder: Path, rest: str) -> None:
    script = folder / "script.py"
    script.write_text(TRAIN.format(rest=rest))
    told = python(script, folder=folder.parent)
    assert told.splitlines()[0].replace(".", "").isdigit(), told  # the rest works
    assert f"the package mc is hidden by {folder / 'mc.py'}" in told
    assert "rename that" in told
    assert "the file ran" not in told


def test_a_session_in_the_folder(folder: Path) -> None:
    told = python("-c", TRAIN.format(rest=PCD), folder=folder)
    assert f"the package mc is hidden by {folder / 'mc.py'}" in told
    assert "the file ran" not in told


def test_the_command_in_the_folder(folder: Path) -> None:
    for words in (["--version"], ["doctor"], ["run", "study.toml", "-o", "o.h5"]):
        told = python("-m", "tnqbm", *words, folder=folder)
        assert told == (
            f"Error: the package mc is hidden by {folder / 'mc.py'}, which Python imports in its "
            "place: rename that, or start Python in another folder and keep the file from beside "
            "the script\n"
        )
    (folder / "mc.py").unlink()
    assert python("-m", "tnqbm", "-V", folder=folder).startswith(f"tnqbm {tnqbm.__version__}")


def test_a_folder_in_the_way(folder: Path) -> None:
    (folder / "mc.py").unlink()
    (folder / "mc").mkdir()
    assert python("-m", "tnqbm", "-V", folder=folder).startswith(f"tnqbm {tnqbm.__version__}")
    (folder / "mc" / "__init__.py").write_text("print('the file ran')\n")
    told = python("-m", "tnqbm", "-V", folder=folder)
    assert f"hidden by {folder / 'mc' / '__init__.py'}" in told
    assert "the file ran" not in told


def test_ranks_beside_the_file(folder: Path) -> None:
    launcher = shutil.which("mpiexec") or str(Path(sys.executable).with_name("mpiexec"))
    if not Path(launcher).exists():
        pytest.skip("no mpiexec here")
    told = python("-m", "tnqbm", "run", "s.toml", folder=folder, launcher=(launcher, "-n", "2"))
    assert told.count(f"the package mc is hidden by {folder / 'mc.py'}") == 1
    assert "the file ran" not in told


def test_a_file_in_the_place_of_tnqbm(tmp_path: Path) -> None:
    (tmp_path / "tnqbm.py").write_text("")
    told = python("-c", "import mc", folder=tmp_path)
    assert f"the package tnqbm is hidden by {tmp_path / 'tnqbm.py'}" in told
    assert "the package tnqbm is hidden by" in python("-m", "mc.cli", "-V", folder=tmp_path)


@pytest.mark.parametrize("name", [*tnqbm.base.process.NEEDED, *mc.NEEDED])
def test_a_file_in_the_place_of_another_package(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("print('the file ran')\n")
    told = python("-c", "import tnqbm, mc", folder=tmp_path)
    assert f"the package {name} is hidden by {tmp_path / name}.py" in told
    assert "the file ran" not in told


def test_all_packages_that_are_needed_are_known() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split("[>=]", line)[0].replace("-", "_") for line in project["dependencies"]}
    # llvmlite comes with Numba; threadpoolctl is a single file, as a user's own copy would be.
    assert names - {"threadpoolctl"} == {*tnqbm.base.process.NEEDED, *mc.NEEDED} - {"llvmlite"}


def test_a_clone_does_not_hide_the_package_from_its_parent_folder(tmp_path: Path) -> None:
    """An editable install puts the sources on Python's path, as PYTHONPATH does here: a folder
    without __init__.py, the clone, comes after any package. A finder of its own, which setuptools
    installs without ``package-dir``, would be asked too late."""
    (tmp_path / "tnqbm").mkdir()
    (tmp_path / "mc").mkdir()
    code = "import tnqbm, mc; print(tnqbm.__file__, mc.__file__)"
    told = python("-c", code, folder=tmp_path)
    assert told.split() == [str(ROOT / name / "__init__.py") for name in ("tnqbm", "mc")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["package-dir"] == {"": "."}


def test_a_package_is_not_hidden_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tnqbm", "mc", "no_such_package_anywhere"):
        check_beside(name)
    assert hiding("tnqbm", str(ROOT)) is None
    import numpy

    installed = Path(numpy.__file__).parents[1]
    assert hiding("numpy", str(installed)) is None
    monkeypatch.setattr(sys, "path", [str(installed), *sys.path])
    check_needed(tnqbm.base.process.NEEDED)
    # A checkout of numpy, say, that is installed in place.
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("")
    assert hiding("numpy", str(tmp_path)) == str(tmp_path / "numpy" / "__init__.py")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(HiddenPackageError, match="the package numpy is hidden by"):
        check_needed(("numpy",))


def test_the_doctor_sees_what_lies_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mc.cli import doctor

    monkeypatch.chdir(tmp_path)
    assert doctor._working_folder() == []
    (tmp_path / "mc.py").write_text("")
    (tmp_path / "numba.py").write_text("")
    (check,) = doctor._working_folder()
    assert check.status == "note"
    assert check.found.startswith(f"mc.py, numba.py in {tmp_path} hide packages")
    assert check.cure.startswith(f"mv {tmp_path / 'mc.py'}")
    monkeypatch.chdir(ROOT)
    assert doctor._working_folder() == []
