"""Text that a stranger wrote into an archive: shown letter by letter, in every kind of output."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner

from mc.cli.command import cli
from mc.cli.common import print_table
from tests.archive_samples import coordinates, make_archive, records
from tnqbm.base.errors import ArchiveError
from tnqbm.base.text import printable
from tnqbm.figures.styles import plain_label

TEXTS = (
    "\x1b[31mEVIL\x1b]0;title\x07",
    "a$b$\\frac{",
    "<script>alert(1)</script>",
    "[bold]x[/bold]",
    "two\nlines",
    "\u202eoverride\u2028",
)


def steers(text: str, keep: str = "\n") -> list[str]:
    """Characters of a text that a terminal would obey."""
    return [c for c in text if c not in keep and unicodedata.category(c) in ("Cc", "Cf", "Zl")]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Groups that differ in a coordinate, and data sets and labels of a stranger's choosing."""
    made = [
        records(coordinates("Z", hidden=m, gradient=text, extra=text), [1], rows=4)
        for text in TEXTS
        for m in (1, 2)
    ]
    made += [records({**coordinates("XZ"), "data": f"{TEXTS[1]}.csv"}, [1], rows=4)]
    return make_archive(tmp_path / "a.h5", made)


def call(*words: str | Path) -> str:
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output


def test_every_kind_of_character_that_steers_is_shown() -> None:
    assert printable("a\x1b[1m\r\n\u202e\ud800\x85") == r"a\x1b[1m\r\n\u202e\ud800\x85"
    assert printable("é ∑ 漢 $ [x]\n", keep="\n") == "é ∑ 漢 $ [x]\n"
    assert str(ArchiveError("one\ntwo\x1b")) == r"one\ntwo\x1b"


@pytest.mark.parametrize("options", [[], ["--runs"], ["--min-hidden"], ["--where", "extra=x"]])
def test_tables_show_text_letter_by_letter(hostile: Path, options: list[str]) -> None:
    output = call("show", hostile, *options)
    assert not steers(output)
    if not options:
        for words in (r"\x1b[31mEVIL", "[bold]x[/bold]", "<script>", r"two\nlines", r"\u202eover"):
            assert words in output


def test_titles_and_heads_of_tables_have_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["[red]a\x1b"], [["[b]"]], left=1, title="[bold]x[/bold]\x07")
    output = "".join(capsys.readouterr().out.split())  # a title is broken at the table's width
    assert all(words in output for words in (r"[bold]x[/bold]\x07", r"[red]a\x1b", "[b]"))


def test_messages_show_text_letter_by_letter(hostile: Path) -> None:
    for words in (
        ["evaluate", hostile],
        ["verify", hostile],
        ["evaluate", hostile, "--run", "seed=9"],
    ):
        assert not steers(call(*words))


@pytest.mark.parametrize("kind", ["tvd", "learning", "min-hidden", "gradients"])
def test_figures_draw_text_letter_by_letter(hostile: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "figure.svg"
    call("plot", hostile, "--kind", kind, "-o", out, "--where", "paulis=Z")
    assert not steers(out.read_text(encoding="utf-8"), keep="\n\t")


def test_labels_are_no_formulas() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    text = figure.text(0, 0, plain_label(TEXTS[1]))
    figure.canvas.draw()  # type: ignore[no-untyped-call]
    assert text._preprocess_math(text.get_text()) == (TEXTS[1], False)


def test_reports_escape_text(hostile: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    output = call("report", hostile, "-o", out, "--no-samples", "--title", TEXTS[2] + TEXTS[0])
    assert not steers(output)
    page = out.read_text(encoding="utf-8")
    assert not steers(page, keep="\n\t\N{ZERO WIDTH SPACE}")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert r"\x1b[31mEVIL" in page
    assert not re.search(r"<[^>]*\son\w+=", page)
