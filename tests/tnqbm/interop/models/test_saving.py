"""SqRBMs as files for other programs: the same distribution there, and the same model back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tnqbm.interop.models.test_loading import agrees, all_states, free_energy, summed
from tnqbm import SqRBM
from tnqbm.interop import load_model, save_model, to_arrays
from tnqbm.model_tools.hidden_units import lift

MODEL = SqRBM.uniform(5, 3, "Z", scale=1.5, seed=7)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(0, 4), st.integers(0, 10**6), st.sampled_from([0.1, 1, 30]))
def test_arrays_have_the_distribution_of_the_model(n: int, m: int, seed: int, scale: float) -> None:
    model = SqRBM.uniform(n, m, "Z", scale=scale, seed=seed)
    weights = model.log_weight(all_states(n))
    tolerance = 1e-12 * max(100.0, float(np.abs(model.to_vector()).sum()))
    for units, low in (("bits", 0), ("spins", -1)):
        w, a, b, constant = to_arrays(model, units=units)
        assert np.abs(summed(w, a, b, low) - constant - weights).max() < tolerance
        again = load_model((w, a, b), units=units)
        assert again.constant == constant
        assert np.abs(again.model.to_vector() - model.to_vector()).max() < tolerance


@pytest.mark.parametrize("rows", ["visible", "hidden"])
@pytest.mark.parametrize(("units", "low"), [("bits", 0), ("spins", -1)])
def test_npz_says_what_it_holds(tmp_path: Path, units: str, low: int, rows: str) -> None:
    square = SqRBM.uniform(4, 4, "Z", seed=1)
    for model in (MODEL, square):
        path = tmp_path / f"{model.n_visible}.npz"
        saved = save_model(model, path, units=units, rows=rows)
        with np.load(path, allow_pickle=False) as file:
            assert sorted(file.files) == ["W", "constant", "h_bias", "rows", "units", "v_bias"]
            w = file["W"] if rows == "visible" else file["W"].T
            expected = summed(w, file["v_bias"], file["h_bias"], low)
            assert (str(file["units"]), str(file["rows"])) == (units, rows)
            assert float(file["constant"]) == saved.constant
        states = all_states(model.n_visible)
        assert np.abs(expected - saved.constant - model.log_weight(states)).max() < 1e-12
        found = load_model(path)
        agrees(found, expected)
        assert np.abs(found.model.to_vector() - model.to_vector()).max() < 1e-14


def test_state_dicts_load_into_modules(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Module(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(3, 5, dtype=torch.float64))
            self.v_bias = torch.nn.Parameter(torch.zeros(5, dtype=torch.float64))
            self.h_bias = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))

    saved = save_model(MODEL, tmp_path / "rbm.pt", rows="hidden", names={"w": "weight"})
    module = Module()
    module.load_state_dict(torch.load(tmp_path / "rbm.pt", weights_only=True))
    with torch.no_grad():
        energy = free_energy(torch, module.weight, module.v_bias, module.h_bias)
    assert np.abs(-energy - saved.constant - MODEL.log_weight(all_states(5))).max() < 1e-12
    again = load_model(module)
    assert np.abs(again.model.to_vector() - MODEL.to_vector()).max() < 1e-14


def test_sklearn_takes_the_arrays() -> None:
    network = pytest.importorskip("sklearn.neural_network")
    w, a, b, constant = to_arrays(MODEL, rows="hidden")
    rbm = network.BernoulliRBM(n_components=3)
    rbm.components_, rbm.intercept_visible_, rbm.intercept_hidden_ = w, a, b
    states = all_states(5).astype(float)
    assert np.abs(-rbm._free_energy(states) - constant - MODEL.log_weight(states)).max() < 1e-12


@pytest.mark.parametrize("paulis", ["XYZ", "XZ", "X"])
def test_other_pauli_sets_are_refused(tmp_path: Path, paulis: str) -> None:
    model = SqRBM.uniform(4, 2, paulis, seed=1)
    with pytest.raises(ValueError, match=f"only models with the Pauli set 'Z'.*{paulis!r}"):
        save_model(model, tmp_path / "rbm.npz")
    assert not list(tmp_path.iterdir())


def test_the_cure_of_the_refusal_works() -> None:
    from tnqbm.model_tools.hidden_units import lower

    for model in (lift(MODEL, "XYZ"), SqRBM(MODEL.a, MODEL.b, MODEL.w, "X")):
        w, a, b, constant = to_arrays(lower(model, "Z"))
        weights = summed(w, a, b, 0) - constant
        assert np.abs(weights - model.log_weight(all_states(5))).max() < 1e-12


def test_wrong_arguments(tmp_path: Path) -> None:
    def save(name: str, model: Any = MODEL, **choices: Any) -> None:
        save_model(model, tmp_path / name, **choices)

    with pytest.raises(TypeError, match="model must be an SqRBM"):
        save("rbm.npz", "model.h5")
    with pytest.raises(ValueError, match=r"must end in one of \.npz, \.pt, \.pth"):
        save("rbm.h5")
    with pytest.raises(ValueError, match="units must be one of"):
        save("rbm.npz", units="z")
    with pytest.raises(ValueError, match="names of w, a and b must differ"):
        save("rbm.npz", names={"a": "W"})
    with pytest.raises(ValueError, match="names has the keys w, a and b"):
        save("rbm.npz", names={"weight": "W"})
    with pytest.raises(ValueError, match="cannot be called units"):
        save("rbm.npz", names={"w": "units"})
    assert not list(tmp_path.iterdir())
    save("rbm.npz")
    with pytest.raises(FileExistsError):
        save("rbm.npz")
