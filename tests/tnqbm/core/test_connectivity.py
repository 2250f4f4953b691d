import itertools

import numpy as np
import pytest

from tnqbm.core import connectivity
from tnqbm.core.connectivity import hidden_units, lattice, line, named


def test_windows_on_a_line():
    mask = line(5, 3)
    assert mask.dtype == np.bool_
    assert mask.T.astype(int).tolist() == [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
    ring = line(5, 3, periodic=True)
    assert ring.shape == (5, 5)
    assert np.array_equal(ring[:, :3], mask)
    assert ring[:, 4].tolist() == [True, True, False, False, True]


def test_patches_on_a_lattice_follow_their_definition():
    rows, cols, patch = 4, 5, (2, 3)
    for periodic in (False, True):
        mask = lattice(rows, cols, patch, periodic=periodic)
        tops = range(rows if periodic else rows - 1)
        lefts = range(cols if periodic else cols - 2)
        assert mask.shape == (20, len(tops) * len(lefts))
        for j, (top, left) in enumerate(itertools.product(tops, lefts)):
            units = {
                (top + y) % rows * cols + (left + x) % cols for y in range(2) for x in range(3)
            }
            assert set(np.flatnonzero(mask[:, j])) == units


def test_copies_follow_one_after_another():
    for make in (lambda c: line(6, 2, copies=c), lambda c: lattice(3, 3, copies=c)):
        one, three = make(1), make(3)
        assert np.array_equal(three, np.hstack([one, one, one]))


@pytest.mark.parametrize("window", [1, 4])
def test_the_smallest_and_the_largest_window(window):
    assert line(4, window).sum(axis=0).tolist() == [window] * (5 - window)
    assert line(4, window, periodic=True).sum(axis=0).tolist() == [window] * 4
    whole = lattice(2, 2, (2, 2))
    assert whole.shape == (4, 1)
    assert whole.all()


@pytest.mark.parametrize(
    ("name", "n", "copies", "expected"),
    [
        ("line-4", 10, 1, 7),
        ("line-4", 10, 3, 21),
        ("ring-4", 10, 1, 10),
        ("lattice-8x8-2x2", 64, 1, 49),
        ("lattice-2x6-2x3", 12, 2, 8),
        ("torus-8x8-2x2", 64, 1, 64),
    ],
)
def test_names_say_what_the_functions_make(name, n, copies, expected):
    assert hidden_units(name, n, copies) == expected
    mask = named(name, n, expected)
    kind, _, rest = name.partition("-")
    periodic = kind in ("ring", "torus")
    if kind in ("line", "ring"):
        made = line(n, int(rest), periodic=periodic, copies=copies)
    else:
        sides, patch = (tuple(map(int, part.split("x"))) for part in rest.split("-"))
        made = lattice(*sides, patch, periodic=periodic, copies=copies)
    assert np.array_equal(mask, made)


def test_dense_is_no_mask():
    assert named("dense", 7, 3) is None
    with pytest.raises(ValueError, match="any number"):
        hidden_units("dense", 7)


@pytest.mark.parametrize(
    ("name", "n", "m", "words"),
    [
        ("line-4", 10, 5, ["7 windows on 10", "multiple of 7", "5 is none", "7 is"]),
        ("line-4", 10, 16, ["14 and 21 are"]),
        ("line-4", 10, 0, ["7 is"]),
        ("line-4", 3, 1, ["at least 4 visible units", "n = 3"]),
        ("lattice-8x8-2x2", 63, 49, ["8 x 8 = 64 visible", "n = 63"]),
        ("lattice-2x8-3x2", 16, 1, ["patch of 3 x 2", "lattice of 2 x 8"]),
        ("torus-8x8-2x2", 64, 49, ["multiple of 64"]),
        ("line-0", 10, 1, ["at least 1"]),
        ("lien-4", 10, 7, ["'lien-4' is not known", "did you mean something like 'line-4'"]),
        ("line4", 10, 7, ["not known", "torus-8x8-2x2"]),
        ("line-4 ", 10, 7, ["not known"]),
        ("lattice-8x8", 64, 1, ["not known", "lattice-8x8-2x2"]),
        ("", 64, 1, ["not known"]),
    ],
)
def test_what_does_not_fit_is_named(name, n, m, words):
    with pytest.raises(ValueError, match=r".") as caught:
        named(name, n, m)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: line(4, 5), "window of 5"),
        (lambda: line(0, 1), "n must be"),
        (lambda: line(4, 2, copies=0), "copies must be"),
        (lambda: line(4, 2.0), "window must be"),
        (lambda: line(True, 1), "n must be"),
        (lambda: lattice(2, 2, (3, 1)), "3 x 1 units does not fit"),
        (lambda: lattice(2, 2, (0, 1)), r"patch\[0\]"),
        (lambda: lattice(2, 2, (1, 1, 1)), "two sides"),
        (lambda: hidden_units("line-2", 4, 0), "copies"),
    ],
)
def test_bad_sizes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_checked_masks_are_copies():
    mask = line(4, 2)
    found = connectivity.checked_mask(mask, 4, 3)
    mask[:] = False
    assert found is not None
    assert found.sum() == 6
    assert not found.flags.writeable
    assert connectivity.checked_mask(np.ones((4, 3), bool), 4, 3) is None
    with pytest.raises(TypeError, match="booleans"):
        connectivity.checked_mask(np.ones((4, 3)), 4, 3)
    with pytest.raises(ValueError, match=r"\(4, 3\)"):
        connectivity.checked_mask(np.ones((3, 4), bool), 4, 3)


@pytest.mark.parametrize(
    ("name", "units", "expected"),
    [
        ("none", 3, []),
        ("all", 3, [(0, 1), (0, 2), (1, 2)]),
        ("line", 4, [(0, 1), (1, 2), (2, 3)]),
        ("ring", 4, [(0, 1), (0, 3), (1, 2), (2, 3)]),
        ("ring", 2, [(0, 1)]),
        ("ring", 1, []),
        ("lattice-2x3", 6, [(0, 1), (0, 3), (1, 2), (1, 4), (2, 5), (3, 4), (4, 5)]),
        ("groups-2", 4, [(0, 1), (2, 3)]),
        ("groups-3", 3, [(0, 1), (0, 2), (1, 2)]),
        ("groups-3", 5, [(0, 1), (0, 2), (1, 2), (3, 4)]),
        ("groups-4", 1, []),
    ],
)
def test_edges_inside_a_layer(name: str, units: int, expected: list[tuple[int, int]]) -> None:
    assert connectivity.edges(name, units) == expected


def test_every_unit_of_a_torus_has_four_neighbours() -> None:
    pairs = connectivity.edges("torus-3x4", 12)
    assert len(pairs) == 24
    assert np.bincount(np.ravel(pairs)).tolist() == [4] * 12


@pytest.mark.parametrize(
    ("name", "units", "message"),
    [
        ("rings", 4, "not known; names look like none, all.*did you mean something like 'ring'"),
        ("lattice-2x3", 5, "are for 2 x 3 = 6 units, got 5"),
        ("groups-0", 6, "groups have at least 1 unit"),
    ],
)
def test_edges_that_do_not_fit_are_refused(name: str, units: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        connectivity.edges(name, units)
