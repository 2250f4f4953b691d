"""Parameters that are held fixed while the others are trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tnqbm
from tnqbm import datasets, hamiltonian
from tnqbm.core import connectivity
from tnqbm.training import SqRBMProblem
from tnqbm.training.inputs import uncoupled
from tnqbm.training.settings import TrainingSettings
from tnqbm.training.trainer import Trainer


def field_model(n: int, m: int, paulis: str = "XZ", couple: str = "Z", seed: int = 1):
    """A model whose other Paulis are fields only, and the flags that keep it so."""
    frozen = uncoupled(n, m, paulis, couple)
    theta = tnqbm.SqRBM.uniform(n, m, paulis, seed=seed).to_vector()
    return tnqbm.SqRBM.from_vector(np.where(frozen, 0.0, theta), n, m, paulis), frozen


def test_flags_name_the_couplings_of_the_other_paulis() -> None:
    flags = uncoupled(3, 2, "XYZ", "ZX")
    model = tnqbm.SqRBM.from_vector(np.where(flags, 0.0, 1.0), 3, 2, "XYZ")
    assert model.w.all(axis=(1, 2)).tolist() == [True, False, True]
    assert not model.w[1].any()
    assert model.a.all()
    assert model.b.all()
    assert not uncoupled(3, 2, "Z", "Z").any()


@pytest.mark.parametrize("seed", [1, 2])
def test_transverse_fields_agree_with_the_hamiltonian(seed: int) -> None:
    """The transverse-field Ising model without visible fields, trained by dense matrices."""
    n, m = 4, 2
    model, frozen = field_model(n, m, seed=seed)
    target = datasets.load("cardinality", n)
    fields = hamiltonian.tfim(
        n, m, visible_paulis="Z",
        parameters={
            "z": np.concatenate([model.a, model.b[1]]), "x": model.b[0], "w": model.w[1],
        },
    )  # fmt: skip
    how: dict[str, Any] = {"iterations": 40}
    one = tnqbm.train(model, target, frozen=frozen, **how)
    two = tnqbm.train(fields, target, **how)
    for name in ("kl", "tvd", "gradient_norm"):
        np.testing.assert_allclose(one.metric(name), two.metric(name), atol=1e-8)
    assert not one.model.w[0].any()
    free = tnqbm.train(model, target, **how)
    assert abs(free.kl[-1] - one.kl[-1]) > 1e-3  # what is frozen would have mattered


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "epsilon": 0.0},
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.3, "clip": 0.5},
        {"gradient": "pcd", "chains": 16, "weight_decay": 0.1},
        {"patience": 5, "records": 31},
        {"optimizer": "natural", "learning_rate": 0.5},
        {"optimizer": "em"},
    ],
)
def test_values_hold_to_the_bit(settings: dict[str, Any]) -> None:
    """Values other than zero, too, and a mask beside them."""
    n, m = 4, 3
    mask = connectivity.line(n, 2)
    start = tnqbm.SqRBM.uniform(n, m, "XZ", seed=2, mask=mask)
    frozen = np.zeros(start.n_visible + 2 * m * (n + 1), dtype=np.bool_)
    frozen[[0, n, n + 2 * m]] = True
    target = datasets.load("parity", n)
    run = tnqbm.train(start, target, iterations=30, frozen=frozen, **settings)
    before, after = start.to_vector(), run.model.to_vector()
    assert np.array_equal(before[frozen], after[frozen])
    assert (before != after)[~frozen & (before != 0)].all()
    assert not run.model.w[:, ~mask].any()


def test_checkpoints_of_a_training_with_frozen_parameters() -> None:
    model, frozen = field_model(4, 2)
    target = datasets.load("bas", 4)
    settings = TrainingSettings(iterations=20)

    def trainer() -> Trainer:
        return Trainer(SqRBMProblem([model, model], [target, target], frozen=frozen), settings)

    whole, first, second = trainer(), trainer(), trainer()
    whole.advance(30)
    first.advance(7)
    second.restore(first.state())
    second.advance(30)
    assert np.array_equal(whole.parameters, second.parameters)


def test_nothing_frozen_changes_nothing() -> None:
    model, target = tnqbm.SqRBM.uniform(4, 2, "XYZ", seed=1), datasets.load("bas", 4)
    none = np.zeros(model.n_parameters, dtype=np.bool_)
    one = tnqbm.train(model, target, iterations=10)
    two = tnqbm.train(model, target, iterations=10, frozen=none)
    assert np.array_equal(one.model.to_vector(), two.model.to_vector())


def test_impossible_flags() -> None:
    model, frozen = field_model(4, 2)
    target = datasets.load("bas", 4)
    with pytest.raises(TypeError, match="booleans"):
        tnqbm.train(model, target, iterations=1, frozen=frozen.astype(int))
    with pytest.raises(ValueError, match="one flag for each parameter"):
        tnqbm.train(model, target, iterations=1, frozen=frozen[1:])
    with pytest.raises(ValueError, match="centred"):
        tnqbm.train(model, target, iterations=1, frozen=frozen, centred=True)
