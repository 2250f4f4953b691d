"""The transitions without noise of scripts/benchmarks/quantum_cd.py."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest

from mc.kernels import Sweeper, basis_number
from tests.mc_twins import chi_squared
from tests.scripts.loading import SCRIPTS
from tnqbm import SqRBM, datasets

PATH = SCRIPTS / "benchmarks" / "quantum_cd.py"
SPEC = spec_from_file_location("quantum_cd", PATH)
script = module_from_spec(SPEC)
SPEC.loader.exec_module(script)
CELLS = [
    ("collapsed", None), ("measured", None), ("pauli", "Z"), ("pauli", "each"),
    ("pauli-exact", "random"), ("pauli-exact", "X"),
]  # fmt: skip


@pytest.mark.parametrize(("kernel", "basis"), CELLS)
@pytest.mark.parametrize("scale", [0.8, 30.0])
def test_transitions_keep_the_models_distribution(
    kernel: str, basis: str | None, scale: float
) -> None:
    model = SqRBM.uniform(4, 2, "XZ", scale=scale, seed=1)
    p = script.weights(model)
    step = script.stepper(model, kernel, basis)
    np.testing.assert_allclose(step(p), p, atol=1e-12)
    start = np.eye(16)[5]
    assert step(start).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("kernel", "basis"), CELLS)
def test_transitions_are_those_of_the_kernels(kernel: str, basis: str | None) -> None:
    model = SqRBM.uniform(4, 2, "XZ", scale=0.8, seed=1)
    states = np.tile(np.array([0, 1, 0, 1], np.uint8), (40_000, 1))[None].copy()
    sweeper = Sweeper(model.shape, kernel, basis=basis_number(kernel, basis, "XZ"))
    sweeper.sweep(model.to_vector()[None], states, np.array([3], np.uint64), 0, 1)
    assert chi_squared(states[0], script.stepper(model, kernel, basis)(np.eye(16)[5])) > 1e-5


def test_errors_fall_with_k() -> None:
    model = SqRBM.uniform(4, 2, "XZ", scale=0.8, seed=1)
    found = script.biases(model, datasets.load("bas", 4), "pauli-exact", "each")
    assert found.shape == (len(script.STEPS), 2)
    assert (np.diff(found[:4, 0]) < 0).all()
    assert found[-1, 0] < 1e-9
    assert found[-1, 1] == pytest.approx(1.0)
