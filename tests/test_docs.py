"""The documentation site: it builds without a warning, and nothing public is left out."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Dead links, pages outside the contents and the like are errors."""
    pytest.importorskip("sphinx")
    pytest.importorskip("qiskit")  # its classes are among what is documented
    pytest.importorskip("sklearn")  # and a class derived from its own
    for name in ("furo", "myst_parser", "sphinx_click", "sphinx_copybutton"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(folder / "trees"), str(DOCS), str(folder / "html")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "data").rglob("*.md")])


def tables(text: str) -> list[list[str]]:
    """Blocks of lines that begin with a bar, code left out."""
    found: list[list[str]] = []
    code, inside = False, False
    for line in text.splitlines():
        code ^= line.lstrip().startswith("```")
        if not code and line.startswith("|"):
            if not inside:
                found.append([])
            found[-1].append(line)
        inside = not code and line.startswith("|")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_whole(page: Path) -> None:
    """A blank line ends a table: the rows after it would be shown as text with bars in it."""
    for table in tables(page.read_text(encoding="utf-8")):
        assert len(table) > 2, f"no table, but rows of one: {table[0][:80]}"
        head, rule, *rows = (re.findall(r"(?<!\\)\|", line) for line in table)
        assert re.fullmatch(r"[-:| ]+", table[1]), f"no line under the head: {table[0][:80]}"
        assert len(head) == len(rule)
        for line, bars in zip(table[2:], rows, strict=True):
            assert len(bars) == len(head), f"not as many cells as the head has: {line[:80]}"


def test_a_blank_line_in_a_table_is_found() -> None:
    whole = "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    assert len(tables(whole + "| 3 | 4 |\n")) == 1
    assert tables(whole + "\n| 3 | 4 |\n")[1] == ["| 3 | 4 |"]
    assert tables("```\n| 3 | 4 |\n```\n") == []


def listed() -> str:
    """All directives of the reference, as text."""
    return "\n".join(path.read_text("utf-8") for path in sorted((DOCS / "reference").glob("*.md")))


def public() -> list[str]:
    names = []
    for package in ("tnqbm", "mc", "tnqbm.networks", "tnqbm.quantum", "tnqbm.hamiltonian"):
        exported = importlib.import_module(package).__all__
        names += [f"{package}.{name}" for name in exported if not name.startswith("__")]
    return names


# The same under another name, or a package whose own names are listed one by one.
ELSEWHERE = {
    "mc.interop": "mc.interop.SqRBMDensity",
    "tnqbm.hamiltonian.PauliHamiltonian": "tnqbm.PauliHamiltonian",
    "tnqbm.hamiltonian.DeepSqRBM": "tnqbm.DeepSqRBM",
    "tnqbm.hamiltonian.SqBM": "tnqbm.SqBM",
    "tnqbm.core": "tnqbm.SqRBM",
    "tnqbm.hamiltonian": "tnqbm.hamiltonian.qrbm",
    "tnqbm.interop": "tnqbm.interop.load_model",
    "tnqbm.model_tools": "tnqbm.model_tools.gauge",
    "tnqbm.networks": "tnqbm.networks.Contraction",
    "tnqbm.quantum": "tnqbm.quantum.QiskitGibbs",
    "tnqbm.training": "tnqbm.Trainer",
}


def test_public_names_are_in_the_reference() -> None:
    found = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)$", listed(), flags=re.MULTILINE))
    missing = [name for name in public() if ELSEWHERE.get(name, name) not in found]
    assert not missing, f"add to docs/reference/*.md: {', '.join(missing)}"


def test_reference_names_nothing_twice() -> None:
    found = re.findall(r"^\.\. auto\w+:: ([\w.]+)$", listed(), flags=re.MULTILINE)
    assert len(found) == len(set(found)) > 80


def test_site_has_every_public_name(site: Path) -> None:
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, uri: uri)
    data = inventory if isinstance(inventory, dict) else inventory.data
    there = {name for kind, names in data.items() if kind.startswith("py:") for name in names}
    missing = [name for name in public() if ELSEWHERE.get(name, name) not in there]
    assert not missing
    assert {"tnqbm.SqRBM.log_weight", "tnqbm.exact.moments", "mc.Info"} <= there


def test_figures_of_pages_are_in_the_site(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        if "_build" in page.parts:
            continue
        for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} shows {link}"
            assert (site / "_images" / Path(link).name).exists(), link


def test_links_to_outside_of_the_pages_work(site: Path) -> None:
    """Files become downloads, folders their README, and nothing points out of the site."""
    page = (site / "study-files.html").read_text(encoding="utf-8")
    assert re.search(r'href="_downloads/\w+/figure3\.toml"', page)
    page = (site / "results.html").read_text(encoding="utf-8")
    assert re.search(r'href="_downloads/\w+/README\.md"', page)
    for path in site.rglob("*.html"):
        for link in re.findall(r'href="([^"#:?]+)[^":]*"', path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.relative_to(site)} links to {link}"


def test_outside_links_that_lead_nowhere_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    rewritten = importlib.import_module("outside_links").rewritten
    docs = DOCS.resolve()

    def of(text: str) -> str:
        return str(rewritten(text, docs, docs))

    assert of("[x](../nowhere.md)") == "[x](../nowhere.md)"
    assert of("[x](sampling.md)") == "[x](sampling.md)"
    assert of("![x](../data/README.md)") == "![x](../data/README.md)"
    assert of("[x](../data)") == "{download}`x </../data/README.md>`"
    assert of("[x](../data/results)") == of("[x](../data)")  # told of in the README above
    assert of("[x](../scripts)") == "x"  # a folder without a README
    assert of("[x](../README.md#speed)") == "{download}`x </../README.md>`"


def test_docstrings_become_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    module = importlib.import_module("docstring_text")
    assert module.escaped("2**n of ``2**n`` and |psi|^2") == r"2\*\*n of ``2**n`` and \|psi\|^2"
    text = ["A formula,", "", "    H = a_ * b", "", "Parameters", "----------"]
    text += ["a, b : (n,) fields, of", "    two kinds.", "", "Ends."]
    lines = module.converted(text)
    assert "   " + "    H = a_ * b" in lines
    assert lines.index(".. rubric:: Parameters") < lines.index("``a``, ``b``")
    assert lines[lines.index("``a``, ``b``") + 1 :][:2] == ["    (n,) fields, of", "    two kinds."]
    assert (
        module.arrays("numpy.ndarray[tuple[Any, ...], numpy.dtype[float64]]") == "NDArray[float64]"
    )
    assert module.arrays("x.TypeAliasForwardRef('ArrayLike') | None") == "ArrayLike | None"
    help_lines = ["Text.", "| Examples:", "|   tnqbm doctor", "", "Ends."]
    assert module.literal_blocks(help_lines)[2:6] == ["Examples::", "", "      tnqbm doctor", ""]
