"""The pages of the documentation run as they are printed.

Blocks of ``python`` on a page are executed in order and share their names. Blocks of ``sh`` are
commands, run between them in the same folder; a ``toml`` block that begins with ``# NAME.toml`` is
written to that file first. Other fences (``console``, bare ones) are only shown.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mc.cli import cli
from tests.test_readme import ROOT, run
from tnqbm.training.settings import PARTS

DOCS = ROOT / "docs"
ELSEWHERE = {
    "sampling.md": "tests/test_readme.py",
    "tensor-networks.md": "tests/test_readme.py",
    "quantum.md": "tests/tnqbm/quantum/test_measured_moments.py",
    "equivalence.md": "tests/scripts/audit/test_page.py",
}
"""Pages whose examples are run, with checks of their results, by other tests."""

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def fences(page: Path) -> list[tuple[str, str]]:
    return [(name, block) for name, block in FENCE.findall(page.read_text(encoding="utf-8"))]


def runnable() -> list[str]:
    pages = (path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
    return sorted(
        str(page.relative_to(DOCS))
        for page in pages
        if str(page.relative_to(DOCS)) not in ELSEWHERE
        and any(name in ("python", "sh") for name, _ in fences(page))
    )


def execute(page: Path, folder: Path) -> dict[str, Any]:
    """Run a page's blocks in ``folder``; the names that its Python has defined."""
    space: dict[str, Any] = {"__name__": "page"}
    for language, block in fences(page):
        if language == "python":
            exec(compile(block, page.name, "exec"), space)
        elif language == "sh":
            for command in re.sub(r"\\\n\s*", " ", block).splitlines():
                if command.strip():
                    run(command, folder)
        elif language == "toml" and (head := re.match(r"# ([\w-]+\.toml)\n", block)):
            (folder / head[1]).write_text(block, encoding="utf-8")
    return space


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for registry in PARTS.values():  # what pages register is forgotten
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    return tmp_path


def test_exact_training(here: Path) -> None:
    space = execute(DOCS / "tutorials" / "exact-training.md", here)
    assert all(path.tvd[-1] < path.tvd[0] for path in space["paths"].values())
    assert space["spread"]["XYZ", 2].mean() < 0.1


def test_beyond_enumeration(here: Path) -> None:
    space = execute(DOCS / "tutorials" / "beyond-enumeration.md", here)
    assert space["path"].test_nll[-1] < space["path"].test_nll[0] - 5
    assert space["log_z"].trusted
    assert space["info"].mixed
    assert (here / "samples.h5").exists()


def test_digits(here: Path) -> None:
    space = execute(DOCS / "tutorials" / "digits.md", here)
    assert space["run"].test_nll[-1] < 64 * 0.6931  # better than fair bits
    assert space["samples"].shape == (100, 10, 64)
    assert (space["completed"][..., :32] == space["test"].states[0, :32]).all()
    assert space["log_z"].trusted
    assert (here / "samples.h5").exists()


def test_log_z_three_ways(here: Path) -> None:
    """Fixed seeds; five standard errors are false alarms below 1e-5 for errors that are normal."""
    with pytest.warns(UserWarning, match="log Z"):
        space = execute(DOCS / "tutorials" / "log-z.md", here)
    for name, truth in (("annealed", "exact"), ("network", "exact"), ("better", "truth")):
        estimate = space[name]
        assert abs(estimate.value - space[truth]) < 5 * estimate.standard_error
    assert not space["quick"].trusted


def test_quantum_backend(here: Path) -> None:
    pytest.importorskip("qiskit_aer")
    space = execute(DOCS / "tutorials" / "quantum-backend.md", here)
    assert space["path"].tvd[-1] < space["path"].tvd[0]
    assert space["errors"][1_000] / space["errors"][16_000] == pytest.approx(4, rel=0.3)


def test_quantum_boltzmann(here: Path) -> None:
    space = execute(DOCS / "tutorials" / "quantum-boltzmann.md", here)
    assert 0.8 < np.sqrt(np.mean(space["pulls"] ** 2)) < 1.4
    assert abs(space["complete"].value - space["exact"]).max() < 1e-9
    assert list(space["losses"].values()) == pytest.approx([0.515, 4e-4, 0.515, 1e-4], abs=1e-3)
    assert space["losses"]["Z and X, 1 hidden"] < space["losses"]["Z and X"]


def test_archives(here: Path) -> None:
    pytest.importorskip("matplotlib")
    space = execute(DOCS / "tutorials" / "archives.md", here)
    assert len(space["runs"]) == 96
    assert space["again"] == pytest.approx(space["run"].trajectory.tvd[-1], abs=1e-12)
    for name in ("learning.png", "tvd.png"):
        assert (here / name).stat().st_size > 10_000


def test_archive_format(here: Path) -> None:
    from mc import run_study

    study = {
        "name": "format",
        "seeds": 2,
        "model": {"paulis": ["Z", "XZ"], "visible": 4, "hidden": 1},
        "data": {"name": "bas"},
        "training": {"iterations": 20},
    }
    run_study(study, "out.h5", progress=False)
    space = execute(DOCS / "archive-format.md", here)
    assert space["name"] in ("XZ-n4-m1-bas-exact-seeds-1-2", "Z-n4-m1-bas-exact-seeds-1-2")


def test_other_packages(here: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("torch")
    space = execute(DOCS / "how-to" / "other-packages.md", here)
    assert abs(space["difference"]).max() < 1e-12
    model, weights = space["model"], space["log_weight"]
    assert abs(weights - space["arrays"].constant - model.log_weight(space["v"])).max() < 1e-12


def test_look_at_data(here: Path) -> None:
    pytest.importorskip("matplotlib")
    page = DOCS / "how-to" / "look-at-data.md"
    execute(page, here)
    done = CliRunner().invoke(cli, ["data", "blocks.train.csv", "--test", "blocks.test.csv"])
    assert done.stdout.startswith(dict(fences(page))["text"])


NEEDED = {
    "reports.md": ("jinja2", "matplotlib"),
    "results.md": ("matplotlib",),
    "how-to/scikit-learn.md": ("sklearn",),
    "how-to/xarray.md": ("xarray", "h5netcdf", "arviz"),
}
"""Optional packages without which a page cannot run."""

APART = {
    "tutorials/exact-training.md",
    "tutorials/beyond-enumeration.md",
    "tutorials/digits.md",
    "tutorials/log-z.md",
    "tutorials/quantum-backend.md",
    "tutorials/quantum-boltzmann.md",
    "tutorials/archives.md",
    "archive-format.md",
    "how-to/look-at-data.md",
    "how-to/other-packages.md",
}


@pytest.mark.parametrize("name", [name for name in runnable() if name not in APART])
def test_page(name: str, here: Path) -> None:
    for extra in NEEDED.get(name, ()):
        pytest.importorskip(extra)
    execute(DOCS / name, here)
