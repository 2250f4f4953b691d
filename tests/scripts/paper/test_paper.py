"""The scripts that make the paper's figures and tables."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scripts.loading import load
from tnqbm.model_tools import jacobian

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "scripts" / "paper"


@pytest.fixture(scope="module")
def paper() -> Any:
    """The scripts as modules: make, and through it the others."""
    return load("paper").make


# --- tables ------------------------------------------------------------------------------------


def test_table_1_counts_what_the_models_have(paper: Any) -> None:
    text = paper.tables.table1([(5, 1), (6, 2)])
    assert "| 5, 1 | 11 | 17 | 23 | 11 / 16 / 20 |" in text
    assert "| 6, 2 | 20 | 34 | 48 | 20 / 32 / 42 |" in text


def test_table_1_refuses_a_count_that_is_wrong(paper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jacobian, "expected_rank", lambda n, m, p: 1)
    with pytest.raises(RuntimeError, match="9 parameters, of which 9 effective"):
        paper.tables.table1([(4, 1)])


def test_ratios_of_known_numbers(paper: Any, tmp_path: Path) -> None:
    from tests.synthetic import ladder, write

    records = ladder({4: [0.5] * 9, 5: [0.1] * 9})
    records += ladder({1: [0.5] * 9, 2: [0.3] * 9, 3: [0.1] * 9}, paulis="XZ")
    records += ladder({1: [0.5] * 9, 2: [0.4] * 9}, paulis="XYZ")
    text = paper.tables.ratios(write(tmp_path / "a.h5", records))
    row = (
        "| bas | 6 | 4.75 (4.75 to 4.75) / 2.50 (2.50 to 2.50) / > 2 | 5 / 3 / – "
        "| 1.90 (1.90 to 1.90) | 2 | 1.86 | ≤ 2.38 | 3 | 2.57 |"
    )
    assert row in text


def test_least_of_two_archives_side_by_side(paper: Any, tmp_path: Path) -> None:
    from tests.synthetic import ladder, write

    paths = []
    for k, steps in enumerate(({2: [0.5] * 9, 3: [0.1] * 9}, {3: [0.1, 0.25] * 5, 4: [0.1] * 9})):
        other = ladder({1: [0.1] * 9, 2: [0.1] * 9}, paulis="XZ", data="parity")
        paths.append(write(tmp_path / f"{k}.h5", ladder(steps) + (other if k else [])))
    assert paper.tables.least(paths, ("one", "two")).splitlines() == [
        "| data | n | m: Z / XZ / XYZ, one | two | Z / XZ, one | Z / XZ, two | Z / XYZ, one "
        "| Z / XYZ, two |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| bas | 6 | 2.75 (2.75 to 2.75) | \u2264 3 |  |  |  |  |",
    ]


def test_tables_are_put_between_their_marks(paper: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- table 1 -->\nold\n<!-- end of table 1 -->\nbelow\n")
    assert paper.tables.main(["--table1", "--into", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("above\n<!-- table 1 -->\n\n| n, m |")
    assert text.endswith("|\n\n<!-- end of table 1 -->\nbelow\n")
    assert "old" not in text
    for wrong in ("nothing", "<!-- end of x -->\n<!-- x -->\n", "<!-- x -->\n" * 2):
        with pytest.raises(ValueError, match=r"<!-- (end of )?x -->"):
            load("docs").pages.insert(wrong, "x", "table")


def test_both_variants_of_amsgrad_follow_the_exact_gradient(paper: Any) -> None:
    amsgrad = load("paper").amsgrad

    import tnqbm

    model = tnqbm.SqRBM.uniform(5, 2, "XZ", seed=3)
    target = tnqbm.datasets.load("on2", 5, seed=3)
    spins = 1.0 - 2.0 * tnqbm.core.states.states_of(np.arange(32), 5)
    found, _ = amsgrad.gradient(model.to_vector()[None], target.dense()[None], spins, 2)
    expected = tnqbm.exact.gradient(model, target).to_vector()
    assert np.allclose(found[0], expected, atol=1e-12)


# --- transverse fields -------------------------------------------------------------------------


def test_a_gain_is_found_and_none_is_not(paper: Any) -> None:
    rng = np.random.default_rng(1)
    base = dict(enumerate(0.5 + 0.2 * rng.standard_normal(50)))
    better = {seed: value - 0.1 for seed, value in base.items()}
    same = {seed: value + 0.01 * rng.standard_normal() for seed, value in base.items()}
    # Paired: the common scatter of 0.2 drops out.
    assert np.allclose(paper.transverse.gain(base, better), 0.1)
    mean, low, high = paper.transverse.gain(base, same)
    assert low < 0 < high
    assert abs(mean) < 0.005
    assert high - low < 0.02


def test_runs_of_the_qrbm_go_on_where_they_stopped(
    paper: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = paper.transverse_qrbm
    tiny = script.Plan({4: [1]}, ["parity"], {4: 1}, 20)
    monkeypatch.setattr(script, "QUICK", tiny)
    whole, out = tmp_path / "whole.h5", tmp_path / "out.h5"
    assert script.main(["--quick", "-o", str(whole)]) == 0
    train, count = script.train, 0

    def stopping(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(script, "train", stopping)
    assert script.main(["--quick", "-o", str(out)]) == 130
    assert len(script.load(out, tiny)) == 2
    assert script.main(["--quick", "-o", str(out)]) == 0
    found = script.load(out, tiny)
    assert found == script.load(whole, tiny)
    assert {run.model for run in found} == set(script.MODELS)
    with pytest.raises(ValueError, match="iterations = 20, not 1000"):
        script.load(out, script.FULL)
    values = paper.transverse.from_runs(out)
    assert "parity" in paper.transverse.gain_table(values, ("hidden", "all", "XZ"))


# --- published archives ------------------------------------------------------------------------


def test_figures_2_and_3_agree_bit_for_bit_where_they_share_runs() -> None:
    """Equal coordinates and seeds, one version of the software, one kind of processor."""
    from tnqbm import Archive

    coordinates = ("data", "visible", "paulis", "hidden", "seed")
    runs = []
    for name in ("figure2.h5", "figure3.h5"):
        with Archive(ROOT / "data" / "results" / name) as archive:
            rows = archive.table()
        runs.append({tuple(row[c] for c in coordinates): (row["tvd"], row["kl"]) for row in rows})
    shared = runs[0].keys() & runs[1].keys()
    assert len(shared) == 14_100
    differ = [key for key in shared if runs[0][key] != runs[1][key]]
    assert not differ


def test_ratios_on_the_page_are_those_of_the_archive(paper: Any) -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert paper.tables.ratios(ROOT / "data" / "results" / "figure3.h5") in page


# --- all of it ---------------------------------------------------------------------------------


@pytest.fixture
def small(paper: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything in smaller still."""
    spread = paper.gradient_spread.Plan((4, 6, 8), (1,), 4, 1, 1000)
    monkeypatch.setattr(paper.gradient_spread, "QUICK", spread)
    monkeypatch.setattr(paper.tables, "SIZES", ((5, 1),))
    monkeypatch.setattr(paper, "launcher", lambda ranks: [])
    return paper


