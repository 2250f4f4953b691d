from math import comb

import h5py
import numpy as np
import pytest

from tnqbm import datasets
from tnqbm.datasets import Target


@pytest.mark.parametrize("n", [2, 4, 6, 8, 12])
def test_sizes_follow_their_definitions(n):
    assert datasets.load("bas", n).n_states == 2 + n // 2
    assert datasets.load("cardinality", n).n_states == comb(n, n // 2)
    assert datasets.load("parity", n).n_states == 2 ** (n - 1)
    assert datasets.load("on2", n, seed=1).n_states == n * n


def test_bars_and_stripes_are_full_rows_or_columns():
    images = datasets.load("bas", 8).states.reshape(-1, 2, 4)
    for image in images:
        rows, columns = image.all(axis=1).sum(), image.all(axis=0).sum()
        assert (rows, columns, image.sum()) in {(1, 0, 4), (0, 1, 2)}


def test_cardinality_and_parity_count_ones():
    assert (datasets.load("cardinality", 8).states.sum(axis=1) == 4).all()
    assert (datasets.load("parity", 7).states.sum(axis=1) % 2 == 0).all()


def test_on2_depends_on_its_seed_alone():
    one = datasets.load("on2", 6, seed=1).states
    assert (one == datasets.load("on2", 6, seed=1).states).all()
    assert (one != datasets.load("on2", 6, seed=2).states).any()


@pytest.mark.parametrize(
    ("name", "n", "message"),
    [
        ("bas", 7, "even number"),
        ("cardinality", 5, "even number"),
        ("on2", 3, "distinct strings"),
        ("bsa", 4, "unknown data set 'bsa'"),
        ("parity", 40, "states"),
        ("bas", 0, "at least one"),
    ],
)
def test_impossible_data_sets(name, n, message):
    with pytest.raises(ValueError, match=message):
        datasets.load(name, n)
    with pytest.raises(ValueError, match=message):
        datasets.check(name, n)


def test_dense_puts_unit_one_first():
    dense = Target.uniform(np.array([[1, 0, 0]])).dense()
    assert dense[4] == 1.0


def test_from_dense_and_back():
    q = np.array([0.5, 0.0, 0.25, 0.25])
    np.testing.assert_allclose(Target.from_dense(q).dense(), q)


def test_samples_are_counted():
    target = Target.from_samples(np.array([[0, 1], [0, 1], [1, 1], [0, 0]]))
    assert target.dense() == pytest.approx([0.25, 0.5, 0.0, 0.25])
    assert target.entropy() == pytest.approx(1.5 * np.log(2))


@pytest.mark.parametrize(
    ("states", "q", "message"),
    [
        (np.array([[0, 1], [0, 1]]), [0.5, 0.5], "distinct"),
        (np.array([[0, 1], [1, 1]]), [0.7, 0.7], "sum to 1"),
        (np.array([[0, 1], [1, 1]]), [1.0, 0.0], "positive"),
        (np.array([[0, 2]]), [1.0], "0 or 1"),
        (np.zeros((0, 3)), [], "shape"),
    ],
)
def test_bad_targets(states, q, message):
    with pytest.raises(ValueError, match=message):
        Target(states, np.array(q))


ROWS = np.array([[0, 1, 1], [1, 0, 0], [0, 1, 1]])


@pytest.fixture(params=["csv", "npy", "h5"])
def data_file(request, tmp_path):
    path = tmp_path / f"data.{request.param}"

    def write(rows):
        if request.param == "csv":
            path.write_text("# comment\n" + "\n".join(",".join(map(str, r)) for r in rows) + "\n")
        elif request.param == "npy":
            np.save(path, rows)
        else:
            with h5py.File(path, "w") as file:
                file["states"] = rows
                file["other"] = np.zeros((2, 2))
        return path

    return write


def test_users_files(data_file):
    target = datasets.load(data_file(ROWS), 3)
    assert target.n_states == 2
    assert target.probabilities.max() == pytest.approx(2 / 3)


def test_users_files_of_another_width(data_file):
    with pytest.raises(ValueError, match="rows have 3 entries, but 4"):
        datasets.load(data_file(ROWS), 4)


def test_a_two_in_the_data_is_located(data_file):
    rows = ROWS.copy()
    rows[1, 2] = 2
    with pytest.raises(ValueError, match="row 2, column 3 is 2"):
        datasets.load(data_file(rows), 3)


def test_no_rows(data_file):
    with pytest.raises(ValueError, match="data"):
        datasets.load(data_file(np.zeros((0, 3))), 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [("0,1\n1\n", "line 2 has 1 entries"), ("0,a\n", "line 1 is not"), ("", "shape")],
)
def test_bad_csv(tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        datasets.load(path, 2)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        datasets.load(tmp_path / "none.csv", 2)
    for suffix in ("h5", "npy"):
        path = tmp_path / f"junk.{suffix}"
        path.write_bytes(b"not what the suffix says")
        with pytest.raises(ValueError, match="junk"):
            datasets.load(path, 2)
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="objects"):
        datasets.load(tmp_path / "objects.npy", 2)
