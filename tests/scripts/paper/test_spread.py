"""Variances of gradients over random parameters: values, errors, resumption, and the fit."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tnqbm
from tests.scripts.loading import load
from tnqbm import datasets, exact

SPREAD = load("paper").spread
Decay, SpreadSampler = SPREAD.Decay, SPREAD.SpreadSampler
decay, gradient_spread = SPREAD.decay, SPREAD.gradient_spread


def draws(n: int, m: int, paulis: str, samples: int, chunk: int, scale: float, seed: int):
    """The models that a sampler looks at, drawn again."""
    size = n + len(paulis) * m * (n + 1)
    for k in range(samples // chunk):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k,)))
        for theta in rng.uniform(-scale, scale, (chunk, size)):
            yield tnqbm.SqRBM.from_vector(theta, n, m, paulis)


@pytest.mark.parametrize(("paulis", "scale"), [("Z", 10.0), ("XZ", 0.5), ("XYZ", 10.0)])
def test_variances_are_those_of_exact_gradients(paulis: str, scale: float) -> None:
    target = datasets.load("cardinality", 4)
    samples, chunk = 24, 8
    found = gradient_spread(target, 2, paulis, samples=samples, chunk=chunk, scale=scale, seed=3)
    models = draws(4, 2, paulis, samples, chunk, scale, 3)
    rows = np.array([exact.gradient(model, target).to_vector() for model in models])
    np.testing.assert_allclose(found.mean.to_vector(), rows.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.variance.to_vector(), rows.var(axis=0, ddof=1), atol=1e-12)
    fourth = ((rows - rows.mean(axis=0)) ** 4).mean(axis=0)
    noise = fourth - rows.var(axis=0, ddof=1) ** 2 * (samples - 3) / (samples - 1)
    np.testing.assert_allclose(
        found.variance_error.to_vector(), np.sqrt(np.maximum(noise, 0) / samples), atol=1e-12
    )
    # The average over components of a kind: within chunks, then over them.
    within = rows.reshape(3, chunk, -1).var(axis=1, ddof=1)
    assert [(kind.kind, kind.pauli) for kind in found.kinds] == [
        ("a", ""), *(("b", p) for p in paulis), *(("w", p) for p in paulis),
    ]  # fmt: skip
    a = within[:, :4].mean(axis=1)
    assert found.kinds[0].variance == pytest.approx(a.mean(), abs=1e-12)
    assert found.kinds[0].error == pytest.approx(a.std(ddof=1) / math.sqrt(3), abs=1e-12)
    last = within[:, -8:].mean(axis=1)  # w of the last Pauli
    assert found.kinds[-1].variance == pytest.approx(last.mean(), abs=1e-12)


def test_a_stopped_calculation_goes_on_to_the_same_bits() -> None:
    target = datasets.load("parity", 6)

    def sampler() -> SpreadSampler:
        return SpreadSampler(target, 3, "XYZ", samples=60, chunk=20, seed=1)

    whole = sampler()
    for _ in range(3):
        whole.advance()
    first, second = sampler(), sampler()
    first.advance()
    with pytest.raises(RuntimeError, match="20 of 60 draws"):
        first.result()
    second.restore(first.state())
    assert second.done == 20
    while not second.finished:
        second.advance()
    for name, array in whole.state().items():
        assert np.array_equal(array, second.state()[name])
    other = SpreadSampler(target, 3, "XZ", samples=60, chunk=20, seed=1)
    with pytest.raises(ValueError, match="none of a model"):
        other.restore(first.state())


def test_paulis_play_the_same_part_and_visible_fields_stay_large() -> None:
    """X, Y and Z are exchangeable: differences within 5 standard errors (false alarm < 1e-5)."""
    target = datasets.load("parity", 8)
    found = gradient_spread(target, 2, "XYZ", samples=3000, chunk=250, seed=5)
    kinds = {(kind.kind, kind.pauli): kind for kind in found.kinds}
    for kind in "bw":
        for one, two in (("X", "Y"), ("X", "Z")):
            first, second = kinds[kind, one], kinds[kind, two]
            error = math.hypot(first.error, second.error)
            assert abs(first.variance - second.variance) < 5 * error
    # Every model is nearly one string, every string as likely: <s_i>_p is close to +-1.
    assert 0.85 < kinds["a", ""].variance <= 1.0


def test_a_barren_plateau_would_be_seen() -> None:
    n = [4, 6, 8, 10, 12]
    falling = decay(n, [2.0**-k for k in n])
    assert falling.rate == pytest.approx(math.log(2))
    assert falling.scatter == pytest.approx(0.0, abs=1e-12)
    assert falling.power_scatter > 0.1
    power = decay(n, [k**-1.5 for k in n])
    assert power.power == pytest.approx(1.5)
    assert power.power_scatter < 1e-12 < power.scatter
    rng = np.random.default_rng(0)
    flat = decay(n, 0.5 + 0.01 * rng.standard_normal(5))
    assert abs(flat.rate) < 5 * flat.rate_error + 1e-3
    assert isinstance(flat, Decay)
    for x, y in (([1, 2], [1, 2]), ([0, 1, 2], [1, 1, 1]), ([1, 2, 3], [1, 1, 0])):
        with pytest.raises(ValueError, match="at least 3 points"), np.errstate(divide="ignore"):
            decay(x, y)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 30, "chunk": 20}, "two chunks"),
        ({"samples": 50, "chunk": 20}, "multiple of the chunk"),
        ({"chunk": 3}, "chunk must be"),
        ({"scale": 0.0}, "scale must be"),
        ({"scale": math.nan}, "scale must be"),
        ({"n_hidden": 0}, "n_hidden must be"),
        ({"paulis": "XQ"}, "paulis"),
    ],
)
def test_impossible_arguments(changes: dict[str, object], message: str) -> None:
    arguments = {"n_hidden": 1, "paulis": "Z", "samples": 40, "chunk": 20, **changes}
    with pytest.raises(ValueError, match=message):
        gradient_spread(datasets.load("parity", 4), **arguments)


def test_the_command_prints_standard_deviations(capsys: pytest.CaptureFixture[str]) -> None:
    SPREAD.main(["parity", "-n", "4", "-m", "4", "--samples", "2000", "--scale", "1"])
    line = capsys.readouterr().out  # the numbers of docs/results.md
    assert line.split("  ")[:2] == ["a: 0.60", "bX: 0.29"]
