"""The factor graph as a quimb network."""

import numpy as np
import pytest

from tests.twins import enumerate_model
from tnqbm import SqRBM
from tnqbm.core import connectivity
from tnqbm.networks import graph


def value(tn):
    mantissa, exponent = tn.contract(output_inds=(), strip_exponent=True)
    return np.log(mantissa) + exponent * np.log(10.0)


def test_neighbours_and_mask():
    mask = connectivity.line(6, 3)
    model = SqRBM.uniform(6, 4, "XZ", seed=0, mask=mask)
    assert [units.tolist() for units in graph.graph(model)] == [
        [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]
    ]  # fmt: skip
    w = np.zeros((1, 3, 2))
    w[0, 2, 1] = 0.5
    without = SqRBM(np.zeros(3), np.zeros((1, 2)), w, "X")
    assert [units.tolist() for units in graph.graph(without)] == [[], [2]]


def test_tags_indices_and_scales():
    mask = connectivity.line(5, 3)
    model = SqRBM.uniform(5, 3, "XYZ", scale=2.0, seed=1, mask=mask)
    tn = graph.network(model)
    assert len(tn.select_tensors("VISIBLE")) == 5
    assert len(tn.select_tensors("HIDDEN")) == 3
    assert tn["v3"].inds == ("v3",)
    assert tn["h1"].inds == ("v1", "v2", "v3")
    for tensor in tn:
        assert np.abs(tensor.data).max() == pytest.approx(1.0)
    # one state: the product of all entries is its weight
    v = np.array([1, 0, 0, 1, 1])
    picked = tn.isel({f"v{i}": int(bit) for i, bit in enumerate(v)})
    log_weight = sum(np.log(t.data) for t in picked) + tn.exponent * np.log(10.0)
    assert log_weight == pytest.approx(float(model.log_weight(v)), abs=1e-12)


def test_unnormalised_marginal_by_quimb():
    model = SqRBM.uniform(5, 3, "XZ", seed=2, mask=connectivity.line(5, 3))
    joint = graph.network(model).contract(output_inds=("v0", "v3"))
    _, _, log_weight = enumerate_model(model)
    p = np.exp(log_weight).reshape((2,) * 5).sum(axis=(1, 2, 4))
    np.testing.assert_allclose(joint.data, p, rtol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3, 1e80])
def test_isolated_units_and_any_scale(scale):
    mask = np.zeros((4, 3), dtype=bool)
    mask[0, 0] = mask[2, 0] = True
    model = SqRBM.uniform(4, 3, "XZ", scale=scale, seed=3, mask=mask)
    tn = graph.network(model)
    assert len(tn.select_tensors("HIDDEN")) == 3
    assert np.isfinite(tn.exponent)
    assert all(np.abs(tensor.data).max() == pytest.approx(1.0) for tensor in tn)
    if scale <= 1.0:  # beyond, quimb's plain doubles underflow
        assert value(tn) == pytest.approx(enumerate_model(model)[0], rel=1e-12)


def test_no_hidden_units():
    model = SqRBM(np.array([0.5, -2.0]), np.zeros((1, 0)), np.zeros((1, 2, 0)), "Y")
    assert value(graph.network(model)) == pytest.approx(np.log(4 * np.cosh(0.5) * np.cosh(2.0)))


def test_wide_units():
    mask = np.ones((30, 1), dtype=bool)
    model = SqRBM.uniform(30, 1, "XYZ", scale=0.2, seed=4, mask=mask)
    tn = graph.network(model)
    assert max(tensor.size for tensor in tn) < 2**14
    assert len(tn.select_tensors("h0")) == 31
    assert {"s0", "s1"} <= set(tn.all_inds())
    with pytest.raises(ValueError, match="30 neighbours"):
        graph.network(model, split="never")
    with pytest.raises(ValueError, match="split must be"):
        graph.network(model, split="sometimes")


def test_large_fields_cannot_be_split():
    """Negative control: quadrature of fields beyond reach is refused, not wrong."""
    mask = np.ones((20, 1), dtype=bool)
    model = SqRBM.uniform(20, 1, "XZ", scale=1e3, seed=4, mask=mask)
    with pytest.raises(ValueError, match="field"):
        graph.network(model)
    assert graph.network(model, split="never").num_tensors == 21
