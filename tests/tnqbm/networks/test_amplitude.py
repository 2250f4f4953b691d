"""The amplitude network: exact where it may be, perfect samples, unbiased weights.

Statistical tests have fixed seeds; with fresh seeds a correct implementation would fail each of
them with the probability that stands beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import chisquare

from tests.twins import all_states
from tnqbm import SqRBM
from tnqbm.base.errors import ArchiveError
from tnqbm.kernels.parallel import get_num_threads, max_threads, set_num_threads
from tnqbm.networks import AmplitudeMPS


def exact_psi(model: SqRBM) -> np.ndarray:
    """Normalised sqrt(p~) of all states."""
    log_weight = model.log_weight(all_states(model.n_visible))
    return np.exp(0.5 * (log_weight - logsumexp(log_weight)))


def exact_infidelity(network: AmplitudeMPS, model: SqRBM) -> float:
    """From the dense state: signs count."""
    dense = np.asarray(network.mps.to_dense()).reshape((2,) * model.n_visible)
    psi = exact_psi(model).reshape((2,) * model.n_visible).transpose(network.order)
    overlap = np.sum(psi * dense) / np.linalg.norm(dense)
    # 1 - x^2 without cancellation.
    return float(np.linalg.norm(psi - overlap * dense / np.linalg.norm(dense)) ** 2)


@pytest.fixture(scope="module")
def model() -> SqRBM:
    return SqRBM.uniform(10, 8, "XYZ", scale=0.6, seed=4)


@pytest.fixture(scope="module")
def truncated(model: SqRBM) -> AmplitudeMPS:
    network = AmplitudeMPS.fit(model, max_bond=4, seed=1)
    assert network.max_bond == 4
    return network


@pytest.mark.parametrize(
    ("n", "m", "paulis", "scale"),
    [
        (1, 0, "Z", 1.0),
        (1, 3, "XYZ", 1.0),
        (2, 0, "XZ", 1.0),
        (2, 2, "Z", 1.0),
        (3, 65, "XZ", 0.5),
        (9, 5, "Z", 1.0),
        (10, 6, "XYZ", 0.7),
        (12, 6, "XZ", 1.0),
        (11, 4, "XYZ", 5.0),
        (10, 6, "XYZ", 100.0),
    ],
)
def test_exact_with_enough_bonds(n: int, m: int, paulis: str, scale: float) -> None:
    model = SqRBM.uniform(n, m, paulis, scale=scale, seed=1)
    network = AmplitudeMPS.fit(model, infidelity=0.0, seed=0)
    v, psi = all_states(n), exact_psi(model)
    log_prob = network.log_prob(v)
    np.testing.assert_allclose(np.exp(0.5 * log_prob), psi, atol=1e-8)
    assert np.exp(log_prob).sum() == pytest.approx(1.0, abs=1e-10)
    log_z = logsumexp(model.log_weight(v))
    assert network.log_partition() == pytest.approx(log_z, abs=1e-8, rel=1e-12)
    found = network.importance(model, 50, seed=2)
    assert found.log_partition == pytest.approx(log_z, abs=1e-8, rel=1e-12)
    assert found.ess == pytest.approx(50.0, rel=1e-6)
    assert network.infidelity(model, 50, seed=3)[0] < 1e-12


def test_no_hidden_units_is_a_product_state() -> None:
    model = SqRBM(np.linspace(-2, 2, 40), np.zeros((3, 0)), np.zeros((3, 40, 0)), "XYZ")
    network = AmplitudeMPS.fit(model, seed=0)
    assert network.max_bond == 1
    np.testing.assert_allclose(network.entropies(), 0.0, atol=1e-12)
    assert network.log_partition() == pytest.approx(np.log(2 * np.cosh(model.a)).sum())


def test_mps_is_the_normalised_state_in_the_visiting_order(
    model: SqRBM, truncated: AmplitudeMPS
) -> None:
    mps = truncated.mps
    assert mps.H @ mps == pytest.approx(1.0)
    assert mps.bond_sizes() == truncated.bond_sizes.tolist()
    dense = np.asarray(mps.to_dense()).reshape(-1)
    v = np.empty((dense.size, 10), dtype=np.uint8)
    v[:, truncated.order] = all_states(10)
    np.testing.assert_allclose(dense**2, np.exp(truncated.log_prob(v)), atol=1e-13)
    for cut in (0, 4, 8):
        expected = np.linalg.svd(dense.reshape(2 ** (cut + 1), -1), compute_uv=False)
        found = truncated.schmidt_values(cut)
        np.testing.assert_allclose(found, expected[: found.size], atol=1e-12)
        p = found**2
        assert truncated.entropies()[cut] == pytest.approx(-np.sum(p * np.log(p)))


def frequencies(v: np.ndarray) -> np.ndarray:
    index = v.astype(np.int64) @ (1 << np.arange(v.shape[1])[::-1])
    return np.bincount(index, minlength=2 ** v.shape[1])


def p_value(seen: np.ndarray, q: np.ndarray) -> float:
    """Of Pearson's test, states with fewer than ten expected pooled."""
    expected = q * seen.sum()
    rare = expected < 10
    observed = np.append(seen[~rare], seen[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    return float(chisquare(observed[expected > 0], expected[expected > 0]).pvalue)


def test_samples_follow_log_prob(model: SqRBM, truncated: AmplitudeMPS) -> None:
    v, log_q = truncated.sample(100_000, seed=5)
    np.testing.assert_allclose(log_q, truncated.log_prob(v), atol=1e-10)
    q = np.exp(truncated.log_prob(all_states(10)))
    assert q.sum() == pytest.approx(1.0)
    assert p_value(frequencies(v), q) > 1e-3  # fails 1 time in 1000
    assert p_value(frequencies(v), exact_psi(model) ** 2) < 1e-6  # the truncated state is another


def test_clamped_samples_follow_the_conditional(truncated: AmplitudeMPS) -> None:
    clamp = {7: 1, 0: 0, 3: 1}
    states = all_states(10)
    fits = np.all([states[:, unit] == bit for unit, bit in clamp.items()], axis=0)
    q = np.where(fits, np.exp(truncated.log_prob(states)), 0.0)
    q /= q.sum()
    v, log_q = truncated.sample(20_000, clamp=clamp, seed=6)
    seen = frequencies(v)
    assert seen[~fits].sum() == 0
    assert p_value(seen, q) > 1e-3  # fails 1 time in 1000
    index = v.astype(np.int64) @ (1 << np.arange(10)[::-1])
    np.testing.assert_allclose(np.exp(log_q), q[index], rtol=1e-9)
    with pytest.raises(ValueError, match="units are 0 to 9"):
        truncated.sample(1, clamp={10: 0}, seed=0)


def test_clamping_to_the_impossible_is_refused() -> None:
    model = SqRBM([800.0, 0.0], np.zeros((1, 1)), np.zeros((1, 2, 1)), "Z")
    network = AmplitudeMPS.fit(model, seed=0)
    with pytest.raises(ValueError, match="no probability"):
        network.sample(1, clamp={0: 0}, seed=0)


@pytest.mark.parametrize("max_bond", [2, 4, 16])
def test_weights_are_unbiased(model: SqRBM, max_bond: int) -> None:
    # Fails 3 times in 1000 each, a little more for the skewed weights of the smallest bond.
    network = AmplitudeMPS.fit(model, max_bond=max_bond, seed=1)
    log_z = logsumexp(model.log_weight(all_states(10)))
    ratios = np.exp(
        [network.importance(model, 200, seed=s).log_partition - log_z for s in range(200)]
    )
    error = ratios.std(ddof=1) / np.sqrt(ratios.size)
    assert abs(ratios.mean() - 1.0) < 3 * error
    # Negative control: as good as the network may be, <psi|psi> is not unbiased.
    if max_bond == 2:
        assert abs(np.exp(network.log_partition() - log_z) - 1.0) > 3 * error


def test_standard_error_is_the_spread_and_falls_with_the_root(model: SqRBM) -> None:
    network = AmplitudeMPS.fit(model, max_bond=8, seed=1)
    spread, stated = {}, {}
    for k in (200, 3200):
        runs = [network.importance(model, k, seed=s) for s in range(200)]
        spread[k] = np.std([run.log_partition for run in runs])
        stated[k] = np.mean([run.standard_error for run in runs])
        # The spread of 200 numbers has a standard error of 5 %; five of them.
        assert stated[k] == pytest.approx(spread[k], rel=0.25)
    assert spread[200] / spread[3200] == pytest.approx(4.0, rel=0.35)


def test_estimated_infidelity_is_the_true_one(model: SqRBM, truncated: AmplitudeMPS) -> None:
    value, error = truncated.infidelity(model, 20_000, seed=7)
    # Fails 1 time in 10,000.
    assert abs(value - exact_infidelity(truncated, model)) < 4 * error
    assert 0 < error < 0.1 * value


def test_arrays_and_files_hold_everything(truncated: AmplitudeMPS, tmp_path: Path) -> None:
    path = tmp_path / "network.h5"
    truncated.save(path)
    for other in (AmplitudeMPS.from_arrays(truncated.arrays()), AmplitudeMPS.load(path)):
        for name, array in truncated.arrays().items():
            np.testing.assert_array_equal(other.arrays()[name], array)
        v, log_q = truncated.sample(100, seed=1)
        again, log_again = other.sample(100, seed=1)
        np.testing.assert_array_equal(v, again)
        np.testing.assert_array_equal(log_q, log_again)
        np.testing.assert_array_equal(other.log_prob(v), truncated.log_prob(v))
        assert other.log_partition() == truncated.log_partition()
    with pytest.raises(FileExistsError):
        truncated.save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="damaged"):
        AmplitudeMPS.load(path)
    SqRBM.uniform(2, 2, "Z", seed=0).save(tmp_path / "model.h5")
    with pytest.raises(ArchiveError, match="but a saved model"):
        AmplitudeMPS.load(tmp_path / "model.h5")
    arrays = truncated.arrays()
    arrays["tensors/3"] = arrays["tensors/3"][:, :, :-1]
    with pytest.raises(ValueError, match="no amplitude network"):
        AmplitudeMPS.from_arrays(arrays)
    del arrays["tensors/3"]
    with pytest.raises(KeyError):
        AmplitudeMPS.from_arrays(arrays)


def test_a_seed_gives_the_same_network_on_any_number_of_threads() -> None:
    model = SqRBM.uniform(24, 10, "XYZ", scale=0.3, seed=2)
    before = get_num_threads()
    found = []
    try:
        for threads in (1, min(2, max_threads())):
            set_num_threads(threads)
            network = AmplitudeMPS.fit(model, max_bond=24, seed=3)
            found.append(network.arrays() | {"samples": network.sample(50, seed=4)[0]})
    finally:
        set_num_threads(before)
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name], found[1][name])
    other = AmplitudeMPS.fit(model, max_bond=24, seed=4).arrays()
    assert not np.array_equal(other["log_norm"], found[0]["log_norm"])


