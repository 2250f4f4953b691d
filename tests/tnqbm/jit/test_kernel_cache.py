"""The cache of compiled kernels notices changes in any file of kernels."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from mc.kernels import block
from tnqbm.jit import kernel_cache

ROOT = Path(kernel_cache.__file__).parents[2]


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
    for package in ("tnqbm", "mc"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )

    def digest() -> str:
        code = "from tnqbm.jit.kernel_cache import kernel_digest; print(kernel_digest())"
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    first = digest()
    module = tmp_path / "mc/cli/command.py"
    module.write_text(module.read_text() + "\n# a comment\n")
    assert digest() == first
    lanes = tmp_path / "mc/kernels/lanes.py"
    lanes.write_text(lanes.read_text() + "\n# a comment\n")
    assert digest() != first


@pytest.mark.parametrize("damage", [b"ctnqbm.moved_away\nSimd\n.", b"cut short", b""])
def test_an_unreadable_index_counts_as_out_of_date(tmp_path: Path, damage: bytes) -> None:
    """An update may have moved the classes that an index names."""
    program = tmp_path / "cached.py"
    program.write_text(
        "import numba, sys\n"
        "from tnqbm.jit import kernel_cache\n"
        "kernel_cache.install()\n"
        "@numba.njit(cache=True)\n"
        "def twice(x):\n"
        "    return 2 * x\n"
        "print(twice(21), sum(twice.stats.cache_hits.values()))\n"
    )

    def run() -> str:
        done = subprocess.run(
            [sys.executable, program], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert (run(), run()) == ("42 0", "42 1")
    (index,) = (tmp_path / "__pycache__").glob("*.nbi")
    index.write_bytes(pickle.dumps(numba.__version__) + damage)
    assert (run(), run()) == ("42 0", "42 1")
