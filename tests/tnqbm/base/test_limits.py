"""What enumeration refuses, and what it advises instead."""

from __future__ import annotations

import re

import pytest

from tnqbm.base.limits import MAX_DENSE, MAX_VISIBLE, check_enumerable


@pytest.mark.parametrize("n", [1, MAX_DENSE])
def test_small_numbers_of_units_pass(n: int) -> None:
    check_enumerable(n)
    check_enumerable(n, dense=True)


def test_sums_reach_further_than_arrays() -> None:
    check_enumerable(MAX_VISIBLE)
    with pytest.raises(ValueError, match=rf"2\*\*{MAX_VISIBLE} .* 9 GB .* n = {MAX_DENSE}\b"):
        check_enumerable(MAX_VISIBLE, dense=True)


@pytest.mark.parametrize("dense", [False, True])
def test_advice_names_functions_that_exist(dense: bool) -> None:
    import mc

    n = MAX_VISIBLE + 1
    with pytest.raises(ValueError, match="out of reach") as caught:
        check_enumerable(n, dense=dense)
    message = str(caught.value)
    assert f"2**{n}" in message
    named = re.findall(r"\bmc\.(\w+)", message)
    assert named == ["sample", "log_partition"]
    assert all(callable(getattr(mc, name)) for name in named)


def test_advised_methods_exist() -> None:
    from tnqbm import exact

    with pytest.raises(ValueError, match="out of reach") as caught:
        check_enumerable(MAX_VISIBLE + 1)
    named = re.findall(r"method='(\w+)'", str(caught.value))
    assert named == ["contraction", "quadrature"]
    assert set(named) <= set(exact.METHODS)
    assert "exact.log_partition" in str(caught.value)


def test_advised_gradient_exists() -> None:
    from mc.estimators.provide import provide
    from tnqbm.training import phases

    provide()
    assert "pcd" in phases.names()
