"""The Ising sampler against exact enumeration, Onsager's and Kaufman's formulas.

Statistical tests have fixed seeds; with other seeds each would fail falsely with the probability
stated beside it.
"""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import ellipk

from tests.twins import all_states
from tnqbm.datasets import ising

T_C = ising.CRITICAL_TEMPERATURE


def exact_counts(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every (energy, magnetisation) that occurs, and the number of its states."""
    v = all_states(size * size)
    magnetisation = size * size - 2 * v.sum(axis=1, dtype=np.int64)
    pairs, counts = np.unique(
        np.stack([naive_energy(v, size), magnetisation], axis=1), axis=0, return_counts=True
    )
    return pairs[:, 0], pairs[:, 1], counts


def naive_energy(v: np.ndarray, size: int) -> np.ndarray:
    """Bond by bond, independent of tnqbm.datasets.ising.energy."""
    total = np.zeros(v.shape[0], dtype=np.int64)
    s = 1 - 2 * v.astype(np.int64)
    for row in range(size):
        for column in range(size):
            here = s[:, row * size + column]
            total -= here * s[:, row * size + (column + 1) % size]
            total -= here * s[:, (row + 1) % size * size + column]
    return total


def p_value(v: np.ndarray, size: int, temperature: float) -> float:
    """Chi-squared test of the joint distribution of energy and magnetisation."""
    energies, magnetisations, counts = exact_counts(size)
    weights = counts * np.exp(-(energies - energies.min()) / temperature)
    expected = v.shape[0] * weights / weights.sum()
    place = {pair: k for k, pair in enumerate(zip(energies, magnetisations, strict=True))}
    seen = np.zeros(len(place))
    found = zip(ising.energy(v), size * size - 2 * v.sum(axis=1, dtype=np.int64), strict=True)
    for pair in found:
        seen[place[pair]] += 1
    rare = expected < 10
    seen = np.append(seen[~rare], seen[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 10:  # too few even together
        seen[-2] += seen[-1]
        expected[-2] += expected[-1]
        seen, expected = seen[:-1], expected[:-1]
    return float(stats.chisquare(seen, expected).pvalue)


@pytest.mark.parametrize(
    ("size", "temperature"), [(2, 2.5), (3, 1.2), (3, T_C), (3, 8.0), (4, 1.7), (4, T_C), (4, 4.0)]
)
def test_energy_and_magnetisation_follow_enumeration(size, temperature):
    v = ising.sample(size, temperature, 20_000, seed=1)
    assert p_value(v, size, temperature) > 1e-4  # false-alarm rate 1e-4 each


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_another_temperature_is_noticed(factor):
    v = ising.sample(4, T_C * factor, 20_000, seed=1)
    assert p_value(v, 4, T_C) < 1e-6


def test_all_states_of_the_smallest_odd_lattice():
    # Energies alone would not notice a sampler that prefers some states of one energy.
    v, temperature = all_states(9), 3.0
    q = np.exp(-naive_energy(v, 3) / temperature)
    rows = ising.sample(3, temperature, 100_000, seed=2)
    seen = np.bincount(rows @ (1 << np.arange(8, -1, -1)), minlength=512)
    assert seen.sum() == 100_000
    assert stats.chisquare(seen, 100_000 * q / q.sum()).pvalue > 1e-4  # false-alarm rate 1e-4


def onsager_energy(temperature: float) -> float:
    """Energy per site of the infinite lattice (Onsager, Phys. Rev. 65, 117 (1944))."""
    k = 1 / temperature
    modulus = 2 * math.sinh(2 * k) / math.cosh(2 * k) ** 2
    return -(1 + 2 / math.pi * (2 * math.tanh(2 * k) ** 2 - 1) * ellipk(modulus**2)) / math.tanh(
        2 * k
    )


def kaufman_log_z(size: int, k: float) -> float:
    """log Z of the periodic L x L lattice (Kaufman, Phys. Rev. 76, 1232 (1949))."""
    angles = math.pi * np.arange(2 * size) / size
    arguments = math.cosh(2 * k) / math.tanh(2 * k) - np.cos(angles)
    gamma = np.arccosh(np.maximum(arguments, 1.0))
    gamma[0] = 2 * k + math.log(math.tanh(k))  # the one whose sign matters
    odd, even = gamma[1::2] * size / 2, gamma[0::2] * size / 2
    logs, signs = [], []
    for values, function in ((odd, np.cosh), (odd, np.sinh), (even, np.cosh), (even, np.sinh)):
        factors = 2 * function(values)
        logs.append(np.log(np.abs(factors)).sum())
        signs.append(np.sign(factors).prod())
    top = max(logs)
    total = sum(s * math.exp(x - top) for s, x in zip(signs, logs, strict=True))
    return size**2 / 2 * math.log(2 * math.sinh(2 * k)) - math.log(2) + top + math.log(total)


def kaufman_energy(size: int, temperature: float) -> float:
    """Energy per site, by a central difference of log Z."""
    k, step = 1 / temperature, 1e-5
    change = kaufman_log_z(size, k + step) - kaufman_log_z(size, k - step)
    return -change / (2 * step) / size**2


def test_the_formulas_agree_with_each_other():
    energies, _, counts = exact_counts(4)
    weights = counts * np.exp(-energies / 2.5)
    assert kaufman_log_z(4, 0.4) == pytest.approx(math.log(weights.sum()), rel=1e-12)
    assert kaufman_energy(4, 2.5) == pytest.approx(
        float(weights @ energies / weights.sum()) / 16, rel=1e-7
    )
    assert kaufman_energy(64, 3.2) == pytest.approx(onsager_energy(3.2), abs=1e-7)
    assert kaufman_energy(64, 1.8) == pytest.approx(onsager_energy(1.8), abs=1e-7)


def deviation(v: np.ndarray, expected: float) -> float:
    """Of the mean energy per site, in standard errors of independent samples."""
    per_site = ising.energy(v) / v.shape[1]
    return float((per_site.mean() - expected) / (per_site.std() / math.sqrt(len(v))))


# Four standard errors: false-alarm rate 6e-5 each. The finite lattice differs from the infinite
# one by less than a tenth of a standard error at the temperatures that are compared with Onsager.
@pytest.mark.parametrize("temperature", [1.5, 4.0])
def test_onsagers_energy(temperature):
    expected = onsager_energy(temperature)
    assert abs(deviation(ising.sample(16, temperature, 3000, seed=3), expected)) < 4


@pytest.mark.parametrize("temperature", [2.1, T_C, 2.4])
def test_kaufmans_energy_near_the_transition(temperature):
    v = ising.sample(16, temperature, 4000, seed=4)
    assert abs(deviation(v, kaufman_energy(16, temperature))) < 4


def test_onsager_notices_another_temperature():
    assert abs(deviation(ising.sample(16, 4.15, 3000, seed=3), onsager_energy(4.0))) > 6


def neighbour_correlations(v: np.ndarray) -> list[float]:
    """Between successive rows, of energy, magnetisation and its square."""
    m = 1 - 2 * v.mean(axis=1)
    series = np.stack([ising.energy(v).astype(float), m, m**2])
    series -= series.mean(axis=1, keepdims=True)
    return list((series[:, 1:] * series[:, :-1]).mean(axis=1) / series.var(axis=1))


@pytest.mark.parametrize("size", [4, 16])
def test_samples_are_independent(size):
    # At the temperature where a chain forgets most slowly. The standard error of a correlation
    # is 1/sqrt(4000); four of them, false-alarm rate 6e-5 each.
    v = ising.sample(size, T_C, 4000, seed=5)
    assert max(map(abs, neighbour_correlations(v))) < 4 / math.sqrt(4000)


def test_successive_sweeps_are_not_independent(monkeypatch):
    monkeypatch.setattr(ising, "spacing", lambda size: 1)
    energy, magnetisation, square = neighbour_correlations(ising.sample(16, T_C, 4000, seed=5))
    assert min(energy, square) > 0.5
    assert abs(magnetisation) < 4 / math.sqrt(4000)  # its sign is new after each sweep


def test_burn_in_is_long_enough():
    # Every 64th row is the first of its chain: 800 of them, four standard errors (6e-5).
    v = ising.sample(6, T_C, 64 * 800, seed=6)[::64]
    assert abs(deviation(v, kaufman_energy(6, T_C))) < 4


def test_the_seed_decides_and_rows_are_appended():
    v = ising.sample(5, 2.5, 150, seed=7)
    assert v.shape == (150, 25)
    assert v.dtype == np.uint8
    assert np.array_equal(v, ising.sample(5, 2.5, 150, seed=np.random.SeedSequence(7)))
    assert np.array_equal(v[:70], ising.sample(5, 2.5, 70, seed=7))
    assert not np.array_equal(v, ising.sample(5, 2.5, 150, seed=8))
    assert not np.array_equal(v, ising.sample(5, np.nextafter(2.5, 3), 150, seed=7))
    assert not np.array_equal(v[:64], v[64:128])


def test_threads_change_nothing():
    from tnqbm.kernels import parallel

    many = parallel.get_num_threads()
    expected = ising.sample(6, 2.2, 300, seed=1)
    try:
        parallel.set_num_threads(1)
        assert np.array_equal(expected, ising.sample(6, 2.2, 300, seed=1))
    finally:
        parallel.set_num_threads(many)


def test_samples_never_change():
    # Archives name a data set by its name alone: these bits are part of what the name means.
    v = ising.sample(3, 4.0, 4, seed=0)
    assert v.tolist() == FIRST_SAMPLES


FIRST_SAMPLES = [
    [1, 1, 1, 1, 1, 1, 0, 0, 1],
    [0, 0, 0, 0, 0, 1, 0, 0, 1],
    [1, 1, 1, 1, 1, 1, 1, 1, 1],
    [1, 1, 1, 1, 0, 0, 0, 0, 0],
]


def test_extreme_temperatures():
    cold = ising.sample(6, 1e-300, 500, seed=1)
    assert set(ising.energy(cold)) == {-72}
    assert 180 < cold[:, 0].sum() < 320  # both signs; six standard errors
    hot = ising.sample(6, 1e300, 500, seed=1)
    assert abs(hot.mean() - 0.5) < 6 * 0.5 / math.sqrt(hot.size)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1, 2.0, 3), ValueError, "size must be at least 2"),
        ((4, 2.0, 0), ValueError, "n_samples must be at least 1"),
        ((4, 0.0, 3), ValueError, "temperature must be a finite number > 0"),
        ((4, math.inf, 3), ValueError, "temperature must be a finite number > 0"),
        ((4, math.nan, 3), ValueError, "temperature must be a finite number > 0"),
        ((4, "2", 3), TypeError, "temperature must be a number"),
        ((4.0, 2.0, 3), TypeError, "size must be a whole number"),
        ((4, 2.0, True), TypeError, "n_samples must be a whole number"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ising.sample(*arguments)


def test_energy_of_known_states():
    checkerboard = np.indices((4, 4)).sum(axis=0) % 2
    assert ising.energy(np.zeros(16)) == -32
    assert ising.energy(checkerboard.reshape(16)) == 32
    assert ising.energy(np.zeros((2, 3, 9))).shape == (2, 3)
    v = all_states(9)
    assert np.array_equal(ising.energy(v), naive_energy(v, 3))
    for bad in (np.zeros(8), np.zeros(1), np.float64(0), np.full(4, 2)):
        with pytest.raises(ValueError, match="states must"):
            ising.energy(bad)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("temperature", [0.05, 1.0, T_C, 50.0])
def test_partition_function_against_enumeration(size: int, temperature: float) -> None:
    energies, _, counts = exact_counts(size)
    exponents = -energies / temperature
    highest = exponents.max()
    expected = highest + math.log((counts * np.exp(exponents - highest)).sum())
    assert ising.log_partition(size, temperature) == pytest.approx(expected, rel=1e-12)


def test_partition_function_of_large_lattices_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 12"):
        ising.log_partition(13, 1.0)
