"""Samples as objects of ArviZ."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mc import Chains, Perfect, sample
from mc.interop import to_arviz
from mc.sampling.samples_file import write_samples
from tnqbm import SqRBM
from tnqbm.base.errors import MissingExtraError

arviz = pytest.importorskip("arviz")

MODEL = SqRBM.uniform(5, 2, "XZ", scale=0.5, seed=1)


@pytest.fixture(scope="module")
def chains() -> np.ndarray:
    return sample(MODEL, 300, Chains(chains=4, kernel="collapsed"), seed=2)[0]


def test_diagnostics_of_arviz(chains: np.ndarray) -> None:
    found = to_arviz(chains, model=MODEL)
    assert found.posterior["v"].dims == ("chain", "draw", "visible")
    ess, rhat = arviz.ess(found)["v"], arviz.rhat(found)["v"]
    assert ((ess > 300) & (ess < 2500)).all()
    assert (abs(rhat - 1) < 0.05).all()
    assert len(arviz.summary(found)) == 5


def test_weights_of_states(chains: np.ndarray) -> None:
    lp = to_arviz(chains, model=MODEL).sample_stats["lp"]
    assert lp.dims == ("chain", "draw")
    assert lp.values == pytest.approx(MODEL.log_weight(chains), abs=1e-12)


def test_perfect_samples_keep_their_weights() -> None:
    rows, info = sample(MODEL, 200, Perfect(max_bond=4), seed=3)
    found = to_arviz(rows, log_weights=info.log_weights)
    assert found.posterior.sizes == {"chain": 1, "draw": 200, "visible": 5}
    assert np.array_equal(found.sample_stats["log_weight"][0], info.log_weights)


@pytest.mark.parametrize("name", ["s.h5", "s.csv"])
def test_files_know_their_chains(tmp_path: Path, chains: np.ndarray, name: str) -> None:
    write_samples(tmp_path / name, chains, {})
    assert np.array_equal(to_arviz(tmp_path / name).posterior["v"], chains)
    assert np.array_equal(to_arviz(str(tmp_path / name)).posterior["v"], chains)


def test_files_have_weights(tmp_path: Path, chains: np.ndarray) -> None:
    weights = np.linspace(-1, 0, 1200)
    write_samples(tmp_path / "w.h5", chains, {}, log_weights=weights)
    found = to_arviz(tmp_path / "w.h5").sample_stats["log_weight"]
    assert np.array_equal(found.values.ravel(), weights)


def test_trees_for_the_arviz_that_has_them(
    chains: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    xarray = pytest.importorskip("xarray")
    monkeypatch.setattr(arviz, "__version__", "1.0.0")
    tree = to_arviz(chains, model=MODEL)
    assert isinstance(tree, xarray.DataTree)
    assert set(tree.children) == {"posterior", "sample_stats"}
    assert np.array_equal(tree["posterior/v"], chains)


@pytest.mark.parametrize(
    ("samples", "more", "message"),
    [
        (np.zeros(3), {}, r"must have shape \(chains, draws, n\)"),
        (np.full((2, 3, 5), 2), {}, "must be 0 or 1"),
        (np.zeros((4, 3)), {"model": MODEL}, "3 visible units, the model 5"),
        (np.zeros((4, 5)), {"log_weights": np.zeros(3)}, "each of the 4 samples, got 3"),
    ],
)
def test_what_does_not_fit_is_refused(samples: np.ndarray, more: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_arviz(samples, **more)


def test_without_arviz(chains: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(MissingExtraError, match="the extra 'arviz' of tnqbm"):
        to_arviz(chains)
