"""The audit as a whole: cells, the file they go into, resuming, the two scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts.loading import load as load_scripts
from tnqbm.base.errors import ArchiveError

ROOT = Path(__file__).parents[3]
AUDIT = load_scripts("audit")
AuditFile, key, load = AUDIT.results.AuditFile, AUDIT.results.key, AUDIT.results.load
SEED, compute, plan = AUDIT.study.SEED, AUDIT.study.compute, AUDIT.study.plan
target_model = AUDIT.study.target_model
fit_summaries, select = AUDIT.summary.fit_summaries, AUDIT.summary.select
scaling_summaries = AUDIT.summary.scaling_summaries
PUBLISHED = ROOT / "data" / "results" / "audit.jsonl"
FIRST = {"kind": "rank", "paulis": "XZ", "n": 4, "m": 1}
SECOND = {"kind": "special", "paulis": "XYZ", "n": 4, "m": 1}


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "audit" / name), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=1800)


def test_cells_are_told_apart_and_quick_ones_are_few() -> None:
    for quick in (False, True):
        cells = plan(quick=quick)
        assert len({key(cell) for cell in cells}) == len(cells)
        assert {cell["kind"] for cell in cells} == {
            "rank", "special", "schmidt", "control", "scaling", "fit"
        }  # fmt: skip
    assert len(plan(quick=True)) < len(plan()) / 4


def test_targets_are_the_same_in_all_cells_and_differ_between_numbers() -> None:
    one = target_model("XZ", 5, 1, 0.3, 0)
    assert one == target_model("XZ", 5, 1, 0.3, 0)
    assert one != target_model("XZ", 5, 1, 0.3, 1)
    assert abs(one.to_vector()).max() <= 0.3


def test_unknown_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of cell 'rang'"):
        compute({"kind": "rang"})


def test_results_stay_and_a_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path, seed=1)
    assert len(file) == 0
    file.add(FIRST, compute(FIRST))
    again = AuditFile(path, seed=1)
    assert FIRST in again
    assert SECOND not in again
    again.add(SECOND, compute(SECOND))
    assert [cell for cell, _ in load(path).rows("special")] == [SECOND]
    # computed twice, a cell gives the same numbers
    (_, result), = again.rows("rank")  # fmt: skip
    assert result == json.loads(json.dumps(compute(FIRST)))
    assert result["ranks"] == [result["expected"]] == [13]
    assert result["decimal_rank"] == 13


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditFile(path, seed=1).add(FIRST, {})
    whole = path.read_text()
    with pytest.raises(ArchiveError, match="seed 1"):
        AuditFile(path, seed=2)
    for text, message in (
        (whole[:-9], "damaged"),
        ("", "first line"),
        ('{"a": 1}\n', "first line"),
        (whole.replace('"version": 1', '"version": 2'), "version 2"),
        (whole + '{"cell": {}}\n', "no result"),
    ):
        path.write_text(text)
        with pytest.raises(ArchiveError, match=message):
            load(path)
    with pytest.raises(FileNotFoundError, match=r"run\.py"):
        load(tmp_path / "none.jsonl")


def test_a_pipe_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    """Nobody writes to the pipe: opening it would wait for ever."""
    os.mkfifo(tmp_path / "audit.jsonl")
    with pytest.raises(ArchiveError, match=r"audit\.jsonl is .*not the file of an audit"):
        load(tmp_path / "audit.jsonl")


def test_scripts_run_resume_and_print(tmp_path: Path) -> None:
    path = tmp_path / "quick.jsonl"
    arguments = ("-o", str(path), "--quick", "--only", "special", "control")
    first = script("run.py", *arguments)
    assert first.returncode == 0, first.stderr
    before = path.read_bytes()
    second = script("run.py", *arguments)
    assert second.returncode == 0
    assert "7 of them in" in second.stdout
    assert path.read_bytes() == before
    tables = script("tables.py", str(path), "--part", "special", "controls")
    assert tables.returncode == 0, tables.stderr
    assert "| XYZ | 24 | 6 | 6 | 13 | 13 | 24 |" in tables.stdout
    wrong = script("tables.py", str(tmp_path / "none.jsonl"))
    assert wrong.returncode == 1
    assert "Traceback" not in wrong.stderr
    nowhere = script("run.py", "-o", str(tmp_path / "no" / "a.jsonl"))
    assert nowhere.returncode == 1
    assert "does not exist" in nowhere.stderr
    part = script("run.py", "-o", str(path), "--only", "nothing")
    assert part.returncode == 2
    assert "no part 'nothing'" in part.stderr


needs_published = pytest.mark.skipif(not PUBLISHED.exists(), reason="no published audit here")


@needs_published
def test_published_audit_is_whole_and_of_this_plan() -> None:
    file = load(PUBLISHED)
    assert file.header["seed"] == SEED
    assert all(cell in file for cell in plan())
    for _, result in file.rows("rank"):
        assert result["ranks"] == [result["expected"]]
        assert result["clear"]


@needs_published
def test_published_cells_can_be_computed_again() -> None:
    """One small cell of each cheap kind; another processor may round differently."""
    file = load(PUBLISHED)
    for kind, wanted in (("rank", {"n": 5, "m": 2}), ("control", {"target": "rank-1"})):
        cell, result = next(
            (cell, result)
            for cell, result in file.rows(kind)
            if all(cell[name] == value for name, value in wanted.items())
        )
        again = compute(cell)
        if kind == "rank":
            assert again["ranks"] == result["ranks"]
        else:
            assert max(again["kl"]) < 1e-12
            assert max(result["kl"]) < 1e-12


@needs_published
def test_what_the_page_says_of_the_published_audit() -> None:
    file = load(PUBLISHED)
    assert all(row.exact == 1.0 for row in fit_summaries(file, "control"))
    rows = fit_summaries(file)
    for paulis, k in (("XZ", 2), ("XYZ", 3)):
        for row in select(rows, n=6, target=paulis, m=1, paulis="Z", k=k):
            assert row.exact == 0.0
            assert row.naive is not None
            assert row.median < row.naive
    for one in scaling_summaries(file):
        assert 7.5 < one.naive < 8.2
        assert 7.5 < one.best < 8.2
        assert abs(one.ratio - 1) < 0.05
