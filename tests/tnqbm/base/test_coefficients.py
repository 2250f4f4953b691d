"""The one table of measured times."""

import pytest

from tnqbm import SqRBM, exact
from tnqbm.base.forecast import nanoseconds
from tnqbm.exact import cost

SECTIONS = (
    "enumeration", "quadrature", "contraction.compiled", "contraction.quimb", "hamiltonian",
)  # fmt: skip


def numbers(value):
    return [x for part in value for x in numbers(part)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("section", SECTIONS)
def test_all_times_are_positive_numbers(section):
    values = [x for value in nanoseconds(section).values() for x in numbers(value)]
    assert values
    assert all(isinstance(x, float) and x > 0 for x in values)


def test_forecasts_follow_the_table(monkeypatch):
    model = SqRBM.uniform(16, 8, "XZ", seed=0)
    before = cost.enumeration(model).seconds
    for name, value in list(nanoseconds("enumeration").items()):
        monkeypatch.setitem(nanoseconds("enumeration"), name, 2 * value)
    assert cost.enumeration(model).seconds == pytest.approx(2 * before)
    assert exact.forecasts(model)[0].seconds == pytest.approx(2 * before)


def test_an_unknown_section_is_an_error():
    with pytest.raises(KeyError):
        nanoseconds("enumerations")
