"""How good fitted networks are: rates, first endings from samples or none, orders of the units."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

from tests.tnqbm.networks.test_amplitude import exact_infidelity, exact_psi
from tests.twins import all_states
from tnqbm import SqRBM, exact
from tnqbm.core.states import states_of
from tnqbm.networks import AmplitudeMPS
from tnqbm.networks.amplitude.ordering import cut_weights, visible_couplings, visible_order


def best_infidelity(model: SqRBM, order: np.ndarray, bond: int) -> float:
    """What truncation of the dense state at every cut discards: near the least possible."""
    n = model.n_visible
    psi = exact_psi(model).reshape((2,) * n).transpose(order)
    lost = 0.0
    for cut in range(1, n):
        s = np.linalg.svd(psi.reshape(2**cut, -1), compute_uv=False)
        lost += float(np.sum(s[bond:] ** 2))
    return lost


def test_infidelity_falls_with_the_bond_as_the_best_one_does() -> None:
    model = SqRBM.uniform(14, 14, "XYZ", scale=0.4, seed=1)
    found = {}
    for bond in (4, 8, 16, 32):
        network = AmplitudeMPS.fit(model, max_bond=bond, infidelity=0.0, seed=1)
        found[bond] = exact_infidelity(network, model)
        assert found[bond] < 2.0 * best_infidelity(model, network.order, bond)
    for bond in (4, 8, 16):
        assert found[2 * bond] < 0.5 * found[bond]


def test_bonds_are_as_small_as_the_infidelity_permits() -> None:
    model = SqRBM.uniform(14, 10, "XYZ", scale=0.3, seed=3)
    bonds = []
    for target in (1e-2, 1e-4, 1e-6):
        network = AmplitudeMPS.fit(model, infidelity=target, seed=1)
        assert exact_infidelity(network, model) < target
        bonds.append(network.max_bond)
    assert bonds[0] < bonds[1] < bonds[2] < 128


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 3.0])
def test_without_samples_all_modes_are_found(scale: float) -> None:
    # Without fields, v and its complement have the same weight: two modes at the least.
    full = SqRBM.uniform(18, 12, "XYZ", scale=scale, seed=7)
    model = SqRBM(np.zeros(18), np.zeros((3, 12)), full.w, "XYZ")
    network = AmplitudeMPS.fit(model, max_bond=48, seed=1)
    found = network.importance(model, 4000, seed=2)
    assert found.ess > 0.8 * 4000
    # Fails 1 time in 10,000.
    log_z = exact.log_partition(model)
    assert abs(found.log_partition - log_z) < 4 * found.standard_error + 1e-9
    spins = 1.0 - 2.0 * found.states
    assert abs(np.average(spins, axis=0, weights=np.exp(found.log_weights - log_z))).max() < 0.1


def test_samples_of_the_model_serve_as_first_endings() -> None:
    model = SqRBM.uniform(16, 12, "XYZ", scale=0.5, seed=5)
    log_p = model.log_weight(all_states(16))
    p = np.exp(log_p - logsumexp(log_p))
    rng = np.random.default_rng(1)
    samples = states_of(rng.choice(p.size, 600, p=p), 16)
    first = AmplitudeMPS.fit(model, samples, max_bond=24, rounds=0, seed=1)
    again = AmplitudeMPS.fit(model, samples, max_bond=24, rounds=1, seed=1)
    alone = AmplitudeMPS.fit(model, max_bond=24, seed=1)
    assert first.report is not None
    assert again.report is not None
    assert (first.report.source, first.report.rounds) == ("samples", 0)
    assert (again.report.source, again.report.rounds) == ("samples", 1)
    best = best_infidelity(model, first.order, 24)
    assert exact_infidelity(first, model) < 4 * best
    assert exact_infidelity(again, model) < 2.5 * best
    assert exact_infidelity(alone, model) < 2.5 * best
    # States may be few, and equal.
    few = AmplitudeMPS.fit(model, samples[:1], max_bond=24, rounds=2, seed=1)
    assert few.importance(model, 1000, seed=1).ess > 500


def test_report_agrees_with_a_fresh_estimate() -> None:
    model = SqRBM.uniform(20, 20, "XZ", scale=0.3, seed=5)
    network = AmplitudeMPS.fit(model, max_bond=16, seed=1)
    value, error = network.infidelity(model, 20_000, seed=9)
    report = network.report
    assert report is not None
    assert report.source == "annealing"
    # The report is the better one of two rounds: a little favourable, and fails 1 in 1000.
    assert abs(report.infidelity - value) < 3.5 * np.hypot(report.infidelity_error, error)
    assert report.seconds > 0


def scrambled_line(n: int, seed: int) -> SqRBM:
    """Hidden qubits on windows of four along a line whose units are in random order."""
    rng = np.random.default_rng(seed)
    w = np.zeros((3, n, n - 3))
    for j in range(n - 3):
        w[:, j : j + 4, j] = rng.uniform(-1, 1, (3, 4))
    place = rng.permutation(n)
    b = rng.uniform(-0.5, 0.5, (3, n - 3))
    return SqRBM(rng.uniform(-0.5, 0.5, n), b, w[:, place], "XYZ")


def test_a_scrambled_line_is_found_again() -> None:
    model = scrambled_line(32, seed=1)
    found = {
        order: AmplitudeMPS.fit(model, max_bond=16, order=order, seed=1)
        for order in ("auto", "natural")
    }
    lost = {order: network.infidelity(model, seed=1)[0] for order, network in found.items()}
    assert lost["auto"] < 1e-3
    assert lost["natural"] > 100 * lost["auto"]
    assert sorted(found["auto"].order.tolist()) == list(range(32))


def test_an_order_pays_for_dense_models_too() -> None:
    natural = np.arange(14)
    gains = []
    for seed in range(4):
        model = SqRBM.uniform(14, 14, "XYZ", scale=0.5, seed=seed)
        order = visible_order(model)
        gains.append(best_infidelity(model, natural, 16) / best_infidelity(model, order, 16))
    assert np.exp(np.mean(np.log(gains))) > 1.5


def test_order_is_the_best_of_small_models_and_its_costs_are_cuts() -> None:
    for seed in range(3):
        model = SqRBM.uniform(6, 5, "XYZ", seed=seed)
        c = visible_couplings(model)

        def cost(order: tuple[int, ...], c: np.ndarray = c) -> float:
            d = c[np.ix_(order, order)]
            return sum(float(d[:k, k:].sum() ** 2) for k in range(1, 6))

        best = min(cost(order) for order in itertools.permutations(range(6)))
        order = visible_order(model)
        assert cost(tuple(order)) == pytest.approx(np.sum(cut_weights(c, order) ** 2))
        assert cost(tuple(order)) < 1.05 * best


def test_orders_of_models_without_couplings_or_in_parts() -> None:
    free = SqRBM(np.ones(5), np.zeros((2, 3)), np.zeros((2, 5, 3)), "XZ")
    np.testing.assert_array_equal(visible_order(free), np.arange(5))
    # Two parts, their units alternating: each part stays together.
    w = np.zeros((1, 8, 2))
    w[0, ::2, 0] = w[0, 1::2, 1] = 1.0
    parts = SqRBM(np.zeros(8), np.zeros((1, 2)), w, "Z")
    assert np.abs(np.diff(visible_order(parts) % 2)).sum() == 1
