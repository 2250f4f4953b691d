"""What is refused because of its size or memory, and what is advised instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tnqbm.base import limits
from tnqbm.base.limits import MAX_DENSE, MAX_VISIBLE, check_enumerable


@pytest.mark.parametrize("n", [1, MAX_DENSE])
def test_small_numbers_of_units_pass(n: int) -> None:
    check_enumerable(n)
    check_enumerable(n, dense=True)


def test_sums_reach_further_than_arrays() -> None:
    check_enumerable(MAX_VISIBLE)
    with pytest.raises(ValueError, match=rf"2\*\*{MAX_VISIBLE} .* 9 GB .* n = {MAX_DENSE}\b"):
        check_enumerable(MAX_VISIBLE, dense=True)


@pytest.mark.parametrize("dense", [False, True])
def test_advice_names_functions_that_exist(dense: bool) -> None:
    import mc

    n = MAX_VISIBLE + 1
    with pytest.raises(ValueError, match="out of reach") as caught:
        check_enumerable(n, dense=dense)
    message = str(caught.value)
    assert f"2**{n}" in message
    named = re.findall(r"\bmc\.(\w+)", message)
    assert named == ["sample", "log_partition"]
    assert all(callable(getattr(mc, name)) for name in named)


def test_advised_methods_exist() -> None:
    from tnqbm import exact

    with pytest.raises(ValueError, match="out of reach") as caught:
        check_enumerable(MAX_VISIBLE + 1)
    named = re.findall(r"method='(\w+)'", str(caught.value))
    assert named == ["contraction", "quadrature"]
    assert set(named) <= set(exact.METHODS)
    assert "exact.log_partition" in str(caught.value)


def test_advised_gradient_exists() -> None:
    from mc.estimators.settings import provide
    from tnqbm.training.estimators import GRADIENTS

    provide()
    assert "pcd" in GRADIENTS.names()


def test_the_smaller_of_machine_and_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 99 kB\nMemAvailable:    4000 kB\n")
    monkeypatch.setattr(limits, "_MEMINFO", info)
    monkeypatch.setattr(limits, "_CGROUP", tmp_path)
    assert limits.available_bytes() == 4_096_000
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert limits.available_bytes() == 4_096_000
    (tmp_path / "memory.max").write_text("51000\n")
    assert limits.available_bytes() == 50_000
    monkeypatch.setattr(limits, "_MEMINFO", tmp_path / "none")
    assert limits.available_bytes() == 50_000


def test_unknown_memory_refuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(limits, "_CGROUP", tmp_path)
    assert limits.available_bytes() is None
    limits.check_memory(10**18, "everything", "think")


def test_the_refusal_has_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "available_bytes", lambda: 2_000_000)
    limits.check_memory(1_700_000, "this", "keep less")
    with pytest.raises(MemoryError, match=r"this would take 1.9 MB .* 2 MB are free; keep less"):
        limits.check_memory(1_900_000, "this", "keep less")


@pytest.mark.parametrize(
    ("size", "text"),
    [(12, "12 B"), (999.4, "999 B"), (1500, "1.5 kB"), (8e10, "80 GB"), (5e15, "5000 TB")],
)
def test_sizes_in_words(size: float, text: str) -> None:
    assert limits.in_words(size) == text
