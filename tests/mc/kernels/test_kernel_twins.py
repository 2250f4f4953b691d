"""Kernels against their NumPy twins, which use the same random numbers: equal states, bit by bit.

Kernel and twin round differently, so that a random number within 1e-13 or so of its threshold could
part them; with the fixed seeds below none is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mc.kernels import KERNELS, Sweeper, check_kernel, is_exact
from tests import mc_twins as twins
from tnqbm import SqRBM
from tnqbm.core.shape import Shape

PROCESSORS = {
    "collapsed": 3, "measured": 1, "bloch": 2, "thermal": 3, "thermal-uncorrected": 2, "block": 1,
    "pauli": 2, "pauli-exact": 3,
}  # fmt: skip
"""For how many Paulis kernels are compiled for other processors: all share their vectors."""

CASES = [
    pytest.param(k, p, marks=[pytest.mark.processors] if PROCESSORS[k] == p else [])
    for k in KERNELS
    for p in (1, 2, 3)
    if k != "block" or p == 1
]
KEY = 0xFEDCBA9876543210
COUNTED = ("collapsed", "measured", "pauli", "pauli-exact", "block", "thermal-uncorrected")


def model_of(n: int, m: int, p: int, seed: int, scale: float = 0.5) -> SqRBM:
    return SqRBM.uniform(n, m, twins.LETTERS[p], scale=scale, seed=seed)


def starts(chains: int, n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (chains, n), dtype=np.uint8)


def compare(
    kernel: str,
    model: SqRBM,
    v: np.ndarray,
    *,
    clock: int = 5,
    steps: int = 4,
    first_chain: int = 0,
    free: np.ndarray | None = None,
    inertia: float = 0.0,
    basis: int = -1,
    key: int = KEY,
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel against twin; states after the sweeps and the kernel's rates."""
    measures = "pauli" in kernel
    sweeper = Sweeper(
        model.shape, kernel, free=free, inertia=inertia, basis=basis if measures else None
    )
    found = v[None].copy()
    rates = sweeper.sweep(
        model.to_vector()[None], found, np.array([key], np.uint64), clock, steps, first_chain
    )
    expected, each = v, []
    for step in range(steps):
        expected, rate = twins.sweep(
            kernel, model, expected, key, clock + step,
            first_chain=first_chain, free=free, inertia=inertia, basis=basis,
        )  # fmt: skip
        each.append(rate)
    np.testing.assert_array_equal(found[0], expected)
    # The block kernel counts the changes of the last sweep only.
    wanted = each[-1] if kernel == "block" else np.mean(each, axis=0)
    np.testing.assert_allclose(rates[0], wanted, rtol=0, atol=1e-12)
    return found[0], rates[0]


@pytest.mark.parametrize(("kernel", "p"), CASES)
@pytest.mark.parametrize(
    ("n", "m", "chains"),
    [(1, 1, 1), (3, 0, 9), (5, 4, 8), (9, 11, 13), (33, 37, 21), (70, 20, 130)],
)
def test_states_equal_those_of_the_twin(kernel: str, p: int, n: int, m: int, chains: int) -> None:
    scale = 1.0 / np.sqrt(max(n, m, 1))
    if kernel == "pauli-exact" and n > 20:
        pytest.skip("a sum over 2**n states; test_pauli.py has sparse models of many units")
    v = starts(chains, n)
    end, rates = compare(kernel, model_of(n, m, p, n, scale), v)
    if chains > 8:
        assert (end != v).any()
        assert rates.mean() > 0.05  # or the comparison would say little


@pytest.mark.parametrize(("kernel", "p"), CASES)
def test_many_sweeps_from_afar_in_time_and_chains(kernel: str, p: int) -> None:
    compare(
        kernel, model_of(6, 5, p, 3), starts(19, 6), clock=(7 << 32) - 3, steps=25,
        first_chain=1_000_003,
    )  # fmt: skip


@pytest.mark.parametrize(("kernel", "p"), CASES)
def test_large_weights(kernel: str, p: int) -> None:
    compare(kernel, model_of(6, 5, p, 4, scale=8.0), starts(50, 6), steps=10)


@pytest.mark.parametrize(("kernel", "p"), CASES)
@pytest.mark.parametrize("fixed", [[0], [2, 3, 4, 8], [0, 1, 2, 3, 4, 5, 6, 7]])
def test_clamped_units_stay_and_the_others_move(kernel: str, p: int, fixed: list[int]) -> None:
    free = np.ones(9, dtype=bool)
    free[fixed] = False
    v = starts(21, 9)
    end, _ = compare(kernel, model_of(9, 6, p, 7, 0.3), v, free=free, steps=6)
    np.testing.assert_array_equal(end[:, fixed], v[:, fixed])
    assert (end[:, free] != v[:, free]).any(axis=0).all()


@pytest.mark.parametrize("p", [1, 2, 3])
def test_inertia_of_the_thermal_kernel(p: int) -> None:
    model, v = model_of(12, 6, p, 2, 0.4), starts(40, 12)
    rates = {
        kappa: compare("thermal", model, v, inertia=kappa, steps=20)[1].mean()
        for kappa in (0.0, 0.7, 3.0)
    }
    assert rates[3.0] > rates[0.0]  # small steps are accepted


@pytest.mark.parametrize("kernel", ["collapsed", "thermal", "block"])
def test_a_model_without_parameters(kernel: str) -> None:
    p = 1 if kernel == "block" else 3
    nothing = SqRBM.from_vector(np.zeros(6 + p * 3 * 7), 6, 3, twins.LETTERS[p])
    compare(kernel, nothing, starts(20, 6))


