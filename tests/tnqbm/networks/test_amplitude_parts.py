"""Parts of the amplitude network: the table kernel, canonical forms, endings and their weights."""

from __future__ import annotations

import numpy as np
import pytest

from tests.twins import all_states
from tnqbm import SqRBM
from tnqbm.networks.amplitude.matrix_product import (
    SchmidtForm,
    draw_endings,
    ending_densities,
    ends,
    left_canonical,
    log_amplitudes,
    right_canonical,
    schmidt_form,
)
from tnqbm.networks.amplitude.skeleton import Amplitude, all_endings, distinct, sweep


@pytest.mark.parametrize("paulis", ["Z", "XZ", "XYZ"])
@pytest.mark.parametrize("m", [0, 1, 7, 130])
def test_table_is_half_the_log_weight(paulis: str, m: int) -> None:
    n, first, beta = 9, 4, 0.7
    model = SqRBM.uniform(n, m, paulis, scale=0.8, seed=m)
    rng = np.random.default_rng(1)
    order = rng.permutation(n)
    amplitude = Amplitude(model, order, beta)
    left, right = all_states(first), rng.integers(0, 2, (11, n - first), dtype=np.uint8)
    fields, sums = amplitude.b[None], np.zeros(1)
    for site in range(first):
        fields, sums = amplitude.extend(fields, sums, site)
    found = amplitude.table(fields, sums, *amplitude.part(right, first))
    v = np.empty((left.shape[0], right.shape[0], n), dtype=np.uint8)
    v[:, :, order[:first]] = left[:, None]
    v[:, :, order[first:]] = right[None]
    cold = SqRBM(beta * model.a, beta * model.b, beta * model.w, paulis)
    np.testing.assert_allclose(found, 0.5 * cold.log_weight(v), rtol=1e-12, atol=1e-12)


def test_table_without_fields_and_with_huge_ones() -> None:
    amplitude = Amplitude(SqRBM.uniform(2, 3, "XYZ", scale=0.0, seed=0), np.arange(2))
    nothing = np.zeros((1, 9))
    found = amplitude.table(nothing, np.zeros(1), nothing, np.zeros(1))
    assert found[0, 0] == pytest.approx(1.5 * np.log(2.0))
    huge = np.full((1, 9), 1e6)
    found = amplitude.table(huge, np.zeros(1), huge, np.zeros(1))
    assert found[0, 0] == pytest.approx(3 * np.sqrt(3.0) * 1e6)


def random_state(n: int, bond: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = [1, *[bond] * (n - 1), 1]
    return [rng.normal(size=(sizes[k], 2, sizes[k + 1])) for k in range(n)]


def dense(tensors: list[np.ndarray]) -> np.ndarray:
    found = np.ones((1, 1))
    for tensor in tensors:
        found = np.tensordot(found, tensor, axes=1).reshape(-1, tensor.shape[2])
    return found.reshape(-1)


def exact_form(n: int, bond: int, seed: int) -> tuple[np.ndarray, SchmidtForm]:
    tensors = left_canonical(random_state(n, bond, seed))
    return dense(tensors), schmidt_form(tensors, 1000, 0.0)


def test_canonical_forms_are_the_same_state() -> None:
    tensors = random_state(7, 5, seed=1)
    psi = dense(tensors)
    unit = psi / np.linalg.norm(psi)
    left = left_canonical(tensors)
    np.testing.assert_allclose(dense(left), unit, atol=1e-12)
    for tensor in left[:-1]:
        a = tensor.reshape(-1, tensor.shape[2])
        np.testing.assert_allclose(a.T @ a, np.eye(a.shape[1]), atol=1e-12)
    right, log_norm = right_canonical(tensors)
    assert log_norm == pytest.approx(np.log(np.linalg.norm(psi)))
    form = schmidt_form(left, 1000, 0.0)
    assert form.log_scale == pytest.approx(0.0, abs=1e-12)
    for found in (right, form.tensors):
        np.testing.assert_allclose(dense(found), unit, atol=1e-12)
        for tensor in found[1:]:
            a = tensor.reshape(tensor.shape[0], -1)
            np.testing.assert_allclose(a @ a.T, np.eye(a.shape[0]), atol=1e-12)
    log_size, sign = log_amplitudes(form.tensors, all_states(7))
    np.testing.assert_allclose(sign * np.exp(log_size), unit, atol=1e-12)


def test_truncation_keeps_what_was_asked_for() -> None:
    psi, form = exact_form(10, 20, seed=2)
    tensors = left_canonical(form.tensors)
    assert max(s.size for s in schmidt_form(tensors, 6, 0.0).schmidt) == 6
    for discard in (1e-2, 1e-1):
        cut = schmidt_form(tensors, 1000, discard)
        lost = 1.0 - np.exp(2.0 * cut.log_scale)
        assert 0 < lost < 9 * discard
        overlap = float(dense(cut.tensors) @ psi)
        # Projections from the right: what is left is the squared overlap.
        assert overlap**2 == pytest.approx(1.0 - lost, abs=1e-10)


def test_endings_have_the_densities_they_claim() -> None:
    _, form = exact_form(8, 6, seed=3)
    first, last, count = 3, 5, 40_000
    v = draw_endings(form, first, count, np.random.default_rng(1))
    log_densities = ending_densities(form, first, last, v)
    for k, log_density in enumerate(log_densities):
        part = v[:, k:]
        states = all_states(part.shape[1])
        # All weights 1 / (count density) of the draws of a state sum to about 1: to six standard
        # errors of the rarest of 32 states, which fails 1 time in 10^7.
        index = part.astype(np.int64) @ (1 << np.arange(part.shape[1])[::-1])
        weight = np.bincount(index, np.exp(-log_density) / count, minlength=len(states))
        seen = np.bincount(index, minlength=len(states))
        np.testing.assert_array_less(abs(weight - 1.0), 6 / np.sqrt(np.maximum(seen, 1)))
        density = np.zeros(len(states))
        density[index] = np.exp(log_density)
        assert density.sum() == pytest.approx(1.0, abs=1e-9)
    environments = ends([*form.tensors[first:]], v)
    s = form.schmidt[first - 1]
    mixture = 0.5 * (s**2 + 1.0 / s.size)
    expected = np.log((environments[0] ** 2) @ mixture)
    np.testing.assert_allclose(log_densities[0], expected, atol=1e-9)


def test_repeated_endings_are_counted() -> None:
    bits = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], dtype=np.uint8)
    found = distinct(bits, np.log([0.5, 2.0, 0.5, 0.5]))
    np.testing.assert_array_equal(found.bits, [[1, 0], [0, 1]])
    np.testing.assert_allclose(np.exp(found.log_weights), [np.sqrt(0.75) * 0.5, 0.5 * 2.0])
    assert not found.relative
    assert distinct(bits).relative


def test_a_sweep_over_all_endings_is_exact() -> None:
    model = SqRBM.uniform(8, 6, "XYZ", scale=1.0, seed=1)
    amplitude = Amplitude(model, np.arange(8))
    tensors, log_norm = sweep(amplitude, [all_endings(8 - k) for k in range(1, 8)], 1000, 0.0)
    psi = np.exp(0.5 * model.log_weight(all_states(8)) - log_norm)
    np.testing.assert_allclose(dense(tensors), psi, atol=1e-10)
    assert np.linalg.norm(psi) == pytest.approx(1.0)
