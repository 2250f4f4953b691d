"""The command where its output, its terminal or its memory is short of something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mc.cli.command import check_address_space
from mc.studies.text import dump_toml
from tests.mc.studies.samples import ROOT, tiny
from tnqbm.archive import Archive


def small(folder: Path) -> tuple[Path, Path]:
    """A study of one run, and where its archive goes."""
    path = folder / "study.toml"
    path.write_text(dump_toml(tiny(seeds=1, model__paulis="Z", model__hidden=1)))
    return path, folder / "out.h5"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_named(tmp_path: Path) -> None:
    study, _ = small(tmp_path)
    command = [sys.executable, "-m", "mc.cli", "run", str(study), "--dry-run"]
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
        )
    assert found.returncode == 1
    assert found.stderr == ("Error: standard output cannot be written: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_study_does_not_mind_a_terminal_that_has_gone(tmp_path: Path) -> None:
    path, out = small(tmp_path)
    command = [sys.executable, "-m", "mc.cli", "run", str(path), "-o", str(out)]
    with open("/dev/full", "w") as full:
        found = subprocess.run(command, stdout=full, stderr=full, cwd=ROOT, check=False)
    assert found.returncode == 1
    with Archive(out) as finished:
        assert finished.progress == (1, 1)
    assert not out.with_name("out.h5.parts").exists()


def test_a_small_address_space_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    command = f"ulimit -v 300000; exec {sys.executable} -m mc.cli verify {tmp_path / 'none.h5'}"
    found = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert line.startswith("Error: out of memory: the address space of this process is limited")
    assert "ulimit -v unlimited" in line

    def limit(value: int) -> str:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (value, value))
        return check_address_space()

    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert limit(resource.RLIM_INFINITY) == ""
    assert limit(1 << 40) == ""
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    assert "limited to 400 MB (ulimit -v)" in limit(400 << 20)
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    with pytest.raises(MemoryError, match="limited to 300 MB"):
        limit(300 << 20)
