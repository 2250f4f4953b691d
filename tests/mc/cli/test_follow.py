"""``tnqbm show --follow``: shown again whenever runs have finished, until all have."""

from __future__ import annotations

from pathlib import Path

import pytest

import mc.cli.follow
from tests.archive_samples import coordinates, make_archive, records
from tests.mc.cli.calling import caller
from tnqbm.archive import PlannedGroup

call = caller("show")


def write(path: Path, finished: int) -> None:
    """An archive of four planned runs."""
    where = coordinates()
    path.unlink(missing_ok=True)
    done = range(1, finished + 1)
    make_archive(path, [records(where, done)], planned=[PlannedGroup(where, [1, 2, 3, 4])])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write(tmp_path / "out.h5", 1)
    return tmp_path / "out.h5"


def test_every_change_is_shown_once_until_all_have_finished(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming = [1, 1, 3, 4]

    def sleep(seconds: float) -> None:
        write(out, coming.pop(0))

    monkeypatch.setattr(mc.cli.follow.time, "sleep", sleep)
    text = call(out, "--follow").stdout
    assert not coming
    shown = [line for line in text.splitlines() if " of 4 runs finished" in line]
    assert [line[0] for line in shown] == ["1", "3", "4"]
    assert "complete" in shown[-1]
    assert call(out, "--follow", "--runs").stdout.count("4 of 4 runs finished") == 1


def test_ctrl_c_ends_it_quietly(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mc.cli.follow.time, "sleep", interrupted)
    assert "1 of 4 runs finished" in call(out, "--follow").stdout


def test_what_cannot_be_followed_is_refused(out: Path, tmp_path: Path) -> None:
    for form in ("--json", "--csv"):
        assert "--follow shows tables" in call(out, "--follow", form, code=2).stderr
    assert "none.h5" in call(tmp_path / "none.h5", "--follow", code=1).stderr
