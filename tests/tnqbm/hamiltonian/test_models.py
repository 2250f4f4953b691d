"""Families of Hamiltonians: which strings, in which order, with which coefficients."""

import numpy as np
import pytest

from tnqbm import SqRBM
from tnqbm.core import connectivity
from tnqbm.hamiltonian import PauliHamiltonian, qrbm, sqbm, tfim


@pytest.mark.parametrize("paulis", ["Z", "XZ", "YXZ"])
def test_without_lateral_couplings_an_sqbm_is_an_sqrbm(paulis):
    model = SqRBM.uniform(4, 3, paulis, scale=0.8, seed=3)
    options = {"visible_edges": None, "hidden_edges": None, "paulis": paulis}
    drawn = sqbm(4, 3, **options, scale=0.8, seed=3)
    assert drawn == PauliHamiltonian.from_sqrbm(model)
    assert list(drawn.terms) == list(PauliHamiltonian.from_sqrbm(model).terms)
    given = sqbm(4, 3, **options, parameters={"a": model.a, "b": model.b, "w": model.w})
    assert given == drawn
    assert sqbm(4, 3, **options, parameters=model.to_vector()) == drawn
    mask = connectivity.line(4, 2)
    local = SqRBM.uniform(4, 3, paulis, seed=3, mask=mask)
    assert sqbm(4, 3, **options, mask=mask, seed=3) == PauliHamiltonian.from_sqrbm(local)
    vector = PauliHamiltonian.from_sqrbm(local).to_vector()
    assert sqbm(4, 3, **options, mask=mask, parameters=vector) == PauliHamiltonian.from_sqrbm(local)


def test_terms_of_an_sqbm():
    h = sqbm(2, 2, paulis="XZ", seed=0)
    assert " ".join(h.terms) == (
        "ZIII IZII IIXI IIIX IIZI IIIZ "
        "ZIXI ZIIX IZXI IZIX ZIZI ZIIZ IZZI IZIZ ZZII IIXX IIXZ IIZX IIZZ"
    )
    equal = sqbm(2, 2, paulis="XZ", hidden_pairs="equal", seed=0)
    assert [*equal.terms][-2:] == ["IIXX", "IIZZ"]
    lateral = {"visible": [0.5], "hidden": np.arange(4.0).reshape(1, 2, 2)}
    given = sqbm(2, 2, paulis="XZ", parameters=lateral)
    assert given.terms["ZZII"] == 0.5
    assert given.terms["IIXZ"] == 1.0
    assert given.terms["ZIII"] == 0.0
    n, m = 10, 5
    count = n + 3 * m + 3 * n * m + n * (n - 1) // 2 + 9 * m * (m - 1) // 2
    assert len(sqbm(n, m, seed=0).terms) == count
    chosen = sqbm(3, 3, visible_edges=[(2, 0)], hidden_edges=[(1, 2)], paulis="Z", seed=1)
    assert [*chosen.terms][-2:] == ["ZIZIII", "IIIIZZ"]
    assert sqbm(2, 2, seed=5) == sqbm(2, 2, seed=5)
    assert sqbm(2, 2, seed=5) != sqbm(2, 2, seed=6)
    assert np.abs(sqbm(4, 4, seed=5, scale=0.1).to_vector()).max() <= 0.1


def test_terms_of_a_qrbm():
    h = qrbm(1, 2, visible_paulis="XZ", paulis="ZY", interactions=("ZZ", "XY"), seed=0)
    assert " ".join(h.terms) == "XII ZII IZI IIZ IYI IIY ZZI ZIZ XYI XIY"
    assert not h.is_semi_quantum
    assert len(qrbm(3, 2, seed=0).terms) == 9 + 6 + 9 * 6
    classical = qrbm(3, 2, visible_paulis="Z", paulis="XZ", seed=4)
    assert classical == PauliHamiltonian.from_sqrbm(SqRBM.uniform(3, 2, "XZ", seed=4))
    mask = connectivity.line(4, 2)
    local = qrbm(4, 3, interactions=["ZZ"], mask=mask, seed=0)
    assert len(local.terms) == 12 + 9 + mask.sum()


def test_terms_of_a_transverse_field_model():
    h = tfim(2, 1, visible_edges="all", seed=0)
    assert " ".join(h.terms) == "ZII IZI IIZ XII IXI IIX ZIZ IZZ ZZI"
    assert not h.is_semi_quantum
    h = tfim(1, 2, visible_paulis="Z", hidden_edges=[(0, 1)], parameters={"x": [1.0, 2.0]})
    assert " ".join(h.terms) == "ZII IZI IIZ IXI IIX ZZI ZIZ IZZ"
    assert h.is_semi_quantum
    assert h.terms["IIX"] == 2.0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sqbm(2, 2), "either parameters or"),
        (lambda: sqbm(2, 2, seed=1, parameters=[1.0]), "either parameters or"),
        (lambda: sqbm(0, 2, seed=1), "n >= 1"),
        (lambda: sqbm(2, 2, parameters=[1.0]), "31 terms|terms, got"),
        (lambda: sqbm(2, 2, parameters={"c": [1.0]}), "no group 'c'"),
        (lambda: sqbm(2, 2, parameters={"a": [1.0]}), r"shape \(2,\)"),
        (lambda: sqbm(2, 2, seed=1, scale=-1.0), "scale"),
        (lambda: sqbm(2, 2, seed=1, visible_edges="some"), "visible_edges"),
        (lambda: sqbm(2, 2, seed=1, visible_edges=[(0, 0)]), "visible_edges"),
        (lambda: sqbm(2, 2, seed=1, hidden_edges=[(0, 2)]), "hidden_edges"),
        (lambda: sqbm(2, 2, seed=1, hidden_edges=[(0, 1), (1, 0)]), "repeat"),
        (lambda: sqbm(2, 2, seed=1, hidden_pairs="some"), "hidden_pairs"),
        (lambda: sqbm(2, 2, seed=1, paulis="ZZ"), "repeats"),
        (lambda: qrbm(2, 2, seed=1, interactions=["ZI"]), "pairs of letters"),
        (lambda: qrbm(2, 2, seed=1, interactions=["ZZ", "ZZ"]), "repeats a pair"),
        (lambda: tfim(2, 2, seed=1, mask=np.ones((3, 2), bool)), "mask must have shape"),
        (
            lambda: tfim(2, 1, parameters={"w": np.ones((2, 1))}, mask=[[True], [False]]),
            "outside the mask",
        ),
    ],
)
def test_bad_input(build, message):
    with pytest.raises(ValueError, match=message):
        build()
