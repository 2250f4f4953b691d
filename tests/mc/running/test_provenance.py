"""What archives say of the processor that kernels are compiled for."""

from __future__ import annotations

import platform

import pytest
from numba.core import config

from mc.running.provenance import processor, vectors

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="processors of this kind are named"
)


@pytest.mark.parametrize(
    ("name", "features", "expected"),
    [
        ("generic", "", "SSE2"), ("sandybridge", "", "AVX"), ("haswell", "", "AVX2"),
        ("haswell", "+avx512f", "AVX-512"), ("znver4", "", "AVX-512"),
    ],
)  # fmt: skip
def test_vectors_are_those_of_the_processor_that_is_compiled_for(
    name: str, features: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CPU_NAME", name)
    monkeypatch.setattr(config, "CPU_FEATURES", features)
    assert processor() == name
    vectors.cache_clear()
    try:
        assert vectors() == expected
    finally:
        vectors.cache_clear()
