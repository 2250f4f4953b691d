import runpy
import sys
from math import comb
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.twins import all_states
from tnqbm import SqRBM, datasets
from tnqbm.base.errors import ArchiveError
from tnqbm.datasets import Target, ising, samples_io
from tnqbm.files.content import group_digest, read_group

ROOT = Path(__file__).resolve().parents[3]


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
        ("digits", 63, "64 visible units .* got n = 63"),
        ("ising-T2.269", 10, "square number of visible units.* near it are 9 and 16"),
        ("ising-T2.269", 1, "L >= 2"),
        ("ising-T", 16, "named by its temperature"),
        ("ising-T0", 16, "named by its temperature"),
        ("ising-T-1", 16, "named by its temperature"),
        ("ising-Tinf", 16, "named by its temperature"),
        ("ising-T1e999", 16, "named by its temperature"),
        ("ising-T2_0", 16, "named by its temperature"),
        ("ising-T2.0\n", 16, "named by its temperature"),
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
    with pytest.raises(ValueError, match=r"(row 2|line 3), column 3 is 2"):
        datasets.load(data_file(rows), 3)


def test_no_rows(data_file):
    with pytest.raises(ValueError, match="data"):
        datasets.load(data_file(np.zeros((0, 3))), 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [("0,1\n1\n", "line 2 has 1 value"), ("0,a\n", "line 1, column 2"), ("", "no rows")],
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


# --- samples -----------------------------------------------------------------------------------


def test_digits_are_the_known_ones():
    rows = datasets.samples("digits", 64)
    assert rows.shape == (1797, 64)
    assert rows.dtype == np.uint8
    target = datasets.load("digits", 64)
    assert target.n_states == len(np.unique(rows, axis=0)) == 1752
    assert datasets.load("digits", 64, seed=5).n_states == 1752
    mean = target.probabilities @ target.states
    np.testing.assert_allclose(mean, rows.mean(axis=0), atol=1e-12)
    zero = """
        ...##...
        ..####..
        ..#..#..
        ..#.....
        .....#..
        ..#..#..
        ..#.##..
        ...##...
    """
    assert "".join(".#"[pixel] for pixel in rows[0]) == "".join(zero.split())


def test_the_file_of_digits_is_whole_and_says_where_it_is_from():
    path = samples_io.packaged_file("digits.h5")
    with h5py.File(path) as file:
        arrays, attributes = read_group(file, "digits")
        assert group_digest(file) == DIGITS_SHA256
    assert np.bincount(arrays["labels"]).tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]
    assert {"origin", "licence", "threshold", "citation"} <= set(attributes)
    assert "10.24432/C50P49" in str(attributes["citation"])
    assert np.array_equal(datasets.samples(path, 64), arrays["states"])


DIGITS_SHA256 = "564c3b71cc27aecb4f4433f53654dde82f00039c2601a9942cc1f5c50d900c65"


def test_digits_can_be_made_again(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    made = tmp_path / "digits.h5"
    monkeypatch.setattr(sys, "argv", ["digits.py", "-o", str(made)])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / "scripts/data/digits.py"), run_name="__main__")
    with h5py.File(made) as file:
        assert group_digest(file) == DIGITS_SHA256


def test_a_damaged_or_absent_file_of_digits(tmp_path, monkeypatch):
    damaged = tmp_path / "share" / "tnqbm" / "digits.h5"
    damaged.parent.mkdir(parents=True)
    with (
        h5py.File(samples_io.packaged_file("digits.h5")) as source,
        h5py.File(damaged, "w") as file,
    ):
        source.copy("labels", file)
        file["states"] = 1 - source["states"][()]
        file.attrs.update(source.attrs)
    monkeypatch.setattr(
        samples_io, "__file__", str(tmp_path / "tnqbm" / "datasets" / "samples_io.py")
    )
    with pytest.raises(ArchiveError, match="checksum"):
        datasets.samples("digits", 64)
    damaged.unlink()
    if not any((folder / "digits.h5").exists() for folder in samples_io._data_folders("digits.h5")):
        with pytest.raises(FileNotFoundError, match=r"digits.h5 of tnqbm is in none of .*share"):
            datasets.samples("digits", 64)


def test_ising_samples_are_the_samplers():
    rows = datasets.samples("ising-T2.5", 9)
    assert rows.shape == (datasets.ISING_SAMPLES, 9) == (10_000, 9)
    assert np.array_equal(rows, ising.sample(3, 2.5, 10_000, seed=0))
    assert np.array_equal(rows, datasets.samples("ising-T2.50", 9))
    assert not np.array_equal(rows, datasets.samples("ising-T2.5", 9, seed=1))


def test_ising_targets_are_the_same_for_all_seeds():
    one, two = (datasets.load("ising-T2.5", 9, seed=seed) for seed in (1, 2))
    assert np.array_equal(one.dense(), two.dense())
    weights = np.exp(-ising.energy(all_states(9)) / 2.5)
    # Four standard errors of the mean energy of 10,000 samples: false-alarm rate 6e-5.
    energies = ising.energy(all_states(9))
    expected = weights @ energies / weights.sum()
    spread = np.sqrt(weights @ energies**2 / weights.sum() - expected**2)
    assert abs(one.dense() @ energies - expected) < 4 * spread / 100


