from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.archive_samples import flipped, flips, in_fork
from tnqbm import SqRBM
from tnqbm.base.errors import ArchiveError
from tnqbm.files.atomic import atomic_write, remove_stale
from tnqbm.files.content import read_group, set_attribute
from tnqbm.files.storage import (
    SEAL_SIZE,
    check_seal,
    open_hdf5,
    open_unchecked,
    read_tree,
    write_tree,
)

ROOT = Path(__file__).resolve().parents[3]


def small_tree(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    arrays = {
        "state/velocity": np.linspace(0, 1, 400).reshape(20, 20),
        "state/iteration": np.array(7),
        "name": np.array(["näme", "b"]),
    }
    write_tree(path, arrays, {"seed": 3, "rate": 0.1, "data": "bas"})
    return arrays


def run_python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        capture_output=True,
        text=True,
        timeout=1800,
        env=environment,
        check=False,
    )


# --- atomic writes ----------------------------------------------------------------------------


def test_atomic_write_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    for text in ("one", "two"):
        with atomic_write(target) as temporary:
            assert temporary.parent == tmp_path
            temporary.write_text(text)
        assert target.read_text() == text
    assert os.listdir(tmp_path) == ["x.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failed_write_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic_write(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_atomic_write_errors_name_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cases = [
        (tmp_path / "none" / "x.h5", FileNotFoundError, "does not exist"),
        (tmp_path / "file" / "x.h5", NotADirectoryError, "is not a folder"),
        (tmp_path, IsADirectoryError, "is a folder"),
        (tmp_path / ("x" * 300), OSError, "name is too long"),
    ]
    for path, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            write_tree(path, {}, {})
        assert str(path) in str(caught.value)


def test_existing_files_are_kept_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "x.h5"
    write_tree(target, {"a": np.arange(3)}, {})
    before = target.read_bytes()
    with pytest.raises(FileExistsError, match="not overwritten"):
        write_tree(target, {"a": np.arange(4)}, {}, overwrite=False)
    assert target.read_bytes() == before


def test_a_file_that_appears_in_the_meantime_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"

    def write() -> None:
        with atomic_write(target, overwrite=False) as temporary:
            temporary.write_text("mine")
            target.write_text("theirs")

    with pytest.raises(FileExistsError, match="exists already"):
        write()
    assert target.read_text() == "theirs"


def test_a_folder_without_write_permission() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o555)
        done = run_python(
            """
            import os, sys, h5py, numpy as np
            from tnqbm.files.storage import write_tree
            if os.geteuid() == 0:
                os.seteuid(65534)  # root may write everywhere
            try:
                write_tree(sys.argv[1], {"a": np.arange(3)}, {})
            except PermissionError as exc:
                print(exc)
            """,
            str(folder / "x.h5"),
        )
        assert "no permission to write in the folder" in done.stdout, done.stderr
        assert os.listdir(folder) == []
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_full_disk_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    # A limit on the file size stands for the full disk: writing fails in the same place. The
    # HDF5 library itself would crash the process here.
    target = tmp_path / "x.h5"
    small_tree(target)
    before = target.read_bytes()
    done = run_python(
        """
        import resource, signal, sys, numpy as np
        from tnqbm.files.storage import write_tree
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            write_tree(sys.argv[1], {"a": np.random.default_rng(0).random(20_000)}, {})
        except OSError as exc:
            print("clear:", exc)
        """,
        str(target),
    )
    assert done.returncode == 0
    assert "clear: cannot write" in done.stdout
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.h5"]


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "x.h5"
    code = """
    import itertools, sys, numpy as np
    from tnqbm.files.storage import write_tree
    for k in itertools.count():
        write_tree(sys.argv[1], {"a": np.full(20_000, k)}, {"k": k}, compress=False)
    """
    rng = np.random.default_rng(5)
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(target)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        while not target.exists() and child.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        child.wait()
        arrays, attributes = read_tree(target)
        assert (arrays["a"] == attributes["k"]).all()
        remove_stale(target)
        assert os.listdir(tmp_path) == ["x.h5"]
        target.unlink()


