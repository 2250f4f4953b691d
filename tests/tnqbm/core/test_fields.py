from __future__ import annotations

import numpy as np

from tnqbm import SqRBM
from tnqbm.core import fields
from tnqbm.core.paulis import PAULI_MATRICES
from tnqbm.core.states import states_of


def test_averages_and_factors_are_those_of_the_thermal_state() -> None:
    phi = np.array([[0.3, 0.0, 2.0], [-1.2, 0.0, 0.5]])  # (P, m): paulis X and Z
    sigma = np.stack([PAULI_MATRICES["X"], PAULI_MATRICES["Z"]])
    for j in range(3):
        values, vectors = np.linalg.eigh(np.einsum("p,pkl->kl", phi[:, j], sigma))
        weights = np.exp(-values)
        rho = (vectors * weights) @ vectors.conj().T / weights.sum()
        expected = np.einsum("kl,plk->p", rho, sigma).real
        np.testing.assert_allclose(fields.averages(phi, 0)[:, j], expected, atol=1e-14)
        np.testing.assert_allclose(fields.averages(phi.T, 1)[j], expected, atol=1e-14)
        np.testing.assert_allclose(fields.log_factor(phi, 0)[j], np.log(weights.sum()))


def test_no_field_is_longer_than_its_bound() -> None:
    model = SqRBM.uniform(5, 4, "XYZ", seed=1)
    r = fields.length(model.fields(states_of(np.arange(32), 5)), -2)
    assert (r <= fields.largest_lengths(model.b, model.w) + 1e-12).all()
