"""Every kind of file that people have: read right, or refused with the option that mends it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tnqbm.base.errors import DataError
from tnqbm.datasets import Preparation, read_data

ROWS = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1]], dtype=np.uint8)
SPINS = 1 - 2 * ROWS.astype(int)
GREY = np.array([[0, 200, 255], [130, 3, 0], [17, 100, 128]])


def lines(rows: Any, between: str = ",", end: str = "\n", last: str = "\n") -> str:
    return end.join(between.join(map(str, row)) for row in np.asarray(rows).tolist()) + last


READ: dict[str, tuple[str, str | bytes, dict[str, Any]]] = {
    "commas": ("a.csv", lines(ROWS), {}),
    "no last line break": ("a.csv", lines(ROWS, last=""), {}),
    "semicolons": ("a.csv", lines(ROWS, ";"), {}),
    "tabs": ("a.tsv", lines(ROWS, "\t"), {}),
    "blanks": ("a.txt", lines(ROWS, " "), {}),
    "blanks of all lengths": ("a.dat", "  0  1 1\n1 0   0 \n 0 0 1\n", {}),
    "blanks and tabs": ("a.dat", "0 1\t1\n1 0\t0\n0 0\t1\n", {}),
    "commas and blanks": ("a.csv", lines(ROWS, ", "), {}),
    "bit strings": ("a.txt", lines(ROWS, ""), {}),
    "haplotypes": ("a.hapt", lines(ROWS, " "), {}),
    "the suffix .data": ("a.train.data", lines(ROWS), {}),
    "carriage returns": ("a.csv", lines(ROWS, end="\r\n", last="\r\n"), {}),
    "old line breaks": ("a.csv", lines(ROWS, end="\r", last="\r"), {}),
    "a mark of byte order": ("a.csv", b"\xef\xbb\xbf" + lines(ROWS).encode(), {}),
    "UTF-16": ("a.csv", b"\xff\xfe" + lines(ROWS).encode("utf-16-le"), {}),
    "comments": ("a.csv", "# of today\n\n" + lines(ROWS) + "# end\n", {}),
    "comments inside": ("a.csv", "0,1,1 # first\n# next\n1,0,0\n\n0,0,1\n", {}),
    "a trailing comma": ("a.csv", lines(ROWS, end=",\n", last=",\n"), {}),
    "a header": ("a.csv", "x,y,z\n" + lines(ROWS), {}),
    "a header in quotes": ("a.csv", '"x, 1","y","z"\n' + lines(ROWS), {}),
    "a header and trailing commas": ("a.csv", "x,y,z\n" + lines(ROWS, end=",\n", last=",\n"), {}),
    "everything in quotes": ("a.csv", '"x","y","z"\n"0","1","1"\n"1","0","0"\n"0","0","1"\n', {}),
    "numbers for names": ("a.csv", "0,1,2\n" + lines(ROWS), {"header": True}),
    "true and false": ("a.csv", "False,True,true\nTRUE,false,0\n0,FALSE,1\n", {}),
    "decimal points": ("a.csv", lines(ROWS.astype(float)), {}),
    "as np.savetxt writes": ("a.txt", "0.000e+00 1.000e+00 1\n1.0 0.0 0\n0 0. 1e0\n", {}),
    "spins, +1 is 0": ("a.csv", lines(SPINS), {"spins": "+1 is 0"}),
    "spins, +1 is 1": ("a.csv", lines(-SPINS), {"spins": "+1 is 1"}),
    "spins with signs": ("a.csv", "+1,-1,-1\n-1,+1,+1\n+1,+1,-1\n", {"spins": "+1 is 0"}),
    "a column of labels": ("a.csv", "0,1,1,7\n1,0,0,3\n0,0,1,7\n", {"labels": 4}),
    "labels in words": ("a.csv", "x,y,z,kind\n0,1,1,a\n1,0,0,b\n0,0,1,a\n", {"labels": "kind"}),
    "an index": ("a.csv", ",x,y,z\n0,0,1,1\n1,1,0,0\n2,0,0,1\n", {"drop": 1}),
    "columns by range": ("a.csv", "9,0,1,1\n8,1,0,0\n7,0,0,1\n", {"columns": "2-4"}),
    "columns by name": ("a.csv", "a,b,c,d\n9,0,1,1\n8,1,0,0\n7,0,0,1\n", {"columns": "b,c,d"}),
    "grey, halved": (
        "a.csv", lines(ROWS * 151 + 52), {"binarise": "threshold:0.5", "maximum": 255}
    ),
    "shares of one": ("a.csv", lines(ROWS * 0.75 + 0.125), {"binarise": "threshold:0.5"}),
    "certain probabilities": ("a.csv", lines(ROWS * 1.0), {"binarise": "bernoulli"}),
    "gzip": ("a.csv.gz", gzip.compress(lines(ROWS).encode()), {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_files_that_are_read(tmp_path: Path, kind: str) -> None:
    name, content, options = READ[kind]
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    data = read_data(path, **options)
    assert data.states.dtype == np.uint8
    assert np.array_equal(data.states, ROWS)
    assert data.preparation == Preparation(**options)


REFUSED: dict[str, tuple[str, str, str]] = {
    "labels left in": ("a.csv", "0,1,1,7\n1,0,0,3\n0,0,1,7\n", "line 1, column 4 is 7.*labels = 4"),
    "words": ("a.csv", "x,y,z,k\n0,1,1,a\n1,0,0,b\n", r"line 2, column 4 \('k'\) is 'a'.*labels"),
    "spins": ("a.csv", lines(SPINS), r"line 1, column 2 is -1.*spins = \"\+1 is 0\".*\(-1\)\^v"),
    "grey values": ("a.csv", lines(GREY), "line 1, column 2 is 200.*maximum = 255"),
    "shares": ("a.csv", lines(ROWS * 0.5), "line 1, column 2 is 0.5.*threshold:0.5"),
    "0, 1 and 2": ("a.csv", "0,1,2\n2,1,0\n1,2,1\n", "column 3 is 2.*a bit of its own.*threshold"),
    "both signs": ("a.csv", "0.5,-3\n-2,1\n", "column 1 is 0.5.*threshold:0"),
    "names that are numbers": ("a.csv", "0,1,2\n1,1,0\n", "line 1, column 3 is 2.*header = true"),
    "NaN": ("a.csv", "# c\n0,1\nnan,0\n", "line 3, column 1 is nan.*missing values.*drop"),
    "NA": ("a.csv", "0,1\nNA,0\n", "line 2, column 1 is 'NA', a missing value.*drop"),
    "an empty value": ("a.csv", "0,1,1\n0,,1\n", "line 2, column 2 is empty.*drop"),
    "an empty last value": ("a.csv", "0,1,1\n0,1,\n", "line 2, column 3 is empty.*drop"),
    "infinity": ("a.csv", "0,1\n0,inf\n", "line 2, column 2 is inf"),
    "a short line": ("a.csv", "0,1,1\n\n0,1\n1,1,1\n", "line 3 has 2 values, .*as many$"),
    "a cut file": ("a.csv", "0,1,1\n0,1", "line 2 has 2 values, .* is the file whole"),
    "a long line": ("a.txt", "0 1\n0 1 1\n", "line 2 has 3 values, and line 1 has 2"),
    "a short bit string": ("a.txt", "0011\n01\n", "line 2 has 2 bits, and line 1 has 4"),
    "a word among bit strings": ("a.txt", "0011\nab\n", "line 2 is 'ab'"),
    "decimal commas": ("a.csv", "0,5;1\n1;0\n", "line 1 has both ; and ,"),
    "too few names": ("a.csv", "x,y\n0,0,1\n1,1,0\n", "names has 2, and line 2 has 3"),
    "nothing": ("a.csv", "", "there are no rows"),
    "only comments": ("a.csv", "# a\n\n# b\n", "there are no rows"),
    "only names": ("a.csv", "x,y\n", "there are no rows"),
    "zero bytes": ("a.csv", "0,1\n\0\0", "it is no text"),
    "no gzip": ("a.csv.gz", "0,1\n", "no whole gzip file.*rename it without"),
    "MATLAB": ("a.mat", "x", "scipy.io.loadmat"),
    "a spreadsheet": ("a.xlsx", "x", "save it as CSV"),
    "a pickle": ("a.pkl", "x", "numpy.save"),
    "any other": ("a.foo", "0,1\n", r"in its name.*\.csv.*rename it to \.txt"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_files_that_are_refused(tmp_path: Path, kind: str) -> None:
    name, content, message = REFUSED[kind]
    path = tmp_path / name
    path.write_bytes(content.encode())
    with pytest.raises(DataError, match=rf"(?s){name}: .*{message}"):
        read_data(path)


@pytest.mark.parametrize("kind", ["spins", "grey values", "shares", "labels left in", "words"])
def test_the_options_of_a_refusal_mend_it(tmp_path: Path, kind: str) -> None:
    name, content, _ = REFUSED[kind]
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError) as found:
        read_data(path)
    assert found.value.options
    for options in found.value.options:
        assert set(np.unique(read_data(path, **options).states)) <= {0, 1}


def test_labels_and_weights_stand_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y,kind,w\n0,1,cat,1\n1,0,dog,2\n1,1,cat,0\n")
    data = read_data(path, labels="kind", weights="w")
    assert data.states.tolist() == [[0, 1], [1, 0]]
    assert data.labels is not None
    assert data.labels.tolist() == ["cat", "dog"]
    assert data.names == ("x", "y")
    assert data.steps == ("2 of 4 columns are bits", "1 row of weight 0 left out")
    target = data.target()
    assert target.n_samples == 3
    assert target.probabilities.tolist() == [1 / 3, 2 / 3]


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        (["0.5", "0.5", "0"], [0.5, 0.5]),
        (["1e308", "1e308", "1e308"], [1 / 3] * 3),
        (["-1", "1", "1"], "line 2: the weight is -1"),
        (["1", "nan", "1"], "line 3: the weight is nan"),
        (["1", "1", "inf"], "line 4: the weight is inf"),
        (["0", "0", "0"], "all weights are 0"),
        (["1", "1e-310", "1"], "line 3: the weight .* nothing beside 1"),
        (["1", "a", "1"], "weights must be numbers"),
    ],
)
def test_weights(tmp_path: Path, weights: list[str], shares: Any) -> None:
    path = tmp_path / "a.csv"
    rows = ["0,1", "1,0", "1,1"]
    text = "\n".join(f"{row},{weight}" for row, weight in zip(rows, weights, strict=True))
    path.write_text(f"x,y,w\n{text}\n")
    if isinstance(shares, str):
        with pytest.raises(DataError, match=shares):
            read_data(path, weights="w")
    else:
        assert read_data(path, weights="w").target().probabilities == pytest.approx(shares)


def test_bernoulli_is_seeded(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.full((200, 50), 0.25))
    first = read_data(path, binarise="bernoulli").states
    assert np.array_equal(first, read_data(path, binarise="bernoulli").states)
    assert not np.array_equal(first, read_data(path, binarise="bernoulli", data_seed=1).states)
    assert first.mean() == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / first.size))


def test_the_pickle_in_an_array_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    witness = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (witness,))

    array: NDArray[Any] = np.array([Evil()], dtype=object)
    np.save(path, array, allow_pickle=True)
    with pytest.raises(DataError, match=r"pickle\), which are never unpacked.*numpy.save"):
        read_data(path)
    assert not witness.exists()
