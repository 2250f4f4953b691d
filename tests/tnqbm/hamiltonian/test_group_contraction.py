"""Contraction of sqBMs with hidden groups, against enumeration and dense Gibbs states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mc
import tnqbm
from tnqbm import SqBM
from tnqbm.core.connectivity import line
from tnqbm.hamiltonian import GroupContraction
from tnqbm.hamiltonian.group_contraction import exact_log_partition, forecasts


def model(paulis: str, pairs: str = "all", scale: float = 1.0, **options: Any) -> SqBM:
    """Groups of three, two and one, of which the last touches no visible unit."""
    mask = np.random.default_rng(1).random((7, 6)) < 0.5
    mask[:, 5] = False
    given: dict[str, Any] = {"visible_edges": "ring", "mask": mask} | options
    edges = [(0, 2), (2, 3), (1, 4)]
    return SqBM(7, 6, hidden_edges=edges, paulis=paulis, hidden_pairs=pairs, scale=scale, seed=2,
                **given)  # fmt: skip


@pytest.mark.parametrize("engine", ["quimb", "compiled"])
@pytest.mark.parametrize("paulis", ["Z", "XZ", "ZY", "XYZ", "YXZ"])
@pytest.mark.parametrize("pairs", ["all", "equal", "ZZ"])
def test_log_z_and_expectations_are_exact(engine: str, paulis: str, pairs: str) -> None:
    one = model(paulis, pairs)
    found = GroupContraction(one.layout, engine=engine)
    log_z, expectations = found.log_partition_and_expectations(one.vector)
    assert log_z == pytest.approx(one.log_partition(), abs=1e-12)
    assert found.log_partition(one.vector) == pytest.approx(log_z, abs=1e-12)
    np.testing.assert_allclose(expectations, one.expectations(), atol=1e-13)
    # The plan holds for other parameters of the layout.
    other = one.with_coefficients(0.3 * one.to_vector())
    assert found.log_partition(other.vector) == pytest.approx(other.log_partition(), abs=1e-12)


def test_against_the_dense_gibbs_state() -> None:
    one = SqBM(3, 4, hidden_edges=[(0, 1), (1, 2), (2, 3)], visible_edges="all", scale=0.7, seed=3)
    dense = one.to_hamiltonian()
    found = GroupContraction(one.layout).log_partition_and_expectations(one.vector)
    assert found[0] == pytest.approx(dense.log_partition(), abs=1e-12)
    np.testing.assert_allclose(found[1], dense.expectations(list(dense.terms)), atol=1e-12)


def test_hundreds_of_units_on_a_line() -> None:
    n = 150
    local = SqBM(
        n, n - 2, visible_edges="line", hidden_edges="groups-2", paulis="XZ", mask=line(n, 3),
        scale=0.4, seed=4,
    )  # fmt: skip
    found = GroupContraction(local.layout)
    assert found.forecast.width < 12
    log_z, expectations = found.log_partition_and_expectations(local.vector)
    # Finite differences of log Z, in a few of all the terms.
    for k in (0, n + 5, 3 * n + 40, local.n_parameters - 1):
        step = np.zeros(local.n_parameters)
        step[k] = 1e-5
        up, down = (found.log_partition(local.vector + sign * step) for sign in (1, -1))
        assert -(up - down) / 2e-5 == pytest.approx(expectations[k], abs=1e-6)
    annealed = mc.log_partition(local, mc.Annealing(chains=100, betas=100), seed=1)
    assert abs(annealed.value - log_z) < 4 * annealed.standard_error
    # The exact way is taken, and named, where it is near at hand.
    chosen = mc.log_partition(local, "exact")
    assert chosen.value == pytest.approx(log_z, abs=1e-9)
    assert mc.log_partition(local).standard_error == 0
    assert [each.fits for each in forecasts(local)] == [False, True]


def test_methods_and_refusals() -> None:
    one = model("XZ")
    for method in ("enumeration", "contraction", "exact"):
        found = mc.log_partition(one, method)
        assert found.method == method
        assert found.value == pytest.approx(one.log_partition(), abs=1e-12)
    with pytest.raises(ValueError, match="not known by 'quadrature'"):
        mc.log_partition(one, "quadrature")
    wide = SqBM(40, 2, hidden_edges="all", scale=0.1, seed=1)
    with pytest.raises(ValueError, match="coupled to 40 visible units"):
        GroupContraction(wide.layout)
    with pytest.raises(ValueError, match="coupled to 40 visible units"):
        exact_log_partition(wide)
    assert not any(each.fits for each in forecasts(wide))
    with pytest.raises(ValueError, match="multiply-adds"):
        GroupContraction(one.layout, max_operations=10.0)
    with pytest.raises(MemoryError):
        GroupContraction(one.layout, max_bytes=10.0)


def test_training_follows_the_exact_gradients() -> None:
    one = model("XZ", scale=0.3)
    target = tnqbm.datasets.load("parity", 7)
    runs = [
        tnqbm.train(one, target, gradient=gradient, iterations=20, learning_rate=0.05, **options)
        for gradient, options in (
            ("exact", {}),
            ("contraction", {}),
            ("pcd", {"evaluate": "contraction", "chains": 50, "seed": 1}),
        )
    ]
    exact, contracted, sampled = runs
    np.testing.assert_allclose(contracted.kl, exact.kl, atol=1e-11)
    np.testing.assert_allclose(contracted.model.vector, exact.model.vector, atol=1e-10)
    assert sampled.log_partition[-1] == pytest.approx(sampled.model.log_partition(), abs=1e-11)
    wide = SqBM(40, 2, hidden_edges="all", scale=0.1, seed=1)
    rows = tnqbm.Target.uniform(np.eye(40, dtype=np.uint8)[:5])
    for options in ({"gradient": "contraction"}, {"gradient": "pcd", "evaluate": "contraction"}):
        with pytest.raises(ValueError, match="coupled to 40 visible units"):
            tnqbm.train(wide, rows, iterations=2, learning_rate=0.1, seed=1, **options)


def test_hundreds_of_units_are_trained_exactly_in_a_study(tmp_path: Path) -> None:
    n = 60
    rows = (np.cumsum(np.random.default_rng(1).random((80, n)) < 0.2, axis=1) % 2).astype(np.uint8)
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "local.toml").write_text(
        f"""
name = "local"
seeds = 2
[model]
family = "sqbm"
visible = {n}
hidden = {n - 2}
paulis = "XZ"
connectivity = "line-3"
visible_edges = "line"
hidden_edges = "groups-2"
scale = 0.1
[data]
train = "{(tmp_path / "rows.npy").as_posix()}"
[training]
gradient = "contraction"
iterations = 15
learning_rate = 0.05
[output]
records = 3
"""
    )
    mc.run_study(mc.load_study(tmp_path / "local.toml"), tmp_path / "local.h5")
    with tnqbm.Archive(tmp_path / "local.h5") as archive:
        for run in archive.runs():
            found = run.trajectory
            assert found.nll[-1] < found.nll[0] - 1.0
            layout = run.model.layout
            log_z = GroupContraction(layout).log_partition(run.model.vector)
            nll = log_z - run.model.log_weight(rows).mean()
            assert found.nll[-1] == pytest.approx(nll, abs=1e-9)