def test_impossible_arguments_are_named(model: SqRBM, truncated: AmplitudeMPS) -> None:
    fit = AmplitudeMPS.fit
    with pytest.raises(ValueError, match="max_bond must be at least 1"):
        fit(model, max_bond=0, seed=0)
    with pytest.raises(TypeError, match="max_bond must be a whole number"):
        fit(model, max_bond=2.5, seed=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="infidelity"):
        fit(model, infidelity=np.nan, seed=0)
    with pytest.raises(ValueError, match="rounds must be at least 0"):
        fit(model, rounds=-1, seed=0)
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 10\)"):
        fit(model, np.zeros((5, 9)), seed=0)
    with pytest.raises(ValueError, match="K >= 1"):
        fit(model, np.zeros((0, 10)), seed=0)
    with pytest.raises(ValueError, match="must be 0 or 1"):
        fit(model, np.full((5, 10), 2), seed=0)
    with pytest.raises(ValueError, match="order: 'best'"):
        fit(model, order="best", seed=0)
    with pytest.raises(ValueError, match="every unit"):
        fit(model, order=np.zeros(10, dtype=int), seed=0)
    wide = SqRBM.uniform(150, 10, "XYZ", scale=0.1, seed=0)
    with pytest.raises(MemoryError, match="smaller max_bond"):
        fit(wide, max_bond=10_000_000, seed=0)
    with pytest.raises(ValueError, match="10 visible units"):
        truncated.importance(wide, 10, seed=0)
    with pytest.raises(ValueError, match="cut must be"):
        truncated.schmidt_values(9)
    with pytest.raises(ValueError, match="samples must be at least"):
        truncated.sample(-1, seed=0)
