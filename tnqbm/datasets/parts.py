"""Data to train with, to validate with and to test with: files of their own, or shares of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from tnqbm.base import arguments
from tnqbm.base.arguments import checked
from tnqbm.datasets import readers
from tnqbm.datasets.preparation import Preparation, preparation_of
from tnqbm.datasets.splits import check_fractions, split_places
from tnqbm.datasets.targets import (
    Target,
    check,
    file_data,
    is_drawn,
    is_exact,
    is_name,
    load,
    samples,
)


@overload
def load_split(
    name: str | Path,
    n: int,
    *,
    test_fraction: float = ...,
    valid_fraction: None = None,
    repeats: str | None = ...,
    seed: int | np.random.SeedSequence = ...,
    preparation: Preparation | None = ...,
    **options: Any,
) -> tuple[Target, Target | None]: ...


@overload
def load_split(
    name: str | Path,
    n: int,
    *,
    test_fraction: float = ...,
    valid_fraction: float,
    repeats: str | None = ...,
    seed: int | np.random.SeedSequence = ...,
    preparation: Preparation | None = ...,
    **options: Any,
) -> tuple[Target, Target | None, Target | None]: ...


@checked(
    test_fraction=arguments.number,
    valid_fraction=arguments.number,
    repeats=arguments.text,
    seed=arguments.seed,
)
def load_split(
    name: str | Path,
    n: int,
    *,
    test_fraction: float = 0.2,
    valid_fraction: float | None = None,
    repeats: str | None = None,
    seed: int | np.random.SeedSequence = 0,
    preparation: Preparation | None = None,
    **options: Any,
) -> tuple[Target | None, ...]:
    """Targets to train with and to test with, from the samples of a data set.

    With ``valid_fraction`` they are (train, valid, test). All else is as for :func:`load_parts`,
    which also takes the parts from files of their own. Raises as that does.
    """
    parts = load_parts(
        name,
        n,
        test_fraction=test_fraction,
        valid_fraction=valid_fraction or 0.0,
        repeats=repeats,
        seed=seed,
        preparation=preparation,
        **options,
    )
    return (parts.train, parts.test) if valid_fraction is None else parts


class Parts(NamedTuple):
    """Targets to train with, to validate with and to test with; None for what there is not."""

    train: Target
    valid: Target | None
    test: Target | None


@checked(
    test_fraction=arguments.number,
    valid_fraction=arguments.number,
    repeats=arguments.text,
    seed=arguments.seed,
)
def load_parts(
    train: str | Path,
    n: int,
    *,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    valid_fraction: float = 0.0,
    test_fraction: float = 0.0,
    repeats: str | None = None,
    seed: int | np.random.SeedSequence = 0,
    preparation: Preparation | None = None,
    **options: Any,
) -> Parts:
    """Targets on n visible units to train with, to validate with and to test with.

    ``train`` is a data set's name or a file. ``valid`` and ``test`` are files of their own, or
    shares of the rows of ``train``, by :func:`~tnqbm.datasets.split` with ``seed``; ``repeats`` as
    there, by default "anywhere" for independent draws (the Ising model), "together" for all
    others. The options of :func:`tnqbm.datasets.read_data` hold for all files. If no rows are held
    out, ``train`` is ``load(train, n, seed=seed)``. Raises as :func:`load` and
    :func:`~tnqbm.datasets.split` do, and ValueError for a part that is given twice, or a share of
    a data set that is known exactly.
    """
    check(train, n)
    wanted = preparation_of(preparation, options)
    check_fractions(test_fraction, valid_fraction)
    for name, file, share in (("valid", valid, valid_fraction), ("test", test, test_fraction)):
        if file is not None and share:
            raise ValueError(
                f"{name} = {str(file)!r} and {name}_fraction = {share} exclude each other: give a "
                "file, or a share of the rows to train with"
            )
        if file is not None and (not readers.is_file(file) or is_name(file)):
            raise ValueError(f"{name} = {str(file)!r} is no data file")
    held_out = [
        None if file is None else file_data(file, n, wanted).target() for file in (valid, test)
    ]
    if test_fraction + valid_fraction == 0:
        return Parts(load(train, n, seed=seed, preparation=wanted), *held_out)
    if is_exact(train):
        which = "test_fraction" if test_fraction else "valid_fraction"
        raise ValueError(
            f"data set {str(train)!r} is known exactly, so holding out a part of it makes no "
            f"sense; use {which} = 0, got {test_fraction or valid_fraction}"
        )
    states, weights = rows_of(train, n, preparation=wanted)
    places = split_places(
        states,
        test_fraction,
        valid_fraction=valid_fraction,
        repeats=repeats or natural_repeats(train),
        seed=seed,
    )
    found = [
        Target.from_samples(states[rows], weights=None if weights is None else weights[rows])
        if len(rows)
        else None
        for rows in places
    ]
    assert found[0] is not None
    return Parts(found[0], found[1] or held_out[0], found[2] or held_out[1])


def rows_of(
    name: str | Path,
    n: int,
    *,
    seed: int | np.random.SeedSequence = 0,
    preparation: Preparation | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None]:
    """The rows (N, n) of a data set in their order, and the weights (N,) that a file gives them.

    Raises as :func:`~tnqbm.datasets.samples` does.
    """
    if is_name(name):
        return samples(name, n, seed=seed, preparation=preparation), None
    data = file_data(name, n, preparation_of(preparation, {}))
    return data.states, data.weights


def natural_repeats(name: str | Path) -> str:
    """How repeated rows of a data set are split by default, one of ``REPEATS``.

    "anywhere" for data that are independent draws by their making, "together" for all others.
    """
    return "anywhere" if is_drawn(name) else "together"
