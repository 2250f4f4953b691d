"""The cache of compiled kernels notices changes in any file of kernels."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numba

from mc.kernels import block
from tnqbm import kernel_cache


@numba.njit(cache=True)
def _foreign(x):
    return x + 1


def test_kernels_are_stamped_with_all_kernels_and_others_are_not() -> None:
    stamp = block.block_chains._cache._impl._locator.get_source_stamp()
    assert stamp[1] == kernel_cache.kernel_digest()
    assert kernel_cache.kernel_digest() not in str(
        _foreign._cache._impl._locator.get_source_stamp()
    )


def test_the_digest_changes_with_a_file_of_kernels_and_not_with_others(tmp_path: Path) -> None:
    root = Path(kernel_cache.__file__).parent.parent
    for package in ("tnqbm", "mc"):
        shutil.copytree(
            root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )

    def digest() -> str:
        code = "from tnqbm.kernel_cache import kernel_digest; print(kernel_digest())"
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    first = digest()
    (tmp_path / "mc/cli.py").write_text((tmp_path / "mc/cli.py").read_text() + "\n# a comment\n")
    assert digest() == first
    lanes = tmp_path / "mc/kernels/lanes.py"
    lanes.write_text(lanes.read_text() + "\n# a comment\n")
    assert digest() != first
