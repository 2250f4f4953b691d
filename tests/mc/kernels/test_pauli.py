"""The kernels that measure hidden qubits in Pauli bases: bases, weights near 0, sparse models.

That they equal their NumPy twins and keep p(v) with bases drawn at random is tested with all other
kernels. Chi-squared tests here fail a right kernel with probability 1e-6 each, 40 tests.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from mc.kernels import Sweeper, basis_number, check_states
from mc.kernels.elimination import MAX_WIDTH, eliminate, frontier_width
from tests import mc_twins as twins
from tests.twins import all_states
from tnqbm import SqRBM
from tnqbm.core.connectivity import lattice, line
from tnqbm.core.states import index_of
from tnqbm.hamiltonian import PauliHamiltonian

KERNELS = ("pauli", "pauli-exact")
KEY = 0xFEDCBA9876543210
PAULI = {
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.array([[1, 0], [0, -1]], dtype=complex),
}
BASES = [(p, basis) for p in (1, 2, 3) for basis in (*range(p), -1, -2)]


def moved(
    kernel: str, model: SqRBM, v: np.ndarray, steps: int = 1, *, basis: int = -1, clock: int = 0
) -> np.ndarray:
    states = v[None].copy()
    sweeper = Sweeper(model.shape, kernel, basis=basis)
    sweeper.sweep(model.to_vector()[None], states, np.array([KEY], np.uint64), clock, steps)
    return np.asarray(states[0])


def exact(model: SqRBM) -> np.ndarray:
    log_weight = model.log_weight(all_states(model.n_visible))
    weight = np.exp(log_weight - log_weight.max())
    return np.asarray(weight / weight.sum())


# --- distributions -------------------------------------------------------------------------------


@pytest.mark.parametrize("paulis", ["Z", "XY", "XYZ"])
def test_the_joint_distribution_is_that_of_the_measured_qubits(paulis: str) -> None:
    """The twin's <v,h| exp(-H) |v,h> against dense matrices, for every choice of bases."""
    model = SqRBM.uniform(2, 2, paulis, scale=0.8, seed=3)
    gibbs = expm(-PauliHamiltonian.from_sqrbm(model).matrix())
    states = all_states(2)
    for first in range(len(paulis)):
        for second in range(len(paulis)):
            for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                projector = np.kron(*(
                    (np.eye(2) + sign * PAULI[paulis[which]]) / 2
                    for sign, which in zip(signs, (first, second), strict=True)
                ))  # fmt: skip
                wanted = [
                    np.trace(np.kron(np.diag(np.eye(4)[index]), projector) @ gibbs).real
                    for index in index_of(states)
                ]
                basis = np.tile([first, second], (4, 1))
                found = twins.log_outcomes(model, states, basis, np.tile(signs, (4, 1)))
                np.testing.assert_allclose(np.exp(found), wanted, rtol=1e-11)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("p", "basis"), BASES)
def test_every_basis_equals_its_twin(kernel: str, p: int, basis: int) -> None:
    model = SqRBM.uniform(6, 5, twins.LETTERS[p], scale=0.7, seed=p)
    v = np.random.default_rng(1).integers(0, 2, (21, 6), dtype=np.uint8)
    found, expected = v, v
    for clock in range(4):
        found = moved(kernel, model, found, basis=basis, clock=clock)
        expected, _ = twins.sweep(kernel, model, expected, KEY, clock, basis=basis)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("p", "basis"), BASES)
def test_every_basis_keeps_the_distribution(kernel: str, p: int, basis: int) -> None:
    # 24 tests.
    model = SqRBM.uniform(5, 3, twins.LETTERS[p], scale=0.8, seed=10 + p)
    expected = exact(model)
    start = twins.draw_states(expected, 60_000, 5, np.random.default_rng(7))
    end = moved(kernel, model, start, 5, basis=basis)
    assert (end != start).any(axis=0).all()
    assert twins.chi_squared(end, expected) > 1e-6


