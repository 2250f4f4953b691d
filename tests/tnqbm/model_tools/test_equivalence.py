"""Are two models the same distribution: every verdict, by every way, with negative controls."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.stats import ortho_group

from tests.reductions import SUPPORTS, sparse
from tests.twins import all_states, enumerate_model
from tnqbm import Equivalence, PauliHamiltonian, SqRBM, equivalent
from tnqbm.core.connectivity import line
from tnqbm.core.metrics import kl_divergence, total_variation
from tnqbm.model_tools import gauge
from tnqbm.model_tools.hidden_units import add_hidden, lift, select_hidden
from tnqbm.model_tools.simplify import simplify


def disguised(model: SqRBM, paulis: str = "XYZ", seed: int = 0) -> SqRBM:
    """The same distribution: more Paulis, turned axes, other order, units without effect."""
    larger = add_hidden(lift(model, paulis), 2)
    b = larger.b.copy()
    b[:, -1] = 0.7
    larger = SqRBM(larger.a, b, larger.w, paulis, larger.mask)
    rng = np.random.default_rng(seed)
    turns = ortho_group.rvs(len(paulis), size=larger.n_hidden, random_state=rng)
    order = rng.permutation(larger.n_hidden).tolist()
    return select_hidden(gauge.rotate(larger, None, turns), order)


def moved(model: SqRBM, size: float, index: int = -1) -> SqRBM:
    """One parameter changed."""
    theta = model.to_vector()
    theta[index] += size
    n, m = model.n_visible, model.n_hidden
    return SqRBM.from_vector(theta, n, m, model.paulis, model.mask)


def check_numbers(one: SqRBM, two: SqRBM, found: Equivalence) -> None:
    """What the report says of all states, computed anew."""
    (z1, _, w1), (z2, _, w2) = enumerate_model(one), enumerate_model(two)
    difference = (w1 - z1) - (w2 - z2)
    p, q = np.exp(w1 - z1), np.exp(w2 - z2)
    assert found.at_least == found.at_most == pytest.approx(np.abs(difference).max(), abs=1e-12)
    assert found.tvd == pytest.approx(total_variation(p, q), abs=1e-14)
    assert found.kl == pytest.approx(kl_divergence(p, q), abs=1e-14)
    assert found.reverse_kl == pytest.approx(kl_divergence(q, p), abs=1e-14)
    assert found.log_ratio == pytest.approx(np.ptp(difference), abs=1e-12)


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
def test_same_parameters_in_disguise(paulis: str) -> None:
    model = SqRBM.uniform(5, 3, paulis, seed=1)
    other = disguised(model)
    found = equivalent(model, other)
    assert found
    assert found.verdict == "equal parameters"
    check_numbers(model, other, found)
    assert found.kl < 1e-25
    # The same without any states, and far beyond enumeration.
    alone = equivalent(other, model, method="parameters")
    assert alone.verdict == "equal parameters"
    assert alone.tvd is None
    wide = SqRBM.uniform(90, 12, paulis, scale=0.5, seed=1)
    found = equivalent(wide, disguised(wide))
    assert found.verdict == "equal parameters"
    assert found.at_most < 1e-10


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
def test_changes_are_seen(paulis: str, size: float) -> None:
    model = SqRBM.uniform(5, 3, paulis, seed=1)
    other = moved(disguised(model), size, index=7)
    found = equivalent(model, other)
    assert found.verdict == "different"
    assert not found
    check_numbers(model, other, found)
    assert found.at_least > found.tolerance
    wide = SqRBM.uniform(60, 8, paulis, scale=0.3, seed=1)
    found = equivalent(wide, moved(disguised(wide), size, index=3))
    assert found.verdict == "different"
    assert found.method == "states"
    assert found.at_least == pytest.approx(size, rel=1e-6)


def test_the_witness_is_a_proof() -> None:
    one = SqRBM.uniform(50, 6, "XYZ", scale=0.3, seed=1)
    two = moved(one, 1e-5)
    found = equivalent(one, two, seed=4)
    ratios = [float(np.subtract(*model.log_weight(found.witness))) for model in (one, two)]
    assert ratios[0] - ratios[1] == pytest.approx(found.log_ratio, abs=1e-11)
    assert found.log_ratio > 2 * found.tolerance
    again = equivalent(one, two, seed=4)
    assert np.array_equal(again.witness, found.witness)


def test_a_quantum_unit_of_rank_one_is_classical() -> None:
    classical = SqRBM.uniform(4, 1, "Z", seed=2)
    direction = np.array([0.48, -0.6, 0.64])
    quantum = SqRBM(
        classical.a,
        direction[:, None] * classical.b,
        direction[:, None, None] * classical.w,
        "XYZ",
    )
    assert equivalent(quantum, classical).verdict == "equal parameters"
    # Out of the line by 1e-4 in one coupling, it is so no longer.
    b, w = quantum.b.copy(), quantum.w.copy()
    w[0, 1, 0] += 1e-4
    assert equivalent(SqRBM(quantum.a, b, w, "XYZ"), classical).verdict == "different"


def test_equal_distributions_of_unlike_parameters() -> None:
    """Units on pairs of visible units, with the same couplings J made of unlike fields."""
    model = sparse(5, "XYZ", SUPPORTS)
    one = SqRBM.uniform(2, 1, "XYZ", seed=1)
    phi = np.linalg.norm(one.fields(all_states(2))[:, :, 0], axis=1)
    f = phi + np.log1p(np.exp(-2 * phi))
    j = 0.25 * np.array([1, -1, -1, 1]) @ f
    d, e = 0.25 * np.array([1, 1, -1, -1]) @ f, 0.25 * np.array([1, -1, 1, -1]) @ f
    x = 0.5 * np.arccosh(np.exp(2 * abs(j)))
    two = SqRBM(one.a - [d, e], [[0.0]], [[[x], [x * np.sign(j)]]], "Z")
    assert equivalent(one, two)
    assert equivalent(model, simplify(model, pairs="all").model).verdict == "equal parameters"
    # One visible unit needs no hidden ones.
    single = SqRBM.uniform(1, 3, "XZ", seed=3)
    up, down = single.log_weight(all_states(1))
    bare = SqRBM([-0.5 * (up - down)], np.zeros((1, 0)), np.zeros((1, 1, 0)), "Z")
    assert equivalent(single, bare).verdict == "equal parameters"


def test_equal_distributions_found_by_solving_for_them() -> None:
    """On three visible units two classical units can be one: no rule knows, all states do."""
    triple = SqRBM.uniform(3, 1, "Z", seed=5)
    pieces = _solved(triple)
    found = equivalent(triple, pieces)
    assert found.verdict == "equal distribution"
    assert found.method == "distribution"
    assert equivalent(triple, pieces, method="expansion").verdict == "equal distribution"
    assert equivalent(triple, pieces, method="parameters").verdict == "undecided"
    assert equivalent(triple, pieces, method="states").verdict == "undecided"


def _solved(model: SqRBM) -> SqRBM:
    """An RBM of two hidden units with the same distribution of three visible ones: 11 parameters
    for 7 coefficients of log p, by least squares."""
    states = all_states(3)
    wanted = model.log_weight(states)
    start = np.random.default_rng(0).normal(size=3 + 2 * 4)

    def rest(theta: np.ndarray) -> np.ndarray:
        other = SqRBM.from_vector(theta, 3, 2, "Z").log_weight(states) - wanted
        return other - other.mean()

    found = least_squares(rest, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=2000)
    assert np.abs(found.fun).max() < 1e-11
    return SqRBM.from_vector(found.x, 3, 2, "Z")


def test_expansion_decides_for_local_models_of_any_size() -> None:
    mask = line(70, 4)
    model = SqRBM.uniform(70, 67, "XYZ", scale=0.5, seed=1, mask=mask)
    for size, verdict in ((1e-12, "equal distribution"), (1e-6, "different")):
        found = equivalent(model, moved(model, size, index=5), method="expansion")
        assert found.verdict == verdict
        assert found.at_least == pytest.approx(size, rel=0.01)
    found = equivalent(model, moved(model, 1e-6, index=5))
    assert found.method == "expansion"
    assert len(found.reasons) == 2
    between = equivalent(model, moved(model, 0.8e-9, index=5), method="expansion")
    assert between.verdict == "undecided"
    with pytest.raises(ValueError, match="method='states'"):
        equivalent(*[SqRBM.uniform(40, 2, "Z", seed=k) for k in (0, 1)], method="expansion")


def test_expansion_agrees_with_all_states() -> None:
    one, two = SqRBM.uniform(5, 3, "XZ", seed=1), SqRBM.uniform(5, 2, "XYZ", seed=2)
    exact, bounds = equivalent(one, two), equivalent(one, two, method="expansion")
    assert exact.verdict == bounds.verdict == "different"
    assert bounds.at_least <= exact.at_least <= bounds.at_most


def test_samples_are_compared_too() -> None:
    """A difference that sits at one state of 2^40: only who is told where to look sees it."""
    n = 40
    one = SqRBM.uniform(n, 1, "Z", scale=0.1, seed=1)
    # A unit whose field changes its sign at all spins up alone: linear elsewhere, which a undoes.
    b, w = np.full((1, 1), -(n - 0.5) * 30.0), np.full((1, n, 1), 30.0)
    two = SqRBM(one.a - 30.0, np.hstack([one.b, b]), np.concatenate([one.w, w], axis=2), "Z")
    blind = equivalent(one, two, tolerance=1e-6)
    assert blind.verdict == "undecided"
    seen = equivalent(one, two, tolerance=1e-6, samples=np.zeros((1, n)))
    assert seen.verdict == "different"
    assert not seen.witness.all(axis=1).any()


def test_hamiltonians() -> None:
    model = SqRBM.uniform(3, 2, "XZ", seed=1)
    found = equivalent(model, PauliHamiltonian.from_sqrbm(disguised(model, seed=2)))
    assert found.verdict == "equal distribution"
    assert equivalent(moved(model, 1e-6), PauliHamiltonian.from_sqrbm(model)).verdict == "different"
    terms = {"ZZI": -1.0, "IZZ": -1.0, "XII": 0.5, "IXI": 0.5, "IIX": 0.5}
    chain = PauliHamiltonian(terms, 3)
    assert not chain.is_semi_quantum
    assert equivalent(chain, chain)
    assert equivalent(chain, model).verdict == "different"
    with pytest.raises(ValueError, match='method="distribution"'):
        equivalent(model, PauliHamiltonian.from_sqrbm(model), method="states")


def test_more_units_than_the_first_list_takes() -> None:
    """The compiled kernels above n = 12 give the same numbers."""
    model = SqRBM.uniform(13, 4, "XYZ", seed=1)
    found = equivalent(model, disguised(model))
    assert found.verdict == "equal parameters"
    assert found.at_least < 1e-11
    other = moved(model, 1e-6)
    found = equivalent(model, other)
    assert found.verdict == "different"
    check_numbers(model, other, found)


@pytest.mark.parametrize("scale", [1e3, 1e8])
def test_large_parameters_raise_the_tolerance_to_rounding(scale: float) -> None:
    model = SqRBM.uniform(5, 4, "XYZ", scale=scale, seed=1)
    found = equivalent(model, disguised(model))
    assert found.verdict == "equal parameters"
    assert (found.tolerance > 1e-9) == (scale > 1e4)
    assert equivalent(model, moved(disguised(model), 1e-5 * scale, 3)).verdict == "different"


def test_rounding_is_not_taken_for_equality() -> None:
    model = SqRBM.uniform(5, 4, "XYZ", scale=1e13, seed=1)
    found = equivalent(model, disguised(model))
    assert found.verdict == "undecided"
    assert "rounding hides" in str(found)
    assert equivalent(model, model).verdict == "equal parameters"
    assert equivalent(model, moved(model, 1e12)).verdict == "different"


def test_words_and_json() -> None:
    model = SqRBM.uniform(4, 2, "Z", seed=1)
    found = equivalent(model, moved(model, 0.1))
    assert str(found).startswith("different: over all 2^4 states")
    report = found.as_dict()
    assert report["equivalent"] is False
    assert len(report["witness"]) == 2
    assert equivalent(model, model, method="parameters").as_dict()["witness"] is None
    no_units = SqRBM(model.a, np.zeros((1, 0)), np.zeros((1, 4, 0)), "Z")
    assert equivalent(no_units, no_units).verdict == "equal parameters"


def test_arguments_are_checked() -> None:
    model = SqRBM.uniform(4, 2, "Z", seed=0)
    with pytest.raises(ValueError, match="4 and 5 visible"):
        equivalent(model, SqRBM.uniform(5, 2, "Z", seed=0))
    with pytest.raises(ValueError, match="method must be one of"):
        equivalent(model, model, method="look")
    with pytest.raises(ValueError, match="tolerance"):
        equivalent(model, model, tolerance=0.0)
    with pytest.raises(ValueError, match="n_states"):
        equivalent(model, model, n_states=1)
    wide = SqRBM.uniform(30, 2, "Z", seed=0)
    with pytest.raises(ValueError, match="too many to compare"):
        equivalent(wide, wide, method="distribution")
