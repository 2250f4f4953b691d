"""The cache of compiled kernels notices changes in any file of kernels, and stops no work."""

from __future__ import annotations

import errno
import os
import pickle
import pkgutil
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
import pytest
from numba.core import caching

from mc.kernels import block, collapsed, thermal
from tnqbm.base import process
from tnqbm.kernels import cache as kernel_cache
from tnqbm.kernels import enumeration
from tnqbm.training.optimizers import first_order

ROOT = Path(kernel_cache.__file__).parents[2]
SOURCE = "import numba\n@numba.njit(cache=True)\ndef twice(x):\n    return 2 * x\n"


@numba.njit(cache=True)
def _foreign(x):
    return x + 1


def stamp(kernel: Any) -> Any:
    return kernel._cache._impl._locator.get_source_stamp()


def test_only_kernels_of_these_packages_are_stamped_with_what_they_import() -> None:
    files = frozenset({Path(block.__file__)})
    assert stamp(block.block_chains)[1] == kernel_cache.digest(files)
    assert kernel_cache.digest(files) not in str(stamp(_foreign))


Stamps = Callable[[], dict[str, Any]]


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stamps]:
    """The digests of some kernels, as a new process would see a copy of all source files."""
    folders = tuple(tmp_path / package for package in ("tnqbm", "mc"))
    for folder in folders:
        shutil.copytree(ROOT / folder.name, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kernel_cache, "_folders", lambda: folders)

    def found() -> dict[str, Any]:
        for function in (kernel_cache._read, kernel_cache.sources, kernel_cache.digest):
            function.cache_clear()
        return {
            name: kernel_cache.digest(
                frozenset(
                    tmp_path / path.relative_to(ROOT) for path in kernel_cache._files_of(kernel)
                )
            )
            for name, kernel in KERNELS.items()
        }

    yield found
    for function in (kernel_cache._read, kernel_cache.sources, kernel_cache.digest):
        function.cache_clear()


KERNELS = {
    "block": block.block_chains,
    "collapsed": collapsed.collapsed_chains,
    "thermal": thermal.thermal_chains,
    "enumeration": enumeration.all_shards,
    "momentum": first_order._momentum_rows,
}


@pytest.mark.parametrize(
    ("changed", "those"),
    [
        ("mc/cli/command.py", set()),
        ("tnqbm/core/model.py", set()),
        ("mc/kernels/block.py", {"block"}),
        # The driver stands in another file than the functions that it is made with.
        ("mc/kernels/thermal.py", {"thermal"}),
        ("mc/kernels/bits.py", {"collapsed"}),
        ("mc/kernels/lanes.py", {"block", "collapsed", "thermal"}),
        ("mc/kernels/drivers.py", {"collapsed", "thermal"}),
        ("tnqbm/kernels/enumeration.py", {"enumeration", "momentum"}),
        ("tnqbm/kernels/simd.py", set(KERNELS)),
    ],
)
def test_the_stamps_that_change_are_those_of_kernels_that_rest_on_a_file(
    tmp_path: Path, stamps: Stamps, changed: str, those: set[str]
) -> None:
    before = stamps()
    path = tmp_path / changed
    path.write_text(path.read_text() + "\n# a comment\n")
    after = stamps()
    assert {name for name in before if before[name] != after[name]} == those


def test_every_function_that_a_kernel_calls_is_in_its_stamp() -> None:
    """However it is imported: what a kernel's code names, and what that names."""
    for kernel in KERNELS.values():
        files = kernel_cache.sources(kernel_cache._files_of(kernel))
        for function in _called(kernel):
            if kernel_cache._is_ours(function.__code__.co_filename):
                assert Path(function.__code__.co_filename) in files, function


def _called(kernel: Any) -> Iterator[Any]:
    pending, seen = [kernel], set()
    while pending:
        value = pending.pop()
        value = getattr(value, "_defn", getattr(value, "py_func", value))
        function = getattr(value, "py_func", value)
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        yield function
        pending += [cell.cell_contents for cell in function.__closure__ or ()]
        pending += [function.__globals__.get(name) for name in function.__code__.co_names]