@pytest.mark.parametrize(("kernel", "p"), CASES)
def test_single_precision_differs_by_rounding_only(kernel: str, p: int) -> None:
    """Numbers of 23 bits, arithmetic to 1e-7: of 1800 bits hardly one may come out otherwise."""
    model, v = model_of(18, 12, p, 6, 0.3), starts(100, 18)
    found = v[None].copy()
    sweeper = Sweeper(Shape(18, 12, p), kernel, precision="single")
    sweeper.sweep(model.to_vector()[None], found, np.array([KEY], np.uint64), 2, 1, 7)
    expected, _ = twins.sweep(kernel, model, v, KEY, 2, first_chain=7, precision="single")
    assert (found[0] != expected).any(axis=1).sum() <= 1
    assert (expected != v).mean() > 0.1


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize(("kernel", "p"), CASES)
def test_hidden_fields_of_length_zero_leave_bits_to_their_own_fields(
    kernel: str, p: int, precision: str
) -> None:
    """Without couplings and hidden fields, bits are independent with P(1) = 1/(1 + exp(-2a)).

    Frequencies of 5 bits in 4000 chains, 5 standard errors each: false alarm 3e-6 a case.
    """
    a = np.array([-0.6, 0.0, 0.3, 1.0, 0.1])
    theta = np.concatenate([a, np.zeros(p * 3 * 6)])[None]
    states = np.zeros((1, 4000, 5), dtype=np.uint8)
    sweeper = Sweeper(Shape(5, 3, p), kernel, precision=precision)
    sweeper.sweep(theta, states, np.array([3], np.uint64), 0, 8)
    wanted = 1.0 / (1.0 + np.exp(-2.0 * a))
    z = (states[0].mean(axis=0) - wanted) / np.sqrt(wanted * (1 - wanted) / 4000)
    assert np.abs(z).max() < 5


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (4, 0), (7, 130), (20, 9)])
@pytest.mark.parametrize("p", [1, 2, pytest.param(3, marks=pytest.mark.processors)])
def test_log_weights(precision: str, n: int, m: int, p: int) -> None:
    models = [model_of(n, m, p, seed, 1.0) for seed in range(3)]
    states = np.stack([starts(13, n, seed) for seed in range(3)])
    theta = np.stack([model.to_vector() for model in models])
    found = Sweeper(Shape(n, m, p), "collapsed", precision=precision).log_weights(theta, states)
    expected = np.stack([x.log_weight(v) for x, v in zip(models, states, strict=True)])
    tolerance = 1e-13 if precision == "double" else 1e-5
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * max(m, 1))


def test_log_weights_of_enormous_models_do_not_overflow() -> None:
    for precision, scale in (("double", 1e100), ("single", 1e15)):
        model = model_of(5, 70, 3, 1, scale)
        v = starts(9, 5)
        sweeper = Sweeper(Shape(5, 70, 3), "collapsed", precision=precision)
        found = sweeper.log_weights(model.to_vector()[None], v[None])[0]
        np.testing.assert_allclose(found, model.log_weight(v), rtol=1e-4, atol=0)


# --- what is refused -----------------------------------------------------------------------------


def test_kernel_names() -> None:
    for kernel, p in (case.values for case in CASES):
        check_kernel(kernel, p)
        assert is_exact(kernel, p) == (kernel != "thermal-uncorrected" or p == 1)
    with pytest.raises(ValueError, match="'gibbs' is not one of"):
        check_kernel("gibbs", 1)
    for p in (2, 3):
        with pytest.raises(ValueError, match="two-block sampler of models with one Pauli"):
            Sweeper(Shape(4, 2, p), "block")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "half"}, "precision"),
        ({"inertia": -1.0}, "inertia"),
        ({"inertia": np.nan}, "inertia"),
        ({"free": np.ones(3, dtype=bool)}, "4 truth values"),
        ({"free": np.array([0, 1, 2, 3])}, "4 truth values"),
        ({"free": np.zeros(4, dtype=bool)}, "nothing is left to sample"),
    ],
)
def test_impossible_sweepers(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sweeper(Shape(4, 2, 2), "collapsed", **options)


@pytest.mark.parametrize(
    ("theta", "states", "message"),
    [
        (np.zeros((1, 23)), np.zeros((1, 3, 4), np.uint8), r"theta must have shape \(B, 24\)"),
        (np.zeros((1, 24)), np.zeros((2, 3, 4), np.uint8), "states must be"),
        (np.zeros((1, 24)), np.zeros((1, 3, 5), np.uint8), "states must be"),
        (np.zeros((1, 24)), np.zeros((1, 3, 4), np.int64), "states must be"),
        (np.zeros((1, 24)), np.zeros((1, 4, 3), np.uint8).swapaxes(1, 2), "states must be"),
    ],
)
def test_arrays_that_do_not_fit(theta: np.ndarray, states: np.ndarray, message: str) -> None:
    sweeper = Sweeper(Shape(4, 2, 2), "collapsed")
    with pytest.raises(ValueError, match=message):
        sweeper.sweep(theta, states, np.zeros(1, np.uint64), 0, 1)


@pytest.mark.parametrize("value", [1e16, np.inf, np.nan])
def test_parameters_beyond_single_precision(value: float) -> None:
    theta = np.zeros((1, 24))
    theta[0, 3] = value
    sweeper = Sweeper(Shape(4, 2, 2), "collapsed", precision="single")
    with pytest.raises(ValueError, match="use precision = 'double'"):
        sweeper.log_weights(theta, np.zeros((1, 3, 4), np.uint8))
