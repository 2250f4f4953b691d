"""Progress of one calculation: lines in a file, a bar on a terminal, silence when it cannot."""

from __future__ import annotations

import io

import pytest

from tnqbm.base import progress
from tnqbm.base.progress import StepsDisplay


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_SECONDS", 0.0)
    stream = io.StringIO()
    with StepsDisplay("sampling", 100, shown=True, stream=stream) as shown:
        shown.advance(25)
        shown.advance(25)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("sampling: 25 of 100, 0 s elapsed, ")
    assert lines[1].startswith("sampling: 50 of 100")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    stream = Terminal()
    with StepsDisplay("sampling", 10, shown=True, stream=stream) as shown:
        for _ in range(10):
            shown.advance(1)
    assert "sampling" in stream.getvalue()
    assert "10/10" in stream.getvalue()


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_SECONDS", 0.0)
    stream = io.StringIO()
    with StepsDisplay("sampling", 10, shown=False, stream=stream) as shown:
        shown.advance(5)
    assert stream.getvalue() == ""
    closed = io.StringIO()
    with StepsDisplay("sampling", 10, shown=True, stream=closed) as shown:
        closed.close()
        shown.advance(5)  # must not stop the work
        shown.advance(5)