def test_a_basis_of_another_model_is_found_out() -> None:
    """Negative control: outcomes in the field of X, taken for those in the field of Z."""
    model = SqRBM.uniform(5, 3, "XZ", scale=0.8, seed=12)
    other = SqRBM(
        model.a, model.b[::-1].copy(), model.w * np.array([1.0, -1.0])[:, None, None], "XZ"
    )
    start = twins.draw_states(exact(model), 60_000, 5, np.random.default_rng(7))
    assert twins.chi_squared(moved("pauli", other, start, 5, basis=0), exact(model)) < 1e-10


def test_bits_drawn_at_once_forget_more_than_one_after_another() -> None:
    """Of chains that all start at one state, those of exact half steps come nearer in two steps."""
    model = SqRBM.uniform(6, 4, "XYZ", scale=0.8, seed=2)
    start = np.zeros((40_000, 6), dtype=np.uint8)
    expected = exact(model)
    far = {
        kernel: np.abs(
            np.bincount(index_of(moved(kernel, model, start, 2)), minlength=64) / 40_000 - expected
        ).sum()
        for kernel in KERNELS
    }
    assert far["pauli-exact"] < 0.7 * far["pauli"]


def test_one_pauli_is_block_sampling() -> None:
    """With Z alone p(v|h) is a product: the same transition as kernel block, from any state."""
    model = SqRBM.uniform(4, 3, "Z", scale=1.0, seed=4)
    start = np.tile(np.array([1, 0, 0, 1], np.uint8), (60_000, 1))
    counts = [
        np.bincount(index_of(moved(kernel, model, start, basis=0)), minlength=16)
        for kernel in ("pauli-exact",)
    ]
    states = np.zeros((1, 60_000, 4), np.uint8)
    states[0] = start
    block = Sweeper(model.shape, "block")
    block.sweep(model.to_vector()[None], states, np.array([3], np.uint64), 0, 1)
    counts.append(np.bincount(index_of(states[0]), minlength=16))
    one, two = counts
    z = (one - two) / np.sqrt(one + two + 1.0)
    assert np.abs(z).max() < 5


