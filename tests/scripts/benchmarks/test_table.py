"""Lines of JSON that benchmarks write, and the tables and comparisons made of them."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts.loading import SCRIPTS

PAGE = SCRIPTS.parent / "docs" / "performance.md"

FOLDER = SCRIPTS / "benchmarks"


def loaded(name: str) -> ModuleType:
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table, timing = loaded("table"), loaded("timing")

HELPERS = {"floor", "peers", "peers_collapsed", "peers_gibbs", "peers_pcd", "table", "timing"}
STUDIES = {
    "crossings", "microscope", "quantum_cd", "quantum_cd_training", "trainers", "trainers_sampled",
}  # fmt: skip
"""Those that keep what they find in archives and tables of their own."""


def file_of(path: Path, value: float, better: str = "lower", kind: str = "haswell") -> Path:
    timing.write_json(str(path), "sweeps", [{"n": 64, "paulis": "Z", "ns": value}], better)
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    text = "".join(json.dumps(line | {"processor": kind, "vectors": ""}) + "\n" for line in lines)
    path.write_text(text)
    return path


def test_a_line_says_what_was_measured_where_and_with_what(tmp_path: Path) -> None:
    path = tmp_path / "figures.jsonl"
    rows = [{"n": 8, "ns": 1.23456789, "JAX": None, "error": float("nan")}, {"n": 9, "ns": 2.0}]
    timing.write_json(str(path), "sweeps", rows, "lower")
    first, second = table.read([path])
    assert first["benchmark"] == second["benchmark"] == "sweeps"
    assert first["where"] == {"n": 8}
    assert (first["figure"], first["value"], first["better"]) == ("ns", 1.23457, "lower")
    assert first["versions"]["numpy"]
    assert first["processor"]
    assert {"vectors", "commit"} <= first.keys()
    timing.write_json(str(path), "sweeps", rows[1:])
    assert [line["value"] for line in table.read([path])] == [1.23457, 2.0, 2.0]


def test_tables_have_a_column_for_every_kind_of_processor(tmp_path: Path) -> None:
    one = file_of(tmp_path / "one", 2.0)
    file_of(one, 1.5)  # measured again: the best one counts
    other = file_of(tmp_path / "other", 0.75, kind="znver4")
    assert table.tables(table.read([one, other]))["sweeps"].splitlines() == [
        "| sweeps | | haswell | znver4 |",
        "| --- | --- | --- | --- |",
        "| n = 64, paulis = Z | ns | 1.5 | 0.75 |",
    ]


def test_the_page_has_the_tables_of_the_figures_that_are_kept(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert table.main(["--into", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == text
    assert "| n = 12, m = 30, precision = double |" in text


def test_a_page_without_the_marks_of_a_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Speed\n")
    with pytest.raises(SystemExit):
        table.main([str(file_of(tmp_path / "one", 2.0)), "--into", str(page)])
    assert "one line <!-- sweeps -->" in capsys.readouterr().err
    assert page.read_text() == "# Speed\n"


def test_figures_of_a_row_may_have_directions_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "figures"
    rows = [{"n": 8, "seconds": 1.0, "ESS": 2.0, "forecast": 3.0}]
    timing.write_json(str(path), "mixed", rows, {"seconds": "lower", "ESS": "higher"})
    assert [line["better"] for line in table.read([path])] == ["lower", "higher", ""]


@pytest.mark.parametrize(
    ("better", "old", "new", "status"),
    [
        ("lower", 1.0, 1.09, 0), ("lower", 1.0, 1.11, 1), ("lower", 1.0, 0.5, 0),
        ("higher", 1.0, 0.92, 0), ("higher", 1.0, 0.9, 1), ("higher", 1.0, 2.0, 0),
        ("", 1.0, 5.0, 0),
    ],
)  # fmt: skip
def test_what_became_worse_by_more_than_a_tenth_is_named(
    better: str, old: float, new: float, status: int,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before, after = file_of(tmp_path / "old", old, better), file_of(tmp_path / "new", new, better)
    assert table.main(["--since", str(before), str(after)]) == status
    found = capsys.readouterr().out.splitlines()
    assert found[-1] == f"{status} of 1 figures in both are worse by more than 10%"
    assert len(found) == 1 + status
    if status:
        assert found[0] == "sweeps, n = 64, paulis = Z, ns: 1.11 times worse on haswell"


def test_files_without_a_figure_in_common_are_no_comparison(tmp_path: Path) -> None:
    before = file_of(tmp_path / "old", 1.0)
    after = file_of(tmp_path / "new", 1.0, kind="znver4")
    assert table.main(["--since", str(before), str(after)]) == 1


def test_a_line_that_is_none_of_a_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(tmp_path / "figures", 1.0)
    path.write_text(path.read_text() + '{"figure": "ns"}\n')
    with pytest.raises(SystemExit):
        table.main([str(path)])
    assert "figures, line 2 is no benchmark's figure" in capsys.readouterr().err


def test_every_benchmark_writes_its_figures() -> None:
    for path in FOLDER.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.stem not in HELPERS | STUDIES:
            assert "write_json(" in text, path.name
            assert "add_json(parser)" in text or "add_options(parser" in text, path.name
