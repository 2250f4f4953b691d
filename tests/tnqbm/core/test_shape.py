from __future__ import annotations

import numpy as np
import pytest

from tnqbm import SqRBM
from tnqbm.core.shape import Shape


@pytest.mark.parametrize("shape", [Shape(3, 2, 3), Shape(1, 0, 1), Shape(4, 1, 2)])
def test_slices_cut_a_vector_into_all_of_a_b_and_w(shape: Shape) -> None:
    n, m, P = shape
    assert shape.size == n + P * m * (n + 1)
    assert (shape.a.start, shape.w.stop) == (0, shape.size)
    assert (shape.a.stop, shape.b.stop) == (shape.b.start, shape.w.start)
    batch = np.arange(2.0 * shape.size).reshape(2, shape.size)
    a, b, w = shape.split(batch)
    assert (a.shape, b.shape, w.shape) == ((2, n), (2, P, m), (2, P, n, m))
    assert all(np.shares_memory(part, batch) for part in (a, b, w) if part.size)
    np.testing.assert_array_equal(Shape.join(*shape.split(batch[1])), batch[1])


def test_the_layout_is_that_of_a_models_vector() -> None:
    mask = np.array([[True, False], [True, True], [False, True]])
    model = SqRBM.uniform(3, 2, "XZ", seed=1, mask=mask)
    theta = model.to_vector()
    assert model.shape == Shape(3, 2, 2)
    for part, expected in zip(model.shape.split(theta), (model.a, model.b, model.w), strict=True):
        np.testing.assert_array_equal(part, expected)
    free = model.shape.free(mask)
    np.testing.assert_array_equal(free[model.shape.w].reshape(2, 3, 2), [mask, mask])
    assert free[: model.shape.w.start].all()
    assert free.sum() == model.n_parameters
    assert model.shape.free(None).all()


def test_names_are_places_in_the_arrays() -> None:
    model = SqRBM.uniform(3, 2, "XZ", seed=1)
    values = dict(zip(model.shape.names("XZ"), model.to_vector(), strict=True))
    assert len(values) == model.n_parameters
    assert values["a[2]"] == model.a[2]
    assert values["b[Z,1]"] == model.b[1, 1]
    assert values["w[X,2,0]"] == model.w[0, 2, 0]
