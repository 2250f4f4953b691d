"""The page itself: well formed, self-contained, escaped, whole or absent."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.synthetic import ladder, write
from tests.tnqbm.report.pages import Page
from tnqbm import report
from tnqbm.base.errors import MissingExtraError

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=y>&amp;{{ 7*7 }}{% raw %}"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    runs = [
        *ladder({1: [0.8, 0.7, 0.9], 2: [0.1, 0.15, 0.05]}, paulis="Z"),
        *ladder({1: [0.3, 0.3, 0.3], 2: [0.1, 0.1, 0.1]}, paulis="XYZ"),
    ]
    path = write(folder / "a.h5", runs, study_text='name = "small"\n', planned=1)
    report.write(path, folder / "r.html")
    return (folder / "r.html").read_text(encoding="utf-8")


def test_page_is_well_formed_and_says_what_is_there(page: str) -> None:
    assert page.startswith("<!DOCTYPE html>")
    read = Page(page)
    for words in (
        "small", "12 of 16 runs finished", "4 of 16 planned runs are missing", "sqRBM XYZ",
        "Least hidden units", "0.8000 ± 0.0816", "Study file", 'name = "small"',
    ):  # fmt: skip
        assert words in read.text, words
    titles = [image["alt"] or "" for image in read.all("img")]
    assert any("Final values" in title for title in titles)
    assert any("Samples of" in title for title in titles)
    assert "runs kept 3 records" in read.text  # why there are no learning curves
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in read.all("a"):
        assert (link["href"] or "").removeprefix("#") in ids


def test_page_needs_nothing_else(page: str) -> None:
    read = Page(page)
    assert not read.all("script")
    assert not read.all("link")
    assert all((image["src"] or "").startswith("data:image/") for image in read.all("img"))
    for name in ("src", "href", "srcset", "action", "background"):
        for _, attributes in read.tags:
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/", "#"))
    style = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)[0]
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    runs = ladder({1: [0.5, float("nan"), 0.3], 2: [0.1, 0.1, 0.1]}, data=HOSTILE, gradient=HOSTILE)
    quoted = HOSTILE.replace('"', '\\"')
    path = write(tmp_path / "a.h5", runs, study_text=f'name = "{quoted}"\n# {HOSTILE}\n')
    harmless = write(tmp_path / "b.h5", runs, study_text="name = 1\n")
    for source, title in ((path, None), (harmless, HOSTILE)):
        report.write(source, tmp_path / "r.html", title=title, overwrite=True)
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        read = Page(text)
        assert not read.all("script")
        assert all("onerror" not in attributes for _, attributes in read.tags)
        assert "<script" not in text
        assert HOSTILE in read.text  # shown as it is, not dropped, not evaluated


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", ladder({1: [0.5, 0.4, 0.3]}))
    target = tmp_path / "r.html"
    target.write_text("mine")
    with pytest.raises(FileExistsError):
        report.write(path, target)
    with pytest.raises(ValueError, match="was not written as a report"):
        report.write(path, target, overwrite=True)
    assert target.read_text() == "mine"
    target.unlink()
    with pytest.raises(ValueError, match=r"must end in one of \.html"):
        report.write(path, tmp_path / "r.pdf")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        report.write(path, tmp_path / "none" / "r.html")
    for overwrite in (False, True):
        report.write(path, target, overwrite=overwrite, samples=False)
    assert "<!DOCTYPE html>" in target.read_text(encoding="utf-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "r.html"]


def test_empty_archive(tmp_path: Path) -> None:
    from tnqbm.archive import parts_folder, write_plan

    parts_folder(tmp_path / "live.h5").mkdir()
    write_plan(parts_folder(tmp_path / "live.h5"), [], "", {})
    report.write(tmp_path / "live.h5", tmp_path / "r.html")
    read = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "No run is planned or finished" in read.text


def test_several_gradients_share_no_crowded_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten gradients: at most five rows of panels a figure, at most eight lines a panel."""
    from tnqbm.report import figures
    from tnqbm.report.view import views

    monkeypatch.setattr(figures, "_bytes", lambda figure, form: b"")  # drawing takes long
    labels = [f"pcd-{k}" for k in range(1, 11)]
    runs = [
        run
        for label in labels
        for run in ladder({1: [0.5, 0.4, 0.3], 2: [0.3, 0.2, 0.1]}, gradient=label)
    ]
    path = write(tmp_path / "a.h5", runs)
    with views(path) as opened:
        drawings, _ = figures.draw(opened, report.collect(path, samples=False))
    kinds = [drawing.kind for drawing in drawings]
    assert kinds.count("final") == 2
    assert kinds.count("gradients") == 2


def test_missing_packages_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match="the extra 'report' of tnqbm"):
        report.write(tmp_path / "none.h5", tmp_path / "r.html")


def test_importing_reports_is_light() -> None:
    code = "import sys, tnqbm.report; print({'jinja2', 'matplotlib', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
