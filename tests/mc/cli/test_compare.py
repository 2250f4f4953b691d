"""``tnqbm compare``: what it prints, and its exit status."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.archive_samples import coordinates, make_archive, records
from tests.mc.cli.calling import caller, check_help, message_of
from tnqbm.archive import RunRecord

call = caller("compare")
message = message_of(call)
WHERE = coordinates()


def moved(runs: list[RunRecord], *by: float) -> list[RunRecord]:
    """The runs with their last tvd moved."""
    found = []
    for run, gap in zip(runs, by, strict=True):
        tvd = run.trajectory.metric("tvd").copy()
        tvd[-1] += gap
        path = dataclasses.replace(run.trajectory, tvd=tvd)
        found.append(dataclasses.replace(run, trajectory=path))
    return found


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "a.h5", [records(WHERE, range(6)), records(WHERE, [9])])


@pytest.mark.parametrize(
    ("by", "verdict", "words", "code"),
    [
        ((0.0,) * 6, "bits", "equal bits", 0),
        ((1e-12, *(0.0,) * 5), "numbers", "equal numbers", 0),
        ((0.1, -0.1) * 3, "statistics", "equal statistics", 3),
        ((0.1,) * 6, "different", "different", 1),
    ],
)
def test_verdicts(
    base: Path, tmp_path: Path, by: tuple[float, ...], verdict: str, words: str, code: int
) -> None:
    other = make_archive(tmp_path / "b.h5", [moved(records(WHERE, range(6)), *by)])
    text = call(base, other, code=code).stdout
    assert text.splitlines()[-1] == f"{base} and {other}: {words}"
    assert f"only in {base}" in text
    found = json.loads(call(base, other, "--json", code=code).stdout)
    assert found["verdict"] == verdict
    assert (found["first"], found["second"]) == (str(base), str(other))
    assert (found["shared"], found["only_first"], found["only_second"]) == (6, 1, 0)
    assert found["bits"] + found["numbers"] + found["different"] == 6
    (group,) = found["groups"]
    assert group["coordinates"] == WHERE
    assert group["verdict"] == verdict
    assert ("means differ by" in text) == (code > 0)
    if code:
        (test,) = [test for test in group["tests"] if test["metric"] == "tvd"]
        assert test["agrees"] == (code == 3)
        assert f"{abs(by[0]):g} in tvd at update 121" in text


def test_tolerance_and_where(base: Path, tmp_path: Path) -> None:
    other = make_archive(tmp_path / "b.h5", [moved(records(WHERE, [9]), 1e-3)])
    call(base, other, code=1)
    call(base, other, "--tolerance", "1e-4")
    call(base, other, "--where", "seed=3", code=2)


def test_refusals_have_a_status_of_their_own(base: Path, tmp_path: Path) -> None:
    other = make_archive(tmp_path / "b.h5", [records(coordinates("Z"), [1])])
    assert "nothing to compare" in message(base, other, code=2)
    assert "does not exist" in message(base, tmp_path / "none.h5", code=2)
    study = tmp_path / "study.toml"
    study.write_text("seeds = 1\n")
    assert str(study) in message(study, base, code=2)
    data = base.read_bytes()
    other.write_bytes(data[: len(data) // 2])
    assert "damaged" in message(base, other, code=2)
    assert "-1" in message(base, base, "--tolerance", "-1", code=2)


def test_help() -> None:
    check_help("compare")
