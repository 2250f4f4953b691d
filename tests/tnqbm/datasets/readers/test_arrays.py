"""Files of arrays (.npy, .npz, IDX, HDF5, Parquet) and objects in memory: read, or refused."""

from __future__ import annotations

import gzip
import io
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from tnqbm.base.errors import DataError, MissingExtraError
from tnqbm.datasets import Preparation, read_data
from tnqbm.datasets.readers import readers, register
from tnqbm.datasets.readers.arrays import table_of
from tnqbm.datasets.readers.reader import Reader

ROWS = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 1, 1]], dtype=np.uint8)
IMAGES = ROWS.reshape(3, 2, 2)
LABELS = np.array([7, 3, 7])


def idx(array: NDArray[Any], code: int = 8) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


def hdf5(path: Path, **arrays: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array


def own_npz(path: Path, **arrays: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)


def npy(array: NDArray[Any], **changed: Any) -> bytes:
    """A .npy file, with something else in its header than is true."""
    file = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array) | changed
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + array.tobytes()


def parquet(path: Path, **columns: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.feather
    import pyarrow.parquet

    table = pa.table(columns)
    if path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path)
    else:
        pyarrow.parquet.write_table(table, path)


BITS = dict(zip("abcd", ROWS.T, strict=True))

READ: dict[str, tuple[str, Callable[[Path], Any], str, dict[str, Any]]] = {
    "npy": ("a.npy", lambda p: np.save(p, ROWS), "", {}),
    "npy of bool": ("a.npy", lambda p: np.save(p, ROWS.astype(bool)), "", {}),
    "npy of floats": ("a.npy", lambda p: np.save(p, ROWS.astype(np.float32)), "", {}),
    "npy, column by column": ("a.npy", lambda p: np.save(p, np.asfortranarray(ROWS)), "", {}),
    "npy of images": ("a.npy", lambda p: np.save(p, IMAGES), "", {"flatten": True}),
    "npy of spins": (
        "a.npy", lambda p: np.save(p, 1 - 2 * ROWS.astype(np.int8)), "", {"spins": "+1 is 0"}
    ),
    "npy of grey values": (
        "a.npy", lambda p: np.save(p, ROWS * 255), "", {"binarise": "threshold:0.5", "maximum": 255}
    ),
    "npz": ("a.npz", lambda p: np.savez(p, ROWS), "", {}),
    "npz, packed, with labels": (
        "a.npz", lambda p: np.savez_compressed(p, x=ROWS, y=LABELS), "", {"labels": "y"}
    ),
    "npz of two": ("a.npz", lambda p: np.savez(p, train=ROWS, test=ROWS[:1]), ":train", {}),
    "npz of images": (
        "a.npz", lambda p: np.savez(p, x_train=IMAGES, x_test=IMAGES[:1], y=LABELS), ":x_train",
        {"flatten": True},
    ),
    "sparse rows": (
        "a.npz", lambda p: scipy.sparse.save_npz(p, scipy.sparse.csr_array(ROWS)), "", {}
    ),
    "sparse coordinates": (
        "a.npz", lambda p: scipy.sparse.save_npz(p, scipy.sparse.coo_array(ROWS)), "", {}
    ),
    "IDX": ("a-idx2-ubyte", lambda p: p.write_bytes(idx(ROWS)), "", {}),
    "IDX of images": ("train-images.idx3-ubyte", lambda p: p.write_bytes(idx(IMAGES)), "", {}),
    "IDX, packed": (
        "train-images-idx3-ubyte.gz", lambda p: p.write_bytes(gzip.compress(idx(IMAGES))), "", {}
    ),
    "HDF5": ("a.h5", lambda p: hdf5(p, states=ROWS, other=np.zeros((2, 2))), "", {}),
    "HDF5 of one array": ("a.hdf5", lambda p: hdf5(p, anything=ROWS, one=LABELS), "", {}),
    "HDF5 of two": ("a.h5", lambda p: hdf5(p, train=ROWS, test=ROWS[:1]), ":train", {}),
    "HDF5 in a group": ("a.h5", lambda p: hdf5(p, data__samples=ROWS), "", {}),
    "HDF5 by path": (
        "a.h5", lambda p: hdf5(p, data__samples=ROWS, b__x=ROWS), ":/data/samples", {}
    ),
    "HDF5 of rbms": (
        "a.h5", lambda p: hdf5(p, samples=ROWS, labels=LABELS, variable_type="bernoulli"), "",
        {"labels": "labels"},
    ),
    "Parquet": ("a.parquet", lambda p: parquet(p, **BITS), "", {}),
    "Parquet with labels": (
        "a.parquet", lambda p: parquet(p, kind=["u", "v", "w"], **BITS), "", {"labels": "kind"}
    ),
    "Feather": ("a.feather", lambda p: parquet(p, **BITS), "", {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_files_that_are_read(tmp_path: Path, kind: str) -> None:
    name, write, array, options = READ[kind]
    write(tmp_path / name)
    data = read_data(f"{tmp_path / name}{array}", **options)
    assert np.array_equal(data.states, ROWS)
    assert data.states.flags.c_contiguous
    assert (data.labels is not None) == ("labels" in options)


REFUSED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "images": ("a.npy", lambda p: np.save(p, IMAGES), "flatten = true"),
    "text": ("a.npy", lambda p: np.save(p, np.array([["a", "b"]])), "dtype <U1.*astype"),
    "one number": ("a.npy", lambda p: np.save(p, np.array(1)), "array of shape"),
    "NaN": ("a.npy", lambda p: np.save(p, np.array([[0, 1], [np.nan, 0]])), "row 2, column 1"),
    "npy, cut": ("a.npy", lambda p: p.write_bytes(npy(ROWS)[:-1]), "ends before the array"),
    "npy, huge": (
        "a.npy", lambda p: p.write_bytes(npy(ROWS, shape=(10**9, 10**6))), "ends before the array"
    ),
    "npy, empty": ("a.npy", lambda p: p.write_bytes(b""), "empty"),
    "npz named .npy": ("a.npy", lambda p: np.savez(p.open("wb"), ROWS), "rename it to .npz"),
    "npz of two": (
        "a.npz", lambda p: np.savez(p, train=ROWS, test=ROWS),
        r"2 arrays that could be the rows: train \(3, 4\), test \(3, 4\).*a\.npz:train",
    ),
    "npz, huge": (
        "a.npz", lambda p: own_npz(p, x=npy(ROWS, shape=(10**9, 10**6))),
        r"x claims the shape \(1000000000, 1000000\)",
    ),
    "npz of Python objects": (
        "a.npz", lambda p: np.savez(p, x=np.array([{}], dtype=object)), "never unpacked"
    ),
    "npz, damaged": ("a.npz", lambda p: p.write_bytes(b"PK\x03\x04 and so on"), "damaged"),
    "npz, no array": ("a.npz", lambda p: own_npz(p, x=b"text"), "x is no array"),
    "sparse, huge": (
        "a.npz",
        lambda p: scipy.sparse.save_npz(
            p, scipy.sparse.coo_array(([1], ([0], [0])), shape=(10**9, 10**6))
        ),
        "1000000000 x 1000000 values would take .* of memory",
    ),
    "sparse, with places outside": (
        "a.npz",
        lambda p: np.savez(
            p, format=b"csr", shape=[2, 3], data=[1], indices=[70000], indptr=[0, 1, 1]
        ),
        "sparse matrix is damaged",
    ),
    "IDX with another beginning": (
        "a.idx3-ubyte", lambda p: p.write_bytes(b"\x01\x02" + idx(IMAGES)), "begins with 01 02 00"
    ),
    "IDX, not named as packed": (
        "a.idx3-ubyte", lambda p: p.write_bytes(gzip.compress(idx(IMAGES))), "let its name end in"
    ),
    "IDX, cut": (
        "a.idx3-ubyte", lambda p: p.write_bytes(idx(IMAGES)[:-1]), "12 bytes, and 11 follow"
    ),
    "IDX, cut in its head": ("a.idx3-ubyte", lambda p: p.write_bytes(idx(IMAGES)[:9]), "head"),
    "IDX of labels": ("a-idx1-ubyte", lambda p: p.write_bytes(idx(LABELS.astype("u1"))), "labels"),
    "IDX of grey values": (
        "a-idx3-ubyte", lambda p: p.write_bytes(idx(IMAGES * 99)), "maximum = 255"
    ),
    "HDF5 of two": (
        "a.h5", lambda p: hdf5(p, train=ROWS, data__test=ROWS),
        r"2 arrays .*train \(3, 4\), data/test \(3, 4\).*a\.h5:train",
    ),
    "HDF5 of nothing": ("a.h5", lambda p: hdf5(p, labels=LABELS), r"found labels \(3,\)"),
    "HDF5 of images": ("a.h5", lambda p: hdf5(p, x=IMAGES), "flatten = true"),
    "weighted samples": (
        "a.h5", lambda p: hdf5(p, states=ROWS, log_weights=np.zeros(3)), 'weights = "log_weights"'
    ),
    "Parquet of words": (
        "a.parquet", lambda p: parquet(p, kind=["u", "v", "w"], **BITS),
        r"column 1 \('kind'\) is 'u' \(type string\).*labels = \"kind\"",
    ),
    "Parquet with a gap": (
        "a.parquet", lambda p: parquet(p, a=[0, 1], b=[1, None]),
        r"row 2, column 2 \('b'\) is missing"
    ),
    "Parquet, damaged": ("a.parquet", lambda p: p.write_bytes(b"PAR1PAR1"), "Parquet"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_files_that_are_refused(tmp_path: Path, kind: str) -> None:
    name, write, message = REFUSED[kind]
    if "arquet" in kind:
        pytest.importorskip("pyarrow")
    write(tmp_path / name)
    with pytest.raises(DataError, match=rf"(?s){name}.*{message}"):
        read_data(tmp_path / name)


def test_an_array_that_is_not_there(tmp_path: Path) -> None:
    hdf5(tmp_path / "a.h5", train=ROWS)
    with pytest.raises(DataError, match=r"no array 'tst' in it; there are train \(3, 4\)"):
        read_data(f"{tmp_path}/a.h5:tst")
    with pytest.raises(FileNotFoundError, match="no data file"):
        read_data(f"{tmp_path}/b.h5:train")


def test_importance_weights_are_read_where_asked_for(tmp_path: Path) -> None:
    logs = np.array([-1000.0, -1000.0 + np.log(3.0), -np.inf])
    hdf5(tmp_path / "a.h5", states=ROWS, log_weights=logs)
    target = read_data(tmp_path / "a.h5", weights="log_weights").target()
    assert target.n_samples is None
    assert target.probabilities == pytest.approx([0.25, 0.75])


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"a\.parquet needs pyarrow.*extra 'data'"):
        read_data(tmp_path / "a.parquet")


# --- objects in memory ---------------------------------------------------------------------------


def frame(**columns: Any) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def test_data_frames() -> None:
    data = read_data(frame(kind=["u", "v", "w"], **BITS), labels="kind")
    assert np.array_equal(data.states, ROWS)
    assert data.names == ("a", "b", "c", "d")
    assert data.labels is not None
    assert data.labels.tolist() == ["u", "v", "w"]
    assert data.file_digest == ""
    nullable = frame(**BITS).astype({"a": "boolean", "b": "Int64"})
    assert np.array_equal(read_data(nullable).states, ROWS)
    with pytest.raises(DataError, match=r"row 2, column 1 \('x'\) is missing"):
        read_data(frame(x=[0, None], y=[0, 1]))
    with pytest.raises(DataError, match=r"row 1, column 1 \('x'\) is 'u'.*labels = \"x\""):
        read_data(frame(x=["u", "v"], y=[0, 1]))


def test_labelled_arrays() -> None:
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(ROWS, dims=("sample", "unit"))
    assert np.array_equal(read_data(array).states, ROWS)
    both = xarray.Dataset({"train": array, "y": ("sample", LABELS)})
    assert np.array_equal(read_data(both).states, ROWS)
    two = xarray.Dataset({"train": array, "test": ("other", LABELS[:1]), "more": array})
    with pytest.raises(DataError, match=r"2 arrays .* train .* more .*dataset\[NAME\]"):
        read_data(two)


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(ROWS.astype(np.float32), requires_grad=True)
    assert np.array_equal(read_data(tensor).states, ROWS)
    with pytest.raises(DataError, match=r"the tensor: its array has the shape.*flatten"):
        read_data(torch.tensor(IMAGES))


def test_arrays_lists_and_sparse_matrices() -> None:
    for rows in (ROWS, ROWS.tolist(), scipy.sparse.csr_matrix(ROWS), scipy.sparse.lil_array(ROWS)):
        assert np.array_equal(read_data(rows).states, ROWS)
    spins = read_data(1 - 2 * ROWS.astype(int), spins="+1 is 0")
    assert np.array_equal(spins.states, ROWS)
    twice = scipy.sparse.coo_array(([1, 1], ([0, 0], [0, 0])), shape=(2, 2))
    with pytest.raises(DataError, match="sparse matrix: row 1, column 1 is 2"):
        read_data(twice)


@pytest.mark.parametrize("value", [None, 3, {}, b"0,1", object()])
def test_what_is_no_data(value: Any) -> None:
    with pytest.raises(TypeError, match="source must be a path or rows of numbers"):
        read_data(value)


# --- readers of others ---------------------------------------------------------------------------


def test_other_packages_add_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tnqbm.datasets.readers._REGISTERED", [])

    def read(source: Any, preparation: Preparation) -> Any:
        number = int(source.path.read_text())
        return table_of(np.array([[number >> k & 1 for k in range(4)]]), preparation)

    register(Reader("integers", (".int",), read))
    assert readers()[-1].name == "integers"
    (tmp_path / "a.int").write_text("5")
    assert read_data(tmp_path / "a.int").states.tolist() == [[1, 0, 1, 0]]
    with pytest.raises(ValueError, match=r"\.csv is read already"):
        register(Reader("mine", (".csv",), read))
