"""Kernels made of parts: what they compute, in parallel too, and how little is compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tnqbm.kernels.parallel import get_num_threads, max_threads, njit, set_num_threads
from tnqbm.kernels.parts import parallel_over, part

ROOT = Path(__file__).parents[3]


@part
def _quotient_and_rest(x, y):
    return x // y, x % y


@part
def _add(values, k, x):
    values[k] += x


def _power(exponent: int):
    @part
    def power(x):
        return x**exponent

    return power


def _powers(exponent: int):
    power = _power(exponent)

    @parallel_over(lambda out: out.shape[0])
    def powers(task, factor, out):
        out[task] = factor * power(task)

    return powers


@parallel_over(lambda rows, columns: rows * columns)
def count_calls(task, rows, columns, calls):
    row, column = _quotient_and_rest(task, columns)
    _add(calls[row], column, 1)


@parallel_over(lambda out: out.shape[0])
def refuse(task, worst, out):
    if task == worst:
        raise ValueError
    out[task] = 1


@parallel_over(lambda x: x.shape[0])
def sums(task, x, flag, pair, out):
    """Arguments of every kind: an array, a truth value, a tuple."""
    total = 0.0
    for k in range(x.shape[1]):
        total += x[task, k]
    out[task] = pair[0] * total if flag else pair[1]


@part
def _halves(x):
    return x[: x.shape[0] // 2], x[x.shape[0] // 2 :]


@parallel_over(lambda x: x.shape[0])
def second_halves(task, x, out):
    _, other = _halves(x[task])
    for k in range(other.shape[0]):
        out[task] += other[k]


def test_views_that_a_part_returns_are_for_parts_alone() -> None:
    out = np.zeros(3)
    x = np.ones((3, 8))
    second_halves(x, out)
    np.testing.assert_array_equal(out, 4.0)

    @njit
    def outside(x):
        return _halves(x)[0][0]

    with pytest.raises(TypeError, match="the part _halves returns arrays, which only parts may"):
        outside(x[0])


@pytest.fixture(params=sorted({1, max_threads()}))
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = get_num_threads()
    set_num_threads(request.param)
    yield request.param
    set_num_threads(before)


@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (1, 1), (3, 1), (7, 11), (100, 13)])
def test_every_task_is_done_once(threads: int, rows: int, columns: int) -> None:
    calls = np.zeros((rows, columns), np.int64)
    count_calls(rows, columns, calls)
    assert np.array_equal(calls, np.ones((rows, columns)))


def test_arguments_of_all_kinds_arrive(threads: int) -> None:
    x = np.arange(12.0).reshape(4, 3)
    out = np.zeros(4)
    sums(x, True, (2.0, 7), out)
    assert np.array_equal(out, 2.0 * x.sum(1))
    sums(x, False, (2.0, 7), out)
    assert np.array_equal(out, np.full(4, 7.0))


def test_kernels_of_one_factory_are_made_of_their_own_parts(threads: int) -> None:
    squares, cubes = np.zeros(5), np.zeros(5)
    _powers(2)(3.0, squares)
    _powers(3)(1.0, cubes)
    assert np.array_equal(squares, 3.0 * np.arange(5) ** 2)
    assert np.array_equal(cubes, np.arange(5.0) ** 3)


def test_a_task_that_fails_is_an_error_of_the_kernel(threads: int) -> None:
    out = np.zeros(4, np.int64)
    refuse(9, out)
    assert np.array_equal(out, np.ones(4))
    with pytest.raises(RuntimeError, match="task of a parallel kernel"):
        refuse(3, out)


def test_parts_are_called_by_other_kernels_too() -> None:
    @njit
    def remainder(x):
        return _quotient_and_rest(x, 5)[1]

    assert remainder(17) == 2
    with pytest.raises(NotImplementedError):
        _quotient_and_rest(17, 5)


FIRST_CALL = """
from tnqbm import SqRBM, exact
from tnqbm.kernels.cache import compiled
exact.log_partition(SqRBM.uniform(5, 2, "XYZ", seed=1))
print(compiled())
"""


def test_log_z_takes_one_kernel_and_later_processes_compile_none(tmp_path: Path) -> None:
    def call(threads: int) -> int:
        env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": str(threads)}
        run = [sys.executable, "-c", FIRST_CALL]
        done = subprocess.run(run, check=True, capture_output=True, text=True, cwd=ROOT, env=env)
        return int(done.stdout)

    assert call(1) <= 2
    code = sorted(path.name for path in tmp_path.rglob("*.nbc"))
    assert call(2) == 0
    assert sorted(path.name for path in tmp_path.rglob("*.nbc")) == code