def test_remove_stale_spares_living_writers(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "x.txt") as temporary:
        temporary.write_text("half")
        remove_stale(tmp_path / "x.txt")
        assert temporary.exists()


# --- trees ------------------------------------------------------------------------------------

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(sizes=(64, 128)),
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)


@settings(max_examples=60, deadline=None)
@given(array=hnp.arrays(DTYPES, SHAPES), compress=st.booleans())
def test_any_array_comes_back(array: np.ndarray[Any, Any], compress: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        write_tree(path, {"a/b": array}, {}, compress=compress)
        found = read_tree(path)[0]["a/b"]
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.tobytes() == array.astype(found.dtype).tobytes()


@settings(max_examples=40, deadline=None)
@given(
    value=st.one_of(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
    )
)
def test_any_attribute_comes_back(value: str | int | float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        write_tree(path, {}, {"a": value})
        found = read_tree(path)[1]["a"]
    assert type(found) is type(value)
    assert found == value or value != value


def test_long_text_big_arrays_and_odd_layouts(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    rng = np.random.default_rng(0)
    arrays = {
        "text": np.array("line é\n" * 20_000),
        "texts": np.array(["", "é", "abc"]),
        "bytes": np.array([b"", b"ab"]),
        "large": rng.random((3, 300_000)),
        "fortran": np.asfortranarray(rng.random((70, 30))),
        "strided": rng.random((100, 40))[::3, ::-2],
    }
    write_tree(path, arrays, {})
    found, _ = read_tree(path)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(found[name], array), name
    with open_hdf5(path) as file:
        large = file["content/large"]
        assert large.fletcher32
        assert large.compression == "gzip"
        assert np.prod(large.chunks) * 8 <= 2**20


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    bad_arrays: list[tuple[dict[str, Any], str]] = [
        ({"a": np.array([object()])}, "dtype object"),
        ({"a": np.zeros(2, np.longdouble)}, "64 bits"),
        ({"a": np.zeros(2, "datetime64[s]")}, "dtype"),
        ({"a//b": np.zeros(2)}, "empty or dotted part"),
        ({"../b": np.zeros(2)}, "empty or dotted part"),
        ({"a": np.zeros(2), "a/b": np.zeros(2)}, "lies inside the array 'a'"),
    ]
    for arrays, words in bad_arrays:
        with pytest.raises((TypeError, ValueError), match=words):
            write_tree(path, arrays, {})
    bad_attributes: list[tuple[Any, str]] = [
        ({"a": True}, "bool"),
        ({"a": None}, "NoneType"),
        ({"a": 2**63}, "64 bits"),
        ({"a": "x" * 70_000}, "store it as an array"),
        ({"a": "x\0y"}, "NUL"),
        ({"sha256": "x"}, "reserved"),
    ]
    for attributes, words in bad_attributes:
        with pytest.raises((TypeError, ValueError), match=words):
            write_tree(path, {}, attributes)
    assert os.listdir(tmp_path) == []


def test_equal_content_makes_equal_files(tmp_path: Path) -> None:
    small_tree(tmp_path / "a.h5")
    time.sleep(1.1)  # HDF5 keeps times to the second, were it told to
    small_tree(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_plain_hdf5_readers_can_read_it(tmp_path: Path) -> None:
    small_tree(tmp_path / "a.h5")
    assert h5py.is_hdf5(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert file["content"].attrs["seed"] == 3
        assert file["content/state/velocity"].shape == (20, 20)


# --- damage -----------------------------------------------------------------------------------


def test_truncations_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    small_tree(path)
    data = path.read_bytes()
    for length in [*range(1200), *range(1200, len(data), 17), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ArchiveError, match=r"damaged|empty|not an HDF5 file|cannot be read"):
            read_tree(path)


def test_bit_flips_are_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    expected = small_tree(path)
    data = path.read_bytes()
    title = len("tnqbm sealed HDF5")
    inside = flips(SEAL_SIZE, SEAL_SIZE, seed=1, first=title)
    for offset, bit in [*inside, *flips(len(data), 800, seed=2, first=SEAL_SIZE)]:
        path.write_bytes(flipped(data, offset, bit))
        with pytest.raises(ArchiveError, match="damaged"):
            read_tree(path)
    # Without its title the seal is not seen; the digest of the content still vouches for it.
    for offset in range(title):
        path.write_bytes(flipped(data, offset, 2))
        found, _ = read_tree(path)
        assert all(np.array_equal(found[name], array) for name, array in expected.items())


def test_bytes_added_at_the_end_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    small_tree(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ArchiveError, match="1 bytes were added"):
        read_tree(path)


def test_the_digest_finds_what_the_seal_would(tmp_path: Path) -> None:
    """Bit flips past the seal never give other numbers (a crash is kept to a child process)."""
    path = tmp_path / "x.h5"
    expected = small_tree(path)
    data = path.read_bytes()

    def right_or_refused(flip: tuple[int, int]) -> bool:
        path.write_bytes(flipped(data, *flip))
        try:
            with open_unchecked(path) as file:
                found, attributes = read_group(file["content"], "x")
        except (ArchiveError, KeyError, OSError, RuntimeError):
            return True
        return attributes == {"seed": 3, "rate": 0.1, "data": "bas"} and all(
            np.array_equal(found[name], array) for name, array in expected.items()
        )

    cases = list(flips(len(data), 200, seed=2, first=SEAL_SIZE))
    outcomes = in_fork(right_or_refused, cases)
    wrong = [case for case, outcome in zip(cases, outcomes, strict=True) if outcome == "false"]
    assert not wrong


def test_files_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_hdf5(path)
    for content, words in [(b"", "empty"), (b"hello" * 500, "not an HDF5 file")]:
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match=words):
            open_hdf5(path)
    with pytest.raises(ArchiveError, match="is a folder"):
        open_hdf5(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArchiveError, match="is a pipe, not an HDF5 file"):
        open_hdf5(tmp_path / "pipe")


def test_foreign_newer_and_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(ArchiveError, match="an HDF5 file of another program, with 'x'"):
        read_tree(path)
    assert check_seal(path).status == "absent"
    write_tree(path, {}, {}, kind="checkpoint")
    with pytest.raises(ArchiveError, match="is not a model file of tnqbm, but a checkpoint"):
        read_tree(path, kind="model")
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 9
        set_attribute(file, "created_by", "tnqbm 7.5")
    _strip_seal(path)
    with pytest.raises(ArchiveError, match=r"version 9, written by tnqbm 7\.5; this is tnqbm"):
        read_tree(path, kind="checkpoint")


def _strip_seal(path: Path) -> None:
    path.write_bytes(b"\0" * SEAL_SIZE + path.read_bytes()[SEAL_SIZE:])


def test_a_huge_claim_is_not_allocated(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("content")
        group.create_dataset("a", shape=(2**50,), dtype="f8", chunks=(1024,))
        with pytest.raises(ArchiveError, match="claims"):
            read_group(group, "x")


def test_reading_while_another_process_writes_locks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    small_tree(path)
    with open_hdf5(path) as file:
        write_tree(path, {"a": np.arange(3)}, {})
        assert file["content/state/velocity"].shape == (20, 20)
    assert read_tree(path)[0]["a"].shape == (3,)


# --- models -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("paulis", "n", "m"), [("Z", 1, 0), ("YX", 3, 2), ("XYZ", 12, 9)])
def test_models_are_saved_and_loaded(tmp_path: Path, paulis: str, n: int, m: int) -> None:
    model = SqRBM.uniform(n, m, paulis, scale=3.0, seed=1)
    path = tmp_path / "model.h5"
    model.save(path)
    assert SqRBM.load(path) == model
    with pytest.raises(FileExistsError):
        model.save(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        SqRBM.load(tmp_path / "none.h5")