def test_names():
    assert datasets.NAMES == ("bas", "on2", "cardinality", "parity", "digits", "gaussian")
    for name in (
        *datasets.NAMES,
        "gaussian-2d",
        "ising-T2",
        "ising-T.5",
        "ising-T2.",
        "ising-T1e-3",
    ):
        assert datasets.is_name(name)
    for name in ("ising", "ising-2", "ising-T٣", "digits.h5", Path("bas"), ""):
        assert not datasets.is_name(name)


def test_samples_of_a_file_keep_their_order(data_file):
    assert np.array_equal(datasets.samples(data_file(ROWS), 3), ROWS)
    with pytest.raises(ValueError, match="rows have 3 entries, but 4"):
        datasets.samples(data_file(ROWS), 4)


@pytest.mark.parametrize("name", ["bas", "on2", "cardinality", "parity", "gaussian"])
def test_exactly_known_sets_have_no_samples(name):
    with pytest.raises(ValueError, match=f"'{name}' is known exactly and has no samples"):
        datasets.samples(name, 6)
    with pytest.raises(ValueError, match=f"'{name}' is known exactly.* test_fraction = 0"):
        datasets.load_split(name, 6)
    train, test = datasets.load_split(name, 6, test_fraction=0, seed=3)
    assert test is None
    assert np.array_equal(train.dense(), datasets.load(name, 6, seed=3).dense())


# --- splitting ---------------------------------------------------------------------------------


def test_split_is_a_seeded_partition():
    rows = all_states(6)
    train, test = datasets.split(rows, 0.25, seed=1)
    assert (train.shape, test.shape) == ((48, 6), (16, 6))
    assert len(np.unique(np.vstack([train, test]), axis=0)) == 64
    again = datasets.split(rows, 0.25, seed=1)
    assert np.array_equal(train, again[0])
    assert np.array_equal(test, again[1])
    assert not np.array_equal(test, datasets.split(rows, 0.25, seed=2)[1])
    # The same shuffle whatever the fraction: more test rows keep those there were.
    assert np.array_equal(datasets.split(rows, 0.5, seed=1)[1][-16:], test)


def test_split_holds_out_the_last_rows_of_the_shuffled_order():
    rows = all_states(3)
    order = np.random.default_rng(4).permutation(8)
    train, test = datasets.split(rows, seed=4)
    assert np.array_equal(np.vstack([train, test]), rows[order])
    assert len(test) == 2


def test_split_nothing_off():
    train, test = datasets.split(ROWS, 0)
    assert train.shape == (3, 3)
    assert test.shape == (0, 3)


@pytest.mark.parametrize(
    ("rows", "fraction", "message"),
    [
        (ROWS, 1.0, "test_fraction must be"),
        (ROWS, -0.1, "test_fraction must be"),
        (ROWS, float("nan"), "test_fraction must be"),
        (ROWS, 0.01, "gives 0 test rows"),
        (ROWS, 0.9, "gives 3 test rows"),
        (ROWS + 1, 0.3, "must be 0 or 1"),
        (ROWS[0], 0.3, "shape"),
        (ROWS[:0], 0.3, "shape"),
    ],
)
def test_bad_splits(rows, fraction, message):
    with pytest.raises(ValueError, match=message):
        datasets.split(rows, fraction)


def test_data_sets_and_files_are_split(data_file):
    train, test = datasets.load_split("digits", 64, seed=1)
    rows = datasets.split(datasets.samples("digits", 64), 0.2, seed=1)
    assert (len(rows[0]), len(rows[1])) == (1438, 359)
    for target, part in zip((train, test), rows, strict=True):
        merged = Target.from_samples(part)
        assert np.array_equal(target.states, merged.states)
        assert np.array_equal(target.probabilities, merged.probabilities)
    train, test = datasets.load_split(data_file(ROWS), 3, test_fraction=1 / 3)
    assert test.n_states == 1
    with pytest.raises(ValueError, match="64 visible units"):
        datasets.load_split("digits", 6)
    with pytest.raises(ValueError, match="test_fraction must be"):
        datasets.load_split("digits", 64, test_fraction=2)


# --- fields of the visible units ---------------------------------------------------------------


def test_visible_fields_give_the_data_its_means():
    target = datasets.load("on2", 6, seed=1)
    a = datasets.visible_fields(target, floor=0)
    model = SqRBM(a, np.zeros((2, 1)), np.zeros((2, 6, 1)), "XZ")
    weights = np.exp(model.log_weight(all_states(6)))
    ones = weights @ all_states(6) / weights.sum()
    np.testing.assert_allclose(ones, target.probabilities @ target.states, rtol=1e-12)


def test_visible_fields_of_constant_bits():
    target = Target.from_samples([[0, 1, 0], [0, 1, 1]])
    a = datasets.visible_fields(target, floor=0.1)
    up = 1 / (1 + np.exp(2 * a))  # p(v = 0)
    np.testing.assert_allclose(up, [0.9, 0.1, 0.5], atol=1e-15)
    assert np.abs(datasets.visible_fields(target)).max() == pytest.approx(np.arctanh(0.998))
    with pytest.raises(ValueError, match="visible unit 1 has the same value"):
        datasets.visible_fields(target, floor=0)
    for floor in (-0.1, 0.5, float("nan")):
        with pytest.raises(ValueError, match="floor must be"):
            datasets.visible_fields(target, floor=floor)
