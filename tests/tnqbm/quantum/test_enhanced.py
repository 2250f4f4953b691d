"""Quantum-enhanced chains against enumeration, with and without noise.

Chi-squared tests use fixed seeds, independent chains, and a threshold of 1e-4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qiskit")

from qiskit.primitives import (
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveResult,
    SamplerPubResult,
    StatevectorSampler,
)
from scipy import stats

from tnqbm import SqRBM
from tnqbm.core.states import index_of
from tnqbm.exact import probabilities
from tnqbm.quantum import Device, EnhancedChain, expand_surrogate, open_device, proposal_matrix

MODEL = SqRBM.uniform(3, 2, "XYZ", scale=0.8, seed=2)


class Done:
    def __init__(self, result: Any) -> None:
        self._result = result

    def result(self) -> Any:
        return self._result


class Noisy(BaseSamplerV2):
    """A noiseless sampler whose outcomes are all lost with some probability: replaced by uniform
    ones (global depolarising noise, symmetric), or by zeros (relaxation, not symmetric)."""

    def __init__(self, share: float, kind: str, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._inner = StatevectorSampler(seed=self._rng)
        self._share, self._kind = share, kind

    def run(self, pubs: Iterable[Any], *, shots: int | None = None) -> Any:
        out = []
        for one in self._inner.run(pubs, shots=shots).result():
            bits = one.data.visible.to_bool_array()
            other = self._rng.random(bits.shape) < (0.5 if self._kind == "depolarising" else 0.0)
            lost = self._rng.random((*bits.shape[:-1], 1)) < self._share
            noisy = BitArray.from_bool_array(np.where(lost, other, bits))
            out.append(SamplerPubResult(DataBin(visible=noisy, shape=noisy.shape)))
        return Done(PrimitiveResult(out))


def final_states(device: Device, chains: int, moves: int, seed: int) -> np.ndarray:
    """Where independent chains are after some moves from one and the same state."""
    states = np.zeros((chains, 3), dtype=np.uint8)
    chain = EnhancedChain(device, time=(1.0, 2.0))
    for key in np.random.SeedSequence(seed).spawn(moves):
        states = chain.move(MODEL, states, seed=key).states
    return np.bincount(index_of(states), minlength=8)


def p_value(counts: np.ndarray) -> float:
    expected = probabilities(MODEL) * counts.sum()
    return float(stats.chisquare(counts, expected).pvalue)


def test_chains_sample_the_model() -> None:
    counts = final_states(open_device("statevector"), 4000, 40, 1)
    assert p_value(counts) > 1e-4
    # A negative control: the test sees chains that have not arrived.
    assert p_value(final_states(open_device("statevector"), 4000, 1, 1)) < 1e-6


def test_depolarising_noise_slows_chains_and_does_not_bias_them() -> None:
    noisy = Device.of(Noisy(0.5, "depolarising", 3))
    assert p_value(final_states(noisy, 200, 10, 2)) > 1e-4


def stationary(proposal: np.ndarray) -> np.ndarray:
    """Stationary distribution of Metropolis moves with these proposals, [from, to]."""
    p = probabilities(MODEL)
    accept = np.minimum(1.0, p[None, :] / p[:, None])
    moves = proposal * accept
    moves += np.diag(1.0 - moves.sum(axis=1))
    return np.asarray(np.linalg.matrix_power(moves, 2000)[0])


def test_which_noise_biases() -> None:
    p = probabilities(MODEL)
    ideal = proposal_matrix(expand_surrogate(MODEL), time=3.0, gamma=0.4, trotter_steps=2)
    np.testing.assert_allclose(ideal, ideal.T, atol=1e-12)
    np.testing.assert_allclose(stationary(ideal), p, atol=1e-9)
    np.testing.assert_allclose(stationary(0.4 * ideal + 0.6 / 8), p, atol=1e-9)
    one = np.array([[0.9, 0.1], [0.1, 0.9]])
    readout = np.kron(np.kron(one, one), one)
    relaxed = np.zeros((8, 8))
    relaxed[:, 0] = 1.0
    # Readout errors bias, and no longer if the prepared bits suffer the same ones.
    assert np.abs(stationary(ideal @ readout) - p).sum() > 1e-3
    np.testing.assert_allclose(stationary(readout @ ideal @ readout), p, atol=1e-9)
    assert np.abs(stationary(0.7 * ideal + 0.3 * relaxed) - p).sum() > 0.05


def test_moves_are_a_function_of_the_seed() -> None:
    chain = EnhancedChain(open_device("statevector"))
    states = np.zeros((10, 3), dtype=np.uint8)
    one, two, three = (
        chain.move(MODEL, states, seed=np.random.SeedSequence(k)).states for k in (4, 4, 5)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != three).any()


def test_wrong_arguments_are_refused() -> None:
    device = open_device("statevector")
    with pytest.raises(ValueError, match="time"):
        EnhancedChain(device, time=(3.0, 1.0))
    with pytest.raises(ValueError, match="gamma"):
        EnhancedChain(device, gamma=(0.2, 1.2))
    with pytest.raises(ValueError, match="time_step"):
        EnhancedChain(device, time_step=0.0)
    with pytest.raises(ValueError, match="chains"):
        EnhancedChain(device).move(MODEL, np.zeros(3, np.uint8), seed=np.random.SeedSequence(1))
