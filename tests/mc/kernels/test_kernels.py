"""Kernels against the distributions they sample, and against themselves in other groupings.

Statistical tests start independent chains in equilibrium (or, where said, far from it) and compare
their states with dense quantum mechanics, tr_hidden exp(-H) / Z, by chi-squared tests. ``passes``
fails a right kernel with probability 1e-6 a test; fewer than 200 tests make the false-alarm rate of
this file less than 2e-4 for a new choice of seeds, and zero for the seeds below.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from mc.kernels import KERNELS, Sweeper, is_exact
from tests.mc_twins import LETTERS, chi_squared, draw_states
from tests.twins import all_states
from tnqbm import SqRBM
from tnqbm.core.shape import Shape
from tnqbm.hamiltonian import PauliHamiltonian
from tnqbm.kernels.parallel import get_num_threads, max_threads, set_num_threads

PAULIS = ["X", "Y", "Z", "XY", "XZ", "YZ", "XYZ"]
CASES = [(k, p) for k in KERNELS for p in (1, 2, 3) if k != "block" or p == 1]
EXACT = [(k, p) for k, p in CASES if is_exact(k, p)]
SHAPES = [(4, 2), (5, 2), (4, 3)]
both = pytest.mark.parametrize("precision", ["double", "single"])


def passes(p_value: float) -> bool:
    return p_value > 1e-6


@cache
def model_of(n: int, m: int, paulis: str, scale: float = 1.0, seed: int = 0) -> SqRBM:
    """Asymmetric: every field and coupling differs from zero and from the others."""
    return SqRBM.uniform(n, m, paulis, scale=scale, seed=100 * PAULIS.index(paulis) + seed)


@cache
def probabilities(model_index: tuple[int, int, str, float, int]) -> np.ndarray:
    n, m, paulis, scale, seed = model_index
    dense = PauliHamiltonian.from_sqrbm(model_of(n, m, paulis, scale, seed)).probabilities()
    # Tiny negative rounding errors of the dense trace.
    return np.maximum(dense, 0.0) / np.maximum(dense, 0.0).sum()


def equilibrium(p: np.ndarray, count: int, n: int, seed: int = 5) -> np.ndarray:
    return draw_states(p, count, n, np.random.default_rng(seed))


def moved(
    kernel: str,
    model: SqRBM,
    v: np.ndarray,
    steps: int,
    *,
    precision: str = "double",
    free: np.ndarray | None = None,
    inertia: float = 0.0,
    key: int = 77,
) -> np.ndarray:
    states = v[None].copy()
    sweeper = Sweeper(model.shape, kernel, precision=precision, free=free, inertia=inertia)
    sweeper.sweep(model.to_vector()[None], states, np.array([key], np.uint64), 0, steps)
    return np.asarray(states[0])


# --- distributions -------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("kernel", "paulis"),
    [(k, paulis) for paulis in PAULIS for k in KERNELS if (k, len(paulis)) in EXACT],
)
def test_exact_kernels_keep_the_distribution(kernel: str, paulis: str, precision: str) -> None:
    # 6 kernels x 7 Pauli sets, block and uncorrected x 3, in two precisions: 96 tests.
    n, m = SHAPES[PAULIS.index(paulis) % 3]
    expected = probabilities((n, m, paulis, 0.7, 0))
    start = equilibrium(expected, 100_000, n)
    inertia = 0.5 if paulis in ("Y", "YZ") else 0.0
    end = moved(kernel, model_of(n, m, paulis, 0.7), start, 8, precision=precision, inertia=inertia)
    assert (end != start).any(axis=0).all()
    assert passes(chi_squared(end, expected))


@pytest.mark.parametrize("paulis", ["XY", "XZ", "YZ", "XYZ"])
def test_the_uncorrected_kernel_does_not(paulis: str) -> None:
    """Negative control of the test above, with a fifth of its chains: it is found out."""
    n, m = SHAPES[PAULIS.index(paulis) % 3]
    expected = probabilities((n, m, paulis, 0.7, 0))
    model = model_of(n, m, paulis, 0.7)
    start = equilibrium(expected, 20_000, n)
    assert chi_squared(moved("thermal-uncorrected", model, start, 8), expected) < 1e-10
    assert passes(chi_squared(start, expected))


def test_a_sampler_of_another_model_is_found_out() -> None:
    """Negative control: fewer chains see an error of 0.1 in one field of four."""
    expected = probabilities((4, 3, "XZ", 0.7, 0))
    model = model_of(4, 3, "XZ", 0.7)
    other = SqRBM(model.a + np.array([0.1, 0, 0, 0]), model.b, model.w, "XZ")
    end = moved("collapsed", other, equilibrium(expected, 40_000, 4), 8)
    assert chi_squared(end, expected) < 1e-10


@pytest.mark.parametrize(("kernel", "p"), EXACT)
def test_chains_reach_the_distribution_from_afar(kernel: str, p: int) -> None:
    # 20 tests.
    paulis = LETTERS[p]
    expected = probabilities((4, 3, paulis, 0.7, 1))
    start = np.ones((10_000, 4), dtype=np.uint8)
    end = moved(kernel, model_of(4, 3, paulis, 0.7, 1), start, 80)
    assert passes(chi_squared(end, expected))
    assert chi_squared(start, expected) < 1e-12


@both
@pytest.mark.parametrize(("kernel", "p"), EXACT)
def test_clamped_units_leave_the_conditional_distribution(
    kernel: str, p: int, precision: str
) -> None:
    # 40 tests. The fixed bits are 1 and 0 at units 2 and 4.
    n, paulis = 5, LETTERS[p]
    joint = probabilities((n, 2, paulis, 0.8, 2))
    states = all_states(n)
    given = (states[:, 1] == 1) & (states[:, 3] == 0)
    expected = np.where(given, joint, 0.0) / joint[given].sum()
    free = np.array([True, False, True, False, True])
    model = model_of(n, 2, paulis, 0.8, 2)
    end = moved(kernel, model, equilibrium(expected, 30_000, n), 8, precision=precision, free=free)
    assert passes(chi_squared(end, expected))
    # From a start outside equilibrium.
    start = np.tile(np.array([1, 1, 0, 0, 1], np.uint8), (10_000, 1))
    if kernel == "collapsed":
        end = moved(kernel, model, start, 60, precision=precision, free=free)
        assert passes(chi_squared(end, expected))


@pytest.mark.parametrize(
    "kernel", ["bloch", "thermal", "collapsed", "measured", "pauli", "pauli-exact"]
)
def test_models_without_hidden_units(kernel: str) -> None:
    # 6 tests, independent bits.
    model = SqRBM(np.array([0.4, -0.2, 1.0]), np.zeros((2, 0)), np.zeros((2, 3, 0)), "XZ")
    log_weight = model.log_weight(all_states(3))
    expected = np.exp(log_weight) / np.exp(log_weight).sum()
    assert passes(chi_squared(moved(kernel, model, np.zeros((10_000, 3), np.uint8), 30), expected))


# --- reproducibility -----------------------------------------------------------------------------


@pytest.fixture
def threads() -> Iterator[None]:
    before = get_num_threads()
    yield
    set_num_threads(before)


def setup(p: int, batch: int = 3, chains: int = 150) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    theta = np.stack(
        [SqRBM.uniform(7, 5, LETTERS[p], scale=0.6, seed=k).to_vector() for k in range(batch)]
    )
    states = np.random.default_rng(p).integers(0, 2, (batch, chains, 7), dtype=np.uint8)
    return theta, states, np.array([3, 2**63 + 1, 9][:batch], np.uint64)


@both
@pytest.mark.parametrize(("kernel", "p"), CASES)
def test_the_number_of_threads_changes_nothing(
    kernel: str, p: int, precision: str, threads: None
) -> None:
    if max_threads() < 2:
        pytest.skip("one thread only")
    theta, states, keys = setup(p)
    found = []
    for count in (1, 2):
        set_num_threads(count)
        sweeper = Sweeper(Shape(7, 5, p), kernel, precision=precision)
        mine = states.copy()
        rates = sweeper.sweep(theta, mine, keys, 10, 3)
        found.append((mine, rates, sweeper.log_weights(theta, mine)))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


@both
@pytest.mark.parametrize(("kernel", "p"), CASES)
def test_models_do_not_mix(kernel: str, p: int, precision: str) -> None:
    theta, states, keys = setup(p)
    sweeper = Sweeper(Shape(7, 5, p), kernel, precision=precision)
    together = states.copy()
    rates = sweeper.sweep(theta, together, keys, 4, 3)
    weights = sweeper.log_weights(theta, together)
    for b in range(3):
        alone = states[b : b + 1].copy()
        rate = sweeper.sweep(theta[b : b + 1], alone, keys[b : b + 1], 4, 3)
        np.testing.assert_array_equal(alone[0], together[b])
        np.testing.assert_array_equal(rate[0], rates[b])
        np.testing.assert_array_equal(sweeper.log_weights(theta[b : b + 1], alone)[0], weights[b])
    assert (together[0] != together[1]).any()


@both
@pytest.mark.parametrize(("kernel", "p"), CASES)
def test_chains_and_sweeps_may_be_divided_between_calls(
    kernel: str, p: int, precision: str
) -> None:
    theta, states, keys = setup(p)
    sweeper = Sweeper(Shape(7, 5, p), kernel, precision=precision, inertia=0.3)
    whole = states.copy()
    sweeper.sweep(theta, whole, keys, 100, 7, 1000)
    parts = []
    for first, last in ((0, 1), (1, 38), (38, 150), (150, 150)):
        part = states[:, first:last].copy()
        for clock, steps in ((100, 2), (102, 0), (102, 1), (103, 4)):
            sweeper.sweep(theta, part, keys, clock, steps, 1000 + first)
        parts.append(part)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    other = states.copy()
    sweeper.sweep(theta, other, keys, 101, 7, 1000)
    assert (other != whole).any()  # the clock matters


@pytest.mark.parametrize(("kernel", "p"), CASES)
def test_chains_with_other_numbers_or_keys_go_their_own_ways(kernel: str, p: int) -> None:
    """All chains start alike: those of other rows, keys, or numbers must differ."""
    theta = np.tile(setup(p)[0][:1], (2, 1))
    states = np.zeros((2, 200, 7), dtype=np.uint8)
    Sweeper(Shape(7, 5, p), kernel).sweep(theta, states, np.array([1, 2], np.uint64), 0, 6)
    assert (states[0] != states[1]).any()
    # 400 independent chains: no state is common to most of them.
    _, counts = np.unique(states.reshape(-1, 7), axis=0, return_counts=True)
    assert counts.size > 10
    assert counts.max() < 200
