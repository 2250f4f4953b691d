"""The script that compares Hamiltonians and circuits with dense matrices: it runs, and can fail."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("qiskit")

PATH = Path(__file__).parents[3] / "scripts" / "quantum" / "check.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *words: str,
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["check.py", *words])
    return script.main(), capsys.readouterr().out


def test_parts_within_their_bounds(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = call(script, monkeypatch, capsys, "thermal", "trotter")
    assert status == 0
    assert text.count("\nok ") + text.startswith("ok") == 4 + 8
    assert "all within their bounds" in text


def test_what_is_beyond_its_bound_is_an_error(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def part():  # type: ignore[no-untyped-def]
        yield "right", 1e-12, 1e-10
        yield "wrong", 1e-9, 1e-10
        yield "no number", float("nan"), 1e-10

    monkeypatch.setattr(script, "PARTS", {"thermal": part})
    status, text = call(script, monkeypatch, capsys)
    assert status == 1
    assert "MISSED wrong: 1e-09 (<= 1e-10)" in text
    assert "2 beyond their bounds" in text


def test_unknown_parts_are_refused(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(script, monkeypatch, capsys, "thermall")
    assert caught.value.code == 2