# --- weights near 0 ------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("scale", [30.0, 1000.0])
def test_fields_of_up_to_ten_thousand(kernel: str, p: int, scale: float) -> None:
    """Equal to the twin, whose arithmetic is in logarithms throughout, and no warning of NaN."""
    model = SqRBM.uniform(7, 5, twins.LETTERS[p], scale=scale, seed=5)
    v = np.random.default_rng(2).integers(0, 2, (60, 7), dtype=np.uint8)
    assert np.linalg.norm(model.fields(v), axis=1).max() > 3 * scale
    found, expected = v, v
    for clock in range(3):
        found = moved(kernel, model, found, basis=-2, clock=clock)
        expected, _ = twins.sweep(kernel, model, expected, KEY, clock, basis=-2)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_field_along_the_basis_weighs_as_one_pauli_does(kernel: str) -> None:
    """Fields of +400 and -800 along Z alone, none along X. The outcome at the first is -1, and
    given it the second weighs e^(-1200) as much; rounding that lifts e^(-800) would show.
    """
    w = np.zeros((2, 1, 1))
    b = np.zeros((2, 1))
    w[1], b[1] = 600.0, -200.0
    model = SqRBM(np.zeros(1), b, w, "XZ")
    end = moved(kernel, model, np.zeros((200, 1), np.uint8), 4, basis=1)
    np.testing.assert_array_equal(end, 0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_model_without_hidden_fields_gives_fair_bits(kernel: str) -> None:
    nothing = SqRBM.from_vector(np.zeros(6 + 3 * 3 * 7), 6, 3, "XYZ")
    end = moved(kernel, nothing, np.zeros((20_000, 6), np.uint8), 2)
    assert twins.chi_squared(end, np.full(64, 1 / 64)) > 1e-6


# --- sparse models -------------------------------------------------------------------------------


def test_local_models_are_summed_over_along_their_length() -> None:
    assert frontier_width(line(60, 3)) == 3
    assert frontier_width(line(60, 3, periodic=True)) == 5
    assert frontier_width(lattice(8, 8)) == 10
    assert frontier_width(np.ones((9, 4), dtype=bool)) == 9


@pytest.mark.parametrize("p", [1, 3])
def test_a_sparse_model_equals_its_twin(p: int) -> None:
    """Bits one after another in the order of the elimination; the twin enumerates all states."""
    mask = line(9, 3, periodic=True)
    model = SqRBM.uniform(9, 9, twins.LETTERS[p], scale=0.9, seed=1, mask=mask)
    free = np.ones(9, dtype=bool)
    v = np.random.default_rng(3).integers(0, 2, (30, 9), dtype=np.uint8)
    for fixed in ([], [0, 4], [1, 2, 3]):
        free[:] = True
        free[fixed] = False
        found = v[None].copy()
        sweeper = Sweeper(model.shape, "pauli-exact", free=free)
        sweeper.sweep(model.to_vector()[None], found, np.array([KEY], np.uint64), 4, 1)
        expected, _ = twins.sweep("pauli-exact", model, v, KEY, 4, free=free)
        np.testing.assert_array_equal(found[0], expected)
        np.testing.assert_array_equal(found[0][:, fixed], v[:, fixed])


def test_many_units_of_a_ring_keep_their_distribution() -> None:
    """60 units: the last 8 of them against the distribution of independent collapsed chains."""
    mask = line(60, 3, periodic=True)
    model = SqRBM.uniform(60, 60, "XYZ", scale=0.5, seed=1, mask=mask)
    start = np.random.default_rng(3).integers(0, 2, (4000, 60), dtype=np.uint8)
    ends = []
    for kernel in ("pauli-exact", "collapsed"):
        states = start[None].copy()
        sweeper = Sweeper(model.shape, kernel)
        sweeper.sweep(model.to_vector()[None], states, np.array([KEY], np.uint64), 0, 60)
        ends.append(states[0].astype(float))
    one, two = ends
    pairs = [np.concatenate([x, x * np.roll(x, 1, axis=1)], axis=1) for x in (one, two)]
    means = [x.mean(axis=0) for x in pairs]
    error = np.sqrt(sum(x.var(axis=0) for x in pairs) / 4000)
    # 120 averages: a false alarm has probability 7e-5.
    assert np.abs((means[0] - means[1]) / error).max() < 5


def test_what_is_too_wide_is_refused() -> None:
    model = SqRBM.uniform(MAX_WIDTH + 1, 2, "XZ", scale=0.1, seed=0)
    with pytest.raises(MemoryError, match="Use kernel 'pauli'"):
        moved("pauli-exact", model, np.zeros((3, MAX_WIDTH + 1), np.uint8))
    with pytest.raises(MemoryError, match=r"2\*\*21 states"):
        check_states("pauli-exact", model.shape)
    check_states("pauli-exact", model.shape, line(MAX_WIDTH + 1, 3)[:, :2])
    check_states("pauli", model.shape)


def test_every_free_unit_is_summed_over_once() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        coupled = rng.random((8, 5)) < 0.3
        free = np.flatnonzero(rng.random(8) < 0.7)
        plan = eliminate(coupled, free)
        assert sorted(plan.summed) == sorted(plan.order) == free.tolist()
        wanted = [j for j in range(5) if coupled[free, j].any()]
        assert sorted(plan.factors) == wanted


# --- settings ------------------------------------------------------------------------------------


def test_bases_by_name() -> None:
    assert basis_number("pauli", None, "XZ") is None
    assert basis_number("pauli", "Z", "XZ") == 1
    assert basis_number("pauli-exact", "random", "XZ") == -1
    assert basis_number("pauli", "each", "XZ") == -2


@pytest.mark.parametrize(
    ("kernel", "basis", "message"),
    [
        ("pauli", "Y", "not among the model's Pauli matrices 'XZ'"),
        ("pauli", "W", "'W' is not one of random, each, X, Y, Z"),
        ("collapsed", "X", "for the kernels 'pauli' and 'pauli-exact', not for 'collapsed'"),
        ("auto", "random", "not for 'auto'"),
    ],
)
def test_bases_that_are_refused(kernel: str, basis: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        basis_number(kernel, basis, "XZ")


def test_numbers_that_are_no_basis() -> None:
    for basis in (-3, 2):
        with pytest.raises(ValueError, match="basis"):
            Sweeper(SqRBM.uniform(3, 2, "XZ", scale=1.0, seed=0).shape, "pauli", basis=basis)
