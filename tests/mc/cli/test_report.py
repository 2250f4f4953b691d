"""``tnqbm report``: the command, its JSON and messages, and samples by Markov chains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.mc.cli.calling import caller
from tests.synthetic import ladder, write

call = caller("report")

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = ladder({1: [0.8, 0.7, 0.9], 2: [0.1, 0.15, 0.05]})
    return write(tmp_path_factory.mktemp("cli") / "a.h5", runs, planned=1)


def test_help_has_examples() -> None:
    text = call("--help").stdout
    assert "Example" in text
    assert "tnqbm report results.h5 -o report.html" in text


def test_report_and_json(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    text = call(archive, "-o", out, "--no-samples", "--title", "Mine").stdout
    assert "6 of 8 runs finished" in text
    assert "caution: 2 of 8 planned runs are missing" in text
    assert "<title>Mine</title>" in out.read_text(encoding="utf-8")
    assert "exists already" in call(archive, "-o", out, code=1).stderr
    words = ("--overwrite", "--no-samples", "--where", "hidden=2", "--json")
    result = json.loads(call(archive, "-o", out, *words).stdout)
    assert result["report"] == str(out)
    assert result["groups"] == 1
    assert result["runs"] == {"finished": 3, "planned": 4}
    assert [one["level"] for one in result["findings"]] == ["caution"]


def test_errors_come_before_work(archive: Path, tmp_path: Path) -> None:
    said = call(archive, "-o", tmp_path / "r.txt", code=1).stderr
    assert "must end in one of .html, .htm" in said
    assert "does not exist" in call(tmp_path / "b.h5", "-o", tmp_path / "r.html", code=1).stderr
    result = call(archive, "-o", tmp_path / "r.html", "--where", "paulis=XZ", code=1)
    assert "no run has paulis = XZ" in result.stderr
    assert not (tmp_path / "r.html").exists()


def test_samples_beyond_enumeration(tmp_path: Path) -> None:
    """Chains of a weakly coupled model mix, and annealing finds its log Z.

    A false alarm of either verdict has a probability of some 1e-3; the seed is fixed.
    """
    from tnqbm import SqRBM, exact

    small = ladder({1: [0.8, 0.7, 0.9]}, visible=18, paulis="XZ")
    out = tmp_path / "r.html"
    path = write(tmp_path / "a.h5", small)
    result = json.loads(call(path, "-o", out, "--json", "--seed", "3").stdout)
    assert not any(one["what"].startswith("Samples") for one in result["omitted"])

    from mc.cli.report import draw
    from tnqbm.datasets import load

    model = SqRBM.uniform(18, 2, "XYZ", scale=0.1, seed=1)
    found = draw(model, load("bas", 18), 0)
    assert found.mixed
    assert found.log_z is not None
    assert found.log_z.trusted
    gap = abs(found.log_z.value - exact.log_partition(model))
    assert gap < 5 * found.log_z.error + 1e-9
    again = draw(model, load("bas", 18), 0)
    assert np.array_equal(found.samples, again.samples)