def test_note_9_goes_on_where_it_stopped(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script, count = small.gradient_spread, 0
    whole, out = tmp_path / "whole.h5", tmp_path / "out.h5"
    assert script.main(["--quick", "-o", str(whole)]) == 0
    sampler = script.sampler

    def stopping(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == 12:
            raise KeyboardInterrupt
        return sampler(*arguments)

    monkeypatch.setattr(script, "sampler", stopping)
    assert script.main(["--quick", "-o", str(out)]) == 130
    assert 0 < len(script.todo(script.load(out, script.QUICK), script.QUICK)) < 30
    capsys.readouterr()
    assert script.main(["--quick", "-o", str(out), "--table"]) == 0
    assert out.read_bytes() == whole.read_bytes()
    text = capsys.readouterr().out
    rows = [line for line in text.splitlines() if line.startswith("| a | cardinality | XYZ |")]
    assert len(rows) == 2  # against n, and against m
    # No decay: as large at n = 8 as at n = 4 (standard errors are below 0.01).
    ends = [float(word) for word in rows[0].split("|")[4:6]]
    assert abs(ends[0] - ends[1]) < 0.05
    with pytest.raises(ValueError, match="samples = 1000, not 10000"):
        script.load(out, script.FULL)


def test_the_second_call_computes_nothing(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "paper"
    arguments = ["--quick", "-o", str(out), "--ranks", "1", "--only", "table1", "figure2"]
    assert small.main([*arguments, "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "0 of     72 done, about" in text
    assert "of one core" in text
    assert not (out / "figure2.h5").exists()
    assert small.main(arguments) == 0
    made = {path.name for path in out.iterdir()}
    assert {"table1.md", "figure2-n6.png", "figure2.h5"} <= made
    first = {path: path.read_bytes() for path in out.glob("*") if path.is_file()}
    capsys.readouterr()

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("computes again")

    monkeypatch.setattr(small, "call", forbidden)
    assert small.main(arguments) == 0
    text = capsys.readouterr().out
    assert text.count("nothing left") == 1
    assert str(out / "figure2.h5") in text
    assert all(path.read_bytes() == before for path, before in first.items())
    # Elsewhere, from the archives that are there.
    other = tmp_path / "other"
    copied = ["--quick", "-o", str(other), "--from", str(out), "--ranks", "1", "--only", "figure2"]
    assert small.main(copied) == 0
    assert "copied" in capsys.readouterr().out
    assert (other / "figure2.h5").read_bytes() == first[out / "figure2.h5"]


def test_what_goes_wrong_is_said(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "paper"
    arguments = ["--quick", "-o", str(out), "--ranks", "1", "--only", "figure3"]
    with pytest.raises(SystemExit) as caught:
        small.main([*arguments, "--from", str(tmp_path / "nowhere")])
    assert caught.value.code == 1
    assert "there is no such folder" in capsys.readouterr().err

    out.mkdir(exist_ok=True)
    (out / "figure3.h5").write_bytes(b"not HDF5")
    with pytest.raises(SystemExit) as caught:
        small.main(arguments)
    assert caught.value.code == 1
    assert "figure3.h5" in capsys.readouterr().err
    (out / "figure3.h5").unlink()

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(small, "call", stopped)
    with pytest.raises(SystemExit) as caught:
        small.main(arguments)
    assert caught.value.code == 130
    assert "Go on with: python" in capsys.readouterr().err

    monkeypatch.setattr(small, "call", lambda *_, **__: _fail(small))
    with pytest.raises(SystemExit) as caught:
        small.main(arguments)
    assert caught.value.code == 1
    assert "exit status 7" in capsys.readouterr().err


def _fail(make: Any) -> None:
    raise make.subprocess.CalledProcessError(7, ["tnqbm"])


def test_a_child_that_fails_or_was_stopped(paper: Any) -> None:
    with pytest.raises(paper.subprocess.CalledProcessError):
        paper.call([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(KeyboardInterrupt):
        paper.call([sys.executable, "-c", "raise SystemExit(130)"])
    paper.call([sys.executable, "-c", "import tnqbm"])


@pytest.mark.parametrize("name", ["figure2", "figure3", "transverse"])
def test_studies_in_small_are_studies(paper: Any, name: str, tmp_path: Path) -> None:
    from mc import load_study

    path = tmp_path / f"{name}.toml"
    path.write_text(paper.in_small(paper.STUDIES / f"{name}.toml"))
    study = load_study(path)
    full = load_study(paper.STUDIES / f"{name}.toml")
    assert 0 < len(study.plan()) <= len(full.plan())
    assert study.settings().iterations == 30
    assert len(study.seeds) == 2


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_ranks_are_started_by_mpiexec(paper: Any) -> None:
    assert paper.launcher(1) == []
    assert paper.launcher(3)[-2:] in ([], ["-n", "3"])