class Program:
    """A file with a kernel, run as often as asked, each time like a new process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "cached.py"
        self.path.write_text(SOURCE)

    def run(self) -> bool:
        """Whether the kernel came from the cache."""
        self.kernel: Any = runpy.run_path(str(self.path))["twice"]
        assert self.kernel(21) == 42
        return sum(self.kernel.stats.cache_hits.values()) == 1


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The same as a kernel of these packages, run by a command that has said nothing yet."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setattr(kernel_cache, "_folders", lambda: (folder,))
    monkeypatch.setattr(process, "_printed", set())
    monkeypatch.setattr(process, "_is_command", True)
    return Program(folder)


@pytest.mark.parametrize("damage", [b"ctnqbm.moved_away\nSimd\n.", b"cut short", b""])
def test_an_unreadable_index_counts_as_out_of_date(program: Program, damage: bytes) -> None:
    """An update may have moved the classes that an index names."""
    assert (program.run(), program.run()) == (False, True)
    (index,) = Path(program.kernel.stats.cache_path).glob("*.nbi")
    index.write_bytes(pickle.dumps(numba.__version__) + damage)
    assert (program.run(), program.run()) == (False, True)


def test_compiling_is_told_once_and_only_where_somebody_reads(
    kernels: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first_line = "tnqbm: compiling kernels, once per machine: this may take a minute\n"
    assert not kernels.run()
    assert capsys.readouterr() == ("", first_line)
    kernels.kernel(0.5)  # another signature
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(process, "_printed", set())
    assert kernels.run()  # from the cache: nothing to say
    assert capsys.readouterr() == ("", "")
    kernels.path.write_text(SOURCE + "# changed\n")
    monkeypatch.setenv("PMI_RANK", "1")
    assert not kernels.run()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setattr(process, "_is_command", False)
    kernels.path.write_text(SOURCE + "# changed again\n")
    assert not kernels.run()
    assert capsys.readouterr() == ("", "")


def test_kernels_of_others_are_compiled_without_a_word(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "_printed", set())
    monkeypatch.setattr(process, "_is_command", True)
    assert not program.run()
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing can be written but the folder of temporary files, which is returned."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(kernel_cache, "temporary_folder", kernel_cache.temporary_folder.__wrapped__)
    ensure = caching._CacheLocator.ensure_cache_path

    def ensure_cache_path(self: Any) -> None:
        if not Path(self.get_cache_path()).is_relative_to(folder):
            raise PermissionError(errno.EACCES, "Permission denied")
        ensure(self)

    monkeypatch.setattr(caching._CacheLocator, "ensure_cache_path", ensure_cache_path)
    return folder


def test_a_private_temporary_folder_takes_over(
    kernels: Program, read_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = read_only / f"tnqbm-{os.getuid()}"
    assert (kernels.run(), kernels.run()) == (False, True)
    place = kernel_cache.place_of(kernels.kernel)
    assert place is not None
    assert (place[0], place[1].parent) == ("temporary", private)
    assert private.stat().st_mode & 0o777 == 0o700
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"tnqbm: compiled kernels are kept in {private}, ")
    assert "NUMBA_CACHE_DIR" in lines[0]


def test_files_of_others_find_a_place_too(program: Program, read_only: Path) -> None:
    """Numba would refuse to import packages that kernels rest on, such as quimb."""
    assert (program.run(), program.run()) == (False, True)


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_machine_code_is_not_read_from_where_others_can_write(
    kernels: Program, read_only: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    private = read_only / f"tnqbm-{os.getuid()}"
    if kind == "a link":
        (read_only / "elsewhere").mkdir(mode=0o700)
        private.symlink_to(read_only / "elsewhere")
    elif kind == "a file":
        private.touch(mode=0o600)
    else:
        private.mkdir()
        private.chmod(0o777)
    assert (kernels.run(), kernels.run()) == (False, False)
    assert kernel_cache.place_of(kernels.kernel)[0] == "nowhere"  # type: ignore[index]
    assert not list(read_only.rglob("*.nbi"))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("tnqbm: compiling kernels, at every start")
    assert second.startswith("tnqbm: compiled kernels are kept nowhere")
    assert "NUMBA_CACHE_DIR" in second


@pytest.mark.parametrize("what", ["_save_index", "_save_data"])
def test_a_full_disk_ends_the_keeping_and_not_the_work(
    kernels: Program, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Any, *args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(caching.IndexDataCacheFile, what, full)
        assert (kernels.run(), kernels.run()) == (False, False)
    folder = kernels.kernel.stats.cache_path
    told = capsys.readouterr().err.splitlines()[1:]
    assert len(told) == 1
    assert told[0].startswith(
        f"tnqbm: compiled kernels cannot be kept in {folder}: No space left on device"
    )
    assert (kernels.run(), kernels.run()) == (False, True)


def test_a_cache_that_cannot_be_read_is_done_without(
    kernels: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(caching.IndexDataCacheFile, "_load_index", refuse)
    assert not kernels.run()
    assert "cannot be read" in capsys.readouterr().err


def test_commands_that_need_no_kernel_compile_none(tmp_path: Path) -> None:
    results = ROOT / "data" / "results" / "ising.h5"
    commands = [
        ["run", ROOT / "scripts/studies/demo.toml", "-o", tmp_path / "a.h5", "--dry-run"],
        ["show", results], ["verify", results],
        ["plot", results, "--kind", "likelihood", "-o", tmp_path / "a.png"],
        ["merge", results, "-o", tmp_path / "b.h5"],
        ["data", ROOT / "data/digits.h5"], ["--help"], ["warm", "--help"], ["-V"],
    ]  # fmt: skip
    code = (
        "from mc.cli import cli\n"
        f"for words in {[list(map(str, words)) for words in commands]}:\n"
        "    cli.main(words, standalone_mode=False)\n"
    )
    cache = tmp_path / "cache"
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(cache.rglob("*.nbi"))


def test_kernels_made_by_one_function_have_keys_of_their_own_in_every_process() -> None:
    """Or they would be compiled anew at every start, or taken for one another."""
    code = (
        "from types import SimpleNamespace\n"
        "from mc.kernels.collapsed import collapsed_chains\n"
        "from mc.kernels.measured import measured_chains\n"
        "from tnqbm.kernels.tables import table_2, table_3\n"
        "codegen = SimpleNamespace(magic_tuple=lambda: ())\n"
        "for kernel in (collapsed_chains, measured_chains, table_2, table_3):\n"
        "    print(kernel._cache._index_key((), codegen))\n"
    )
    run = [sys.executable, "-c", code]
    first, second = (
        subprocess.run(run, check=True, capture_output=True, text=True, cwd=ROOT).stdout
        for _ in range(2)
    )
    assert first == second
    assert len(set(first.splitlines())) == 4


def _made_by_factories() -> Iterator[Any]:
    """All kernels that factories made, those that others were made with included."""
    pending: list[Any] = []
    for package in ("tnqbm.kernels", "mc.kernels"):
        folder = import_module(package)
        for info in pkgutil.iter_modules(folder.__path__, f"{package}."):
            pending += vars(import_module(info.name)).values()
    seen: set[int] = set()
    while pending:
        value = pending.pop()
        if isinstance(value, list | tuple):
            pending += value
            continue
        function = getattr(value, "py_func", None)
        if function is None or id(function) in seen:
            continue
        seen.add(id(function))
        if function.__closure__:
            pending += [cell.cell_contents for cell in function.__closure__]
            yield function


def test_kernels_of_one_factory_have_names_of_their_own() -> None:
    """Of two with one name, a process may call the machine code of the other from the cache."""
    made_with: dict[str, Any] = {}
    functions = list(_made_by_factories())
    for function in functions:
        name = f"{function.__module__}.{function.__qualname__}"
        assert made_with.setdefault(name, kernel_cache.identity(function)) == kernel_cache.identity(
            function
        )
    assert len(made_with) > 10
