"""The forecast of memory: where it looks, and how it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tnqbm.base import memory


def test_the_smaller_of_machine_and_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 99 kB\nMemAvailable:    4000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", info)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.available_bytes() == 4_096_000
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() == 4_096_000
    (tmp_path / "memory.max").write_text("51000\n")
    assert memory.available_bytes() == 50_000
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    assert memory.available_bytes() == 50_000


def test_unknown_memory_refuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.available_bytes() is None
    memory.check_memory(10**18, "everything", "think")


def test_the_refusal_has_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 2_000_000)
    memory.check_memory(1_700_000, "this", "keep less")
    with pytest.raises(MemoryError, match=r"this would take 1.9 MB .* 2 MB are free; keep less"):
        memory.check_memory(1_900_000, "this", "keep less")


@pytest.mark.parametrize(
    ("size", "text"),
    [(12, "12 B"), (999.4, "999 B"), (1500, "1.5 kB"), (8e10, "80 GB"), (5e15, "5000 TB")],
)
def test_sizes_in_words(size: float, text: str) -> None:
    assert memory.in_words(size) == text
